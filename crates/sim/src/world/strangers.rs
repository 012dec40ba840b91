//! Addresses that are given up, and strangers who come up there.
//!
//! A stranger may come to any address that nobody of the group follows any more, nor would after a restart or by an order that
//! is on its way, and that most coordinators do not name as the primary: before that, the replicas themselves would take its
//! data, and no coordinator could help it.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{Addr, Command, GroupName, Pong, Registry, Reply, RequestId, SentinelId};
use rand::RngExt;

use super::{Due, Node, State, Waiting, World};
use crate::check::Invariant;
use crate::fault::{Data, Stranger};
use crate::message::{ConnId, Entry, Message, WriteId};
use crate::network::{Actor, End, Machine, Packet};
use crate::redis::{Obedience, Server, ServerSpec};

/// The writes of strangers are numbered from here on.
const FOREIGN_WRITES: u32 = 1 << 31;
/// How many of them one has: by its offset, it would be the best of all replicas.
const FOREIGN_COUNT: std::ops::Range<u32> = 1..4_000;
/// How long a stranger waits for an address that is not free yet.
const WAIT: Duration = Duration::from_millis(500);
/// The group of those that belong to none.
pub(super) const NO_GROUP: usize = usize::MAX;

impl World {
    /// A server dies and never comes back; one of each group at most, so that another is left.
    pub(super) fn goes_for_good(&mut self, n: usize) -> Option<()> {
        let group = self.servers[n].group;
        let others = || self.servers.iter().filter(|host| host.group == group);
        if group == NO_GROUP || others().count() < 2 || others().any(|host| host.gone) {
            return None;
        }
        self.stop_server(n, Data::Kept);
        self.reset_all(Actor::Server(n));
        self.servers[n].gone = true;
        Some(())
    }

    /// A server gives its address up, and a stranger will come up there.
    pub(super) fn is_replaced(
        &mut self,
        n: usize,
        moves: bool,
        stranger: Stranger,
        after: Duration,
    ) -> Option<()> {
        let (addr, group) = (self.servers[n].addr, self.servers[n].group);
        if group == NO_GROUP {
            return None;
        }
        if moves && !self.servers[n].server.is_primary() {
            self.move_server(n);
        } else {
            self.goes_for_good(n)?;
        }
        self.after(after, Due::Stranger(stranger, addr, group));
        Some(())
    }

    /// A coordinator moves to another machine with its state, and its address goes to one of another fleet.
    pub(super) fn coordinator_is_replaced(&mut self, n: usize, after: Duration) {
        self.crash_coordinator(n, false);
        let machine = self.new_machine();
        let old = std::mem::replace(&mut self.nodes[n].machine, machine);
        self.start_coordinator(n);
        self.after(after, Due::StrangeCoordinator(old));
    }

    /// The time of a stranger has come, if the address is free.
    pub(super) fn stranger_comes(&mut self, stranger: Stranger, addr: SocketAddr, group: usize) {
        if self.healed {
            return;
        }
        let is_followed = self.servers.iter().filter(|host| !host.gone).any(|host| {
            host.server.follows() == Some(addr)
                || host.server.configured() == Some(addr)
                || host.remains.as_ref().and_then(crate::redis::Remains::follows) == Some(addr)
        });
        let addr_named = Some(Addr::from(addr));
        let newest = self.newest_primary(&self.groups[group]);
        let is_primary = self.seen_primary(group) == addr_named
            || newest == addr_named
            || self.has_taken_over(&self.groups[group], addr);
        let taken = self.servers.iter().any(|host| host.addr == addr && !host.gone);
        if is_followed || is_primary || taken || self.is_ordered_to_follow(addr) {
            self.after(WAIT, Due::Stranger(stranger, addr, group));
            return;
        }
        for host in self.servers.iter_mut().filter(|host| host.addr == addr) {
            // Another machine has the address now; the one that is gone is to be found nowhere.
            host.addr.set_ip(Machine(u16::MAX).ip());
        }
        let of_other_group = |n: &usize| {
            let host = &self.servers[*n];
            host.group != group
                && host.group != NO_GROUP
                && host.state == State::Running
                && !host.server.is_primary()
        };
        let other = (0..self.servers.len()).find(of_other_group);
        let n = match (stranger, other) {
            (Stranger::OfOtherGroup, Some(n)) => {
                self.move_server_to(n, addr);
                self.coverage.count("stranger-of-other-group");
                n
            }
            _ => {
                self.coverage.count("stranger");
                self.add_stranger(stranger, addr, group)
            }
        };
        self.trace.line(self.now, || {
            format!("{} is at {addr} now: {stranger:?}", Actor::Server(n))
        });
    }

    /// Whether an order to follow whoever is at an address has left a coordinator and has not come through yet: it is on its
    /// way, or waits for a cut to heal or for a server that hangs.
    fn is_ordered_to_follow(&self, addr: SocketAddr) -> bool {
        let is_meant = |(host, port): &(String, u16)| *port == addr.port() && *host == addr.ip().to_string();
        let orders = |batch: &[(RequestId, Command)]| {
            batch.iter().any(
                |(_, command)| matches!(command, Command::Reconfigure { follow: Some(to) } if is_meant(to)),
            )
        };
        let on_the_way = self.agenda.iter().filter_map(|due| match due {
            Due::Flight(flight) => Some(&flight.packet),
            _ => None,
        });
        let at_servers = self.servers.iter().flat_map(|host| match &host.state {
            State::Paused(waiting) => waiting.as_slice(),
            _ => &[],
        });
        let at_servers = at_servers.filter_map(|waiting| match waiting {
            Waiting::Flight(flight) => Some(&flight.packet),
            _ => None,
        });
        let mut packets = on_the_way.chain(at_servers).chain(self.network.stalled());
        let mut leaving = self.nodes.iter().flat_map(|node| node.leaving.values().flatten());
        leaving.any(|(batch, _)| orders(batch))
            || packets.any(|packet| matches!(packet, Packet::Data(Message::Commands(batch)) if orders(batch)))
    }

    fn add_stranger(&mut self, stranger: Stranger, addr: SocketAddr, group: usize) -> usize {
        let spec = ServerSpec {
            addr,
            run_seed: self.strange.random_range(0..u64::MAX),
            follows: None,
            priority: 100,
            ..self.servers[0].spec.clone()
        };
        let mut server = Server::start(spec.clone(), None, self.now);
        let first = FOREIGN_WRITES + self.strange.random_range(0..FOREIGN_WRITES / 2);
        let count = self.strange.random_range(FOREIGN_COUNT);
        let entries: Vec<Entry> = (first..first + count).map(|n| Entry::Write(WriteId(n))).collect();
        server.fill(&entries);
        if stranger == Stranger::PrimaryThatRefuses {
            let words = "NOAUTH Authentication required.".to_owned();
            server.set_obedience(Obedience::Refuses(words));
        }
        let n = self.add_host(NO_GROUP, spec, server);
        self.servers[n].stranger = Some((stranger, group));
        n
    }

    /// One of another fleet comes up where a coordinator was.
    pub(super) fn strange_coordinator_comes(&mut self, machine: Machine) {
        if self.healed {
            return;
        }
        let n = self.nodes.len();
        let id = format!("{:040x}", self.strange.random_range(u64::MAX / 2..u64::MAX));
        let Ok(id) = SentinelId::new(&id) else { return };
        let registry = Registry::new(id);
        let seed = self.strange.random_range(0..u64::MAX);
        self.checks.joins();
        self.checks.started(self.now, n, &registry);
        self.nodes
            .push(Node::new((n, machine), registry, None, self.now, (seed, 0)));
        self.coverage.count("strange-coordinator");
        self.trace.line(self.now, || {
            format!("{} is at {} now, a stranger", Actor::Coordinator(n), machine.ip())
        });
    }

    /// What a stranger that is no server answers. `false` for one that is.
    pub(super) fn stranger_answers(&mut self, n: usize, conn: ConnId, end: End, packet: &Packet) -> bool {
        let Some((stranger, _)) = self.servers[n].stranger else {
            return false;
        };
        if matches!(
            stranger,
            Stranger::Primary | Stranger::PrimaryThatRefuses | Stranger::OfOtherGroup
        ) {
            return false;
        }
        match packet {
            Packet::Closed => self.network.close(conn, end),
            Packet::Data(_) if stranger == Stranger::HangsUp => self.hang_up(conn, end),
            Packet::Data(Message::Commands(batch)) => {
                for (request, command) in batch {
                    let message = Message::Reply(*request, senseless(stranger, command));
                    self.send(conn, end.other(), Packet::Data(message));
                }
            }
            Packet::Data(Message::Sync { .. }) => {
                self.send(conn, end.other(), Packet::Data(Message::SyncRefused));
            }
            Packet::Data(_) => {
                let words = "ERR unknown command".to_owned();
                self.send(conn, end.other(), Packet::Data(Message::Refused(words)));
            }
            _ => {}
        }
        true
    }

    /// A server's data have become others: a stranger that has taken those of the group belongs to it, and nobody of the
    /// group may ever have those of a stranger.
    pub(super) fn look_at_data(&mut self, n: usize) {
        let host = &mut self.servers[n];
        let replid = host.server.replid();
        if std::mem::replace(&mut host.replid, replid) == replid {
            return;
        }
        let is_foreign = |entry: &Entry| matches!(entry, Entry::Write(write) if write.0 >= FOREIGN_WRITES);
        let foreign = host.server.entries().iter().any(is_foreign);
        match host.stranger {
            // It may as well have gone back to what it had saved before.
            Some((_, group)) => {
                if foreign {
                    host.group = NO_GROUP;
                } else if host.server.follows().is_some() && host.group != group {
                    host.group = group;
                    self.coverage.count("stranger-taken-in");
                }
            }
            None if foreign && !self.taken_for_ours => {
                let what = format!("{} has the data of a stranger", Actor::Server(n));
                self.checks.broken(self.now, Invariant::KeepsStrangersOut, what);
            }
            None => {}
        }
    }

    /// Whether what is sent on a connection to an address comes to the server that has it now. One that had it before is
    /// gone, and the news of that may be on its way: the order is lost, and what was known of that server still holds.
    pub(super) fn is_with_present_server(&self, conn: ConnId, to: SocketAddr) -> bool {
        match self.network.actor(conn, End::Acceptor) {
            Some(Actor::Server(n)) => self.servers[n].addr == to && !self.servers[n].gone,
            _ => true,
        }
    }

    /// A coordinator orders the server at `to` to take over for a group, or tells it to follow another one.
    pub(super) fn check_stranger(&mut self, n: usize, to: SocketAddr, follow: Option<SocketAddr>) {
        let group_of = |addr| {
            let host = self.servers.iter().find(|host| host.addr == addr);
            host.filter(|host| !matches!(host.stranger, Some((stranger, _)) if !stranger.obeys()))
                .map(|host| host.group)
        };
        let what = match (group_of(to), follow) {
            (Some(NO_GROUP), None) if !self.knows_lineage(n, to) => {
                self.belongs_from_now_on(to);
                return;
            }
            (Some(NO_GROUP), None) => format!("orders {to}, a stranger, to be a primary"),
            (Some(group), None) => {
                let records = &self.nodes[n].core.registry().groups;
                let chosen = records.iter().find(|(_, record)| {
                    let candidate = record.failover.as_ref().and_then(|run| run.candidate.as_ref());
                    candidate == Some(&Addr::from(to))
                });
                match chosen {
                    Some((name, _)) if *name != self.groups[group] => {
                        format!("orders {to} to be the primary of {name}, of which it is none")
                    }
                    _ => return,
                }
            }
            // What one stranger is told about another is no matter of ours.
            (Some(NO_GROUP), Some(_)) => return,
            (_, Some(primary)) if group_of(primary) == Some(NO_GROUP) => {
                format!("orders {to} to follow {primary}, a stranger")
            }
            (Some(group), Some(primary)) => match group_of(primary) {
                Some(other) if other != group => {
                    format!("orders {to} to follow {primary}, the primary of another group")
                }
                _ => return,
            },
            (None, _) => return,
        };
        let what = format!("{} {what}", Actor::Coordinator(n));
        self.checks.broken(self.now, Invariant::KeepsStrangersOut, what);
    }

    /// Coordinator `n` has chosen the server at `addr` to take over. One that is a primary already may be taken at its word
    /// before the order has left: then there is no order at which to look.
    pub(super) fn chooses_stranger(&mut self, n: usize, addr: SocketAddr) {
        let hosts = || self.servers.iter().filter(|host| host.addr == addr);
        let is_primary = hosts().any(|host| host.group == NO_GROUP && host.server.is_primary());
        let candidate = Addr::from(addr);
        let mut records = self.nodes[n].core.registry().groups.values();
        let is_replica = records.any(|record| record.replicas.contains(&candidate));
        if is_primary && is_replica && !self.knows_lineage(n, addr) {
            self.belongs_from_now_on(addr);
        }
    }

    /// A stranger of which nobody can know that it is one counts as one of ours: what it does to the data is no fault of
    /// the coordinator that took it.
    fn belongs_from_now_on(&mut self, addr: SocketAddr) {
        let hosts = self.servers.iter_mut().filter(|host| host.addr == addr);
        for host in hosts {
            if let Some((_, group)) = host.stranger.take() {
                host.group = group;
                host.spec.config_writable = true;
                host.server.set_obedience(Obedience::Obeys);
                self.taken_for_ours = true;
                self.coverage.count("stranger-unknowable");
            }
        }
    }

    /// Whether a coordinator has heard, since it was started, of the data of the primary that one at this address would
    /// replace: else it cannot know whose data are right.
    fn knows_lineage(&self, n: usize, candidate: SocketAddr) -> bool {
        let candidate = Addr::from(candidate);
        let mut records = self.nodes[n].core.registry().groups.values();
        let record = records.find(|record| record.replicas.contains(&candidate));
        record.is_some_and(|record| self.checks.knows_server(n, &record.primary))
    }

    /// Whether a server at this address has become a primary as the log wants it, which nobody may have told yet: the news
    /// can be in the log of coordinators that are all dead, and counts as soon as they are back.
    fn has_taken_over(&self, name: &GroupName, addr: SocketAddr) -> bool {
        let failover = self
            .checks
            .newest_record(name)
            .and_then(|record| record.failover.as_ref());
        let is_candidate = failover.is_some_and(|run| run.candidate == Some(addr.into()));
        let mut hosts = self.servers.iter().filter(|host| host.addr == addr);
        is_candidate && hosts.any(|host| host.server.is_primary())
    }

    /// The primary of a group by the newest configuration that any coordinator has, or had before it died and has to learn
    /// from the log again.
    pub(super) fn newest_primary(&self, name: &GroupName) -> Option<Addr> {
        if let Some(record) = self.checks.newest_record(name) {
            return Some(record.primary.clone());
        }
        let records = self
            .nodes
            .iter()
            .filter_map(|node| node.core.registry().groups.get(name));
        let newest = records.max_by_key(|record| record.config_epoch)?;
        Some(newest.primary.clone())
    }
}

impl Stranger {
    /// Whether it would be a primary, or follow one, if it were told.
    const fn obeys(self) -> bool {
        matches!(
            self,
            Self::Primary | Self::PrimaryThatRefuses | Self::OfOtherGroup
        )
    }
}

fn senseless(stranger: Stranger, command: &Command) -> Reply {
    let words = "ERR unknown command".to_owned();
    match (stranger, command) {
        (Stranger::AnswersErrors, Command::Ping) => Reply::Ping(Pong::Refused(words)),
        (Stranger::AnswersErrors, _) => Reply::Refused(words),
        _ => Reply::Odd("an integer".to_owned()),
    }
}
