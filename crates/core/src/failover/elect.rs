//! Who stands for election, when, and what becomes of it.

use std::time::Duration;

use rand::RngExt;

use super::{AbortReason, Cause, FailoverRecord, Run, SIMULATED_CRASH, Stage};
use crate::agreement::{Duty, Standing};
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Effect;
use crate::event::EventKind;
use crate::group::{Followed, Group};
use crate::id::{ClientToken, Epoch, SentinelId};
use crate::request::{Answer, Refusal};
use crate::time::Instant;

/// The head start of each candidate over the next. Long enough for two disk writes and two round trips, so
/// that the first has its votes before the second stands.
const RANK_STEP: Duration = Duration::from_millis(50);
/// How long the first election of a group may take; each that fails doubles it, since a slow disk somewhere
/// may be the reason.
const FIRST_ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// When an election is given up in which everybody who can be reached has voted.
const FRUITLESS_AFTER: Duration = Duration::from_millis(200);
/// How long a failover that an operator ordered waits for votes before it goes on without them. As the
/// reference it needs none; unlike it, it asks for them, so that two orders at once do not share an epoch.
const MANUAL_ELECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// The wait before an order is carried out with another epoch, drawn anew each time, so that two orders do not
/// meet again and again.
const ORDER_AGAIN_MS: std::ops::Range<u64> = 10..100;
/// How often an order takes another epoch. Two operators who meet more often than this have to talk.
const MAX_ORDER_TRIES: u32 = 5;
/// For how long a leader that lives is left alone. It gives up its own failover before.
const MAX_PATIENCE: Duration = Duration::from_secs(15);
/// The same while the primary is down: nobody can write, and nothing tells that the leader has given up because it sees
/// less than others do.
const MAX_PATIENCE_DOWN: Duration = Duration::from_secs(6);
/// How long a leader may be silent before it counts as gone. It is pinged five times within.
pub(super) const LEADER_SILENCE: Duration = Duration::from_millis(500);
/// How often the state of a followed leader is looked at.
const LEADER_CHECK_PERIOD: Duration = Duration::from_millis(50);

impl Group {
    /// Begins a failover if the primary is objectively down and nobody else is at it.
    pub(super) fn consider_failover(&mut self, cx: &mut Context) {
        if let Some(at) = self.order_again_at
            && cx.due(at)
        {
            self.order_again_at = None;
            return self.begin(Cause::Manual, None, cx);
        }
        if self.odown_since.is_none() || self.is_held(cx) {
            self.stands_at = None;
            return;
        }
        if self.follows_a_leader(cx) {
            self.stands_at = None;
            return;
        }
        let may_override = self.lacks_replica && (self.choose(cx).is_ok() || self.heir(cx).is_some());
        if !may_override && !cx.due(self.retry_at) {
            return;
        }
        let stands_at = match self.stands_at {
            Some(at) => at,
            None => cx.now + RANK_STEP.saturating_mul(self.rank(cx)),
        };
        self.stands_at = Some(stands_at);
        if cx.due(stands_at) {
            self.begin(Cause::ObjectivelyDown, None, cx);
        }
    }

    /// Puts a failover forward.
    pub(crate) fn begin(&mut self, cause: Cause, origin: Option<ClientToken>, cx: &mut Context) {
        let Some(record) = cx.registry.groups.get(&self.name) else {
            return;
        };
        let highest = cx
            .registry
            .current_epoch
            .max(record.vote.epoch)
            .max(record.config_epoch.into());
        let reuses = self.failed_attempts > 0 && bugs::has(Bug::SameEpochAgain);
        let epoch = if reuses { highest } else { highest.next() };
        let record = FailoverRecord {
            epoch,
            cause,
            old_primary: self.primary.clone(),
            candidate: None,
        };
        self.stands_at = None;
        let decision = Decision::FailoverBegun {
            group: self.name.clone(),
            record,
        };
        match origin {
            // Whoever leads carries it out.
            Some(_) => cx.agreement.propose(decision, origin),
            None => cx.propose(decision),
        }
    }

    /// A failover counts: seek the lead, or leave it to the one that has it.
    pub(crate) fn begun(&mut self, record: &FailoverRecord, cx: &mut Context) {
        if cx.agreement.duty(cx.now, &self.name) == Duty::Rest {
            return self.begun_elsewhere(record, cx);
        }
        let timeout = match record.cause {
            Cause::Manual => MANUAL_ELECTION_TIMEOUT,
            Cause::ObjectivelyDown | Cause::Coordinated => FIRST_ELECTION_TIMEOUT
                .saturating_mul(1 << self.failed_attempts.min(4))
                .min(cx.tunables.election_timeout)
                .min(self.rules.failover_timeout),
        };
        let old = record.old_primary.clone();
        let mut run = Run::new(record.epoch, record.cause, old, cx.now, cx.now + timeout);
        if record.cause == Cause::ObjectivelyDown {
            let sdown_since = self.primary_instance().and_then(|primary| primary.sdown_since);
            let silent_since = self.primary_instance().and_then(|p| p.health.unanswered_since());
            run.phases.detection = sdown_since
                .zip(silent_since)
                .map(|(down, first)| down.since(first));
            run.phases.agreement = self
                .odown_since
                .zip(sdown_since)
                .map(|(odown, sdown)| odown.since(sdown));
        }
        self.run = Some(run);
        let reason = match record.cause {
            Cause::ObjectivelyDown => "the primary is objectively down and this sentinel stands for the lead",
            Cause::Manual => "an operator ordered it",
            Cause::Coordinated => "an operator ordered a hand-over",
        };
        let payload = self.describe_primary(cx);
        cx.event(
            EventKind::TryFailover,
            Some(&self.name),
            payload,
            Some(reason.to_owned()),
        );
        let Context {
            agreement, registry, ..
        } = cx;
        agreement.campaign(registry, &self.name, record.epoch);
        for view in self.views.values_mut() {
            // Not held up by the question of a moment ago: this one comes once in each epoch.
            view.ask_now = true;
            view.asked_at = None;
        }
        cx.touch(&self.name);
    }

    /// Looks where the election stands.
    pub(super) fn elect(&mut self, gives_up_at: Instant, cx: &mut Context) {
        let Some(run) = &self.run else { return };
        let (began, manual) = (run.began, run.cause == Cause::Manual);
        match cx.agreement.standing(&cx.registry, &self.name) {
            Standing::Elected { voters } => self.elected(voters, cx),
            Standing::Lost { leader } if !manual => {
                self.abort(AbortReason::NotElected, cx);
                self.follow(leader, cx);
            }
            // Somebody else has this epoch: an order is carried out all the same, with another one.
            Standing::Lost { .. } | Standing::Split if manual => self.order_again(cx),
            Standing::Lost { .. } | Standing::Split => self.abort(AbortReason::NotElected, cx),
            Standing::Open if !cx.agreement.is_by_vote() => {
                if cx.due(gives_up_at) {
                    self.abort(AbortReason::NotElected, cx);
                }
            }
            Standing::Open => {
                let all_told = self.everybody_told(cx);
                let over = if manual {
                    all_told || cx.due(gives_up_at)
                } else {
                    cx.due(gives_up_at) || (all_told && cx.due(began + FRUITLESS_AFTER))
                };
                match (over, manual) {
                    (true, true) if self.is_contested(cx) => self.order_again(cx),
                    (true, true) => self.elected(vec![cx.registry.my_id.clone()], cx),
                    (true, false) => self.abort(AbortReason::NotElected, cx),
                    (false, _) => {}
                }
            }
        }
    }

    /// Whether another candidate has a vote in this epoch, and so may lead in it, too: without a majority, if an
    /// operator ordered it to.
    fn is_contested(&self, cx: &Context) -> bool {
        let Some(run) = &self.run else { return false };
        let me = &cx.registry.my_id;
        let votes = self.views.values().filter_map(|view| view.vote.as_ref());
        votes
            .into_iter()
            .any(|(leader, epoch)| *epoch == run.epoch && leader != me)
    }

    /// Gives an ordered failover up, to try it again with another epoch a little later.
    fn order_again(&mut self, cx: &mut Context) {
        self.abort(AbortReason::NotElected, cx);
        self.order_tries += 1;
        if self.order_tries < MAX_ORDER_TRIES {
            let wait = Duration::from_millis(cx.rng.random_range(ORDER_AGAIN_MS));
            self.order_again_at = Some(cx.now + wait);
        }
    }

    /// Whether every sentinel that can be reached has told its vote.
    fn everybody_told(&self, cx: &Context) -> bool {
        self.views.keys().all(|id| {
            let reachable = cx.peers.get(id).is_some_and(|peer| peer.link.is_up());
            !reachable || cx.agreement.has_heard(&self.name, id)
        })
    }

    fn elected(&mut self, voters: Vec<SentinelId>, cx: &mut Context) {
        let Some(run) = &mut self.run else { return };
        let what = if cx.agreement.is_by_vote() {
            "voted for it"
        } else {
            "follow its lead"
        };
        let reason = format!("{} of {} sentinels {what}", voters.len(), self.views.len() + 1);
        run.phases.election = Some(cx.now.since(run.began));
        run.voters = voters;
        run.stage = Stage::Selecting { since: cx.now };
        let payload = self.describe_primary(cx);
        cx.event(
            EventKind::ElectedLeader,
            Some(&self.name),
            payload.clone(),
            Some(reason),
        );
        if cx.crash_points.after_election {
            cx.out.push_durable(Effect::Exit {
                status: SIMULATED_CRASH,
            });
        }
        cx.event(EventKind::StateSelectReplica, Some(&self.name), payload, None);
        self.refresh_replicas();
        self.select(cx.now, cx);
    }

    /// We voted for another, or know that it has won: its failover is waited for.
    pub(crate) fn follow(&mut self, leader: SentinelId, cx: &mut Context) {
        let until = cx.now + self.patience();
        if let Some(peer) = cx.peers.get_mut(&leader) {
            peer.watched_until = Some(until);
            cx.wake_peer(&leader);
        }
        self.followed = Some(Followed {
            leader,
            since: cx.now,
        });
        self.stands_at = None;
        cx.touch(&self.name);
    }

    /// Whether a failover led elsewhere is to be waited for. One whose leader is gone is not.
    pub(crate) fn follows_a_leader(&mut self, cx: &mut Context) -> bool {
        let Some(followed) = &self.followed else {
            return false;
        };
        let expires_at = followed.since + self.patience();
        let gone = cx
            .peers
            .get(&followed.leader)
            .is_some_and(|peer| peer.link.is_failing() || peer.health.silent_for(cx.now) >= LEADER_SILENCE);
        if gone || cx.now >= expires_at {
            self.followed = None;
            return false;
        }
        cx.wake_at(expires_at.min(cx.now + LEADER_CHECK_PERIOD));
        true
    }

    fn patience(&self) -> Duration {
        let most = if self.odown_since.is_some() {
            MAX_PATIENCE_DOWN
        } else {
            MAX_PATIENCE
        };
        self.rules.failover_timeout.saturating_mul(2).min(most)
    }

    /// How many candidates stand before this one. Every coordinator comes to the same order, and another one
    /// for each group and epoch, so that no coordinator leads them all.
    fn rank(&self, cx: &Context) -> u32 {
        if !cx.agreement.is_by_vote() {
            return 0;
        }
        let epoch = cx.registry.current_epoch.next();
        let weight = |id: &SentinelId| mix(self.name.as_str(), id.as_str(), epoch);
        let mine = (weight(&cx.registry.my_id), cx.registry.my_id.as_str());
        let before = self
            .alive_sentinels(cx)
            .filter(|id| (weight(id), id.as_str()) < mine)
            .count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// The other sentinels that seem well.
    pub(crate) fn alive_sentinels<'a>(&'a self, cx: &'a Context) -> impl Iterator<Item = &'a SentinelId> {
        self.views
            .iter()
            .filter(|(_, view)| view.sdown_since.is_none())
            .map(|(id, _)| id)
            .filter(|id| {
                cx.peers
                    .get(*id)
                    .is_some_and(|peer| peer.link.is_up() && peer.health.silent_for(cx.now) < LEADER_SILENCE)
            })
    }

    /// An operator orders a failover, with this word behind the name of the group.
    pub(crate) fn failover_ordered(&mut self, token: ClientToken, option: Option<&str>, cx: &mut Context) {
        let cause = match option {
            None => Cause::Manual,
            Some(word) if word.eq_ignore_ascii_case("coordinated") => Cause::Coordinated,
            Some(_) => return cx.answer(token, Answer::Refused(Refusal::UnknownFailoverOption)),
        };
        let hands_over = self
            .primary_instance()
            .is_some_and(|primary| primary.info.can_hand_over);
        let refusal = if cause == Cause::Coordinated && !hands_over {
            Refusal::NoHandOver
        } else if self.run.is_some() || self.is_being_failed_over(cx) {
            Refusal::InProgress
        } else if self.choose(cx).is_err() {
            Refusal::NoGoodReplica
        } else {
            self.order_tries = 0;
            self.order_again_at = None;
            return self.begin(cause, Some(token), cx);
        };
        cx.answer(token, Answer::Refused(refusal));
    }
}

/// A number that looks random but is the same everywhere for the same words (FNV-1a, then a finishing mix).
fn mix(group: &str, id: &str, epoch: Epoch) -> u64 {
    let bytes = group
        .bytes()
        .chain([0])
        .chain(id.bytes())
        .chain(epoch.0.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_candidates_changes_with_group_and_epoch() {
        let first = |group: &str, epoch| {
            ["a", "b", "c"]
                .into_iter()
                .min_by_key(|id| mix(group, id, Epoch(epoch)))
                .expect("three candidates")
        };
        for id in ["a", "b", "c"] {
            assert!(
                (0..100).any(|epoch| first("g", epoch) == id),
                "{id} never leads by epoch"
            );
            assert!(
                (0..100).any(|n| first(&format!("g{n}"), 1) == id),
                "{id} never leads by group"
            );
        }
    }
}
