//! Faults: what an entry of the plan does to the world, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{Addr, EventKind, LogOrder, Request};
use rand::RngExt;

use super::{Due, State, World};
use crate::fault::{CoordinatorPick, Data, Fault, MachinePick, Order, ServerPick, When};
use crate::network::{Actor, Machine, Packet, Quality};
use crate::redis::Obedience;

/// For how many times the length of a delay the disk is slow.
const SLOW_FOR: u32 = 10;

/// How to end what an entry of the plan did.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    StartServer(usize),
    ResumeServer(usize),
    CalmServer(usize),
    StartCoordinator(usize),
    StartCoordinators(Vec<usize>),
    ResumeCoordinator(usize),
    EmptyDisk(usize),
    FastDisk(usize),
    PowerOn(Machine, Vec<Actor>),
    Heal(Vec<(Machine, Machine)>),
    Quality(Quality),
}

impl World {
    /// Puts an entry of the plan on the agenda.
    pub(crate) fn schedule(&mut self, entry: usize) {
        match self.plan[entry].when {
            When::At(time) => self.at(time, Due::Strike(entry)),
            When::After(..) => self.armed.push(entry),
        }
    }

    /// A coordinator has told of an event: entries that wait for it are due.
    pub(crate) fn trigger(&mut self, kind: EventKind) {
        let now = self.now;
        let mut due = Vec::new();
        let plan = &self.plan;
        self.armed.retain(|entry| match plan[*entry].when {
            When::After(from, wanted, delay) if wanted == kind && from <= now => {
                due.push((*entry, delay));
                false
            }
            _ => true,
        });
        for (entry, delay) in due {
            self.after(delay, Due::Strike(entry));
        }
    }

    /// An entry of the plan comes true.
    pub(crate) fn strike(&mut self, entry: usize) {
        if self.healed {
            return;
        }
        let fault = self.plan[entry].fault;
        let Some((lasts, undo)) = self.inflict(fault) else {
            return;
        };
        self.coverage.fault(fault.kind());
        self.trace.line(self.now, || format!("fault: {fault:?}"));
        if let Some(undo) = undo {
            self.active.insert(entry, undo);
            self.after(lasts, Due::Undo(entry));
        }
        self.look_for_majority();
    }

    /// Does what the fault says. `None` if there is nobody to do it to, or somebody did it already.
    fn inflict(&mut self, fault: Fault) -> Option<(Duration, Option<Undo>)> {
        let lasting = |lasts, undo| Some((lasts, Some(undo)));
        let at_once = Some((Duration::ZERO, None));
        match fault {
            Fault::CrashServer(pick, data, lasts) => {
                let n = self.running_server(pick)?;
                self.lose_unsent(Actor::Server(n));
                self.stop_server(n, data);
                self.reset_all(Actor::Server(n));
                lasting(lasts, Undo::StartServer(n))
            }
            Fault::PauseServer(pick, lasts) => {
                let n = self.running_server(pick)?;
                self.servers[n].state = State::Paused(Vec::new());
                self.servers[n].upset_at = self.now;
                lasting(lasts, Undo::ResumeServer(n))
            }
            Fault::BusyServer(pick, lasts) => {
                let n = self.running_server(pick)?;
                self.make_busy(n, true);
                lasting(lasts, Undo::CalmServer(n))
            }
            Fault::ReadOnlyConfig(pick, lasts) => {
                let n = self.running_server(pick)?;
                self.servers[n].spec.config_writable = false;
                self.servers[n].server.set_config_writable(false);
                lasting(lasts, Undo::CalmServer(n))
            }
            Fault::RefusesOrders(pick, lasts) => {
                let n = self.running_server(pick)?;
                let words =
                    "NOPERM User default has no permissions to run the 'replicaof' command".to_owned();
                self.servers[n].server.set_obedience(Obedience::Refuses(words));
                lasting(lasts, Undo::CalmServer(n))
            }
            Fault::NoPriority(pick, lasts) => {
                let n = self.running_server(pick)?;
                self.set_priority(n, 0);
                lasting(lasts, Undo::CalmServer(n))
            }
            Fault::MoveServer(pick) => {
                let n = self
                    .running_server(pick)
                    .filter(|n| !self.servers[*n].server.is_primary())?;
                self.move_server(n);
                at_once
            }
            Fault::GoneForGood(pick) => {
                let n = self.running_server(pick)?;
                self.goes_for_good(n)?;
                at_once
            }
            Fault::Replaced(pick, moves, stranger, after) => {
                let n = self.running_server(pick)?;
                self.is_replaced(n, moves, stranger, after)?;
                at_once
            }
            Fault::ReplacedCoordinator(pick, after) => {
                let n = self.running_coordinator(pick)?;
                self.coordinator_is_replaced(n, after);
                at_once
            }
            Fault::CrashCoordinator(pick, lasts) => {
                let n = self.running_coordinator(pick)?;
                self.crash_coordinator(n, false);
                lasting(lasts, Undo::StartCoordinator(n))
            }
            Fault::ReplaceMember(pick, same_address, after) => {
                let n = self.running_coordinator(pick)?;
                self.replace_member(n, same_address, after)?;
                at_once
            }
            Fault::RelieveMember(pick, lingers) => {
                let n = self.running_coordinator(pick)?;
                self.relieve_member(n, lingers)?;
                at_once
            }
            Fault::AddMember => {
                self.add_member()?;
                at_once
            }
            Fault::RemoveMember(pick, lingers) => {
                let n = self.running_coordinator(pick)?;
                self.remove_member(n, lingers)?;
                at_once
            }
            Fault::MoveMember(pick, log_first, after) => {
                let n = self.running_coordinator(pick)?;
                self.move_member(n, log_first, after)?;
                at_once
            }
            Fault::CrashCoordinators(lasts) => {
                let running = |n: &usize| self.nodes[*n].state == State::Running;
                let all: Vec<usize> = (0..self.nodes.len()).filter(running).collect();
                for n in &all {
                    self.crash_coordinator(*n, false);
                }
                lasting(lasts, Undo::StartCoordinators(all))
            }
            Fault::PauseCoordinator(pick, lasts) => {
                let n = self.running_coordinator(pick)?;
                self.nodes[n].state = State::Paused(Vec::new());
                lasting(lasts, Undo::ResumeCoordinator(n))
            }
            Fault::LeapClock(pick, by) => {
                let n = self.running_coordinator(pick)?;
                self.nodes[n].clock.leap(by);
                self.nodes[n].leapt_at = self.now;
                self.wake_coordinator(n);
                at_once
            }
            Fault::FullDisk(pick, lasts) => {
                let n = self.running_coordinator(pick)?;
                self.nodes[n].disk.fills_up();
                self.nodes[n].disk_upset_at = self.now;
                lasting(lasts, Undo::EmptyDisk(n))
            }
            Fault::SlowDisk(pick, by) => {
                let n = self.running_coordinator(pick)?;
                self.nodes[n].disk.set_stall(by);
                self.nodes[n].disk_upset_at = self.now;
                lasting(by * SLOW_FOR, Undo::FastDisk(n))
            }
            Fault::BrokenSync(pick, restart_after) => {
                let n = self.running_coordinator(pick)?;
                self.nodes[n].disk.break_next_sync();
                self.restart_after = restart_after;
                at_once
            }
            Fault::CrashMachine(pick, lasts) => {
                let machine = self
                    .pick_machine(pick)
                    .filter(|machine| self.is_powered(*machine))?;
                let down = self.power_off(machine);
                lasting(lasts, Undo::PowerOn(machine, down))
            }
            Fault::Isolate(pick, lasts) => {
                let machine = self.pick_machine(pick)?;
                let others = (0..self.machines).map(Machine).filter(|other| *other != machine);
                let cuts = others
                    .flat_map(|other| [(machine, other), (other, machine)])
                    .collect();
                lasting(lasts, self.cut(cuts))
            }
            Fault::CutOneWay(from, to, lasts) => {
                let (from, to) = (self.pick_machine(from)?, self.pick_machine(to)?);
                (from != to).then(|| (lasts, Some(self.cut(vec![(from, to)]))))
            }
            Fault::CutPair(a, b, lasts) => {
                let (a, b) = (self.pick_machine(a)?, self.pick_machine(b)?);
                (a != b).then(|| (lasts, Some(self.cut(vec![(a, b), (b, a)]))))
            }
            Fault::Split(halves, lasts) => {
                let side = |machine: u16| halves >> (machine % 64) & 1;
                let pairs = (0..self.machines).flat_map(|a| (0..self.machines).map(move |b| (a, b)));
                let cuts: Vec<_> = pairs
                    .filter(|(a, b)| side(*a) != side(*b))
                    .map(|(a, b)| (Machine(a), Machine(b)))
                    .collect();
                lasting(lasts, self.cut(cuts))
            }
            Fault::SlowNetwork(by, lasts) => {
                self.network_upset_at = self.now;
                let before = self.network.quality();
                self.network.set_quality(Quality {
                    latency: by,
                    jitter: by,
                    ..before
                });
                lasting(lasts, Undo::Quality(self.usual))
            }
            Fault::Loss(loss_permille, lasts) => {
                self.network_upset_at = self.now;
                let before = self.network.quality();
                self.network.set_quality(Quality {
                    loss_permille,
                    ..before
                });
                lasting(lasts, Undo::Quality(self.usual))
            }
            Fault::ResetConnections(pick) => {
                let machine = self.pick_machine(pick)?;
                self.network_upset_at = self.now;
                for actor in self.actors_on(machine) {
                    self.drop_all(actor);
                }
                at_once
            }
            Fault::Operator(order, pick, group) => {
                let n = self.running_coordinator(pick)?;
                let name = self.groups[group % self.groups.len()].to_string();
                let request = match order {
                    Order::Failover => Request::Failover { name, option: None },
                    Order::Coordinated => {
                        let option = Some("COORDINATED".to_owned());
                        Request::Failover { name, option }
                    }
                    Order::Reset => Request::Reset { pattern: name },
                    Order::TransferLead => Request::Log(LogOrder::Transfer { to: None }),
                };
                self.checks.ordered(order);
                if order == Order::TransferLead {
                    self.operator.transfer_at = Some(self.now);
                }
                self.order(n, request);
                at_once
            }
        }
    }

    /// What an entry of the plan did ends.
    pub(crate) fn undo(&mut self, entry: usize) {
        let Some(undo) = self.active.remove(&entry) else {
            return;
        };
        self.trace.line(self.now, || match self.plan.get(entry) {
            Some(planned) => format!("ends: {:?}", planned.fault),
            None => format!("ends: {undo:?}"),
        });
        match undo {
            Undo::StartServer(n) => {
                if self.may_start(n) && self.is_powered(self.servers[n].machine()) {
                    self.start_server(n);
                }
            }
            Undo::ResumeServer(n) => {
                self.servers[n].upset_at = self.now;
                self.resume(Actor::Server(n));
            }
            Undo::CalmServer(n) => {
                let host = &mut self.servers[n];
                host.spec.config_writable = true;
                host.server.set_config_writable(true);
                host.server.set_obedience(Obedience::Obeys);
                self.set_priority(n, 100);
                self.make_busy(n, false);
            }
            Undo::StartCoordinator(n) => self.start_again(n),
            Undo::StartCoordinators(all) => all.into_iter().for_each(|n| self.start_again(n)),
            Undo::ResumeCoordinator(n) => self.resume(Actor::Coordinator(n)),
            Undo::EmptyDisk(n) => {
                self.nodes[n].disk.has_room();
                self.nodes[n].disk_upset_at = self.now;
            }
            Undo::FastDisk(n) => {
                self.nodes[n].disk.set_stall(Duration::ZERO);
                self.nodes[n].disk_upset_at = self.now;
            }
            Undo::PowerOn(machine, down) => self.power_on(machine, down),
            Undo::Heal(cuts) => {
                self.network_upset_at = self.now;
                for (from, to) in cuts {
                    for (wait, flight) in self.network.heal(from, to) {
                        self.after(wait, Due::Flight(flight));
                    }
                }
            }
            Undo::Quality(quality) => {
                self.network_upset_at = self.now;
                self.network.set_quality(quality);
            }
        }
        self.look_for_majority();
    }

    fn start_again(&mut self, n: usize) {
        if self.nodes[n].state == State::Dead && self.is_powered(self.nodes[n].machine) {
            self.start_coordinator(n);
        }
    }

    /// Everything that lasts ends, and nothing more goes wrong.
    pub fn heal(&mut self) {
        self.healed = true;
        self.armed.clear();
        self.trace.line(self.now, || "all heals".to_owned());
        for entry in self.active.keys().copied().collect::<Vec<_>>() {
            self.undo(entry);
        }
        self.unpowered.clear();
        for n in 0..self.nodes.len() {
            if self.nodes[n].left {
                self.retire(n);
            } else if self.nodes[n].state == State::Dead {
                self.start_coordinator(n);
            }
        }
        for n in 0..self.servers.len() {
            let host = &mut self.servers[n];
            // Nobody was made the primary in its place yet, and perhaps nobody can be.
            if let Some(name) = self.groups.get(host.group)
                && host.gone
            {
                let addr = Addr::from(host.addr);
                self.servers[n].gone = self.newest_primary(name) != Some(addr);
            }
            if self.may_start(n) {
                self.start_server(n);
            }
        }
        self.look_for_majority();
    }

    /// Whether a server is down and may come back.
    fn may_start(&self, n: usize) -> bool {
        self.servers[n].state == State::Dead && !self.servers[n].gone
    }

    /// A coordinator's process ends; the machine goes on and tells whoever was connected.
    pub(crate) fn crash_coordinator(&mut self, n: usize, restarts: bool) {
        self.lose_unsent(Actor::Coordinator(n));
        self.stop_coordinator(n);
        self.reset_all(Actor::Coordinator(n));
        if restarts {
            let wait = self.restart_after;
            self.undo_later(Undo::StartCoordinator(n), wait);
        }
        self.look_for_majority();
    }

    /// What happened to a coordinator ends after a while, though no entry of the plan did it.
    pub(super) fn undo_later(&mut self, undo: Undo, wait: Duration) {
        let n = match &undo {
            Undo::StartCoordinator(n) | Undo::ResumeCoordinator(n) => *n,
            _ => return,
        };
        let entry = usize::MAX - n;
        self.active.insert(entry, undo);
        self.after(wait, Due::Undo(entry));
    }

    /// All connections of a process that is gone are closed by the machine that goes on.
    pub(crate) fn reset_all(&mut self, actor: Actor) {
        for (conn, end) in self.network.ends_of(actor) {
            self.hang_up(conn, end);
        }
    }

    /// All connections of a process that lives break, and both sides learn it.
    fn drop_all(&mut self, actor: Actor) {
        for (conn, end) in self.network.ends_of(actor) {
            self.send(conn, end.other(), Packet::Closed);
            self.send(conn, end, Packet::Closed);
        }
    }

    fn power_off(&mut self, machine: Machine) -> Vec<Actor> {
        let actors = self.actors_on(machine);
        for actor in &actors {
            self.lose_unsent(*actor);
            match *actor {
                Actor::Coordinator(n) if self.nodes[n].state != State::Dead => self.stop_coordinator(n),
                Actor::Server(n) if self.servers[n].state != State::Dead => self.stop_server(n, Data::Stale),
                _ => {}
            }
            // Nobody is told: the other ends hang.
            for (conn, end) in self.network.ends_of(*actor) {
                self.network.close(conn, end);
            }
        }
        self.unpowered.insert(machine);
        self.network_upset_at = self.now;
        actors
    }

    fn power_on(&mut self, machine: Machine, down: Vec<Actor>) {
        self.unpowered.remove(&machine);
        self.network_upset_at = self.now;
        for actor in down {
            match actor {
                Actor::Coordinator(n) if self.nodes[n].state == State::Dead => self.start_coordinator(n),
                Actor::Server(n) if self.may_start(n) => self.start_server(n),
                _ => {}
            }
        }
    }

    /// Whether a machine has power.
    pub(crate) fn is_powered(&self, machine: Machine) -> bool {
        machine.0 < self.machines && !self.unpowered.contains(&machine)
    }

    fn actors_on(&self, machine: Machine) -> Vec<Actor> {
        let nodes = (0..self.nodes.len()).map(Actor::Coordinator);
        let servers = (0..self.servers.len()).map(Actor::Server);
        nodes
            .chain(servers)
            .filter(|actor| self.machine(*actor) == machine)
            .collect()
    }

    fn cut(&mut self, cuts: Vec<(Machine, Machine)>) -> Undo {
        self.network_upset_at = self.now;
        for (from, to) in &cuts {
            self.network.cut(*from, *to);
        }
        Undo::Heal(cuts)
    }

    fn make_busy(&mut self, n: usize, busy: bool) {
        let mut acts = Vec::new();
        self.servers[n].upset_at = self.now;
        self.servers[n].server.set_busy(self.now, busy, &mut acts);
        self.server_acts(n, acts);
    }

    fn set_priority(&mut self, n: usize, priority: u32) {
        let host = &mut self.servers[n];
        host.spec.priority = priority;
        host.server.set_priority(priority);
        host.priority_since = self.now;
    }

    /// A replica leaves its machine for a new one, with its data.
    pub(super) fn move_server(&mut self, n: usize) {
        let ip = self.new_machine().ip();
        self.move_server_to(n, SocketAddr::new(ip, self.servers[n].addr.port()));
    }

    /// The same, to an address that somebody may have had.
    pub(super) fn move_server_to(&mut self, n: usize, addr: SocketAddr) {
        self.stop_server(n, Data::Kept);
        self.reset_all(Actor::Server(n));
        let host = &mut self.servers[n];
        host.addr = addr;
        host.spec.addr = host.addr;
        host.moved = true;
        self.start_server(n);
    }

    /// A machine that nobody has been on.
    pub(super) const fn new_machine(&mut self) -> Machine {
        let machine = Machine(self.machines);
        self.machines += 1;
        machine
    }

    /// What a process that is about to be killed has handed over, and its tasks have not written yet, is lost.
    fn lose_unsent(&mut self, actor: Actor) {
        if !self.unsent.is_zero() {
            let most = u64::try_from(self.unsent.as_micros()).unwrap_or(u64::MAX);
            let unsent = self.strange.random_range(0..=most);
            self.drop_unsent(actor, Duration::from_micros(unsent));
        }
    }

    fn running_server(&self, pick: ServerPick) -> Option<usize> {
        self.pick_server(pick)
            .filter(|n| self.servers[*n].state == State::Running)
    }

    fn running_coordinator(&self, pick: CoordinatorPick) -> Option<usize> {
        self.pick_coordinator(pick)
            .filter(|n| self.nodes[*n].state == State::Running)
    }

    fn pick_server(&self, pick: ServerPick) -> Option<usize> {
        let of = |group: usize| {
            let group = group % self.groups.len();
            (0..self.servers.len()).filter(move |n| self.servers[*n].group == group)
        };
        let is_primary = |group: usize, n: usize| {
            let seen = self.seen_primary(group % self.groups.len());
            seen.is_some_and(|addr| addr == self.servers[n].addr.into())
        };
        match pick {
            ServerPick::Primary(group) => of(group).find(|n| is_primary(group, *n)),
            ServerPick::Replica(group, count) => {
                let replicas: Vec<_> = of(group).filter(|n| !is_primary(group, *n)).collect();
                replicas.get(count % replicas.len().max(1)).copied()
            }
            ServerPick::Candidate(group) => {
                let name = &self.groups[group % self.groups.len()];
                let record = self
                    .leader(name)
                    .and_then(|n| self.nodes[n].core.registry().groups.get(name));
                let candidate = record.and_then(|record| record.failover.as_ref()?.candidate.clone());
                candidate
                    .and_then(|addr| of(group).find(|n| addr == self.servers[*n].addr.into()))
                    .or_else(|| self.pick_server(ServerPick::Replica(group, 0)))
            }
            ServerPick::Nth(n) => Some(n % self.servers.len()),
        }
    }

    fn pick_coordinator(&self, pick: CoordinatorPick) -> Option<usize> {
        match pick {
            CoordinatorPick::Leader(group) => {
                let leader = self.leader(&self.groups[group % self.groups.len()]);
                Some(leader.unwrap_or_else(|| self.nth_of_fleet(group)))
            }
            CoordinatorPick::Nth(n) => Some(self.nth_of_fleet(n)),
        }
    }

    fn pick_machine(&self, pick: MachinePick) -> Option<Machine> {
        match pick {
            MachinePick::Of(server) => self.pick_server(server).map(|n| self.servers[n].machine()),
            MachinePick::With(coordinator) => {
                self.pick_coordinator(coordinator).map(|n| self.nodes[n].machine)
            }
        }
    }
}
