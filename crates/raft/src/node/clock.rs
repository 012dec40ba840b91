//! Time: ticks for raft, timeouts for the rest.
//!
//! raft wants to be called at every tick. Nothing happens at most of them, so the caller is asked back at the next one
//! that matters, and the ticks in between are made up for then.

use std::time::Duration;

use bellwether_core::Instant;
use raft::{ProgressState, SnapshotStatus, StateRole};

use super::Node;

/// How many heartbeats a member waits for a leader after it slept through its own timeout: what came in meanwhile is
/// to be read first.
const GRACE_HEARTBEATS: usize = 2;

impl Node {
    /// Does what is due. Calling it early does no harm, calling it late is noticed.
    pub fn handle_time(&mut self, now: Instant) {
        self.advance(now);
        self.finish();
    }

    /// When [`handle_time`](Self::handle_time) is to be called at the latest.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let ticks = self.ticks_to_next().map(|ticks| self.ticked + self.ticks(ticks));
        let led_term = (self.leader() != 0).then(|| self.term());
        let proposals = self.proposals.deadline(led_term);
        let snapshot = self
            .snapshots
            .oldest()
            .map(|progress| progress + self.settings.snapshot_retry);
        let offer = self.offer.as_ref().map(|_| self.orders_until);
        [ticks, proposals, snapshot, offer].into_iter().flatten().min()
    }

    /// Lets time pass, without looking at what comes of it.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.tick();
        self.proposals.expire(self.now);
        self.retry_snapshots();
        self.make_offer();
        self.abdicate();
    }

    fn tick(&mut self) {
        let passed = self.now.since(self.ticked).as_nanos() / self.timing.tick.as_nanos();
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        let next = self.ticks_to_next().unwrap_or(0);
        let grace = GRACE_HEARTBEATS * self.timing.heartbeat;
        let slept = passed > next.max(self.timing.heartbeat) + self.timing.heartbeat;
        let ticks = match slept {
            false => passed,
            // A leader speaks at once. Anybody else listens first.
            true if self.is_leader() => next,
            true => next.saturating_sub(grace),
        };
        self.ticked = if slept {
            self.now
        } else {
            self.ticked + self.ticks(passed)
        };
        for _ in 0..ticks {
            // raft relies on a candidate having all of its log on disk, and a member whose disk is behind would be
            // a bad leader. One that was told of its removal would only disturb.
            if self.would_campaign() && (!self.disk.unsynced.is_empty() || self.is_removed()) {
                break;
            }
            if self.raw.tick() && !self.is_leader() {
                self.window += 1;
            }
            self.draw_timeout();
        }
    }

    fn would_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        !self.is_leader()
            && raft.promotable()
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout()
    }

    /// How many ticks until something happens; `None` for members that only listen.
    fn ticks_to_next(&self) -> Option<usize> {
        let raft = &self.raw.raft;
        let ticks = if self.is_leader() {
            let heartbeat = raft.heartbeat_timeout().saturating_sub(raft.heartbeat_elapsed());
            heartbeat.min(raft.election_timeout().saturating_sub(raft.election_elapsed))
        } else if raft.promotable() && !self.is_removed() {
            raft.randomized_election_timeout()
                .saturating_sub(raft.election_elapsed)
        } else {
            return None;
        };
        Some(ticks.max(1))
    }

    fn ticks(&self, ticks: usize) -> Duration {
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        self.timing.tick.saturating_mul(ticks)
    }

    /// raft draws its election timeouts from the thread's randomness. To be called after all that may let it.
    pub(super) fn draw_timeout(&mut self) {
        let ticks = self.timing.election_timeout(self.raw.raft.term, self.window);
        self.raw.raft.set_randomized_election_timeout(ticks);
    }

    /// A snapshot that was lost would keep its receiver waiting for ever.
    fn retry_snapshots(&mut self) {
        let (now, retry) = (self.now, self.settings.snapshot_retry);
        for id in self.snapshots.give_up(|progress| progress + retry <= now) {
            self.snapshot_failed(id);
        }
    }

    pub(super) fn snapshot_failed(&mut self, id: u64) {
        let progress = self.raw.raft.prs().get(id);
        if progress.is_some_and(|progress| progress.state == ProgressState::Snapshot) {
            self.raw.report_snapshot(id, SnapshotStatus::Failure);
        }
    }

    /// The lead is handed over once all that was ordered by its right has been done.
    fn make_offer(&mut self) {
        if self.now >= self.orders_until
            && let Some(offer) = self.offer.take()
        {
            self.post(offer);
        }
    }

    /// A leader whose transfer came to nothing cannot know when the other will receive what lets it stand for
    /// election at once. In this term it can prove no lease any more, so it makes way for a new one.
    fn abdicate(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && self.lease.is_void() && raft.lead_transferee.is_none() {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
            self.draw_timeout();
        }
    }
}
