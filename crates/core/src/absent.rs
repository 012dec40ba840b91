//! Forgetting who is no longer there: after a reset, or because an operator wants the dead to be forgotten.

use std::time::Duration;

use crate::addr::Addr;
use crate::context::Context;
use crate::decision::Decision;
use crate::event::EventKind;
use crate::group::Group;
use crate::id::SentinelId;

/// How long after a reset sentinels have to say hello: five times as long as it takes when all is well.
const HELLO_GRACE: Duration = Duration::from_secs(10);

impl Group {
    /// Forgets what has not been found again after a reset, and what has been dead for longer than an operator
    /// wants to remember.
    pub(crate) fn forget_absent(&mut self, cx: &mut Context) {
        if self.run.is_some() || self.odown_since.is_some() {
            return;
        }
        self.end_reset(cx);
        if let Some(limit) = cx.settings.forget_replicas_after {
            self.forget_dead_replicas(limit, cx);
        }
        if let Some(limit) = cx.settings.forget_sentinels_after {
            self.forget_dead_sentinels(limit, cx);
        }
    }

    /// The primary has named its replicas since the reset: those that it names are found again.
    pub(crate) fn confirm_replicas(&mut self, named: &[Addr], cx: &mut Context) {
        if self.reset_at.is_none() {
            return;
        }
        for addr in named {
            let Some(known) = self.find_instance(cx, addr).cloned() else {
                continue;
            };
            let Some(instance) = self.instances.get_mut(&known) else {
                continue;
            };
            if !std::mem::replace(&mut instance.confirmed, true) {
                let payload = self.describe(cx, &known);
                cx.event(EventKind::Replica, Some(&self.name), payload, None);
            }
        }
        if let Some(primary) = self.instances.get_mut(&self.primary) {
            primary.confirmed = true;
        }
    }

    /// A sentinel has said hello since the reset: it is found again.
    pub(crate) fn confirm_sentinel(&mut self, id: &SentinelId, cx: &mut Context) {
        let Some(view) = self.views.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut view.confirmed, true) {
            return;
        }
        if let Some(addr) = cx.peers.get(id).map(|peer| peer.addr.clone()) {
            let payload = cx.describe_sentinel(&self.name, &self.primary, id, &addr);
            cx.event(EventKind::Sentinel, Some(&self.name), payload, None);
        }
    }

    /// Once the primary has answered and sentinels have had their time, the rest is forgotten.
    fn end_reset(&mut self, cx: &mut Context) {
        let Some(reset_at) = self.reset_at else { return };
        let answered = self.primary_instance().is_some_and(|primary| primary.confirmed);
        if !cx.due(reset_at + HELLO_GRACE) || !answered {
            return;
        }
        self.reset_at = None;
        let group = &self.name;
        for (addr, _) in self.replicas().filter(|(_, replica)| !replica.confirmed) {
            cx.propose(Decision::ReplicaForgotten {
                group: group.clone(),
                addr: addr.clone(),
            });
        }
        for (id, _) in self.views.iter().filter(|(_, view)| !view.confirmed) {
            cx.propose(Decision::SentinelForgotten {
                group: group.clone(),
                id: id.clone(),
            });
        }
    }

    /// A replica is forgotten, by whatever cause.
    pub(crate) fn forget_replica(&mut self, addr: &Addr, cx: &mut Context) {
        let payload = self.describe(cx, addr);
        if self.instances.contains_key(addr) {
            cx.event(EventKind::ReplicaForgotten, Some(&self.name), payload, None);
        }
        self.remove_instance(addr, cx);
    }

    /// A sentinel is forgotten, by whatever cause: it does not count any more where a majority is sought.
    pub(crate) fn forget_sentinel(&mut self, id: &SentinelId, cx: &mut Context) {
        if let Some(addr) = cx.peers.get(id).map(|peer| peer.addr.clone()) {
            let payload = cx.describe_sentinel(&self.name, &self.primary, id, &addr);
            cx.event(EventKind::SentinelForgotten, Some(&self.name), payload, None);
        }
        self.remove_view(id, cx);
    }

    fn forget_dead_replicas(&self, limit: Duration, cx: &mut Context) {
        for (addr, replica) in self.replicas() {
            if replica.sdown_since.is_some_and(|since| cx.due(since + limit)) {
                cx.propose(Decision::ReplicaForgotten {
                    group: self.name.clone(),
                    addr: addr.clone(),
                });
            }
        }
    }

    /// Only while a majority is alive: a minority that forgets the others would take itself for the majority.
    fn forget_dead_sentinels(&self, limit: Duration, cx: &mut Context) {
        let alive = self
            .views
            .values()
            .filter(|view| view.sdown_since.is_none())
            .count()
            + 1;
        let voters = self.views.len() + 1;
        if alive <= voters / 2 {
            return;
        }
        for (id, view) in &self.views {
            if view.sdown_since.is_some_and(|since| cx.due(since + limit)) {
                cx.propose(Decision::SentinelForgotten {
                    group: self.name.clone(),
                    id: id.clone(),
                });
            }
        }
    }
}
