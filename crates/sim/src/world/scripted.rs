//! What a script may do to the world and see of it: faults at once and without an end of their own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bellwether_core::{Event, Level, Request};

use super::{Due, State, World};
use crate::fault::{Data, Order};
use crate::network::{Actor, Machine};
use crate::scenario::Who;
use crate::time::Time;

impl World {
    /// From now on, events that are published are kept.
    pub(crate) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// Those kept since the last time.
    pub(crate) fn take_recorded(&mut self) -> Vec<(Time, usize, Event)> {
        self.recorded.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A coordinator that has done nothing yet begins at this time.
    pub(crate) fn begin_coordinator_at(&mut self, n: usize, at: Time) {
        self.nodes[n].begin_at(at);
    }

    /// Each write of a coordinator takes this much longer.
    pub(crate) fn slow_disk(&mut self, n: usize, by: Duration) {
        self.nodes[n].disk.set_stall(by);
        self.nodes[n].disk_upset_at = self.now;
    }

    /// Keeps an event, if that is wanted and subscribers get it.
    pub(crate) fn keep_event(&mut self, n: usize, event: &Event) {
        let now = self.now;
        if let Some(recorded) = &mut self.recorded
            && event.kind.level() > Level::Debug
        {
            recorded.push((now, n, event.clone()));
        }
    }

    /// Lets time go by in which nothing happens.
    pub(crate) fn idle_until(&mut self, until: Time) {
        self.now = self.now.max(until);
    }

    /// A server's process is killed; its data are on disk.
    pub(crate) fn kill_server(&mut self, n: usize) {
        self.stop_server(n, Data::Kept);
        self.reset_all(Actor::Server(n));
    }

    /// A coordinator's process is killed. What it handed over to be sent within this time before its end is lost: each
    /// connection is written by a task of its own, which may not have had its turn.
    pub(crate) fn kill_coordinator(&mut self, n: usize, unsent: Duration) {
        self.drop_unsent(Actor::Coordinator(n), unsent);
        self.crash_coordinator(n, false);
    }

    /// It is started again, with its data or without.
    pub(crate) fn restart_server(&mut self, n: usize, empty: bool) {
        if empty {
            let host = &mut self.servers[n];
            host.remains = host.remains.take().map(crate::redis::Remains::without_data);
        }
        self.start_server(n);
    }

    /// A process stops, and what comes in waits.
    pub(crate) fn pause(&mut self, who: Who) {
        match who {
            Who::Server(n) => {
                self.servers[n].state = State::Paused(Vec::new());
                self.servers[n].upset_at = self.now;
            }
            Who::Coordinator(n) => self.nodes[n].state = State::Paused(Vec::new()),
            Who::Leader => {}
        }
    }

    /// It goes on.
    pub(crate) fn go_on(&mut self, who: Who) {
        match who {
            Who::Server(n) => {
                self.servers[n].upset_at = self.now;
                self.resume(Actor::Server(n));
            }
            Who::Coordinator(n) => self.resume(Actor::Coordinator(n)),
            Who::Leader => {}
        }
    }

    /// What these send to those does not arrive until all cuts are healed.
    pub(crate) fn cut_ways(&mut self, pairs: &[(Who, Who)]) {
        self.network_upset_at = self.now;
        for (from, to) in pairs {
            if let (Some(from), Some(to)) = (self.machine_of(*from), self.machine_of(*to)) {
                self.network.cut(from, to);
            }
        }
    }

    /// All cuts end.
    pub(crate) fn heal_ways(&mut self) {
        self.network_upset_at = self.now;
        while let Some((from, to)) = self.network.cuts().first().copied() {
            for (wait, flight) in self.network.heal(from, to) {
                self.after(wait, Due::Flight(flight));
            }
        }
    }

    /// An operator orders a failover of the first group.
    pub(crate) fn order_failover(&mut self, n: usize, coordinated: bool) {
        let (order, option) = if coordinated {
            (Order::Coordinated, Some("COORDINATED".to_owned()))
        } else {
            (Order::Failover, None)
        };
        let name = self.groups[0].to_string();
        self.checks.ordered(order);
        self.order(n, Request::Failover { name, option });
    }

    /// Where a server is.
    pub(crate) fn server_addr(&self, n: usize) -> SocketAddr {
        self.servers[n].addr
    }

    /// Who is at an address.
    pub(crate) fn server_at(&self, addr: SocketAddr) -> Option<usize> {
        self.servers.iter().position(|host| host.addr == addr)
    }

    /// Where a coordinator is, and its id.
    pub(crate) fn coordinator_names(&self, n: usize) -> (IpAddr, String) {
        let node = &self.nodes[n];
        (node.machine.ip(), node.core.registry().my_id.to_string())
    }

    /// Whom a server follows, and whether it is in touch.
    pub(crate) fn server_role(&self, n: usize) -> (Option<SocketAddr>, bool) {
        let server = &self.servers[n].server;
        (server.follows(), server.link_up())
    }

    /// What a coordinator tells clients of the first group, and how many replicas and peers it knows.
    pub(crate) fn view_of(&self, n: usize) -> (Option<SocketAddr>, usize, usize) {
        let node = &self.nodes[n];
        let name = &self.groups[0];
        let told = node.book.get(name);
        let primary = told.and_then(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, *port)));
        match node.core.registry().groups.get(name) {
            Some(record) => (primary, record.replicas.len(), record.sentinels.len()),
            None => (primary, 0, 0),
        }
    }

    fn machine_of(&self, who: Who) -> Option<Machine> {
        match who {
            Who::Server(n) => Some(self.servers[n].machine()),
            Who::Coordinator(n) => Some(self.nodes[n].machine),
            Who::Leader => None,
        }
    }
}
