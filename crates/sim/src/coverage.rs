//! What runs have met: a fault, an ending or a state that is never met is one that nothing was learnt about.

use std::collections::BTreeMap;
use std::fmt;

use bellwether_core::{Cause, EventKind, FailoverReceipt};

/// Counts, by what was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Failovers, by cause and how they ended.
    pub failovers: BTreeMap<(&'static str, &'static str), u64>,
    /// Events of coordinators, by name.
    pub events: BTreeMap<&'static str, u64>,
    /// Moments that are hard to hit.
    pub moments: BTreeMap<&'static str, u64>,
    /// Acknowledged writes, and how many of them were lost where that may happen.
    pub writes: (u64, u64),
}

/// The moments that a long run must have met.
pub const MOMENTS: &[&str] = &[
    "crash-before-write",
    "crash-after-write",
    "leader-lost-electing-or-selecting",
    "leader-lost-promoting",
    "leader-lost-reconfiguring",
];

/// The word for a cause.
#[must_use]
pub(crate) const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::ObjectivelyDown => "objectively-down",
        Cause::Manual => "manual",
        Cause::Coordinated => "coordinated",
    }
}

impl Coverage {
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn event(&mut self, kind: EventKind) {
        *self.events.entry(kind.name()).or_default() += 1;
    }

    pub(crate) fn count(&mut self, moment: &'static str) {
        *self.moments.entry(moment).or_default() += 1;
    }

    pub(crate) fn failover(&mut self, receipt: &FailoverReceipt) {
        let key = (cause_name(receipt.cause), receipt.outcome.label());
        *self.failovers.entry(key).or_default() += 1;
    }

    /// How many failovers have ended, well or not.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.failovers.values().sum()
    }

    /// Adds what another run has met.
    pub fn merge(&mut self, other: &Self) {
        fn add<K: Ord + Copy>(sum: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
            for (key, count) in more {
                *sum.entry(*key).or_default() += count;
            }
        }
        add(&mut self.faults, &other.faults);
        add(&mut self.failovers, &other.failovers);
        add(&mut self.events, &other.events);
        add(&mut self.moments, &other.moments);
        self.writes.0 += other.writes.0;
        self.writes.1 += other.writes.1;
    }

    /// What of `kinds` of faults, and of the moments, was never met.
    #[must_use]
    pub fn missing(&self, kinds: &[&'static str], moments: &[&'static str]) -> Vec<&'static str> {
        let faults = kinds.iter().filter(|kind| !self.faults.contains_key(*kind));
        let moments = moments
            .iter()
            .filter(|moment| !self.moments.contains_key(*moment));
        faults.chain(moments).copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {kind:<40} {count:>10}")?;
        }
        writeln!(f, "failovers by cause and end")?;
        for ((cause, outcome), count) in &self.failovers {
            writeln!(f, "  {:<40} {count:>10}", format!("{cause} {outcome}"))?;
        }
        writeln!(f, "moments")?;
        for (moment, count) in &self.moments {
            writeln!(f, "  {moment:<40} {count:>10}")?;
        }
        writeln!(f, "events")?;
        for (event, count) in &self.events {
            writeln!(f, "  {event:<40} {count:>10}")?;
        }
        write!(
            f,
            "writes acknowledged {}, lost where that may happen {}",
            self.writes.0, self.writes.1
        )
    }
}
