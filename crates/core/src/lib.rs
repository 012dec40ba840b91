//! The deciding part of Bellwether.
//!
//! It watches groups of one primary and its replicas, decides with its peers that a primary is down, and
//! replaces it. It has no clock, socket, file, thread or await: [`Coordinator::handle`] takes inputs,
//! [`Coordinator::poll_effect`] gives effects, [`Coordinator::poll_deadline`] says when to come back. The same
//! object runs in the daemon and in a simulator.

#![warn(missing_docs)]

mod absent;
mod addr;
mod agreement;
#[cfg(not(feature = "seeded-bugs"))]
mod bugs;
#[cfg(feature = "seeded-bugs")]
pub mod bugs;
mod command;
mod context;
mod coordinator;
mod deadlines;
mod decided;
mod decision;
mod discovery;
mod effect;
mod event;
mod failover;
mod foreign;
pub mod glob;
mod group;
mod id;
mod input;
mod instance;
mod invariants;
mod monitor;
mod names;
mod outbox;
mod overview;
mod peer;
mod quorum;
mod registry;
mod repair;
mod request;
mod settings;
mod shared;
mod tilt;
mod time;
mod tunables;

pub use addr::{Addr, Host, HostName};
pub use agreement::{
    Agreement, ClusterId, Decided, Duty, LogEntry, LogHardState, LogIdentity, LogMember, LogOrder, LogPlace,
    LogRole, LogSnapshot, LogStatus, LogWrite, ReplicatedLog, Standing, Vote,
};
pub use coordinator::Coordinator;
pub use decision::{Decision, GlobalChange, GroupChange};
pub use effect::{AddressBook, Command, Credentials, Effect, LinkKind, wire_addr};
pub use event::{Event, EventKind, Level, MAX_PAYLOAD_LEN};
pub use failover::{AbortReason, Cause, FailoverReceipt, FailoverRecord, Outcome, Phases};
pub use id::{BadId, ClientToken, ConfigEpoch, Epoch, GroupName, LinkId, PersistSeq, RequestId, SentinelId};
pub use input::{Input, Pong, Reply, Verdict};
pub use overview::{
    ForeignOverview, GroupOverview, InstanceOverview, Overview, ReplicationOverview, SentinelOverview,
};
pub use registry::{
    DEFAULT_DOWN_AFTER, DEFAULT_FAILOVER_TIMEOUT, DEFAULT_PARALLEL_SYNCS, Globals, GroupOptions, GroupRecord,
    LastVote, LogLevel, MAX_HISTORY, MAX_REPLICAS, MAX_SENTINELS, Registry, Secret,
};
pub use request::{Answer, CachedInfo, Listing, Refusal, RenewedPasswords, Request};
pub use settings::Settings;
pub use time::{Instant, whole_millis};
