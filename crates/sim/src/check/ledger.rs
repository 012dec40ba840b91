//! Who said what: votes and views, as others have seen them.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::{Addr, Epoch, GroupName, SentinelId};

use crate::time::Time;

/// The account of all votes and views of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    votes: BTreeMap<(GroupName, Epoch, usize), SentinelId>,
    down: BTreeMap<(GroupName, Addr, usize), Time>,
}

impl Ledger {
    /// A coordinator has shown for whom it votes. The other one, if it had shown another before.
    pub(super) fn votes(
        &mut self,
        n: usize,
        group: &GroupName,
        epoch: Epoch,
        candidate: &SentinelId,
    ) -> Option<SentinelId> {
        let key = (group.clone(), epoch, n);
        let known = self.votes.entry(key).or_insert_with(|| candidate.clone());
        (known != candidate).then(|| known.clone())
    }

    /// A coordinator has told another that it sees the primary of a group down.
    pub(super) fn says_down(&mut self, now: Time, n: usize, group: &GroupName, primary: &Addr) {
        self.down.insert((group.clone(), primary.clone(), n), now);
    }

    /// How many have shown that they vote for this one.
    pub(super) fn votes_for(&self, group: &GroupName, epoch: Epoch, candidate: &SentinelId) -> usize {
        let range = (group.clone(), epoch, 0)..=(group.clone(), epoch, usize::MAX);
        self.votes
            .range(range)
            .filter(|(_, voted)| *voted == candidate)
            .count()
    }

    /// Elections in which more than one candidate got votes.
    pub(super) fn contested(&self) -> Vec<(GroupName, Epoch)> {
        let mut candidates: BTreeMap<(GroupName, Epoch), BTreeSet<&SentinelId>> = BTreeMap::new();
        for ((group, epoch, _), candidate) in &self.votes {
            let key = (group.clone(), *epoch);
            candidates.entry(key).or_default().insert(candidate);
        }
        candidates.retain(|_, candidates| candidates.len() > 1);
        candidates.into_keys().collect()
    }

    /// How many but one have told since then that they see the primary down.
    pub(super) fn down_since(&self, group: &GroupName, primary: &Addr, since: Time, but: usize) -> usize {
        let key = |n: usize| (group.clone(), primary.clone(), n);
        self.down
            .range(key(0)..=key(usize::MAX))
            .filter(|((_, _, n), at)| *n != but && **at >= since)
            .count()
    }
}
