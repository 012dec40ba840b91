//! The planned switch: the primary itself hands its role over, by its own `FAILOVER`, when the replica has every
//! byte. Writes are held back meanwhile, and none is lost.

use std::time::Duration;

use super::{AbortReason, Cause, Stage};
use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Command;
use crate::event::EventKind;
use crate::group::Group;
use crate::instance::Following;
use crate::instance::info::Role;
use crate::time::{Instant, whole_millis};

/// How long a hand-over may take at most, and so how long writes may wait. A replica that lags by more than it can
/// catch up in this time is no candidate for a switch that nobody should notice.
const MAX_HAND_OVER: Duration = Duration::from_secs(10);
/// Less than this is not enough to begin a hand-over with. As the reference.
const LEAST_HAND_OVER: Duration = Duration::from_secs(1);
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
        match sent_at {
            None if cx.due(ends_at - LEAST_HAND_OVER) => self.abort(AbortReason::PrimaryTimeout, cx),
            None => self.order_hand_over(&candidate, ends_at, cx),
            Some(_) if refused || cx.due(ends_at) => self.give_hand_over_up(cx),
            Some(sent_at) => self.notice_hand_over(candidate, since, sent_at, cx),
        }
    }

    fn order_hand_over(&mut self, candidate: &Addr, ends_at: Instant, cx: &mut Context) {
        let to = cx.names.shown_addr(candidate);
        let timeout_ms = whole_millis(ends_at.since(cx.now));
        let Some(primary) = self.instances.get_mut(&self.primary) else {
            return;
        };
        primary.told_by = cx.send(
            &mut primary.link,
            vec![Command::HandOver { to, timeout_ms }],
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

    fn notice_hand_over(&mut self, candidate: Addr, since: Instant, sent_at: Instant, cx: &mut Context) {
        let took_over = self.instances.get(&candidate).is_some_and(|replica| {
            (replica.role == Role::Primary || bugs::has(Bug::HandOverBeforeRole))
                && replica.info_at.is_some_and(|at| at >= sent_at)
        });
        let Some(run) = self.run.as_mut().filter(|_| took_over) else {
            return;
        };
        run.phases.promotion = Some(cx.now.since(since));
        cx.propose(Decision::Switch {
            group: self.name.clone(),
            config_epoch: run.epoch.into(),
            primary: candidate,
            from: cx.registry.my_id.clone(),
        });
    }

    /// The server gives the hand-over up by itself after the time that it was given; writes are let through at once.
    fn give_hand_over_up(&mut self, cx: &mut Context) {
        if let Some(primary) = self.instances.get_mut(&self.primary)
            && !bugs::has(Bug::PauseNotReleased)
        {
            cx.send(&mut primary.link, vec![Command::Unpause], true);
        }
        self.abort(AbortReason::CandidateTimeout, cx);
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
