//! The simulated world as a stage.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Act, Cast, Names, Play, PlayError, Role, Scenario, Stage, Told, View, Who, play};
use crate::network::Quality;
use crate::plan::Setup;
use crate::redis::ServerSpec;
use crate::time::Time;
use crate::world::World;

/// How long nothing may be told before the player looks again.
const SLICE: Duration = Duration::from_millis(10);
/// A step in real time begins at any phase of the periods of the others; so it does here.
const PHASE_MICROS: u64 = 1_000_000;
/// A killed process takes what it was about to write for this long at most with it.
const UNSENT_MICROS: u64 = 1_000;
/// A coordinator that was started has listeners after this long: what it tells before that nobody hears.
const UNHEARD_MICROS: std::ops::Range<u64> = 0..20_000;
/// Coordinators start one after the other, so their periods are not in step.
const START_MICROS: u64 = 1_000_000;
/// How much longer than usual a write to disk takes on a machine with much to do.
const MAX_STALL_MICROS: u64 = 12_000;
/// An act on a real machine takes this long at most until it shows.
const REACTION_MICROS: u64 = 3_000;

/// A world without faults of its own.
#[derive(Debug)]
pub struct Simulated {
    world: World,
    names: Names,
    /// Draws the moments at which the player acts.
    rng: Xoshiro256PlusPlus,
    told: Vec<Told>,
    /// Who was started and has no listeners before this time.
    unheard: Option<(usize, Time)>,
}

/// What the simulated world tells when it plays a scenario with this seed.
///
/// # Errors
/// When the play does not come to its end, or a promise is broken.
pub fn rehearse(scenario: &Scenario, seed: u64) -> Result<Play, PlayError> {
    play(scenario, &mut Simulated::new(scenario.cast, seed))
}

impl Simulated {
    /// A stage for this cast. What is left to chance follows from the seed.
    #[must_use]
    pub fn new(cast: Cast, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let setup = setup(cast, seed, &mut rng);
        let mut world = World::new(&setup, Vec::new(), false);
        world.record();
        for n in 0..cast.coordinators {
            world.begin_coordinator_at(n, Time::from_micros(rng.random_range(0..START_MICROS)));
            world.slow_disk(n, Duration::from_micros(rng.random_range(0..MAX_STALL_MICROS)));
        }
        let mut names = Vec::new();
        for n in 0..cast.servers {
            names.push((world.server_addr(n).ip().to_string(), Who::Server(n)));
        }
        for n in 0..cast.coordinators {
            let (ip, id) = world.coordinator_names(n);
            names.push((ip.to_string(), Who::Coordinator(n)));
            names.push((id, Who::Coordinator(n)));
        }
        let group = world.groups[0].to_string();
        Self {
            world,
            names: Names { group, of: names },
            rng,
            told: Vec::new(),
            unheard: None,
        }
    }

    /// Lets things happen until somebody tells something, or until this time.
    fn advance(&mut self, until: Time) -> Result<(), String> {
        while self.world.step_until(until) {
            if self.listen() {
                return Ok(());
            }
        }
        if let Some(violation) = self.world.violation() {
            return Err(violation.to_string());
        }
        self.world.idle_until(until);
        Ok(())
    }

    /// Lets everything happen up to a time.
    fn run_until(&mut self, until: Time) -> Result<(), String> {
        while self.world.now() < until {
            self.advance(until)?;
        }
        Ok(())
    }

    /// Takes what was told since the last time. `false` if nothing was.
    fn listen(&mut self) -> bool {
        let before = self.told.len();
        for (at, by, event) in self.world.take_recorded() {
            if self.unheard.is_some_and(|(n, until)| n == by && at < until) {
                continue;
            }
            self.told.push(Told {
                at: at.since(Time::ZERO),
                by,
                event: event.kind.name().to_owned(),
                words: self.names.translate(&event.payload),
            });
        }
        self.told.len() > before
    }

    fn server_at(&self, addr: SocketAddr) -> Option<usize> {
        self.world.server_at(addr)
    }
}

/// A small fleet on one machine, as real ones are tested.
fn setup(cast: Cast, seed: u64, rng: &mut Xoshiro256PlusPlus) -> Setup {
    let mut ranks: Vec<usize> = (0..cast.coordinators).collect();
    ranks.shuffle(rng);
    Setup {
        log: None,
        seed,
        coordinators: cast.coordinators,
        ranks,
        any_order: true,
        // The player draws it anew for each kill.
        unsent: Duration::ZERO,
        groups: 1,
        servers: cast.servers,
        colocated: false,
        introduced: false,
        quorum: cast.quorum,
        down_after: cast.down_after,
        failover_timeout: cast.failover_timeout,
        parallel_syncs: 1,
        no_priority: None,
        writers: 0,
        write_every: Duration::ZERO,
        server: ServerSpec {
            addr: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            run_seed: 0,
            follows: None,
            priority: 100,
            announced: true,
            repl_timeout: Duration::from_secs(60),
            ping_period: Duration::from_secs(10),
            backlog: 1_000,
            full_sync_time: Duration::from_millis(rng.random_range(5..150)),
            has_failover: true,
            min_replicas_to_write: 0,
            min_replicas_max_lag: Duration::from_secs(10),
            serves_stale: true,
            config_writable: true,
        },
        quality: Quality {
            latency: Duration::from_micros(rng.random_range(20..200)),
            jitter: Duration::from_micros(rng.random_range(10..1_500)),
            loss_permille: 0,
        },
        faults_end: Time::ZERO,
        bound: Duration::ZERO,
        loses_nothing: false,
        longest_gap: None,
    }
}

impl Stage for Simulated {
    type Error = String;

    fn act(&mut self, act: &Act) -> Result<(), String> {
        let at = self.world.now() + Duration::from_micros(self.rng.random_range(0..REACTION_MICROS));
        self.run_until(at)?;
        match act {
            Act::Crash(Who::Server(n)) => self.world.kill_server(*n),
            Act::Crash(Who::Coordinator(n)) => {
                let unsent = Duration::from_micros(self.rng.random_range(0..UNSENT_MICROS));
                self.world.kill_coordinator(*n, unsent);
            }
            Act::Restart(Who::Server(n), empty) => self.world.restart_server(*n, *empty),
            Act::Restart(Who::Coordinator(n), _) => {
                self.world.start_coordinator(*n);
                let until = at + Duration::from_micros(self.rng.random_range(UNHEARD_MICROS));
                self.unheard = Some((*n, until));
                self.run_until(until)?;
            }
            Act::Pause(who) => self.world.pause(*who),
            Act::Resume(who) => self.world.go_on(*who),
            Act::Cut(pairs) => self.world.cut_ways(pairs),
            Act::Heal => self.world.heal_ways(),
            Act::Failover(Who::Coordinator(n), coordinated) => self.world.order_failover(*n, *coordinated),
            Act::Crash(_) | Act::Restart(..) | Act::Failover(..) => {
                return Err(format!("nobody can do {act:?}"));
            }
        }
        self.listen();
        Ok(())
    }

    fn idle(&mut self) -> Result<(), String> {
        let until = self.world.now() + Duration::from_micros(self.rng.random_range(0..PHASE_MICROS));
        self.run_until(until)
    }

    fn pass(&mut self) -> Result<(), String> {
        let until = self.world.now() + SLICE;
        self.advance(until)
    }

    fn now(&self) -> Duration {
        self.world.now().since(Time::ZERO)
    }

    fn told(&self) -> &[Told] {
        &self.told
    }

    fn role(&mut self, server: usize) -> Result<Role, String> {
        let (follows, linked) = self.world.server_role(server);
        Ok(match follows {
            None => Role::Primary,
            Some(addr) => Role::Replica(self.server_at(addr), linked),
        })
    }

    fn view(&mut self, coordinator: usize) -> Result<View, String> {
        let (primary, replicas, peers) = self.world.view_of(coordinator);
        Ok(View {
            primary: primary.and_then(|addr| self.server_at(addr)),
            replicas,
            peers,
        })
    }
}
