//! A world in which all is well, except for what servers and peers are made to say.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bellwether_core::{
    Command, Epoch, GroupName, GroupOptions, GroupRecord, HostName, Input, LinkId, LinkKind, Pong, Registry,
    Reply, Settings, Verdict,
};
use rand::Rng;

use super::{World, addr, id};

/// The group and its servers: a primary and two replicas.
pub(crate) const GROUP: &str = "mymaster";
const PRIMARY: u16 = 6379;
const REPLICAS: [u16; 2] = [6380, 6381];

/// How often time passes to the next deadline until it is given up that anything more is asked. INFO is due every ten
/// seconds, hellos and pings more often.
const MAX_ROUNDS: usize = 200;

impl<R: Rng> World<R> {
    /// One group, two peers.
    pub(crate) fn well(rng: R, resolve_hostnames: bool) -> Self {
        let mut record = GroupRecord::new(addr(PRIMARY), GroupOptions::new(2));
        record.options.down_after = Duration::from_secs(30);
        record.replicas = REPLICAS.map(addr).into();
        for (peer, port) in [("b", 26380), ("c", 26381)] {
            record.sentinels.insert(id(peer), addr(port));
        }
        let mut registry = Registry::new(id("me"));
        registry.globals.resolve_hostnames = resolve_hostnames;
        registry
            .groups
            .insert(GroupName::new(GROUP).expect("a name"), record);
        let settings = Settings {
            listen_port: 26379,
            own_password: None,
            deny_scripts_reconfig: false,
            forget_sentinels_after: None,
            forget_replicas_after: None,
            seed: 1,
        };
        Self::new(rng, settings, registry)
    }

    /// Each line is a hello that comes from the primary, half a second after the one before.
    pub(crate) fn hear(&mut self, hellos: &str) {
        self.round(&mut VecDeque::new());
        for message in hellos.lines() {
            let from = self.link_to(PRIMARY).unwrap_or(LinkId(0));
            let message = message.to_owned();
            self.give(Input::Hello { link: from, message });
            self.round(&mut VecDeque::new());
            self.now = self.now + Duration::from_millis(500);
        }
        self.round(&mut VecDeque::new());
    }

    /// Each text is what the next server that is asked for INFO answers.
    pub(crate) fn read(&mut self, texts: &mut VecDeque<String>) {
        for _ in 0..MAX_ROUNDS {
            self.round(texts);
            if texts.is_empty() {
                break;
            }
            self.now = self.core.poll_deadline().unwrap_or(self.now);
        }
        self.round(texts);
    }

    /// A turn, and whatever is asked is answered, until nothing is.
    fn round(&mut self, infos: &mut VecDeque<String>) {
        self.give(Input::Turn);
        // A turn asks each server at most once for each thing, so few are needed.
        for _ in 0..8 {
            let mut answers: Vec<Input> = self.connections();
            answers.extend(mem::take(&mut self.names).into_iter().map(looked_up));
            for (link, request, command) in mem::take(&mut self.questions) {
                let reply = self.well_answered(link, &command, infos);
                answers.push(Input::Reply { link, request, reply });
            }
            answers.extend(self.write.as_ref().map(|(seq, _)| Input::Persisted { seq: *seq }));
            if answers.is_empty() {
                break;
            }
            for answer in answers {
                self.give(answer);
            }
            self.give(Input::Turn);
        }
    }

    /// All connections that were asked for since the last time.
    fn connections(&mut self) -> Vec<Input> {
        let new = mem::take(&mut self.connecting);
        let local = [127, 0, 0, 1].into();
        new.into_iter()
            .map(|link| Input::LinkUp { link, local })
            .collect()
    }

    fn well_answered(&self, link: LinkId, command: &Command, infos: &mut VecDeque<String>) -> Reply {
        match command {
            Command::Ping => Reply::Ping(Pong::Pong),
            Command::Info | Command::InfoAndAck => {
                Reply::Info(infos.pop_front().unwrap_or_else(|| self.info_of(link)))
            }
            Command::AskDown { .. } => Reply::Verdict(Verdict {
                down: false,
                leader: None,
                leader_epoch: Epoch(0),
            }),
            _ => Reply::Done,
        }
    }

    /// What a server says that knows of nothing new.
    fn info_of(&self, link: LinkId) -> String {
        let port = self.links.get(&link).map_or(0, |(_, to)| to.port());
        if port == PRIMARY {
            let replica = |port| format!("slave0:ip=127.0.0.1,port={port},state=online,offset=5,lag=0\r\n");
            format!(
                "run_id:{port}\r\nrole:master\r\n{}",
                REPLICAS.map(replica).concat()
            )
        } else {
            format!(
                "run_id:{port}\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{PRIMARY}\r\n\
                 master_link_status:up\r\nslave_repl_offset:5\r\n"
            )
        }
    }

    fn link_to(&self, port: u16) -> Option<LinkId> {
        let mut links = self.links.iter().rev();
        let found =
            links.find(|(_, (kind, to))| matches!(kind, LinkKind::Instance { .. }) && to.port() == port);
        found.map(|(link, _)| *link)
    }
}

/// Names that begin with `redis` are known.
fn looked_up(name: HostName) -> Input {
    let result = if name.as_str().starts_with("redis") {
        Ok([127, 0, 0, 1].into())
    } else {
        Err("no answer".to_owned())
    };
    Input::Resolved { name, result }
}
