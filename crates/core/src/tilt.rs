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

/// How late a turn must be to be reported. As the reference.
const TRIGGER: Duration = Duration::from_secs(2);

/// When mistrust ends at the latest, whatever the evidence. As the reference.
const MAX_LENGTH: Duration = Duration::from_secs(30);

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
}

impl Tilt {
    /// Looks at a turn at `now` that was due at `due`.
    pub(crate) fn observe(&mut self, now: Instant, due: Option<Instant>) -> Option<Stall> {
        let gap = now.since(due?);
        if gap < STALL {
            return None;
        }
        let reported = gap > TRIGGER;
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

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// When it ends at the latest.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.since.map(|since| since + MAX_LENGTH)
    }

    /// Ends it, if it is on and the evidence is there or the time is up. Gives its length.
    pub(crate) fn end_if(&mut self, now: Instant, evidence: bool) -> Option<Duration> {
        let since = self.since?;
        if evidence || now >= since + MAX_LENGTH {
            self.since = None;
            return Some(now.since(since));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_late_turn_is_a_stall_and_a_very_late_one_a_tilt() {
        let mut tilt = Tilt::default();
        assert_eq!(tilt.observe(at(150), Some(at(0))), None);
        assert!(matches!(
            tilt.observe(at(1000), Some(at(0))),
            Some(Stall { reported: false, .. })
        ));
        assert!(!tilt.is_on());
        assert!(matches!(
            tilt.observe(at(2001), Some(at(0))),
            Some(Stall { reported: true, .. })
        ));
        assert!(tilt.is_on());
    }

    #[test]
    fn it_ends_by_evidence_or_after_its_longest_time() {
        let mut tilt = Tilt::default();
        tilt.observe(at(5000), Some(at(0)));
        assert_eq!(tilt.end_if(at(5100), false), None);
        assert_eq!(tilt.end_if(at(5200), true), Some(Duration::from_millis(200)));
        tilt.observe(at(10_000), Some(at(5200)));
        assert!(tilt.end_if(at(40_000), false).is_some());
        assert_eq!(tilt.total(), 2);
    }
}
