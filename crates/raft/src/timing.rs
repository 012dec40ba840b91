//! Time as raft counts it. `raft` knows ticks and draws its election timeouts from the thread's randomness; here are
//! the length of a tick, and timeouts that depend on a seed alone.

use std::time::Duration;

use crate::settings::Settings;

/// How many ticks a heartbeat has. More would draw election timeouts more finely; 40 of them are fine enough to keep
/// five members apart.
const TICKS_PER_HEARTBEAT: u32 = 10;

/// Lengths in ticks, and what draws election timeouts.
#[derive(Debug)]
pub(crate) struct Timing {
    pub(crate) tick: Duration,
    pub(crate) heartbeat: usize,
    pub(crate) election: usize,
    /// From here up to and without `below` election timeouts are drawn.
    pub(crate) from: usize,
    pub(crate) below: usize,
    seed: u64,
    id: u64,
}

impl Timing {
    pub(crate) fn new(settings: &Settings) -> Self {
        let tick = settings.heartbeat / TICKS_PER_HEARTBEAT;
        let ticks = |time: Duration| {
            let ticks = time.as_nanos().div_ceil(tick.as_nanos());
            usize::try_from(ticks).unwrap_or(usize::MAX / 4)
        };
        let election = ticks(settings.election_min);
        // A tick counts when it ends, and a message may come in the middle of one. With one tick more nobody stands
        // for election sooner than it promised.
        let from = election + 1;
        Self {
            tick,
            heartbeat: TICKS_PER_HEARTBEAT as usize,
            election,
            from,
            below: ticks(settings.election_max).max(from) + 1,
            seed: settings.seed,
            id: settings.id,
        }
    }

    /// The election timeout in ticks for the `window`th wait in `term`.
    pub(crate) fn election_timeout(&self, term: u64, window: u64) -> usize {
        let mut drawn = mix(self.seed);
        for part in [self.id, term, window] {
            drawn = mix(drawn ^ part);
        }
        let span = (self.below - self.from) as u64;
        self.from + usize::try_from(drawn % span).unwrap_or(0)
    }

    /// A number that differs from start to start.
    pub(crate) fn session(&self) -> u64 {
        mix(mix(self.seed) ^ mix(self.id))
    }
}

/// The finalizer of splitmix64: neighbours in, strangers out.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ClusterId;

    #[test]
    fn election_timeouts_are_within_bounds_and_differ() {
        let timing = Timing::new(&Settings::new(1, ClusterId(1), 7));
        let drawn: Vec<_> = (0..200)
            .map(|window| timing.election_timeout(3, window))
            .collect();
        assert!(drawn.iter().all(|ticks| (61..101).contains(ticks)), "{drawn:?}");
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert!(distinct.len() > 30, "{distinct:?}");
    }

    /// Seeds and ids often count up together, and members that draw the same never elect anybody.
    #[test]
    fn members_with_seeds_in_a_row_draw_differently() {
        let draw = |id| {
            let timing = Timing::new(&Settings::new(id, ClusterId(1), 1000 + id));
            (0..20)
                .map(|window| timing.election_timeout(1, window))
                .collect::<Vec<_>>()
        };
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(2), draw(3));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let timing = |seed| Timing::new(&Settings::new(1, ClusterId(1), seed));
        let draw = |seed| {
            (0..20)
                .map(|w| timing(seed).election_timeout(1, w))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
