//! Sentinels that watch one of our primaries and do not share our log: two authorities over one primary.
//!
//! Where coordinators find each other by hello there are no strangers. Where they are named, one that is not named may
//! replace a primary behind our back, and so nothing is replaced or mended by ourselves until an operator has said that
//! it is well, or it is gone.

use std::time::Duration;

use crate::addr::Addr;
use crate::context::Context;
use crate::decision::Decision;
use crate::event::EventKind;
use crate::group::{Group, ToldConfig};
use crate::id::{ConfigEpoch, Epoch, SentinelId};
use crate::instance::hello::Hello;
use crate::time::Instant;

/// How long after its last hello a foreign sentinel counts as there: five hellos.
const FOREIGN_LIFETIME: Duration = Duration::from_secs(10);

/// How many are remembered for each group. One would be enough to hold everything.
const MAX_FOREIGN: usize = 16;

/// A sentinel that does not share our log.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    pub(crate) addr: Addr,
    pub(crate) heard_at: Instant,
    /// The configuration that it told last.
    told: Option<ToldConfig>,
}

impl Group {
    /// A hello of a sentinel that is none of our members.
    pub(crate) fn foreign_hello(&mut self, id: SentinelId, hello: &Hello<'_>, cx: &mut Context) {
        let epoch = Epoch(hello.current_epoch);
        if epoch > cx.registry.current_epoch {
            cx.propose(Decision::AdvanceEpoch {
                epoch,
                group: self.name.clone(),
            });
        }
        let Some(addr) = cx.names.parse(hello.host, hello.port) else {
            return;
        };
        let known = self.foreign.get(&id).map(|foreign| foreign.heard_at);
        if known.is_none() && !self.makes_room_for(&id, cx) {
            return;
        }
        let is_news = known.is_none_or(|at| cx.now.since(at) >= FOREIGN_LIFETIME);
        if is_news {
            let payload = cx.describe_sentinel(&self.name, &self.primary, &id, &addr);
            let reason = if self.accepts(&id, cx) {
                "it is none of the members, and was accepted"
            } else {
                "it is none of the members: nothing is failed over by itself until it is gone, or SENTINEL RAFT \
                 ACCEPT-FOREIGN"
            };
            let kind = EventKind::ForeignSentinel;
            cx.event(kind, Some(&self.name), payload, Some(reason.to_owned()));
        }
        let heard_at = cx.now;
        let told = told_config(hello, cx);
        self.foreign.insert(id, Foreign { addr, heard_at, told });
        if is_news {
            cx.touch(&self.name);
        }
    }

    /// Whether one more can be remembered. For one that was not accepted, one that was has to go: that one holds nothing.
    fn makes_room_for(&mut self, id: &SentinelId, cx: &Context) -> bool {
        if self.foreign.len() < MAX_FOREIGN {
            return true;
        }
        let now = cx.now;
        self.foreign
            .retain(|_, foreign| now.since(foreign.heard_at) < FOREIGN_LIFETIME);
        if self.foreign.len() >= MAX_FOREIGN && !self.accepts(id, cx) {
            let accepted = self.foreign.keys().find(|id| self.accepts(id, cx)).cloned();
            if let Some(accepted) = accepted {
                self.foreign.remove(&accepted);
            }
        }
        self.foreign.len() < MAX_FOREIGN
    }

    fn accepts(&self, id: &SentinelId, cx: &Context) -> bool {
        let record = cx.registry.groups.get(&self.name);
        record.is_some_and(|record| record.accepted.contains(id))
    }

    /// Those that are there now, and whether each was accepted.
    pub(crate) fn foreign_sentinels(&self, cx: &Context) -> Vec<(SentinelId, Addr, bool)> {
        let present = |foreign: &Foreign| cx.now.since(foreign.heard_at) < FOREIGN_LIFETIME;
        self.foreign
            .iter()
            .filter(|(_, foreign)| present(foreign))
            .map(|(id, foreign)| (id.clone(), foreign.addr.clone(), self.accepts(id, cx)))
            .collect()
    }

    /// Takes over a configuration that is newer than the log's: an operator has let somebody act beside us who has switched,
    /// or one of the members votes at the moment and has won with others before they came to the log. Two versions would fight
    /// for ever otherwise. `true` if there is one, so that nothing else is to be done now.
    pub(crate) fn follows_newer_config(&self, cx: &mut Context) -> bool {
        if cx.agreement.is_by_vote() {
            return false;
        }
        let Some(record) = cx.registry.groups.get(&self.name) else {
            return false;
        };
        // A failover that is under way is seen to its end first.
        if self.run.is_some() || record.failover.is_some() {
            return false;
        }
        let (ours, current) = (record.config_epoch, cx.registry.current_epoch);
        let accepted = self.foreign.iter().filter(|(id, _)| self.accepts(id, cx));
        let accepted = accepted.map(|(id, foreign)| (id, foreign.told.as_ref()));
        let members = self
            .views
            .iter()
            .map(|(id, view)| (id, view.told_config.as_ref()));
        let newest = accepted
            .chain(members)
            .filter_map(|(id, told)| Some((id, told?)))
            .filter(|(_, told)| cx.now.since(told.at) < FOREIGN_LIFETIME)
            .filter(|(_, told)| told.epoch > ours && current.may_leap_to(told.epoch.into()))
            .max_by_key(|(_, told)| told.epoch);
        let Some((from, told)) = newest.map(|(id, told)| (id.clone(), told.clone())) else {
            return false;
        };
        // As it is written here already, if it is known.
        let primary = self
            .find_instance(cx, &told.primary)
            .cloned()
            .unwrap_or(told.primary);
        let decision = Decision::Switch {
            group: self.name.clone(),
            config_epoch: told.epoch,
            primary,
            from,
        };
        cx.agreement.propose(decision, None);
        true
    }

    /// Whether a foreign sentinel keeps us from acting by ourselves.
    pub(crate) fn is_held(&self, cx: &mut Context) -> bool {
        if self.foreign.is_empty() {
            return false;
        }
        let held_until = self
            .foreign
            .iter()
            .filter(|(id, _)| !self.accepts(id, cx))
            .map(|(_, foreign)| foreign.heard_at + FOREIGN_LIFETIME)
            .max();
        held_until.is_some_and(|until| !cx.due(until))
    }
}

/// The configuration in a hello, if it has one that can be used.
pub(crate) fn told_config(hello: &Hello<'_>, cx: &Context) -> Option<ToldConfig> {
    let primary = cx.names.parse(hello.primary_host, hello.primary_port);
    let primary = primary.filter(|addr| addr.port != 0)?;
    Some(ToldConfig {
        epoch: ConfigEpoch(hello.config_epoch),
        primary,
        at: cx.now,
        was_down: false,
    })
}
