//! When a decision counts, and who may lead a failover.
//!
//! Everything else in the core is the same for every kind of agreement: it puts decisions forward, and acts
//! when they come back decided.

mod log;
mod replicated;
mod vote;

use std::fmt;

pub use log::{ClusterId, LogEntry, LogHardState, LogIdentity, LogSnapshot, LogWrite};
pub use replicated::{LogMember, LogOrder, LogPlace, LogRole, LogStatus, ReplicatedLog};
pub use vote::Vote;

use crate::addr::Addr;
use crate::decision::Decision;
use crate::id::{ClientToken, Epoch, GroupName, SentinelId};
use crate::registry::Registry;
use crate::time::Instant;

/// What counts from now on, in the order in which all of it is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A decision.
    Decision {
        /// Which.
        decision: Decision,
        /// The client that waits for it.
        origin: Option<ClientToken>,
    },
    /// Durable state that takes the place of ours: we have missed so much that single decisions would not do.
    State(Box<Registry>),
    /// These are the other coordinators.
    Members(Vec<(SentinelId, Addr)>),
    /// An order about the log itself was carried out, or makes no sense for the reason given.
    Ordered {
        /// The client that waits for it.
        origin: ClientToken,
        /// What came of it.
        result: Result<(), String>,
    },
    /// Something that was put forward came to nothing.
    Dropped {
        /// The groups that it was about.
        groups: Vec<GroupName>,
        /// The clients that wait for it.
        origins: Vec<ClientToken>,
        /// Why, in words.
        reason: String,
    },
}

/// What falls to this coordinator about a group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It decides and acts.
    Act,
    /// What it has put forward is not decided yet, or whether it may act is not certain.
    Wait,
    /// Another one does.
    Rest,
}

/// Where a candidacy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not known yet.
    Open,
    /// This coordinator leads; these voted for it, itself included.
    Elected {
        /// The voters.
        voters: Vec<SentinelId>,
    },
    /// Another one leads.
    Lost {
        /// The one that leads.
        leader: SentinelId,
    },
    /// Nobody can win this election any more.
    Split,
}

/// How coordinators agree. [`Vote`] is the way of the reference; what a replicated log needs besides is [`ReplicatedLog`].
pub trait Agreement: fmt::Debug + Send {
    /// One word for status and metrics.
    fn name(&self) -> &'static str;

    /// Puts a decision forward. It comes out of [`poll_decided`](Self::poll_decided) when it counts, with
    /// `origin` if a client waits for it.
    fn propose(&mut self, decision: Decision, origin: Option<ClientToken>);

    /// Puts forward what this coordinator concludes by itself. Where only one may, the others' conclusions are
    /// passed over.
    fn conclude(&mut self, decision: Decision) {
        self.propose(decision, None);
    }

    /// Whether there are candidates and votes, for each group and epoch.
    fn is_by_vote(&self) -> bool {
        true
    }

    /// What falls to this coordinator about a group now.
    fn duty(&self, _now: Instant, _group: &GroupName) -> Duty {
        Duty::Act
    }

    /// An order to a server is given: until when it may leave; `None` if that does not matter.
    fn order_ends_at(&mut self) -> Option<Instant> {
        None
    }

    /// The log that all coordinators share, if there is one.
    fn log(&self) -> Option<&dyn ReplicatedLog> {
        None
    }

    /// The same, to be driven.
    fn log_mut(&mut self) -> Option<&mut dyn ReplicatedLog> {
        None
    }

    /// The next decision that counts.
    fn poll_decided(&mut self) -> Option<Decided>;

    /// Seeks the lead of the failover of `group` in `epoch`.
    fn campaign(&mut self, registry: &Registry, group: &GroupName, epoch: Epoch);

    /// The epoch in which a vote for the group is asked of peers, while one is.
    fn ballot(&self, group: &GroupName) -> Option<Epoch>;

    /// A peer told whom it voted for.
    fn heard(&mut self, group: &GroupName, voter: &SentinelId, leader: Option<&SentinelId>, epoch: Epoch);

    /// Where the candidacy for the group stands.
    fn standing(&self, registry: &Registry, group: &GroupName) -> Standing;

    /// Whether this peer has told its vote in the present election.
    fn has_heard(&self, group: &GroupName, voter: &SentinelId) -> bool;

    /// Ends the candidacy.
    fn withdraw(&mut self, group: &GroupName);

    /// A peer asks for a vote. `true` if a vote is on its way: it is put forward with `origin`, and the answer
    /// follows when it is decided. `false` if the last vote is the answer.
    fn asked(
        &mut self,
        registry: &Registry,
        group: &GroupName,
        epoch: Epoch,
        candidate: &SentinelId,
        origin: ClientToken,
    ) -> bool;
}
