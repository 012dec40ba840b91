//! Writers that try every replica until one accepts: the moment clients can write again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_tests::client;

/// Between two tries on one replica: far below the figures to be told apart, light enough for two cores.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// One writing thread per replica. They end when this is dropped.
pub(crate) struct Writers {
    accepted: mpsc::Receiver<Instant>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Begins to write to every port.
    pub(crate) fn start(ports: &[u16]) -> Self {
        let (sender, accepted) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        for port in ports.iter().copied() {
            let (sender, stop) = (sender.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                if let Some(at) = write_until_accepted(port, &stop) {
                    // The measurement may have ended meanwhile.
                    let _ = sender.send(at);
                }
            });
        }
        Self { accepted, stop }
    }

    /// The moment the first write was accepted anywhere.
    pub(crate) fn first_accepted(&self, limit: Duration) -> Option<Instant> {
        self.accepted.recv_timeout(limit).ok()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A promotion drops the clients, so a lost connection is made anew without delay.
fn write_until_accepted(port: u16, stop: &AtomicBool) -> Option<Instant> {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = client::connect(port) else {
            thread::sleep(TRY_EVERY);
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            match client::ask_on::<()>(&mut connection, &["SET", "failover-bench", "written"]) {
                Ok(()) => return Some(Instant::now()),
                Err(_) if !is_open(&connection) => break,
                Err(_) => thread::sleep(TRY_EVERY),
            }
        }
    }
    None
}

fn is_open(connection: &redis::Connection) -> bool {
    use redis::ConnectionLike;
    connection.is_open()
}
