//! Modelled servers: as much of a Redis as a coordinator sees when it watches, promotes and repoints it.
//! They have no time and no network; the tests around them do.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use bellwether_core::{Command, Pong, Reply};

/// How a server behaves towards the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Well,
    /// It takes connections and commands, and answers none until it is woken.
    Hung,
    /// Nobody listens.
    Gone,
}

/// What it does when told whom to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obedience {
    /// What it is told.
    Obeys,
    /// It says yes and stays what it is.
    Ignores,
    /// It refuses, in these words.
    Refuses(String),
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) run_id: String,
    /// Whom it follows; `None` for a primary.
    pub(crate) follows: Option<SocketAddr>,
    pub(crate) offset: u64,
    pub(crate) priority: u32,
    pub(crate) replid: String,
    pub(crate) replid2: String,
    /// For how many seconds it says to have been cut off; `None` to say what is so.
    pub(crate) link_down_s: Option<i64>,
    /// `replica-announced`
    pub(crate) announced: bool,
    pub(crate) mood: Mood,
    pub(crate) pong: Pong,
    pub(crate) obedience: Obedience,
    /// It follows a replica that has not taken over yet.
    pub(crate) hands_over: bool,
    /// It may be told to end that.
    pub(crate) may_abort: bool,
}

impl Server {
    pub(crate) fn new(run_id: &str, follows: Option<SocketAddr>) -> Self {
        Self {
            run_id: run_id.to_owned(),
            follows,
            offset: 100,
            priority: 100,
            replid: "first".to_owned(),
            replid2: "0".to_owned(),
            link_down_s: None,
            announced: true,
            mood: Mood::Well,
            pong: Pong::Pong,
            obedience: Obedience::Obeys,
            hands_over: false,
            may_abort: true,
        }
    }
}

/// All servers, by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
}

impl World {
    /// What a server answers to a command. It must be there.
    pub(crate) fn execute(&mut self, at: SocketAddr, command: &Command) -> Reply {
        match command {
            Command::Ping => Reply::Ping(self.servers[&at].pong.clone()),
            Command::Info | Command::InfoAndAck => Reply::Info(self.info(at)),
            Command::Reconfigure { follow } => self.reconfigure(at, follow.as_ref()),
            Command::HandOver { to, .. } => self.hand_over(at, to),
            Command::Hello { .. } | Command::ScriptKill | Command::Release | Command::Unpause => Reply::Done,
            Command::AbortHandOver => self.abort_hand_over(at),
            Command::AskDown { .. } | Command::Frame { .. } | Command::TellView { .. } => {
                Reply::Refused("ERR unknown command 'SENTINEL'".to_owned())
            }
        }
    }

    /// The server follows the replica, which makes itself a primary as soon as it is well, unless the server is set
    /// not to obey.
    fn hand_over(&mut self, at: SocketAddr, to: &(String, u16)) -> Reply {
        let replica = SocketAddr::new(to.0.parse().expect("an address"), to.1);
        match self.reconfigure(at, Some(to)) {
            Reply::Done if self.servers[&at].follows == Some(replica) => {
                self.server(at).hands_over = true;
                self.take_over(replica);
                Reply::Done
            }
            reply => reply,
        }
    }

    /// A server that is well takes the role that is handed to it.
    pub(crate) fn take_over(&mut self, replica: SocketAddr) {
        let mut servers = self.servers.iter();
        let giver = servers.find(|(_, giver)| giver.hands_over && giver.follows == Some(replica));
        let Some((giver, _)) = giver.filter(|_| self.servers[&replica].mood == Mood::Well) else {
            return;
        };
        let giver = *giver;
        self.server(giver).hands_over = false;
        self.reconfigure(replica, None);
    }

    fn abort_hand_over(&mut self, at: SocketAddr) -> Reply {
        if !self.server(at).may_abort {
            return Reply::Refused("NOPERM this user has no permissions to run 'failover'".to_owned());
        }
        if !std::mem::take(&mut self.server(at).hands_over) {
            return Reply::Refused("ERR No failover in progress.".to_owned());
        }
        self.reconfigure(at, None)
    }

    fn server(&mut self, at: SocketAddr) -> &mut Server {
        self.servers.get_mut(&at).expect("the server is there")
    }

    fn reconfigure(&mut self, at: SocketAddr, follow: Option<&(String, u16)>) -> Reply {
        let target = follow.map(|(host, port)| {
            SocketAddr::new(
                host.parse().expect("servers are told addresses and not names"),
                *port,
            )
        });
        let replid = target
            .and_then(|to| self.servers.get(&to))
            .map(|server| server.replid.clone());
        let server = self.server(at);
        if server.hands_over {
            return Reply::Refused("ERR REPLICAOF not allowed while failing over.".to_owned());
        }
        match &server.obedience {
            Obedience::Refuses(words) => return Reply::Refused(words.clone()),
            Obedience::Ignores => return Reply::Done,
            Obedience::Obeys => {}
        }
        if target.is_none() && server.follows.is_some() {
            server.replid2 = std::mem::replace(&mut server.replid, format!("of-{}", server.run_id));
        } else if let Some(replid) = replid {
            server.replid = replid;
        }
        server.follows = target;
        Reply::Done
    }

    fn info(&self, at: SocketAddr) -> String {
        let server = &self.servers[&at];
        let mut text = format!("run_id:{}\r\n", server.run_id);
        match server.follows {
            None => {
                text.push_str("role:master\r\n");
            }
            Some(upstream) => {
                let there = self
                    .servers
                    .get(&upstream)
                    .is_some_and(|up| up.mood == Mood::Well);
                let down_s = server.link_down_s.or_else(|| (!there).then_some(1));
                let status = if down_s.is_none() { "up" } else { "down" };
                write!(
                    text,
                    "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{status}\r\n",
                    upstream.ip(),
                    upstream.port()
                )
                .expect("writing to a string");
                if let Some(seconds) = down_s {
                    write!(text, "master_link_down_since_seconds:{seconds}\r\n")
                        .expect("writing to a string");
                }
                write!(
                    text,
                    "slave_repl_offset:{}\r\nslave_priority:{}\r\nreplica_announced:{}\r\n",
                    server.offset,
                    server.priority,
                    u8::from(server.announced)
                )
                .expect("writing to a string");
            }
        }
        let followers = self
            .servers
            .iter()
            .filter(|(_, other)| other.follows == Some(at) && other.mood == Mood::Well);
        for (n, (addr, other)) in followers.enumerate() {
            let (ip, port, offset) = (addr.ip(), addr.port(), other.offset);
            write!(
                text,
                "slave{n}:ip={ip},port={port},state=online,offset={offset},lag=0\r\n"
            )
            .expect("writing to a string");
        }
        write!(
            text,
            "master_failover_state:{}\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{}\r\n",
            if server.hands_over {
                "failover-in-progress"
            } else {
                "no-failover"
            },
            server.replid,
            server.replid2,
            server.offset
        )
        .expect("writing to a string");
        text
    }
}
