//! The world: everything that exists in one run, and the order in which things happen.
//!
//! One file for each who takes part, one for the ways between them, one for what goes wrong.

mod agenda;
mod client;
mod coordinator;
mod delivery;
mod faults;
mod members;
mod portrait;
mod scripted;
mod server;
mod shared;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{
    Event, GroupName, GroupOptions, GroupRecord, LinkId, PersistSeq, Registry, SentinelId,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::check::{Checks, Violation};
use crate::coverage::Coverage;
use crate::fault::{Planned, Stranger};
use crate::interrupt::Watch;
use crate::message::ConnId;
use crate::network::{Actor, Flight, Machine, Network, Quality};
use crate::plan::Setup;
use crate::redis::ServerSpec;
use crate::time::Time;
use crate::trace::Trace;

use agenda::Agenda;
use members::Operator;

pub(crate) use client::Writer;
pub(crate) use coordinator::Node;
pub(crate) use server::Host;
pub(crate) use shared::SharedLog;

/// Where every coordinator listens.
pub(crate) const COORDINATOR_PORT: u16 = 26_379;
/// Where the servers of the first group listen; each further group has the next port.
pub(crate) const SERVER_PORT: u16 = 6_379;
/// How long a coordinator waits for a connection to stand. As the daemon.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it waits for the greetings, once something listens. As the daemon.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a process runs.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// It does.
    #[default]
    Running,
    /// It is stopped, and what comes in waits.
    Paused(Vec<Waiting>),
    /// There is none.
    Dead,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// What a stopped process finds when it goes on.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    Flight(Flight),
    Written(PersistSeq),
    LogWritten(u64),
    Leave(LinkId),
    ConnectTimeout(ConnId, bool),
}

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// A packet comes to its end.
    Flight(Flight),
    /// A write of a coordinator, in this life, ends.
    Written(usize, u32, PersistSeq),
    /// A write to the log of a coordinator, in this life, ends.
    LogWritten(usize, u32, u64),
    /// What waits at a connection of a coordinator, in this life, leaves.
    Leave(usize, u32, LinkId),
    /// A connection has been waited for; `true` for its greetings too.
    ConnectTimeout(ConnId, bool),
    /// An entry of the plan strikes.
    Strike(usize),
    /// What an entry of the plan did ends.
    Undo(usize),
    /// A server's data are saved.
    Save(usize),
    /// A coordinator, in this life, closes a connection that it has given up.
    HangUp(usize, u32, ConnId),
    /// A stranger comes up at an address that a server of this group had.
    Stranger(Stranger, SocketAddr, usize),
    /// A coordinator of another fleet comes up on this machine.
    StrangeCoordinator(Machine),
    /// The operator looks after the members; by how often he has meant to.
    TendMembers(u32),
    /// A coordinator that is no member any more is ended for good.
    Retire(usize),
    /// A server takes writes by now: the hand-over that a coordinator had told it to was given up then.
    Released(usize, usize, Time),
}

/// One run.
#[derive(Debug)]
pub struct World {
    pub(crate) now: Time,
    /// For what has no generator of its own.
    pub(crate) rng: Xoshiro256PlusPlus,
    /// For the delays of decisions.
    pub(crate) turns: Xoshiro256PlusPlus,
    /// For who comes up at the addresses of others, and for what is lost at a kill.
    pub(crate) strange: Xoshiro256PlusPlus,
    pub(crate) network: Network,
    agenda: Agenda,
    pub(crate) groups: Vec<GroupName>,
    /// Those of the fleet, and behind them strangers.
    pub(crate) nodes: Vec<Node>,
    /// How many of them were of the fleet at first. Where a log is shared, members come and go.
    pub(crate) members: usize,
    /// The log that the coordinators share, if they do.
    pub(crate) shared: Option<SharedLog>,
    /// Who changes the members of that log.
    pub(crate) operator: Operator,
    pub(crate) servers: Vec<Host>,
    pub(crate) writers: Vec<Writer>,
    /// Connections of coordinators whose greetings are out, and whether they are to servers.
    pub(crate) greets: BTreeMap<ConnId, bool>,
    pub(crate) machines: u16,
    /// Those without power.
    unpowered: BTreeSet<Machine>,
    /// How the network carries when nothing is wrong with it.
    usual: Quality,
    /// When the network last became worse or better.
    pub(crate) network_upset_at: Time,
    /// After how long a coordinator is started again that stopped by itself.
    restart_after: Duration,
    /// Who was stopped reads their connections in any order.
    pub(crate) any_order: bool,
    /// Whether a majority of the coordinators runs and reaches each other.
    has_majority: bool,
    /// How much of what it handed over last a process may take with it when it is killed.
    unsent: Duration,
    /// A stranger was taken for one of ours by somebody who could not know better.
    pub(crate) taken_for_ours: bool,
    /// Who is looked at effect by effect, and interrupted.
    pub(crate) watch: Option<Watch>,
    /// How many writes were sent.
    writes: u32,
    /// Nothing goes wrong any more.
    healed: bool,
    plan: Vec<Planned>,
    /// What is needed to undo what an entry of the plan did, while it lasts.
    active: BTreeMap<usize, faults::Undo>,
    /// Entries that wait for an event.
    armed: Vec<usize>,
    pub(crate) checks: Checks,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    /// What coordinators told their subscribers, if a script wants to know.
    recorded: Option<Vec<(Time, usize, Event)>>,
}

impl World {
    /// The world that a setup describes, before anything has happened.
    #[must_use]
    pub fn new(setup: &Setup, plan: Vec<Planned>, keeps_lines: bool) -> Self {
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(setup.seed);
        // Each part has a generator of its own, so that leaving a fault out changes as little as possible.
        let mut fork = || Xoshiro256PlusPlus::seed_from_u64(seeds.random_range(0..u64::MAX));
        let network = Network::new(fork(), setup.quality);
        let mut world = Self {
            now: Time::ZERO,
            rng: fork(),
            turns: fork(),
            network,
            strange: fork(),
            agenda: Agenda::default(),
            groups: (0..setup.groups).map(group_name).collect(),
            nodes: Vec::new(),
            members: setup.coordinators,
            shared: None,
            operator: Operator::default(),
            servers: Vec::new(),
            writers: Vec::new(),
            greets: BTreeMap::new(),
            machines: 0,
            unpowered: BTreeSet::new(),
            usual: setup.quality,
            network_upset_at: Time::ZERO,
            restart_after: Duration::from_secs(1),
            any_order: setup.any_order,
            has_majority: true,
            unsent: setup.unsent,
            taken_for_ours: false,
            watch: None,
            writes: 0,
            healed: false,
            plan,
            active: BTreeMap::new(),
            armed: Vec::new(),
            checks: Checks::new(setup),
            coverage: Coverage::default(),
            trace: Trace::new(keeps_lines),
            recorded: None,
        };
        world.build(setup);
        world
    }

    fn build(&mut self, setup: &Setup) {
        let apart = u16::from(!setup.colocated) * u16::try_from(setup.servers).unwrap_or(u16::MAX);
        let coordinator_machine = |n: usize| Machine(apart + u16::try_from(n).unwrap_or(u16::MAX));
        let addr = |group: usize, n: usize| {
            let port = SERVER_PORT + u16::try_from(group).unwrap_or(u16::MAX);
            SocketAddr::new(Machine(u16::try_from(n).unwrap_or(u16::MAX)).ip(), port)
        };
        let most = setup.servers.max(setup.coordinators);
        self.machines = apart + u16::try_from(most).unwrap_or(u16::MAX);
        for group in 0..setup.groups {
            for n in 0..setup.servers {
                let spec = ServerSpec {
                    addr: addr(group, n),
                    run_seed: self.rng.random_range(0..u64::MAX),
                    follows: (n > 0).then(|| addr(group, 0)),
                    priority: if setup.no_priority == Some(n) { 0 } else { 100 },
                    ..setup.server.clone()
                };
                self.add_server(group, spec);
            }
        }
        let ids: Vec<SentinelId> = setup.ranks.iter().copied().map(sentinel_id).collect();
        for n in 0..setup.coordinators {
            let id = if setup.log.is_some() {
                shared::sentinel(n)
            } else {
                ids[n].clone()
            };
            let mut registry = Registry::new(id);
            for group in 0..setup.groups {
                let mut options = GroupOptions::new(setup.quorum);
                options.down_after = setup.down_after;
                options.failover_timeout = setup.failover_timeout;
                options.parallel_syncs = setup.parallel_syncs;
                let mut record = GroupRecord::new(addr(group, 0).into(), options);
                if setup.introduced && setup.log.is_some() {
                    record.replicas = (1..setup.servers).map(|m| addr(group, m).into()).collect();
                } else if setup.introduced {
                    record.sentinels = (0..setup.coordinators)
                        .filter(|m| *m != n)
                        .map(|m| {
                            (
                                ids[m].clone(),
                                SocketAddr::new(coordinator_machine(m).ip(), COORDINATOR_PORT).into(),
                            )
                        })
                        .collect();
                    record.replicas = (1..setup.servers).map(|m| addr(group, m).into()).collect();
                }
                registry.groups.insert(self.groups[group].clone(), record);
            }
            let (seed, drift) = (
                self.rng.random_range(0..u64::MAX),
                self.rng.random_range(-2_000..=2_000),
            );
            if let Some(log) = setup.log {
                let of = |n: usize| format!("{}:{COORDINATOR_PORT}", coordinator_machine(n).ip());
                let addresses = (0..setup.coordinators).map(of);
                let local = registry.clone();
                self.shared
                    .get_or_insert_with(|| SharedLog::new(log, addresses, local));
            }
            let node = Node::new(
                (n, coordinator_machine(n)),
                registry,
                self.shared.as_ref(),
                self.now,
                (seed, drift),
            );
            self.checks.started(self.now, n, node.core.registry());
            self.nodes.push(node);
        }
        for n in 0..setup.writers {
            let machine = Machine(self.machines + u16::try_from(n).unwrap_or(0));
            self.writers
                .push(Writer::new(machine, n % setup.groups, setup.write_every));
        }
        self.machines += u16::try_from(setup.writers).unwrap_or(0);
        for entry in 0..self.plan.len() {
            self.schedule(entry);
        }
    }

    /// The moment up to which everything has happened.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What must never happen and did.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.checks.violation()
    }

    /// What was met on the way.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Notes which elections were close.
    pub(crate) fn count_elections(&mut self) {
        let (contested, split) = self.checks.elections();
        for (moment, count) in [("election-contested", contested), ("election-split", split)] {
            for _ in 0..count {
                self.coverage.count(moment);
            }
        }
    }

    /// The record of the run.
    pub const fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Something is to happen after a while.
    pub(crate) fn after(&mut self, wait: Duration, due: Due) {
        self.at(self.now + wait, due);
    }

    pub(crate) fn at(&mut self, time: Time, due: Due) {
        self.agenda.push(time.max(self.now), due);
    }

    /// Whether all machines have reached each other as usual since then.
    pub(crate) fn network_is_well_since(&self, since: Time) -> bool {
        self.network_upset_at < since
            && self.unpowered.is_empty()
            && self.network.quality() == self.usual
            && self.network.cuts().is_empty()
    }

    /// Which process wakes next by itself, and when.
    fn next_wake(&self) -> Option<(Time, Actor)> {
        let (mut first, mut next) = (Time::from_micros(u64::MAX), None);
        // Of several at the same time it is the first one.
        let mut wakes = |at: Time, actor: Actor| {
            if at < first {
                (first, next) = (at, Some(actor));
            }
        };
        for (n, node) in self.nodes.iter().enumerate() {
            if let (State::Running, Some(at)) = (&node.state, node.wake_at) {
                wakes(at, Actor::Coordinator(n));
            }
        }
        for (n, host) in self.servers.iter().enumerate() {
            if let (State::Running, Some(at)) = (&host.state, host.wake_at) {
                wakes(at, Actor::Server(n));
            }
        }
        for (n, writer) in self.writers.iter().enumerate() {
            wakes(writer.wake_at, Actor::Client(n));
        }
        next.map(|actor| (first, actor))
    }

    /// Lets the next thing happen. `false` if nothing does any more, because something that must never happen did.
    pub fn step(&mut self) -> bool {
        self.step_until(Time::from_micros(u64::MAX))
    }

    /// Lets everything happen up to a time. `false` if something that must never happen did.
    pub fn advance(&mut self, until: Time) -> bool {
        while self.step_until(until) {}
        self.violation().is_none()
    }

    /// Lets the next thing happen if it does so by then. `false` if not.
    pub(crate) fn step_until(&mut self, until: Time) -> bool {
        if self.violation().is_some() {
            return false;
        }
        let wake = self.next_wake();
        match (wake, self.agenda.next_at()) {
            (Some((at, actor)), agenda) if agenda.is_none_or(|first| at < first) => {
                if at > until {
                    return false;
                }
                self.now = self.now.max(at);
                self.trace.step(self.now, actor);
                match actor {
                    Actor::Coordinator(n) => self.wake_coordinator(n),
                    Actor::Server(n) => self.wake_server(n),
                    Actor::Client(n) => self.wake_writer(n),
                }
            }
            (_, Some(at)) if at <= until => {
                if let Some(next) = self.agenda.pop() {
                    self.now = self.now.max(next.at);
                    self.trace.step(self.now, next.serial);
                    self.happen(next.due);
                }
            }
            _ => return false,
        }
        self.violation().is_none()
    }

    /// Where what happens to a coordinator in this life is to wait, if it is stopped.
    fn stopped(&mut self, n: usize, life: u32) -> Option<&mut Vec<Waiting>> {
        match &mut self.nodes[n] {
            Node {
                state: State::Paused(waiting),
                life: present,
                ..
            } if *present == life => Some(waiting),
            _ => None,
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Flight(flight) => self.arrive(flight),
            Due::Written(n, life, seq) => match &mut self.nodes[n] {
                node if node.life != life => {}
                Node {
                    state: State::Paused(waiting),
                    ..
                } => waiting.push(Waiting::Written(seq)),
                _ => self.written(n, life, seq),
            },
            Due::LogWritten(n, life, seq) => {
                if let Some(waiting) = self.stopped(n, life) {
                    waiting.push(Waiting::LogWritten(seq));
                } else {
                    self.log_written(n, life, seq);
                }
            }
            Due::Leave(n, life, link) => {
                if let Some(waiting) = self.stopped(n, life) {
                    waiting.push(Waiting::Leave(link));
                } else if self.nodes[n].life == life {
                    self.have_left(n, link);
                }
            }
            Due::ConnectTimeout(conn, greeted) => self.connect_timeout(conn, greeted),
            Due::Strike(entry) => self.strike(entry),
            Due::Undo(entry) => self.undo(entry),
            Due::Save(n) => self.save(n),
            Due::HangUp(n, life, conn) => {
                if self.nodes[n].life == life && self.nodes[n].state != State::Dead {
                    self.give_up(n, conn);
                }
            }
            Due::Stranger(stranger, addr, group) => self.stranger_comes(stranger, addr, group),
            Due::StrangeCoordinator(machine) => self.strange_coordinator_comes(machine),
            Due::TendMembers(look) => self.tend_members(look),
            Due::Retire(n) => self.retire(n),
            Due::Released(n, by, since) => self.check_released(n, by, since),
        }
    }
}

/// The name of a group.
pub(crate) fn group_name(n: usize) -> GroupName {
    match GroupName::new(&format!("group-{n}")) {
        Ok(name) => name,
        Err(_) => unreachable!("a plain name"),
    }
}

/// The id of a coordinator: forty hexadecimal digits, as the reference has them.
fn sentinel_id(n: usize) -> SentinelId {
    match SentinelId::new(&format!("{:040x}", n + 1)) {
        Ok(id) => id,
        Err(_) => unreachable!("a plain id"),
    }
}
