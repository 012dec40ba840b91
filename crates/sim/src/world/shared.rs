//! What is otherwise where the coordinators share a log: how they start, what they write, and when their orders leave.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bellwether_core::{
    ClusterId, Command, Coordinator, Input, Instant, LinkId, LogWrite, Registry, RequestId, SentinelId,
};
use bellwether_raft::{AgreementSettings, LogAgreement, Restored, cluster_id, sentinel_id};
use rand::RngExt;

use super::{Due, State, World};
use crate::disk::Written;
use crate::message::Message;
use crate::network::{Actor, End, Packet};
use crate::shared_log::LogSetup;

/// How long an order may wait until the task of its connection comes to write it, in microseconds: as a rule, and when
/// the machine is busy.
const LEAVE_MICROS: [u64; 4] = [60, 300, 300, 20_000];
/// How many orders leave at once for one that does not.
const AT_ONCE: u32 = 3;

/// What all coordinators are told of the log.
#[derive(Clone, Debug)]
pub(crate) struct SharedLog {
    pub(crate) setup: LogSetup,
    /// The members by the lines of the configurations with which the log begins.
    pub(crate) members: BTreeMap<u64, String>,
    /// What the configurations say besides.
    pub(crate) local: Registry,
}

/// Commands that wait to leave on a connection, and until when each may.
pub(crate) type Leaving = VecDeque<(Vec<(RequestId, Command)>, Option<Instant>)>;

/// The name of the group of members.
fn cluster() -> ClusterId {
    cluster_id("simulated")
}

/// By which id a coordinator is a member of the log.
pub(super) fn member(n: usize) -> u64 {
    n as u64 + 1
}

/// By which id a coordinator that shares a log goes as a sentinel.
pub(super) fn sentinel(n: usize) -> SentinelId {
    sentinel_id(cluster(), member(n))
}

impl SharedLog {
    pub(crate) fn new(setup: LogSetup, addresses: impl Iterator<Item = String>, local: Registry) -> Self {
        let members = (0..).map(member).zip(addresses).collect();
        Self {
            setup,
            members,
            local,
        }
    }

    /// A coordinator that begins with what its disk holds of the log.
    ///
    /// # Panics
    /// The log refuses to go on from that, which is a broken promise.
    pub(crate) fn coordinator(
        &self,
        (n, members): (usize, &BTreeMap<u64, String>),
        (seed, settings): (u64, bellwether_core::Settings),
        restored: Restored,
        now: Instant,
    ) -> Coordinator {
        let mut log = bellwether_raft::Settings::new(member(n), cluster(), seed);
        log.election_min *= self.setup.slowness;
        log.election_max *= self.setup.slowness;
        log.heartbeat *= self.setup.slowness;
        log.log_bytes = self.setup.log_bytes;
        log.keep_entries = self.setup.keep_entries;
        let settings_of_log = AgreementSettings {
            log,
            members: members.clone(),
            stale_reads: false,
        };
        match LogAgreement::new(settings_of_log, restored, self.local.clone(), now) {
            Ok(agreement) => {
                let registry = agreement.first_registry();
                Coordinator::with_agreement(settings, registry, now, Box::new(agreement))
            }
            Err(error) => panic!("s{} does not start: {error}", n + 1),
        }
    }
}

impl World {
    /// A coordinator writes to its log.
    pub(crate) fn write_log(&mut self, n: usize, write: LogWrite, usual: Duration) {
        let node = &mut self.nodes[n];
        let (life, seq) = (node.life, write.seq);
        if write.snapshot.is_some() {
            self.coverage.count(match write.reset {
                true => "log-snapshot-from-leader",
                false => "log-snapshot-taken",
            });
        }
        node.disk.begin_log(write);
        let wait = usual + node.disk.stall();
        self.after(wait, Due::LogWritten(n, life, seq));
    }

    /// The disk has ended a write to the log.
    pub(crate) fn log_written(&mut self, n: usize, life: u32, seq: u64) {
        if self.nodes[n].life != life || self.nodes[n].state == State::Dead {
            return;
        }
        match self.nodes[n].disk.end_log(seq) {
            None => {}
            Some(Written::Synced) => {
                self.checks.promised(self.now, n, self.nodes[n].disk.log().hard());
                self.give(n, Input::LogWritten { seq });
            }
            Some(failed) => {
                self.trace.line(self.now, || {
                    format!(
                        "{} stops: it cannot write its log ({failed:?})",
                        Actor::Coordinator(n)
                    )
                });
                self.crash_coordinator(n, true);
            }
        }
    }

    /// Commands of a coordinator leave, or wait for the task of their connection.
    pub(crate) fn leave(
        &mut self,
        n: usize,
        link: LinkId,
        batch: Vec<(RequestId, Command)>,
        until: Option<Instant>,
    ) {
        let Some(conn) = self.nodes[n].links.get(&link).copied() else {
            return;
        };
        let waits = self.nodes[n].leaving.contains_key(&link);
        if !waits && until.is_none() {
            return self.send(conn, End::Acceptor, Packet::Data(Message::Commands(batch)));
        }
        self.nodes[n]
            .leaving
            .entry(link)
            .or_default()
            .push_back((batch, until));
        if waits {
            return;
        }
        let most = if self.turns.random_range(0..=AT_ONCE) > 0 {
            1
        } else {
            LEAVE_MICROS[self.turns.random_range(0..LEAVE_MICROS.len())]
        };
        let wait = Duration::from_micros(self.turns.random_range(0..most));
        self.after(wait, Due::Leave(n, self.nodes[n].life, link));
    }

    /// The task of a connection writes what waits for it. An order that is late does not leave: the connection goes.
    pub(crate) fn have_left(&mut self, n: usize, link: LinkId) {
        let now = self.now;
        let node = &mut self.nodes[n];
        let Some(leaving) = node.leaving.remove(&link) else {
            return;
        };
        let Some(conn) = node.links.get(&link).copied() else {
            return;
        };
        for (batch, until) in leaving {
            if until.is_some_and(|until| self.nodes[n].clock.read(now) >= until) {
                self.trace
                    .line(now, || format!("{}: an order is too late", Actor::Coordinator(n)));
                self.coverage.count("order-too-late");
                self.send(conn, End::Acceptor, Packet::Closed);
                return self.link_lost(n, conn, "an order would have left too late");
            }
            if until.is_some() {
                self.check_alone(n, "gives an order");
            }
            self.send(conn, End::Acceptor, Packet::Data(Message::Commands(batch)));
        }
    }
}
