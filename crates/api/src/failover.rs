//! The account of a failover.

use serde::{Deserialize, Serialize};

/// A failover that has ended and that the answering coordinator led, or sought to lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// Its epoch.
    pub epoch: u64,
    /// Why it was begun: `odown`, `manual` or `coordinated`.
    pub cause: String,
    /// How it ended, in one word: `completed`, `completed_late`, or why it was given up.
    pub outcome: String,
    /// How it ended, in one sentence.
    pub outcome_text: String,
    /// The address of the primary that was to be replaced.
    pub old_primary: String,
    /// The address of the replica that was chosen, if one was.
    pub candidate: Option<String>,
    /// The ids of those who voted for this coordinator, itself included.
    pub voters: Vec<String>,
    /// The replicas that were not chosen for a reason.
    pub passed_over: Vec<PassedOver>,
    /// How long each phase took.
    pub phases_ms: PhasesMs,
}

/// A replica that could not be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its address.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// How long the phases of a failover took, in milliseconds with fractions; `null` for a phase that was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct PhasesMs {
    /// From the first sign of trouble to subjectively down.
    pub detection: Option<f64>,
    /// From subjectively to objectively down.
    pub agreement: Option<f64>,
    /// From the start of the failover to the election.
    pub election: Option<f64>,
    /// From the election to the choice of a replica.
    pub selection: Option<f64>,
    /// From the choice to the replica's being a primary.
    pub promotion: Option<f64>,
    /// From the promotion to the last replica's following.
    pub reconfiguration: Option<f64>,
}
