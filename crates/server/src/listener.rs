//! The port that clients and other sentinels talk to.
//!
//! Owns accepting, the limits on all connections together, and the sweep that closes those that idle. What is
//! said on a connection is the business of [`client`](crate::client) and [`command`](crate::command).
//!
//! Memory is bounded whatever clients do: an idle connection holds no buffer, a request is bounded before and
//! after authentication, replies are written before more is read, subscribers that lag are cut off, and all
//! buffers together have a limit beyond which the connection that wants more is closed.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bellwether_conf::{CommandNames, OutputLimit};
use bellwether_core::whole_millis;
use bellwether_resp::RequestLimits;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::client::connection::Connection;
use crate::client::pause::Pause;
use crate::client::{Client, Clients};
use crate::command::Names;
use crate::endpoint::Endpoint;
use crate::handle::Handle;
use crate::hub::Hub;
use crate::script::Runner;
use crate::stats::Stats;
use crate::telemetry::Telemetry;
use crate::tls::{Socket, Stream, Tls};

/// How long accepting pauses when the process is out of file descriptors or memory. Each try costs a system
/// call that fails, and a descriptor rarely comes free sooner.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often idle and stalled connections are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a client has to authenticate where a password is set. People type it in less.
const AUTHENTICATION_LIMIT_MS: u64 = 60_000;

/// How long a client may leave a reply unread. As long as the reference tolerates a slow subscriber.
const STALL_LIMIT_MS: u64 = 60_000;

/// How long connections get to end by themselves at shutdown. Replies fit into the socket's buffer unless the
/// client stopped reading, so this is rarely used up.
const FAREWELL: Duration = Duration::from_millis(500);

/// Most bytes in the buffers of all connections together. Normal clients use a few KiB while they talk and none
/// while they idle; what is over must not push the process out of memory.
const MAX_BUFFERED_BYTES: usize = 256 * 1024 * 1024;

/// How often a warning that clients can provoke at will is logged at most.
const WARN_EVERY_MS: u64 = 60_000;

/// Where clients come in.
#[derive(Debug)]
pub enum Entrance {
    /// By a port.
    Tcp {
        /// The port.
        listener: TcpListener,
        /// What connections are encrypted with; `None` leaves them plain.
        tls: Option<Arc<Tls>>,
    },
    /// By a file.
    Unix(UnixEntrance),
}

/// A file where clients of this machine come in.
#[derive(Debug)]
pub struct UnixEntrance {
    pub(crate) listener: UnixListener,
    pub(crate) path: Arc<Path>,
    /// Removes the file when it is dropped.
    pub(crate) _file: Box<dyn fmt::Debug + Send + Sync>,
}

impl Entrance {
    /// What is spoken here and where, as [`Identity::listeners`] has it.
    pub(crate) fn address(&self) -> Option<(&'static str, Endpoint)> {
        match self {
            Self::Tcp { listener, tls } => {
                let name = if tls.is_some() { "tls" } else { "tcp" };
                Some((name, listener.local_addr().ok()?.into()))
            }
            Self::Unix(entrance) => Some(("unix", Endpoint::Unix(Arc::clone(&entrance.path)))),
        }
    }

    const fn tls(&self) -> Option<&Arc<Tls>> {
        match self {
            Self::Tcp { tls, .. } => tls.as_ref(),
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp { listener, .. } => {
                let (stream, peer) = listener.accept().await?;
                let local = stream.local_addr()?;
                Ok(Arrival {
                    peer: peer.into(),
                    local: local.into(),
                    socket: stream.into(),
                })
            }
            Self::Unix(entrance) => {
                let (stream, _) = entrance.listener.accept().await?;
                let path = Endpoint::Unix(Arc::clone(&entrance.path));
                Ok(Arrival {
                    peer: path.clone(),
                    local: path,
                    socket: stream.into(),
                })
            }
        }
    }
}

impl From<TcpListener> for Entrance {
    /// Without TLS.
    fn from(listener: TcpListener) -> Self {
        Self::Tcp { listener, tls: None }
    }
}

/// A connection that was just accepted.
struct Arrival {
    socket: Socket,
    peer: Endpoint,
    local: Endpoint,
}

/// Everything that answering clients needs from the rest of the daemon.
#[derive(Clone)]
pub struct Context {
    /// The way to the driver.
    pub handle: Handle,
    /// The published events.
    pub hub: Arc<Hub>,
    /// Who may come in.
    pub access: Access,
    /// By which names clients call the commands.
    pub command_names: CommandNames,
    /// What clients may use.
    pub limits: Limits,
    /// What `INFO` and `HELLO` say of us.
    pub identity: Identity,
    /// Who counts.
    pub telemetry: Arc<dyn Telemetry>,
    /// The scripts of operators.
    pub scripts: Runner,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("identity", &self.identity)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What clients may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections (`maxclients`).
    pub max_clients: usize,
    /// After how much silence a connection is closed (`timeout`); subscribers are spared.
    pub idle_timeout: Option<Duration>,
    /// How long a connection is silent before the kernel probes it (`tcp-keepalive`).
    pub keepalive: Option<Duration>,
    /// Whether clients from elsewhere are turned away while no password is set (`protected-mode`).
    pub protected_mode: bool,
    /// How much may wait for one that does not read its replies.
    pub replies: OutputLimit,
    /// How large requests may be.
    pub requests: RequestLimits,
}

impl Default for Limits {
    /// The defaults of the reference.
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            idle_timeout: None,
            keepalive: Some(Duration::from_secs(300)),
            protected_mode: false,
            replies: OutputLimit::default(),
            requests: RequestLimits::default(),
        }
    }
}

/// What this process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Our version.
    pub version: String,
    /// The id of this run: 40 hexadecimal characters, another one at each start. Not the sentinel's id.
    pub run_id: String,
    /// The port.
    pub port: u16,
    /// Where we listen, and for what: `tcp`, `tls` or `unix`.
    pub listeners: Vec<(&'static str, Endpoint)>,
    /// The supervisor, as `INFO` names it.
    pub supervised: &'static str,
    /// The path of the configuration file; empty without one.
    pub config_file: String,
    /// The path of the program.
    pub executable: String,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) context: Context,
    pub(crate) names: Names,
    pub(crate) clients: Clients,
    pub(crate) stats: Stats,
    pub(crate) pause: Pause,
    buffered: AtomicUsize,
    last_warning_ms: AtomicU64,
    last_handshake_ms: AtomicU64,
}

impl Server {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            names: Names::new(&context.command_names),
            context,
            clients: Clients::default(),
            stats: Stats::default(),
            pause: Pause::default(),
            buffered: AtomicUsize::new(0),
            last_warning_ms: AtomicU64::new(0),
            last_handshake_ms: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the start, never 0.
    pub(crate) fn now_ms(&self) -> u64 {
        whole_millis(self.context.handle.clock().now().since_start()).max(1)
    }

    /// Accounts a connection whose buffers grew or shrank; `false` if there is no room for that.
    pub(crate) fn account(&self, before: usize, now: usize) -> bool {
        if now < before {
            self.buffered.fetch_sub(before - now, Ordering::Relaxed);
            return true;
        }
        let more = now - before;
        self.buffered.fetch_add(more, Ordering::Relaxed) + more <= MAX_BUFFERED_BYTES
    }

    /// Whether a warning that clients can provoke at will may be logged now.
    pub(crate) fn may_warn(&self) -> bool {
        self.may_say(&self.last_warning_ms)
    }

    /// The same for TLS handshakes that fail, so that these never take the place of a warning.
    pub(crate) fn may_tell_of_handshake(&self) -> bool {
        self.may_say(&self.last_handshake_ms)
    }

    fn may_say(&self, last_said_ms: &AtomicU64) -> bool {
        let (last, now) = (last_said_ms.load(Ordering::Relaxed), self.now_ms());
        (last == 0 || now.saturating_sub(last) >= WARN_EVERY_MS)
            && last_said_ms
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Serves clients until `stop` is cancelled, and then closes their connections.
pub async fn serve(entrances: Vec<Entrance>, context: Context, stop: CancellationToken) {
    let server = Arc::new(Server::new(context));
    let connections = TaskTracker::new();
    let acceptors = TaskTracker::new();
    for entrance in entrances {
        acceptors.spawn(accept(
            entrance,
            Arc::clone(&server),
            connections.clone(),
            stop.clone(),
        ));
    }
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => {
                server.stats.sample(server.now_ms());
                close_idle(&server, server.now_ms());
            }
        }
    }
    acceptors.close();
    acceptors.wait().await;
    server.clients.snapshot().iter().for_each(|client| client.close());
    connections.close();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        tracing::info!(
            count = connections.len(),
            "connections were still open at shutdown"
        );
    }
}

async fn accept(entrance: Entrance, server: Arc<Server>, connections: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = entrance.accept() => accepted,
        };
        match accepted {
            Ok(arrival) => {
                if let Some(connection) = welcome(&server, arrival, entrance.tls().map(|tls| &**tls)) {
                    connections.spawn(connection.run());
                }
            }
            // The connection was gone before we took it.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if server.may_warn() {
                    tracing::warn!(%error, "cannot accept connections, trying again every {ACCEPT_PAUSE:?}");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// Takes a connection in, or turns it away with the reason.
fn welcome(server: &Arc<Server>, arrival: Arrival, tls: Option<&Tls>) -> Option<Connection> {
    let Arrival { socket, peer, local } = arrival;
    let limits = &server.context.limits;
    server.stats.connections.add(1);
    let turn_away = |reason: &'static str, text: &str| {
        server.context.telemetry.client_refused(reason);
        // Into the empty buffer of a new socket, so it does not wait; if it fails the client just sees the end.
        // As Sentinel, nothing in front of a TLS handshake, where it would not be understood.
        if tls.is_none() {
            let _ = socket.try_write(text.as_bytes());
        }
        None
    };
    if limits.protected_mode && !server.context.access.needs_password() && !peer.is_local() {
        server.stats.rejected.add(1);
        return turn_away("protected-mode", PROTECTED);
    }
    let client = Client::new(
        server.clients.next_id(),
        peer,
        local,
        socket.as_raw_fd(),
        server.now_ms(),
    );
    let client = Arc::new(client);
    if !server.clients.enter(&client, limits.max_clients) {
        server.stats.rejected.add(1);
        return turn_away("maxclients", "-ERR max number of clients reached\r\n");
    }
    if let Socket::Tcp(stream) = &socket
        && let Err(error) = set_options(stream, limits.keepalive)
    {
        tracing::debug!(peer = %client.peer, %error, "cannot set the options of a connection");
    }
    let stream = match tls {
        None => Stream::plain(socket),
        Some(tls) => match Stream::called(socket, tls.server()) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(peer = %client.peer, %error, "cannot begin TLS");
                server.clients.leave(client.id);
                return None;
            }
        },
    };
    server.context.telemetry.client_connected();
    Some(Connection::new(stream, Arc::clone(server), client))
}

fn set_options(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(idle) = keepalive {
        // As Sentinel: three probes within about the same time again.
        let interval = (idle / 3).max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval)
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// Closes the connections that stay silent, unauthenticated or unread for too long.
fn close_idle(server: &Server, now_ms: u64) {
    let must_log_in = server.context.access.needs_password();
    let idle_limit_ms = server.context.limits.idle_timeout.map(whole_millis);
    for client in server.clients.snapshot() {
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let stalled_ms = client.stalled_ms.load(Ordering::Relaxed);
        let reason = if stalled_ms > 0 && age(stalled_ms) >= STALL_LIMIT_MS {
            "it does not read its replies"
        } else if must_log_in
            && !client.authenticated.load(Ordering::Relaxed)
            && age(client.connected_ms) >= AUTHENTICATION_LIMIT_MS
        {
            "it did not authenticate"
        } else if !client.is_subscriber()
            && idle_limit_ms
                .is_some_and(|limit_ms| age(client.last_seen_ms.load(Ordering::Relaxed)) > limit_ms)
        {
            "it was idle"
        } else {
            continue;
        };
        tracing::debug!(client = client.id, peer = %client.peer, reason, "connection closed");
        client.close();
    }
}

/// Whether an error of `accept` is about the connection that was to be accepted, not about us.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

const PROTECTED: &str = "-DENIED Running in protected mode because protected mode is enabled and no password is set \
    for the default user. Only connections from the loopback interface are accepted. To accept others, set a password \
    with requirepass, or turn the protection off with protected-mode no if no stranger can reach this port.\r\n";

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bellwether_core::Secret;

    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::NoTelemetry;

    fn server(password: Option<&str>, limits: Limits) -> Server {
        let (handle, _) = Handle::new(Clock::start(), CancellationToken::new());
        Server::new(Context {
            handle,
            hub: Hub::new(),
            access: Access::new(password.map(Secret::new)),
            command_names: CommandNames::default(),
            limits,
            identity: Identity::default(),
            telemetry: Arc::new(NoTelemetry),
            scripts: Runner::default(),
        })
    }

    fn client(server: &Server) -> Arc<Client> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let client = Arc::new(Client::new(server.clients.next_id(), addr, addr, 3, 1));
        assert!(server.clients.enter(&client, 10));
        client
    }

    #[test]
    fn who_does_not_authenticate_in_time_is_closed() {
        let server = server(Some("secret"), Limits::default());
        let (stranger, friend) = (client(&server), client(&server));
        friend.authenticated.store(true, Ordering::Relaxed);
        close_idle(&server, AUTHENTICATION_LIMIT_MS);
        assert!(!stranger.is_closing());
        close_idle(&server, AUTHENTICATION_LIMIT_MS + 1);
        assert!(stranger.is_closing() && !friend.is_closing());
    }

    #[test]
    fn who_does_not_read_replies_is_closed() {
        let server = server(None, Limits::default());
        let (deaf, normal) = (client(&server), client(&server));
        for client in [&deaf, &normal] {
            client.authenticated.store(true, Ordering::Relaxed);
        }
        deaf.stalled_ms.store(1_000, Ordering::Relaxed);
        close_idle(&server, STALL_LIMIT_MS + 999);
        assert!(!deaf.is_closing());
        close_idle(&server, STALL_LIMIT_MS + 1_000);
        assert!(deaf.is_closing() && !normal.is_closing());
    }

    #[test]
    fn all_buffers_together_are_bounded() {
        let server = server(None, Limits::default());
        assert!(server.account(0, MAX_BUFFERED_BYTES));
        assert!(!server.account(0, 1));
        // Who was refused gives back what was asked for.
        assert!(server.account(1, 0));
        assert!(server.account(MAX_BUFFERED_BYTES, 10));
        assert!(server.account(0, MAX_BUFFERED_BYTES - 10));
    }

    #[test]
    fn warnings_that_clients_provoke_are_rare() {
        let server = server(None, Limits::default());
        assert!(server.may_warn());
        assert!(!server.may_warn());
    }
}
