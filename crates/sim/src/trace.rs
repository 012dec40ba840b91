//! What happened in a run: a hash of every step, and on demand a line for each that a person may want to see.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::Time;

/// The record of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: DefaultHasher,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A record that keeps lines, or only the hash.
    #[must_use]
    pub fn new(keeps_lines: bool) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            lines: keeps_lines.then(Vec::new),
        }
    }

    /// Notes that something happened, as numbers.
    pub fn step(&mut self, now: Time, what: impl Hash) {
        now.hash(&mut self.hasher);
        what.hash(&mut self.hasher);
    }

    /// Notes something that a person may want to see.
    pub fn line(&mut self, now: Time, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now:>8} {}", text()));
        }
    }

    /// Two runs with the same hash did the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// Whether there are lines since the last call of [`take_lines`](Self::take_lines).
    #[must_use]
    pub fn has_lines(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| !lines.is_empty())
    }

    /// The lines since the last call.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
