//! The accept loop and its limits.
//!
//! Owns the connections. Whatever a client does or fails to do, it holds one of a fixed number of places for a
//! bounded time, and the rest of the daemon does not notice.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bellwether_server::Handle;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::routes::{Context, router};

/// Most headers of a request. Browsers and proxies send about 20.
const MAX_HEADERS: usize = 64;

/// Room for the head of a request, in bytes; beyond it the answer is 431. A group name takes at most 765 in a path.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// The pause after a failed accept. Such a failure means that file descriptors or memory are short, and only time helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Others wait in the backlog of the kernel.
    pub connections: usize,
    /// How long the head of a request may take to come, counted from the answer before it.
    pub head_timeout: Duration,
    /// How old a connection may get. It then ends after the answer under way.
    pub connection_age: Duration,
    /// How long an answer under way may still take when its connection is to end.
    pub grace: Duration,
    /// How long the driver may take for an answer.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A few scrapers, probes and people; each holds one for moments.
            connections: 64,
            // A probe sends its head in one packet; over the worst of links it takes a few seconds.
            head_timeout: Duration::from_secs(10),
            // Bounds who reads slowly, or asks for ever; reconnecting costs a client one round trip.
            connection_age: Duration::from_secs(60),
            // The daemon waits so long for its clients when it stops.
            grace: Duration::from_secs(3),
            // Prober deadlines are 1 to 10 s by custom; a loop that stalls for longer than this misses failures.
            answer_timeout: Duration::from_secs(2),
        }
    }
}

/// Serves HTTP on `listener` until `stop` is cancelled, with the limits that suit a daemon. Returns when the last
/// connection has ended, soon after `stop`.
pub async fn serve(listener: TcpListener, handle: Handle, metrics: Arc<Metrics>, stop: CancellationToken) {
    serve_with(listener, handle, metrics, Limits::default(), stop).await;
}

/// As [`serve`], with other limits.
pub async fn serve_with(
    listener: TcpListener,
    handle: Handle,
    metrics: Arc<Metrics>,
    limits: Limits,
    stop: CancellationToken,
) {
    let driver = Arc::new(Driver::new(handle, limits.answer_timeout));
    let router = router(Context { driver, metrics });
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(&listener, &router, &connections, limits, &stop) => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    connections: &TaskTracker,
    limits: Limits,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    // The semaphore is never closed, so a place always comes.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                debug!(%peer, "HTTP client connected");
                let served = connection(stream, router.clone(), limits, stop.clone(), place);
                connections.spawn(served);
            }
            Err(error) => {
                warn!(%error, "an HTTP connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_LEN)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(limits.connection_age) => None,
        () = stop.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.grace, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "HTTP connection ended"),
        Err(_) => debug!("HTTP connection cut off: its answer was not read in time"),
    }
}
