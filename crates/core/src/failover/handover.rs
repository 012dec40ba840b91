//! The planned switch: the primary itself hands its role over, by its own `FAILOVER`, when the replica has every
//! byte. Writes are held back meanwhile, and none is lost.

use std::time::Duration;

use super::{AbortReason, Cause, Stage, reconfigure};
use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Command;
use crate::event::EventKind;
use crate::group::Group;
use crate::instance::info::Role;
use crate::instance::{Following, Instance};
use crate::monitor::is_silent;
use crate::time::{Instant, whole_millis};

/// How long a hand-over may take at most, and so how long writes may wait. A replica that lags by more than it can
/// catch up in this time is no candidate for a switch that nobody should notice.
const MAX_HAND_OVER: Duration = Duration::from_secs(10);
/// How long our own pause of writes may last. The server holds them back itself until it has handed over; ours is for
/// the moment between that and the clients' being sent off, and nobody ends it if we die in between.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Less than this is not enough to begin a hand-over with. As the reference.
const LEAST_HAND_OVER: Duration = Duration::from_secs(1);
/// How long the candidate may be silent while writes wait for it. Longer than where the primary is dead: a switch that is
/// given up is not tried again, and so a replica that was only busy for a moment is waited for.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// How long a candidate that has taken over at the moment at which it was given up has for telling so.
const LATE_HAND_OVER: Duration = Duration::from_secs(1);
/// How long a server may wait for the replica that it follows already, if nobody is known to lead a hand-over. It takes
/// a few milliseconds where all is well.
const STUCK_HAND_OVER: Duration = Duration::from_secs(3);
/// How much longer those wait who are not in charge of repairs. As they do with a stray primary.
const OTHERS_GRACE: Duration = Duration::from_secs(8);
/// The least time between two such orders to the same server.
const ABORT_SPACING: Duration = Duration::from_secs(5);
/// How often the candidate is asked whether it has taken over: clients wait for that.
pub(crate) const HAND_OVER_INFO_PERIOD: Duration = Duration::from_millis(5);

impl Group {
    /// Whether the primary has been asked to hand over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            run.cause == Cause::Coordinated && matches!(run.stage, Stage::Promoting { sent_at: Some(_), .. })
        })
    }

    /// The replica to which the primary is handing over.
    pub(crate) fn successor(&self) -> Option<Addr> {
        match self.run.as_ref().map(|run| &run.stage) {
            Some(Stage::Promoting { candidate, .. }) if self.is_handing_over() => Some(candidate.clone()),
            _ => None,
        }
    }

    /// Another coordinator leads although the primary is well: an operator has ordered it, and if it is a hand-over the
    /// primary's writes are held back soon. Our hellos would wait there and our pings behind them, and it would count as
    /// down while it does what it was told. So it gets none for as long as that may last.
    pub(crate) fn expect_hand_over(&mut self, cx: &Context) {
        if !self.primary_is_sdown() {
            self.hushed = Some((self.primary.clone(), cx.now + MAX_HAND_OVER + MAX_PAUSE));
        }
    }

    /// The primary was replaced: if it handed over, a pause of the leader's is all that may be left there.
    pub(super) fn hand_over_has_ended(&mut self, cx: &Context) {
        if let Some((_, until)) = &mut self.hushed {
            *until = (*until).min(cx.now + MAX_PAUSE);
        }
    }

    /// The server to which no hello goes now, because another coordinator may have told it to hand over.
    pub(crate) fn hushed_server(&mut self, cx: &mut Context) -> Option<Addr> {
        let (_, until) = self.hushed.as_ref()?;
        if cx.due(*until) {
            self.hushed = None;
        }
        self.hushed.as_ref().map(|(addr, _)| addr.clone())
    }

    /// The server whose writes are held back: a `PUBLISH` would wait there, and everything behind it.
    pub(crate) fn paused_server(&self) -> Option<Addr> {
        let run = self
            .run
            .as_ref()
            .filter(|run| run.cause == Cause::Coordinated && !run.released)?;
        let is_paused = self.is_handing_over() || matches!(run.stage, Stage::Reconfiguring { .. });
        is_paused.then(|| run.old_primary.clone())
    }

    /// Orders the hand-over, looks whether it has happened, or gives it up.
    pub(super) fn hand_over(&mut self, cx: &mut Context) {
        let Some(run) = &self.run else { return };
        let Stage::Promoting {
            candidate,
            since,
            sent_at,
            refused,
        } = run.stage.clone()
        else {
            return;
        };
        let ends_at = since + self.rules.failover_timeout.min(MAX_HAND_OVER);
        // A primary that a quorum holds for down hands nothing over: the ordinary failover follows.
        let lost = self.odown_since.is_some();
        match sent_at {
            None if lost || cx.due(ends_at - LEAST_HAND_OVER) => self.abort(AbortReason::PrimaryTimeout, cx),
            None => self.order_hand_over(&candidate, ends_at, cx),
            Some(_) if refused => self.let_writes_through(cx),
            Some(sent_at) if self.has_taken_over(&candidate, sent_at) => {
                self.accept_hand_over(candidate, since, cx);
            }
            Some(_) => match run.given_up_at {
                Some(at) => self.conclude_hand_over(at, cx),
                None if lost || self.candidate_is_gone(&candidate, cx) || cx.due(ends_at) => {
                    self.give_hand_over_up(cx)
                }
                None => {}
            },
        }
    }

    fn order_hand_over(&mut self, candidate: &Addr, ends_at: Instant, cx: &mut Context) {
        let to = cx.names.shown_addr(candidate);
        let timeout_ms = whole_millis(ends_at.since(cx.now));
        let pause_ms = timeout_ms.min(whole_millis(MAX_PAUSE));
        let Some(primary) = self.instances.get_mut(&self.primary) else {
            return;
        };
        primary.told_by = cx.send(
            &mut primary.link,
            vec![Command::HandOver {
                to,
                timeout_ms,
                pause_ms,
            }],
            true,
        );
        if primary.told_by.is_none() {
            return;
        }
        if let Some(Stage::Promoting { sent_at, .. }) = self.run.as_mut().map(|run| &mut run.stage) {
            *sent_at = Some(cx.now);
        }
        if let Some(replica) = self.instances.get_mut(candidate) {
            replica.info_wanted = true;
        }
        let payload = self.describe(cx, candidate);
        cx.event(EventKind::StateWaitPromotion, Some(&self.name), payload, None);
    }

    /// Whether the candidate is a primary with the data of this one. Another server may have come to its address.
    fn has_taken_over(&self, candidate: &Addr, sent_at: Instant) -> bool {
        self.instances.get(candidate).is_some_and(|replica| {
            (replica.role == Role::Primary || bugs::has(Bug::HandOverBeforeRole))
                && replica.info_at.is_some_and(|at| at >= sent_at)
                && !self.is_stranger(replica)
        })
    }

    /// Whether the candidate has been silent for too long, or another server has its address: writes need not wait for one
    /// that has died.
    fn candidate_is_gone(&self, candidate: &Addr, cx: &mut Context) -> bool {
        let Some(replica) = self.instances.get(candidate) else {
            return true;
        };
        let is_replaced = replica.facts_are_its_own() && self.is_stranger(replica);
        is_replaced || is_silent(replica.health.unanswered_since(), MAX_SILENCE, cx)
    }

    fn accept_hand_over(&mut self, candidate: Addr, since: Instant, cx: &mut Context) {
        let Some(run) = self.run.as_mut() else { return };
        run.phases.promotion = Some(cx.now.since(since));
        cx.propose(Decision::Switch {
            group: self.name.clone(),
            config_epoch: run.epoch.into(),
            primary: candidate,
            from: cx.registry.my_id.clone(),
        });
    }

    /// The server would end by itself only what still waits for the replica. Once it follows that one it waits without
    /// an end, and so it is told. It may have come off at this very moment: what the server is afterwards decides.
    pub(super) fn give_hand_over_up(&mut self, cx: &mut Context) {
        // The order itself may wait for the disk still, and must not follow its end.
        self.retract_orders(cx);
        let Some(primary) = self.instances.get_mut(&self.primary) else {
            return;
        };
        if !primary.link.is_up() {
            // Whoever reaches it first sees what has become of it.
            return self.abort(AbortReason::CandidateTimeout, cx);
        }
        end(primary, false, cx);
        let mut commands = vec![Command::Unpause, Command::Info];
        if bugs::has(Bug::PauseNotReleased) {
            commands.remove(0);
        }
        cx.send(&mut primary.link, commands, false);
        primary.info_asked_at = Some(cx.now);
        if let Some(run) = &mut self.run {
            run.given_up_at = Some(cx.now);
        }
        cx.wake_at(cx.now + LATE_HAND_OVER);
    }

    /// After it was given up: whether the server is what it was before. If not, the candidate has taken over, and a
    /// moment later it shows. One that has died with its new role is not waited for: nobody was told of it yet.
    fn conclude_hand_over(&mut self, given_up_at: Instant, cx: &mut Context) {
        let Some(primary) = self.instances.get(&self.primary) else {
            return;
        };
        let told = primary.abort_answered_at.is_some_and(|at| at >= given_up_at);
        let is_known = told && primary.info_at >= primary.abort_answered_at;
        let came_off = is_known && primary.role == Role::Replica && !primary.info.hand_over.is_under_way();
        if is_known && !came_off {
            return self.abort(AbortReason::CandidateTimeout, cx);
        }
        if !cx.due(given_up_at + LATE_HAND_OVER) {
            return;
        }
        self.abort(AbortReason::CandidateTimeout, cx);
        if let Some(primary) = self.instances.get_mut(&self.primary).filter(|_| came_off) {
            primary.told_by = reconfigure::tell(primary, None, cx);
        }
    }

    /// The server refused the hand-over. The pause before it in the transaction may have been obeyed.
    fn let_writes_through(&mut self, cx: &mut Context) {
        if let Some(primary) = self.instances.get_mut(&self.primary)
            && !bugs::has(Bug::PauseNotReleased)
        {
            cx.send(&mut primary.link, vec![Command::Unpause], true);
        }
        self.abort(AbortReason::Refused, cx);
    }

    /// Frees the primary from a hand-over that no coordinator leads any longer: whoever ordered it has died, or could
    /// not reach it. Until then it takes no writes and no orders.
    pub(crate) fn free_primary(&mut self, cx: &mut Context) {
        let primary = self.primary_instance().filter(|primary| primary.link.is_up());
        let Some((since, last)) = primary.and_then(|p| Some((p.handing_over_since?, p.abort_sent_at))) else {
            return;
        };
        if self.run.is_some() || self.follows_a_leader(cx) {
            return;
        }
        let due = since + STUCK_HAND_OVER + self.repair_grace(cx).unwrap_or(OTHERS_GRACE);
        let due = last.map_or(due, |at| due.max(at + ABORT_SPACING));
        if !cx.due(due) {
            return;
        }
        let addr = self.primary.clone();
        if let Some(primary) = self.instances.get_mut(&addr) {
            end(primary, true, cx);
            primary.info_wanted = true;
        }
        if last.is_none_or(|at| at < since) {
            let what = format!("{addr} is stuck in a hand-over that nobody leads: it is told to end it");
            cx.odd(Some(&self.name), what);
        }
    }

    /// After the hand-over: both sides make their role permanent, send their clients off and let writes through.
    pub(super) fn release(&mut self, cx: &mut Context) {
        let Some(run) = self.run.as_mut().filter(|run| run.cause == Cause::Coordinated) else {
            return;
        };
        run.released = true;
        let old = run.old_primary.clone();
        for addr in [self.primary.clone(), old.clone()] {
            let Some(instance) = self.instances.get_mut(&addr) else {
                continue;
            };
            cx.send(&mut instance.link, vec![Command::Release, Command::Info], true);
            if addr == old {
                // It follows the new primary by itself.
                instance.following = Following::Sent(cx.now);
                instance.told_at = Some(cx.now);
            }
        }
    }
}

/// Tells a server to end its hand-over. One that has none refuses, and no harm is done.
pub(super) fn end(instance: &mut Instance, durable: bool, cx: &mut Context) {
    instance.abort_by = if bugs::has(Bug::HandOverNotEnded) {
        None
    } else {
        cx.send(&mut instance.link, vec![Command::AbortHandOver], durable)
    };
    instance.abort_sent_at = Some(cx.now);
}
