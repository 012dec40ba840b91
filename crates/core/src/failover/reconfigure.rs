//! Pointing the other replicas at the new primary, a few at a time.

use super::{Outcome, handover};
use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::effect::Command;
use crate::event::EventKind;
use crate::group::Group;
use crate::id::RequestId;
use crate::instance::info::Role;
use crate::instance::{Following, Instance};
use crate::time::Instant;

impl Group {
    /// Tells the next replicas, notes who has followed, and ends when all that can be reached have.
    pub(super) fn reconfigure(&mut self, since: Instant, cx: &mut Context) {
        let trusted = self.is_still_right(since, cx);
        let stands = self.keep_promoted(since, trusted, cx);
        self.note_progress(cx);
        if trusted {
            self.tell_next(cx);
        }
        let unfinished = self
            .replicas()
            .filter(|(_, replica)| !replica.is_sdown() && replica.following != Following::Done)
            .filter(|(addr, replica)| !self.belongs_elsewhere(addr, replica, cx))
            .count();
        let timed_out = cx.due(since + self.rules.failover_timeout);
        // Unlike Sentinel, which would wait without end for a new primary that has died, the failover ends
        // then, so that the next one can begin.
        let outcome = if unfinished == 0 && stands {
            Outcome::Completed
        } else if timed_out || self.primary_is_sdown() {
            Outcome::CompletedLate
        } else {
            return;
        };
        if let Some(run) = &mut self.run {
            run.phases.reconfiguration = Some(cx.now.since(since));
        }
        let late = outcome == Outcome::CompletedLate;
        let untold: Vec<Addr> = self
            .replicas()
            .filter(|(_, replica)| replica.following == Following::Untold && replica.link.is_up())
            .filter(|(addr, replica)| !self.belongs_elsewhere(addr, replica, cx))
            .map(|(addr, _)| addr.clone())
            .collect();
        self.finish(outcome, cx);
        if late && trusted && !self.primary_is_sdown() {
            for addr in untold {
                self.point_at_primary(&addr, EventKind::ReconfigureSentBestEffort, cx);
            }
        }
    }

    /// Whether what was installed since then can be taken for right: a coordinator that slept meanwhile may have been
    /// replaced, and its primary too, so that a majority has to confirm it.
    fn is_still_right(&self, since: Instant, cx: &Context) -> bool {
        // Where a log is shared, nobody acts on it who may have been replaced.
        let shared = !cx.agreement.is_by_vote();
        shared || cx.tilt.woke_at() <= since || self.is_confirmed(cx) || bugs::has(Bug::OldLeaderGoesOn)
    }

    /// Promotes the new primary again if something else made it a replica before everybody knew of it: a
    /// coordinator that missed the news, or an operator. Gives whether it is a primary.
    fn keep_promoted(&mut self, since: Instant, trusted: bool, cx: &mut Context) -> bool {
        let Some(primary) = self.instances.get_mut(&self.primary) else {
            return true;
        };
        if primary.role == Role::Primary {
            return true;
        }
        let last_told = primary.told_at.unwrap_or(since).max(since);
        let news = primary.info_at.is_some_and(|at| at >= last_told);
        if trusted && news && primary.link.is_up() {
            primary.told_by = tell(primary, None, cx);
            primary.told_at = Some(cx.now);
            primary.info_asked_at = Some(cx.now);
        }
        false
    }

    /// Reads from the last INFO of each replica that was told how far it is.
    fn note_progress(&mut self, cx: &mut Context) {
        let told: Vec<(Addr, Instant)> = self
            .replicas()
            .filter_map(|(addr, replica)| match replica.following {
                Following::Sent(at) | Following::InProgress(at) => Some((addr.clone(), at)),
                Following::Untold | Following::Done => None,
            })
            .collect();
        for (addr, told_at) in told {
            let Some(replica) = self.instances.get(&addr) else {
                continue;
            };
            let news = replica.info_at.is_some_and(|at| at >= told_at);
            let follows = news && self.follows_primary(cx, replica);
            let synced = follows && replica.info.link_up;
            let was_sent = matches!(replica.following, Following::Sent(_));
            // What it says on a connection made since then shows that the order got lost with the one before.
            let is_lost = replica.link.up_since().is_some_and(|up_since| {
                up_since > told_at && replica.info_at.is_some_and(|at| at >= up_since)
            });
            if follows && was_sent {
                self.note(
                    &addr,
                    Following::InProgress(told_at),
                    EventKind::ReconfigureInProgress,
                    cx,
                );
            }
            if synced {
                self.note(&addr, Following::Done, EventKind::ReconfigureDone, cx);
            } else if !follows && was_sent && is_lost {
                if let Some(replica) = self.instances.get_mut(&addr) {
                    replica.following = Following::Untold;
                }
            } else if !follows && was_sent && cx.due(told_at + cx.tunables.reconfigure_timeout) {
                // Unlike Sentinel, this holds for every number of parallel syncs, and what has timed out is
                // not told again at once: the repairs see to it later.
                self.note(&addr, Following::Done, EventKind::ReconfigureTimeout, cx);
            }
        }
    }

    fn note(&mut self, addr: &Addr, following: Following, kind: EventKind, cx: &mut Context) {
        if let Some(replica) = self.instances.get_mut(addr) {
            replica.following = following;
        }
        let payload = self.describe(cx, addr);
        cx.event(kind, Some(&self.name), payload, None);
    }

    /// Tells as many replicas as may sync at the same time. The old primary, if it lives, is told at once: it
    /// must not take writes any longer. One that has not said yet who it is may be another server at the same address.
    fn tell_next(&mut self, cx: &mut Context) {
        let busy =
            |instance: &Instance| matches!(instance.following, Following::Sent(_) | Following::InProgress(_));
        let mut syncing = self.replicas().filter(|(_, replica)| busy(replica)).count();
        let old_primary = self.run.as_ref().map(|run| run.old_primary.clone());
        let untold: Vec<Addr> = self
            .replicas()
            .filter(|(_, replica)| {
                // One that was connected anew has to say first who it is.
                replica.following == Following::Untold && replica.facts_are_its_own() && !replica.is_sdown()
            })
            .filter(|(addr, replica)| !self.belongs_elsewhere(addr, replica, cx))
            .map(|(addr, _)| addr.clone())
            .collect();
        for addr in untold {
            let is_old_primary = old_primary.as_ref() == Some(&addr);
            if !is_old_primary && syncing >= self.rules.parallel_syncs as usize {
                continue;
            }
            if self.point_at_primary(&addr, EventKind::ReconfigureSent, cx) {
                syncing += usize::from(!is_old_primary);
                if let Some(replica) = self.instances.get_mut(&addr) {
                    replica.following = Following::Sent(cx.now);
                }
            }
        }
    }

    /// Orders an instance to follow the primary, and asks what has become of it in the same write.
    pub(crate) fn point_at_primary(&mut self, addr: &Addr, kind: EventKind, cx: &mut Context) -> bool {
        let follow = Some(cx.names.shown_addr(&self.primary));
        let Some(replica) = self.instances.get_mut(addr) else {
            return false;
        };
        if replica.role == Role::Replica && bugs::has(Bug::ReplicasNotRepointed) {
            return false;
        }
        replica.told_by = tell(replica, follow, cx);
        if replica.told_by.is_none() {
            return false;
        }
        replica.info_asked_at = Some(cx.now);
        replica.told_at = Some(cx.now);
        let payload = self.describe(cx, addr);
        cx.event(kind, Some(&self.name), payload, None);
        true
    }

    /// Whether an instance reports to be a replica of our primary.
    pub(crate) fn follows_primary(&self, cx: &Context, instance: &Instance) -> bool {
        let reported = instance
            .info
            .primary_host
            .as_ref()
            .and_then(|host| Addr::parse(host, instance.info.primary_port));
        instance.role == Role::Replica && reported.is_some_and(|addr| cx.names.same(&addr, &self.primary))
    }
}

/// Tells an instance whom to follow, and asks what has become of it in the same write. Gives the number of the order
/// if there was a connection for it. A server that hands its role over would refuse: that is ended first.
pub(super) fn tell(
    instance: &mut Instance,
    follow: Option<(String, u16)>,
    cx: &mut Context,
) -> Option<RequestId> {
    if instance.info.hand_over.is_under_way() {
        handover::end(instance, true, cx);
    }
    let order = vec![Command::Reconfigure { follow }, Command::Info];
    cx.send(&mut instance.link, order, true)
}
