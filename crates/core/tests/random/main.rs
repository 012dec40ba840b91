//! Random inputs, likely and absurd, in any order: the coordinator never panics (its own invariants run after
//! every input), nothing durable goes back, nothing leaves before it is on disk, and no turn asks for another
//! at once.

mod inputs;
#[path = "../seeded/mod.rs"]
mod seeded;
mod witness;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{
    Addr, Command, Coordinator, Effect, GroupName, GroupOptions, GroupRecord, Input, Instant, LinkId,
    LinkKind, PersistSeq, Registry, RequestId, SentinelId, Settings,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use witness::Witness;

/// Enough to meet every kind of input in most states of a failover. `SEEDS=5000` looks for rarer
/// ones, `SEED=7` plays one again.
const SEEDS: u64 = 40;
const STEPS: usize = 1_000;

/// More effects than any input can have with this many groups, unless something runs away. What a slow disk has
/// held up comes out at once with the end of a write, and is bounded by the outbox.
const MAX_EFFECTS: usize = 1_000;

/// What the world around the coordinator knows of it.
pub(crate) struct World {
    rng: Xoshiro256PlusPlus,
    core: Coordinator,
    now: Instant,
    links: BTreeMap<LinkId, (LinkKind, SocketAddr)>,
    /// Commands without an answer, and some that have had one.
    questions: Vec<(LinkId, RequestId, Command)>,
    write: Option<(PersistSeq, Registry)>,
    witness: Witness,
}

#[test]
fn random_inputs_break_nothing() {
    seeded::plant_named_bug();
    let number = |name| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let all = 0..number("SEEDS").unwrap_or(SEEDS);
    for seed in number("SEED").map_or(all, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step()));
            assert!(outcome.is_ok(), "seed {seed}, step {step}: see above");
        }
        assert!(
            world.witness.writes > 10,
            "seed {seed} has hardly written anything"
        );
    }
}

fn id(text: &str) -> SentinelId {
    SentinelId::new(text).expect("an id")
}

fn addr(port: u16) -> Addr {
    Addr::parse("127.0.0.1", port).expect("an address")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
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
            seed,
        };
        let mut witness = Witness::default();
        witness.durable(&registry);
        witness.registry(&registry);
        Self {
            rng,
            core: Coordinator::new(settings, registry, Instant::ZERO),
            now: Instant::ZERO,
            links: BTreeMap::new(),
            questions: Vec::new(),
            write: None,
            witness,
        }
    }

    /// One input or a few, then a turn.
    fn step(&mut self) {
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
                assert!(old.is_none(), "a second connection {link:?}");
            }
            Effect::Disconnect { link } => {
                assert!(self.links.contains_key(&link), "{link:?} was never there");
            }
            Effect::Send { link, batch } => {
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
            Effect::Resolve { .. }
            | Effect::Event(_)
            | Effect::Answer { .. }
            | Effect::Addresses(_)
            | Effect::RunScript { .. }
            | Effect::LogLevel(_)
            | Effect::Exit { .. }
            | Effect::FailoverEnded { .. } => {}
        }
    }
}
