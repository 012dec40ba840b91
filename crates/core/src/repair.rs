//! Mending what does not agree with the configuration: a primary that should be a replica, a replica of the
//! wrong primary.
//!
//! One coordinator is responsible and acts as soon as a majority confirms the configuration; the others act
//! by the slow rules of the reference, in case it does not.

use std::time::Duration;

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::event::EventKind;
use crate::group::Group;
use crate::instance::Instance;
use crate::instance::info::Role;
use crate::registry::GroupRecord;

/// How recent a peer's hello must be to confirm the configuration: five hellos.
const CONFIRMATION_LIFETIME: Duration = Duration::from_secs(10);
/// How long a stray primary is left alone by those who are not responsible. As the reference.
const STRAY_GRACE: Duration = Duration::from_secs(8);
/// The same where promotions are in a log: time for the hello of a member that is still to be moved there from votes, and
/// was told by an operator to fail over.
const LATE_PROMOTION_GRACE: Duration = Duration::from_secs(1);
/// How old the primary's INFO may be for it to count as sane. As the reference.
const MAX_PRIMARY_INFO_AGE: Duration = Duration::from_secs(20);
/// How long a replica is left with a primary that is none before it is repointed: time for it to change by itself.
const LOST_REPLICA_GRACE: Duration = Duration::from_secs(1);
/// How much longer the first of the well waits while the one in charge is well, too: that one may have been
/// started anew and not know that it is. Time enough for it to give an order twice.
const DEPUTY_GRACE: Duration = Duration::from_secs(3);
/// How long a configuration that was heard of is left alone: who was cut off hears all that it has missed, the oldest
/// first and from everybody, before what holds now.
const NEWS_GRACE: Duration = Duration::from_millis(500);
/// The least time between two orders to the same instance.
const REPAIR_SPACING: Duration = Duration::from_secs(2);

impl Group {
    /// Mends what is due.
    pub(crate) fn repair(&mut self, cx: &mut Context) {
        if self.is_held(cx) {
            return;
        }
        self.free_primary(cx);
        if self.run.is_some() || self.odown_since.is_some() || !self.primary_is_sane(cx) {
            return;
        }
        let is_own = self.config_from.as_ref() == Some(&cx.registry.my_id);
        if cx.agreement.is_by_vote() && !is_own && !cx.due(self.config_changed_at + NEWS_GRACE) {
            return;
        }
        let strays: Vec<Addr> = self
            .replicas()
            .filter(|(_, instance)| instance.link.is_up() && !instance.is_sdown())
            .filter(|(_, instance)| instance.info_at.is_some_and(|at| at >= self.config_changed_at))
            .filter(|(_, instance)| !self.follows_primary(cx, instance))
            .filter(|(addr, instance)| !self.belongs_elsewhere(addr, instance, cx))
            .map(|(addr, _)| addr.clone())
            .collect();
        if strays.is_empty() || self.follows_a_leader(cx) {
            return;
        }
        let grace = self.repair_grace(cx);
        for addr in strays {
            self.mend(&addr, grace, cx);
        }
    }

    /// Whether a server that was one of ours serves another group by now: it does so at present, or did so before and is
    /// still known to that group. A restart as a primary does not make it one of ours.
    pub(crate) fn belongs_elsewhere(&self, addr: &Addr, instance: &Instance, cx: &Context) -> bool {
        let mut others = cx.registry.groups.iter().filter(|(name, _)| **name != self.name);
        let is_known = |record: &GroupRecord| record.replicas.iter().any(|known| cx.names.same(known, addr));
        self.serves_elsewhere(addr, instance, cx)
            || (instance.elsewhere && others.any(|(_, record)| is_known(record)))
    }

    /// Remembers of a server that was one of ours that it serves another group, until it follows our primary or has data of
    /// ours again.
    pub(crate) fn note_elsewhere(&mut self, addr: &Addr, cx: &Context) {
        let Some(instance) = self.instances.get(addr) else {
            return;
        };
        let is_ours = self.follows_primary(cx, instance)
            || self
                .primary_instance()
                .is_some_and(|primary| instance.info.shares_lineage(&primary.info));
        let elsewhere = !is_ours && (instance.elsewhere || self.serves_elsewhere(addr, instance, cx));
        if let Some(instance) = self.instances.get_mut(addr) {
            instance.elsewhere = elsewhere;
        }
    }

    /// Whether it is the primary of another group, or follows somebody of one and not of ours. Its address was given to it
    /// after one of ours had left it.
    fn serves_elsewhere(&self, addr: &Addr, instance: &Instance, cx: &Context) -> bool {
        let host = instance.info.primary_host.as_ref();
        let upstream = host
            .filter(|_| instance.role == Role::Replica)
            .and_then(|host| Addr::parse(host, instance.info.primary_port))
            .filter(|upstream| self.find_instance(cx, upstream).is_none());
        let mut others = cx.registry.groups.iter().filter(|(name, _)| **name != self.name);
        others.any(|(_, record)| {
            cx.names.same(&record.primary, addr)
                || upstream.as_ref().is_some_and(|upstream| {
                    cx.names.same(&record.primary, upstream) || record.replicas.contains(upstream)
                })
        })
    }

    /// Mends one instance when it is due: after this grace if it falls to us, else by the slow rules.
    fn mend(&mut self, addr: &Addr, grace: Option<Duration>, cx: &mut Context) {
        let Some(instance) = self.instances.get(addr) else {
            return;
        };
        let is_primary = instance.role == Role::Primary;
        let timeout = self.rules.failover_timeout;
        let mut due = match (is_primary, grace) {
            // It was the primary, or has started as one. A replica that turns into a primary before our eyes is
            // another matter: somebody may have promoted it, and the news be on its way.
            (true, Some(grace)) if !instance.was_replica => {
                instance.role_since.max(self.config_changed_at) + grace
            }
            (true, Some(grace)) if self.only_the_log_promotes(cx) => {
                instance.role_since.max(self.config_changed_at) + LATE_PROMOTION_GRACE + grace
            }
            (true, _) => latest(instance.role_since, instance.last_down_at) + STRAY_GRACE,
            (false, Some(grace)) if self.upstream_is_lost(cx, instance) => {
                instance.primary_changed_at.max(self.config_changed_at) + LOST_REPLICA_GRACE + grace
            }
            (false, _) => latest(instance.primary_changed_at, instance.last_down_at) + timeout,
        };
        if let Some(at) = instance.told_at {
            due = due.max(at + REPAIR_SPACING);
        }
        if !cx.due(due) || (is_primary && bugs::has(Bug::SkipDemotion)) {
            return;
        }
        let kind = if is_primary {
            EventKind::ConvertToReplica
        } else {
            EventKind::FixReplica
        };
        self.point_at_primary(addr, kind, cx);
    }

    /// Whether a promotion that the log does not know can only be an order that was given up.
    fn only_the_log_promotes(&self, cx: &Context) -> bool {
        !cx.agreement.is_by_vote() && self.foreign_sentinels(cx).is_empty()
    }

    /// Whether the primary is what it should be, as the reference defines it.
    fn primary_is_sane(&self, cx: &Context) -> bool {
        self.primary_instance().is_some_and(|primary| {
            primary.role == Role::Primary
                && !primary.is_sdown()
                && primary.link.is_up()
                && primary
                    .info_at
                    .is_some_and(|at| at >= self.config_changed_at && cx.now.since(at) < MAX_PRIMARY_INFO_AGE)
        })
    }

    /// Whether a majority of the sentinels, ourselves included, holds the same configuration now.
    pub(crate) fn is_confirmed(&self, cx: &Context) -> bool {
        let Some(record) = cx.registry.groups.get(&self.name) else {
            return false;
        };
        // Who is silent may have another one by now, and not be able to say so.
        let there = self.alive_sentinels(cx).filter_map(|id| self.views.get(id));
        let agreeing = there.filter(|view| {
            view.told_config.as_ref().is_some_and(|told| {
                told.epoch == record.config_epoch
                    && !told.was_down
                    && cx.names.same(&told.primary, &self.primary)
                    && cx.now.since(told.at) < CONFIRMATION_LIFETIME
                    && cx.tilt.is_news(told.at)
            })
        });
        agreeing.count() + 1 > record.voters() / 2
    }

    /// After which grace it falls to this coordinator to mend things now; `None` if it is for others, or no majority
    /// has confirmed the configuration.
    pub(crate) fn repair_grace(&mut self, cx: &Context) -> Option<Duration> {
        if !cx.agreement.is_by_vote() {
            // Only the leader comes here, and the log says what is right.
            Some(Duration::ZERO)
        } else if self.is_confirmed(cx) {
            self.grace(cx)
        } else {
            None
        }
    }

    /// After which grace it falls to this coordinator to mend things: to the one that installed the configuration
    /// at once, and so to the first of those that are well when that one is gone or unknown; `None` to others.
    fn grace(&mut self, cx: &Context) -> Option<Duration> {
        let me = &cx.registry.my_id;
        let first = self.alive_sentinels(cx).all(|id| id > me);
        if let Some(from) = &self.config_from {
            if from == me {
                return Some(Duration::ZERO);
            }
            if self.alive_sentinels(cx).any(|id| id == from) {
                return first.then_some(DEPUTY_GRACE);
            }
            self.config_from = None;
        }
        first.then_some(Duration::ZERO)
    }

    /// Whether what the replica follows is no good: not there, or a former primary, whatever that is now. Another
    /// replica of a replica that works is left to the slow rule.
    fn upstream_is_lost(&self, cx: &Context, instance: &Instance) -> bool {
        if !instance.info.link_up {
            return true;
        }
        let host = instance.info.primary_host.as_ref();
        let upstream = host.and_then(|host| Addr::parse(host, instance.info.primary_port));
        let known =
            upstream.and_then(|addr| self.find_instance(cx, &addr).and_then(|a| self.instances.get(a)));
        known.is_some_and(|upstream| {
            upstream.is_sdown() || upstream.role == Role::Primary || upstream.was_primary
        })
    }
}

fn latest(at: crate::time::Instant, other: Option<crate::time::Instant>) -> crate::time::Instant {
    other.map_or(at, |other| at.max(other))
}
