//! Inputs, drawn at random: most of them such as come in every day, some that never should.

use std::fmt::Write as _;

use bellwether_core::{
    ClientToken, Command, Epoch, HostName, Input, LinkId, PersistSeq, Pong, Reply, Request, SentinelId,
    Verdict,
};
use rand::{Rng, RngExt};

use super::World;

const IDS: [&str; 5] = ["b", "c", "d", "me", "what,is"];
const GROUPS: [&str; 5] = ["g1", "g2", "g3", "g4", "a b"];
const HOSTS: [&str; 6] = ["127.0.0.1", "127.0.0.1", "127.0.0.1", "redis-1", "::1", "no host"];
const PONGS: [Pong; 5] = [
    Pong::Pong,
    Pong::Pong,
    Pong::Loading,
    Pong::PrimaryDown,
    Pong::Busy,
];

impl<R: Rng> World<R> {
    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())].clone()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub(crate) fn any_input(&mut self) -> Option<Input> {
        Some(match self.rng.random_range(0..100) {
            0..45 => self.reply()?,
            45..60 => {
                let (link, local) = (self.some_link()?, [127, 0, 0, 1].into());
                Input::LinkUp { link, local }
            }
            60..64 => Input::LinkDown {
                link: self.some_link()?,
                reason: "reset".to_owned(),
            },
            64..74 => {
                let (link, message) = (self.some_link()?, self.hello());
                Input::Hello { link, message }
            }
            74..87 => {
                let under_way = self.write.as_ref().map(|(seq, _)| *seq);
                let stray = PersistSeq(self.rng.random_range(0..9));
                let seq = under_way.unwrap_or(stray);
                if self.chance(15) {
                    let reason = "disk full".to_owned();
                    Input::PersistFailed { seq, reason }
                } else {
                    Input::Persisted { seq }
                }
            }
            87..98 => Input::Request {
                token: ClientToken(self.rng.random_range(0..1_000)),
                request: self.request(),
            },
            _ => Input::Resolved {
                name: HostName::new("redis-1").expect("a name"),
                result: if self.chance(50) {
                    Ok([127, 0, 0, 1].into())
                } else {
                    Err("no answer".to_owned())
                },
            },
        })
    }

    /// Mostly one of the newest, sometimes an old one or one that never was.
    fn some_link(&mut self) -> Option<LinkId> {
        if self.chance(2) {
            return Some(LinkId(self.rng.random_range(0..10_000)));
        }
        let back = self.rng.random_range(0..12);
        self.links.keys().rev().nth(back).copied()
    }

    fn reply(&mut self) -> Option<Input> {
        if self.questions.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..self.questions.len());
        let (link, request, command) = if self.chance(5) {
            self.questions[at].clone()
        } else {
            self.questions.swap_remove(at)
        };
        let fitting = !self.chance(4);
        let reply = match command {
            _ if !fitting => self.any_reply(),
            Command::Ping => Reply::Ping(self.pong()),
            Command::Info | Command::InfoAndAck => Reply::Info(self.info()),
            Command::AskDown { epoch, candidate, .. } => Reply::Verdict(self.verdict(epoch, candidate)),
            _ if self.chance(10) => Reply::Refused("NOPERM".to_owned()),
            _ => Reply::Done,
        };
        Some(Input::Reply { link, request, reply })
    }

    fn any_reply(&mut self) -> Reply {
        match self.rng.random_range(0..6) {
            0 => Reply::Ping(self.pong()),
            1 => Reply::Info(self.info()),
            2 => Reply::Verdict(self.verdict(Epoch(3), None)),
            3 => Reply::Done,
            4 => Reply::Refused("ERR".to_owned()),
            _ => Reply::Odd("nothing of the kind".to_owned()),
        }
    }

    fn pong(&mut self) -> Pong {
        if self.chance(5) {
            return Pong::Refused("NOAUTH".to_owned());
        }
        self.pick(&PONGS)
    }

    fn verdict(&mut self, asked: Epoch, candidate: Option<SentinelId>) -> Verdict {
        let leader = match self.rng.random_range(0..4) {
            0 => None,
            1 => SentinelId::new("b").ok(),
            _ => candidate,
        };
        let leader_epoch = match self.rng.random_range(0..10) {
            0 => Epoch(u64::MAX),
            1 => asked.next(),
            2 => Epoch(0),
            _ => asked,
        };
        Verdict {
            down: self.chance(70),
            leader,
            leader_epoch,
        }
    }

    fn port(&mut self) -> u16 {
        7000 + 10 * self.rng.random_range(0..3) + self.rng.random_range(0..4)
    }

    fn info(&mut self) -> String {
        let mut text = format!("run_id:run{}\r\n", self.rng.random_range(0..3));
        if self.chance(30) {
            text.push_str("role:master\r\nmaster_failover_state:no-failover\r\n");
            for n in 0..self.rng.random_range(0..3) {
                let port = self.port();
                write!(
                    text,
                    "slave{n}:ip=127.0.0.1,port={port},state=online,offset=5,lag=0\r\n"
                )
                .expect("a string");
            }
        } else if self.chance(95) {
            let (port, offset) = (self.port(), self.rng.random_range(0..50));
            let status = self.pick(&["up", "down"]);
            let priority = self.pick(&["100", "0", "x", "-1"]);
            write!(
                text,
                "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{port}\r\nmaster_link_status:{status}\r\n\
                 slave_repl_offset:{offset}\r\nslave_priority:{priority}\r\n"
            )
            .expect("a string");
        } else {
            text.push_str("\u{0}\r\nrole:\r\nslave0:,,,\r\nmaster_port:99999999\r\n");
        }
        let replid = self.pick(&["first", "second", "0000"]);
        write!(text, "master_replid:{replid}\r\n").expect("a string");
        text
    }

    fn epoch(&mut self) -> String {
        let current = self.core.registry().current_epoch.0;
        match self.rng.random_range(0..20) {
            0 => u64::MAX.to_string(),
            1 => "-1".to_owned(),
            2 => "x".to_owned(),
            3..8 => (current + 1).to_string(),
            8..10 => current.saturating_sub(1).to_string(),
            _ => current.to_string(),
        }
    }

    fn hello(&mut self) -> String {
        if self.chance(5) {
            return self
                .pick(&["", "a,b", ",,,,,,,", "127.0.0.1,1,2,3,4,5,6,7,8"])
                .to_owned();
        }
        let (host, id, group) = (self.pick(&HOSTS), self.pick(&IDS), self.pick(&GROUPS));
        let (to, port) = (self.pick(&HOSTS), self.port());
        let (epoch, config_epoch) = (self.epoch(), self.epoch());
        let at = self.rng.random_range(26379..26384);
        format!("{host},{at},{id},{epoch},{group},{to},{port},{config_epoch}")
    }

    fn request(&mut self) -> Request {
        let name = self.pick(&GROUPS).to_owned();
        match self.rng.random_range(0..42) {
            0 => Request::Primaries,
            1 => Request::Primary { name },
            2 => Request::Replicas { name },
            3 => Request::Sentinels { name },
            4 => Request::PrimaryAddr { name },
            5 => Request::CheckQuorum { name },
            6 => Request::InfoSection {
                running_scripts: 0,
                queued_scripts: 0,
            },
            7 => Request::Overview,
            8 => Request::FlushConfig,
            9 => Request::Remove { name },
            10 | 11 => Request::Monitor {
                name,
                host: self.pick(&HOSTS).to_owned(),
                port: self.port().to_string(),
                quorum: self.pick(&["1", "2", "0", "x"]).to_owned(),
            },
            12 => Request::Reset {
                pattern: self.pick(&["g1", "g*", "x"]).to_owned(),
            },
            13..16 => Request::Set {
                name,
                words: self.set_words(),
                not_executable: Vec::new(),
            },
            16..20 => Request::Failover {
                name,
                option: self.rng.random_bool(0.5).then(|| "coordinated".to_owned()),
            },
            40 => Request::Forget {
                name,
                host: "127.0.0.1".to_owned(),
                port: self.port().to_string(),
            },
            41 => Request::ConfigSet {
                words: ["announce-port", "26390", "sentinel-pass", "x"]
                    .map(str::to_owned)
                    .to_vec(),
            },
            20..25 => Request::Hello {
                message: self.hello(),
            },
            _ => Request::IsPrimaryDown {
                host: "127.0.0.1".to_owned(),
                port: self.port().to_string(),
                epoch: self.epoch(),
                candidate: self.pick(&["*", "b", "c", "me", ""]).to_owned(),
            },
        }
    }

    fn set_words(&mut self) -> Vec<String> {
        let option = self.pick(&[
            "quorum",
            "down-after-milliseconds",
            "failover-timeout",
            "auth-pass",
            "nonsense",
        ]);
        let value = self.pick(&["1", "3", "700", "0", "x", ""]);
        vec![option.to_owned(), value.to_owned()]
    }
}
