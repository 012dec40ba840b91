//! A coordinator that is interrupted right after one of its effects: between any two of them, its process may die or stop.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_core::Effect;

use crate::fault::Planned;
use crate::plan::Setup;
use crate::run::{Report, run_world};
use crate::time::Time;
use crate::world::World;

/// How a coordinator is interrupted, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Its process dies, and is started again after this.
    Crash(Duration),
    /// Its process stops with what it had not done yet, and goes on after this.
    Pause(Duration),
}

/// Counts the effects of each coordinator, and interrupts one of them.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Effects before this do not count.
    from: Time,
    counts: BTreeMap<usize, usize>,
    /// Who has led a failover to its end, and how many effects that took.
    ended: Option<(usize, usize)>,
    /// Who is interrupted, after how many effects, and how; until it was.
    interrupts: Option<(usize, usize, Interruption)>,
}

impl Watch {
    const fn new(from: Time, interrupts: Option<(usize, usize, Interruption)>) -> Self {
        Self {
            from,
            counts: BTreeMap::new(),
            ended: None,
            interrupts,
        }
    }

    /// Notes an effect of a coordinator. An interruption, if it is due after this one.
    pub(crate) fn saw(&mut self, now: Time, n: usize, effect: &Effect) -> Option<Interruption> {
        if now < self.from || !is_seen_outside(effect) {
            return None;
        }
        let count = self.counts.entry(n).or_default();
        *count += 1;
        let count = *count;
        if matches!(effect, Effect::FailoverEnded { .. }) {
            self.ended.get_or_insert((n, count));
        }
        let due = self
            .interrupts
            .take_if(|(who, after, _)| (*who, *after) == (n, count));
        due.map(|(_, _, how)| how)
    }
}

/// Whether an effect changes anything outside: after one that does not, things are as they were before it.
const fn is_seen_outside(effect: &Effect) -> bool {
    !matches!(effect, Effect::Event(_) | Effect::LogLevel(_))
}

/// Plays a plan, and tells which coordinator was the first to lead a failover to its end, from a time on, and how many
/// effects it had from then to that end.
#[must_use]
pub fn count_effects(setup: &Setup, plan: Vec<Planned>, from: Time) -> (Report, Option<(usize, usize)>) {
    let mut world = World::new(setup, plan, false);
    world.watch = Some(Watch::new(from, None));
    let report = run_world(&mut world, setup, None);
    (report, world.watch.take().and_then(|watch| watch.ended))
}

/// Plays the same plan with that coordinator interrupted after so many effects. Whether it was is told as well.
#[must_use]
pub fn run_interrupted(
    setup: &Setup,
    plan: Vec<Planned>,
    from: Time,
    (who, after): (usize, usize),
    how: Interruption,
    keeps_lines: bool,
) -> (Report, bool) {
    let mut world = World::new(setup, plan, keeps_lines);
    world.watch = Some(Watch::new(from, Some((who, after, how))));
    let report = run_world(&mut world, setup, None);
    let watch = world.watch.take();
    (report, watch.is_some_and(|watch| watch.interrupts.is_none()))
}
