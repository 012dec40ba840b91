//! What the operating system tells the process.
//!
//! Owns the handlers of SIGTERM, SIGINT and SIGHUP. Only says that something is wanted; stopping and
//! reopening are done by others.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The signals that mean something, with their handlers installed.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Installs the handlers. From now on none of the signals ends the process by itself.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for signals until `stop` is cancelled: the first to end the daemon cancels `shutdown`, which begins an
    /// orderly stop, and the second one `stop`, so that nothing is awaited any more.
    pub(crate) async fn watch(
        mut self,
        shutdown: CancellationToken,
        stop: CancellationToken,
        hung_up: impl Fn() + Send,
    ) {
        loop {
            let name = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = self.hang_up.recv() => {
                    hung_up();
                    continue;
                }
                Some(()) = self.terminate.recv() => "SIGTERM",
                Some(()) = self.interrupt.recv() => "SIGINT",
            };
            if shutdown.is_cancelled() {
                info!("Received {name} once more, shutting down at once");
                stop.cancel();
            } else {
                info!("Received {name}, shutting down");
                shutdown.cancel();
            }
        }
    }
}
