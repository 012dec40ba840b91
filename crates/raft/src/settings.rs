//! What one member is told before it starts, and the limits that everything in it keeps to.

use std::time::Duration;

pub use bellwether_core::ClusterId;

use crate::restore::StartError;

/// How many members a group may have, learners included. Five survive two failures and nobody needs more; nine
/// leave room for replacing some of them at once.
pub const MAX_MEMBERS: usize = 9;

/// Longest address of a member. A host name has at most 253 bytes, and a port follows.
pub const MAX_ADDRESS_LEN: usize = 300;

/// Largest proposal. Decisions have a few hundred bytes; the largest, a group with all its options, a few thousand.
pub const MAX_PAYLOAD_LEN: usize = 256 * 1024;

/// Largest state in a snapshot: ten thousand groups with their history are a quarter of it.
pub const MAX_SNAPSHOT_LEN: usize = 64 * 1024 * 1024;

/// Longest message with such a snapshot in it, the list of members included.
pub(crate) const MAX_SNAPSHOT_BODY: usize = MAX_SNAPSHOT_LEN + 64 * 1024;

/// How many bytes of a snapshot go into one frame at most, where it matters how long others wait behind it: a tenth of a
/// second on a line of 10 Mbit/s.
pub const MAX_SNAPSHOT_PART: usize = 128 * 1024;

/// How many proposals may wait for their outcome at one member. Each stands for a client that waits.
pub const MAX_PENDING: usize = 1024;

/// How many bytes those proposals may have together.
pub const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// How large the uncommitted end of a leader's log may grow before it refuses proposals. It is reached when a
/// majority is slow, and then more of the same helps nobody.
pub(crate) const MAX_UNCOMMITTED: u64 = 16 * 1024 * 1024;

/// How many bytes of entries go into one message, beyond its first entry.
pub(crate) const MAX_APPEND: u64 = 512 * 1024;

/// How many messages with entries may be under way to one member: 64 MiB at the very most.
pub(crate) const MAX_INFLIGHT: usize = 128;

/// How many bytes of committed entries are handed over in one go.
pub(crate) const MAX_COMMITTED: u64 = 1024 * 1024;

/// How far apart the rates of two members' clocks may be, in percent. Crystals differ by less than 0.02 %, and time
/// daemons slew by 0.05 %; virtual machines after a migration are the reason for the rest. A lease is shorter than
/// the least election timeout by this much.
pub const MAX_DRIFT_PERCENT: u32 = 10;

/// What a member must know of itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own id. Never 0, and never used before in this group: a member that lost its disk gets a new one.
    pub id: u64,
    /// The group it belongs to.
    pub cluster: ClusterId,
    /// Where its randomness comes from. Must differ from start to start: proposals are told apart by it.
    pub seed: u64,
    /// How long a member hears nothing of a leader before it may stand for election. Members may have different ones;
    /// a lease is as short as the shortest that it rests on.
    pub election_min: Duration,
    /// How long it hears nothing before it stands for election at the latest.
    pub election_max: Duration,
    /// How often a leader tells that it is there.
    pub heartbeat: Duration,
    /// How long a proposal may wait for its outcome.
    pub proposal_timeout: Duration,
    /// How many bytes of a snapshot go into one frame, at most [`MAX_SNAPSHOT_PART`].
    pub snapshot_part: usize,
    /// How long a snapshot may be under way without progress before it is sent again.
    pub snapshot_retry: Duration,
    /// How many bytes of log after the last snapshot ask for the next.
    pub log_bytes: u64,
    /// How many entries before a snapshot stay, so that a member that is a little behind needs no snapshot.
    pub keep_entries: u64,
    /// How the caller tells its own proposals and states from garbage.
    pub readable: Readable,
}

/// How the caller tells its own proposals and states from garbage: what it could not read must not get into the log,
/// because there it would stop every member. Each gives what is wrong, in words.
#[derive(Clone, Copy, Debug)]
pub struct Readable {
    /// Looks at a proposal.
    pub proposal: fn(&[u8]) -> Result<(), String>,
    /// Looks at a state.
    pub state: fn(&[u8]) -> Result<(), String>,
}

impl Readable {
    /// Whatever it is, the caller can read it.
    pub const ANYTHING: Self = Self {
        proposal: |_| Ok(()),
        state: |_| Ok(()),
    };
}

impl Settings {
    /// Settings for members in one data centre: a dead leader is replaced within half a second.
    #[must_use]
    pub const fn new(id: u64, cluster: ClusterId, seed: u64) -> Self {
        Self {
            id,
            cluster,
            seed,
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(500),
            heartbeat: Duration::from_millis(50),
            proposal_timeout: Duration::from_secs(3),
            snapshot_part: MAX_SNAPSHOT_PART,
            snapshot_retry: Duration::from_secs(5),
            log_bytes: 1024 * 1024,
            keep_entries: 256,
            readable: Readable::ANYTHING,
        }
    }

    /// How long a member promises, as frames tell it: rounded down.
    pub(crate) fn promise_ms(&self) -> u16 {
        u16::try_from(self.election_min.as_millis()).unwrap_or(u16::MAX)
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let times = |problem| Err(StartError::Times { problem });
        if self.id == 0 {
            return Err(StartError::ZeroId);
        }
        if self.heartbeat < Duration::from_millis(5) {
            return times("heartbeats must be at least 5 ms apart");
        }
        if self.election_min < self.heartbeat * 3 {
            return times("the least election timeout must be at least three heartbeats");
        }
        if self.election_max < self.election_min + self.heartbeat {
            return times("the greatest election timeout must exceed the least by a heartbeat");
        }
        if self.election_max > Duration::from_secs(60) {
            return times("election timeouts must be at most 60 s");
        }
        Ok(())
    }
}
