//! What is kept of a failover: the record while it runs, the receipt when it has ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::Addr;
use crate::id::{Epoch, SentinelId};

/// Why a failover was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The primary was objectively down.
    ObjectivelyDown,
    /// An operator asked for it.
    Manual,
    /// An operator asked for a hand-over that loses no write.
    Coordinated,
}

/// A failover that this coordinator leads or seeks to lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverRecord {
    /// Its own epoch, which becomes the config epoch of the new primary.
    pub epoch: Epoch,
    /// Why it was begun.
    pub cause: Cause,
    /// The primary that is replaced.
    pub old_primary: Addr,
    /// The replica to promote, once chosen.
    pub candidate: Option<Addr>,
}

/// How a failover ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Another primary is installed and every reachable replica follows it.
    Completed,
    /// Another primary is installed; some replicas did not follow in time.
    CompletedLate,
    /// Nothing was changed, or what was changed is being undone.
    Aborted(AbortReason),
}

impl Outcome {
    /// Every end of a failover, for those who show each even before it has come.
    pub const ALL: [Self; 10] = [
        Self::Completed,
        Self::CompletedLate,
        Self::Aborted(AbortReason::NotElected),
        Self::Aborted(AbortReason::NoGoodReplica),
        Self::Aborted(AbortReason::CandidateTimeout),
        Self::Aborted(AbortReason::Refused),
        Self::Aborted(AbortReason::PrimaryTimeout),
        Self::Aborted(AbortReason::Superseded),
        Self::Aborted(AbortReason::Stalled),
        Self::Aborted(AbortReason::Withdrawn),
    ];

    /// One word for metrics and tables.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CompletedLate => "completed_late",
            Self::Aborted(reason) => reason.label(),
        }
    }
}

/// Why a failover was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortReason {
    /// No majority for this coordinator.
    NotElected,
    /// No replica may be promoted.
    NoGoodReplica,
    /// The chosen replica did not become a primary in time.
    CandidateTimeout,
    /// A server refused to change its role.
    Refused,
    /// The primary did not hand over in time.
    PrimaryTimeout,
    /// Another coordinator installed a newer configuration.
    Superseded,
    /// This coordinator did not run for so long that the others hold it for gone.
    Stalled,
    /// An operator reset or removed the group.
    Withdrawn,
}

impl AbortReason {
    /// One word for metrics and tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotElected => "not_elected",
            Self::NoGoodReplica => "no_good_replica",
            Self::CandidateTimeout => "candidate_timeout",
            Self::Refused => "refused",
            Self::PrimaryTimeout => "primary_timeout",
            Self::Superseded => "superseded",
            Self::Stalled => "stalled",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotElected => "no majority of the sentinels voted for this one",
            Self::NoGoodReplica => "no replica may be promoted",
            Self::CandidateTimeout => "the chosen replica did not become a primary in time",
            Self::Refused => "a server refused to change its role, see -reconf-refused",
            Self::PrimaryTimeout => "the primary could not be asked to hand over in time",
            Self::Superseded => "another sentinel installed a newer configuration",
            Self::Stalled => "this sentinel did not run for so long that another may lead by now",
            Self::Withdrawn => "an operator reset or removed the group",
        })
    }
}

/// The account of one failover that this coordinator led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverReceipt {
    /// Its epoch.
    pub epoch: Epoch,
    /// Why it was begun.
    pub cause: Cause,
    /// How it ended.
    pub outcome: Outcome,
    /// The primary that was to be replaced.
    pub old_primary: Addr,
    /// The replica that was chosen.
    pub candidate: Option<Addr>,
    /// Who voted for this coordinator, itself included.
    pub voters: Vec<SentinelId>,
    /// Replicas that were passed over, each with the reason in words.
    pub passed_over: Vec<(Addr, String)>,
    /// How long each phase took.
    pub phases: Phases,
}

impl FailoverReceipt {
    /// Why replicas were passed over, in one sentence; empty if none were.
    #[must_use]
    pub fn passed_over_in_words(&self) -> String {
        let named = self.passed_over.iter().take(MAX_NAMED);
        let mut words: Vec<_> = named.map(|(addr, why)| format!("{addr}: {why}")).collect();
        if let Some(more) = self
            .passed_over
            .len()
            .checked_sub(MAX_NAMED)
            .filter(|more| *more > 0)
        {
            words.push(format!("and {more} more"));
        }
        words.join("; ")
    }
}

/// How many replicas are named with their reasons: a log line is read by people.
const MAX_NAMED: usize = 8;

/// How long the phases of a failover took; `None` for a phase that was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// From the first sign of trouble to subjectively down.
    pub detection: Option<Duration>,
    /// From subjectively to objectively down.
    pub agreement: Option<Duration>,
    /// From the start of the failover to the election.
    pub election: Option<Duration>,
    /// From the election to the choice of a replica.
    pub selection: Option<Duration>,
    /// From the choice to the replica's being a primary.
    pub promotion: Option<Duration>,
    /// From the promotion to the last replica's following.
    pub reconfiguration: Option<Duration>,
}

impl Phases {
    /// Every phase with its name, in their order.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Option<Duration>); 6] {
        [
            ("detection", self.detection),
            ("agreement", self.agreement),
            ("election", self.election),
            ("selection", self.selection),
            ("promotion", self.promotion),
            ("reconfiguration", self.reconfiguration),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where an end stands among all: whoever adds one says so here.
    const fn place(outcome: &Outcome) -> usize {
        match outcome {
            Outcome::Completed => 0,
            Outcome::CompletedLate => 1,
            Outcome::Aborted(why) => match why {
                AbortReason::NotElected => 2,
                AbortReason::NoGoodReplica => 3,
                AbortReason::CandidateTimeout => 4,
                AbortReason::Refused => 5,
                AbortReason::PrimaryTimeout => 6,
                AbortReason::Superseded => 7,
                AbortReason::Stalled => 8,
                AbortReason::Withdrawn => 9,
            },
        }
    }

    #[test]
    fn all_ends_are_among_all_each_with_a_word_of_its_own() {
        let places: Vec<usize> = Outcome::ALL.iter().map(place).collect();
        assert_eq!(places, (0..10).collect::<Vec<_>>());
        let words = Outcome::ALL.each_ref().map(Outcome::label);
        let expected = [
            "completed",
            "completed_late",
            "not_elected",
            "no_good_replica",
            "candidate_timeout",
            "refused",
            "primary_timeout",
            "superseded",
            "stalled",
            "withdrawn",
        ];
        assert_eq!(words, expected);
        for outcome in &Outcome::ALL {
            if let Outcome::Aborted(why) = outcome {
                assert!(
                    why.to_string().contains(' '),
                    "{why:?} is explained in a sentence"
                );
            }
        }
    }
}
