//! Making the candidate a primary, and telling everybody.

use std::time::Duration;

use super::{AbortReason, Cause, SIMULATED_CRASH, Stage, reconfigure};
use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Effect;
use crate::event::EventKind;
use crate::failover::Outcome;
use crate::group::Group;
use crate::id::{ConfigEpoch, SentinelId};
use crate::instance::info::Role;
use crate::instance::{Following, Instance};

/// How long a candidate may be silent. It was well a moment ago; another is better than a dead one.
const CANDIDATE_SILENCE: Duration = Duration::from_secs(1);
/// How long a promotion may take at most. It takes a millisecond; a server that is busy for longer than this
/// is no better than a dead one.
const PROMOTION_TIMEOUT: Duration = Duration::from_secs(5);

impl Group {
    /// Sends the promotion, looks whether it has happened, or gives the candidate up.
    pub(super) fn promote(&mut self, cx: &mut Context) {
        if self
            .run
            .as_ref()
            .is_some_and(|run| run.cause == Cause::Coordinated)
        {
            return self.hand_over(cx);
        }
        let Some(run) = &mut self.run else { return };
        let Stage::Promoting {
            candidate,
            since,
            sent_at,
            refused,
        } = &mut run.stage
        else {
            return;
        };
        let timeout = self.rules.failover_timeout.min(PROMOTION_TIMEOUT);
        let (addr, since, refused) = (candidate.clone(), *since, *refused);
        let Some(replica) = self.instances.get_mut(&addr) else {
            return self.abort(AbortReason::CandidateTimeout, cx);
        };
        let silent = replica.health.silent_for(cx.now) >= CANDIDATE_SILENCE;
        if refused || silent || cx.due(since + timeout) {
            replica.promotion_failed_at = Some(cx.now);
            let reason = if refused {
                AbortReason::Refused
            } else {
                AbortReason::CandidateTimeout
            };
            return self.abort(reason, cx);
        }
        if let Some(silent_since) = replica.health.unanswered_since() {
            cx.wake_at(silent_since + CANDIDATE_SILENCE);
        }
        let connected_at = replica.link.up_since();
        if connected_at.is_none_or(|at| sent_at.is_some_and(|sent_at| sent_at < at)) {
            // The order may be lost with the link: it is sent again on the next one unless it was obeyed.
            *sent_at = None;
            if connected_at.is_none() {
                return;
            }
        }
        if sent_at.is_none() && !replica.facts_are_its_own() {
            // Another server may have its address since the choice was made: who it is must be known first.
            replica.info_wanted = true;
            return;
        }
        if sent_at.is_none()
            && self
                .instances
                .get(&addr)
                .is_some_and(|found| self.is_stranger(found))
        {
            if let Some(replica) = self.instances.get_mut(&addr) {
                replica.promotion_failed_at = Some(cx.now);
            }
            return self.abort(AbortReason::CandidateTimeout, cx);
        }
        let (Some(run), Some(replica)) = (&mut self.run, self.instances.get_mut(&addr)) else {
            return;
        };
        let Stage::Promoting { sent_at, .. } = &mut run.stage else {
            return;
        };
        match *sent_at {
            None => {
                *sent_at = Some(cx.now);
                replica.info_asked_at = Some(cx.now);
                replica.told_by = reconfigure::tell(replica, None, cx);
                let payload = self.describe(cx, &addr);
                cx.event(EventKind::StateWaitPromotion, Some(&self.name), payload, None);
            }
            Some(sent_at) => {
                let answered = replica.info_at.is_some_and(|at| at >= sent_at);
                if answered && replica.role == Role::Primary {
                    run.phases.promotion = Some(cx.now.since(since));
                    cx.propose(Decision::Switch {
                        group: self.name.clone(),
                        config_epoch: run.epoch.into(),
                        primary: addr,
                        from: cx.registry.my_id.clone(),
                    });
                }
            }
        }
    }

    /// A server refused to change whom it follows.
    pub(crate) fn promotion_refused(&mut self, addr: &Addr, cx: &mut Context) {
        if let Some(run) = &mut self.run
            && let Stage::Promoting {
                candidate, refused, ..
            } = &mut run.stage
            && (candidate == addr || (run.cause == Cause::Coordinated && self.primary == *addr))
        {
            *refused = true;
            cx.touch(&self.name);
        }
    }

    /// The group has another primary, or a newer version of the same one: tells everybody, and takes the
    /// instances over as they are.
    ///
    /// Unlike Sentinel, which announces a switch when the last replica follows, it is announced here, when
    /// the new primary takes writes. And links and facts are kept instead of being made anew.
    pub(crate) fn switched(
        &mut self,
        epoch: ConfigEpoch,
        primary: &Addr,
        from: &SentinelId,
        cx: &mut Context,
    ) {
        let led_here = *from == cx.registry.my_id
            && self.run.as_ref().is_some_and(|run| {
                ConfigEpoch::from(run.epoch) == epoch && matches!(run.stage, Stage::Promoting { .. })
            });
        if *primary == self.primary {
            return;
        }
        if led_here {
            let promoted = self.describe(cx, primary);
            let old = self.describe_primary(cx);
            cx.event(EventKind::Promoted, Some(&self.name), promoted, None);
            if cx.crash_points.after_promotion {
                cx.out.push_durable(Effect::Exit {
                    status: SIMULATED_CRASH,
                });
            }
            cx.event(EventKind::StateReconfigure, Some(&self.name), old, None);
            self.run_reconfig_script("leader", primary, cx);
        } else {
            if !bugs::has(Bug::OldLeaderGoesOn) {
                self.cancel_failover(AbortReason::Superseded, cx);
            }
            if let Some(addr) = cx.peers.get(from).map(|peer| peer.addr.clone()) {
                let payload = cx.describe_sentinel(&self.name, &self.primary, from, &addr);
                cx.event(EventKind::ConfigUpdateFrom, Some(&self.name), payload, None);
            }
        }
        let (old_host, old_port) = cx.names.shown_addr(&self.primary);
        let (new_host, new_port) = cx.names.shown_addr(primary);
        let payload = format!("{} {old_host} {old_port} {new_host} {new_port}", self.name);
        cx.event(EventKind::SwitchPrimary, Some(&self.name), payload, None);
        if !led_here {
            self.run_reconfig_script("observer", primary, cx);
        }
        self.install(primary, from, cx);
        if led_here && let Some(run) = &mut self.run {
            run.stage = Stage::Reconfiguring { since: cx.now };
            cx.agreement.withdraw(&self.name);
        }
        // Everybody is told before the first replica is: whoever loses a connection by that order shall know why.
        self.spread_news(cx);
        self.release(cx);
        cx.touch(&self.name);
    }

    /// Runs the script that tells clients of the new primary.
    fn run_reconfig_script(&self, role: &str, primary: &Addr, cx: &mut Context) {
        let options = cx.registry.groups.get(&self.name).map(|record| &record.options);
        let script = options.and_then(|options| options.client_reconfig_script.clone());
        let Some(path) = script.filter(|_| !cx.is_past) else {
            return;
        };
        let (from_host, from_port) = cx.names.shown_addr(&self.primary);
        let (to_host, to_port) = cx.names.shown_addr(primary);
        let words = [
            self.name.as_str(),
            role,
            "start",
            &from_host,
            &from_port.to_string(),
            &to_host,
            &to_port.to_string(),
        ];
        let args = words.map(str::to_owned).to_vec();
        cx.out.push_durable(Effect::RunScript { path, args });
    }

    fn install(&mut self, primary: &Addr, from: &SentinelId, cx: &mut Context) {
        let now = cx.now;
        self.retract_orders(cx);
        self.hand_over_has_ended(cx);
        let old = std::mem::replace(&mut self.primary, primary.clone());
        if let Some(old) = self.instances.get_mut(&old) {
            old.was_replica = false;
        }
        self.instances
            .entry(primary.clone())
            .or_insert_with(|| Instance::new(now, Role::Primary));
        let replaced = self.instances.get(&old).zip(self.primary_instance());
        let shares = replaced.is_some_and(|(old, new)| old.info.shares_lineage(&new.info));
        if let Some(old) = self.instances.get_mut(&old) {
            old.was_primary = true;
            // Who was just started may have heard of a stranger first at an address that was the primary's by an old
            // record. One that was the primary shares its history with the one that replaced it.
            old.kin = old.kin && (shares || !old.info.has_lineage());
        }
        self.config_from = Some(from.clone());
        self.config_changed_at = now;
        self.odown_since = None;
        self.followed = None;
        self.stands_at = None;
        self.failed_attempts = 0;
        self.lacks_replica = false;
        self.retry_at = now;
        for view in self.views.values_mut() {
            view.says_down = false;
            view.vote = None;
            view.told_view = None;
        }
        for (addr, instance) in &mut self.instances {
            // As Sentinel, roles and what they follow are taken to be as they should, until INFO says otherwise.
            instance.role = if *addr == self.primary {
                Role::Primary
            } else {
                Role::Replica
            };
            instance.role_since = now;
            instance.primary_changed_at = now;
            instance.following = Following::Untold;
            instance.told_at = None;
            instance.promotion_failed_at = None;
            instance.info_wanted = true;
        }
        let replicas: Vec<Addr> = self.replicas().map(|(addr, _)| addr.clone()).collect();
        for addr in replicas {
            let payload = self.describe(cx, &addr);
            cx.event(EventKind::Replica, Some(&self.name), payload, None);
        }
        // The entries above are new ones to whoever reads the events: without a word they would count as well.
        let down = self.instances.iter().filter(|(_, instance)| instance.is_sdown());
        let down: Vec<Addr> = down.map(|(addr, _)| addr.clone()).collect();
        for addr in down {
            let changed = addr == old || addr == *primary;
            let reason = if changed {
                "it was down in its former role, and is so in its new one"
            } else {
                "it was down under the former primary, and is so under the new one"
            };
            let payload = self.describe(cx, &addr);
            let kind = EventKind::SubjectivelyDown;
            cx.event(kind, Some(&self.name), payload, Some(reason.to_owned()));
        }
        if self.primary_is_sdown() {
            self.want_verdicts();
        }
    }

    /// The end of a failover whose new primary is installed.
    pub(super) fn finish(&mut self, outcome: Outcome, cx: &mut Context) {
        let payload = self.describe_primary(cx);
        if outcome == Outcome::CompletedLate {
            cx.event(
                EventKind::FailoverEndForTimeout,
                Some(&self.name),
                payload.clone(),
                None,
            );
        }
        cx.event(EventKind::FailoverEnd, Some(&self.name), payload, None);
        self.complete(outcome, cx);
    }
}
