//! Coordinators that share a log, on a network that is as fast as one wishes. Every connection to a server is refused,
//! save for those that a test brings along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bellwether_core::{
    Answer, ClientToken, Command, Coordinator, Effect, Input, Instant, LinkId, LinkKind, LogWrite, Pong,
    Registry, Reply, Request, RequestId, SentinelId, Settings,
};
use bellwether_raft::{
    AgreementSettings, ClusterId, LogAgreement, Restored, Settings as LogSettings, cluster_id, sentinel_id,
};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long everything takes, in milliseconds.
const HOP: u64 = 1;

/// Who waits for an answer.
enum Asker {
    Client(u64),
    Peer {
        node: u64,
        life: u64,
        link: LinkId,
        request: RequestId,
    },
}

/// How many writes a driver takes for one link at once.
const MAX_BATCHES: usize = 128;

enum Due {
    Input(u64, u64, Input),
    Ask {
        node: u64,
        request: Request,
        asker: Asker,
    },
}

pub(crate) struct Node {
    pub(crate) core: Coordinator,
    life: u64,
    links: BTreeMap<LinkId, u64>,
    server_links: BTreeMap<LinkId, u16>,
    asked: BTreeMap<ClientToken, Asker>,
    last_token: u64,
    pub(crate) events: Vec<String>,
}

pub(crate) struct Fleet {
    pub(crate) now: u64,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) stores: BTreeMap<u64, Restored>,
    queue: BTreeMap<(u64, u64), Due>,
    last: u64,
    lives: u64,
    last_client: u64,
    answers: BTreeMap<u64, Answer>,
    /// The servers by their ports, and the port that each follows; one that follows nobody is a primary.
    pub(crate) servers: BTreeMap<u16, Option<u16>>,
    /// Ports at which the next order to change the role gets lost, with its connection.
    pub(crate) loses_order: BTreeSet<u16>,
    /// Who is cut off.
    pub(crate) cut: BTreeSet<u64>,
    /// Who is to be found at which port above 1000, if that is not the one of its id.
    pub(crate) moved: BTreeMap<u64, u64>,
    /// Servers that a member does not reach.
    hidden: BTreeSet<(u64, u16)>,
}

pub(crate) fn cluster() -> ClusterId {
    cluster_id("test")
}

impl Fleet {
    pub(crate) const fn new() -> Self {
        Self {
            now: 0,
            nodes: BTreeMap::new(),
            stores: BTreeMap::new(),
            queue: BTreeMap::new(),
            last: 0,
            lives: 0,
            last_client: 0,
            answers: BTreeMap::new(),
            servers: BTreeMap::new(),
            loses_order: BTreeSet::new(),
            cut: BTreeSet::new(),
            moved: BTreeMap::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// Starts a member, from its store if it has run before, with this configuration.
    pub(crate) fn start(&mut self, id: u64, founders: u64, local: &Registry) {
        let members = (1..=founders).map(|id| (id, format!("127.0.0.1:{}", 1000 + id)));
        self.start_with(id, members.collect(), local);
    }

    /// The same, with these members by its configuration.
    pub(crate) fn start_with(&mut self, id: u64, members: BTreeMap<u64, String>, local: &Registry) {
        self.lives += 1;
        let settings = AgreementSettings {
            log: LogSettings::new(id, cluster(), self.lives),
            members,
            stale_reads: true,
        };
        let restored = self.stores.entry(id).or_default().clone();
        let now = Instant::from_millis(self.now);
        let agreement = LogAgreement::new(settings, restored, local.clone(), now).expect("a sound store");
        let first = agreement.first_registry();
        let settings = Settings {
            listen_port: u16::try_from(1000 + id).expect("a port"),
            own_password: None,
            deny_scripts_reconfig: true,
            forget_sentinels_after: None,
            forget_replicas_after: None,
            seed: self.lives,
        };
        let core = Coordinator::with_agreement(settings, first, now, Box::new(agreement));
        let node = Node {
            core,
            life: self.lives,
            links: BTreeMap::new(),
            server_links: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_token: 0,
            events: Vec::new(),
        };
        self.nodes.insert(id, node);
        self.give(id, Input::Turn);
    }

    pub(crate) fn kill(&mut self, id: u64) {
        self.nodes.remove(&id);
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for other in ids {
            self.break_links(other, id);
        }
    }

    /// Nothing gets to or from this member from now on.
    pub(crate) fn cut(&mut self, id: u64) {
        self.cut.insert(id);
    }

    /// A member does not reach a server from now on.
    pub(crate) fn hide(&mut self, id: u64, port: u16) {
        self.hidden.insert((id, port));
        let node = self.node(id);
        let (life, links) = (node.life, &mut node.server_links);
        let gone: Vec<LinkId> = links
            .extract_if(.., |_, to| *to == port)
            .map(|(link, _)| link)
            .collect();
        for link in gone {
            let reason = "reset".to_owned();
            self.later(Due::Input(id, life, Input::LinkDown { link, reason }));
        }
    }

    fn break_links(&mut self, node: u64, to: u64) {
        let Some(node_ref) = self.nodes.get_mut(&node) else {
            return;
        };
        let life = node_ref.life;
        let gone: Vec<LinkId> = node_ref
            .links
            .extract_if(.., |_, far| *far == to)
            .map(|(link, _)| link)
            .collect();
        for link in gone {
            let reason = "reset".to_owned();
            self.later(Due::Input(node, life, Input::LinkDown { link, reason }));
        }
    }

    /// Plays for so many milliseconds.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 1;
            while self
                .queue
                .first_key_value()
                .is_some_and(|((at, _), _)| *at <= self.now)
            {
                if let Some((_, due)) = self.queue.pop_first() {
                    self.take(due);
                }
            }
            let now = Instant::from_millis(self.now);
            let due: Vec<u64> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.core.poll_deadline().is_some_and(|at| at <= now))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                self.give(id, Input::Turn);
            }
        }
    }

    /// Plays until this holds, for ten seconds at most.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if holds(self) {
                return;
            }
            self.run(1);
        }
        panic!("{what} did not come to be");
    }

    /// A client asks; gives the number of its question.
    pub(crate) fn ask(&mut self, node: u64, request: Request) -> u64 {
        self.last_client += 1;
        let asker = Asker::Client(self.last_client);
        self.later(Due::Ask { node, request, asker });
        self.last_client
    }

    pub(crate) fn answer(&self, question: u64) -> Option<&Answer> {
        self.answers.get(&question)
    }

    /// A client asks and waits.
    pub(crate) fn order(&mut self, node: u64, request: Request) -> Answer {
        let question = self.ask(node, request);
        self.until("an answer", |fleet| fleet.answers.contains_key(&question));
        self.answers[&question].clone()
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let now = Instant::from_millis(self.now);
        let acts = |node: &Node| node.core.log().is_some_and(|log| log.may_act(now));
        self.nodes.iter().find(|(_, node)| acts(node)).map(|(id, _)| *id)
    }

    fn later(&mut self, due: Due) {
        self.last += 1;
        self.queue.insert((self.now + HOP, self.last), due);
    }

    fn take(&mut self, due: Due) {
        match due {
            Due::Input(id, life, input) => {
                if self.nodes.get(&id).is_some_and(|node| node.life == life) {
                    self.give(id, input);
                }
            }
            Due::Ask { node, request, asker } => {
                let Some(target) = self.nodes.get_mut(&node) else {
                    return;
                };
                target.last_token += 1;
                let token = ClientToken(target.last_token);
                target.asked.insert(token, asker);
                self.give(node, Input::Request { token, request });
            }
        }
    }

    fn give(&mut self, id: u64, input: Input) {
        let now = Instant::from_millis(self.now);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.core.handle(now, input);
        node.core.handle(now, Input::Turn);
        let mut effects = Vec::new();
        while let Some(effect) = node.core.poll_effect() {
            effects.push(effect);
        }
        let mut batches: BTreeMap<LinkId, usize> = BTreeMap::new();
        for effect in &effects {
            if let Effect::Send { link, .. } = effect {
                *batches.entry(*link).or_default() += 1;
            }
        }
        // As the driver's queue for one link: what it does not take ends the link.
        assert!(batches.values().all(|count| *count <= MAX_BATCHES), "{batches:?}");
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: u64, effect: Effect) {
        let life = self.nodes[&id].life;
        match effect {
            Effect::Connect { link, to, kind } => {
                let far = u64::from(to.port()).wrapping_sub(1000);
                let far = self.moved.get(&far).copied().unwrap_or(far);
                let there = matches!(kind, LinkKind::Peer { .. }) && self.nodes.contains_key(&far);
                let is_server = matches!(kind, LinkKind::Instance { .. })
                    && self.servers.contains_key(&to.port())
                    && !self.hidden.contains(&(id, to.port()));
                let input = if is_server {
                    self.node(id).server_links.insert(link, to.port());
                    Input::LinkUp {
                        link,
                        local: LOCALHOST,
                    }
                } else if there && !self.cut.contains(&id) && !self.cut.contains(&far) {
                    self.node(id).links.insert(link, far);
                    Input::LinkUp {
                        link,
                        local: LOCALHOST,
                    }
                } else {
                    let reason = "refused".to_owned();
                    Input::LinkDown { link, reason }
                };
                self.later(Due::Input(id, life, input));
            }
            Effect::Disconnect { link } => {
                self.node(id).links.remove(&link);
            }
            Effect::Send { link, batch, .. } => {
                for (request, command) in batch {
                    self.send(id, link, request, command);
                }
            }
            Effect::WriteLog(write) => {
                store(self.stores.entry(id).or_default(), &write);
                self.later(Due::Input(id, life, Input::LogWritten { seq: write.seq }));
            }
            Effect::Persist { seq } => self.later(Due::Input(id, life, Input::Persisted { seq })),
            Effect::Answer { token, answer } => match self.node(id).asked.remove(&token) {
                Some(Asker::Client(question)) => {
                    self.answers.insert(question, answer);
                }
                Some(Asker::Peer {
                    node,
                    life,
                    link,
                    request,
                }) => {
                    let reply = match answer {
                        Answer::Refused(refusal) => Reply::Refused(refusal.to_string()),
                        _ => Reply::Done,
                    };
                    if !self.cut.contains(&id) && !self.cut.contains(&node) {
                        self.later(Due::Input(node, life, Input::Reply { link, request, reply }));
                    }
                }
                None => {}
            },
            Effect::Event(event) => {
                let line = event.to_string();
                self.node(id).events.push(line);
            }
            _ => {}
        }
    }

    fn send(&mut self, id: u64, link: LinkId, request: RequestId, command: Command) {
        let life = self.nodes[&id].life;
        if let Some(port) = self.nodes[&id].server_links.get(&link).copied() {
            if matches!(command, Command::Reconfigure { .. }) && self.loses_order.remove(&port) {
                self.node(id).server_links.remove(&link);
                let reason = "not sent".to_owned();
                return self.later(Due::Input(id, life, Input::LinkDown { link, reason }));
            }
            if !self.nodes[&id].server_links.contains_key(&link) {
                return;
            }
            let reply = self.served(port, &command);
            return self.later(Due::Input(id, life, Input::Reply { link, request, reply }));
        }
        let Some(far) = self.nodes[&id].links.get(&link).copied() else {
            return;
        };
        if self.cut.contains(&id) || self.cut.contains(&far) {
            return;
        }
        let question = match command {
            Command::Ping => {
                let reply = Reply::Ping(Pong::Pong);
                return self.later(Due::Input(id, life, Input::Reply { link, request, reply }));
            }
            Command::Frame { from, bytes } => Request::Frame { from, bytes },
            Command::Hello { message } => Request::Hello { message },
            Command::TellView {
                from,
                group,
                host,
                port,
                down,
            } => Request::View {
                from: from.to_string(),
                group: group.to_string(),
                host: host.to_string(),
                port: port.to_string(),
                down: if down { "down" } else { "up" }.to_owned(),
            },
            other => panic!("{other:?} is not for a peer that shares a log"),
        };
        let asker = Asker::Peer {
            node: id,
            life,
            link,
            request,
        };
        self.later(Due::Ask {
            node: far,
            request: question,
            asker,
        });
    }

    /// What a server answers.
    fn served(&mut self, port: u16, command: &Command) -> Reply {
        match command {
            Command::Ping => Reply::Ping(Pong::Pong),
            Command::Info | Command::InfoAndAck => Reply::Info(self.info(port)),
            Command::Reconfigure { follow } => {
                let follows = follow.as_ref().map(|(_, port)| *port);
                self.servers.insert(port, follows);
                Reply::Done
            }
            _ => Reply::Done,
        }
    }

    fn info(&self, port: u16) -> String {
        let mut text = format!("run_id:{port:040}\r\n");
        match self.servers[&port] {
            Some(primary) => text.push_str(&format!(
                "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{primary}\r\nmaster_link_status:up\r\n\
                 slave_repl_offset:1\r\nslave_priority:100\r\n"
            )),
            None => text.push_str("role:master\r\n"),
        }
        let followers = self.servers.iter().filter(|(_, follows)| **follows == Some(port));
        for (number, (follower, _)) in followers.enumerate() {
            text.push_str(&format!(
                "slave{number}:ip=127.0.0.1,port={follower},state=online,offset=1,lag=0\r\n"
            ));
        }
        text
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("it runs")
    }
}

/// What a store does with a write.
fn store(store: &mut Restored, write: &LogWrite) {
    store.identity = write.identity.or(store.identity);
    if write.reset {
        store.entries.clear();
    }
    if let Some(snapshot) = &write.snapshot {
        store.snapshot = Some(snapshot.clone());
    }
    store.entries.retain(|entry| entry.index > write.drop_to);
    if let Some(first) = write.entries.first() {
        store.entries.retain(|entry| entry.index < first.index);
        store.entries.extend(write.entries.iter().cloned());
    }
    store.hard = write.hard.unwrap_or(store.hard);
}

pub(crate) fn member(id: u64) -> SentinelId {
    sentinel_id(cluster(), id)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
