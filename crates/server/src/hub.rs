//! Pub/sub inside the process: who subscribed to what, and what waits for them.
//!
//! [`Hub::publish`] never waits: a message is put into the mailbox of each subscriber, and who does not empty
//! it in time is cut off. The hub never writes to a socket and knows no wire format; the connection's task
//! turns a [`Delivery`] into bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bellwether_conf::{OutputLimit, OutputLimits};
use bellwether_core::{EventKind, glob};
use tokio::sync::Notify;

/// Most bytes that may wait for one subscriber, whatever the configuration says: what all connections together may
/// buffer is a few times this.
pub const MAX_SUBSCRIBER_BYTES: u64 = 64 * 1024 * 1024;

/// What a short message counts as where the number of those that wait is bounded, so that the queue itself stays small
/// beside what it holds.
const MIN_MESSAGE_BYTES: u64 = 128;

/// Most channels and patterns of one subscriber. There are fewer than 50 events, so naming each as a channel and
/// as a pattern still fits.
const MAX_SUBSCRIPTIONS: usize = 256;

/// Most channels and patterns of all subscribers together: 20,000 clients with 50 each, at some 100 bytes.
const MAX_SUBSCRIPTIONS_TOTAL: usize = 1_000_000;

/// Most different patterns of all subscribers, because publishing looks at each.
const MAX_PATTERNS: usize = 4_096;

/// Longest name of a channel or pattern. The longest event name has 33 bytes.
const MAX_NAME_BYTES: usize = 512;

/// What the framing of a message adds to its words, roughly.
const FRAME_BYTES: usize = 64;

// The events that a pattern matches are kept as the bits of a number.
const _: () = assert!(EventKind::ALL.len() <= 128);

/// The channels of one process.
#[derive(Debug, Default)]
pub struct Hub {
    limit: Limit,
    topics: Mutex<Topics>,
    next_id: AtomicU64,
    cut_off: AtomicU64,
}

impl Hub {
    /// A hub without subscribers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The same with another bound on what may wait for each.
    #[must_use]
    pub fn with_limit(limit: OutputLimit) -> Arc<Self> {
        Arc::new(Self {
            limit: Limit::new(limit),
            ..Self::default()
        })
    }

    /// Puts a message into the mailboxes of the subscribers of `channel`, then of those whose patterns match.
    /// Never waits for any of them.
    pub fn publish(&self, channel: &str, payload: &str) {
        let topics = self.lock();
        if topics.total == 0 {
            return;
        }
        let message = Arc::new(Message {
            channel: channel.into(),
            payload: payload.into(),
        });
        let mut overrun = 0;
        if let Some(subscribers) = topics.channels.get(channel.as_bytes()) {
            for mailbox in subscribers.values() {
                overrun += u64::from(!mailbox.put(None, &message));
            }
        }
        let event = EventKind::ALL.iter().position(|kind| kind.name() == channel);
        for (pattern, entry) in &topics.patterns {
            let hit = match event {
                Some(index) => entry.events & (1 << index) != 0,
                None => glob::matches(pattern, channel.as_bytes()),
            };
            if hit {
                for mailbox in entry.subscribers.values() {
                    overrun += u64::from(!mailbox.put(Some(pattern), &message));
                }
            }
        }
        self.cut_off.fetch_add(overrun, Ordering::Relaxed);
    }

    /// A new subscriber, with no subscription yet.
    #[must_use]
    pub fn subscriber(self: &Arc<Self>) -> Subscriber {
        Subscriber {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            hub: Arc::clone(self),
            mailbox: Arc::new(Mailbox {
                limit: self.limit,
                ..Mailbox::default()
            }),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
        }
    }

    /// How many different channels and patterns have subscribers.
    #[must_use]
    pub fn topic_counts(&self) -> (usize, usize) {
        let topics = self.lock();
        (topics.channels.len(), topics.patterns.len())
    }

    /// How many subscribers were too slow and lost their connection, since the start.
    #[must_use]
    pub fn cut_off_total(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        // Nothing panics while it is held; and a half made change would only be a subscription more or less.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A published message, shared by all who get it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel: the name of an event.
    pub channel: Box<str>,
    /// What was said.
    pub payload: Box<str>,
}

/// One message for one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The pattern that matched; `None` if the channel itself is subscribed.
    pub pattern: Option<Arc<[u8]>>,
    /// The message.
    pub message: Arc<Message>,
}

impl Delivery {
    fn bytes(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, |pattern| pattern.len());
        FRAME_BYTES + pattern + self.message.channel.len() + self.message.payload.len()
    }
}

/// Why a subscription was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The name cannot be that of an event.
    #[error("channel name is longer than {MAX_NAME_BYTES} bytes")]
    NameTooLong,
    /// This subscriber has enough.
    #[error("too many subscriptions on this connection, at most {MAX_SUBSCRIPTIONS}")]
    TooMany,
    /// All together have enough.
    #[error("too many subscriptions on this server")]
    Full,
}

/// One who gets messages. Dropping it ends its subscriptions.
#[derive(Debug)]
pub struct Subscriber {
    id: u64,
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
}

impl Subscriber {
    /// Subscribes to a channel; once more is harmless.
    ///
    /// # Errors
    /// If a limit is reached.
    pub fn subscribe(&mut self, channel: &[u8]) -> Result<(), SubscribeError> {
        if self.channels.contains(channel) {
            return Ok(());
        }
        self.check(channel)?;
        let mut topics = self.hub.lock();
        if topics.total >= MAX_SUBSCRIPTIONS_TOTAL {
            return Err(SubscribeError::Full);
        }
        // One copy of the name serves all who subscribed to it.
        let name = topics
            .channels
            .get_key_value(channel)
            .map_or_else(|| channel.into(), |(name, _)| Arc::clone(name));
        topics
            .channels
            .entry(Arc::clone(&name))
            .or_default()
            .insert(self.id, Arc::clone(&self.mailbox));
        topics.total += 1;
        drop(topics);
        self.channels.insert(name);
        Ok(())
    }

    /// Subscribes to all channels that match a pattern; once more is harmless.
    ///
    /// # Errors
    /// If a limit is reached.
    pub fn psubscribe(&mut self, pattern: &[u8]) -> Result<(), SubscribeError> {
        if self.patterns.contains(pattern) {
            return Ok(());
        }
        self.check(pattern)?;
        // Matched here, in the client's time, so that publishing only looks at a bit.
        let events = matching_events(pattern);
        let mut topics = self.hub.lock();
        let known = topics
            .patterns
            .get_key_value(pattern)
            .map(|(name, _)| Arc::clone(name));
        if topics.total >= MAX_SUBSCRIPTIONS_TOTAL
            || (known.is_none() && topics.patterns.len() >= MAX_PATTERNS)
        {
            return Err(SubscribeError::Full);
        }
        let name = known.unwrap_or_else(|| pattern.into());
        let entry = topics
            .patterns
            .entry(Arc::clone(&name))
            .or_insert_with(|| Pattern {
                events,
                subscribers: BTreeMap::new(),
            });
        entry.subscribers.insert(self.id, Arc::clone(&self.mailbox));
        topics.total += 1;
        drop(topics);
        self.patterns.insert(name);
        Ok(())
    }

    /// Ends the subscription to a channel; without one it does nothing.
    pub fn unsubscribe(&mut self, channel: &[u8]) {
        if self.channels.remove(channel) {
            self.hub.lock().remove_channel(channel, self.id);
        }
    }

    /// Ends the subscription to a pattern; without one it does nothing.
    pub fn punsubscribe(&mut self, pattern: &[u8]) {
        if self.patterns.remove(pattern) {
            self.hub.lock().remove_pattern(pattern, self.id);
        }
    }

    /// The channels subscribed to, in order.
    pub fn channels(&self) -> impl ExactSizeIterator<Item = &Arc<[u8]>> {
        self.channels.iter()
    }

    /// The patterns subscribed to, in order.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &Arc<[u8]>> {
        self.patterns.iter()
    }

    /// The oldest message that waits. None are left after the cut.
    #[must_use]
    pub fn take(&self) -> Option<Delivery> {
        let mut queue = self.mailbox.lock();
        let delivery = queue.deliveries.pop_front()?;
        queue.bytes -= delivery.bytes();
        queue.note_relief(self.hub.limit);
        if queue.deliveries.is_empty() {
            // Give back what a burst needed.
            queue.deliveries = VecDeque::new();
        }
        Some(delivery)
    }

    /// Whether too much waited once, so that messages are missing. It stays so.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.mailbox.lock().cut_off
    }

    /// Waits until there is something to take, or the subscriber is cut off.
    pub async fn ready(&self) {
        loop {
            {
                let queue = self.mailbox.lock();
                if queue.cut_off || !queue.deliveries.is_empty() {
                    return;
                }
            }
            self.mailbox.bell.notified().await;
        }
    }

    /// Waits until the subscriber is cut off.
    pub async fn cut_off(&self) {
        while !self.is_cut_off() {
            self.mailbox.bell.notified().await;
        }
    }

    fn check(&self, name: &[u8]) -> Result<(), SubscribeError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(SubscribeError::NameTooLong);
        }
        if self.channels.len() + self.patterns.len() >= MAX_SUBSCRIPTIONS {
            return Err(SubscribeError::TooMany);
        }
        Ok(())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.channels.is_empty() && self.patterns.is_empty() {
            return;
        }
        let mut topics = self.hub.lock();
        for channel in &self.channels {
            topics.remove_channel(channel, self.id);
        }
        for pattern in &self.patterns {
            topics.remove_pattern(pattern, self.id);
        }
    }
}

#[derive(Debug, Default)]
struct Topics {
    channels: HashMap<Arc<[u8]>, BTreeMap<u64, Arc<Mailbox>>>,
    patterns: BTreeMap<Arc<[u8]>, Pattern>,
    total: usize,
}

#[derive(Debug)]
struct Pattern {
    /// Bit n: it matches the name of event n.
    events: u128,
    subscribers: BTreeMap<u64, Arc<Mailbox>>,
}

impl Topics {
    fn remove_channel(&mut self, channel: &[u8], id: u64) {
        let Some(subscribers) = self.channels.get_mut(channel) else {
            return;
        };
        self.total -= usize::from(subscribers.remove(&id).is_some());
        if subscribers.is_empty() {
            self.channels.remove(channel);
        }
    }

    fn remove_pattern(&mut self, pattern: &[u8], id: u64) {
        let Some(entry) = self.patterns.get_mut(pattern) else {
            return;
        };
        self.total -= usize::from(entry.subscribers.remove(&id).is_some());
        if entry.subscribers.is_empty() {
            self.patterns.remove(pattern);
        }
    }
}

fn matching_events(pattern: &[u8]) -> u128 {
    let names = EventKind::ALL.iter().enumerate();
    names
        .filter(|(_, kind)| glob::matches(pattern, kind.name().as_bytes()))
        .fold(0, |bits, (index, _)| bits | 1 << index)
}

/// How much may wait for one subscriber.
#[derive(Clone, Copy, Debug)]
struct Limit {
    hard_bytes: usize,
    max_messages: usize,
    soft_bytes: usize,
    soft_time: Duration,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(OutputLimits::default().pubsub)
    }
}

impl Limit {
    fn new(limit: OutputLimit) -> Self {
        let or_most = |bytes: u64| match bytes {
            0 => MAX_SUBSCRIBER_BYTES,
            bytes => bytes.min(MAX_SUBSCRIBER_BYTES),
        };
        let hard_bytes = or_most(limit.hard_bytes);
        Self {
            hard_bytes: hard_bytes as usize,
            max_messages: (hard_bytes / MIN_MESSAGE_BYTES).max(1) as usize,
            soft_bytes: or_most(limit.soft_bytes) as usize,
            soft_time: limit.soft_time,
        }
    }
}

#[derive(Debug, Default)]
struct Mailbox {
    limit: Limit,
    queue: Mutex<Queue>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Since when more than the soft limit waits.
    strained: Option<Instant>,
    cut_off: bool,
}

impl Queue {
    /// Whether what waits is too much now.
    fn is_over(&mut self, limit: Limit, now: impl FnOnce() -> Instant) -> bool {
        if self.bytes > limit.hard_bytes || self.deliveries.len() >= limit.max_messages {
            return true;
        }
        if self.bytes <= limit.soft_bytes {
            return false;
        }
        let now = now();
        let since = *self.strained.get_or_insert(now);
        now.duration_since(since) > limit.soft_time
    }

    fn note_relief(&mut self, limit: Limit) {
        if self.bytes <= limit.soft_bytes {
            self.strained = None;
        }
    }
}

impl Mailbox {
    /// Puts a message in; `false` if this was the one too many.
    fn put(&self, pattern: Option<&Arc<[u8]>>, message: &Arc<Message>) -> bool {
        let mut queue = self.lock();
        if queue.cut_off {
            return true;
        }
        let delivery = Delivery {
            pattern: pattern.cloned(),
            message: Arc::clone(message),
        };
        queue.bytes += delivery.bytes();
        queue.cut_off = queue.is_over(self.limit, Instant::now);
        let cut_off = queue.cut_off;
        if cut_off {
            queue.deliveries = VecDeque::new();
            queue.bytes = 0;
        } else {
            queue.deliveries.push_back(delivery);
        }
        drop(queue);
        self.bell.notify_one();
        !cut_off
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(subscriber: &Subscriber) -> Vec<String> {
        let show = |delivery: Delivery| {
            let pattern = delivery
                .pattern
                .map(|p| format!("{} ", p.escape_ascii()))
                .unwrap_or_default();
            format!(
                "{pattern}{} {}",
                delivery.message.channel, delivery.message.payload
            )
        };
        std::iter::from_fn(|| subscriber.take()).map(show).collect()
    }

    #[test]
    fn channels_come_before_patterns_and_order_is_kept() {
        let hub = Hub::new();
        let mut subscriber = hub.subscriber();
        subscriber.psubscribe(b"[-+]sdown").unwrap();
        subscriber.subscribe(b"+sdown").unwrap();
        subscriber.subscribe(b"+sdown").unwrap();
        hub.publish("+sdown", "a");
        hub.publish("-sdown", "b");
        hub.publish("+odown", "c");
        assert_eq!(
            texts(&subscriber),
            ["+sdown a", "[-+]sdown +sdown a", "[-+]sdown -sdown b"]
        );
    }

    #[test]
    fn channels_that_are_no_events_match_patterns_too() {
        let hub = Hub::new();
        let mut subscriber = hub.subscriber();
        subscriber.psubscribe(b"own-*").unwrap();
        hub.publish("own-event", "x");
        assert_eq!(texts(&subscriber), ["own-* own-event x"]);
    }

    #[test]
    fn nothing_is_left_of_one_who_is_gone() {
        let hub = Hub::new();
        let mut first = hub.subscriber();
        let mut second = hub.subscriber();
        for subscriber in [&mut first, &mut second] {
            subscriber.subscribe(b"+sdown").unwrap();
            subscriber.psubscribe(b"*").unwrap();
        }
        assert_eq!(hub.topic_counts(), (1, 1));
        first.unsubscribe(b"+sdown");
        first.punsubscribe(b"never");
        drop(first);
        assert_eq!(hub.topic_counts(), (1, 1));
        second.punsubscribe(b"*");
        assert_eq!(hub.topic_counts(), (1, 0));
        drop(second);
        assert_eq!(hub.topic_counts(), (0, 0));
        assert_eq!(hub.lock().total, 0);
    }

    #[test]
    fn a_slow_subscriber_is_cut_off_and_its_messages_are_freed() {
        let hub = Hub::new();
        let mut slow = hub.subscriber();
        let mut quick = hub.subscriber();
        slow.subscribe(b"+sdown").unwrap();
        quick.subscribe(b"+sdown").unwrap();
        let payload = "x".repeat(1_000);
        let mut seen = 0;
        for _ in 0..Limit::default().hard_bytes / payload.len() + 1 {
            hub.publish("+sdown", &payload);
            seen += std::iter::from_fn(|| quick.take()).count();
        }
        assert!(slow.is_cut_off());
        assert_eq!(slow.take(), None);
        assert!(!quick.is_cut_off());
        assert_eq!(seen, Limit::default().hard_bytes / payload.len() + 1);
        assert_eq!(hub.cut_off_total(), 1);
    }

    #[test]
    fn short_messages_are_bounded_by_number() {
        let hub = Hub::new();
        let mut slow = hub.subscriber();
        slow.subscribe(b"+sdown").unwrap();
        for _ in 0..Limit::default().max_messages {
            hub.publish("+sdown", "");
        }
        assert!(!slow.is_cut_off());
        hub.publish("+sdown", "");
        assert!(slow.is_cut_off());
    }

    #[test]
    fn a_soft_limit_may_be_passed_for_a_while() {
        let limit = Limit::new(OutputLimit {
            hard_bytes: 0,
            soft_bytes: 100,
            soft_time: Duration::from_secs(60),
        });
        assert_eq!(limit.hard_bytes as u64, MAX_SUBSCRIBER_BYTES);
        let start = Instant::now();
        let mut queue = Queue {
            bytes: 101,
            ..Queue::default()
        };
        let after =
            |queue: &mut Queue, seconds| queue.is_over(limit, || start + Duration::from_secs(seconds));
        assert!(!after(&mut queue, 0) && !after(&mut queue, 60));
        assert!(after(&mut queue, 61));
        // A break begins it anew.
        queue.bytes = 100;
        queue.note_relief(limit);
        queue.bytes = 101;
        assert!(!after(&mut queue, 62) && !after(&mut queue, 122));
        assert!(after(&mut queue, 123));
    }

    #[test]
    fn subscriptions_are_bounded() {
        let hub = Hub::new();
        let mut subscriber = hub.subscriber();
        for number in 0..MAX_SUBSCRIPTIONS {
            subscriber.subscribe(number.to_string().as_bytes()).unwrap();
        }
        assert_eq!(subscriber.psubscribe(b"*"), Err(SubscribeError::TooMany));
        assert_eq!(subscriber.subscribe(b"0"), Ok(()));
        assert_eq!(
            subscriber.subscribe(&[b'x'; MAX_NAME_BYTES + 1]),
            Err(SubscribeError::NameTooLong)
        );
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let hub = Hub::new();
        let mut subscriber = hub.subscriber();
        subscriber.subscribe(b"+sdown").unwrap();
        let waiting = tokio::spawn(async move {
            subscriber.ready().await;
            texts(&subscriber)
        });
        tokio::task::yield_now().await;
        hub.publish("+sdown", "a");
        assert_eq!(waiting.await.unwrap(), ["+sdown a"]);
    }
}
