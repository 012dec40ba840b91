//! What the coordinators publish, stamped when it arrives here.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::StreamExt;
use redis::Msg;
use tokio::task::JoinSet;

use super::coordinator::Coordinator;
use crate::connect::{Credentials, client};

/// Most events that are kept. A failover has some thirty per coordinator.
const MAX_EVENTS: usize = 10_000;

/// How long subscribing may take.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(3);

/// One event of one coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Instant,
    /// Its place in the list of coordinators.
    pub(super) coordinator: usize,
    pub(super) name: String,
    pub(super) payload: String,
}

/// All events so far. The subscriptions end when this is dropped.
#[derive(Debug)]
pub(super) struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    _subscriptions: JoinSet<()>,
}

impl Events {
    /// Subscribes to everything that the coordinators publish.
    pub(super) async fn watch(coordinators: &[Coordinator]) -> anyhow::Result<Self> {
        let seen = Arc::default();
        let mut subscriptions = JoinSet::new();
        for (index, coordinator) in coordinators.iter().enumerate() {
            let context = || format!("cannot subscribe at {}", coordinator.name);
            let subscribe = async {
                let mut subscription = client(&coordinator.at, &Credentials::default())?
                    .get_async_pubsub()
                    .await?;
                subscription.psubscribe("*").await?;
                redis::RedisResult::Ok(subscription)
            };
            let subscription = tokio::time::timeout(SUBSCRIBE_LIMIT, subscribe)
                .await
                .with_context(context)?
                .with_context(context)?;
            let seen: Arc<Mutex<Vec<Event>>> = Arc::clone(&seen);
            subscriptions.spawn(async move {
                let mut messages = subscription.into_on_message();
                while let Some(message) = messages.next().await {
                    keep(&seen, Event::new(index, &message));
                }
            });
        }
        Ok(Self {
            seen,
            _subscriptions: subscriptions,
        })
    }

    /// Everything that came after `start`.
    pub(super) fn since(&self, start: Instant) -> Vec<Event> {
        lock(&self.seen)
            .iter()
            .filter(|event| event.at >= start)
            .cloned()
            .collect()
    }

    /// Those coordinators that published `name` after `start`.
    pub(super) fn publishers(&self, name: &str, start: Instant) -> BTreeSet<usize> {
        let seen = lock(&self.seen);
        seen.iter()
            .filter(|event| event.at >= start && event.name == name)
            .map(|event| event.coordinator)
            .collect()
    }
}

impl Event {
    fn new(coordinator: usize, message: &Msg) -> Self {
        Self {
            at: Instant::now(),
            coordinator,
            name: message.get_channel_name().to_owned(),
            payload: String::from_utf8_lossy(message.get_payload_bytes()).into_owned(),
        }
    }
}

fn keep(seen: &Mutex<Vec<Event>>, event: Event) {
    let mut seen = lock(seen);
    if seen.len() < MAX_EVENTS {
        seen.push(event);
    }
}

/// The list is valid after every push, so a panic elsewhere does not spoil it.
fn lock(seen: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
