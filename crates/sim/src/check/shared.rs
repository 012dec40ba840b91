//! What must be true where all coordinators share a log: nobody votes there, and what is visible is committed.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::{
    Cause, Epoch, Globals, GroupName, GroupRecord, LogPlace, Registry, ReplicatedLog, SentinelId,
};

use super::choice::Sight;
use super::{Checks, Invariant, VIEWS_COUNT_FOR};
use crate::log_store::Held;
use crate::time::Time;
use crate::world::{State, World};

/// The account of a log that is shared.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Who leads in each term.
    leaders: BTreeMap<u64, usize>,
    /// What the log comes to, at each of its places that anybody has stood at.
    states: BTreeMap<u64, Registry>,
    /// Failovers that have begun, and those that have ended.
    begun: BTreeSet<(GroupName, Epoch)>,
    ended: BTreeSet<(GroupName, Epoch)>,
}

/// What one member was last seen at.
#[derive(Debug, Default)]
pub(super) struct Seen {
    place: LogPlace,
    /// Where the entries begin that a leader has put forward itself.
    own_from: u64,
    /// What a leader had before it when it put each entry forward.
    sights: BTreeMap<u64, Sight>,
}

/// What of a registry is the same for all members.
fn common(registry: &Registry, nobody: SentinelId) -> Registry {
    let mut registry = registry.clone();
    registry.my_id = nobody;
    registry.globals = Globals {
        announce_ip: None,
        announce_port: 0,
        ..registry.globals
    };
    for record in registry.groups.values_mut() {
        record.sentinels.clear();
    }
    registry
}

impl World {
    /// Looks at the log of a coordinator that has just done something.
    pub(crate) fn look_at_log(&mut self, n: usize, steady: bool) {
        let node = &self.nodes[n];
        let Some(log) = node.core.log() else { return };
        let place = log.place();
        let acts = log.may_act(node.clock.read(self.now));
        if acts {
            self.check_alone(n, "may act");
        }
        let before = self.checks.accounts[n].seen.place;
        if place == before {
            return;
        }
        if place.applied != before.applied {
            self.check_majority(n, place.applied);
        }
        let registry = self.nodes[n].core.registry();
        let checks = &mut self.checks;
        checks.leads_term(self.now, n, place);
        checks.puts_forward(n, before, place);
        if place.applied != before.applied {
            let own = place.leads && before.applied + 1 >= checks.accounts[n].seen.own_from;
            checks.applied(self.now, n, place.applied, registry, steady && own);
        }
        checks.accounts[n].seen.place = place;
    }

    /// No other coordinator may act at this moment. What a paused one has begun may still leave.
    pub(crate) fn check_alone(&mut self, n: usize, what: &str) {
        let now = self.now;
        // A clock that leaps ends a promise too soon, and no lease can help that.
        let patience = self.shared.as_ref().map_or(1, |shared| shared.setup.slowness) * 1_000;
        let leapt = |at: Time| at != Time::ZERO && now.since(at).as_millis() < u128::from(patience);
        if self.nodes.iter().any(|node| leapt(node.leapt_at)) {
            return;
        }
        let other = self.nodes.iter().enumerate().find(|(m, node)| {
            let acts = |log: &dyn ReplicatedLog| log.may_act(node.clock.read(now));
            *m != n && node.state != State::Dead && node.core.log().is_some_and(acts)
        });
        if let Some((m, _)) = other {
            let what = format!("s{} {what}, and s{} may act as well", n + 1, m + 1);
            self.checks.broken(now, Invariant::OneActor, what);
        }
    }

    /// A coordinator orders a promotion. Whether nobody else may act is looked at when it leaves; so it must not leave late.
    pub(crate) fn check_order_ends(&mut self, n: usize, ends: bool) {
        if self.shared.is_some() && !ends {
            let what = format!("s{} promotes, at whatever time", n + 1);
            self.checks.broken(self.now, Invariant::OneActor, what);
        }
    }

    /// What a coordinator applies is on the disks of a majority. Every log begins with the same snapshot at 1.
    fn check_majority(&mut self, n: usize, index: u64) {
        if index <= 1 {
            return;
        }
        let mut terms: BTreeMap<u64, usize> = BTreeMap::new();
        let mut snapshots = 0;
        for node in self.nodes.iter().take(self.members) {
            match node.disk.log().held(index) {
                Held::Nothing => {}
                Held::Entry(term) => *terms.entry(term).or_default() += 1,
                Held::Snapshot => snapshots += 1,
            }
        }
        let most = terms.into_values().max().unwrap_or(0) + snapshots;
        if most <= self.members / 2 {
            let what = format!("s{} applies entry {index}, which {most} have on disk", n + 1);
            self.checks.broken(self.now, Invariant::MajorityHasIt, what);
        }
    }

    /// Whether all have come to the same place of the log, and somebody leads.
    pub(super) fn log_unrest(&self) -> Option<String> {
        self.shared.as_ref()?;
        let logs = || {
            self.nodes
                .iter()
                .filter_map(|node| Some((node, node.core.log()?)))
        };
        let applied: BTreeSet<u64> = logs().map(|(_, log)| log.place().applied).collect();
        if applied.len() != 1 {
            return Some(format!("coordinators have applied the log up to {applied:?}"));
        }
        if !logs().any(|(node, log)| log.may_act(node.clock.read(self.now))) {
            return Some("nobody may act".to_owned());
        }
        let mut problems = logs().filter_map(|(node, log)| log.status(node.clock.read(self.now)).problem);
        problems
            .next()
            .map(|problem| format!("a coordinator is stuck: {problem}"))
    }
}

impl Checks {
    fn leads_term(&mut self, now: Time, n: usize, place: LogPlace) {
        if !place.leads {
            return;
        }
        let first = *self.shared.leaders.entry(place.term).or_insert(n);
        if first != n {
            let what = format!("s{} and s{} lead in term {}", first + 1, n + 1, place.term);
            self.broken(now, Invariant::OneLeader, what);
        }
    }

    /// What a leader puts forward follows from what it has before it now.
    fn puts_forward(&mut self, n: usize, before: LogPlace, place: LogPlace) {
        let account = &mut self.accounts[n];
        if !place.leads || !before.leads || place.term != before.term {
            account.seen.sights.clear();
            account.seen.own_from = before.last + 1;
        }
        if place.leads && place.last > before.last {
            account.seen.sights.insert(place.last, account.sight.clone());
        }
    }

    /// A coordinator has come to a place of the log.
    fn applied(&mut self, now: Time, n: usize, index: u64, registry: &Registry, leads_well: bool) {
        let nobody = self.nobody.clone();
        let state = common(registry, nobody);
        let known = self.shared.states.entry(index).or_insert_with(|| state.clone());
        if *known != state {
            let what = format!("s{} at {index} of the log: {}", n + 1, difference(known, &state));
            self.broken(now, Invariant::SameState, what);
        }
        for (name, record) in &registry.groups {
            let Some(failover) = &record.failover else {
                continue;
            };
            if failover.cause == Cause::ObjectivelyDown
                && self.shared.begun.insert((name.clone(), failover.epoch))
            {
                let primary = &failover.old_primary;
                let views = self
                    .ledger
                    .down_since(name, primary, now - VIEWS_COUNT_FOR, usize::MAX);
                if views < self.quorum {
                    let what = format!(
                        "s{}: {name}: epoch {} begins, {views} see {primary} down, quorum is {}",
                        n + 1,
                        failover.epoch,
                        self.quorum
                    );
                    self.broken(now, Invariant::AgreedPromotion, what);
                }
            }
        }
        let later = self.accounts[n].seen.sights.split_off(&(index + 1));
        let sights = std::mem::replace(&mut self.accounts[n].seen.sights, later);
        for group in &registry.groups {
            self.chose(now, n, group, &sights, leads_well);
        }
    }

    /// What the log comes to for a group, by the newest of its places that anybody has stood at; `None` where there is no
    /// log.
    pub(crate) fn newest_record(&self, group: &GroupName) -> Option<&GroupRecord> {
        let (_, newest) = self.shared.states.last_key_value()?;
        newest.groups.get(group)
    }

    /// A failover has ended; `true` for the first who tells it.
    pub(crate) fn ends_first(&mut self, group: &GroupName, epoch: Epoch) -> bool {
        self.shared.ended.insert((group.clone(), epoch))
    }
}

/// Where two states differ, in words.
fn difference(known: &Registry, state: &Registry) -> String {
    let (known, state) = (format!("{known:?}"), format!("{state:?}"));
    let same = known
        .bytes()
        .zip(state.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(60);
    let part = |text: &str| {
        text.get(from..)
            .map_or_else(String::new, |rest| rest.chars().take(160).collect())
    };
    format!("{:?}, others have {:?}", part(&state), part(&known))
}
