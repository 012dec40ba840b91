//! The stage on which scripts play: one coordinator, modelled servers, scripted peers, a disk and a clock.
//!
//! Servers, peers and disk answer by themselves unless a script says otherwise. The clock jumps from one thing
//! to do to the next, never over one, except by `stall`. Commands are listed in [`Stage::command`].

mod peer;
mod print;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bellwether_core::{
    Addr, ClientToken, Command, ConfigEpoch, Coordinator, Effect, Epoch, GroupName, GroupOptions,
    GroupRecord, Input, Instant, LinkId, LinkKind, PersistSeq, Pong, Registry, Reply, Request, RequestId,
    Secret, SentinelId, Settings,
};

use crate::world::{Mood, Obedience, Server, World};
use peer::{Ballot, Peer};
use words::{id, options, renewed, span};

/// From a command to its answer, and from a connect to its end, in milliseconds.
const ROUND_TRIP_MS: u64 = 1;
/// How long a healthy disk takes for a write, in milliseconds.
const DISK_MS: u64 = 1;
/// Our own address as every server and peer sees it.
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

type Outcome = Result<(), String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Server(SocketAddr),
    Peer(String),
}

/// What is on its way.
#[derive(Debug)]
enum Due {
    Input(Input),
    Arrives(LinkId, Vec<(RequestId, Command)>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Disk {
    #[default]
    Well,
    /// Writes take until the script says `disk well`.
    Hangs,
    Fails,
}

#[derive(Debug, Default)]
pub(crate) struct Stage {
    core: Option<Coordinator>,
    registry: Option<Registry>,
    /// The registry as of the write under way, and as of the last one that ended.
    written: Option<Registry>,
    durable: Option<Registry>,
    settings: BTreeMap<String, String>,
    now_ms: u64,
    world: World,
    peers: BTreeMap<String, Peer>,
    names: BTreeMap<SocketAddr, String>,
    hosts: BTreeMap<String, Option<IpAddr>>,
    links: BTreeMap<LinkId, Target>,
    /// The last connection to each server or peer that broke.
    broken: BTreeMap<String, LinkId>,
    /// Servers that take messages and hand none to subscribers.
    mute: BTreeSet<SocketAddr>,
    /// What a hung server has taken in.
    backlog: Vec<(LinkId, Vec<(RequestId, Command)>)>,
    agenda: BTreeMap<(u64, u64), Due>,
    agenda_len: u64,
    disk: Disk,
    write_under_way: Option<PersistSeq>,
    next_token: u64,
    shown: BTreeSet<String>,
    output: Vec<String>,
}

impl Stage {
    /// An empty stage.
    pub(crate) fn new() -> Self {
        Self {
            shown: BTreeSet::from(["ask".to_owned()]),
            ..Self::default()
        }
    }

    /// Plays one line of a script.
    pub(crate) fn command(&mut self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, rest) = words.split_first().ok_or("no command")?;
        match *verb {
            // show|hide ping|info|hello|ask|connect|persist|links|reasons|whole…: what is printed; at first only `ask` is
            "show" => self.shown.extend(rest.iter().map(ToString::to_string)),
            "hide" => rest.iter().for_each(|word| {
                self.shown.remove(*word);
            }),
            // settings key=value…: id (before any group), epoch, resolve, announce, announce-ip
            "settings" => self
                .settings
                .extend(options(rest)?.into_iter().map(|(k, v)| (k.into(), v.into()))),
            // server NAME ADDR [of=SERVER] [runid=…] [key=value…]: puts a server into the world
            "server" => self.add_server(rest)?,
            // sentinel NAME ADDR [key=value…]: puts a peer there
            "sentinel" => self.add_sentinel(rest)?,
            // group NAME SERVER|ADDR [option=value…] [replicas=SERVER,…] [sentinels=PEER,…]
            "group" => self.add_group(rest)?,
            // cast [option=value…]: the usual company, as one group: primary, r1 (ahead of) r2, peers b and c
            "cast" => self.cast(rest)?,
            "start" => self.start()?,
            // run 250ms|2s: lets time pass
            "run" => self.run(span(rest)?),
            // stall 5s: the coordinator does not run for that long
            "stall" => self.stall(span(rest)?),
            // restart: a new coordinator from what is on disk
            "restart" => self.restart()?,
            // hang|stop|wake NAME: a server or peer stops answering, is gone, or is back
            "hang" => self.mood(rest, Mood::Hung)?,
            "stop" => self.mood(rest, Mood::Gone)?,
            "wake" => self.mood(rest, Mood::Well)?,
            // mute|unmute SERVER: it hands no messages to subscribers, or does again
            "mute" | "unmute" => {
                let name = rest.first().ok_or("of whom?")?;
                let addr = self.socket(name).ok_or("no such server")?;
                match *verb {
                    "mute" => self.mute.insert(addr),
                    _ => self.mute.remove(&addr),
                };
            }
            // set NAME key=value…: changes a server or peer
            "set" => self.set(rest)?,
            // break NAME REASON…: its connection breaks
            "break" => self.break_link(rest)?,
            // hello VIA FROM EPOCH GROUP HOST:PORT CONFIG_EPOCH [at=HOST:PORT]
            "hello" => self.hello(rest)?,
            // text VIA MESSAGE: any text on the channel of hellos
            "text" => {
                let message = rest.get(1..).ok_or("no message")?.join(" ");
                let link = self.link(rest[0])?;
                self.input(Input::Hello { link, message });
            }
            // odd NAME: an answer that makes no sense for any command
            "odd" => self.stray(rest, Reply::Odd("three commas".to_owned()))?,
            // late NAME: an answer on its connection that broke
            "late" => self.late(rest)?,
            // do WORDS…: a client says SENTINEL WORDS…
            "do" => self.request(rest)?,
            // disk well|hangs|fails
            "disk" => self.set_disk(rest)?,
            // host NAME IP|nowhere: what names resolve to
            "host" => {
                let [name, ip] = rest else {
                    return Err("host NAME IP".into());
                };
                self.hosts.insert((*name).to_owned(), ip.parse().ok());
            }
            _ => return Err("no such command".into()),
        }
        Ok(())
    }

    pub(crate) fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    fn say(&mut self, text: &str) {
        self.output.push(format!("{:>6}  {text}", self.now_ms));
    }

    fn add_server(&mut self, words: &[&str]) -> Outcome {
        let [name, addr, rest @ ..] = words else {
            return Err("server NAME ADDR".into());
        };
        let addr: SocketAddr = addr.parse().map_err(|_| "a bad address")?;
        self.names.insert(addr, (*name).to_owned());
        self.world.servers.insert(addr, Server::new(name, None));
        self.set(&[&[*name], rest].concat())
    }

    fn add_sentinel(&mut self, words: &[&str]) -> Outcome {
        let [name, addr, rest @ ..] = words else {
            return Err("sentinel NAME ADDR".into());
        };
        let addr = addr.parse().map_err(|_| "a bad address")?;
        let peer = Peer {
            addr,
            mood: Mood::Well,
            says_down: false,
            ballot: Ballot::Asker,
            vote_epoch: None,
        };
        self.peers.insert((*name).to_owned(), peer);
        self.set(&[&[*name], rest].concat())
    }

    fn cast(&mut self, words: &[&str]) -> Outcome {
        self.add_server(&["primary", "127.0.0.1:6379"])?;
        self.add_server(&["r1", "127.0.0.1:6380", "of=primary", "offset=200"])?;
        self.add_server(&["r2", "127.0.0.1:6381", "of=primary", "offset=150"])?;
        self.add_sentinel(&["b", "127.0.0.1:26380"])?;
        self.add_sentinel(&["c", "127.0.0.1:26381"])?;
        let usual = [
            "mymaster",
            "primary",
            "quorum=2",
            "replicas=r1,r2",
            "sentinels=b,c",
        ];
        self.add_group(&[&usual, words].concat())
    }

    fn add_group(&mut self, words: &[&str]) -> Outcome {
        let [name, primary, rest @ ..] = words else {
            return Err("group NAME SERVER".into());
        };
        let primary = self.addr(primary)?;
        let mut record = GroupRecord::new(primary, GroupOptions::new(1));
        record.options.down_after = Duration::from_secs(1);
        record.options.failover_timeout = Duration::from_secs(60);
        for (key, value) in options(rest)? {
            let number = || value.parse::<u64>().map_err(|_| format!("{key} wants a number"));
            match key {
                "quorum" => record.options.quorum = u32::try_from(number()?).map_err(|_| "too much")?,
                "down-after" => record.options.down_after = Duration::from_millis(number()?),
                "failover-timeout" => record.options.failover_timeout = Duration::from_millis(number()?),
                "parallel-syncs" => {
                    record.options.parallel_syncs = u32::try_from(number()?).map_err(|_| "too much")?;
                }
                "auth-pass" => record.options.auth_pass = Some(Secret::new(value)),
                "config-epoch" => record.config_epoch = ConfigEpoch(number()?),
                "vote-epoch" => record.vote.epoch = Epoch(number()?),
                "replicas" => {
                    for replica in value.split(',') {
                        record.replicas.insert(self.addr(replica)?);
                    }
                }
                "sentinels" => {
                    for sentinel in value.split(',') {
                        let peer = self.peers.get(sentinel).ok_or("no such sentinel")?;
                        record.sentinels.insert(id(sentinel)?, peer.addr.into());
                    }
                }
                _ => return Err(format!("a group has no {key}")),
            }
        }
        let me = self.my_id()?;
        let registry = self.registry.get_or_insert_with(|| Registry::new(me));
        registry
            .groups
            .insert(GroupName::new(name).map_err(|e| e.to_string())?, record);
        Ok(())
    }

    /// A server by its name, or any address.
    fn addr(&self, text: &str) -> Result<Addr, String> {
        if let Some((addr, _)) = self.names.iter().find(|(_, name)| *name == text) {
            return Ok((*addr).into());
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("{text} is no server"))?;
        let port = port.parse().map_err(|_| "a bad port")?;
        Addr::parse(host, port).ok_or_else(|| "a bad host".into())
    }

    fn socket(&self, name: &str) -> Option<SocketAddr> {
        self.names
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(addr, _)| *addr)
    }

    fn my_id(&self) -> Result<SentinelId, String> {
        id(self.settings.get("id").map_or("me", String::as_str))
    }

    fn start(&mut self) -> Outcome {
        let me = self.my_id()?;
        let mut registry = self.registry.take().unwrap_or_else(|| Registry::new(me));
        let yes = |key| self.settings.get(key).is_some_and(|value| value == "yes");
        if let Some(epoch) = self.settings.get("epoch") {
            registry.current_epoch = Epoch(epoch.parse().map_err(|_| "a bad epoch")?);
        }
        registry.globals.announce_ip = self.settings.get("announce-ip").cloned();
        registry.globals.resolve_hostnames = yes("resolve");
        registry.globals.announce_hostnames = yes("announce");
        self.durable = Some(registry.clone());
        let settings = Settings {
            listen_port: 26379,
            own_password: None,
            deny_scripts_reconfig: !yes("scripts"),
            forget_sentinels_after: self.millis("forget-sentinels")?,
            forget_replicas_after: self.millis("forget-replicas")?,
            seed: 1,
        };
        self.core = Some(Coordinator::new(settings, registry, self.now()));
        self.turn();
        Ok(())
    }

    /// A period of the settings, in milliseconds.
    fn millis(&self, name: &str) -> Result<Option<Duration>, String> {
        let parse = |text: &String| {
            text.parse()
                .map(Duration::from_millis)
                .map_err(|_| format!("a bad {name}"))
        };
        self.settings.get(name).map(parse).transpose()
    }

    fn restart(&mut self) -> Outcome {
        self.registry = self.durable.take();
        self.links.clear();
        self.broken.clear();
        self.backlog.clear();
        self.agenda.clear();
        self.write_under_way = None;
        self.settings.remove("epoch");
        self.start()
    }

    const fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    fn core(&mut self) -> &mut Coordinator {
        self.core.as_mut().expect("the script says start")
    }

    fn later(&mut self, ms: u64, due: Due) {
        self.agenda_len += 1;
        self.agenda.insert((self.now_ms + ms, self.agenda_len), due);
    }

    /// Lets the coordinator decide, and carries out what comes of it.
    fn turn(&mut self) {
        let now = self.now();
        self.core().handle(now, Input::Turn);
        self.drain();
        let deadline = self.core().poll_deadline();
        assert!(
            deadline.is_none_or(|at| at > now),
            "a turn at {now:?} wants another at {deadline:?}"
        );
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core().poll_effect() {
            self.print(&effect);
            self.carry_out(effect);
        }
    }

    fn input(&mut self, input: Input) {
        self.give(input);
        self.turn();
    }

    fn give(&mut self, input: Input) {
        let now = self.now();
        self.core().handle(now, input);
        self.drain();
    }

    fn run(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        loop {
            let deadline = self
                .core()
                .poll_deadline()
                .map(|at| at.since_start().as_nanos().div_ceil(1_000_000));
            let deadline = deadline.map(|ms| u64::try_from(ms).expect("a short script"));
            let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = deadline
                .into_iter()
                .chain(agenda)
                .min()
                .filter(|next| *next <= end)
            else {
                break;
            };
            self.now_ms = next.max(self.now_ms);
            self.deliver();
            self.turn();
        }
        self.now_ms = end;
    }

    /// Hands over everything that has arrived by now.
    fn deliver(&mut self) {
        while let Some(entry) = self
            .agenda
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now_ms)
        {
            match entry.remove() {
                Due::Input(input) => self.give(input),
                Due::Arrives(link, batch) => self.arrived(link, batch),
            }
        }
    }

    fn stall(&mut self, span_ms: u64) {
        self.now_ms += span_ms;
        // What came meanwhile is read after the turn that notices the stall, as the driver's clock comes first.
        self.turn();
        self.deliver();
        self.turn();
    }

    /// Commands have reached their target.
    fn arrived(&mut self, link: LinkId, batch: Vec<(RequestId, Command)>) {
        let Some(target) = self.links.get(&link).cloned() else {
            return;
        };
        match self.mood_of(&target) {
            Mood::Gone => return,
            Mood::Hung => return self.backlog.push((link, batch)),
            Mood::Well => {}
        }
        for (request, command) in batch {
            if let (Command::Hello { message }, Target::Server(addr)) = (&command, &target)
                && !self.mute.contains(addr)
            {
                let message = message.clone();
                self.give(Input::Hello { link, message });
            }
            let reply = match &target {
                Target::Server(addr) => self.world.execute(*addr, &command),
                Target::Peer(name) => self.peers[name].answer(&command),
            };
            self.give(Input::Reply { link, request, reply });
        }
    }

    fn mood_of(&self, target: &Target) -> Mood {
        match target {
            Target::Server(addr) => self
                .world
                .servers
                .get(addr)
                .map_or(Mood::Gone, |server| server.mood),
            Target::Peer(name) => self.peers.get(name).map_or(Mood::Gone, |peer| peer.mood),
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { link, to, kind } => self.connect(link, to, &kind),
            Effect::Disconnect { link } => {
                self.links.remove(&link);
            }
            Effect::Send { link, batch, .. } => self.later(ROUND_TRIP_MS, Due::Arrives(link, batch)),
            Effect::Persist { seq } => {
                assert_eq!(self.write_under_way.replace(seq), None, "two writes at once");
                self.written = Some(self.core().registry().clone());
                self.write();
            }
            Effect::Resolve { name } => {
                if let Some(known) = self.hosts.get(name.as_str()) {
                    let result = known.ok_or_else(|| "no such host".to_owned());
                    self.later(ROUND_TRIP_MS, Due::Input(Input::Resolved { name, result }));
                }
            }
            Effect::Event(_)
            | Effect::Answer { .. }
            | Effect::Addresses(_)
            | Effect::RunScript { .. }
            | Effect::LogLevel(_)
            | Effect::WriteLog(_)
            | Effect::Exit { .. }
            | Effect::FailoverEnded { .. } => {}
        }
    }

    fn connect(&mut self, link: LinkId, to: SocketAddr, kind: &LinkKind) {
        let target = match kind {
            LinkKind::Instance { .. } => Target::Server(to),
            LinkKind::Peer { id, .. } => Target::Peer(id.to_string()),
        };
        let here = match &target {
            Target::Server(_) => true,
            Target::Peer(name) => self.peers.get(name).is_some_and(|peer| peer.addr == to),
        };
        let input = match self.mood_of(&target) {
            Mood::Well if here => Input::LinkUp { link, local: LOCAL },
            Mood::Hung if here => return,
            _ => Input::LinkDown {
                link,
                reason: "connection refused".to_owned(),
            },
        };
        if matches!(input, Input::LinkUp { .. }) {
            self.links.insert(link, target);
        }
        self.later(ROUND_TRIP_MS, Due::Input(input));
    }

    /// Goes on with the write under way, as far as the disk lets it.
    fn write(&mut self) {
        let Some(seq) = self.write_under_way else { return };
        let input = match self.disk {
            Disk::Hangs => return,
            Disk::Well => {
                self.durable.clone_from(&self.written);
                Input::Persisted { seq }
            }
            Disk::Fails => Input::PersistFailed {
                seq,
                reason: "disk full".to_owned(),
            },
        };
        self.write_under_way = None;
        self.later(DISK_MS, Due::Input(input));
    }

    fn set_disk(&mut self, words: &[&str]) -> Outcome {
        self.disk = match words {
            ["well"] => Disk::Well,
            ["hangs"] => Disk::Hangs,
            ["fails"] => Disk::Fails,
            _ => return Err("disk well|hangs|fails".into()),
        };
        self.write();
        Ok(())
    }

    fn mood(&mut self, names: &[&str], mood: Mood) -> Outcome {
        for name in names {
            match self.socket(name) {
                Some(addr) => {
                    self.world.servers.get_mut(&addr).ok_or("no such server")?.mood = mood;
                    self.world.take_over(addr);
                }
                None => {
                    self.peers
                        .get_mut(*name)
                        .ok_or("no such server or sentinel")?
                        .mood = mood
                }
            }
            match mood {
                Mood::Gone if self.link(name).is_ok() => self.break_link(&[name, "connection closed"])?,
                Mood::Well => {
                    for (link, batch) in std::mem::take(&mut self.backlog) {
                        self.later(ROUND_TRIP_MS, Due::Arrives(link, batch));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The connection to a server or peer that stands.
    fn link(&self, name: &str) -> Result<LinkId, String> {
        let target = match self.socket(name) {
            Some(addr) => Target::Server(addr),
            None => Target::Peer(name.to_owned()),
        };
        let found = self.links.iter().rev().find(|(_, known)| **known == target);
        found
            .map(|(link, _)| *link)
            .ok_or_else(|| format!("no connection to {name}"))
    }

    fn break_link(&mut self, words: &[&str]) -> Outcome {
        let (name, reason) = words.split_first().ok_or("break NAME REASON")?;
        let link = self.link(name)?;
        self.links.remove(&link);
        self.broken.insert((*name).to_owned(), link);
        self.input(Input::LinkDown {
            link,
            reason: reason.join(" "),
        });
        Ok(())
    }

    fn stray(&mut self, words: &[&str], reply: Reply) -> Outcome {
        let link = self.link(words.first().ok_or("of whom?")?)?;
        let request = RequestId(u64::MAX);
        self.input(Input::Reply { link, request, reply });
        Ok(())
    }

    fn late(&mut self, words: &[&str]) -> Outcome {
        let name = words.first().ok_or("of whom?")?;
        let link = *self.broken.get(*name).ok_or("its connection never broke")?;
        self.input(Input::Reply {
            link,
            request: RequestId(0),
            reply: Reply::Info("role:slave\r\n".to_owned()),
        });
        Ok(())
    }

    fn hello(&mut self, words: &[&str]) -> Outcome {
        let [via, from, epoch, group, primary, config_epoch, rest @ ..] = words else {
            return Err("hello VIA FROM EPOCH GROUP PRIMARY CONFIG_EPOCH".into());
        };
        let here = self.peers.get(*from).map(|peer| peer.addr.to_string());
        let at = options(rest)?
            .get("at")
            .map(ToString::to_string)
            .or(here)
            .ok_or("at=HOST:PORT")?;
        let (host, port) = at.rsplit_once(':').ok_or("at=HOST:PORT")?;
        let primary = match self.socket(primary) {
            Some(addr) => format!("{},{}", addr.ip(), addr.port()),
            None => primary.replace(':', ","),
        };
        let message = format!("{host},{port},{from},{epoch},{group},{primary},{config_epoch}");
        if *via == "direct" {
            self.ask(Request::Hello { message });
        } else {
            let link = self.link(via)?;
            self.input(Input::Hello { link, message });
        }
        Ok(())
    }

    fn set(&mut self, words: &[&str]) -> Outcome {
        let (name, rest) = words.split_first().ok_or("set NAME key=value")?;
        for (key, value) in options(rest)? {
            match self.socket(name) {
                Some(at) => self.set_server(at, key, value)?,
                None => self
                    .peers
                    .get_mut(*name)
                    .ok_or("no such server or sentinel")?
                    .set(key, value)?,
            }
        }
        Ok(())
    }

    fn set_server(&mut self, at: SocketAddr, key: &str, value: &str) -> Outcome {
        let follows = match (key, value) {
            ("of", "nobody") => None,
            ("of" | "hands-over", name) => Some(
                self.socket(name)
                    .or_else(|| name.parse().ok())
                    .ok_or("no such server")?,
            ),
            _ => None,
        };
        let server = self.world.servers.get_mut(&at).ok_or("no such server")?;
        match key {
            "of" => server.follows = follows,
            "hands-over" => {
                server.follows = follows;
                server.hands_over = true;
            }
            "aborts" => server.may_abort = value == "yes",
            "runid" => value.clone_into(&mut server.run_id),
            "offset" => server.offset = value.parse().map_err(|_| "a bad offset")?,
            "priority" => server.priority = value.parse().map_err(|_| "a bad priority")?,
            "announced" => server.announced = value == "yes",
            "replid" => value.clone_into(&mut server.replid),
            "replid2" => value.clone_into(&mut server.replid2),
            "cut-off-for" => server.link_down_s = value.parse().ok(),
            "order" => {
                server.obedience = match value {
                    "obeys" => Obedience::Obeys,
                    "ignores" => Obedience::Ignores,
                    words => Obedience::Refuses(words.to_owned()),
                }
            }
            "ping" => {
                server.pong = match value {
                    "pong" => Pong::Pong,
                    "loading" => Pong::Loading,
                    "primary-down" => Pong::PrimaryDown,
                    "busy" => Pong::Busy,
                    words => Pong::Refused(words.to_owned()),
                }
            }
            _ => return Err(format!("a server has no {key}")),
        }
        Ok(())
    }

    fn ask(&mut self, request: Request) {
        self.next_token += 1;
        let token = ClientToken(self.next_token);
        self.input(Input::Request { token, request });
    }

    fn request(&mut self, words: &[&str]) -> Outcome {
        let text = |at: usize| words.get(at).map(ToString::to_string).unwrap_or_default();
        let name = text(1);
        let request = match words[0] {
            "master" => Request::Primary { name },
            "replicas" => Request::Replicas { name },
            "sentinels" => Request::Sentinels { name },
            "addr" => Request::PrimaryAddr { name },
            "is-down" => Request::IsPrimaryDown {
                host: name,
                port: text(2),
                epoch: text(3),
                candidate: text(4),
            },
            "monitor" => Request::Monitor {
                name,
                host: text(2),
                port: text(3),
                quorum: text(4),
            },
            "remove" => Request::Remove { name },
            "set" => Request::Set {
                name,
                words: words[2..].iter().map(|word| word.replace("''", "")).collect(),
                not_executable: Vec::new(),
            },
            "failover" => Request::Failover {
                name,
                option: words.get(2).map(ToString::to_string),
            },
            "forget" => Request::Forget {
                name,
                host: text(2),
                port: text(3),
            },
            "config-set" => Request::ConfigSet {
                words: words[1..].iter().map(|word| word.replace("''", "")).collect(),
            },
            "renew" => Request::RenewPasswords(renewed(&words[1..])?),
            "config-get" => Request::ConfigGet { patterns: vec![name] },
            "debug" => Request::Debug {
                words: words[1..].iter().map(ToString::to_string).collect(),
            },
            "info-cache" => Request::InfoCache { names: vec![name] },
            "simulate" => Request::SimulateFailure {
                words: words[1..].iter().map(ToString::to_string).collect(),
            },
            "reset" => Request::Reset { pattern: name },
            "ckquorum" => Request::CheckQuorum { name },
            "flushconfig" => Request::FlushConfig,
            "myid" => Request::MyId,
            "info" => Request::InfoSection {
                running_scripts: 0,
                queued_scripts: 0,
            },
            "overview" => Request::Overview,
            _ => return Err("no such request".into()),
        };
        self.ask(request);
        Ok(())
    }
}
