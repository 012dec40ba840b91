//! What follows when a decision counts: the registry changes, groups take note, the world is told.

use std::collections::BTreeMap;

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::command::{set_event, verdict_answer};
use crate::context::Context;
use crate::decision::{Decision, GlobalChange, GroupChange};
use crate::effect::Effect;
use crate::event::EventKind;
use crate::failover::{AbortReason, FailoverReceipt, Stage};
use crate::group::Group;
use crate::id::{ClientToken, Epoch, GroupName, SentinelId};
use crate::instance::health::Health;
use crate::peer::Peer;
use crate::request::{Answer, Refusal};

/// Applies one decision and everything that follows from it.
pub(crate) fn decided(
    groups: &mut BTreeMap<GroupName, Group>,
    cx: &mut Context,
    decision: &Decision,
    origin: Option<ClientToken>,
) {
    let before = cx.registry.current_epoch;
    let known = known_sentinel(cx, decision);
    if let Some(refusal) = why_void(cx, decision) {
        if let Some(token) = origin {
            cx.promised(token);
            cx.answer_now(token, Answer::Refused(refusal));
        }
        return;
    }
    // From here on everything waits for the disk, the news of a removal included.
    cx.out.changed();
    if let Decision::Remove { group } = decision {
        removed(groups, cx, group);
    }
    cx.registry.apply(decision);
    let epoch = cx.registry.current_epoch;
    cx.out.decided_epoch(epoch);
    if cx.registry.current_epoch > before {
        let payload = cx.registry.current_epoch.to_string();
        cx.event(EventKind::NewEpoch, decision.group(), payload, None);
    }
    match decision {
        Decision::Monitor { group, .. } => monitored(groups, cx, group),
        Decision::SentinelSeen { group, id, addr } => {
            sentinel_seen(groups, cx, group, id, addr, known.as_ref());
        }
        Decision::SetGlobals { changes } => globals_set(groups, cx, changes),
        _ => {}
    }
    if let Some(group) = decision.group().and_then(|name| groups.get_mut(name)) {
        group.take_note(cx, decision, origin);
    }
    if let Decision::Set {
        group,
        change: GroupChange::DownAfter(down_after),
    } = decision
        && may_slow_pings(groups, cx, group, *down_after)
    {
        recompute_ping_periods(groups, cx);
    }
    if let Some(token) = origin {
        answer(groups, cx, token, decision);
    }
}

/// Why a decision has lost its meaning since it was put forward: a switch that came by two ways at once, or orders to
/// two coordinators.
fn why_void(cx: &Context, decision: &Decision) -> Option<Refusal> {
    let record = decision.group().and_then(|name| cx.registry.groups.get(name));
    match (decision, record) {
        (Decision::Switch { .. }, _) if bugs::has(Bug::ConfigEpochGoesBack) => None,
        (Decision::Switch { config_epoch, .. }, Some(record)) => {
            (*config_epoch <= record.config_epoch).then_some(Refusal::InProgress)
        }
        (Decision::Monitor { .. }, Some(_)) => Some(Refusal::DuplicateGroup),
        // Here alone an epoch may have been taken by somebody else between the order and the decision.
        (Decision::FailoverBegun { record: begun, .. }, Some(record)) if !cx.agreement.is_by_vote() => {
            let is_old = begun.epoch <= record.config_epoch.into() || begun.old_primary != record.primary;
            (is_old || record.failover.is_some()).then_some(Refusal::InProgress)
        }
        (Decision::Monitor { .. } | Decision::SetGlobals { .. } | Decision::AdvanceEpoch { .. }, None)
        | (_, Some(_)) => None,
        (_, None) => Some(Refusal::NoSuchGroup),
    }
}

/// What concerns the whole process was changed.
fn globals_set(groups: &mut BTreeMap<GroupName, Group>, cx: &mut Context, changes: &[GlobalChange]) {
    let globals = &cx.registry.globals;
    cx.names
        .set(globals.resolve_hostnames, globals.announce_hostnames);
    for change in changes {
        match change {
            GlobalChange::LogLevel(level) => cx.out.push(Effect::LogLevel(*level)),
            GlobalChange::SentinelUser(_) | GlobalChange::SentinelPass(_) => reconnect_peers(cx, |_| true),
            GlobalChange::RenewedSentinelPass(_) => reconnect_peers(cx, Health::is_refused),
            GlobalChange::AnnounceIp(_) | GlobalChange::AnnouncePort(_) => {
                groups.values_mut().for_each(|group| group.spread_news(cx));
            }
            GlobalChange::ResolveHostnames(_) | GlobalChange::AnnounceHostnames(_) => {}
        }
    }
    cx.touched.extend(groups.keys().cloned());
}

/// As Sentinel, new credentials count from new connections on, which are made now for those that are `chosen`.
pub(crate) fn reconnect_peers(cx: &mut Context, chosen: impl Fn(&Health) -> bool) {
    for (id, mut peer) in std::mem::take(&mut cx.peers) {
        if chosen(&peer.health) {
            peer.health.link_broke(cx.now);
            cx.drop_link(&mut peer.link);
            cx.touched_peers.insert(id.clone());
        }
        cx.peers.insert(id, peer);
    }
}

fn known_sentinel(cx: &Context, decision: &Decision) -> Option<Addr> {
    let Decision::SentinelSeen { group, id, .. } = decision else {
        return None;
    };
    cx.registry.groups.get(group)?.sentinels.get(id).cloned()
}

fn answer(groups: &BTreeMap<GroupName, Group>, cx: &mut Context, token: ClientToken, decision: &Decision) {
    let voted = match decision {
        Decision::Vote {
            group,
            epoch,
            candidate,
        } => groups.get(group).zip(Some((Some(candidate), *epoch))),
        _ => None,
    };
    let unsaved = voted.is_some() && bugs::has(Bug::VoteWithoutPersisting);
    let answer = match voted {
        Some((group, vote)) => verdict_answer(group, cx, Some(vote)),
        None => cx.promised(token),
    };
    if unsaved {
        return cx.answer_now(token, answer);
    }
    cx.answer(token, answer);
}

fn monitored(groups: &mut BTreeMap<GroupName, Group>, cx: &mut Context, name: &GroupName) {
    let Some(record) = cx.registry.groups.get(name).cloned() else {
        return;
    };
    let group = Group::new(name.clone(), &record, cx);
    group.tell_monitored(cx);
    groups.insert(name.clone(), group);
    cx.touch(name);
    for (id, addr) in cx.members.clone() {
        let group = name.clone();
        decided(groups, cx, &Decision::SentinelSeen { group, id, addr }, None);
    }
}

fn removed(groups: &mut BTreeMap<GroupName, Group>, cx: &mut Context, name: &GroupName) {
    let Some(mut group) = groups.remove(name) else {
        return;
    };
    let payload = group.describe_primary(cx);
    cx.event(EventKind::Unmonitor, Some(name), payload, None);
    let ids: Vec<SentinelId> = group.views.keys().cloned().collect();
    for id in ids {
        group.remove_view(&id, cx);
    }
    let addrs: Vec<Addr> = group.instances.keys().cloned().collect();
    for addr in addrs {
        group.remove_instance(&addr, cx);
    }
    cx.agreement.withdraw(name);
    recompute_ping_periods(groups, cx);
}

/// Whether a peer of this group may be pinged for a shorter period than its groups ask for from now on.
fn may_slow_pings(
    groups: &BTreeMap<GroupName, Group>,
    cx: &Context,
    name: &GroupName,
    down_after: std::time::Duration,
) -> bool {
    let peers = groups.get(name).into_iter().flat_map(|group| group.views.keys());
    peers
        .filter_map(|id| cx.peers.get(id))
        .any(|peer| peer.shortest_down_after < down_after)
}

/// After a group went or changed its options: the shortest `down-after-milliseconds` decides how often each
/// peer is pinged.
fn recompute_ping_periods(groups: &BTreeMap<GroupName, Group>, cx: &mut Context) {
    let mut shortest: BTreeMap<&SentinelId, std::time::Duration> = BTreeMap::new();
    for group in groups.values() {
        for id in group.views.keys() {
            let entry = shortest.entry(id).or_insert(group.rules.down_after);
            *entry = (*entry).min(group.rules.down_after);
        }
    }
    for (id, down_after) in shortest {
        if let Some(peer) = cx.peers.get_mut(id) {
            peer.shortest_down_after = down_after;
            cx.touched_peers.insert(id.clone());
        }
    }
}

fn sentinel_seen(
    groups: &mut BTreeMap<GroupName, Group>,
    cx: &mut Context,
    name: &GroupName,
    id: &SentinelId,
    addr: &Addr,
    known: Option<&Addr>,
) {
    let others = groups
        .values()
        .filter(|group| group.name != *name && group.views.contains_key(id))
        .count();
    let Some(group) = groups.get_mut(name) else { return };
    if known.is_none() {
        group.add_view(id, addr, cx);
        let payload = cx.describe_sentinel(name, &group.primary, id, addr);
        cx.event(EventKind::Sentinel, Some(name), payload, None);
    } else if known != Some(addr) && cx.peers.get(id).is_some_and(|peer| peer.addr != *addr) {
        let (host, port) = cx.names.shown_addr(addr);
        let primary = group.describe_primary(cx);
        let payload = format!("{primary} ip {host} port {port} for {id}");
        cx.event(EventKind::SentinelAddressSwitch, Some(name), payload, None);
        if others > 0 {
            let sentinel = cx.describe_sentinel(name, &group.primary, id, addr);
            let payload = format!("{sentinel} {others} additional matching instances");
            cx.event(EventKind::SentinelAddressUpdate, Some(name), payload, None);
        }
    }
    if let Some(peer) = cx.peers.get_mut(id)
        && peer.addr != *addr
    {
        relocate(cx, id, addr);
    }
    cx.wake_peer(id);
    cx.touch(name);
}

/// A peer that moved is connected to at its new place.
fn relocate(cx: &mut Context, id: &SentinelId, addr: &Addr) {
    let Some(mut old) = cx.peers.remove(id) else {
        return;
    };
    cx.close_link(&old.link);
    let mut peer = Peer::new(cx.now, addr.clone(), old.shortest_down_after);
    peer.owners = std::mem::take(&mut old.owners);
    cx.peers.insert(id.clone(), peer);
}

impl Group {
    fn take_note(&mut self, cx: &mut Context, decision: &Decision, origin: Option<ClientToken>) {
        match decision {
            Decision::Set { change, .. } => self.option_changed(cx, change),
            Decision::ReplicaSeen { addr, .. } => self.replica_seen(cx, addr),
            Decision::ReplicaForgotten { addr, .. } => self.forget_replica(addr, cx),
            Decision::SentinelForgotten { id, .. } => self.forget_sentinel(id, cx),
            Decision::Reset { .. } => self.was_reset(cx),
            Decision::Vote { epoch, candidate, .. } => self.voted(cx, *epoch, candidate, origin.is_some()),
            Decision::FailoverBegun { record, .. } => self.begun(record, cx),
            Decision::Switch {
                config_epoch,
                primary,
                from,
                ..
            } => {
                self.switched(*config_epoch, primary, from, cx);
            }
            Decision::Yield { primary, from, .. } => {
                let epoch = cx
                    .registry
                    .groups
                    .get(&self.name)
                    .map(|record| record.config_epoch);
                self.switched(epoch.unwrap_or_default(), primary, from, cx);
            }
            Decision::FailoverEnded { receipt, .. } => self.receipt_out(cx, receipt),
            Decision::Monitor { .. }
            | Decision::Remove { .. }
            | Decision::AcceptForeign { .. }
            | Decision::SentinelSeen { .. }
            | Decision::AdvanceEpoch { .. }
            | Decision::SetGlobals { .. }
            | Decision::CandidateChosen { .. } => {}
        }
        cx.touch(&self.name);
    }

    /// Tells that this group is watched.
    pub(crate) fn tell_monitored(&self, cx: &mut Context) {
        let payload = format!("{} quorum {}", self.describe_primary(cx), self.rules.quorum);
        cx.event(EventKind::Monitor, Some(&self.name), payload, None);
    }

    fn option_changed(&mut self, cx: &mut Context, change: &GroupChange) {
        let Some(record) = cx.registry.groups.get(&self.name) else {
            return;
        };
        self.rules = (&record.options).into();
        match change {
            GroupChange::AuthUser(_) | GroupChange::AuthPass(_) => {
                // As Sentinel, new credentials count from new connections on, which are made now.
                for instance in self.instances.values_mut() {
                    instance.link_lost(cx.now);
                    cx.drop_link(&mut instance.link);
                }
            }
            GroupChange::RenewedAuthPass(_) => {
                // A connection that was refused would wait for ever: only a new one gives a password.
                for instance in self.instances.values_mut() {
                    if instance.health.is_refused() {
                        instance.link_lost(cx.now);
                        cx.drop_link(&mut instance.link);
                    }
                }
            }
            GroupChange::DownAfter(down_after) => {
                for id in self.views.keys() {
                    if let Some(peer) = cx.peers.get_mut(id) {
                        peer.shortest_down_after = peer.shortest_down_after.min(*down_after);
                        cx.touched_peers.insert(id.clone());
                    }
                }
            }
            GroupChange::RenameCommand { .. } => {
                // Links learn the names when they are made.
                for instance in self.instances.values_mut() {
                    instance.link_lost(cx.now);
                    cx.drop_link(&mut instance.link);
                }
            }
            _ => {}
        }
        let payload = set_event(&self.describe_primary(cx), change);
        cx.event(EventKind::Set, Some(&self.name), payload, None);
    }

    fn replica_seen(&mut self, cx: &mut Context, addr: &Addr) {
        use crate::instance::Instance;
        use crate::instance::info::Role;
        if self.instances.contains_key(addr) {
            return;
        }
        self.instances
            .insert(addr.clone(), Instance::new(cx.now, Role::Replica));
        let payload = self.describe(cx, addr);
        cx.event(EventKind::Replica, Some(&self.name), payload, None);
    }

    /// As Sentinel, what was discovered counts for nothing any more, and epochs and options stay. Unlike it,
    /// everything goes on being known until fresh INFO and hellos have shown who is still there: a primary that
    /// dies in between is replaced all the same.
    fn was_reset(&mut self, cx: &mut Context) {
        self.cancel_failover(AbortReason::Withdrawn, cx);
        for view in self.views.values_mut() {
            view.confirmed = false;
        }
        for instance in self.instances.values_mut() {
            instance.confirmed = false;
            instance.info_wanted = true;
        }
        self.reset_at = Some(cx.now);
        self.followed = None;
        self.failed_attempts = 0;
        self.retry_at = cx.now;
        let payload = self.describe_primary(cx);
        cx.event(EventKind::Reset, Some(&self.name), payload, None);
    }

    fn voted(&mut self, cx: &mut Context, epoch: Epoch, candidate: &SentinelId, asked: bool) {
        let payload = format!("{candidate} {epoch}");
        let reason = if asked {
            "it asked first"
        } else {
            "this sentinel stands itself"
        };
        cx.event(
            EventKind::VoteForLeader,
            Some(&self.name),
            payload,
            Some(reason.to_owned()),
        );
        if *candidate == cx.registry.my_id {
            return;
        }
        // Another leads from now on. What we have not begun to change is left to it; an order that is out
        // already is seen through, and loses to the other's higher epoch.
        let harmless = self.run.as_ref().is_some_and(|run| {
            matches!(
                run.stage,
                Stage::Selecting { .. } | Stage::Promoting { sent_at: None, .. }
            )
        });
        if harmless && !bugs::has(Bug::OldLeaderGoesOn) {
            self.cancel_failover(AbortReason::Superseded, cx);
        }
        self.follow(candidate.clone(), cx);
        self.expect_hand_over(cx);
    }

    fn receipt_out(&mut self, cx: &mut Context, receipt: &FailoverReceipt) {
        if cx.is_past {
            return;
        }
        let receipt = Box::new(receipt.clone());
        cx.out.push_durable(Effect::FailoverEnded {
            group: self.name.clone(),
            receipt,
        });
    }
}
