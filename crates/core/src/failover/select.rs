//! Which replica becomes the primary.

use std::cmp::Reverse;
use std::time::Duration;

use super::{AbortReason, Cause, Stage, reconfigure};
use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::event::EventKind;
use crate::group::Group;
use crate::instance::Instance;
use crate::instance::info::{Info, Role};
use crate::time::Instant;

/// How long to wait for fresh INFO from replicas that are connected. They answer in a millisecond; one that
/// takes longer than this must not hold up the others.
const FRESH_INFO_WAIT: Duration = Duration::from_millis(100);
/// The same where the primary works and hands over: nothing hurries, and one that does not answer would hold up all writes.
const PLANNED_INFO_WAIT: Duration = Duration::from_secs(1);
/// How old the last good answer to a ping may be. As the reference.
const MAX_PING_AGE: Duration = Duration::from_secs(5);
/// How old INFO may be while the primary is down. As the reference.
const MAX_INFO_AGE_DOWN: Duration = Duration::from_secs(5);
/// How old INFO may be while it is not. As the reference.
const MAX_INFO_AGE: Duration = Duration::from_secs(30);
/// By how many times `down-after-milliseconds` a replica may have been cut off before the primary went down.
/// As the reference.
const LINK_DOWN_FACTOR: u32 = 10;

/// Replicas that were passed over, each with the reason.
pub(crate) type PassedOver = Vec<(Addr, String)>;

impl Group {
    /// Makes fresh INFO due from every replica.
    pub(super) fn refresh_replicas(&mut self) {
        let fresh_since = self.facts_needed_since();
        let primary = &self.primary;
        for (_, replica) in self.instances.iter_mut().filter(|(addr, _)| *addr != primary) {
            if replica
                .info_at
                .is_none_or(|at| fresh_since.is_none_or(|since| at < since))
            {
                replica.info_wanted = true;
            }
        }
    }

    /// Facts older than this are not fresh: offsets grow until the primary stops.
    fn facts_needed_since(&self) -> Option<Instant> {
        let sdown_since = self.primary_instance().and_then(|primary| primary.sdown_since);
        sdown_since.or_else(|| self.run.as_ref().map(|run| run.began))
    }

    /// Chooses as soon as the facts are fresh or have been waited for.
    pub(super) fn select(&mut self, since: Instant, cx: &mut Context) {
        let needed = self.facts_needed_since().unwrap_or(since);
        let waits = self.replicas().any(|(_, replica)| {
            replica.link.is_up() && !replica.is_sdown() && replica.info_at.is_none_or(|at| at < needed)
        });
        let patience = if self.is_planned() && self.choose(cx).is_err() {
            PLANNED_INFO_WAIT
        } else {
            FRESH_INFO_WAIT
        };
        if waits && !cx.due(since + patience) {
            return;
        }
        let choice = self.choose(cx);
        let Some(run) = &mut self.run else { return };
        run.phases.selection = Some(cx.now.since(since));
        match choice {
            Ok((candidate, passed_over)) => {
                run.passed_over = passed_over;
                run.candidate = Some(candidate.clone());
                run.stage = Stage::Promoting {
                    candidate: candidate.clone(),
                    since: cx.now,
                    sent_at: None,
                    refused: false,
                };
                let reason = self.why_chosen(&candidate);
                let payload = self.describe(cx, &candidate);
                cx.event(
                    EventKind::SelectedReplica,
                    Some(&self.name),
                    payload.clone(),
                    Some(reason),
                );
                cx.event(EventKind::StateSendPromotion, Some(&self.name), payload, None);
                cx.propose(Decision::CandidateChosen {
                    group: self.name.clone(),
                    candidate,
                });
                // The order follows in this turn's next round: it must not leave before the choice is decided.
            }
            Err(passed_over) => {
                run.passed_over = passed_over;
                let is_agreed = run.cause == Cause::ObjectivelyDown;
                match self.heir(cx) {
                    Some(heir) => self.acknowledge(heir, cx),
                    None => {
                        self.abort(AbortReason::NoGoodReplica, cx);
                        if is_agreed {
                            self.restore_primary(cx);
                        }
                    }
                }
            }
        }
    }

    /// The replica that the primary itself follows: it has taken over in a hand-over whose leader could not see it, and
    /// died. Nobody else can be promoted, and while the group goes by the old name nobody may: the server that is well
    /// is no replica by that name.
    pub(super) fn heir(&self, cx: &Context) -> Option<Addr> {
        let primary = self.primary_instance()?;
        let obeys = primary.role == Role::Replica && !primary.info.hand_over.is_under_way();
        let silent = cx.now.since(primary.health.last_ok()) > MAX_PING_AGE;
        if !obeys || silent || !primary.link.is_up() {
            return None;
        }
        let host = primary.info.primary_host.as_ref()?;
        let addr = Addr::parse(host, primary.info.primary_port)?;
        let addr = self.find_instance(cx, &addr)?;
        let heir = self.instances.get(addr).filter(|_| *addr != self.primary)?;
        // One of other data, or that must not be a primary, has not taken over from this one by a hand-over.
        let fits = heir.is_sdown() && heir.priority() > 0 && are_kin(&heir.info, &primary.info);
        fits.then(|| addr.clone())
    }

    /// Names the heir the primary that it is already. It is down: as soon as a quorum has seen that too, the next
    /// failover chooses by the ordinary rules among all others, the former primary included.
    fn acknowledge(&mut self, heir: Addr, cx: &mut Context) {
        let payload = self.describe(cx, &heir);
        let Some(run) = &mut self.run else { return };
        run.candidate = Some(heir.clone());
        run.stage = Stage::Promoting {
            candidate: heir.clone(),
            since: cx.now,
            sent_at: None,
            refused: false,
        };
        let config_epoch = run.epoch.into();
        let reason = "the primary has handed over to it and follows it";
        cx.event(
            EventKind::SelectedReplica,
            Some(&self.name),
            payload,
            Some(reason.to_owned()),
        );
        cx.propose(Decision::CandidateChosen {
            group: self.name.clone(),
            candidate: heir.clone(),
        });
        cx.propose(Decision::Switch {
            group: self.name.clone(),
            config_epoch,
            primary: heir,
            from: cx.registry.my_id.clone(),
        });
    }

    /// Has the group's primary be one again, if it was started as a replica of one of its own, by an old configuration,
    /// and nobody else can be promoted. It goes by the right name already, so there is nothing to decide.
    fn restore_primary(&mut self, cx: &mut Context) {
        let Some(upstream) = self.lost_upstream(cx) else {
            return;
        };
        let addr = self.primary.clone();
        let Some(primary) = self.instances.get_mut(&addr) else {
            return;
        };
        primary.told_by = reconfigure::tell(primary, None, cx);
        primary.info_asked_at = Some(cx.now);
        let what =
            format!("{addr} is held as the primary and follows {upstream}: it is told to be a primary again");
        cx.odd(Some(&self.name), what);
    }

    /// The replica of the group that its primary follows, if that is none that could have taken over from it: it is down,
    /// or a replica itself.
    fn lost_upstream(&self, cx: &Context) -> Option<Addr> {
        let primary = self.primary_instance()?;
        let is_well = primary.facts_are_its_own()
            && !primary.info.hand_over.is_under_way()
            && cx.now.since(primary.health.last_ok()) <= MAX_PING_AGE;
        if primary.role != Role::Replica || !is_well || primary.priority() == 0 {
            return None;
        }
        let host = primary.info.primary_host.as_ref()?;
        let addr = Addr::parse(host, primary.info.primary_port)?;
        let addr = self
            .find_instance(cx, &addr)
            .filter(|addr| **addr != self.primary)?;
        let upstream = self.instances.get(addr)?;
        let obeys =
            upstream.role == Role::Replica && upstream.info_at.is_some_and(|at| at > primary.role_since);
        (upstream.is_sdown() || obeys).then(|| addr.clone())
    }

    /// Whether the primary is to hand over by itself.
    fn is_planned(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| run.cause == Cause::Coordinated)
    }

    fn why_chosen(&self, candidate: &Addr) -> String {
        let Some(replica) = self.instances.get(candidate) else {
            return String::new();
        };
        format!(
            "priority {}, offset {}, of {} replicas",
            replica.priority(),
            replica.info.offset(),
            self.instances.len() - 1
        )
    }

    /// The best replica, or why there is none.
    pub(crate) fn choose(&self, cx: &Context) -> Result<(Addr, PassedOver), PassedOver> {
        let mut passed_over = PassedOver::new();
        let mut eligible: Vec<(&Addr, &Instance)> = Vec::new();
        for (addr, replica) in self.replicas() {
            match self.objection(addr, replica, cx) {
                Some(reason) => passed_over.push((addr.clone(), reason)),
                None => eligible.push((addr, replica)),
            }
        }
        // Lineage first: a replica of other data is out as long as one of the right data is there. What we
        // know of the primary's lineage may be old, so if nobody matches it, it is no measure; unless the primary is well
        // and hands over: then it has told, and one that does not have its data yet is no one to hand over to.
        let is_known = eligible.iter().any(|(_, replica)| self.is_of_lineage(replica))
            || (self.is_planned()
                && self
                    .primary_instance()
                    .is_some_and(|primary| primary.info.replid.is_some()));
        if is_known && !bugs::has(Bug::PromoteForeignLineage) {
            eligible.retain(|(addr, replica)| {
                let fits = self.is_of_lineage(replica);
                if !fits {
                    passed_over.push(((*addr).clone(), "it holds the data of another primary".to_owned()));
                }
                fits
            });
        }
        // One that claims to be a primary, and has nothing in common with anybody else, may be a stranger.
        let stray = |addr: &Addr, replica: &Instance| {
            replica.role == Role::Primary
                && !replica.kin
                && !eligible
                    .iter()
                    .any(|(other, found)| *other != addr && found.info.shares_lineage(&replica.info))
        };
        let best = eligible.iter().min_by_key(|(addr, replica)| {
            // One that a leader, now gone, has promoted already may have taken writes: it goes first.
            let promoted = replica.role == Role::Primary && self.is_of_lineage(replica);
            let run_id = replica.run_id.as_ref().map(|id| id.to_ascii_lowercase());
            let mut offset = replica.info.offset();
            if bugs::has(Bug::PromoteWorstOffset) {
                offset = u64::MAX - offset;
            }
            (
                Reverse(promoted),
                !promoted && stray(addr, replica),
                // One that refused or ignored the order will do so again: the others have their turn first.
                replica.promotion_failed_at,
                replica.priority(),
                Reverse(offset),
                run_id.is_none(),
                run_id,
            )
        });
        match best {
            Some((addr, _)) => Ok(((*addr).clone(), passed_over)),
            None => Err(passed_over),
        }
    }

    /// Whether its data descend from those of the primary, as last known of both.
    fn is_of_lineage(&self, replica: &Instance) -> bool {
        let Some(replid) = self
            .primary_instance()
            .and_then(|primary| primary.info.replid.as_ref())
        else {
            return false;
        };
        replica.info.replid.as_ref() == Some(replid) || replica.info.replid2.as_ref() == Some(replid)
    }

    /// A replica with the data of the primary is one of ours, for as long as it runs.
    pub(crate) fn note_kin(&mut self, addr: &Addr) {
        let is_kin = self
            .instances
            .get(addr)
            .is_some_and(|replica| self.is_of_lineage(replica));
        if let Some(replica) = self.instances.get_mut(addr).filter(|_| is_kin) {
            replica.kin = true;
        }
    }

    /// Whether it has nothing of ours as far as anybody knows: data that have no history in common with those of the
    /// primary, in a process that has never been seen with them. It may have been given the address of one of ours,
    /// or be one of ours that was set up anew.
    pub(crate) fn is_stranger(&self, replica: &Instance) -> bool {
        let Some(primary) = self.primary_instance() else {
            return false;
        };
        !replica.kin
            && primary.info.has_lineage()
            && replica.info.has_lineage()
            && !replica.info.shares_lineage(&primary.info)
            && !bugs::has(Bug::PromoteForeignLineage)
    }

    /// What speaks against promoting a replica. As Sentinel, in the order of the reference.
    fn objection(&self, addr: &Addr, replica: &Instance, cx: &Context) -> Option<String> {
        let primary = self.primary_instance()?;
        let ping_age = cx.now.since(replica.health.last_ok());
        let info_age = replica.info_at.map(|at| cx.now.since(at));
        let max_info_age = if primary.is_sdown() {
            MAX_INFO_AGE_DOWN
        } else {
            MAX_INFO_AGE
        };
        if replica.is_sdown() {
            return Some("it is subjectively down".to_owned());
        }
        if !replica.link.is_up() {
            return Some("it is not connected".to_owned());
        }
        let failed_at = replica.promotion_failed_at;
        if failed_at.is_some_and(|at| replica.health.last_ok() <= at) {
            return Some("its promotion failed, and it has not answered a ping since".to_owned());
        }
        if ping_age > MAX_PING_AGE {
            return Some(format!("its last good answer is {} ms old", ping_age.as_millis()));
        }
        if replica.priority() == 0 && !bugs::has(Bug::PromotePriorityZero) {
            return Some("its priority is 0".to_owned());
        }
        match info_age {
            None => return Some("it has not answered INFO yet".to_owned()),
            Some(age) if age > max_info_age => {
                return Some(format!("its INFO is {} ms old", age.as_millis()));
            }
            Some(_) if !replica.facts_are_its_own() => {
                return Some("it has not answered INFO since it was connected again".to_owned());
            }
            Some(_) => {}
        }
        if self.is_stranger(replica) {
            return Some("its data have nothing to do with those of the primary".to_owned());
        }
        if self.belongs_elsewhere(addr, replica, cx) {
            return Some("it belongs to another group".to_owned());
        }
        let needed = self.facts_needed_since().filter(|_| self.is_planned());
        if needed.is_some_and(|needed| replica.info_at.is_none_or(|at| at < needed)) {
            return Some("it has not answered since the hand-over was ordered".to_owned());
        }
        // A primary that came back as a replica has served nobody since, long before it counts as down for that.
        let turned_at = (primary.role == Role::Replica).then_some(primary.role_since);
        let gone_since = primary.sdown_since.into_iter().chain(turned_at).min();
        let allowed = gone_since.map_or(Duration::ZERO, |at| cx.now.since(at))
            + self.rules.down_after.saturating_mul(LINK_DOWN_FACTOR);
        let link_down = Duration::from_secs(u64::try_from(replica.info.link_down_s).unwrap_or(0));
        (link_down > allowed).then(|| {
            format!(
                "its link to the primary has been down for {} s",
                link_down.as_secs()
            )
        })
    }
}

/// Whether the data of two servers have one origin, as far as they have told.
fn are_kin(one: &Info, other: &Info) -> bool {
    let ids = |info: &Info| [info.replid.clone(), info.replid2.clone()];
    ids(one)
        .iter()
        .flatten()
        .any(|id| ids(other).iter().flatten().any(|known| known == id))
}
