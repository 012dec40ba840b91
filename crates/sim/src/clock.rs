//! The clock of one coordinator: monotonic, but neither of the same speed as the others nor free of leaps.

use std::time::Duration;

use bellwether_core::Instant;

use crate::time::Time;

/// Microseconds in a second, and what the speed of a clock is measured against.
const MILLION: u64 = 1_000_000;

/// What one process reads as the time since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Time,
    /// How much faster than true time it runs, in parts per million.
    drift_ppm: i64,
    leapt: Duration,
}

impl Clock {
    /// A clock that begins at zero now.
    #[must_use]
    pub(crate) const fn new(started: Time, drift_ppm: i64) -> Self {
        Self {
            started,
            drift_ppm,
            leapt: Duration::ZERO,
        }
    }

    /// What it shows at a true time.
    #[must_use]
    pub(crate) fn read(&self, now: Time) -> Instant {
        let (elapsed, rate) = (now.micros().saturating_sub(self.started.micros()), self.rate());
        // `elapsed * rate / MILLION` in parts, for which 64 bits are enough.
        let whole = (elapsed / MILLION).saturating_mul(rate);
        let micros = whole.saturating_add(elapsed % MILLION * rate / MILLION);
        Instant::new(Duration::from_micros(micros) + self.leapt)
    }

    /// The first true time at which it shows at least this.
    #[must_use]
    pub(crate) fn when(&self, instant: Instant) -> Time {
        let shown = instant.since_start().saturating_sub(self.leapt);
        let (nanos, rate) = (u64::try_from(shown.as_nanos()).unwrap_or(u64::MAX), self.rate());
        let micros = nanos / rate * 1_000 + (nanos % rate * 1_000).div_ceil(rate);
        let mut time = self.started + Duration::from_micros(micros);
        while self.read(time) < instant {
            time = time + Duration::from_micros(1);
        }
        time
    }

    /// How many microseconds it counts in a second.
    const fn rate(&self) -> u64 {
        MILLION.saturating_add_signed(self.drift_ppm)
    }

    /// It leaps ahead, as after the sleep of a virtual machine.
    pub(crate) fn leap(&mut self, by: Duration) {
        self.leapt += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_shows_is_reached_at_the_time_that_it_tells() {
        for drift in [-20_000, -1, 0, 1, 20_000] {
            let mut clock = Clock::new(Time::from_millis(77), drift);
            clock.leap(Duration::from_millis(1_500));
            for millis in [1_500, 1_501, 10_000, 3_600_000] {
                let instant = Instant::new(Duration::from_micros(millis * 1_000 + 333));
                let at = clock.when(instant);
                assert!(clock.read(at) >= instant, "drift {drift}");
                assert!(
                    clock.read(at - Duration::from_micros(2)) < instant,
                    "drift {drift}: too late"
                );
            }
        }
    }

    #[test]
    fn a_leap_shows_at_once() {
        let mut clock = Clock::new(Time::ZERO, 0);
        clock.leap(Duration::from_secs(5));
        assert_eq!(clock.read(Time::from_millis(1)), Instant::from_millis(5_001));
    }
}
