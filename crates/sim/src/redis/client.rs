//! Clients and coordinators: who may write, and who waits while writes are paused.

use std::collections::VecDeque;

use bellwether_core::{Command, RequestId};

use super::replicas::SyncRequest;
use super::{Act, Server};
use crate::message::{ConnId, Entry, Message, WriteId};
use crate::time::Time;

/// How many commands may wait on one connection. A coordinator stops at 100 without an answer, a client at one.
const MAX_WAITING: usize = 1_000;

pub(super) const BUSY: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
pub(super) const LOADING: &str = "LOADING Redis is loading the dataset in memory";
pub(super) const PRIMARY_DOWN: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";
const TOO_FEW_REPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";

/// One that has connected.
#[derive(Debug)]
pub(super) struct Client {
    /// It gets hellos.
    pub(super) coordinator: bool,
    /// What it asked while the first of it has to wait.
    waiting: VecDeque<Ask>,
}

/// One thing that a client asks.
#[derive(Debug)]
enum Ask {
    Command(RequestId, Command),
    Write(WriteId),
    Role,
}

impl Client {
    pub(super) const fn new(coordinator: bool) -> Self {
        Self {
            coordinator,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Server {
    /// A client asks something, or turns out to be a replica.
    pub(super) fn asked(&mut self, now: Time, conn: ConnId, message: Message, acts: &mut Vec<Act>) {
        match message {
            Message::Commands(batch) => {
                for (request, command) in batch {
                    self.ask(now, conn, Ask::Command(request, command), acts);
                }
            }
            Message::Write(write) => self.ask(now, conn, Ask::Write(write), acts),
            Message::AskRole => self.ask(now, conn, Ask::Role, acts),
            Message::Sync {
                listens,
                replid,
                offset,
                failover,
            } => {
                let request = SyncRequest {
                    listens,
                    replid,
                    offset,
                    failover,
                };
                self.sync(now, conn, request, acts);
            }
            _ => {}
        }
    }

    /// `CLIENT KILL TYPE normal` and `TYPE pubsub`: all but the one who asks, and but replicas.
    pub(super) fn kill_clients(&mut self, but: ConnId, acts: &mut Vec<Act>) {
        self.clients.retain(|conn, _| {
            if *conn != but {
                acts.push(Act::Close { conn: *conn });
            }
            *conn == but
        });
    }

    /// `PUBLISH`
    pub(super) fn publish(&self, message: &str, acts: &mut Vec<Act>) {
        for (conn, client) in &self.clients {
            if client.coordinator {
                let message = Message::Hello(message.to_owned());
                acts.push(Act::Send { conn: *conn, message });
            }
        }
    }

    /// `CLIENT UNPAUSE`, or its time has come.
    pub(super) fn unpause(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.paused_until = None;
        self.go_on(now, acts);
    }

    /// Serves those who waited, unless there is another reason to wait.
    pub(super) fn go_on(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.is_paused() {
            return;
        }
        let waits = |(_, client): &(&ConnId, &Client)| client.is_blocked();
        let waiting: Vec<ConnId> = self.clients.iter().filter(waits).map(|(conn, _)| *conn).collect();
        for conn in waiting {
            let asks = self
                .clients
                .get_mut(&conn)
                .map(|c| std::mem::take(&mut c.waiting));
            for ask in asks.into_iter().flatten() {
                self.ask(now, conn, ask, acts);
            }
        }
    }

    fn ask(&mut self, now: Time, conn: ConnId, ask: Ask, acts: &mut Vec<Act>) {
        // An earlier command of the same batch may have sent it off.
        let Some(client) = self.clients.get(&conn) else {
            return;
        };
        let blocked = client.is_blocked();
        let waits = match &ask {
            Ask::Command(_, command) => self.must_wait(command),
            Ask::Write(_) => self.refusal(true).is_none() && self.is_paused(),
            Ask::Role => false,
        };
        if blocked || waits {
            return self.wait(conn, ask, acts);
        }
        self.stats.commands += 1;
        let message = match ask {
            Ask::Command(request, command) => {
                let reply = self.command(now, conn, command, acts);
                Message::Reply(request, reply)
            }
            Ask::Write(write) => match self.refusal(true) {
                Some(words) => Message::Refused(words.to_owned()),
                None => {
                    self.feed(vec![Entry::Write(write)], acts);
                    Message::Written(write)
                }
            },
            Ask::Role if self.busy => Message::Refused(BUSY.to_owned()),
            Ask::Role => Message::Role {
                primary: self.is_primary(),
            },
        };
        acts.push(Act::Send { conn, message });
    }

    /// Why an ordinary command is refused, in the order in which the reference looks.
    pub(super) fn refusal(&self, writes: bool) -> Option<&'static str> {
        let too_few = self.needs_replicas() && self.good_replicas < self.spec.min_replicas_to_write;
        if writes && self.is_primary() && too_few {
            Some(TOO_FEW_REPLICAS)
        } else if writes && !self.is_primary() {
            Some(READ_ONLY)
        } else if !self.is_primary() && !self.link_up() && !self.spec.serves_stale {
            Some(PRIMARY_DOWN)
        } else if self.loading.is_some() {
            Some(LOADING)
        } else if self.busy {
            Some(BUSY)
        } else {
            None
        }
    }

    fn wait(&mut self, conn: ConnId, ask: Ask, acts: &mut Vec<Act>) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        if client.waiting.len() < MAX_WAITING {
            client.waiting.push_back(ask);
        } else {
            self.clients.remove(&conn);
            acts.push(Act::Close { conn });
        }
    }
}
