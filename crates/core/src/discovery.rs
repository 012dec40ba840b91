//! What a hello brings: other sentinels, higher epochs, newer configurations.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::event::EventKind;
use crate::foreign::told_config;
use crate::group::{Group, ToldConfig};
use crate::id::{ConfigEpoch, Epoch, GroupName, SentinelId};
use crate::instance::hello::Hello;
use crate::registry::MAX_SENTINELS;

/// Takes in one hello, however it came. `groups` are all groups, since a sentinel that moved moves in each.
pub(crate) fn hello_came(groups: &mut BTreeMap<GroupName, Group>, message: &str, cx: &mut Context) {
    let Some(hello) = Hello::parse(message) else {
        cx.odd(None, "a hello that is none".to_owned());
        return;
    };
    let Some(group) = groups.get_mut(hello.group) else {
        return;
    };
    let Ok(id) = SentinelId::new(hello.id) else {
        cx.odd(
            Some(&group.name),
            format!("a hello with the unusable id {:?}", hello.id),
        );
        return;
    };
    if id == cx.registry.my_id {
        if !cx.is_own(message) {
            cx.id_taken(&group.name, &group.primary, hello.host, hello.port);
        }
        return;
    }
    if !cx.agreement.is_by_vote() {
        return group.hello_of_member(id, &hello, cx);
    }
    let (epoch, config_epoch) = (Epoch(hello.current_epoch), ConfigEpoch(hello.config_epoch));
    let current = cx.registry.current_epoch;
    if !current.may_leap_to(epoch) || !current.may_leap_to(config_epoch.into()) {
        let what = format!("a hello of {id} with an epoch far beyond ours: {epoch}, {config_epoch}");
        cx.odd(Some(&group.name), what);
        return;
    }
    let name = group.name.clone();
    if !is_settled(group, cx, &id, &hello) {
        meet(groups, &name, &id, &hello, cx);
    }
    if epoch > current && !bugs::has(Bug::EpochNotRaised) {
        cx.propose(Decision::AdvanceEpoch {
            epoch,
            group: name.clone(),
        });
    }
    let Some(group) = groups.get_mut(&name) else {
        return;
    };
    if let Some(view) = group.views.get_mut(&id) {
        view.hello_at = cx.now;
        view.told_config = cx
            .names
            .parse(hello.primary_host, hello.primary_port)
            .map(|primary| ToldConfig {
                epoch: config_epoch,
                primary,
                at: cx.now,
                was_down: false,
            });
    }
    group.confirm_sentinel(&id, cx);
    group.consider_config(&id, config_epoch, &hello, cx);
}

/// Whether the sender is known just as it says: nearly always.
fn is_settled(group: &Group, cx: &Context, id: &SentinelId, hello: &Hello<'_>) -> bool {
    let known = cx
        .registry
        .groups
        .get(&group.name)
        .and_then(|record| record.sentinels.get(id));
    known.is_some_and(|addr| {
        addr.port == hello.port
            && cx
                .names
                .parse(hello.host, hello.port)
                .is_some_and(|told| cx.names.same(addr, &told))
    })
}

/// Gets to know a sentinel, or its new address.
fn meet(
    groups: &mut BTreeMap<GroupName, Group>,
    name: &GroupName,
    id: &SentinelId,
    hello: &Hello<'_>,
    cx: &mut Context,
) {
    let usable = cx
        .names
        .parse(hello.host, hello.port)
        .filter(|addr| addr.port != 0);
    let Some(addr) = usable else {
        // Unlike Sentinel, a known peer is kept when it announces an address that nobody can use: dropping it
        // would shrink the majority.
        cx.odd(
            Some(name),
            format!(
                "{id} announces the unusable address {}:{}",
                hello.host, hello.port
            ),
        );
        return;
    };
    if let crate::addr::Host::Name(host) = &addr.host {
        cx.look_up(host);
    }
    let Some(record) = cx.registry.groups.get(name) else {
        return;
    };
    let moved = record.sentinels.contains_key(id);
    if !moved && record.sentinels.len() >= MAX_SENTINELS {
        cx.odd(
            Some(name),
            format!("{id} is one sentinel too many: {MAX_SENTINELS} are known"),
        );
        return;
    }
    if !moved {
        let usurped = record
            .sentinels
            .iter()
            .find(|(_, known)| cx.names.same(known, &addr));
        if let Some((usurped, old)) = usurped.map(|(id, addr)| (id.clone(), addr.clone())) {
            retire(groups, name, &usurped, &old, cx);
        }
    }
    cx.propose(Decision::SentinelSeen {
        group: name.clone(),
        id: id.clone(),
        addr: addr.clone(),
    });
    if moved {
        move_elsewhere(groups, name, id, &addr, cx);
    }
}

/// Another sentinel now lives where this one was: it is gone from every group. As Sentinel since 7.0.
fn retire(
    groups: &BTreeMap<GroupName, Group>,
    name: &GroupName,
    id: &SentinelId,
    addr: &Addr,
    cx: &mut Context,
) {
    if let Some(group) = groups.get(name) {
        let payload = cx.describe_sentinel(name, &group.primary, id, addr);
        cx.event(EventKind::SentinelInvalidAddr, Some(name), payload, None);
    }
    let everywhere: Vec<_> = groups
        .values()
        .filter(|group| group.views.contains_key(id))
        .map(|group| group.name.clone())
        .collect();
    for group in everywhere {
        cx.propose(Decision::SentinelForgotten {
            group,
            id: id.clone(),
        });
    }
}

/// A sentinel that moved has moved for all groups that know it.
fn move_elsewhere(
    groups: &BTreeMap<GroupName, Group>,
    name: &GroupName,
    id: &SentinelId,
    addr: &Addr,
    cx: &mut Context,
) {
    let others: Vec<_> = groups
        .values()
        .filter(|group| group.name != *name && group.views.contains_key(id))
        .map(|group| group.name.clone())
        .collect();
    for group in others {
        cx.propose(Decision::SentinelSeen {
            group,
            id: id.clone(),
            addr: addr.clone(),
        });
    }
}

impl Group {
    /// A hello where the coordinators are named and share a log: it tells nothing about a member that the log would not, unless
    /// that one votes at the moment.
    fn hello_of_member(&mut self, id: SentinelId, hello: &Hello<'_>, cx: &mut Context) {
        let Some(view) = self.views.get_mut(&id) else {
            return self.foreign_hello(id, hello, cx);
        };
        view.hello_at = cx.now;
        view.told_config = told_config(hello, cx);
        self.confirm_sentinel(&id, cx);
    }

    /// Adopts a newer configuration. Unlike Sentinel, one whose address cannot be used is left alone: raising
    /// the config epoch without the address would leave us stuck with the old primary.
    fn consider_config(&self, from: &SentinelId, epoch: ConfigEpoch, hello: &Hello<'_>, cx: &mut Context) {
        let ours = cx
            .registry
            .groups
            .get(&self.name)
            .map_or(ConfigEpoch(0), |record| record.config_epoch);
        if epoch < ours && !bugs::has(Bug::ConfigEpochGoesBack) {
            return;
        }
        let usable = cx
            .names
            .parse(hello.primary_host, hello.primary_port)
            .filter(|addr| addr.port != 0);
        let Some(primary) = usable else {
            let what = format!(
                "{from} names the unusable primary {}:{}",
                hello.primary_host, hello.primary_port
            );
            cx.odd(Some(&self.name), what);
            return;
        };
        if let crate::addr::Host::Name(name) = &primary.host {
            cx.look_up(name);
        }
        // The address may be written in another way here: the entry that we have keeps its links and facts.
        let primary = self.find_instance(cx, &primary).cloned().unwrap_or(primary);
        if epoch == ours {
            if self.yields_to(&primary, epoch, cx) {
                let group = self.name.clone();
                cx.propose(Decision::Yield {
                    group,
                    primary,
                    from: from.clone(),
                });
            }
            return;
        }
        cx.propose(Decision::Switch {
            group: self.name.clone(),
            config_epoch: epoch,
            primary,
            from: from.clone(),
        });
    }

    /// Whether the primary that a peer names for our own config epoch is to be taken over. There are two for one
    /// epoch only if an operator had a coordinator fail over that could reach no majority, while the majority did
    /// so by itself. Unlike in the reference, where both stay for ever, a majority wins; and once everybody has
    /// been heard the larger camp, or of two equal ones that of the smallest id.
    fn yields_to(&self, other: &Addr, epoch: ConfigEpoch, cx: &Context) -> bool {
        if cx.names.same(other, &self.primary) || self.run.is_some() {
            return false;
        }
        let camp = |primary: &Addr| -> Vec<&SentinelId> {
            let of_camp = |told: &ToldConfig| told.epoch == epoch && cx.names.same(&told.primary, primary);
            let views = self
                .views
                .iter()
                .filter(|(_, view)| view.told_config.as_ref().is_some_and(of_camp));
            views.map(|(id, _)| id).collect()
        };
        let (theirs, mut ours) = (camp(other), camp(&self.primary));
        ours.push(&cx.registry.my_id);
        let voters = self.views.len() + 1;
        if theirs.len() <= voters / 2 && theirs.len() + ours.len() < voters {
            return false;
        }
        let first = |camp: &[&SentinelId]| camp.iter().min().map(|id| Reverse((*id).clone()));
        (theirs.len(), first(&theirs)) > (ours.len(), first(&ours))
    }
}
