//! What an agreement by a replicated log needs from its coordinator: frames, writes and time; and what operators may
//! ask of it.

use std::fmt;
use std::time::Duration;

use super::LogWrite;
use crate::id::{ClientToken, SentinelId};
use crate::registry::Registry;
use crate::time::Instant;

/// The replicated log behind an [`Agreement`](super::Agreement).
pub trait ReplicatedLog: fmt::Debug {
    /// Lets time pass.
    fn handle_time(&mut self, now: Instant);

    /// When [`handle_time`](Self::handle_time) is to be called at the latest.
    fn poll_deadline(&self) -> Option<Instant>;

    /// Takes in a frame of the member `from`.
    ///
    /// # Errors
    /// It is not to be trusted, for the reason given. It has changed nothing, and its connection is to be closed.
    fn receive(&mut self, now: Instant, from: u64, frame: &[u8]) -> Result<(), String>;

    /// The next frame that is to be sent, and to whom.
    fn poll_frame(&mut self) -> Option<(SentinelId, Vec<u8>)>;

    /// Frames to this coordinator cannot be sent: there is no connection.
    fn unreachable(&mut self, to: &SentinelId);

    /// The next write; never more than one is under way.
    fn poll_write(&mut self) -> Option<LogWrite>;

    /// The write with this number is durable.
    fn written(&mut self, seq: u64);

    /// Everything that was decided has been applied: what has been put forward goes on its way, and `registry` may
    /// take the place of the log up to here.
    fn settled(&mut self, now: Instant, registry: &Registry);

    /// Carries out an order about the log itself. The outcome comes as [`Decided`](super::Decided) with `origin`,
    /// unless it is known at once: then `Some`.
    fn order(&mut self, now: Instant, order: &LogOrder, origin: ClientToken) -> Option<Result<(), String>>;

    /// Hands the lead over, to this one or to whoever is best, because others see more. Not more often than every
    /// few seconds, whatever is asked.
    fn step_aside(&mut self, now: Instant, to: Option<&SentinelId>);

    /// Who leads, as far as is known.
    fn leader(&self) -> Option<SentinelId>;

    /// What there is to see of it.
    fn status(&self, now: Instant) -> LogStatus;

    /// Where it stands: what of the status costs nothing.
    fn place(&self) -> LogPlace;

    /// Whether this coordinator leads and may act.
    fn may_act(&self, now: Instant) -> bool;

    /// The id of this member.
    fn own_id(&self) -> u64;

    /// Whether everything that was decided before this start has come out again, so that what is missing from the
    /// registry is not merely yet to come.
    fn is_caught_up(&self) -> bool;

    /// Whether more is known to be decided than has come out.
    fn has_more(&self) -> bool;

    /// Whether addresses may be told to clients: a majority was in reach lately, or old ones are good enough.
    fn is_fresh(&self, now: Instant) -> bool;
}

/// An order about the log itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOrder {
    /// A new member.
    Add {
        /// Its id, above all that were ever used.
        id: u64,
        /// Where it listens.
        host: String,
        /// Where it listens.
        port: u16,
        /// The member whose place it takes, if it takes one's.
        replaces: Option<u64>,
    },
    /// A member goes.
    Remove {
        /// Which.
        id: u64,
    },
    /// A member listens elsewhere now.
    Move {
        /// Which.
        id: u64,
        /// Where it listens.
        host: String,
        /// Where it listens.
        port: u16,
    },
    /// Another member is to lead.
    Transfer {
        /// Which; `None` for whoever is best.
        to: Option<u64>,
    },
    /// What is applied takes the place of the log now.
    Snapshot,
}

/// What a member of the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRole {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows and has no vote yet.
    Learner,
    /// It was never told of any members.
    Joining,
    /// It was removed.
    Removed,
}

impl LogRole {
    /// One word for status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Joining => "joining",
            Self::Removed => "removed",
        }
    }
}

/// How far one member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPlace {
    /// The newest term that it knows.
    pub term: u64,
    /// Whether it leads in that term, as far as it knows.
    pub leads: bool,
    /// The member that leads in that term; 0 if nobody is known to.
    pub leader: u64,
    /// The last entry in its log.
    pub last: u64,
    /// How far its log is applied.
    pub applied: u64,
}

/// A majority that was in reach so lately is taken to be there.
const MAJORITY_WITHIN: Duration = Duration::from_secs(3);

/// The log as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The member's id.
    pub id: u64,
    /// The name of the group of members, as it goes into frames.
    pub cluster: String,
    /// What it does.
    pub role: LogRole,
    /// The newest term that it knows.
    pub term: u64,
    /// Who leads in that term; `None` if nobody is known.
    pub leader: Option<u64>,
    /// How far the log is known to be committed.
    pub commit: u64,
    /// How far it is applied.
    pub applied: u64,
    /// The last entry in the log.
    pub last: u64,
    /// The entry up to which a snapshot stands for the log.
    pub snapshot: u64,
    /// Bytes of log after that snapshot.
    pub log_bytes: u64,
    /// How many decisions that were put forward here have no outcome yet.
    pub pending: usize,
    /// How long ago a majority was in reach for certain; `None` if it never was.
    pub majority_contact: Option<Duration>,
    /// Whether it leads and may act.
    pub may_act: bool,
    /// What keeps it from taking part, if anything does.
    pub problem: Option<String>,
    /// All members.
    pub members: Vec<LogMember>,
}

impl LogStatus {
    /// What keeps this member from having something decided, as far as it knows: it takes no part, or no majority was in
    /// reach lately.
    #[must_use]
    pub fn apart(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(format!("no part is taken in the log: {problem}"));
        }
        match (self.role, self.majority_contact) {
            (LogRole::Joining, _) => Some("no member of the log has let this one in yet".to_owned()),
            (LogRole::Removed, _) => Some("this member was removed from the log".to_owned()),
            // It was elected this moment and has not been answered yet; without answers it will not lead for long.
            (LogRole::Leader, None) => None,
            (_, None) => Some("no majority of the members of the log was in reach yet".to_owned()),
            (_, Some(ago)) if ago >= MAJORITY_WITHIN => Some(format!(
                "no majority of the members of the log was in reach for {} s",
                ago.as_secs()
            )),
            (_, Some(_)) => None,
        }
    }
}

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMember {
    /// Its id.
    pub id: u64,
    /// The id by which it goes as a sentinel.
    pub sentinel: SentinelId,
    /// Where it listens: host and port.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// How far its log agrees with the leader's; only a leader knows.
    pub matched: Option<u64>,
    /// How many entries it lacks; only a leader knows.
    pub lag: Option<u64>,
    /// How long ago it was heard. Who follows hears its leader only.
    pub last_contact: Option<Duration>,
}
