//! Another sentinel: one link and one ping clock, shared by all groups that know it.

use std::time::Duration;

use crate::addr::Addr;
use crate::instance::health::{Health, ping_period};
use crate::instance::link::Link;
use crate::time::Instant;

/// How often a leader is pinged whose failover we wait for, so that its death is noticed in time.
const LEADER_PING_PERIOD: Duration = Duration::from_millis(100);

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
        }
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
