//! A client that writes all the time, as applications do: it asks a coordinator for the primary, writes there,
//! and asks again when that fails.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{RedisResult, aio::MultiplexedConnection, cmd};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{coordinator::GROUP, server::open};
use crate::connect::{Credentials, HostPort, Limits, connect};

/// Time between two writes.
const PAUSE: Duration = Duration::from_millis(5);

/// Time between two questions where the primary is. It bounds how exactly the first write is timed.
const SEARCH_PAUSE: Duration = Duration::from_millis(2);

/// A client that waits longer than this for an answer asks where the primary is now.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(100),
    answer: Duration::from_millis(200),
};

/// Most writes that are remembered: at one each 5 ms, more than half an hour.
const MAX_WRITES: usize = 400_000;

/// Keys read back at once.
const KEYS_PER_READ: usize = 500;

/// A write that a server confirmed. Its number is in its key, so that each can be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) number: u64,
    /// The port of the server that confirmed it.
    pub(super) port: u16,
    pub(super) at: Instant,
}

/// The client's task and what it achieved so far.
#[derive(Debug)]
pub(super) struct Writer {
    confirmed: Arc<Mutex<Vec<Write>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts writing; `coordinators` are asked in turn.
    pub(super) fn start(coordinators: Vec<HostPort>) -> Self {
        let confirmed = Arc::default();
        let stop = CancellationToken::new();
        let client = Client {
            coordinators,
            asked: 0,
            confirmed: Arc::clone(&confirmed),
            next: 1,
        };
        let task = tokio::spawn(client.run(stop.clone()));
        Self {
            confirmed,
            stop,
            task,
        }
    }

    /// The first write that the server at `port` confirmed after `since`.
    pub(super) fn first_at(&self, port: u16, since: Instant) -> Option<Write> {
        self.confirmed()
            .iter()
            .find(|write| write.port == port && write.at >= since)
            .copied()
    }

    /// How many writes were confirmed so far.
    pub(super) fn count(&self) -> usize {
        self.confirmed().len()
    }

    /// Ends the client and gives all that was confirmed.
    pub(super) async fn finish(self) -> Vec<Write> {
        self.stop.cancel();
        let writes = Arc::clone(&self.confirmed);
        // A panic in the task would already be on standard error, and the writes before it count all the same.
        let _ = self.task.await;
        std::mem::take(&mut *writes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn confirmed(&self) -> std::sync::MutexGuard<'_, Vec<Write>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Client {
    coordinators: Vec<HostPort>,
    /// How often a coordinator was asked; it chooses the next one.
    asked: usize,
    confirmed: Arc<Mutex<Vec<Write>>>,
    next: u64,
}

impl Client {
    async fn run(mut self, stop: CancellationToken) {
        let mut primary = None;
        while !stop.is_cancelled() && self.next as usize <= MAX_WRITES {
            let found = match primary.take() {
                Some(known) => Some(known),
                None => self.find().await.ok(),
            };
            if let Some((port, connection)) = found {
                primary = self.write(port, connection).await;
            }
            tokio::time::sleep(if primary.is_some() { PAUSE } else { SEARCH_PAUSE }).await;
        }
    }

    async fn find(&mut self) -> RedisResult<(u16, MultiplexedConnection)> {
        let coordinator = &self.coordinators[self.asked % self.coordinators.len().max(1)];
        self.asked += 1;
        let mut connection = connect(coordinator, &Credentials::default(), LIMITS).await?;
        let (host, port): (String, u16) = cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(GROUP)
            .query_async(&mut connection)
            .await?;
        let primary = connect(&HostPort::new(host, port), &Credentials::default(), LIMITS).await?;
        Ok((port, primary))
    }

    /// One write. The connection is given back if it is still good. A write that failed is never repeated: its
    /// outcome is not known, and its number is not used again.
    async fn write(
        &mut self,
        port: u16,
        mut connection: MultiplexedConnection,
    ) -> Option<(u16, MultiplexedConnection)> {
        let number = self.next;
        self.next += 1;
        let answer: RedisResult<()> = cmd("SET")
            .arg(key(number))
            .arg(number)
            .query_async(&mut connection)
            .await;
        answer.ok()?;
        let write = Write {
            number,
            port,
            at: Instant::now(),
        };
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(write);
        Some((port, connection))
    }
}

/// Those of `writes` that the server at `at` does not have.
pub(super) async fn missing(at: &HostPort, writes: &[Write]) -> RedisResult<Vec<Write>> {
    let mut connection = open(at).await?;
    let mut missing = Vec::new();
    for chunk in writes.chunks(KEYS_PER_READ) {
        let keys: Vec<String> = chunk.iter().map(|write| key(write.number)).collect();
        let values: Vec<Option<u64>> = cmd("MGET").arg(keys).query_async(&mut connection).await?;
        let lost = chunk
            .iter()
            .zip(values)
            .filter(|(write, value)| *value != Some(write.number));
        missing.extend(lost.map(|(write, _)| *write));
    }
    Ok(missing)
}

fn key(number: u64) -> String {
    format!("bellwether:demo:{number}")
}
