//! From the decision to fail over to the last replica's following the new primary.
//!
//! One file per phase: who stands when ([`elect`]), which replica ([`select`]), its promotion and the
//! announcement ([`promote`], or [`handover`] where an operator plans it), the other replicas ([`reconfigure`]). Where a log is
//! shared, the next leader goes on ([`resume`]). This one holds the states and the ends.

mod elect;
mod handover;
mod promote;
mod reconfigure;
mod record;
mod resume;
mod select;

use std::time::Duration;

use rand::RngExt;

pub(crate) use handover::HAND_OVER_INFO_PERIOD;
pub use record::{AbortReason, Cause, FailoverReceipt, FailoverRecord, Outcome, Phases};

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::event::EventKind;
use crate::group::Group;
use crate::id::{Epoch, SentinelId};
use crate::instance::Following;
use crate::time::Instant;

/// The wait after a split or lost election, drawn anew each time so that candidates do not meet again.
const RETRY_MS: std::ops::Range<u64> = 150..300;
/// The longest wait between attempts that fail for the same reason again and again.
const MAX_RETRY: Duration = Duration::from_secs(10);

/// The exit status of a simulated crash. As the reference.
const SIMULATED_CRASH: u8 = 99;

/// What a failover that is led here is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It seeks the lead.
    Electing { gives_up_at: Instant },
    /// It waits for fresh facts, then chooses.
    Selecting { since: Instant },
    /// It makes the candidate a primary. `sent_at` is set while the order is out.
    Promoting {
        candidate: Addr,
        since: Instant,
        sent_at: Option<Instant>,
        refused: bool,
    },
    /// The candidate is the primary; the others are being pointed at it.
    Reconfiguring { since: Instant },
}

/// A failover that is led here.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) epoch: Epoch,
    pub(crate) cause: Cause,
    pub(crate) stage: Stage,
    pub(crate) began: Instant,
    pub(crate) old_primary: Addr,
    /// After a hand-over, writes are let through again.
    released: bool,
    /// When the server was told to end the hand-over; whether it still came off is to be seen.
    given_up_at: Option<Instant>,
    candidate: Option<Addr>,
    voters: Vec<SentinelId>,
    passed_over: Vec<(Addr, String)>,
    phases: Phases,
}

impl Run {
    fn new(epoch: Epoch, cause: Cause, old_primary: Addr, now: Instant, gives_up_at: Instant) -> Self {
        Self {
            epoch,
            cause,
            stage: Stage::Electing { gives_up_at },
            began: now,
            old_primary,
            released: false,
            given_up_at: None,
            candidate: None,
            voters: Vec::new(),
            passed_over: Vec::new(),
            phases: Phases::default(),
        }
    }

    /// The state as `SENTINEL MASTER` names it.
    pub(crate) const fn state_name(&self) -> &'static str {
        match &self.stage {
            Stage::Electing { .. } => "wait_start",
            Stage::Selecting { .. } => "select_slave",
            Stage::Promoting { sent_at: None, .. } => "send_slaveof_noone",
            Stage::Promoting { .. } => "wait_promotion",
            Stage::Reconfiguring { .. } => "reconf_slaves",
        }
    }

    fn receipt(&self, outcome: Outcome) -> FailoverReceipt {
        FailoverReceipt {
            epoch: self.epoch,
            cause: self.cause,
            outcome,
            old_primary: self.old_primary.clone(),
            candidate: self.candidate.clone(),
            voters: self.voters.clone(),
            passed_over: self.passed_over.clone(),
            phases: self.phases,
        }
    }
}

impl Group {
    /// Begins a failover if one is due, or takes the one under way as far as it goes now.
    pub(crate) fn drive_failover(&mut self, cx: &mut Context) {
        match self.run.as_ref().map(|run| run.stage.clone()) {
            None => self.consider_failover(cx),
            Some(Stage::Electing { gives_up_at }) => self.elect(gives_up_at, cx),
            Some(Stage::Selecting { since }) => self.select(since, cx),
            Some(Stage::Promoting { .. }) => self.promote(cx),
            Some(Stage::Reconfiguring { since }) => self.reconfigure(since, cx),
        }
    }

    /// Gives the failover up before anything was announced.
    fn abort(&mut self, reason: AbortReason, cx: &mut Context) {
        let Some(run) = self.run.take() else { return };
        self.retract_orders(cx);
        let kind = match reason {
            AbortReason::NotElected | AbortReason::Stalled => Some(EventKind::AbortNotElected),
            AbortReason::NoGoodReplica => Some(EventKind::AbortNoGoodReplica),
            AbortReason::CandidateTimeout | AbortReason::Refused => Some(EventKind::AbortCandidateTimeout),
            AbortReason::PrimaryTimeout => Some(EventKind::AbortPrimaryTimeout),
            AbortReason::Superseded | AbortReason::Withdrawn => None,
        };
        if let Some(kind) = kind {
            let payload = self.describe_primary(cx);
            let words = match reason {
                AbortReason::NoGoodReplica if run.passed_over.is_empty() => {
                    format!("{reason}: none is known")
                }
                AbortReason::NoGoodReplica => {
                    let receipt = run.receipt(Outcome::Aborted(reason));
                    format!("{reason}: {}", receipt.passed_over_in_words())
                }
                _ => reason.to_string(),
            };
            cx.event(kind, Some(&self.name), payload, Some(words));
        }
        self.close_run(&run, Outcome::Aborted(reason), cx);
        self.schedule_retry(reason, cx);
        if reason == AbortReason::NoGoodReplica {
            self.leave_the_lead(cx);
        }
    }

    /// Takes back what was ordered and has not left, because the disk has been slow: another sentinel may have
    /// chosen another primary meanwhile.
    pub(crate) fn retract_orders(&mut self, cx: &mut Context) {
        if bugs::has(Bug::KeepSupersededOrders) {
            return;
        }
        for instance in self.instances.values_mut() {
            if let Some(link) = instance.link.id() {
                for _ in 0..cx.out.retract_orders(link) {
                    instance.link.replied();
                    instance.info_asked_at = None;
                }
            }
        }
    }

    /// This process did not run for `gap`. If the others hold it for gone since, they have another leader by now, or a
    /// new primary already: what was not ordered yet is not ordered any more.
    pub(crate) fn slept(&mut self, gap: Duration, cx: &mut Context) {
        let unordered = self.run.as_ref().is_some_and(|run| {
            matches!(
                run.stage,
                Stage::Electing { .. } | Stage::Selecting { .. } | Stage::Promoting { sent_at: None, .. }
            )
        });
        if unordered
            && cx.agreement.is_by_vote()
            && gap >= elect::LEADER_SILENCE
            && !bugs::has(Bug::OldLeaderGoesOn)
        {
            self.abort(AbortReason::Stalled, cx);
        }
    }

    /// Ends whatever failover is under way because of something from outside.
    pub(crate) fn cancel_failover(&mut self, reason: AbortReason, cx: &mut Context) {
        if self.run.is_some() {
            self.abort(reason, cx);
        }
        cx.agreement.withdraw(&self.name);
        self.stands_at = None;
        self.order_again_at = None;
    }

    /// The failover has reached its end: another primary is installed.
    fn complete(&mut self, outcome: Outcome, cx: &mut Context) {
        let Some(run) = self.run.take() else { return };
        self.close_run(&run, outcome, cx);
        self.failed_attempts = 0;
    }

    fn close_run(&mut self, run: &Run, outcome: Outcome, cx: &mut Context) {
        for instance in self.instances.values_mut() {
            instance.following = Following::Untold;
        }
        cx.agreement.withdraw(&self.name);
        self.stands_at = None;
        let receipt = Box::new(run.receipt(outcome));
        cx.propose(Decision::FailoverEnded {
            group: self.name.clone(),
            receipt,
        });
    }

    /// When the next automatic attempt may begin. Unlike Sentinel, a lost election or a bad candidate costs a
    /// fraction of a second and not twice the failover timeout; only what fails again and again is slowed down.
    fn schedule_retry(&mut self, reason: AbortReason, cx: &mut Context) {
        let base = Duration::from_millis(cx.rng.random_range(RETRY_MS));
        let wait = base
            .saturating_mul(1 << self.failed_attempts.min(8))
            .min(MAX_RETRY);
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        self.lacks_replica = reason == AbortReason::NoGoodReplica;
        let wait = if self.lacks_replica {
            self.rules.failover_timeout.saturating_mul(2)
        } else {
            wait
        };
        self.retry_at = cx.now + wait;
        cx.touch(&self.name);
    }
}
