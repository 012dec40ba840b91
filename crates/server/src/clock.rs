//! The clock that the core is given.
//!
//! Owns the start of the run. Never reads the wall clock.

use std::time;

use bellwether_core::Instant;

/// Readings since the start of the process.
///
/// It goes on while the process is stopped by a signal, so that the time slept through can be seen; it is
/// not moved by anyone who sets the date.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: time::Instant,
}

impl Clock {
    /// A clock that begins now. One run has one clock: readings of two cannot be compared.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: time::Instant::now(),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::new(self.start.elapsed())
    }

    /// When `instant` is by the runtime's timers; `None` if that is beyond what they can count.
    #[must_use]
    pub fn to_tokio(self, instant: Instant) -> Option<tokio::time::Instant> {
        self.start.checked_add(instant.since_start()).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_from_zero() {
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(Instant::ZERO <= first && first <= second);
        assert!(clock.to_tokio(first).is_some());
        assert!(clock.to_tokio(second) >= clock.to_tokio(first));
    }

    #[test]
    fn a_time_beyond_all_timers_is_never() {
        assert_eq!(Clock::start().to_tokio(Instant::new(time::Duration::MAX)), None);
    }
}
