//! What the HTTP interface says, as data.
//!
//! These types are a contract: fields are added, never renamed, removed or given another meaning, and a reader must
//! skip fields that it does not know. Units stand at the ends of names. A figure that is not known is `null`, never
//! zero. The crate knows no other crate of ours, so that a client can use it alone; it holds no logic.

#![warn(missing_docs)]

mod failover;
mod group;
mod log;
mod problem;
mod status;

pub use failover::{Failover, PassedOver, PhasesMs};
pub use group::{ForeignSentinel, Group, GroupList, Instance, Replication, Role, Sentinel};
pub use log::{Log, LogMember};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
pub use status::{Check, Status};
