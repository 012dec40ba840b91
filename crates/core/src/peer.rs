//! Another sentinel: one link and one ping clock, shared by all groups that know it.

use std::time::Duration;

use crate::addr::Addr;
use crate::instance::health::{Health, ping_period};
use crate::instance::link::Link;
use crate::time::Instant;

/// How often a leader is pinged whose failover we wait for, so that its death is noticed in time.
const LEADER_PING_PERIOD: Duration = Duration::from_millis(100);

/// How often the same refusal of a peer is told.
const REFUSAL_SPACING: Duration = Duration::from_secs(60);
/// How long frames of the log are held back after a refusal: it is no member yet, or any more.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// A sentinel as a process, apart from what it thinks of single groups.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) addr: Addr,
    pub(crate) link: Link,
    pub(crate) health: Health,
    /// The shortest `down-after-milliseconds` of the groups that know it.
    pub(crate) shortest_down_after: Duration,
    /// How many groups know it.
    pub(crate) owners: usize,
    /// Until when it leads a failover that we wait for.
    pub(crate) watched_until: Option<Instant>,
    /// What it last refused a command with, and when.
    refusal: Option<(String, Instant)>,
}

impl Peer {
    pub(crate) const fn new(now: Instant, addr: Addr, down_after: Duration) -> Self {
        Self {
            addr,
            link: Link::new(now),
            health: Health::new(now),
            shortest_down_after: down_after,
            owners: 0,
            watched_until: None,
            refusal: None,
        }
    }

    /// It has refused a command. Gives whether that is worth telling: nobody wants to read it twenty times a second.
    pub(crate) fn refused(&mut self, now: Instant, words: &str) -> bool {
        let known = self
            .refusal
            .as_ref()
            .is_some_and(|(known, at)| known == words && now.since(*at) < REFUSAL_SPACING);
        let since = if known {
            self.refusal.as_ref().map(|(_, at)| *at)
        } else {
            None
        };
        self.refusal = Some((words.to_owned(), since.unwrap_or(now)));
        !known
    }

    /// Whether it has just refused something, so that more of it would be refused, too.
    pub(crate) fn refuses(&self, now: Instant) -> bool {
        self.refusal
            .as_ref()
            .is_some_and(|(_, at)| now.since(*at) < AFTER_REFUSAL)
    }

    /// How often to ping it.
    pub(crate) fn ping_period(&self, now: Instant, longest: Duration) -> Duration {
        let period = ping_period(self.shortest_down_after, longest);
        match self.watched_until {
            Some(until) if now < until => period.min(LEADER_PING_PERIOD),
            _ => period,
        }
    }
}
