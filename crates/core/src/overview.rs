//! The whole state of a coordinator as plain data, for HTTP, metrics and tables. Ages are in milliseconds.

use crate::agreement::LogStatus;
use crate::failover::FailoverReceipt;

/// Everything.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Overview {
    /// Our id.
    pub id: String,
    /// The highest epoch seen.
    pub current_epoch: u64,
    /// How durable decisions are agreed on: `vote` or `raft`.
    pub coordination: &'static str,
    /// Whether observations are not trusted at the moment.
    pub tilt: bool,
    /// How often that was so since the start.
    pub tilt_total: u64,
    /// Why the last attempt to save the state failed, while it does.
    pub save_error: Option<String>,
    /// Events that were dropped because the disk did not take what they depend on, since the start.
    pub dropped_events: u64,
    /// Inputs that made no sense, since the start.
    pub odd_inputs: u64,
    /// Connections that broke or failed, since the start.
    pub link_failures: u64,
    /// The log that all coordinators share, where they do.
    pub log: Option<LogStatus>,
    /// The groups, by name.
    pub groups: Vec<GroupOverview>,
}

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOverview {
    /// Its name.
    pub name: String,
    /// The quorum.
    pub quorum: u32,
    /// The version of the primary's address.
    pub config_epoch: u64,
    /// `down-after-milliseconds`
    pub down_after_ms: u64,
    /// `failover-timeout`
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`
    pub parallel_syncs: u32,
    /// For how long the primary has been objectively down.
    pub odown_ms: Option<u64>,
    /// The state of the failover under way, as `SENTINEL MASTER` names it.
    pub failover_state: Option<&'static str>,
    /// The primary.
    pub primary: InstanceOverview,
    /// The replicas.
    pub replicas: Vec<InstanceOverview>,
    /// The other sentinels.
    pub sentinels: Vec<SentinelOverview>,
    /// Sentinels that watch the group and do not share our log.
    pub foreign: Vec<ForeignOverview>,
    /// Ended failovers, oldest first: those that were led here, or all where a log is shared.
    pub history: Vec<FailoverReceipt>,
}

/// A sentinel that watches a group and does not share our log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignOverview {
    /// Its id.
    pub id: String,
    /// Its host, as it says.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether an operator has accepted it; until then nothing is failed over by itself.
    pub accepted: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceOverview {
    /// Its host, as clients are told.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether a connection stands.
    pub connected: bool,
    /// For how long it has been subjectively down.
    pub sdown_ms: Option<u64>,
    /// The time since it last answered a ping well.
    pub last_ok_ping_ms: u64,
    /// The time since its last INFO.
    pub info_age_ms: Option<u64>,
    /// The role that it reports: `master` or `slave`.
    pub role_reported: &'static str,
    /// Its run id.
    pub run_id: Option<String>,
    /// Its replication offset.
    pub repl_offset: u64,
    /// Of a replica: what it says of itself and what its primary says of it.
    pub replication: Option<ReplicationOverview>,
}

/// The replication of one replica.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationOverview {
    /// The primary that it follows, as it reports it.
    pub primary_host: Option<String>,
    /// The port of that primary.
    pub primary_port: u16,
    /// Whether its link to that primary is up.
    pub link_up: bool,
    /// For how long that link has been down, in seconds; -1 if it never was up.
    pub link_down_s: i64,
    /// Its priority for promotion; 0 for never.
    pub priority: u32,
    /// How many bytes it was behind in the primary's last INFO.
    pub lag_bytes: Option<u64>,
    /// The seconds since its last acknowledgement in the primary's last INFO.
    pub lag_s: Option<u64>,
}

/// Another sentinel, as seen for one group.
#[derive(Clone, Debug, PartialEq)]
pub struct SentinelOverview {
    /// Its id.
    pub id: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether a connection stands.
    pub connected: bool,
    /// For how long it has been subjectively down.
    pub sdown_ms: Option<u64>,
    /// The time since it last answered a ping well.
    pub last_ok_ping_ms: u64,
    /// The time since its last hello for this group.
    pub last_hello_ms: u64,
}
