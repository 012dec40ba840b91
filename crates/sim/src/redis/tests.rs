//! Servers with a tiny router between them: no latency, no loss, and time that is moved by hand.

mod handover;
mod info;
mod orders;
mod random;
mod replication;
mod roles;

use std::collections::BTreeSet;

use bellwether_core::{Command, Reply, RequestId};

use super::*;
use crate::message::WriteId;

/// Where the server of this number listens.
fn at(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], number))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server as most tests want it.
fn spec(number: u16, follows: Option<u16>) -> ServerSpec {
    ServerSpec {
        addr: at(number),
        run_seed: 0,
        follows: follows.map(at),
        priority: 100,
        announced: true,
        repl_timeout: secs(60),
        ping_period: secs(10),
        backlog: 100,
        full_sync_time: secs(2),
        has_failover: true,
        min_replicas_to_write: 0,
        min_replicas_max_lag: secs(10),
        serves_stale: true,
        config_writable: true,
    }
}

/// A server, or nobody: the test itself.
type End = Option<u16>;

/// What is on its way.
#[derive(Debug)]
enum Packet {
    Message(Message),
    Closed,
}

#[derive(Default)]
struct Net {
    now: Time,
    servers: BTreeMap<u16, Server>,
    /// These get no packets and no time until they are thawed.
    frozen: BTreeSet<u16>,
    conns: BTreeMap<ConnId, [End; 2]>,
    packets: VecDeque<(End, ConnId, Packet)>,
    got: BTreeMap<ConnId, Vec<Message>>,
    last: u64,
    seed: u64,
}

impl Net {
    /// A primary 1 and replicas of it from 2 on, all in step.
    fn group(size: u16) -> Self {
        let mut net = Self::default();
        for number in 1..=size {
            net.start(spec(number, (number > 1).then_some(1)));
        }
        net.run(secs(5));
        net
    }

    fn start(&mut self, spec: ServerSpec) {
        self.restart(spec, None);
    }

    fn restart(&mut self, mut spec: ServerSpec, remains: Option<Remains>) {
        let number = spec.addr.port();
        // A machine set up anew is another one.
        spec.run_seed = self.seed;
        self.seed += 1;
        let server = Server::start(spec, remains, self.now);
        self.servers.insert(number, server);
    }

    fn crash(&mut self, number: u16) -> Remains {
        let server = self.servers.remove(&number).expect("it runs");
        let ends_there = |ends: &[End; 2]| ends.contains(&Some(number));
        let broken: Vec<_> = self.conns.iter().filter(|(_, ends)| ends_there(ends)).collect();
        let broken: Vec<_> = broken.into_iter().map(|(conn, ends)| (*conn, *ends)).collect();
        for (conn, ends) in broken {
            let other = if ends[0] == Some(number) { ends[1] } else { ends[0] };
            self.conns.remove(&conn);
            self.packets.push_back((other, conn, Packet::Closed));
        }
        self.settle();
        server.remains()
    }

    fn connect(&mut self, number: u16, coordinator: bool) -> ConnId {
        let conn = self.open(None, number);
        let server = self.servers.get_mut(&number).expect("it runs");
        server.accepted(conn, coordinator);
        conn
    }

    fn open(&mut self, from: End, to: u16) -> ConnId {
        self.last += 1;
        let conn = ConnId(self.last);
        self.conns.insert(conn, [from, Some(to)]);
        conn
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        let ends = self.conns[&conn];
        self.packets.push_back((ends[1], conn, Packet::Message(message)));
        self.settle();
    }

    fn order(&mut self, conn: ConnId, command: Command) -> Option<Reply> {
        self.send(conn, Message::Commands(vec![(RequestId(7), command)]));
        self.replies(conn).pop()
    }

    fn write(&mut self, number: u16, write: u32) -> Message {
        let conn = self.connect(number, false);
        self.send(conn, Message::Write(WriteId(write)));
        self.take(conn).pop().expect("an answer")
    }

    /// What has come on a connection of the test since the last look.
    fn take(&mut self, conn: ConnId) -> Vec<Message> {
        self.got.remove(&conn).unwrap_or_default()
    }

    fn replies(&mut self, conn: ConnId) -> Vec<Reply> {
        let replies = self.take(conn).into_iter().filter_map(|message| match message {
            Message::Reply(_, reply) => Some(reply),
            _ => None,
        });
        replies.collect()
    }

    fn is_open(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    fn info(&mut self, number: u16) -> String {
        let now = self.now;
        self[number].info(now)
    }

    fn thaw(&mut self, number: u16) {
        self.frozen.remove(&number);
        self.settle();
    }

    /// Lets time pass, deadline by deadline.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let awake = self
                .servers
                .iter()
                .filter(|(number, _)| !self.frozen.contains(number));
            let next = awake.filter_map(|(number, server)| Some((server.next_deadline()?, *number)));
            let Some((at, number)) = next.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.with(number, |server, now, acts| server.wake(now, acts));
            self.settle();
        }
        self.now = end;
    }

    fn with(&mut self, number: u16, what: impl FnOnce(&mut Server, Time, &mut Vec<Act>)) {
        let mut acts = Vec::new();
        let server = self.servers.get_mut(&number).expect("it runs");
        what(server, self.now, &mut acts);
        for act in acts {
            self.act(number, act);
        }
    }

    fn act(&mut self, number: u16, act: Act) {
        match act {
            Act::Dial { to, dial } => {
                let to = to.port();
                let result = if self.servers.contains_key(&to) && to != number {
                    let conn = self.open(Some(number), to);
                    self[to].accepted(conn, false);
                    Ok(conn)
                } else {
                    Err(())
                };
                self.with(number, |server, now, acts| {
                    server.dialled(now, dial, result, acts)
                });
            }
            Act::Send { conn, message } => {
                let Some(ends) = self.conns.get(&conn) else { return };
                let other = if ends[0] == Some(number) { ends[1] } else { ends[0] };
                self.packets.push_back((other, conn, Packet::Message(message)));
            }
            Act::Close { conn } => {
                // Both ends may close it.
                let Some(ends) = self.conns.remove(&conn) else {
                    return;
                };
                let other = if ends[0] == Some(number) { ends[1] } else { ends[0] };
                self.packets.push_back((other, conn, Packet::Closed));
            }
        }
    }

    fn settle(&mut self) {
        let frozen = self.frozen.clone();
        let is_frozen = |end: End| end.is_some_and(|number| frozen.contains(&number));
        while let Some(next) = self.packets.iter().position(|(end, ..)| !is_frozen(*end)) {
            let (end, conn, packet) = self.packets.remove(next).expect("it is there");
            match (end, packet) {
                (None, Packet::Message(message)) => self.got.entry(conn).or_default().push(message),
                (None, Packet::Closed) => {}
                (Some(number), _) if !self.servers.contains_key(&number) => {}
                (Some(number), Packet::Message(message)) => {
                    self.with(number, |server, now, acts| {
                        server.received(now, conn, message, acts)
                    });
                }
                (Some(number), Packet::Closed) => {
                    self.with(number, |server, now, acts| server.closed(now, conn, acts));
                }
            }
        }
    }
}

impl std::ops::Index<u16> for Net {
    type Output = Server;
    fn index(&self, number: u16) -> &Server {
        &self.servers[&number]
    }
}

impl std::ops::IndexMut<u16> for Net {
    fn index_mut(&mut self, number: u16) -> &mut Server {
        self.servers.get_mut(&number).expect("it runs")
    }
}

/// The value of a field of `INFO`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}

fn follow(number: Option<u16>) -> Command {
    Command::Reconfigure {
        follow: number.map(|number| (at(number).ip().to_string(), number)),
    }
}

fn refused(words: &str) -> Option<Reply> {
    Some(Reply::Refused(words.to_owned()))
}
