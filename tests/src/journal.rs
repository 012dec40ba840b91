//! All events of all coordinators of a fleet, in order of arrival, each with the moment it was read.

use std::fmt::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redis::Connection;

use crate::client;

/// One published event.
#[derive(Clone, Debug)]
pub struct Event {
    /// When the message was read from the socket.
    pub at: Instant,
    /// Index of the coordinator that published it.
    pub source: usize,
    /// The channel, which is the event's name.
    pub name: String,
    /// The message.
    pub payload: String,
}

/// A shared, growing list of events that can be waited on.
#[derive(Clone, Default)]
pub struct Journal(Arc<Shared>);

#[derive(Default)]
struct Shared {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

impl Journal {
    /// Subscribes to every channel of the coordinator on `port`, which wants `password` if any, and records what comes until it goes away.
    ///
    /// # Errors
    /// When the subscription cannot be made. The subscription is in force when this returns.
    pub fn follow(&self, source: usize, port: u16, password: Option<&str>) -> Result<()> {
        self.record(source, client::connect_unbounded(port, password)?)
            .with_context(|| format!("PSUBSCRIBE * on port {port}"))
    }

    /// The same for a coordinator without a password at another address.
    ///
    /// # Errors
    /// When the subscription cannot be made. The subscription is in force when this returns.
    pub fn follow_at(&self, source: usize, host: &str, port: u16) -> Result<()> {
        self.record(source, client::connect_unbounded_at(host, port, None)?)
            .with_context(|| format!("PSUBSCRIBE * on {host}"))
    }

    fn record(&self, source: usize, mut connection: Connection) -> Result<()> {
        let (ready, subscribed) = mpsc::channel();
        let journal = self.clone();
        // The thread ends with the connection, that is with the coordinator's process.
        thread::spawn(move || {
            let mut subscription = connection.as_pubsub();
            let _ = ready.send(subscription.psubscribe("*"));
            while let Ok(message) = subscription.get_message() {
                let at = Instant::now();
                let name = message.get_channel_name().to_owned();
                let payload = message.get_payload().unwrap_or_default();
                journal.push(Event {
                    at,
                    source,
                    name,
                    payload,
                });
            }
        });
        subscribed.recv().context("the subscriber ended")??;
        Ok(())
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// Forgets what came before `moment`, so that a long run does not keep everything. Not while somebody waits.
    pub fn forget_before(&self, moment: Instant) {
        self.lock().retain(|event| event.at >= moment);
    }

    /// Waits until there are more than `known` events, for `limit` at most.
    pub fn wait_growth(&self, known: usize, limit: Duration) {
        let events = self.lock();
        // Whether it has grown is for the caller to see; a spurious wake-up only makes it look once more.
        if events.len() <= known {
            drop(self.0.grown.wait_timeout(events, limit));
        }
    }

    /// Everything from `start` on.
    pub fn since(&self, start: Instant) -> Vec<Event> {
        self.lock()
            .iter()
            .filter(|event| event.at >= start)
            .cloned()
            .collect()
    }

    /// Waits until `pick` finds what it looks for among the events from `start` on. `pick` sees every event once, in
    /// order, and is called the moment an event arrives.
    ///
    /// # Errors
    /// When `limit` passes first: names `what`.
    pub fn wait<T>(
        &self,
        what: &str,
        start: Instant,
        limit: Duration,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut events = self.lock();
        let mut next = 0;
        loop {
            while let Some(event) = events.get(next) {
                next += 1;
                if event.at >= start
                    && let Some(found) = pick(event)
                {
                    return Ok(found);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {limit:?} for {what}");
            }
            events = self
                .0
                .grown
                .wait_timeout(events, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the first event of this name, and gives it.
    ///
    /// # Errors
    /// When `limit` passes first.
    pub fn wait_event(&self, name: &str, start: Instant, limit: Duration) -> Result<Event> {
        self.wait(name, start, limit, |event| {
            (event.name == name).then(|| event.clone())
        })
    }

    /// The events as lines, times relative to the first.
    pub fn timeline(&self) -> String {
        let events = self.lock();
        let mut text = String::new();
        for event in events.iter() {
            let ms = event.at.duration_since(events[0].at).as_secs_f64() * 1000.0;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{ms:>10.1} ms  sentinel-{}  {} {}",
                event.source, event.name, event.payload
            );
        }
        text
    }

    fn push(&self, event: Event) {
        self.lock().push(event);
        self.0.grown.notify_all();
    }

    /// A thread that panicked while holding the lock leaves at worst an event out; the list stays whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
