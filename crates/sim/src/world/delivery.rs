//! The ways between processes: what is sent comes to its end, or waits, or hits nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::RngExt;

use super::{Due, State, Waiting, World};
use crate::message::ConnId;
use crate::network::{Actor, End, Flight, Machine, Packet};

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(n) => write!(f, "s{}", n + 1),
            Self::Server(n) => write!(f, "r{}", n + 1),
            Self::Client(n) => write!(f, "c{}", n + 1),
        }
    }
}

impl World {
    /// Sends a packet on its way.
    pub(crate) fn send(&mut self, conn: ConnId, to: End, packet: Packet) {
        if let Some(at) = self.network.carry(self.now, conn, to) {
            let handed_over = self.now;
            let flight = Flight {
                conn,
                to,
                packet,
                handed_over,
            };
            self.at(at, Due::Flight(flight));
        }
    }

    /// What a process handed over within this time is lost with it.
    pub(super) fn drop_unsent(&mut self, actor: Actor, unsent: Duration) {
        let now = self.now;
        let network = &self.network;
        self.agenda.retain(|due| match due {
            Due::Flight(flight) => {
                let sender = network.actor(flight.conn, flight.to.other());
                sender != Some(actor) || now.since(flight.handed_over) >= unsent
            }
            _ => true,
        });
    }

    /// One end closes a connection and tells the other.
    pub(crate) fn hang_up(&mut self, conn: ConnId, end: End) {
        self.send(conn, end.other(), Packet::Closed);
        self.network.close(conn, end);
    }

    /// A packet has come to the end of its way.
    pub(crate) fn arrive(&mut self, flight: Flight) {
        let Some(flight) = self.network.arrive(flight) else {
            return;
        };
        if flight.packet == Packet::Open {
            self.open(flight);
            return;
        }
        let Some((actor, life)) = self.network.holder(flight.conn, flight.to) else {
            // Nobody holds this end any more: the sender learns it, if it still sends.
            if matches!(flight.packet, Packet::Data(_)) && self.answers(flight.conn, flight.to) {
                self.send(flight.conn, flight.to.other(), Packet::Closed);
            }
            return;
        };
        if life != self.life(actor) {
            return;
        }
        match self.state_mut(actor) {
            Some(State::Paused(waiting)) => waiting.push(Waiting::Flight(flight)),
            Some(State::Dead) => {}
            _ => self.deliver(actor, flight),
        }
    }

    /// Whether the machine at an end has power: only then does it say that a connection is unknown.
    fn answers(&self, conn: ConnId, end: End) -> bool {
        match self.network.actor(conn, end) {
            Some(actor) => self.is_powered(self.machine(actor)),
            None => false,
        }
    }

    /// Somebody wants to connect.
    fn open(&mut self, flight: Flight) {
        let Some(to) = self.network.target(flight.conn) else {
            return;
        };
        let Some(machine) = Machine::at(to.ip()).filter(|machine| self.is_powered(*machine)) else {
            return;
        };
        let coordinator = (to.port() == super::COORDINATOR_PORT)
            .then(|| self.nodes.iter().position(|node| node.machine == machine))
            .flatten();
        let server = self.servers.iter().position(|host| host.addr == to);
        let listener = coordinator
            .map(Actor::Coordinator)
            .or_else(|| server.map(Actor::Server));
        let Some(listener) = listener else {
            self.send(flight.conn, End::Dialer, Packet::Refused);
            return;
        };
        match self.state_mut(listener) {
            Some(State::Dead) => self.send(flight.conn, End::Dialer, Packet::Refused),
            Some(State::Paused(waiting)) => {
                waiting.push(Waiting::Flight(flight.clone()));
                self.network.reach(flight.conn);
            }
            _ => self.deliver(listener, flight),
        }
    }

    /// A process that runs gets a packet.
    pub(crate) fn deliver(&mut self, actor: Actor, flight: Flight) {
        let Flight { conn, to, packet, .. } = flight;
        if packet == Packet::Open {
            let Some(dialer) = self.network.actor(conn, End::Dialer) else {
                return;
            };
            self.network.accept(conn, actor, self.life(actor));
            if let Actor::Server(n) = actor {
                let subscribes = matches!(dialer, Actor::Coordinator(_));
                self.server_accepted(n, conn, subscribes);
            }
            self.send(conn, End::Dialer, Packet::Opened);
            return;
        }
        match actor {
            Actor::Coordinator(n) => self.coordinator_received(n, conn, to, packet),
            Actor::Server(n) => self.server_received(n, conn, to, packet),
            Actor::Client(n) => self.writer_received(n, conn, packet),
        }
    }

    /// A connection has been waited for long enough.
    pub(crate) fn connect_timeout(&mut self, conn: ConnId, greeted: bool) {
        let Some((actor, life)) = self.network.holder(conn, End::Dialer) else {
            return;
        };
        if life != self.life(actor) {
            return;
        }
        if let Some(State::Paused(waiting)) = self.state_mut(actor) {
            waiting.push(Waiting::ConnectTimeout(conn, greeted));
            return;
        }
        match actor {
            Actor::Coordinator(n) if self.greets.contains_key(&conn) => {
                if self.network.has_reached(conn) && !greeted {
                    let more = super::GREETING_TIMEOUT - super::CONNECT_TIMEOUT;
                    self.after(more, Due::ConnectTimeout(conn, true));
                } else {
                    self.send(conn, End::Acceptor, Packet::Closed);
                    self.link_lost(n, conn, "timed out");
                }
            }
            Actor::Coordinator(_) | Actor::Client(_) => {}
            Actor::Server(n) => self.server_dial_timeout(n, conn),
        }
    }

    /// A process goes on: all that has waited comes in at once.
    pub(crate) fn resume(&mut self, actor: Actor) {
        let Some(state) = self.state_mut(actor) else {
            return;
        };
        // One that has died meanwhile stays dead.
        let State::Paused(waiting) = state else {
            return;
        };
        let waiting = std::mem::take(waiting);
        *state = State::Running;
        let life = self.life(actor);
        // Of a timer that is due and sockets that have something, either may be seen first.
        if let Actor::Coordinator(n) = actor {
            self.nodes[n].resumed_at = self.now;
            if self.turns.random_range(0..2) == 0 {
                self.wake_coordinator(n);
            }
        }
        for one in self.in_any_order(waiting) {
            let alive = self.life(actor) == life
                && self
                    .state_mut(actor)
                    .is_some_and(|state| *state == State::Running);
            if !alive {
                return;
            }
            match (one, actor) {
                (Waiting::Flight(flight), _) => match flight.packet {
                    Packet::Open => self.open(flight),
                    _ => {
                        if self.network.holder(flight.conn, flight.to).is_some() {
                            self.deliver(actor, flight);
                        }
                    }
                },
                (Waiting::Written(seq), Actor::Coordinator(n)) => self.written(n, life, seq),
                (Waiting::LogWritten(seq), Actor::Coordinator(n)) => self.log_written(n, life, seq),
                (Waiting::Leave(link), Actor::Coordinator(n)) => self.have_left(n, link),
                (Waiting::Written(_) | Waiting::LogWritten(_) | Waiting::Leave(_), _) => {}
                (Waiting::ConnectTimeout(conn, greeted), _) => self.connect_timeout(conn, greeted),
            }
        }
    }

    /// What has waited, in the order in which the process finds it: each connection keeps its order.
    fn in_any_order(&mut self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        if !self.any_order {
            return waiting;
        }
        let mut ranks = BTreeMap::new();
        let mut ranked = Vec::with_capacity(waiting.len());
        for one in waiting {
            let conn = match &one {
                Waiting::Flight(flight) => Some(flight.conn),
                Waiting::Written(_) | Waiting::LogWritten(_) | Waiting::Leave(_) => None,
                Waiting::ConnectTimeout(conn, _) => Some(*conn),
            };
            let rank = *ranks
                .entry(conn)
                .or_insert_with(|| self.turns.random_range(0..u64::MAX));
            ranked.push((rank, one));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, one)| one).collect()
    }

    /// In which life a process is.
    pub(crate) fn life(&self, actor: Actor) -> u32 {
        match actor {
            Actor::Coordinator(n) => self.nodes[n].life,
            Actor::Server(n) => self.servers[n].life,
            Actor::Client(_) => 0,
        }
    }

    /// On which machine it runs.
    pub(crate) fn machine(&self, actor: Actor) -> Machine {
        match actor {
            Actor::Coordinator(n) => self.nodes[n].machine,
            Actor::Server(n) => self.servers[n].machine(),
            Actor::Client(n) => self.writers[n].machine,
        }
    }

    /// Whether it runs; clients always do.
    pub(crate) fn state_mut(&mut self, actor: Actor) -> Option<&mut State> {
        match actor {
            Actor::Coordinator(n) => Some(&mut self.nodes[n].state),
            Actor::Server(n) => Some(&mut self.servers[n].state),
            Actor::Client(_) => None,
        }
    }
}
