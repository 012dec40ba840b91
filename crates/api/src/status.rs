//! How a coordinator itself is doing.

use serde::{Deserialize, Serialize};

use crate::Log;

/// The state of the coordinator that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The highest epoch that it has seen.
    pub current_epoch: u64,
    /// How durable decisions are agreed on: `vote` or `raft`.
    pub coordination: String,
    /// Whether it distrusts its observations at the moment, because its process did not run for a while.
    pub tilt: bool,
    /// How often that was so since the start.
    pub tilt_total: u64,
    /// Why its state cannot be saved, while it cannot.
    pub save_error: Option<String>,
    /// Inputs that made no sense, since the start.
    pub odd_inputs_total: u64,
    /// Connections that broke or could not be set up, since the start.
    pub link_failures_total: u64,
    /// The log that all coordinators share; `null` where they agree by votes.
    pub log: Option<Log>,
}

/// The answer of a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Whether all is well. The HTTP status says the same: 200 or 503.
    pub ok: bool,
    /// Why it is not, one sentence each.
    pub reasons: Vec<String>,
}

impl Check {
    /// A check that passes if there is no reason against it.
    #[must_use]
    pub const fn new(reasons: Vec<String>) -> Self {
        Self {
            ok: reasons.is_empty(),
            reasons,
        }
    }
}
