//! A modelled Redis or Valkey server: roles, replication, `INFO`, and the commands that coordinators send.
//!
//! Sans-IO and deterministic: what happens comes in by a method, what the server does goes out as [`Act`]s, and
//! time is an argument. No socket, no clock, no randomness beyond the seed. The model follows Redis 7.0; where it
//! is simpler, the module concerned says so. For all of them: there is one database, the backlog exists always,
//! and `PUBLISH` does not go into the replication stream.

mod client;
mod command;
mod data;
mod handover;
mod info;
mod link;
mod replicas;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use self::client::Client;
use self::data::{Data, Stored};
use self::handover::HandOver;
use self::link::{FromPrimary, Link};
use self::replicas::Replica;
use crate::message::{ConnId, Entry, Message, ReplId, Snapshot};
use crate::time::Time;

/// How often a server looks after its replication.
const CRON_PERIOD: Duration = Duration::from_secs(1);
/// The same while it hands over.
const CRON_PERIOD_HANDING_OVER: Duration = Duration::from_millis(100);

/// What a server is told at its first start.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What run ids and ids of histories are derived from, with the number of the start. A machine that is set up
    /// anew, without [`Remains`], needs another seed: else its first history would have the id of the old one's.
    pub run_seed: u64,
    /// Whom its first configuration file tells it to follow.
    pub follows: Option<SocketAddr>,
    /// `replica-priority`
    pub priority: u32,
    /// `replica-announced`
    pub announced: bool,
    /// `repl-timeout`
    pub repl_timeout: Duration,
    /// `repl-ping-replica-period`
    pub ping_period: Duration,
    /// `repl-backlog-size`, in entries.
    pub backlog: u64,
    /// How long a full synchronization takes: half of it the primary writes its data, half of it the replica loads.
    pub full_sync_time: Duration,
    /// It has the command `FAILOVER` (6.2 and later).
    pub has_failover: bool,
    /// `min-replicas-to-write`
    pub min_replicas_to_write: u32,
    /// `min-replicas-max-lag`
    pub min_replicas_max_lag: Duration,
    /// `replica-serve-stale-data`
    pub serves_stale: bool,
    /// `CONFIG REWRITE` works.
    pub config_writable: bool,
}

/// What outlives the process: the configuration file and the data as last saved.
#[derive(Clone, Debug)]
pub struct Remains {
    /// How often it was started.
    starts: u64,
    /// Whom the configuration file tells it to follow; `None` if the file is the first one again.
    follows: Option<Option<SocketAddr>>,
    data: Option<Stored>,
}

/// What a server does towards the world. What concerns a connection that has ended meanwhile is to be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Connect to its primary; the world answers with [`Server::dialled`] and the same number. It may be answered
    /// late, or never: a later dial takes the place of one that is not answered yet.
    Dial {
        /// Where to.
        to: SocketAddr,
        /// Which attempt of this server.
        dial: u64,
    },
    /// Send on a connection.
    Send {
        /// Which.
        conn: ConnId,
        /// What.
        message: Message,
    },
    /// Close a connection. What was sent before still arrives.
    Close {
        /// Which.
        conn: ConnId,
    },
}

/// How a server takes orders to change its role: `Reconfigure`, `HandOver`, `Release` and `AbortHandOver`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Obedience {
    /// As it should.
    #[default]
    Obeys,
    /// It says that it did, and does not.
    Ignores,
    /// It refuses in these words.
    Refuses(String),
}

/// A server while it runs.
#[derive(Debug)]
pub struct Server {
    spec: ServerSpec,
    starts: u64,
    ids: Ids,
    run_id: String,
    started_at: Time,
    /// What the configuration file says.
    configured: Option<SocketAddr>,
    follows: Option<SocketAddr>,
    link: Link,
    /// Since when the link to the primary is lost; nothing if it never was up.
    link_down_since: Option<Time>,
    /// It may ask its primary to go on where it stands.
    resumable: bool,
    dials: u64,
    data: Data,
    clients: BTreeMap<ConnId, Client>,
    replicas: BTreeMap<ConnId, Replica>,
    good_replicas: u32,
    /// The end of `CLIENT PAUSE`.
    paused_until: Option<Time>,
    handover: HandOver,
    busy: bool,
    loading: Option<Loading>,
    /// What the primary sent while a script ran or data was loaded.
    held: VecDeque<FromPrimary>,
    obedience: Obedience,
    next_cron: Time,
    next_ping: Time,
    stats: Stats,
}

/// Data on their way from a file into memory.
#[derive(Debug)]
struct Loading {
    until: Time,
    /// Those of a full synchronization. At a start they are in memory already and only not to be had.
    snapshot: Option<Snapshot>,
}

/// What a server has done since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Connections that it has accepted.
    pub connections: u64,
    /// Commands of clients that it has answered.
    pub commands: u64,
    /// Replicas that it sent all data.
    pub sync_full: u64,
    /// Replicas that could go on where they stood.
    pub sync_partial: u64,
    /// Replicas that wanted to and could not.
    pub sync_partial_refused: u64,
    /// Hand-overs that the replica took.
    pub hand_overs_done: u64,
    /// Hand-overs for which the replica came too late.
    pub hand_overs_expired: u64,
    /// Hand-overs that the replica refused.
    pub hand_overs_refused: u64,
    /// Hand-overs that it was told to end.
    pub hand_overs_aborted: u64,
}

impl Server {
    /// Starts a server; `None` for its very first start. It does nothing before its first wake, which is due at
    /// once, so that faults of the start can be set.
    #[must_use]
    pub fn start(spec: ServerSpec, remains: Option<Remains>, now: Time) -> Self {
        let (starts, configured, stored) = match remains {
            None => (1, spec.follows, None),
            Some(left) => (left.starts + 1, left.follows.unwrap_or(spec.follows), left.data),
        };
        let mut ids = Ids::new(spec.run_seed, starts);
        let run_id = format!("{:016x}{:016x}{:08x}", ids.next(), ids.next(), ids.next() >> 32);
        let resumable = stored.is_some();
        let new_id = ids.replid();
        let data = match stored {
            None => Data::empty(new_id),
            Some(stored) => Data::load(stored, configured.is_none().then_some(new_id)),
        };
        Self {
            starts,
            ids,
            run_id,
            started_at: now,
            configured,
            follows: configured,
            link: Link::Waiting,
            link_down_since: None,
            resumable,
            dials: 0,
            data,
            clients: BTreeMap::new(),
            replicas: BTreeMap::new(),
            good_replicas: 0,
            paused_until: None,
            handover: HandOver::None,
            busy: false,
            loading: None,
            held: VecDeque::new(),
            obedience: Obedience::Obeys,
            next_cron: now,
            next_ping: now + spec.ping_period,
            stats: Stats::default(),
            spec,
        }
    }

    /// Somebody has connected. A coordinator's connection stands for both of its halves: it gets every hello that
    /// is published here.
    pub fn accepted(&mut self, conn: ConnId, coordinator: bool) {
        self.stats.connections += 1;
        self.clients.insert(conn, Client::new(coordinator));
    }

    /// An attempt to connect to the primary has ended.
    pub fn dialled(&mut self, now: Time, dial: u64, result: Result<ConnId, ()>, acts: &mut Vec<Act>) {
        let awaited = matches!(self.link, Link::Dialling { dial: last, .. } if last == dial);
        match result {
            Ok(conn) if awaited => self.greet_primary(now, conn, acts),
            Ok(conn) => acts.push(Act::Close { conn }),
            Err(()) if awaited => self.link = Link::Waiting,
            Err(()) => {}
        }
    }

    /// Something came in.
    pub fn received(&mut self, now: Time, conn: ConnId, message: Message, acts: &mut Vec<Act>) {
        if self.link.conn() == Some(conn) {
            self.hold_or_take(now, FromPrimary::Message(message), acts);
        } else if let Some(replica) = self.replicas.get_mut(&conn) {
            if let Message::Ack { offset } = message {
                replica.acked(now, offset);
                self.count_good_replicas(now);
                self.try_hand_over(now, acts);
            }
        } else if self.clients.contains_key(&conn) {
            self.asked(now, conn, message, acts);
        }
    }

    /// The other end has closed a connection, or it broke.
    pub fn closed(&mut self, now: Time, conn: ConnId, acts: &mut Vec<Act>) {
        if self.link.conn() == Some(conn) {
            self.clients.remove(&conn);
            self.hold_or_take(now, FromPrimary::Closed, acts);
        } else if self.replicas.remove(&conn).is_some() {
            self.count_good_replicas(now);
        } else {
            self.clients.remove(&conn);
        }
    }

    /// When it wants to be woken; it may be past.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.busy {
            return None;
        }
        let work = match &self.loading {
            Some(loading) => loading.until,
            None => self.next_work(),
        };
        Some(self.paused_until.map_or(work, |until| until.min(work)))
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.busy {
            return;
        }
        if self.loading.as_ref().is_some_and(|loading| loading.until <= now) {
            self.finish_loading(now, acts);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.unpause(now, acts);
        }
        if self.loading.is_some() {
            return;
        }
        self.finish_snapshots(now, acts);
        self.expire_hand_over(now, acts);
        if self.next_cron <= now {
            self.cron(now, acts);
        }
    }

    /// A save to disk has ended: it has all data there is now.
    pub fn save(&mut self) {
        if self.loading.is_none() {
            self.data.save();
        }
    }

    /// Data that it has from its first start on.
    pub fn fill(&mut self, entries: &[Entry]) {
        self.data.append(entries);
    }

    /// What a crash leaves.
    #[must_use]
    pub fn remains(&self) -> Remains {
        Remains {
            starts: self.starts,
            follows: Some(self.configured),
            data: self.data.stored(),
        }
    }

    /// A script runs for long, or has ended.
    pub fn set_busy(&mut self, now: Time, busy: bool, acts: &mut Vec<Act>) {
        self.busy = busy;
        if !busy {
            self.take_held(now, acts);
        }
    }

    /// Loading its data takes until then. For a server that was just started.
    pub fn set_loading_until(&mut self, until: Time) {
        let snapshot = self.loading.take().and_then(|loading| loading.snapshot);
        self.loading = Some(Loading { until, snapshot });
    }

    /// An operator changes `replica-priority`.
    pub const fn set_priority(&mut self, priority: u32) {
        self.spec.priority = priority;
    }

    /// Whether `CONFIG REWRITE` works from now on.
    pub const fn set_config_writable(&mut self, writable: bool) {
        self.spec.config_writable = writable;
    }

    /// How it takes orders from now on.
    pub fn set_obedience(&mut self, obedience: Obedience) {
        self.obedience = obedience;
    }

    /// Whether it takes itself for a primary.
    #[must_use]
    pub const fn is_primary(&self) -> bool {
        self.follows.is_none()
    }

    /// Whom it follows.
    #[must_use]
    pub const fn follows(&self) -> Option<SocketAddr> {
        self.follows
    }

    /// Whom its configuration file tells it to follow when it is started again.
    #[must_use]
    pub const fn configured(&self) -> Option<SocketAddr> {
        self.configured
    }

    /// Whether the link to its primary is up.
    #[must_use]
    pub const fn link_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether it loads data, and so answers nothing of value.
    #[must_use]
    pub const fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Whether a script keeps it busy.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether writes wait.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused_until.is_some() || self.handover.is_under_way()
    }

    /// Until when a client has it hold writes back.
    #[must_use]
    pub const fn paused_until(&self) -> Option<Time> {
        self.paused_until
    }

    /// How far its data go.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.data.offset()
    }

    /// The id of its history.
    #[must_use]
    pub const fn replid(&self) -> ReplId {
        self.data.replid
    }

    /// Its data, from [`Self::base`] on.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.data.entries()
    }

    /// The offset before the first of its entries.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.data.base()
    }

    /// `replica-priority`
    #[must_use]
    pub const fn priority(&self) -> u32 {
        self.spec.priority
    }

    /// The id of this run of the process.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What it has done since its start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.spec.addr
    }

    /// When the next snapshot is written, a hand-over has to end, or replication is to be looked after.
    fn next_work(&self) -> Time {
        let snapshots = self.replicas.values().filter_map(Replica::snapshot_at);
        snapshots
            .chain(self.handover.expires_at())
            .fold(self.next_cron, Time::min)
    }

    /// As the reference: first what has timed out, then the link, then acknowledgements and pings.
    fn cron(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.tend_link(now, acts);
        self.tend_replicas(now, acts);
        let period = if self.handover.is_under_way() {
            CRON_PERIOD_HANDING_OVER
        } else {
            CRON_PERIOD
        };
        self.next_cron = now + period;
    }

    fn finish_loading(&mut self, now: Time, acts: &mut Vec<Act>) {
        if let Some(snapshot) = self.loading.take().and_then(|loading| loading.snapshot) {
            self.data.replace(snapshot);
            self.synchronized(now, acts);
        }
        self.take_held(now, acts);
    }
}

impl Remains {
    /// Whom the configuration file tells the server to follow, if it is not the first one again.
    #[must_use]
    pub fn follows(&self) -> Option<SocketAddr> {
        self.follows.flatten()
    }

    /// The data are lost as well: a new disk, or a server that never saved.
    #[must_use]
    pub fn without_data(mut self) -> Self {
        self.data = None;
        self
    }

    /// The configuration file is the first one again: a container that does not keep its files.
    #[must_use]
    pub const fn with_first_config(mut self) -> Self {
        self.follows = None;
        self
    }
}

/// Numbers that look random and depend on seed and start alone.
#[derive(Debug)]
struct Ids(u64);

impl Ids {
    const fn new(seed: u64, starts: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(starts)))
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Zero stands for no id.
    fn replid(&mut self) -> ReplId {
        ReplId(self.next().max(1))
    }
}

/// Spreads a number over all bits.
const fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
