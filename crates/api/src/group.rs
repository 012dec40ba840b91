//! A monitored group and its members.

use serde::{Deserialize, Serialize};

use crate::{Failover, Status};

/// All groups, with the state of the coordinator that sees them so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupList {
    /// The coordinator.
    pub status: Status,
    /// The groups, by name.
    pub groups: Vec<Group>,
}

/// One primary with its replicas and the other sentinels that watch it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The name that clients ask for.
    pub name: String,
    /// How many sentinels must see the primary down.
    pub quorum: u32,
    /// The version of the primary's address.
    pub config_epoch: u64,
    /// How long an instance may be silent before it is subjectively down.
    pub down_after_ms: u64,
    /// How long a step of a failover may take.
    pub failover_timeout_ms: u64,
    /// How many replicas may synchronise with a new primary at the same time.
    pub parallel_syncs: u32,
    /// For how long the primary has been objectively down; `null` if it is not.
    pub odown_for_ms: Option<u64>,
    /// The state of the failover that this coordinator leads, as `SENTINEL MASTER` names it; `null` without one.
    pub failover_state: Option<String>,
    /// The primary.
    pub primary: Instance,
    /// The replicas, in the order of their addresses.
    pub replicas: Vec<Instance>,
    /// The other sentinels, in the order of their ids.
    pub sentinels: Vec<Sentinel>,
    /// Sentinels that watch the group and do not share the log of the coordinators; none where they agree by votes.
    #[serde(default)]
    pub foreign_sentinels: Vec<ForeignSentinel>,
    /// Failovers that have ended, oldest first: those led by this coordinator, or by any where a log is shared. Only
    /// the latest ones are kept.
    pub failovers: Vec<Failover>,
}

/// The part that a server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// One Redis or Valkey server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Host and port as clients are told, `host:port`; an IPv6 host stands in brackets.
    pub address: String,
    /// The role that it reports itself. It need not be the role that it has in the group.
    pub role: Role,
    /// Its run id, once known.
    pub run_id: Option<String>,
    /// Whether a connection to it stands.
    pub connected: bool,
    /// For how long it has been subjectively down; `null` if it is not.
    pub sdown_for_ms: Option<u64>,
    /// The time since it last answered a ping well.
    pub last_ok_ping_ms: u64,
    /// The time since it last told its state; `null` if it never did.
    pub info_age_ms: Option<u64>,
    /// Its replication offset, in bytes.
    pub offset: u64,
    /// Of a replica: how its replication is doing.
    pub replication: Option<Replication>,
}

/// The replication of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// The address of the primary that it says it follows.
    pub primary_address: Option<String>,
    /// Whether its link to that primary is up.
    pub link_up: bool,
    /// For how long that link has been down; `null` if it is up or never was.
    pub link_down_for_s: Option<u64>,
    /// Its priority for promotion: lower is better, 0 is never.
    pub priority: u32,
    /// How many bytes it was behind when the primary last told.
    pub lag_bytes: Option<u64>,
    /// How many seconds ago it last acknowledged when the primary last told.
    pub lag_s: Option<u64>,
}

/// Another sentinel, as seen for one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// Its id.
    pub id: String,
    /// Host and port, `host:port`; an IPv6 host stands in brackets.
    pub address: String,
    /// Whether a connection to it stands.
    pub connected: bool,
    /// For how long it has been subjectively down; `null` if it is not.
    pub sdown_for_ms: Option<u64>,
    /// The time since it last answered a ping well.
    pub last_ok_ping_ms: u64,
    /// The time since its last hello for this group.
    pub last_hello_ms: u64,
}

/// A sentinel that watches a group and does not share the log of the coordinators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignSentinel {
    /// Its id.
    pub id: String,
    /// Host and port as it says, `host:port`; an IPv6 host stands in brackets.
    pub address: String,
    /// Whether an operator has accepted it. Until then, or until it is gone, the group is failed over by order only.
    pub accepted: bool,
}
