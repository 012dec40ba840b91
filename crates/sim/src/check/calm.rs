//! What must be true of servers to which nothing has happened.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::Addr;

use super::Invariant;
use crate::time::Time;
use crate::world::{State, World};

/// For how long all must have been well, so that nothing of what was before plays a part: connections are set up again
/// within a second or two, and a ping a second shows that they work.
const CALM: Duration = Duration::from_secs(8);
/// How long after a server is well again what it answers is an answer of that time, and not of one before.
const ANSWERS_AFTER: Duration = Duration::from_secs(1);
/// How long a coordinator whose disk is well may have something to tell and not tell it yet, for a write is under way.
const TOLD_WITHIN: Duration = Duration::from_millis(100);
/// How long a hand-over may hold writes back.
const MAX_HAND_OVER: Duration = Duration::from_secs(10);
/// How soon writes go on after a hand-over that failed.
pub(crate) const RELEASED_WITHIN: Duration = Duration::from_millis(500);

impl World {
    /// Coordinator `n` tells that it sees the primary at `addr` down.
    pub(crate) fn check_sees_down(&mut self, n: usize, addr: SocketAddr) {
        // Not told again, in a new role, of one that was down in its former.
        if self.checks.holds_down_since(n, addr) != Some(self.now) {
            return;
        }
        // It has answered since all is well, on a connection that stands: so it goes on answering.
        let Some(answered_at) = self.checks.answered(n, addr) else {
            return;
        };
        // It may have seen it down before that answer, as after a stop, and tell it after that.
        if self.now.since(answered_at) < TOLD_WITHIN {
            return;
        }
        let since = answered_at - ANSWERS_AFTER;
        let node = &self.nodes[n];
        let well = self.servers.iter().any(|host| {
            host.addr == addr
                && host.is_well_since(since)
                && host.server.is_primary()
                // What a hand-over holds back holds up all that comes behind it, pings as well.
                && host.handing_over.is_none_or(|(_, at)| at + MAX_HAND_OVER < since)
                && !host.server.is_loading()
        });
        // What waits for the disk is told late.
        if well && node.disk_is_well_since(since) && self.network_is_well_since(answered_at - CALM) {
            let what = format!("s{} sees {addr} down, which is well since {since}", n + 1);
            self.checks.broken(self.now, Invariant::SeesTruly, what);
        }
    }

    /// Server `n` had been told by coordinator `by` to hand over, and at `since` that was given up.
    pub(crate) fn check_released(&mut self, n: usize, by: usize, since: Time) {
        let host = &self.servers[n];
        let held = host.server.paused_until().is_some_and(|until| until > self.now);
        let again = host
            .handing_over
            .is_none_or(|(last, at)| last != by || at > since);
        let Some(name) = self.groups.get(host.group) else {
            return;
        };
        let mut records = self
            .nodes
            .iter()
            .filter_map(|node| node.core.registry().groups.get(name));
        let is_primary = records.all(|record| record.primary == Addr::from(host.addr));
        if held
            && !again
            && is_primary
            && host.is_well_since(since - CALM)
            && self.network_is_well_since(since - CALM)
        {
            let what = format!(
                "r{} holds writes back, and the hand-over was given up at {since}",
                n + 1
            );
            self.checks.broken(self.now, Invariant::Releases, what);
        }
    }

    /// Whether neither the process of a coordinator nor its clock nor its disk has stumbled lately.
    pub(crate) fn is_steady(&self, n: usize) -> bool {
        let node = &self.nodes[n];
        node.state == State::Running
            && self.now.since(node.resumed_at) > CALM
            && self.now.since(node.leapt_at) > CALM
            && node.disk_is_well_since(self.now - CALM)
    }
}
