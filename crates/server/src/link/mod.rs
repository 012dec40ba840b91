//! Connections to monitored servers and to other sentinels.
//!
//! Owns one task per connection and the queues between those tasks and the driver. A link never reconnects:
//! it reports that it is gone, and the core asks for a new one under a new number. (The one exception is the
//! subscribing half of an instance that speaks RESP2 only, which the core does not see.)
//!
//! Nothing in here decides whether a server is well. Answers are put into the core's words and handed over
//! with the time at which their bytes were read.

mod connection;
mod pubsub;
mod replies;
mod socket;
mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Command, Input, Instant, LinkId, LinkKind, RequestId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::tls::Tls;

/// The channel of hello messages.
pub(crate) const HELLO_CHANNEL: &str = "__sentinel__:hello";

/// How many writes may wait for one link. The core stops at 100 unanswered commands, and no link is given
/// more than a few writes a second; a link that is this far behind has a peer that reads nothing.
const MAX_QUEUED_BATCHES: usize = 128;

/// How long a connection attempt may take. The kernel repeats a lost SYN after one second, so waiting longer
/// gains nothing over a new attempt, which the core makes anyway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server may take to answer the greeting, the TLS handshake in front of it included. Generous, because a server that is slow but answers is
/// not down: whether it is, the core judges by its own clock, which runs all this while.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// What reaches the driver from links, resolver and disk: when it came, and what.
pub(crate) type Arrived = (Instant, Input);

/// Commands of one write.
pub(crate) type Batch = Vec<(RequestId, Command)>;

/// A write on its way, and from when on it must not leave any more.
type Outgoing = (Batch, Option<Instant>);

/// What all links share.
#[derive(Debug)]
pub(crate) struct LinkSettings {
    /// What connections are named after: the start of our own id, or what tells members of one log apart.
    pub(crate) label: String,
    /// The address that connections are made from; `None` lets the system choose.
    pub(crate) source: Option<IpAddr>,
    /// What connections are encrypted with; `None` leaves them plain.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The open links, by number.
#[derive(Debug)]
pub(crate) struct Links {
    open: HashMap<LinkId, OpenLink>,
    context: Context,
    tasks: TaskTracker,
}

/// What the task of a link needs.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    settings: Arc<LinkSettings>,
    clock: Clock,
    reports: mpsc::Sender<Arrived>,
}

/// The driver's end of a link. Dropping it ends the link's task wherever it stands.
#[derive(Debug)]
struct OpenLink {
    batches: mpsc::Sender<Outgoing>,
    task: AbortHandle,
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A link could not take a write: its queue is full or its task is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the other side does not read what it is sent")]
    Stuck,
    #[error("the link has ended")]
    Ended,
}

impl Links {
    pub(crate) fn new(
        settings: LinkSettings,
        clock: Clock,
        reports: mpsc::Sender<Arrived>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            open: HashMap::new(),
            context: Context {
                settings: Arc::new(settings),
                clock,
                reports,
            },
            tasks,
        }
    }

    /// Begins a connection; what becomes of it is reported.
    pub(crate) fn connect(&mut self, link: LinkId, to: SocketAddr, kind: LinkKind) {
        let (batches, queue) = mpsc::channel(MAX_QUEUED_BATCHES);
        let task = connection::run(link, to, kind, queue, self.context.clone());
        let task = self.tasks.spawn(task).abort_handle();
        self.open.insert(link, OpenLink { batches, task });
    }

    /// Ends a link without a report, or forgets one that has reported its end.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// Hands over commands without waiting. After an error the link is gone and will not report that itself.
    /// What has not left before `until` does not leave any more: the link ends instead.
    pub(crate) fn send(
        &mut self,
        link: LinkId,
        batch: Batch,
        until: Option<Instant>,
    ) -> Result<(), SendError> {
        let Some(open) = self.open.get(&link) else {
            // It has ended, and the report is on its way to the core.
            return Ok(());
        };
        let Err(error) = open.batches.try_send((batch, until)) else {
            return Ok(());
        };
        match error {
            mpsc::error::TrySendError::Full(_) => {
                self.open.remove(&link);
                Err(SendError::Stuck)
            }
            // It has ended, and the report is on its way here.
            mpsc::error::TrySendError::Closed(_) => Err(SendError::Ended),
        }
    }
}

impl Context {
    /// Tells the driver; `false` if there is none any more.
    async fn report(&self, arrived: Instant, input: Input) -> bool {
        self.reports.send((arrived, input)).await.is_ok()
    }

    /// The name of a connection, by which operators tell coordinators apart in `CLIENT LIST`. As Sentinel.
    fn client_name(&self, half: &str) -> String {
        format!("sentinel-{}-{half}", self.settings.label)
    }
}

#[cfg(test)]
mod tests;
