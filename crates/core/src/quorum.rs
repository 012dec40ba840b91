//! From subjectively to objectively down: what peers say about a primary, and what they are asked.

use std::time::Duration;

use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Command;
use crate::event::EventKind;
use crate::failover::Stage;
use crate::group::Group;
use crate::id::{Epoch, SentinelId};
use crate::input::Verdict;
use crate::monitor::{is_silent, why_silent};
use crate::time::Instant;

/// How often peers are asked while their answers decide what happens next. A lost question costs no more.
const URGENT_ASK_PERIOD: Duration = Duration::from_millis(100);

/// For how long after a primary went down peers are asked urgently. Those who see it down at all do so within
/// this time, or something else is wrong than a matter of timing.
const URGENT_FOR: Duration = Duration::from_secs(10);
/// The least time between two questions to one peer, however urgent, so that two coordinators that answer
/// each other's questions by questions cannot make a storm.
const MIN_ASK_SPACING: Duration = Duration::from_millis(10);
/// When a peer to which much is under way already is tried again.
const ASK_RETRY: Duration = Duration::from_millis(50);
/// How often a member is told again that the primary is down: several times while what was told counts.
const VIEW_PERIOD: Duration = Duration::from_secs(1);
/// For how long an answer counts. As the reference.
const VERDICT_LIFETIME: Duration = Duration::from_secs(5);

impl Group {
    /// Finds out which sentinels are subjectively down, by this group's measure.
    pub(crate) fn judge_sentinels(&mut self, cx: &mut Context) {
        let mut changed = Vec::new();
        for (id, view) in &self.views {
            let Some(peer) = cx.peers.get(id) else { continue };
            let since = peer.health.unanswered_since();
            let down = is_silent(since, self.rules.down_after, cx);
            if down != view.sdown_since.is_some() {
                changed.push((id.clone(), down));
            }
        }
        for (id, down) in changed {
            let Some(view) = self.views.get_mut(&id) else {
                continue;
            };
            view.sdown_since = down.then_some(cx.now);
            if let Some(told) = &mut view.told_config {
                told.was_down = true;
            }
            let kind = if down {
                EventKind::SubjectivelyDown
            } else {
                EventKind::SubjectivelyUp
            };
            let Some(peer) = cx.peers.get(&id) else { continue };
            let payload = cx.describe_sentinel(&self.name, &self.primary, &id, &peer.addr);
            let reason = if down {
                why_silent(&peer.health, &peer.link, cx.now)
            } else {
                "it answers again".to_owned()
            };
            cx.event(kind, Some(&self.name), payload, Some(reason));
        }
    }

    /// Finds out whether the primary is objectively down.
    pub(crate) fn judge_primary(&mut self, cx: &mut Context) {
        for view in self.views.values_mut() {
            let Some(answered_at) = view.answered_at else {
                continue;
            };
            if cx.due(answered_at + VERDICT_LIFETIME) {
                view.says_down = false;
                view.vote = None;
                view.answered_at = None;
            }
        }
        let sdown = self.primary_is_sdown();
        let votes = usize::from(sdown) + self.views.values().filter(|view| view.says_down).count();
        let odown = sdown && (votes >= self.rules.quorum as usize || bugs::has(Bug::QuorumOfOne));
        if odown == self.odown_since.is_some() {
            return;
        }
        let primary = self.describe_primary(cx);
        if odown {
            self.odown_since = Some(cx.now);
            let payload = format!("{primary} #quorum {votes}/{}", self.rules.quorum);
            let agree = self.views.iter().filter(|(_, view)| view.says_down);
            let agree: Vec<_> = agree.map(|(id, _)| id.to_string()).collect();
            let reason = if agree.is_empty() {
                "the quorum is one".to_owned()
            } else {
                format!("agreed by {}", agree.join(", "))
            };
            cx.event(
                EventKind::ObjectivelyDown,
                Some(&self.name),
                payload,
                Some(reason),
            );
        } else {
            self.odown_since = None;
            self.failed_attempts = 0;
            self.lacks_replica = false;
            self.retry_at = cx.now;
            cx.event(EventKind::ObjectivelyUp, Some(&self.name), primary, None);
        }
    }

    /// Makes all peers due to be asked at once.
    pub(crate) fn want_verdicts(&mut self) {
        for view in self.views.values_mut() {
            view.ask_now = true;
        }
    }

    /// Makes those peers due to be asked at once that did not see the primary down when they were last asked:
    /// somebody who asks us about it has reason to.
    pub(crate) fn recheck_verdicts(&mut self) {
        for view in self.views.values_mut().filter(|view| !view.says_down) {
            view.ask_now = true;
        }
    }

    /// Asks peers about the primary, and for their votes while an election is on.
    pub(crate) fn ask_peers(&mut self, cx: &mut Context) {
        if !cx.agreement.is_by_vote() {
            return self.tell_views(cx);
        }
        let ballot = cx.agreement.ballot(&self.name);
        if !self.primary_is_sdown() && ballot.is_none() {
            return;
        }
        let period = self.ask_period(cx);
        let (host, port) = cx.names.shown_addr(&self.primary);
        let epoch = ballot.unwrap_or_else(|| cx.out.durable_epoch());
        let candidate = ballot.map(|_| cx.registry.my_id.clone());
        for (id, view) in &mut self.views {
            let Some(up_since) = cx.peers.get(id).and_then(|peer| peer.link.up_since()) else {
                continue;
            };
            let told = ballot.is_some() && cx.agreement.has_heard(&self.name, id);
            // No question is lost on a connection that stands: a peer that has not answered yet is busy, and asking
            // again would only make it busier.
            let unanswered = view.asked_at.is_some_and(|asked_at| {
                asked_at >= up_since && view.answered_at.is_none_or(|answered_at| answered_at < asked_at)
            });
            let spacing = match (view.ask_now && !told, told || unanswered) {
                (true, _) => MIN_ASK_SPACING,
                (false, true) => cx.tunables.ask_period,
                (false, false) => period,
            };
            if !cx.due(view.asked_at.map_or(Instant::ZERO, |at| at + spacing)) {
                continue;
            }
            let question = Command::AskDown {
                host: host.clone(),
                port,
                epoch,
                candidate: candidate.clone(),
            };
            let Some(request) = cx.send_to_peer(id, question, ballot.is_some()) else {
                cx.wake_at(cx.now + ASK_RETRY);
                continue;
            };
            view.asked_at = Some(cx.now);
            view.ask_now = false;
            cx.wake_at(cx.now + period);
            cx.asked(request, &self.name, &self.primary);
        }
    }

    /// Tells the other members how the primary looks from here: at once when that changes, and now and then while it is
    /// down, because what is told counts for a while only.
    fn tell_views(&mut self, cx: &mut Context) {
        let down = self.primary_is_sdown() && !cx.tilt.is_on();
        for (id, view) in &mut self.views {
            let Some(up_since) = cx.peers.get(id).and_then(|peer| peer.link.up_since()) else {
                continue;
            };
            let told = view.told_view.filter(|(_, at)| *at >= up_since);
            let is_due = match told {
                Some((told_down, at)) if told_down == down => down && cx.due(at + VIEW_PERIOD),
                Some(_) => true,
                None => down || view.told_view.is_some_and(|(told_down, _)| told_down),
            };
            if !is_due {
                continue;
            }
            let (host, port) = cx.names.shown_addr(&self.primary);
            let command = Command::TellView {
                from: cx.registry.my_id.clone(),
                group: self.name.clone(),
                host,
                port,
                down,
            };
            if cx.send_to_peer(id, command, false).is_none() {
                // Much is under way to it already. Until it has been told it must not seem so.
                cx.wake_at(cx.now + ASK_RETRY);
                continue;
            }
            view.told_view = Some((down, cx.now));
            if down {
                cx.wake_at(cx.now + VIEW_PERIOD);
            }
        }
    }

    /// A member tells how our primary looks from where it is.
    pub(crate) fn view_came(&mut self, id: &SentinelId, down: bool, cx: &mut Context) {
        let Some(view) = self.views.get_mut(id) else {
            return;
        };
        view.says_down = down;
        view.answered_at = Some(cx.now);
        cx.touch(&self.name);
    }

    fn ask_period(&self, cx: &Context) -> Duration {
        let electing = matches!(&self.run, Some(run) if matches!(run.stage, Stage::Electing { .. }));
        let recent = self.primary_instance().and_then(|primary| primary.sdown_since);
        let undecided = self.odown_since.is_none() && recent.is_some_and(|at| cx.now.since(at) < URGENT_FOR);
        if electing || undecided {
            URGENT_ASK_PERIOD
        } else {
            cx.tunables.ask_period
        }
    }

    /// Takes in what a peer says about the primary, and whom it voted for.
    pub(crate) fn verdict_came(&mut self, id: &SentinelId, verdict: Verdict, cx: &mut Context) {
        let Some(view) = self.views.get_mut(id) else {
            return;
        };
        let Verdict {
            down,
            leader,
            leader_epoch,
        } = verdict;
        let changed = view.says_down != down;
        view.answered_at = Some(cx.now);
        view.says_down = down;
        if let Some(leader) = &leader {
            view.vote = Some((leader.clone(), leader_epoch));
        }
        if leader_epoch > Epoch(0) {
            cx.agreement.heard(&self.name, id, leader.as_ref(), leader_epoch);
        }
        let higher =
            leader_epoch > cx.registry.current_epoch && cx.registry.current_epoch.may_leap_to(leader_epoch);
        if higher && !bugs::has(Bug::EpochNotRaised) {
            cx.propose(Decision::AdvanceEpoch {
                epoch: leader_epoch,
                group: self.name.clone(),
            });
        }
        if changed || self.run.is_some() {
            cx.touch(&self.name);
        }
    }
}
