//! A coordinator with all that it stands on: its process, clock, disk and connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{
    Addr, AddressBook, Answer, Cause, ClientToken, Command, Coordinator, Effect, Epoch, EventKind,
    FailoverReceipt, GroupName, Input, LinkId, LinkKind, Outcome, PersistSeq, Pong, Registry, ReplicatedLog,
    Reply, Request, RequestId, SentinelId, Settings, Verdict,
};
use bellwether_raft::Restored;
use rand::RngExt;

use super::faults::Undo;
use super::shared::Leaving;
use super::{Due, SharedLog, State, World};
use crate::check::{RELEASED_WITHIN, server_in};
use crate::clock::Clock;
use crate::coverage::leader_lost;
use crate::disk::{Disk, Written};
use crate::interrupt::Interruption;
use crate::message::{ConnId, Message};
use crate::network::{Actor, End, Machine, Packet};
use crate::time::Time;

/// How far a clock may be off, in parts per million: a hundred times what a quartz does.
const MAX_DRIFT_PPM: i64 = 5_000;
/// How long a usual write takes, in microseconds.
const WRITE_MICROS: std::ops::Range<u64> = 200..6_000;
/// How long it may take until the loop comes to decide about what came in, in microseconds.
const TURN_MICROS: std::ops::Range<u64> = 1..400;
/// How long at most, one or the other, until a connection that is given up is closed, in microseconds.
const HANG_UP_MICROS: [u64; 4] = [50, 1_000, 10_000, 200_000];

/// One coordinator.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) core: Coordinator,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) state: State,
    /// It never starts again.
    pub(crate) gone: bool,
    /// It is no member of the log any more.
    pub(crate) left: bool,
    /// The members by the lines of its configuration, as long as it runs with them; where they share a log.
    pub(super) lines: BTreeMap<u64, String>,
    /// How often it was started. What was under way in an earlier life reaches nobody.
    pub(crate) life: u32,
    /// What clients are told.
    pub(crate) book: Arc<AddressBook>,
    /// When it last went on after a stop.
    pub(crate) resumed_at: Time,
    /// When its disk last became worse or better.
    pub(crate) disk_upset_at: Time,
    /// When its clock last leapt.
    pub(crate) leapt_at: Time,
    pub(crate) wake_at: Option<Time>,
    turn_at: Option<Time>,
    pub(super) links: BTreeMap<LinkId, ConnId>,
    /// What waits to leave on a connection.
    pub(super) leaving: BTreeMap<LinkId, Leaving>,
    /// Those that the core has given up are among them until they are closed.
    conns: BTreeMap<ConnId, LinkId>,
    asked: BTreeMap<ClientToken, Asked>,
    last_token: u64,
}

/// Who waits for an answer, and about which primary of which group.
#[derive(Debug)]
struct Asked {
    conn: ConnId,
    id: RequestId,
    meant: Option<(GroupName, Addr)>,
    /// It is a frame of the log: if it is refused, the connection goes with it.
    is_frame: bool,
}

impl Node {
    pub(crate) fn new(
        (n, machine): (usize, Machine),
        registry: Registry,
        shared: Option<&SharedLog>,
        now: Time,
        (seed, drift_ppm): (u64, i64),
    ) -> Self {
        let clock = Clock::new(now, drift_ppm);
        let at = clock.read(now);
        let core = match shared {
            None => Coordinator::new(settings(seed), registry.clone(), at),
            Some(log) => log.coordinator((n, &log.members), (seed, settings(seed)), Restored::default(), at),
        };
        Self {
            machine,
            core,
            disk: Disk::new(registry),
            clock,
            state: State::Running,
            gone: false,
            left: false,
            lines: shared.map(|log| log.members.clone()).unwrap_or_default(),
            life: 0,
            book: Arc::default(),
            resumed_at: now,
            disk_upset_at: now,
            leapt_at: now,
            wake_at: Some(now),
            turn_at: Some(now),
            links: BTreeMap::new(),
            leaving: BTreeMap::new(),
            conns: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_token: 0,
        }
    }

    /// Whether its disk has taken all writes in the usual time since then.
    pub(crate) fn disk_is_well_since(&self, since: Time) -> bool {
        self.disk.is_well() && self.disk_upset_at < since
    }

    /// It has not begun yet, and does at this time.
    pub(crate) const fn begin_at(&mut self, at: Time) {
        self.turn_at = Some(at);
        self.wake_at = Some(at);
    }

    /// The number of the next question that it is asked.
    pub(super) const fn next_token(&self) -> ClientToken {
        ClientToken(self.last_token + 1)
    }

    fn plan_wake(&mut self) {
        let deadline = self.core.poll_deadline().map(|at| self.clock.when(at));
        self.wake_at = [deadline, self.turn_at].into_iter().flatten().min();
    }
}

fn settings(seed: u64) -> Settings {
    Settings {
        listen_port: super::COORDINATOR_PORT,
        own_password: None,
        deny_scripts_reconfig: true,
        forget_sentinels_after: None,
        forget_replicas_after: None,
        seed,
    }
}

impl World {
    /// A coordinator's process is started, from what its disk holds.
    pub(crate) fn start_coordinator(&mut self, n: usize) {
        let now = self.now;
        if self.nodes[n].gone {
            return;
        }
        let seed = self.rng.random_range(0..u64::MAX);
        let drift_ppm = self.rng.random_range(-MAX_DRIFT_PPM..=MAX_DRIFT_PPM);
        let node = &mut self.nodes[n];
        node.clock = Clock::new(now, drift_ppm);
        let at = node.clock.read(now);
        // What is on its disk is what it must remember, whatever it makes of it.
        match &self.shared {
            None => {
                let loaded = node.disk.load();
                self.checks.started(now, n, &loaded);
                node.core = Coordinator::new(settings(seed), loaded, at);
            }
            Some(log) => {
                let restored = node.disk.log().restored();
                node.core = log.coordinator((n, &node.lines), (seed, settings(seed)), restored, at);
                self.checks.started(now, n, node.core.registry());
                self.checks.promised(now, n, node.disk.log().hard());
            }
        }
        node.state = State::Running;
        node.life += 1;
        node.book = Arc::default();
        node.turn_at = Some(now);
        node.wake_at = Some(now);
        self.trace
            .line(now, || format!("{} starts", Actor::Coordinator(n)));
    }

    /// Its process is gone; whether the machine goes on and tells the others is for the caller.
    pub(crate) fn stop_coordinator(&mut self, n: usize) {
        let lands = self.rng.random_range(0..2) == 0;
        let node = &mut self.nodes[n];
        node.state = State::Dead;
        let interrupted = node.disk.crash(lands);
        node.links.clear();
        node.leaving.clear();
        node.conns.clear();
        node.asked.clear();
        node.turn_at = None;
        node.wake_at = None;
        if interrupted {
            self.coverage.count(if lands {
                "crash-after-write"
            } else {
                "crash-before-write"
            });
        }
        self.count_lost_leader(n);
    }

    /// Notes in which states the failovers were that a coordinator led, whose process has just ended. The core that it
    /// leaves is asked, which does it no harm.
    fn count_lost_leader(&mut self, n: usize) {
        let (now, token) = (self.now, ClientToken(u64::MAX));
        let node = &mut self.nodes[n];
        let mut records = node.core.registry().groups.values();
        if !records.any(|record| record.failover.is_some()) {
            return;
        }
        let request = Request::Overview;
        node.core
            .handle(node.clock.read(now), Input::Request { token, request });
        while let Some(effect) = self.nodes[n].core.poll_effect() {
            let Effect::Answer { answer, .. } = effect else {
                continue;
            };
            if let Answer::Overview(overview) = answer {
                let groups = overview.groups.iter();
                for state in groups.filter_map(|group| group.failover_state) {
                    self.coverage.count(leader_lost(state));
                }
            }
        }
    }

    /// Its deadline has come, or the end of the inputs at hand.
    pub(crate) fn wake_coordinator(&mut self, n: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        node.turn_at = None;
        node.core.handle(node.clock.read(now), Input::Turn);
        self.drain(n);
    }

    /// Hands one input over; the decision follows soon.
    pub(crate) fn give(&mut self, n: usize, input: Input) {
        let now = self.now;
        let wait = Duration::from_micros(self.turns.random_range(TURN_MICROS));
        let node = &mut self.nodes[n];
        if node.state == State::Dead {
            return;
        }
        node.core.handle(node.clock.read(now), input);
        node.turn_at.get_or_insert(now + wait);
        // One that was interrupted has read the rest of what came with this, and does nothing about it yet.
        if node.state == State::Running {
            self.drain(n);
        }
    }

    fn drain(&mut self, n: usize) {
        while let Some(effect) = self.nodes[n].core.poll_effect() {
            let now = self.now;
            let due = self.watch.as_mut().and_then(|watch| watch.saw(now, n, &effect));
            self.carry_out(n, effect);
            if let Some(how) = due {
                self.interrupt(n, how);
                return;
            }
        }
        let node = &mut self.nodes[n];
        node.plan_wake();
        let steady = self.is_steady(n);
        let registry = self.nodes[n].core.registry();
        self.checks.decided(self.now, n, registry, steady);
        self.look_at_log(n, steady);
    }

    /// A coordinator's process dies or stops between two of its effects.
    fn interrupt(&mut self, n: usize, how: Interruption) {
        self.trace.line(self.now, || {
            format!("{} is interrupted: {how:?}", Actor::Coordinator(n))
        });
        match how {
            Interruption::Crash(lasts) => {
                self.crash_coordinator(n, false);
                self.undo_later(Undo::StartCoordinator(n), lasts);
            }
            Interruption::Pause(lasts) => {
                // It has more to do as soon as it goes on.
                self.nodes[n].begin_at(self.now);
                self.nodes[n].state = State::Paused(Vec::new());
                self.undo_later(Undo::ResumeCoordinator(n), lasts);
            }
        }
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        let now = self.now;
        let node = &self.nodes[n];
        // What comes from the log is committed: it is with a majority, which is looked at by itself.
        let durable = if self.shared.is_some() {
            node.core.registry()
        } else {
            node.disk.synced()
        };
        self.checks.visible(now, n, durable, &effect);
        match effect {
            Effect::Connect { link, to, kind } => {
                self.checks.connects(now, n, link, to, &kind);
                let node = &self.nodes[n];
                let conn = self
                    .network
                    .begin(Actor::Coordinator(n), node.life, node.machine, to);
                self.nodes[n].links.insert(link, conn);
                self.nodes[n].conns.insert(conn, link);
                self.send(conn, End::Acceptor, Packet::Open);
                let instance = matches!(kind, LinkKind::Instance { .. });
                self.greets.insert(conn, instance);
                self.after(super::CONNECT_TIMEOUT, Due::ConnectTimeout(conn, false));
            }
            Effect::Disconnect { link } => {
                self.checks.disconnected(n, link);
                self.nodes[n].leaving.remove(&link);
                if let Some(conn) = self.nodes[n].links.remove(&link) {
                    // Another task holds the socket, and does not see at once that nobody wants it any more.
                    let most = HANG_UP_MICROS[self.turns.random_range(0..HANG_UP_MICROS.len())];
                    let wait = Duration::from_micros(self.turns.random_range(0..most));
                    self.after(wait, Due::HangUp(n, self.nodes[n].life, conn));
                }
            }
            Effect::Send { link, batch, until } => {
                if let Some(conn) = self.nodes[n].links.get(&link).copied() {
                    self.check_orders(n, conn, &batch, until.is_some());
                    self.leave(n, link, batch, until);
                }
            }
            Effect::Persist { seq } => {
                let node = &mut self.nodes[n];
                node.disk.begin(seq, node.core.registry().clone());
                let usual = Duration::from_micros(self.rng.random_range(WRITE_MICROS));
                let (life, wait) = (node.life, usual + node.disk.stall());
                self.after(wait, Due::Written(n, life, seq));
            }
            Effect::Answer { token, answer } => self.answered(n, token, answer),
            Effect::Addresses(book) => self.nodes[n].book = book,
            Effect::Event(event) => {
                self.trace.step(now, (n, event.kind, &event.payload));
                self.trace.line(now, || match &event.reason {
                    Some(reason) => format!("{} {event} ({reason})", Actor::Coordinator(n)),
                    None => format!("{} {event}", Actor::Coordinator(n)),
                });
                self.coverage.event(event.kind);
                if event.kind == EventKind::SubjectivelyDown
                    && event.payload.starts_with("master ")
                    && let Some(primary) = server_in(&event.payload)
                {
                    self.check_sees_down(n, primary);
                }
                // The order counts even where nobody is at the other end of the connection any more.
                if event.kind == EventKind::StateWaitPromotion
                    && let Some(candidate) = server_in(&event.payload)
                {
                    self.checks.takes_over(n, candidate);
                }
                if event.kind == EventKind::SelectedReplica
                    && let Some(chosen) = server_in(&event.payload)
                {
                    self.chooses_stranger(n, chosen);
                }
                let goes_on = |reason: &String| reason.starts_with("it goes on with");
                if event.kind == EventKind::ElectedLeader && event.reason.as_ref().is_some_and(goes_on) {
                    self.coverage.count("failover-taken-over");
                }
                self.keep_event(n, &event);
                if event.kind != EventKind::LinkReconnection {
                    self.trigger(event.kind);
                }
            }
            Effect::FailoverEnded { group, receipt } => {
                self.failover_ended(n, &group, &receipt);
            }
            Effect::WriteLog(write) => {
                let usual = Duration::from_micros(self.rng.random_range(WRITE_MICROS));
                self.write_log(n, *write, usual);
            }
            Effect::Resolve { .. } | Effect::RunScript { .. } | Effect::LogLevel(_) | Effect::Exit { .. } => {
            }
        }
    }

    fn failover_ended(&mut self, n: usize, group: &GroupName, receipt: &FailoverReceipt) {
        let now = self.now;
        // Where a log is shared, everybody tells it.
        if self.shared.is_some() && !self.checks.ends_first(group, receipt.epoch) {
            return;
        }
        self.coverage.failover(receipt);
        self.checks.ended(now, n, group, receipt);
        let given_up = matches!(receipt.outcome, Outcome::Aborted(_));
        let old = self
            .servers
            .iter()
            .position(|host| Addr::from(host.addr) == receipt.old_primary);
        if let Some(old) = old.filter(|_| given_up && receipt.cause == Cause::Coordinated) {
            let by = match self.servers[old].handing_over {
                Some((by, _)) if self.shared.is_some() => by,
                _ => n,
            };
            self.after(RELEASED_WITHIN, Due::Released(old, by, now));
        }
    }

    /// Looks at what a coordinator is about to order of a server.
    fn check_orders(&mut self, n: usize, conn: ConnId, batch: &[(RequestId, Command)], ends: bool) {
        for (_, command) in batch {
            let Some(to) = self.network.target(conn) else {
                continue;
            };
            if let Command::HandOver { to: candidate, .. } = command {
                let now = self.now;
                if let Some(host) = self.servers.iter_mut().find(|host| host.addr == to) {
                    host.handing_over = Some((n, now));
                }
                if let Ok(ip) = candidate.0.parse() {
                    let candidate = std::net::SocketAddr::new(ip, candidate.1);
                    self.checks.takes_over(n, candidate);
                    self.check_stranger(n, candidate, None);
                }
            }
            let Command::Reconfigure { follow } = command else {
                continue;
            };
            self.trace.line(self.now, || match follow {
                None => format!("{} orders {to} to be a primary", Actor::Coordinator(n)),
                Some((host, port)) => {
                    format!("{} orders {to} to follow {host}:{port}", Actor::Coordinator(n))
                }
            });
            let primary = follow
                .as_ref()
                .and_then(|(host, port)| Some(std::net::SocketAddr::new(host.parse().ok()?, *port)));
            if self.is_with_present_server(conn, to) {
                self.check_stranger(n, to, primary);
            }
            if follow.is_none() {
                self.check_order_ends(n, ends);
                let target = self.servers.iter().position(|host| host.addr == to);
                let registry = self.nodes[n].core.registry();
                self.checks
                    .promotes(self.now, n, registry, to, target.map(|s| &self.servers[s]));
            }
        }
    }

    /// The disk has ended a write.
    pub(crate) fn written(&mut self, n: usize, life: u32, seq: PersistSeq) {
        if self.nodes[n].life != life || self.nodes[n].state == State::Dead {
            return;
        }
        let input = match self.nodes[n].disk.end(seq) {
            None => return,
            Some(Written::Synced) => {
                self.checks.synced(self.now, n, self.nodes[n].disk.synced());
                Input::Persisted { seq }
            }
            Some(Written::Full) => {
                let reason = "no space left on device".to_owned();
                Input::PersistFailed { seq, reason }
            }
            Some(Written::SyncFailed) => {
                self.trace.line(self.now, || {
                    format!("{} stops: a sync failed", Actor::Coordinator(n))
                });
                self.crash_coordinator(n, true);
                return;
            }
        };
        self.give(n, input);
    }

    /// A packet has come to a coordinator that runs.
    pub(crate) fn coordinator_received(&mut self, n: usize, conn: ConnId, at: End, packet: Packet) {
        let link = self.nodes[n].conns.get(&conn).copied();
        match (packet, at) {
            (Packet::Opened, End::Dialer) => {
                self.greets.remove(&conn);
                if let Some(link) = link {
                    self.checks.connected(n, link);
                    let local = self.nodes[n].machine.ip();
                    self.give(n, Input::LinkUp { link, local });
                }
            }
            (Packet::Refused | Packet::Closed, End::Dialer) => self.link_lost(n, conn, "connection reset"),
            (Packet::Closed, End::Acceptor) => self.network.close(conn, End::Acceptor),
            (Packet::Data(message), _) => self.coordinator_heard(n, conn, link, message),
            _ => {}
        }
    }

    /// A connection that a coordinator has made is gone.
    pub(crate) fn link_lost(&mut self, n: usize, conn: ConnId, reason: &str) {
        self.greets.remove(&conn);
        self.network.close(conn, End::Dialer);
        let node = &mut self.nodes[n];
        if let Some(link) = node.conns.remove(&conn) {
            node.links.remove(&link);
            node.leaving.remove(&link);
            self.checks.disconnected(n, link);
            let reason = reason.to_owned();
            self.give(n, Input::LinkDown { link, reason });
        }
    }

    /// A connection that the core has given up is closed; before that, something may still have come on it.
    pub(crate) fn give_up(&mut self, n: usize, conn: ConnId) {
        if self.nodes[n].conns.remove(&conn).is_some() {
            self.greets.remove(&conn);
            self.hang_up(conn, End::Dialer);
        }
    }

    fn coordinator_heard(&mut self, n: usize, conn: ConnId, link: Option<LinkId>, message: Message) {
        match message {
            Message::Reply(request, reply) => {
                if let Some(link) = link {
                    self.checks.heard(self.now, n, link, &reply);
                    self.give(n, Input::Reply { link, request, reply });
                }
            }
            Message::Hello(message) => {
                if let Some(link) = link {
                    self.give(n, Input::Hello { link, message });
                }
            }
            Message::Commands(batch) => {
                for (request, command) in batch {
                    self.asked(n, conn, request, command);
                }
            }
            Message::AskPrimary(group) => {
                let addr = self.nodes[n].book.get(&group).cloned();
                self.send(conn, End::Dialer, Packet::Data(Message::PrimaryIs(addr)));
            }
            _ => {}
        }
    }

    /// Another coordinator asks.
    fn asked(&mut self, n: usize, conn: ConnId, id: RequestId, command: Command) {
        let mut meant = None;
        let mut is_frame = false;
        let request = match command {
            Command::Ping => {
                self.send(
                    conn,
                    End::Dialer,
                    Packet::Data(Message::Reply(id, Reply::Ping(Pong::Pong))),
                );
                return;
            }
            Command::Hello { message } => Request::Hello { message },
            Command::Frame { from, bytes } => {
                is_frame = true;
                Request::Frame { from, bytes }
            }
            Command::TellView {
                from,
                group,
                host,
                port,
                down,
            } => Request::View {
                from: from.to_string(),
                group: group.to_string(),
                host,
                port: port.to_string(),
                down: if down { "down" } else { "up" }.to_owned(),
            },
            Command::AskDown {
                host,
                port,
                epoch,
                candidate,
            } => {
                let groups = &self.nodes[n].core.registry().groups;
                let is_meant = |addr: &Addr| addr.port == port && addr.host.to_string() == host;
                let found = groups.iter().find(|(_, record)| is_meant(&record.primary));
                meant = found.map(|(name, record)| (name.clone(), record.primary.clone()));
                Request::IsPrimaryDown {
                    host,
                    port: port.to_string(),
                    epoch: epoch.to_string(),
                    candidate: candidate.map_or_else(|| "*".to_owned(), |id| id.to_string()),
                }
            }
            _ => {
                let words = "ERR unknown command".to_owned();
                self.send(
                    conn,
                    End::Dialer,
                    Packet::Data(Message::Reply(id, Reply::Refused(words))),
                );
                return;
            }
        };
        let node = &mut self.nodes[n];
        node.last_token += 1;
        let token = ClientToken(node.last_token);
        let asked = Asked {
            conn,
            id,
            meant,
            is_frame,
        };
        node.asked.insert(token, asked);
        self.give(n, Input::Request { token, request });
    }

    /// An operator orders something; the answer goes to the trace.
    pub(crate) fn order(&mut self, n: usize, request: Request) {
        let node = &mut self.nodes[n];
        node.last_token += 1;
        let token = ClientToken(node.last_token);
        self.give(n, Input::Request { token, request });
    }

    fn answered(&mut self, n: usize, token: ClientToken, answer: Answer) {
        let Some(Asked {
            conn,
            id,
            meant,
            is_frame,
        }) = self.nodes[n].asked.remove(&token)
        else {
            self.trace.line(self.now, || {
                format!("{} answers the operator: {answer:?}", Actor::Coordinator(n))
            });
            self.operator_hears(n, token, &answer);
            return;
        };
        let reply = match answer {
            Answer::Verdict {
                down,
                leader,
                leader_epoch,
            } => {
                let verdict = Verdict {
                    down,
                    leader: SentinelId::new(&leader).ok().filter(|_| leader != "*"),
                    leader_epoch: Epoch(leader_epoch),
                };
                self.checks
                    .told(self.now, n, meant.as_ref(), self.nodes[n].disk.synced(), &verdict);
                Reply::Verdict(verdict)
            }
            Answer::Refused(refusal) => Reply::Refused(refusal.to_string()),
            _ => Reply::Done,
        };
        let closes = is_frame && matches!(reply, Reply::Refused(_));
        self.send(conn, End::Dialer, Packet::Data(Message::Reply(id, reply)));
        if closes {
            self.coverage.count("frame-refused");
            self.hang_up(conn, End::Acceptor);
        }
    }

    /// Where most coordinators that live see the primary of a group.
    pub(crate) fn seen_primary(&self, group: usize) -> Option<Addr> {
        let name = &self.groups[group];
        let mut seen: BTreeMap<Addr, usize> = BTreeMap::new();
        let alive = |node: &&Node| node.state != State::Dead && !node.left;
        for node in self.nodes.iter().filter(alive) {
            if let Some(record) = node.core.registry().groups.get(name) {
                *seen.entry(record.primary.clone()).or_default() += 1;
            }
        }
        seen.into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(addr, _)| addr)
    }

    /// Who leads or seeks to lead a failover of a group.
    pub(crate) fn leader(&self, group: &GroupName) -> Option<usize> {
        if self.shared.is_some() {
            let place = |node: &Node| node.core.log().map(ReplicatedLog::place).unwrap_or_default();
            let alive = (0..self.nodes.len()).filter(|n| self.nodes[*n].state != State::Dead);
            let leading = alive.filter(|n| place(&self.nodes[*n]).leads);
            return leading.max_by_key(|n| place(&self.nodes[*n]).term);
        }
        self.nodes.iter().position(|node| {
            node.state != State::Dead
                && node
                    .core
                    .registry()
                    .groups
                    .get(group)
                    .is_some_and(|record| record.failover.is_some())
        })
    }
}
