//! Figures of the listener, as `INFO` shows them.
//!
//! Owns counters that any task may raise. Orders nothing between threads: they are for people.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the listener counts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections: Counter,
    /// Turned away because there were too many clients.
    pub(crate) rejected: Counter,
    pub(crate) commands: Counter,
    pub(crate) errors: Counter,
    pub(crate) input_bytes: Counter,
    pub(crate) output_bytes: Counter,
    pub(crate) reads: Counter,
    pub(crate) writes: Counter,
    /// What ACLs refused: logins, commands, channels.
    pub(crate) denied_logins: Counter,
    pub(crate) denied_commands: Counter,
    pub(crate) denied_channels: Counter,
    rates: Mutex<Rates>,
}

/// Changes per second between the last two samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) commands: f64,
    pub(crate) input_bytes: f64,
    pub(crate) output_bytes: f64,
    last: (u64, u64, u64),
    last_ms: u64,
}

impl Stats {
    /// Takes a sample for the rates; to be called every second or so.
    pub(crate) fn sample(&self, now_ms: u64) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = (
            self.commands.get(),
            self.input_bytes.get(),
            self.output_bytes.get(),
        );
        let seconds = now_ms.saturating_sub(rates.last_ms).max(1) as f64 / 1000.0;
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        *rates = Rates {
            commands: rate(totals.0, rates.last.0),
            input_bytes: rate(totals.1, rates.last.1),
            output_bytes: rate(totals.2, rates.last.2),
            last: totals,
            last_ms: now_ms,
        };
    }

    pub(crate) fn rates(&self) -> Rates {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_between_two_samples() {
        let stats = Stats::default();
        stats.commands.add(100);
        stats.sample(1_000);
        stats.commands.add(50);
        stats.sample(1_500);
        assert!((stats.rates().commands - 100.0).abs() < 1e-9);
    }
}
