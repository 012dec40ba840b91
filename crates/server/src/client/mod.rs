//! The clients: what others may know and change of each, and the list of all.
//!
//! A [`Client`] is the part of a connection that other tasks see (`CLIENT LIST`, `CLIENT KILL`, the sweep of
//! idle connections). What only the connection's own task needs is in its [`session`]. Nothing here reads or
//! writes a socket except [`connection`].

pub(crate) mod connection;
mod list;
pub(crate) mod pause;
pub(crate) mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::access::DEFAULT_USER;
use crate::endpoint::Endpoint;

/// Longest name of a client, of its library and of that library's version. They are kept as long as the connection,
/// so that unlike in Sentinel they must be bounded.
pub(crate) const MAX_LABEL_BYTES: usize = 1024;

/// The redirection of a client that tracks nothing, as `CLIENT LIST` shows it.
pub(crate) const NOT_TRACKING: i64 = -1;

/// What others see of a connection. Times are milliseconds of the server's clock.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) fd: i32,
    pub(crate) connected_ms: u64,
    pub(crate) last_seen_ms: AtomicU64,
    /// Since when a reply waits to be taken; 0 if none does.
    pub(crate) stalled_ms: AtomicU64,
    pub(crate) authenticated: AtomicBool,
    pub(crate) resp3: AtomicBool,
    pub(crate) channels: AtomicU32,
    pub(crate) patterns: AtomicU32,
    /// Whether it asked not to be evicted, which nobody is.
    pub(crate) no_evict: AtomicBool,
    /// The client that hears of what this one tracks: 0 is this one itself, -1 means that it tracks nothing.
    pub(crate) redirect: AtomicI64,
    /// Whether it tracks by prefixes.
    pub(crate) broadcast: AtomicBool,
    /// Whether a command of it is held up by a pause.
    pub(crate) is_held: AtomicBool,
    labels: Mutex<Labels>,
    closing: AtomicBool,
    /// Whether the user's rights have changed, so that subscriptions must be looked at again.
    outdated: AtomicBool,
    bell: Notify,
}

/// What a client says of itself, and what it last asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    /// The user; `None` for one that never said who it is, which is the default user.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) name: Bytes,
    pub(crate) lib_name: Bytes,
    pub(crate) lib_version: Bytes,
    /// The full name of the last command.
    pub(crate) command: Option<&'static str>,
}

impl Client {
    pub(crate) fn new(
        id: u64,
        peer: impl Into<Endpoint>,
        local: impl Into<Endpoint>,
        fd: i32,
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            peer: peer.into(),
            local: local.into(),
            fd,
            connected_ms: now_ms,
            last_seen_ms: AtomicU64::new(now_ms),
            stalled_ms: AtomicU64::new(0),
            authenticated: AtomicBool::new(false),
            resp3: AtomicBool::new(false),
            channels: AtomicU32::new(0),
            patterns: AtomicU32::new(0),
            no_evict: AtomicBool::new(false),
            redirect: AtomicI64::new(NOT_TRACKING),
            broadcast: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            labels: Mutex::default(),
            closing: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            bell: Notify::new(),
        }
    }

    pub(crate) fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the connection closed by its task, soon.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has the connection's task look again at what its user may do, soon.
    pub(crate) fn review(&self) {
        self.outdated.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Waits until there is something to look at: [`close`](Self::close) or [`review`](Self::review). For the
    /// connection's task only. Tells whether it was a review.
    pub(crate) async fn called(&self) -> bool {
        loop {
            if self.is_closing() {
                return false;
            }
            if self.outdated.swap(false, Ordering::AcqRel) {
                return true;
            }
            self.bell.notified().await;
        }
    }

    /// Whether it is the connection of this user.
    pub(crate) fn is_of(&self, user: &str) -> bool {
        self.labels().user.as_deref().unwrap_or(DEFAULT_USER) == user
    }

    /// Waits until someone has called [`close`](Self::close). For the connection's task only.
    pub(crate) async fn closed(&self) {
        while !self.is_closing() {
            self.bell.notified().await;
        }
    }

    pub(crate) fn is_tracking(&self) -> bool {
        self.redirect.load(Ordering::Relaxed) != NOT_TRACKING
    }

    pub(crate) fn is_subscriber(&self) -> bool {
        self.channels.load(Ordering::Relaxed) + self.patterns.load(Ordering::Relaxed) > 0
    }
}

/// All clients, by their number.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    next_id: AtomicU64,
}

impl Clients {
    /// The number for the next client: unique and growing, from 1.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes a client in, unless there are `max` already.
    pub(crate) fn enter(&self, client: &Arc<Client>, max: usize) -> bool {
        let mut all = self.lock();
        let room = all.len() < max;
        if room {
            all.insert(client.id, Arc::clone(client));
        }
        room
    }

    pub(crate) fn leave(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// All clients as of now, the oldest first.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Client>> {
        self.lock().values().map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn client(clients: &Clients) -> Arc<Client> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        Arc::new(Client::new(clients.next_id(), addr, addr, 3, 0))
    }

    #[test]
    fn there_is_room_for_so_many() {
        let clients = Clients::default();
        let (first, second) = (client(&clients), client(&clients));
        assert!(clients.enter(&first, 1));
        assert!(!clients.enter(&second, 1));
        clients.leave(first.id);
        assert!(clients.enter(&second, 1));
        assert_eq!(clients.snapshot().len(), 1);
        assert!(second.id > first.id);
    }

    #[tokio::test]
    async fn a_close_before_the_wait_is_not_lost() {
        let clients = Clients::default();
        let client = client(&clients);
        client.close();
        client.closed().await;
        client.closed().await;
    }
}
