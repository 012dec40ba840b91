//! Failovers where all coordinators share a log: the record of one is in the log, so whoever leads next goes on with it
//! from its last step.

use std::time::Duration;

use super::{Cause, FailoverRecord, Run, Stage};
use crate::agreement::Standing;
use crate::context::Context;
use crate::event::EventKind;
use crate::group::Group;
use crate::id::SentinelId;
use crate::instance::Following;

/// How long others see the primary down, while the leader does not, before one of them is to lead. Those who watch the
/// same server notice its death within a few milliseconds of each other.
const BLIND_AFTER: Duration = Duration::from_millis(500);

impl Group {
    /// Whether the log has a failover of this group under way, wherever it is led.
    pub(super) fn is_being_failed_over(&self, cx: &Context) -> bool {
        let record = || cx.registry.groups.get(&self.name);
        !cx.agreement.is_by_vote() && record().is_some_and(|record| record.failover.is_some())
    }

    /// Another coordinator leads a failover from now on.
    pub(super) fn begun_elsewhere(&mut self, record: &FailoverRecord, cx: &mut Context) {
        let leader = cx.agreement.log().and_then(|log| log.leader());
        if let Some(leader) = leader {
            let payload = format!("{leader} {}", record.epoch);
            let reason = "it leads all coordinators".to_owned();
            cx.event(EventKind::VoteForLeader, Some(&self.name), payload, Some(reason));
        }
        if record.cause == Cause::Coordinated {
            self.expect_hand_over(cx);
        }
    }

    /// Goes on with a failover that the log knows and nobody leads here: its leader is gone, or was we ourselves before
    /// our lead was in doubt.
    pub(crate) fn resume_failover(&mut self, cx: &mut Context) {
        if self.run.is_some() || !self.is_being_failed_over(cx) {
            return;
        }
        let Some(group) = cx.registry.groups.get(&self.name) else {
            return;
        };
        let Some(record) = group.failover.clone() else {
            return;
        };
        let installed = group.config_epoch == record.epoch.into();
        let mut run = Run::new(
            record.epoch,
            record.cause,
            record.old_primary.clone(),
            cx.now,
            cx.now,
        );
        if let Standing::Elected { voters } = cx.agreement.standing(&cx.registry, &self.name) {
            run.voters = voters;
        }
        run.candidate.clone_from(&record.candidate);
        let candidate = record.candidate.filter(|addr| self.instances.contains_key(addr));
        let (since, coordinated) = (cx.now, record.cause == Cause::Coordinated);
        run.stage = match candidate {
            _ if installed => Stage::Reconfiguring { since },
            Some(candidate) => Stage::Promoting {
                candidate,
                since,
                // Whether the server was told to hand over is not known. It is told to end it, so it was.
                sent_at: coordinated.then_some(since),
                refused: false,
            },
            None => Stage::Selecting { since },
        };
        let stage = run.stage.clone();
        self.run = Some(run);
        self.hushed = None;
        let payload = self.describe_primary(cx);
        let reason = format!(
            "it goes on with the failover of epoch {} from {}",
            record.epoch,
            self.run.as_ref().map_or("", Run::state_name)
        );
        cx.event(EventKind::ElectedLeader, Some(&self.name), payload, Some(reason));
        self.refresh_replicas();
        match stage {
            Stage::Reconfiguring { .. } => self.release(cx),
            Stage::Promoting { candidate, .. } if coordinated => {
                if let Some(replica) = self.instances.get_mut(&candidate) {
                    replica.info_wanted = true;
                }
                self.give_hand_over_up(cx);
            }
            _ => {}
        }
    }

    /// Another coordinator leads: what was under way here is its business now.
    pub(crate) fn stand_back(&mut self, cx: &mut Context) {
        self.stands_at = None;
        self.order_again_at = None;
        self.blind_since = None;
        if self.run.take().is_none() {
            return;
        }
        self.retract_orders(cx);
        for instance in self.instances.values_mut() {
            instance.following = Following::Untold;
        }
    }

    /// Has another coordinator lead if a quorum of the others sees the primary down and this one does not.
    pub(crate) fn yield_if_blind(&mut self, cx: &mut Context) {
        if cx.agreement.is_by_vote() {
            return;
        }
        let others = self.who_say_down().count();
        if self.primary_is_sdown() || others < self.rules.quorum as usize {
            self.blind_since = None;
            return;
        }
        let since = *self.blind_since.get_or_insert(cx.now);
        if cx.due(since + BLIND_AFTER) {
            self.leave_the_lead(cx);
        }
    }

    /// Has one that sees the primary down lead, for this one found nothing that could be done. They take turns: two that can
    /// do nothing would else pass the lead to and fro between them.
    pub(super) fn leave_the_lead(&mut self, cx: &mut Context) {
        let in_reach = |id: &&SentinelId| cx.peers.get(*id).is_some_and(|peer| peer.link.is_up());
        let me = &cx.registry.my_id;
        let next = self.who_say_down().filter(in_reach).find(|id| *id > me);
        let to = next.or_else(|| self.who_say_down().find(in_reach)).cloned();
        if let Some(to) = to {
            cx.step_aside(Some(&to));
        }
    }

    fn who_say_down(&self) -> impl Iterator<Item = &SentinelId> {
        self.views
            .iter()
            .filter(|(_, view)| view.says_down)
            .map(|(id, _)| id)
    }
}
