//! The world around one coordinator: it answers as servers, peers, clients and the disk do, well or badly, as a source
//! of random numbers says, and holds what comes out against what was written before.
//!
//! The fuzz targets include this folder too, so it uses nothing but the crate and `rand`.

mod inputs;
mod texts;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{
    Addr, Command, Coordinator, Effect, EventKind, GroupName, GroupOptions, GroupRecord, HostName, Input,
    Instant, LinkId, LinkKind, MAX_PAYLOAD_LEN, MAX_REPLICAS, MAX_SENTINELS, PersistSeq, Registry, RequestId,
    SentinelId, Settings,
};
use rand::{Rng, RngExt};

use witness::Witness;

/// More effects than any input can have with this many groups, unless something runs away. What a slow disk has
/// held up comes out at once with the end of a write, and is bounded by the outbox.
const MAX_EFFECTS: usize = 1_000;

/// What the world around the coordinator knows of it.
pub(crate) struct World<R> {
    rng: R,
    core: Coordinator,
    now: Instant,
    links: BTreeMap<LinkId, (LinkKind, SocketAddr)>,
    /// Connections of which nothing was told yet; only the newest are kept.
    connecting: Vec<LinkId>,
    /// Commands without an answer, and some that have had one.
    questions: Vec<(LinkId, RequestId, Command)>,
    /// Names that are to be looked up.
    names: Vec<HostName>,
    write: Option<(PersistSeq, Registry)>,
    witness: Witness,
    events: BTreeSet<EventKind>,
}

fn id(text: &str) -> SentinelId {
    SentinelId::new(text).expect("an id")
}

fn addr(port: u16) -> Addr {
    Addr::parse("127.0.0.1", port).expect("an address")
}

impl<R: Rng> World<R> {
    /// Three groups and two peers, with options as the source says.
    pub(crate) fn at_random(mut rng: R) -> Self {
        let mut registry = Registry::new(id("me"));
        for (n, name) in ["g1", "g2", "g3"].into_iter().enumerate() {
            let port = 7000 + 10 * u16::try_from(n).expect("a small number");
            let mut record = GroupRecord::new(addr(port), GroupOptions::new(rng.random_range(1..4)));
            record.options.down_after = Duration::from_millis(rng.random_range(100..3000));
            record.options.failover_timeout = Duration::from_millis(rng.random_range(1000..20_000));
            record.options.parallel_syncs = rng.random_range(1..3);
            record.replicas = (1..rng.random_range(2..4)).map(|i| addr(port + i)).collect();
            for (peer, port) in [("b", 26380), ("c", 26381)] {
                record.sentinels.insert(id(peer), addr(port));
            }
            registry
                .groups
                .insert(GroupName::new(name).expect("a name"), record);
        }
        registry.globals.resolve_hostnames = rng.random_bool(0.5);
        registry.globals.announce_hostnames = rng.random_bool(0.25);
        let mut sometimes = |limit_s| rng.random_bool(0.25).then(|| Duration::from_secs(limit_s));
        let settings = Settings {
            listen_port: 26379,
            own_password: None,
            deny_scripts_reconfig: false,
            forget_sentinels_after: sometimes(5),
            forget_replicas_after: sometimes(3),
            seed: rng.random(),
        };
        Self::new(rng, settings, registry)
    }

    fn new(rng: R, settings: Settings, registry: Registry) -> Self {
        let mut witness = Witness::default();
        witness.durable(&registry);
        witness.registry(&registry);
        Self {
            rng,
            core: Coordinator::new(settings, registry, Instant::ZERO),
            now: Instant::ZERO,
            links: BTreeMap::new(),
            connecting: Vec::new(),
            questions: Vec::new(),
            names: Vec::new(),
            write: None,
            witness,
            events: BTreeSet::new(),
        }
    }

    /// What says how it goes on.
    pub(crate) const fn source(&self) -> &R {
        &self.rng
    }

    /// How often something has been written.
    pub(crate) const fn writes(&self) -> usize {
        self.witness.writes
    }

    /// The kinds of events that have come.
    pub(crate) const fn events(&self) -> &BTreeSet<EventKind> {
        &self.events
    }

    /// One input or a few, then a turn.
    pub(crate) fn step(&mut self) {
        self.pass_time();
        for _ in 0..self.rng.random_range(0..4) {
            if let Some(input) = self.any_input() {
                self.give(input);
            }
        }
        self.give(Input::Turn);
        let deadline = self.core.poll_deadline();
        assert!(
            deadline.is_none_or(|at| at > self.now),
            "a turn at {:?} wants another at {deadline:?}",
            self.now
        );
    }

    /// Mostly to the next deadline and not beyond; sometimes a stall.
    fn pass_time(&mut self) {
        let deadline = self.core.poll_deadline().unwrap_or(self.now);
        let to_deadline = deadline.since(self.now);
        let span = match self.rng.random_range(0..100) {
            0..50 => to_deadline,
            50..90 => to_deadline.min(Duration::from_micros(self.rng.random_range(0..5_000))),
            90..98 => Duration::from_millis(self.rng.random_range(0..150)),
            _ => Duration::from_millis(self.rng.random_range(0..8_000)),
        };
        self.now = self.now + span;
    }

    fn give(&mut self, input: Input) {
        let ends_write = match &input {
            Input::Persisted { seq } => self.ends_write(*seq, true),
            Input::PersistFailed { seq, .. } => self.ends_write(*seq, false),
            _ => false,
        };
        self.core.handle(self.now, input.clone());
        self.witness.registry(self.core.registry());
        for record in self.core.registry().groups.values() {
            assert!(record.replicas.len() <= MAX_REPLICAS && record.sentinels.len() <= MAX_SENTINELS);
        }
        let mut count = 0;
        while let Some(effect) = self.core.poll_effect() {
            count += 1;
            self.carry_out(effect);
        }
        assert!(count <= MAX_EFFECTS || ends_write, "{count} effects of {input:?}");
    }

    /// Whether the write under way ends by this.
    fn ends_write(&mut self, seq: PersistSeq, well: bool) -> bool {
        let Some((_, written)) = self.write.take_if(|(under_way, _)| *under_way == seq) else {
            return false;
        };
        if well {
            self.witness.durable(&written);
        }
        true
    }

    fn carry_out(&mut self, effect: Effect) {
        self.witness.visible(&effect, &self.links);
        match effect {
            Effect::Connect { link, to, kind } => {
                let old = self.links.insert(link, (kind, to));
                self.connecting.push(link);
                let surplus = self.connecting.len().saturating_sub(64);
                self.connecting.drain(..surplus);
                assert!(old.is_none(), "a second connection {link:?}");
            }
            Effect::Disconnect { link } => {
                assert!(self.links.contains_key(&link), "{link:?} was never there");
            }
            Effect::Send { link, batch, .. } => {
                self.questions.extend(
                    batch
                        .into_iter()
                        .map(|(request, command)| (link, request, command)),
                );
                // Only the newest are kept: the others are never answered.
                let surplus = self.questions.len().saturating_sub(64);
                self.questions.drain(..surplus);
            }
            Effect::Persist { seq } => {
                assert!(self.write.is_none(), "two writes at once");
                self.write = Some((seq, self.core.registry().clone()));
            }
            Effect::Event(event) => {
                assert!(event.payload.len() <= MAX_PAYLOAD_LEN, "{event} is too long");
                assert!(
                    !event.payload.contains(['\r', '\n']),
                    "{event} is more than a line"
                );
                self.events.insert(event.kind);
            }
            Effect::Resolve { name } => {
                self.names.push(name);
                let surplus = self.names.len().saturating_sub(64);
                self.names.drain(..surplus);
            }
            Effect::Answer { .. }
            | Effect::Addresses(_)
            | Effect::RunScript { .. }
            | Effect::LogLevel(_)
            | Effect::WriteLog(_)
            | Effect::Exit { .. }
            | Effect::FailoverEnded { .. } => {}
        }
    }
}
