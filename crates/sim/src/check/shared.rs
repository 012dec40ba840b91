//! What must be true where all coordinators share a log: nobody votes there, and what is visible is committed.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::{
    Cause, Epoch, Globals, GroupName, GroupRecord, LogHardState, LogPlace, Registry, ReplicatedLog,
    SentinelId,
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
    /// For whom each member's disk has a vote in each term.
    votes: BTreeMap<(u64, usize), u64>,
    /// What the log comes to, at each of its places that anybody has stood at.
    states: BTreeMap<u64, Registry>,
    /// Up to where it was seen that a majority has it.
    counted: u64,
    /// Failovers that have begun, and those that have ended.
    begun: BTreeSet<(GroupName, Epoch)>,
    ended: BTreeSet<(GroupName, Epoch)>,
}

/// What one member was last seen at.
#[derive(Debug, Default)]
pub(super) struct Seen {
    place: LogPlace,
    /// Who votes in its log, where that may have changed, and who did so before the last change.
    voters: BTreeSet<usize>,
    voted: BTreeSet<usize>,
    /// Where the entries begin that a leader has put forward itself.
    own_from: u64,
    /// What a leader had before it when it put each entry forward.
    sights: BTreeMap<u64, Sight>,
}

impl Shared {
    /// How many terms had votes for more than one, and in how many of those nobody came to lead.
    pub(super) fn elections(&self) -> (usize, usize) {
        let mut candidates: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for ((term, _), vote) in &self.votes {
            candidates.entry(*term).or_default().insert(*vote);
        }
        let contested = candidates.iter().filter(|(_, votes)| votes.len() > 1);
        let split = contested
            .clone()
            .filter(|(term, _)| !self.leaders.contains_key(*term));
        (contested.count(), split.count())
    }
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
        if place.leads && !self.checks.shared.leaders.contains_key(&place.term) {
            self.count_lead();
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

    /// What a coordinator is the first to apply is on the disks of a majority; one of those may be no member any more when
    /// others apply it, or the same one after a restart. Every log begins with the same snapshot at 1. A leader with
    /// a slow disk comes to a change of the members later than others, and until then goes by the majority of before: the
    /// two have somebody in common, and the next change waits until it has come to this one.
    fn check_majority(&mut self, n: usize, index: u64) {
        let voters = if self.operator.has_begun {
            self.voters(n)
        } else {
            (0..self.members).collect()
        };
        let seen = &mut self.checks.accounts[n].seen;
        if seen.voters != voters {
            seen.voted = std::mem::replace(&mut seen.voters, voters);
        }
        if index <= self.checks.shared.counted.max(1) {
            return;
        }
        self.checks.shared.counted = index;
        let seen = &self.checks.accounts[n].seen;
        let sets = [&seen.voted, &seen.voters]
            .into_iter()
            .filter(|set| !set.is_empty());
        let most: Vec<(usize, usize)> = sets.map(|set| (self.having(set, index), set.len())).collect();
        if most.iter().all(|(having, of)| *having <= of / 2) {
            let what = format!("s{} applies entry {index}, which {most:?} have on disk", n + 1);
            self.checks.broken(self.now, Invariant::MajorityHasIt, what);
        }
    }

    /// Who votes by the log of a coordinator.
    fn voters(&self, n: usize) -> BTreeSet<usize> {
        let node = &self.nodes[n];
        let status = node.core.log().map(|log| log.status(node.clock.read(self.now)));
        let members = status.into_iter().flat_map(|status| status.members);
        let voters = members.filter(|member| member.voter);
        voters
            .filter_map(|member| usize::try_from(member.id).ok()?.checked_sub(1))
            .collect()
    }

    /// How many of these have the same at a place of the log. A disk that was lost had what it had.
    fn having(&self, voters: &BTreeSet<usize>, index: u64) -> usize {
        let mut terms: BTreeMap<u64, usize> = BTreeMap::new();
        let mut snapshots = 0;
        for node in voters.iter().filter_map(|n| self.nodes.get(*n)) {
            match node.disk.log().held(index) {
                Held::Nothing => {}
                Held::Entry(term) => *terms.entry(term).or_default() += 1,
                Held::Snapshot => snapshots += 1,
            }
        }
        terms.into_values().max().unwrap_or(0) + snapshots
    }

    /// Whether all have come to the same place of the log, and somebody leads.
    pub(super) fn log_unrest(&self) -> Option<String> {
        self.shared.as_ref()?;
        let logs = || {
            self.fleet()
                .filter_map(|(_, node)| Some((node, node.core.log()?)))
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
        let is_news = !self.shared.leaders.contains_key(&place.term);
        let is_newest = self
            .shared
            .leaders
            .last_key_value()
            .is_none_or(|(term, _)| *term < place.term);
        let newest = self.shared.states.last_key_value().map_or(0, |(index, _)| *index);
        if is_news && is_newest && place.last < newest {
            let what = format!(
                "s{} leads in term {} with a log of {} entries, and {newest} had counted",
                n + 1,
                place.term,
                place.last
            );
            self.broken(now, Invariant::KeepsDecisions, what);
        }
        let first = *self.shared.leaders.entry(place.term).or_insert(n);
        if first != n {
            let what = format!("s{} and s{} lead in term {}", first + 1, n + 1, place.term);
            self.broken(now, Invariant::OneLeader, what);
        }
    }

    /// This is on the disk of a member: the newest term that it knows, and for whom it has voted in it.
    pub(crate) fn promised(&mut self, now: Time, n: usize, hard: LogHardState) {
        if hard.vote == 0 {
            return;
        }
        let before = *self.shared.votes.entry((hard.term, n)).or_insert(hard.vote);
        if before != hard.vote {
            let what = format!(
                "s{} in term {}: for {before} and for {}",
                n + 1,
                hard.term,
                hard.vote
            );
            self.broken(now, Invariant::OneVote, what);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Profile, Setup};
    use crate::shared_log::Coordination;

    fn checks() -> Checks {
        let (setup, _) = Setup::of(1, Profile::Crash, Coordination::Raft);
        Checks::new(&setup)
    }

    fn broken(checks: &Checks) -> Option<Invariant> {
        checks.violation().map(|violation| violation.invariant)
    }

    const fn leading(term: u64, last: u64) -> LogPlace {
        LogPlace {
            term,
            leads: true,
            leader: 1,
            last,
            applied: 1,
        }
    }

    #[test]
    fn whoever_leads_must_have_what_counted_before() {
        let mut checks = checks();
        let registry = Registry::new(checks.nobody.clone());
        checks.applied(Time::ZERO, 0, 7, &registry, false);
        checks.leads_term(Time::ZERO, 1, leading(2, 7));
        assert_eq!(broken(&checks), None);
        checks.leads_term(Time::ZERO, 2, leading(3, 6));
        assert_eq!(broken(&checks), Some(Invariant::KeepsDecisions));
    }

    #[test]
    fn whoever_comes_to_lead_in_a_term_that_is_over_need_not() {
        let mut checks = checks();
        let registry = Registry::new(checks.nobody.clone());
        checks.leads_term(Time::ZERO, 1, leading(3, 6));
        checks.applied(Time::ZERO, 1, 7, &registry, false);
        checks.leads_term(Time::ZERO, 2, leading(2, 6));
        assert_eq!(broken(&checks), None);
    }

    #[test]
    fn a_term_has_one_vote_of_each_and_may_have_candidates_of_which_none_leads() {
        let mut checks = checks();
        let vote = |term, vote| LogHardState {
            term,
            vote,
            commit: 0,
        };
        checks.promised(Time::ZERO, 0, vote(2, 1));
        checks.promised(Time::ZERO, 1, vote(2, 2));
        checks.promised(Time::ZERO, 0, vote(3, 2));
        checks.promised(Time::ZERO, 1, vote(3, 2));
        checks.promised(Time::ZERO, 1, vote(3, 2));
        checks.promised(Time::ZERO, 1, vote(4, 0));
        assert_eq!((broken(&checks), checks.elections()), (None, (1, 1)));
        checks.promised(Time::ZERO, 1, vote(3, 1));
        assert_eq!(broken(&checks), Some(Invariant::OneVote));
    }
}
