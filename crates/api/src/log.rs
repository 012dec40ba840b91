//! The log that all coordinators share.

use serde::{Deserialize, Serialize};

/// The replicated log as the coordinator that answers sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Which member this coordinator is.
    pub member_id: u64,
    /// The name that all members share, as it goes between them: a number in hexadecimal form made of it.
    pub cluster: String,
    /// What it does: `leader`, `follower`, `candidate`, `learner`, `joining` or `removed`.
    pub role: String,
    /// The newest term that it knows.
    pub term: u64,
    /// The member that leads in that term; `null` if none is known.
    pub leader: Option<u64>,
    /// How far the log is known to be committed.
    pub commit: u64,
    /// How far it is applied here.
    pub applied: u64,
    /// The last entry of the log here.
    pub last: u64,
    /// The entry up to which a snapshot stands for the log here.
    pub snapshot: u64,
    /// The size of the log after that snapshot.
    pub log_bytes: u64,
    /// How many decisions that were put forward here have no outcome yet.
    pub pending: u64,
    /// How long ago a majority was in reach for certain; `null` if it never was in this role.
    pub majority_contact_ms: Option<u64>,
    /// Whether this coordinator leads and may act.
    pub may_act: bool,
    /// What keeps it from taking part, while something does.
    pub problem: Option<String>,
    /// All members, this one included, in the order of their ids.
    pub members: Vec<LogMember>,
}

/// A member of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMember {
    /// Its id.
    pub id: u64,
    /// The id by which it goes as a sentinel.
    pub sentinel_id: String,
    /// Where it listens, `host:port`; an IPv6 host stands in brackets.
    pub address: String,
    /// Whether it votes. A new member does not until it has the log.
    pub voter: bool,
    /// How far its log agrees with the leader's; `null` unless this coordinator leads.
    pub matched: Option<u64>,
    /// How many entries it lacks; `null` unless this coordinator leads.
    pub lag_entries: Option<u64>,
    /// How long ago it was heard; `null` if it never was, and of the coordinator that answers.
    pub last_contact_ms: Option<u64>,
}
