//! One member: `raft::RawNode` with its clock, disk, connections and caller behind queues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bellwether_core::Instant;
use raft::eraftpb::Message;
use raft::{Config, RawNode, StateRole};

use crate::frame::{Frame, Kind};
use crate::lease::{Lease, Promise};
use crate::log::Log;
use crate::member::Members;
use crate::parts::{Incoming, Outgoing};
use crate::proposal::{Dropped, Proposals, Taken};
use crate::restore::{Restored, StartError};
use crate::settings::{MAX_APPEND, MAX_COMMITTED, MAX_INFLIGHT, MAX_UNCOMMITTED, Settings};
use crate::timing::Timing;
use crate::write::{HardState, Identity, Snapshot, Write};

mod apply;
mod change;
mod clock;
mod propose;
mod ready;
mod receive;
mod status;

pub use change::TransferError;
pub use ready::SnapshotError;
pub use status::{MemberStatus, Role, Status};

/// What the members have agreed on, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// A proposal.
    Entry {
        /// Its place in the log. Indexes grow, with gaps where raft's own entries are.
        index: u64,
        /// The term of the leader that took it.
        term: u64,
        /// What was proposed.
        payload: Vec<u8>,
        /// The caller's name for it, if it was proposed here since the start.
        token: Option<u64>,
    },
    /// A state that takes the place of the caller's own and of all entries up to its index.
    Snapshot {
        /// The last entry it stands for. The [`members`](Node::members) may have changed with it.
        index: u64,
        /// That entry's term.
        term: u64,
        /// What [`Node::snapshot`] was given.
        data: Vec<u8>,
    },
    /// The members have changed.
    Members {
        /// The index at which they did.
        index: u64,
        /// Who they are now.
        members: Members,
        /// The caller's name for the change, if it was asked for here since the start.
        token: Option<u64>,
    },
}

/// One member of the group.
pub struct Node {
    settings: Settings,
    timing: Timing,
    raw: RawNode<Log>,
    now: Instant,
    /// Up to when ticks were counted.
    ticked: Instant,
    /// How often the wait for a leader has ended without one, in this run.
    window: u64,
    /// Term and role as they were last acted upon.
    seen: (u64, StateRole),
    lease: Lease,
    promise: Promise,
    /// When a majority had last answered when this member stopped leading.
    led_until: Option<Instant>,
    disk: Disk,
    members: Members,
    /// The members after each change since the last snapshot.
    earlier: VecDeque<Members>,
    /// A newer list of members than our log has, by hearsay.
    hearsay: Option<Members>,
    /// Where members say that they are now, and as of which index, if the log here does not say so yet.
    moved: BTreeMap<u64, (u64, String)>,
    /// How often one of the two has changed.
    news: u64,
    /// Members of which only the caller has told.
    introduced: BTreeSet<u64>,
    /// When a list of members was last sent to whom.
    told: BTreeMap<u64, Instant>,
    /// Until when orders that follow from our lead may still leave.
    orders_until: Instant,
    /// What lets another member stand for election at once, while it has to wait for those orders.
    offer: Option<Message>,
    /// The snapshots that are under way to others, and the one that comes in.
    snapshots: Outgoing,
    incoming: Incoming,
    proposals: Proposals,
    taken: Taken,
    applied: u64,
    /// The index of the last thing that came out of `poll_committed`, or waits there.
    delivered: u64,
    /// Up to here the caller had applied everything before the start.
    skip_to: u64,
    frames: VecDeque<(u64, Vec<u8>)>,
    committed: VecDeque<Committed>,
    dropped: VecDeque<Dropped>,
}

/// What is not durable yet, and what waits for it.
#[derive(Debug, Default)]
struct Disk {
    /// What the next write will hold.
    gather: Write,
    /// Whether it must be written; otherwise it may wait for something that must.
    due: bool,
    /// The number of the newest write that was handed out.
    polled: u64,
    /// The newest one that is durable.
    durable: u64,
    /// The newest one that holds entries, a snapshot, a term or a vote.
    newest: u64,
    /// The newest one that holds a term or a vote.
    newest_vote: u64,
    /// raft's numbers for what is in which write.
    unsynced: VecDeque<(u64, u64)>,
    /// Messages that may leave after a write.
    held: VecDeque<(u64, Message)>,
    /// A snapshot of the leader that may be installed after a write.
    install: VecDeque<(u64, Install)>,
}

#[derive(Debug)]
struct Install {
    index: u64,
    term: u64,
    data: Vec<u8>,
}

impl Node {
    /// Starts a member from what its store held; an empty one waits for a leader to tell it everything.
    ///
    /// # Errors
    ///
    /// What was stored contradicts itself or the settings.
    pub fn new(settings: Settings, restored: Restored, now: Instant) -> Result<Self, StartError> {
        Self::start(settings, restored, false, now)
    }

    /// Starts a member of a new group, once: a member that has lost its store must not do so again under its old id, for
    /// it may have voted. All founding members must be given the same `founders` (ids with addresses) and
    /// the same `state`, which comes out of [`poll_committed`](Self::poll_committed) as a snapshot. The store must be
    /// empty; the first [`Write`] holds all of it, and nothing is said before that is durable.
    ///
    /// # Errors
    ///
    /// `restored` is not empty, or the founders or the state are unusable.
    pub fn found(
        settings: Settings,
        founders: &BTreeMap<u64, String>,
        state: &[u8],
        restored: &Restored,
        now: Instant,
    ) -> Result<Self, StartError> {
        if let Some(found) = restored.identity {
            return Err(StartError::AlreadyFounded { found });
        }
        if !restored.is_empty() {
            return Err(StartError::NoIdentity);
        }
        let first = Restored::founding(&settings, founders, state)?;
        Self::start(settings, first, true, now)
    }

    fn start(
        settings: Settings,
        restored: Restored,
        founding: bool,
        now: Instant,
    ) -> Result<Self, StartError> {
        settings.check()?;
        let hard = restored.hard;
        let snapshot = restored.snapshot.clone().filter(|_| founding);
        let start = restored.check(&settings, founding)?;
        let applied = start.log.snapshot_index();
        let timing = Timing::new(&settings);
        let config = config(&settings, &timing, applied);
        // raft logs much and means little by it; what matters shows in the status.
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, start.log, &logger).map_err(|error| StartError::Raft {
            problem: error.to_string(),
        })?;
        let again = settings.election_max;
        let mut node = Self {
            seen: (raw.raft.term, raw.raft.state),
            raw,
            now,
            ticked: now,
            window: 0,
            lease: Lease::new(settings.election_min),
            // In its founding term nobody has led yet, so there was nobody to promise anything to.
            promise: Promise::new(settings.election_min, !founding && hard.term > 1, now),
            led_until: None,
            disk: Disk::default(),
            earlier: VecDeque::from([start.members.clone()]),
            members: start.members,
            hearsay: None,
            moved: BTreeMap::new(),
            news: 0,
            introduced: BTreeSet::new(),
            told: BTreeMap::new(),
            orders_until: Instant::ZERO,
            offer: None,
            snapshots: Outgoing::new(timing.session(), settings.snapshot_part),
            incoming: Incoming::default(),
            proposals: Proposals::new(timing.session(), settings.proposal_timeout, again),
            taken: Taken::default(),
            applied,
            delivered: applied.max(start.applied),
            skip_to: start.applied,
            frames: VecDeque::new(),
            committed: VecDeque::new(),
            dropped: VecDeque::new(),
            timing,
            settings,
        };
        if start.fresh {
            node.write_identity(snapshot, hard);
        }
        if let Some((index, term, data)) = start.state {
            node.committed
                .push_back(Committed::Snapshot { index, term, data });
        }
        node.draw_timeout();
        node.finish();
        Ok(node)
    }

    /// The first write of all.
    fn write_identity(&mut self, snapshot: Option<Snapshot>, hard: HardState) {
        self.disk.gather.identity = Some(Identity {
            cluster: self.settings.cluster,
            id: self.settings.id,
        });
        self.disk.gather.snapshot = snapshot;
        self.disk.gather.hard = Some(hard);
        self.must_write(true);
    }

    /// What is to be sent, and to which member; an order among frames to one member is kept, but nothing depends on it.
    pub fn poll_frame(&mut self) -> Option<(u64, Vec<u8>)> {
        self.frames.pop_front()
    }

    /// What was committed, in order.
    pub fn poll_committed(&mut self) -> Option<Committed> {
        self.committed.pop_front()
    }

    /// A proposal that came to nothing.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        self.dropped.pop_front()
    }

    /// Whether this member leads. Others may already have replaced it: see [`may_act`](Self::may_act).
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this member leads, certainly nobody else does, and everything that was committed before it led has
    /// come out of [`poll_committed`](Self::poll_committed) or waits there. `now` must be read after whatever is to be
    /// done was decided, and it must then be done at once.
    #[must_use]
    pub fn may_act(&self, now: Instant) -> bool {
        self.lease_until().is_some_and(|until| now < until)
    }

    /// Until when that holds; `None` if it does not hold at all.
    #[must_use]
    pub fn lease_until(&self) -> Option<Instant> {
        if !self.is_leader() || !self.raw.raft.apply_to_current_term() {
            return None;
        }
        self.lease.until(self.settings.id, &self.members, self.now)
    }

    /// Something was ordered that may be done until then, at the end of the lease at the latest. Whoever this member hands
    /// its lead to is told so only after that: it needs not wait for the lease to end. If it loses the lead before, it
    /// gives no vote until then.
    pub fn ordered(&mut self, until: Instant) {
        self.orders_until = self.orders_until.max(until);
        self.promise.hold(self.orders_until);
    }

    /// Who the members are.
    #[must_use]
    pub const fn members(&self) -> &Members {
        &self.members
    }

    /// Who the members are by what another one has told, if that is newer than the log here.
    pub(crate) const fn hearsay(&self) -> Option<&Members> {
        self.hearsay.as_ref()
    }

    /// Where a member says that it is now, if the log here has another address.
    pub(crate) fn moved(&self, id: u64) -> Option<&String> {
        self.moved.get(&id).map(|(_, address)| address)
    }

    /// Changes whenever others have told something about the members that the log here does not say.
    pub(crate) const fn news(&self) -> u64 {
        self.news
    }

    /// Everything that is to happen after anything has happened.
    fn finish(&mut self) {
        self.pump();
        self.tend_members();
        self.flush();
        self.pump();
        self.dropped.extend(self.proposals.take_dropped());
    }

    /// Sends something of our own.
    fn send(&mut self, to: u64, kind: Kind, body: &[u8]) {
        self.send_in_round(to, kind, 0, body);
    }

    fn send_in_round(&mut self, to: u64, kind: Kind, round: u64, body: &[u8]) {
        let frame = Frame {
            kind,
            promise_ms: self.settings.promise_ms(),
            cluster: self.settings.cluster,
            from: self.settings.id,
            to,
            round,
            echo: 0,
            log: self.members.log,
            body,
        };
        self.frames.push_back((to, frame.encode()));
    }

    /// The newest term that is known here.
    pub(crate) fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Who leads as far as is known here; 0 if nobody is known.
    pub(crate) fn leader(&self) -> u64 {
        self.raw.raft.leader_id
    }
}

fn config(settings: &Settings, timing: &Timing, applied: u64) -> Config {
    Config {
        id: settings.id,
        election_tick: timing.election,
        min_election_tick: timing.from,
        max_election_tick: timing.below,
        heartbeat_tick: timing.heartbeat,
        applied,
        max_size_per_msg: MAX_APPEND,
        max_inflight_msgs: MAX_INFLIGHT,
        max_uncommitted_size: MAX_UNCOMMITTED,
        max_committed_size_per_ready: MAX_COMMITTED,
        check_quorum: true,
        pre_vote: true,
        ..Config::default()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("status", &self.status(self.now))
            .finish_non_exhaustive()
    }
}
