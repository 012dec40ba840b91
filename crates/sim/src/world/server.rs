//! A modelled server on its machine: what it wants of the world is carried out here.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::{Due, State, World};
use crate::fault::{Data, Stranger};
use crate::message::{ConnId, ReplId};
use crate::network::{Actor, End, Machine, Packet};
use crate::redis::{Act, Remains, Server, ServerSpec};
use crate::time::Time;

/// How often a server's data are saved.
const SAVE_MILLIS: std::ops::Range<u64> = 1_000..8_000;
/// How long a replica waits for a connection to its primary.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) group: usize,
    /// It never comes back.
    pub(crate) gone: bool,
    /// It came up at an address that a server of this group had given up.
    pub(crate) stranger: Option<(Stranger, usize)>,
    pub(crate) addr: SocketAddr,
    pub(crate) spec: ServerSpec,
    pub(crate) server: Server,
    /// What an earlier life has left.
    pub(crate) remains: Option<Remains>,
    pub(crate) state: State,
    pub(crate) life: u32,
    pub(crate) wake_at: Option<Time>,
    /// It has left the address that all knew.
    pub(crate) moved: bool,
    /// Since when it has had its present priority.
    pub(crate) priority_since: Time,
    /// When it last stopped, came back, or changed whether it is a primary and busy.
    pub(crate) upset_at: Time,
    /// Which coordinator last told it to hand over, and when.
    pub(crate) handing_over: Option<(usize, Time)>,
    was: (bool, bool),
    /// The id of its history when it was last looked at.
    pub(super) replid: ReplId,
    /// The connection to its primary that does not stand yet.
    dialling: Option<(ConnId, u64)>,
}

impl Host {
    pub(crate) fn machine(&self) -> Machine {
        Machine::at(self.addr.ip()).unwrap_or(Machine(u16::MAX))
    }

    /// Whether it has run, answered and been what it is since then.
    pub(crate) fn is_well_since(&self, since: Time) -> bool {
        self.state == State::Running && !self.server.is_busy() && self.upset_at < since
    }
}

impl World {
    pub(crate) fn add_server(&mut self, group: usize, spec: ServerSpec) {
        let server = Server::start(spec.clone(), None, self.now);
        self.add_host(group, spec, server);
    }

    /// A server that has just been started for the first time. Its number.
    pub(super) fn add_host(&mut self, group: usize, spec: ServerSpec, server: Server) -> usize {
        let n = self.servers.len();
        self.servers.push(Host {
            group,
            gone: false,
            stranger: None,
            replid: server.replid(),
            addr: spec.addr,
            spec,
            server,
            remains: None,
            state: State::Running,
            life: 0,
            wake_at: None,
            moved: false,
            priority_since: self.now,
            upset_at: self.now,
            handing_over: None,
            was: (false, false),
            dialling: None,
        });
        self.server_acts(n, Vec::new());
        self.plan_save(n);
        n
    }

    fn plan_save(&mut self, n: usize) {
        let wait = Duration::from_millis(self.rng.random_range(SAVE_MILLIS));
        self.after(wait, Due::Save(n));
    }

    pub(crate) fn save(&mut self, n: usize) {
        if self.servers[n].state == State::Running {
            self.servers[n].server.save();
        }
        self.plan_save(n);
    }

    /// The process is started, from what an earlier life left.
    pub(crate) fn start_server(&mut self, n: usize) {
        let host = &mut self.servers[n];
        host.server = Server::start(host.spec.clone(), host.remains.take(), self.now);
        host.state = State::Running;
        host.life += 1;
        host.upset_at = self.now;
        host.dialling = None;
        self.trace
            .line(self.now, || format!("{} starts", Actor::Server(n)));
        self.server_acts(n, Vec::new());
    }

    /// The process is gone.
    pub(crate) fn stop_server(&mut self, n: usize, data: Data) {
        let host = &mut self.servers[n];
        if data == Data::Kept {
            host.server.save();
        }
        let remains = host.server.remains();
        host.remains = Some(match data {
            Data::Kept | Data::Stale => remains,
            Data::Lost => remains.without_data(),
        });
        host.upset_at = self.now;
        host.state = State::Dead;
        host.wake_at = None;
        host.dialling = None;
    }

    pub(crate) fn server_accepted(&mut self, n: usize, conn: ConnId, coordinator: bool) {
        self.servers[n].server.accepted(conn, coordinator);
        self.server_acts(n, Vec::new());
    }

    pub(crate) fn server_received(&mut self, n: usize, conn: ConnId, at: End, packet: Packet) {
        if self.stranger_answers(n, conn, at, &packet) {
            return;
        }
        let now = self.now;
        let mut acts = Vec::new();
        let host = &mut self.servers[n];
        match packet {
            Packet::Opened => {
                if let Some((_, dial)) = host.dialling.take_if(|dialled| dialled.0 == conn) {
                    host.server.dialled(now, dial, Ok(conn), &mut acts);
                } else {
                    acts.push(Act::Close { conn });
                }
            }
            Packet::Refused => {
                if let Some((_, dial)) = host.dialling.take_if(|dialled| dialled.0 == conn) {
                    host.server.dialled(now, dial, Err(()), &mut acts);
                }
                self.network.close(conn, at);
            }
            Packet::Closed => {
                if let Some((_, dial)) = host.dialling.take_if(|dialled| dialled.0 == conn) {
                    host.server.dialled(now, dial, Err(()), &mut acts);
                } else {
                    host.server.closed(now, conn, &mut acts);
                }
                self.network.close(conn, at);
            }
            Packet::Data(message) => host.server.received(now, conn, message, &mut acts),
            Packet::Open => {}
        }
        self.server_acts(n, acts);
    }

    pub(crate) fn server_dial_timeout(&mut self, n: usize, conn: ConnId) {
        let mut acts = Vec::new();
        let host = &mut self.servers[n];
        if let Some((_, dial)) = host.dialling.take_if(|dialled| dialled.0 == conn) {
            host.server.dialled(self.now, dial, Err(()), &mut acts);
            self.network.close(conn, End::Dialer);
        }
        self.server_acts(n, acts);
    }

    pub(crate) fn wake_server(&mut self, n: usize) {
        let mut acts = Vec::new();
        self.servers[n].server.wake(self.now, &mut acts);
        self.server_acts(n, acts);
    }

    /// Carries out what a server wants, and notes when it wakes next.
    pub(crate) fn server_acts(&mut self, n: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Dial { to, dial } => {
                    let host = &self.servers[n];
                    let conn = self
                        .network
                        .begin(Actor::Server(n), host.life, host.machine(), to);
                    self.servers[n].dialling = Some((conn, dial));
                    self.send(conn, End::Acceptor, Packet::Open);
                    self.after(DIAL_TIMEOUT, Due::ConnectTimeout(conn, true));
                }
                Act::Send { conn, message } => {
                    if let Some(end) = self.end_of(conn, Actor::Server(n)) {
                        self.send(conn, end.other(), Packet::Data(message));
                    }
                }
                Act::Close { conn } => {
                    if let Some(end) = self.end_of(conn, Actor::Server(n)) {
                        self.hang_up(conn, end);
                    }
                }
            }
        }
        let host = &mut self.servers[n];
        host.wake_at = host.server.next_deadline();
        let is = (host.server.is_primary(), host.server.is_busy());
        if is != host.was {
            host.was = is;
            host.upset_at = self.now;
        }
        self.look_at_data(n);
    }

    /// Which end of a connection a process holds.
    pub(crate) fn end_of(&self, conn: ConnId, actor: Actor) -> Option<End> {
        [End::Dialer, End::Acceptor].into_iter().find(|end| {
            self.network
                .holder(conn, *end)
                .is_some_and(|(holder, _)| holder == actor)
        })
    }
}
