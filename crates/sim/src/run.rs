//! One run from its seed to its end: faults, then rest.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::check::{Invariant, Violation};
use crate::coverage::Coverage;
use crate::fault::Planned;
use crate::plan::{Profile, Setup};
use crate::shared_log::Coordination;
use crate::time::Time;
use crate::world::World;

/// For how long all must have been well before a run counts as at rest: what is only well by chance shows itself.
const REST: Duration = Duration::from_millis(2_500);
/// How often it is looked whether all is well.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a run has ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The promise that was broken.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
    /// Equal for runs that did the same.
    pub hash: u64,
    /// How much time went by in the world.
    pub simulated: Duration,
    /// How long it took, after the last fault, until all was well.
    pub settled_after: Option<Duration>,
    /// What happened, line by line, if it was asked for.
    pub lines: Vec<String>,
}

/// Plays a seed.
#[must_use]
pub fn run(seed: u64, profile: Profile, coordination: Coordination, keeps_lines: bool) -> Report {
    let (setup, plan) = Setup::of(seed, profile, coordination);
    run_plan(&setup, plan, keeps_lines, None)
}

/// Plays a plan in a world, at most until a time.
#[must_use]
pub fn run_plan(setup: &Setup, plan: Vec<Planned>, keeps_lines: bool, until: Option<Time>) -> Report {
    run_world(&mut World::new(setup, plan, keeps_lines), setup, until)
}

/// Plays a world that is ready, at most until a time.
pub(crate) fn run_world(world: &mut World, setup: &Setup, until: Option<Time>) -> Report {
    let mut settled_after = None;
    // A panic in the core is a broken promise like any other. What is looked at afterwards is only read.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        settled_after = play(world, setup, until);
    }));
    if let Err(panic) = outcome {
        let now = world.now();
        let what = words_of(panic.as_ref()).to_owned();
        world.checks.broken(now, Invariant::NeverCrashes, what);
    }
    world.count_elections();
    Report {
        seed: setup.seed,
        violation: world.violation().cloned(),
        coverage: world.coverage().clone(),
        hash: world.trace().hash(),
        simulated: world.now().since(Time::ZERO),
        settled_after,
        lines: world.trace().take_lines(),
    }
}

/// What a panic said.
#[must_use]
pub fn words_of(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
}

fn play(world: &mut World, setup: &Setup, until: Option<Time>) -> Option<Duration> {
    let end = until.unwrap_or(Time::from_micros(u64::MAX));
    if !world.advance(setup.faults_end.min(end)) || end <= setup.faults_end {
        return None;
    }
    world.heal();
    let deadline = setup.faults_end + setup.bound;
    let mut well_since = None;
    let mut look_at = setup.faults_end;
    loop {
        look_at = look_at + LOOK_EVERY;
        if look_at > end || !world.advance(look_at) {
            return None;
        }
        match world.unrest() {
            None => {
                let since = *well_since.get_or_insert(look_at);
                if look_at.since(since) >= REST {
                    world.count_lost_writes(setup.loses_nothing);
                    if let Some(longest) = setup.longest_gap {
                        world.check_gaps(longest);
                    }
                    return Some(since.since(setup.faults_end));
                }
            }
            Some(what) if look_at >= deadline => {
                world.never_rests(what);
                return None;
            }
            Some(_) => well_since = None,
        }
    }
}
