//! Everything of the daemon that touches the operating system.
//!
//! The deciding part is [`bellwether_core::Coordinator`], which has no clock, socket or file. This crate gives
//! it those: the driver is the one task that owns the coordinator and carries out what it asks for, and
//! everything else talks to the driver through a [`Handle`] or is told what to do by it.
//!
//! This crate decides nothing about groups, replicas or failovers. It knows no metrics library and no HTTP:
//! who wants figures implements [`Telemetry`].

mod access;
mod announce;
mod client;
mod clock;
mod command;
mod daemon;
mod detach;
mod disk;
mod driver;
mod endpoint;
mod handle;
mod hub;
mod link;
mod listener;
mod log;
mod resolver;
mod script;
mod secrets;
mod signal;
mod small_file;
mod stats;
mod supervisor;
mod telemetry;
mod tls;

pub use access::{Access, AccessError, FileError};
pub use clock::Clock;
pub use daemon::{Daemon, DaemonError, Start, enter_directory};
pub use detach::{Detached, Readiness, detach};
pub use disk::{LOG_FILE, LockError, LogStore, LogStoreError, MAX_STATE_BYTES, StateLock};
pub use driver::{DriverError, SaveFailure};
pub use endpoint::Endpoint;
pub use handle::{Ask, Handle, HandleEnd, MAX_WAITING_ASKS, Stopped};
pub use hub::{Delivery, Hub, MAX_SUBSCRIBER_BYTES, Message, SubscribeError, Subscriber};
pub use listener::{Context, Entrance, Identity, Limits, serve};
pub use log::{Log, LogError};
pub use script::{PendingScript, Runner, ScriptSettings, ScriptState};
pub use secrets::{SecretError, is_absent_credential, read_secret_file};
pub use small_file::read_small_text;
pub use supervisor::{Supervisor, Systemd};
pub use telemetry::{NoTelemetry, Telemetry};
pub use tls::{Caller, CallerFiles, SecureStream, Tls, TlsError};
