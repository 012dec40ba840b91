//! Tilt: this process did not run for a while, so what it saw, or rather did not see, proves nothing.
//!
//! Unlike Sentinel, only the stall itself is forgiven, and the mistrust ends by evidence: as soon as every
//! link has answered again or has been silent for long enough since. A clock that is set does not matter,
//! because the clock here is monotonic.

use std::time::Duration;

use crate::time::Instant;

/// How late a turn must be for its observations to be discarded. A loaded machine delays a process by tens of
/// milliseconds; what is above this would shorten somebody's `down-after-milliseconds` noticeably.
const STALL: Duration = Duration::from_millis(200);

/// How long it takes until everything that has waited in buffers during a stall is read, and then some.
const OLD_NEWS: Duration = Duration::from_secs(1);

/// What a late turn means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// For how long the process did not run.
    pub(crate) gap: Duration,
    /// Whether it was long enough to be reported.
    pub(crate) reported: bool,
}

/// Whether observations are trusted.
#[derive(Debug, Default)]
pub(crate) struct Tilt {
    since: Option<Instant>,
    total: u64,
    woke_at: Instant,
}

impl Tilt {
    /// Looks at a turn at `now` that was due at `due`.
    pub(crate) fn observe(&mut self, now: Instant, due: Option<Instant>, trigger: Duration) -> Option<Stall> {
        let gap = now.since(due?);
        if gap < STALL {
            return None;
        }
        self.woke_at = now;
        let reported = gap > trigger;
        if reported {
            self.since = Some(now);
            self.total += 1;
        }
        Some(Stall { gap, reported })
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.since.is_some()
    }

    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// When the last stall ended, long or short.
    pub(crate) const fn woke_at(&self) -> Instant {
        self.woke_at
    }

    /// Whether what came in at `at` tells how things are, and not how they were when this process last ran: what was sent
    /// meanwhile has waited in buffers, and comes first.
    pub(crate) fn is_news(&self, at: Instant) -> bool {
        self.woke_at == Instant::ZERO || at >= self.woke_at + OLD_NEWS
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Ends it, if it is on. Gives its length.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Duration> {
        self.since.take().map(|since| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    const TRIGGER: Duration = Duration::from_secs(2);

    #[test]
    fn a_late_turn_is_a_stall_and_a_very_late_one_a_tilt() {
        let mut tilt = Tilt::default();
        assert_eq!(tilt.observe(at(150), Some(at(0)), TRIGGER), None);
        assert!(matches!(
            tilt.observe(at(1000), Some(at(0)), TRIGGER),
            Some(Stall { reported: false, .. })
        ));
        assert!(!tilt.is_on());
        assert!(matches!(
            tilt.observe(at(2001), Some(at(0)), TRIGGER),
            Some(Stall { reported: true, .. })
        ));
        assert!(tilt.is_on());
        assert_eq!(tilt.end(at(2101)), Some(Duration::from_millis(100)));
        assert_eq!((tilt.end(at(2201)), tilt.total()), (None, 1));
    }

    #[test]
    fn the_limits_are_exact() {
        let seen = |gap| Tilt::default().observe(at(gap), Some(at(0)), TRIGGER);
        assert_eq!(seen(199), None);
        assert!(seen(200).is_some_and(|stall| !stall.reported));
        assert!(seen(2000).is_some_and(|stall| !stall.reported));
        assert!(seen(2001).is_some_and(|stall| stall.reported));
    }

    #[test]
    fn what_waited_in_buffers_during_a_stall_is_no_news() {
        let mut tilt = Tilt::default();
        assert!(tilt.is_news(at(0)), "there was no stall");
        tilt.observe(at(5000), Some(at(4500)), TRIGGER);
        assert!(!tilt.is_news(at(4000)));
        assert!(!tilt.is_news(at(5999)));
        assert!(tilt.is_news(at(6000)));
    }
}
