//! What happens, told to whoever counts it.
//!
//! Owns the list of what can be counted. Keeps no figure itself.

use std::time::Duration;

use bellwether_core::{Event, FailoverReceipt, GroupName};

/// Takes figures. Methods are called from the driver and from client tasks and must return at once.
#[expect(unused_variables, reason = "the defaults ignore what they are told")]
pub trait Telemetry: Send + Sync + 'static {
    /// The core told of an event.
    fn event(&self, event: &Event) {}

    /// A failover led here has ended.
    fn failover(&self, group: &GroupName, receipt: &FailoverReceipt) {}

    /// How late the driver came back to its loop: behind its timer, or behind the arrival of an input.
    fn loop_delay(&self, delay: Duration) {}

    /// The state was written and synced, or could not be.
    fn persisted(&self, took: Duration, ok: bool) {}

    /// Entries and bytes, those of a snapshot included, were written to the log that coordinators share, and synced. A
    /// write that fails ends the process.
    fn log_written(&self, took: Duration, entries: u64, bytes: u64) {}

    /// A connection to an instance or a peer broke or could not be set up.
    fn link_failed(&self) {}

    /// Certificates and keys were loaded anew, or could not be and those of before stay in use.
    fn certificates_loaded(&self, ok: bool) {}

    /// A client came.
    fn client_connected(&self) {}

    /// A client left, or was sent off.
    fn client_disconnected(&self) {}

    /// A client was turned away at the door, for this reason.
    fn client_refused(&self, reason: &'static str) {}

    /// A command was answered; `name` comes from the command table, so there are few.
    fn command(&self, name: &'static str, took: Duration) {}
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTelemetry;

impl Telemetry for NoTelemetry {}
