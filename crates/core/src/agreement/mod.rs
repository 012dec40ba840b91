//! When a decision counts, and who may lead a failover.
//!
//! Everything else in the core is the same for every kind of agreement: it puts decisions forward, and acts
//! when they come back decided.

mod vote;

use std::fmt;

pub use vote::Vote;

use crate::decision::Decision;
use crate::id::{ClientToken, Epoch, GroupName, SentinelId};
use crate::registry::Registry;

/// A decision that counts from now on, in the order in which all of them are to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The client that waits for it.
    pub origin: Option<ClientToken>,
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

/// How coordinators agree. [`Vote`] is the way of the reference; a replicated log fits behind the same door.
pub trait Agreement: fmt::Debug + Send {
    /// One word for status and metrics.
    fn name(&self) -> &'static str;

    /// Puts a decision forward. It comes out of [`poll_decided`](Self::poll_decided) when it counts, with
    /// `origin` if a client waits for it.
    fn propose(&mut self, decision: Decision, origin: Option<ClientToken>);

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
