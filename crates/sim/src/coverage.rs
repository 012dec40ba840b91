//! What runs have met: a fault, an ending or a state that is never met is one that nothing was learnt about.

use std::collections::BTreeMap;
use std::fmt;

use bellwether_core::{AbortReason, Cause, EventKind, FailoverReceipt, Outcome};

use crate::shared_log::Coordination;

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
const MOMENTS: &[&str] = &[
    "crash-before-write",
    "crash-after-write",
    "leader-lost-electing",
    "leader-lost-selecting",
    "leader-lost-before-the-order",
    "leader-lost-promoting",
    "leader-lost-reconfiguring",
    "election-contested",
    "election-split",
    "stranger",
    "stranger-of-other-group",
    "strange-coordinator",
];

/// The same where a log is shared. There is no state in which a leader seeks votes: who leads the log leads, and a leader
/// that is lost within that one turn is met by chance alone.
const MOMENTS_OF_A_LOG: &[&str] = &[
    "crash-before-write",
    "crash-after-write",
    "leader-lost-selecting",
    "leader-lost-before-the-order",
    "leader-lost-promoting",
    "leader-lost-reconfiguring",
    "failover-taken-over",
    "election-contested",
    "election-split",
    "lead-handed-over",
    "majority-lost",
    "order-without-majority",
    "order-too-late",
    "log-snapshot-taken",
    "log-snapshot-from-leader",
    "frame-refused",
    "member-added",
    "member-replaced",
    "member-removed",
    "member-moved",
    "change-of-members-refused",
    "stranger",
    "stranger-of-other-group",
];

/// Why a failover is begun: a long run must have met each.
const CAUSES: &[Cause] = &[Cause::ObjectivelyDown, Cause::Manual, Cause::Coordinated];

/// How a failover ends: a long run must have met each that it can.
const OUTCOMES: &[Outcome] = &Outcome::ALL;

/// Why an end cannot be met in the simulated world, if it cannot. Whoever adds one to the core says so here.
const fn why_never(outcome: &Outcome, coordination: Coordination) -> Option<&'static str> {
    let by_vote = matches!(coordination, Coordination::Vote);
    match outcome {
        Outcome::Aborted(AbortReason::NotElected) if !by_vote => Some("who leads the log is elected"),
        Outcome::Aborted(AbortReason::Superseded) if !by_vote => Some("the log has one failover at a time"),
        Outcome::Aborted(AbortReason::Stalled) if !by_vote => Some("who stalled finds in the log what holds"),
        Outcome::Completed
        | Outcome::CompletedLate
        | Outcome::Aborted(
            AbortReason::NotElected
            | AbortReason::NoGoodReplica
            | AbortReason::CandidateTimeout
            | AbortReason::Refused
            | AbortReason::PrimaryTimeout
            | AbortReason::Superseded
            | AbortReason::Stalled
            | AbortReason::Withdrawn,
        ) => None,
    }
}

/// The moment at which a leader is lost whose failover is in this state, as `SENTINEL MASTER` names it.
pub(crate) fn leader_lost(state: &str) -> &'static str {
    match state {
        "wait_start" => "leader-lost-electing",
        "select_slave" => "leader-lost-selecting",
        "send_slaveof_noone" => "leader-lost-before-the-order",
        "wait_promotion" => "leader-lost-promoting",
        _ => "leader-lost-reconfiguring",
    }
}

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

    /// What of `kinds` of faults was never met.
    #[must_use]
    pub fn missing_faults(&self, kinds: &[&'static str]) -> Vec<String> {
        let faults = kinds.iter().filter(|kind| !self.faults.contains_key(*kind));
        faults.map(|kind| format!("fault {kind}")).collect()
    }

    /// What was never met of all that a world of every kind must show, by how its coordinators agree: moments, causes, and
    /// ends.
    #[must_use]
    pub fn missing(&self, coordination: Coordination) -> Vec<String> {
        let moments = match coordination {
            Coordination::Vote => MOMENTS,
            Coordination::Raft => MOMENTS_OF_A_LOG,
        };
        let moments = moments
            .iter()
            .filter(|moment| !self.moments.contains_key(*moment));
        let causes = CAUSES.iter().map(|cause| cause_name(*cause));
        let causes = causes.filter(|cause| !self.failovers.keys().any(|(met, _)| met == cause));
        let outcomes = OUTCOMES.iter().filter(|outcome| {
            let met = self.failovers.keys().any(|(_, met)| *met == outcome.label());
            !met && why_never(outcome, coordination).is_none()
        });
        moments
            .map(|moment| format!("moment {moment}"))
            .chain(causes.map(|cause| format!("cause {cause}")))
            .chain(outcomes.map(|outcome| format!("end {}", outcome.label())))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run has met that has met everything.
    fn full() -> Coverage {
        let mut coverage = Coverage::default();
        for moment in MOMENTS.iter().chain(MOMENTS_OF_A_LOG) {
            coverage.count(moment);
        }
        for cause in CAUSES {
            for outcome in OUTCOMES {
                coverage
                    .failovers
                    .insert((cause_name(*cause), outcome.label()), 1);
            }
        }
        coverage
    }

    #[test]
    fn what_was_never_met_is_named() {
        for coordination in Coordination::ALL {
            assert!(full().missing(*coordination).is_empty());
        }
        let mut coverage = full();
        coverage.moments.remove("leader-lost-selecting");
        coverage
            .failovers
            .retain(|(cause, end), _| *cause != "manual" && *end != "stalled");
        coverage.moments.remove("member-moved");
        assert_eq!(
            coverage.missing(Coordination::Vote),
            ["moment leader-lost-selecting", "cause manual", "end stalled"]
        );
        assert_eq!(
            coverage.missing(Coordination::Raft),
            [
                "moment leader-lost-selecting",
                "moment member-moved",
                "cause manual"
            ],
            "nobody stalls who shares a log"
        );
    }

    #[test]
    fn kinds_of_faults_are_missed_by_their_words() {
        let mut coverage = Coverage::default();
        coverage.fault("crash-server");
        assert_eq!(
            coverage.missing_faults(&["crash-server", "split"]),
            ["fault split"]
        );
    }

    #[test]
    fn each_state_of_a_failover_is_a_moment_to_lose_the_leader_in() {
        let states = [
            "wait_start",
            "select_slave",
            "send_slaveof_noone",
            "wait_promotion",
            "reconf_slaves",
        ];
        let moments: std::collections::BTreeSet<_> = states.map(leader_lost).into();
        assert_eq!(moments.len(), states.len());
        assert!(moments.iter().all(|moment| MOMENTS.contains(moment)));
    }
}
