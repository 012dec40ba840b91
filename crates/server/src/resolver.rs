//! Names to addresses, off the loop.
//!
//! Owns the bound on look-ups under way. Keeps no cache: the core keeps the last good address, and the
//! system's resolver has its own ideas of how long an answer holds.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{HostName, Input};
use tokio::sync::{Semaphore, mpsc};
use tokio::time;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::link::Arrived;

/// How many look-ups block a thread at the same time. A name server that does not answer holds each for many
/// seconds, whether anyone still waits or not; the rest of the process's blocking threads stay free.
const MAX_LOOKUPS: usize = 16;

/// How long an answer is waited for. The resolver's own first timeout is five seconds, so this gives up on
/// a server that lost the question; the core asks again.
const DEADLINE: Duration = Duration::from_secs(2);

/// Asks the system's resolver, as `getaddrinfo` does: hosts file, DNS and whatever else is configured.
#[derive(Debug)]
pub(crate) struct Resolver {
    lookups: Arc<Semaphore>,
    clock: Clock,
    reports: mpsc::Sender<Arrived>,
    tasks: TaskTracker,
}

impl Resolver {
    pub(crate) fn new(clock: Clock, reports: mpsc::Sender<Arrived>, tasks: TaskTracker) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            clock,
            reports,
            tasks,
        }
    }

    /// Begins a look-up; its end is reported within [`DEADLINE`].
    pub(crate) fn resolve(&self, name: HostName) {
        let (lookups, clock, reports) = (Arc::clone(&self.lookups), self.clock, self.reports.clone());
        self.tasks.spawn(async move {
            let result = match time::timeout(DEADLINE, look_up(lookups, name.clone())).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {} ms", DEADLINE.as_millis())),
            };
            // Without a driver nobody wants to know.
            let _ = reports
                .send((clock.now(), Input::Resolved { name, result }))
                .await;
        });
    }
}

async fn look_up(lookups: Arc<Semaphore>, name: HostName) -> Result<IpAddr, String> {
    let permit = lookups.acquire_owned().await.map_err(|error| error.to_string())?;
    let blocking = tokio::task::spawn_blocking(move || {
        let result = first_address(name.as_str());
        // Held until the thread is free again, not until the waiting ends.
        drop(permit);
        result
    });
    blocking.await.map_err(|error| error.to_string())?
}

/// The first address, in the order of the system. As Sentinel.
fn first_address(name: &str) -> Result<IpAddr, String> {
    let mut addresses = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let first = addresses.next().ok_or("the name has no address")?;
    Ok(first.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(name: &str) -> Result<IpAddr, String> {
        let (reports, mut reported) = mpsc::channel(1);
        let resolver = Resolver::new(Clock::start(), reports, TaskTracker::new());
        let name = HostName::new(name).expect("a name");
        resolver.resolve(name.clone());
        match reported.recv().await {
            Some((_, Input::Resolved { name: of, result })) if of == name => result,
            other => panic!("unexpected report: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_known_name_has_an_address() {
        assert!(resolve("localhost").await.expect("an address").is_loopback());
    }

    #[tokio::test]
    async fn an_unknown_name_has_a_reason() {
        assert!(
            !resolve("no-such-host.invalid")
                .await
                .expect_err("no address")
                .is_empty()
        );
    }
}
