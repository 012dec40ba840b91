//! A client that writes, as a careful application does: it asks a coordinator where the primary is, checks the role
//! of what it finds there, writes, and starts over when anything is odd. It remembers what was acknowledged.

use std::time::Duration;

use rand::RngExt;

use super::{COORDINATOR_PORT, Node, State, World};
use crate::message::{ConnId, Message, WriteId};
use crate::network::{Actor, End, Machine, Packet};
use crate::time::Time;

/// How long it waits for any answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it waits before it starts over.
const PAUSE_MILLIS: std::ops::Range<u64> = 20..80;

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The time to start over.
    Idle,
    /// A coordinator's answer.
    Asking(ConnId),
    /// The server's role.
    Checking(ConnId),
    /// The time for the next write.
    Ready(ConnId),
    /// The acknowledgement of a write.
    Writing(ConnId, WriteId),
}

/// One client.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) machine: Machine,
    pub(crate) group: usize,
    every: Duration,
    step: Step,
    pub(crate) wake_at: Time,
    /// When a write of it was last acknowledged.
    pub(crate) written_at: Option<Time>,
    /// Since when it could have written again: since its last write, or since there has been a majority of coordinators
    /// to see to it, whichever is later. `None` as long as there is none.
    pub(crate) waits_since: Option<Time>,
    /// The longest time between two acknowledged writes in which there was a majority of coordinators throughout.
    pub(crate) longest_gap: Duration,
    /// What was acknowledged, in order.
    pub(crate) acknowledged: Vec<(WriteId, Time)>,
}

impl Writer {
    pub(crate) const fn new(machine: Machine, group: usize, every: Duration) -> Self {
        Self {
            machine,
            group,
            every,
            step: Step::Idle,
            wake_at: Time::ZERO,
            written_at: None,
            waits_since: None,
            longest_gap: Duration::ZERO,
            acknowledged: Vec::new(),
        }
    }

    /// A write was acknowledged, or there is nobody any more who could see to it that one will be.
    fn stops_waiting(&mut self, now: Time) {
        if let Some(since) = self.waits_since.take() {
            self.longest_gap = self.longest_gap.max(now.since(since));
        }
    }

    const fn conn(&self) -> Option<ConnId> {
        match self.step {
            Step::Idle => None,
            Step::Asking(conn) | Step::Checking(conn) | Step::Ready(conn) | Step::Writing(conn, _) => {
                Some(conn)
            }
        }
    }
}

impl World {
    /// Its patience has ended, or the time for the next write has come.
    pub(crate) fn wake_writer(&mut self, c: usize) {
        match self.writers[c].step {
            Step::Idle => self.ask_coordinator(c),
            Step::Ready(conn) => {
                self.writes += 1;
                let write = WriteId(self.writes);
                self.send(conn, End::Acceptor, Packet::Data(Message::Write(write)));
                self.wait(c, Step::Writing(conn, write), PATIENCE);
            }
            Step::Asking(_) | Step::Checking(_) | Step::Writing(..) => self.start_over(c),
        }
    }

    fn wait(&mut self, c: usize, step: Step, how_long: Duration) {
        let now = self.now;
        let writer = &mut self.writers[c];
        writer.step = step;
        writer.wake_at = now + how_long;
    }

    fn ask_coordinator(&mut self, c: usize) {
        let count = self.fleet().count().max(1);
        let n = self.rng.random_range(0..count);
        let n = self.nth_of_fleet(n);
        let to = std::net::SocketAddr::new(self.nodes[n].machine.ip(), COORDINATOR_PORT);
        let conn = self.dial(c, to);
        self.wait(c, Step::Asking(conn), PATIENCE);
    }

    fn dial(&mut self, c: usize, to: std::net::SocketAddr) -> ConnId {
        let conn = self
            .network
            .begin(Actor::Client(c), 0, self.writers[c].machine, to);
        self.send(conn, End::Acceptor, Packet::Open);
        conn
    }

    fn start_over(&mut self, c: usize) {
        if let Some(conn) = self.writers[c].conn() {
            self.hang_up(conn, End::Dialer);
        }
        let pause = Duration::from_millis(self.rng.random_range(PAUSE_MILLIS));
        self.wait(c, Step::Idle, pause);
    }

    /// Something has come for a client.
    pub(crate) fn writer_received(&mut self, c: usize, conn: ConnId, packet: Packet) {
        let step = self.writers[c].step;
        if self.writers[c].conn() != Some(conn) {
            self.hang_up(conn, End::Dialer);
            return;
        }
        match (packet, step) {
            (Packet::Opened, Step::Asking(_)) => {
                let group = self.groups[self.writers[c].group].clone();
                self.send(conn, End::Acceptor, Packet::Data(Message::AskPrimary(group)));
            }
            (Packet::Opened, Step::Checking(_)) => {
                self.send(conn, End::Acceptor, Packet::Data(Message::AskRole));
            }
            (Packet::Data(Message::PrimaryIs(Some((host, port)))), Step::Asking(_)) => {
                self.hang_up(conn, End::Dialer);
                match host.parse() {
                    Ok(ip) => {
                        let conn = self.dial(c, std::net::SocketAddr::new(ip, port));
                        self.wait(c, Step::Checking(conn), PATIENCE);
                    }
                    Err(_) => self.start_over(c),
                }
            }
            (Packet::Data(Message::Role { primary: true }), Step::Checking(_)) => {
                self.wait(c, Step::Ready(conn), Duration::ZERO);
            }
            (Packet::Data(Message::Written(write)), Step::Writing(_, meant)) if write == meant => {
                self.acknowledged(c, write);
                let every = self.writers[c].every;
                self.wait(c, Step::Ready(conn), every);
            }
            (Packet::Closed, _) => {
                self.network.close(conn, End::Dialer);
                self.start_over(c);
            }
            _ => self.start_over(c),
        }
    }

    fn acknowledged(&mut self, c: usize, write: WriteId) {
        let now = self.now;
        let writer = &mut self.writers[c];
        writer.stops_waiting(now);
        writer.waits_since = self.has_majority.then_some(now);
        writer.written_at = Some(now);
        writer.acknowledged.push((write, now));
    }

    /// Looks whether a majority of the coordinators runs and reaches each other. Without one nobody may promote anything,
    /// so that time is not held against them; and what they had begun before has to begin anew.
    pub(crate) fn look_for_majority(&mut self) {
        let is_there = self.is_majority_there();
        let had_majority = std::mem::replace(&mut self.has_majority, is_there);
        if had_majority && !is_there {
            self.coverage.count("majority-lost");
        }
        let now = self.now;
        for writer in &mut self.writers {
            match (had_majority, self.has_majority) {
                (true, false) => writer.stops_waiting(now),
                (false, true) => writer.waits_since = writer.written_at.map(|_| now),
                _ => {}
            }
        }
    }

    fn is_majority_there(&self) -> bool {
        let runs = |node: &&Node| node.state == State::Running && self.is_powered(node.machine);
        let members = self.fleet().count();
        let fleet = self.fleet().map(|(_, node)| node);
        let running: Vec<Machine> = fleet.filter(runs).map(|node| node.machine).collect();
        let cuts = self.network.cuts();
        let reach = |a: Machine, b: Machine| !cuts.contains(&(a, b)) && !cuts.contains(&(b, a));
        running.iter().any(|a| {
            let reached = running.iter().filter(|b| *b == a || reach(*a, **b));
            reached.count() > members / 2
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{CoordinatorPick, Data, Fault, Planned, ServerPick, When};
    use crate::plan::{Profile, Setup};
    use crate::shared_log::Coordination;

    /// The longest gap, and the longest time between two writes, of a client whose primary is dead for 15 s while
    /// so many coordinators are dead for the first 5 s of that.
    fn gaps(dead_coordinators: usize) -> (Duration, Duration) {
        let (setup, _) = Setup::of(8, Profile::Handover, Coordination::Vote);
        let setup = Setup {
            coordinators: 3,
            ranks: vec![0, 1, 2],
            quorum: 2,
            groups: 1,
            servers: 2,
            down_after: Duration::from_secs(1),
            introduced: true,
            no_priority: None,
            writers: 1,
            ..setup
        };
        let at = |secs: u64| When::At(Time::from_millis(secs * 1_000));
        let dead = (0..dead_coordinators).map(|n| Planned {
            when: at(9),
            fault: Fault::CrashCoordinator(CoordinatorPick::Nth(n), Duration::from_secs(6)),
        });
        let primary = Planned {
            when: at(10),
            fault: Fault::CrashServer(ServerPick::Nth(0), Data::Kept, Duration::from_secs(15)),
        };
        let mut world = World::new(&setup, dead.chain([primary]).collect(), false);
        assert!(
            world.advance(Time::from_millis(30_000)),
            "{:?}",
            world.violation()
        );
        let writer = &world.writers[0];
        let times = writer.acknowledged.iter().map(|(_, at)| *at);
        let real = times.clone().zip(times.skip(1)).map(|(a, b)| b.since(a)).max();
        (writer.longest_gap, real.expect("it has written"))
    }

    #[test]
    fn time_without_a_majority_is_no_gap() {
        let (counted, real) = gaps(1);
        assert_eq!(counted, real, "two of three see to it");
        let (counted, real) = gaps(2);
        assert!(real > Duration::from_secs(6), "{real:?}");
        assert!(counted < Duration::from_secs(3), "{counted:?}");
        assert!(counted > Duration::from_millis(500), "{counted:?}");
    }
}
