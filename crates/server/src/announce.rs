//! What happens, told: to the log, to subscribers, to who counts, in this order.
//!
//! For all who have something to tell, so that one event looks the same wherever it comes from. Never waits.

use std::fmt;
use std::sync::Arc;

use bellwether_core::{Event, Level};
use tracing::event;

use crate::hub::Hub;
use crate::telemetry::Telemetry;

/// The way to everyone who listens to events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Announcer {
    hub: Arc<Hub>,
    telemetry: Arc<dyn Telemetry>,
}

impl Announcer {
    pub(crate) fn new(hub: Arc<Hub>, telemetry: Arc<dyn Telemetry>) -> Self {
        Self { hub, telemetry }
    }

    /// Tells of one event.
    pub(crate) fn announce(&self, event: &Event) {
        log(event);
        if event.kind.level() > Level::Debug {
            self.hub.publish(event.kind.name(), &event.payload);
        }
        self.telemetry.event(event);
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

/// One line, with the reason at its end for people. Log levels are those of the reference, one step apart
/// from ours in name: its "verbose" is our debug.
fn log(event: &Event) {
    macro_rules! line {
        ($level:ident) => {
            match &event.reason {
                Some(reason) => event!(target: "bellwether::event", tracing::Level::$level, reason, "{event}"),
                None => event!(target: "bellwether::event", tracing::Level::$level, "{event}"),
            }
        };
    }
    match event.kind.level() {
        Level::Debug => line!(TRACE),
        Level::Verbose => line!(DEBUG),
        Level::Notice => line!(INFO),
        Level::Warning => line!(WARN),
    }
}
