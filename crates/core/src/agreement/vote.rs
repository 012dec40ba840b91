//! The way of the reference: decisions count at once where they are made, but to lead a failover takes the
//! votes of a majority of the known sentinels, given first come, first served, once per group and epoch.
//!
//! Unlike Sentinel, votes are counted by the failover's own epoch and granted by the group's last vote alone,
//! so that elections of many groups do not void each other.

use std::collections::{BTreeMap, VecDeque};

use super::{Agreement, Decided, Standing};
use crate::bugs::{self, Bug};
use crate::decision::Decision;
use crate::id::{ClientToken, Epoch, GroupName, SentinelId};
use crate::registry::Registry;

/// Votes among coordinators that know each other by hello.
#[derive(Debug, Default)]
pub struct Vote {
    decided: VecDeque<(Decision, Option<ClientToken>)>,
    candidacies: BTreeMap<GroupName, Candidacy>,
}

#[derive(Debug)]
struct Candidacy {
    epoch: Epoch,
    /// What peers told: whom each voted for in this epoch; `None` for a vote that nobody can have any more.
    told: BTreeMap<SentinelId, Option<SentinelId>>,
}

impl Agreement for Vote {
    fn name(&self) -> &'static str {
        "vote"
    }

    fn propose(&mut self, decision: Decision, origin: Option<ClientToken>) {
        self.decided.push_back((decision, origin));
    }

    fn poll_decided(&mut self) -> Option<Decided> {
        let (decision, origin) = self.decided.pop_front()?;
        Some(Decided::Decision { decision, origin })
    }

    fn campaign(&mut self, registry: &Registry, group: &GroupName, epoch: Epoch) {
        self.candidacies.insert(
            group.clone(),
            Candidacy {
                epoch,
                told: BTreeMap::new(),
            },
        );
        let candidate = registry.my_id.clone();
        self.propose(
            Decision::Vote {
                group: group.clone(),
                epoch,
                candidate,
            },
            None,
        );
    }

    fn ballot(&self, group: &GroupName) -> Option<Epoch> {
        self.candidacies.get(group).map(|candidacy| candidacy.epoch)
    }

    fn heard(&mut self, group: &GroupName, voter: &SentinelId, leader: Option<&SentinelId>, epoch: Epoch) {
        let Some(candidacy) = self.candidacies.get_mut(group) else {
            return;
        };
        let any_epoch = bugs::has(Bug::CountVoteOfAnotherEpoch);
        if epoch < candidacy.epoch && !any_epoch {
            return;
        }
        let vote = leader.filter(|_| epoch == candidacy.epoch || any_epoch).cloned();
        candidacy.told.insert(voter.clone(), vote);
    }

    fn standing(&self, registry: &Registry, group: &GroupName) -> Standing {
        let (Some(candidacy), Some(record)) = (self.candidacies.get(group), registry.groups.get(group))
        else {
            return Standing::Split;
        };
        let voters = if bugs::has(Bug::MajorityOfReachable) {
            1 + candidacy.told.len()
        } else {
            record.voters()
        };
        let needed = (voters / 2 + 1).max(record.options.quorum as usize);
        let mut votes: BTreeMap<&SentinelId, Vec<&SentinelId>> = BTreeMap::new();
        let mut known = 0;
        if record.vote.epoch >= candidacy.epoch {
            known += 1;
            if let Some(own) = record
                .vote
                .candidate
                .as_ref()
                .filter(|_| record.vote.epoch == candidacy.epoch)
            {
                votes.entry(own).or_default().push(&registry.my_id);
                if bugs::has(Bug::CountOneVoterTwice) {
                    votes.entry(own).or_default().push(&registry.my_id);
                }
            }
        }
        for (voter, vote) in candidacy
            .told
            .iter()
            .filter(|(voter, _)| record.sentinels.contains_key(*voter))
        {
            known += 1;
            if let Some(leader) = vote {
                votes.entry(leader).or_default().push(voter);
            }
        }
        if let Some((leader, by)) = votes.iter().find(|(_, by)| by.len() >= needed) {
            return if **leader == registry.my_id {
                Standing::Elected {
                    voters: by.iter().copied().cloned().collect(),
                }
            } else {
                Standing::Lost {
                    leader: (*leader).clone(),
                }
            };
        }
        let mine = votes.get(&registry.my_id).map_or(0, Vec::len);
        if mine + record.voters().saturating_sub(known) < needed {
            Standing::Split
        } else {
            Standing::Open
        }
    }

    fn has_heard(&self, group: &GroupName, voter: &SentinelId) -> bool {
        self.candidacies
            .get(group)
            .is_some_and(|candidacy| candidacy.told.contains_key(voter))
    }

    fn withdraw(&mut self, group: &GroupName) {
        self.candidacies.remove(group);
    }

    fn asked(
        &mut self,
        registry: &Registry,
        group: &GroupName,
        epoch: Epoch,
        candidate: &SentinelId,
        origin: ClientToken,
    ) -> bool {
        let Some(record) = registry.groups.get(group) else {
            return false;
        };
        // A vote for an epoch that has already named a primary could install an older configuration again.
        let unused = epoch > record.vote.epoch || (epoch == record.vote.epoch && bugs::has(Bug::VoteTwice));
        let fresh = unused && epoch > record.config_epoch.into();
        // Another candidate may have been granted this epoch by a decision that is still under way.
        let taken = self.decided.iter().any(|(decision, _)| {
            matches!(decision, Decision::Vote { group: g, epoch: e, .. } if g == group && *e >= epoch)
        });
        if fresh && !taken {
            let decision = Decision::Vote {
                group: group.clone(),
                epoch,
                candidate: candidate.clone(),
            };
            self.propose(decision, Some(origin));
        }
        fresh && !taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Addr;
    use crate::registry::{GroupOptions, GroupRecord};

    fn id(name: &str) -> SentinelId {
        SentinelId::new(name).expect("an id")
    }

    fn addr(port: u16) -> Addr {
        Addr::parse("127.0.0.1", port).expect("an address")
    }

    fn group() -> GroupName {
        GroupName::new("g").expect("a name")
    }

    /// A registry of "me" that knows these other sentinels.
    fn registry(quorum: u32, others: &[&str]) -> Registry {
        let mut record = GroupRecord::new(addr(1), GroupOptions::new(quorum));
        for (i, other) in others.iter().enumerate() {
            record.sentinels.insert(id(other), addr(100 + i as u16));
        }
        let mut registry = Registry::new(id("me"));
        registry.groups.insert(group(), record);
        registry
    }

    fn settle(vote: &mut Vote, registry: &mut Registry) {
        while let Some(Decided::Decision { decision, .. }) = vote.poll_decided() {
            registry.apply(&decision);
        }
    }

    fn campaign(quorum: u32, others: &[&str]) -> (Vote, Registry) {
        let (mut vote, mut registry) = (Vote::default(), registry(quorum, others));
        vote.campaign(&registry, &group(), Epoch(1));
        settle(&mut vote, &mut registry);
        (vote, registry)
    }

    #[test]
    fn a_majority_of_all_known_sentinels_elects() {
        let (mut vote, registry) = campaign(2, &["a", "b", "c", "d"]);
        vote.heard(&group(), &id("a"), Some(&id("me")), Epoch(1));
        assert_eq!(vote.standing(&registry, &group()), Standing::Open);
        vote.heard(&group(), &id("b"), Some(&id("me")), Epoch(1));
        assert!(
            matches!(vote.standing(&registry, &group()), Standing::Elected { voters } if voters.len() == 3)
        );
    }

    #[test]
    fn a_quorum_above_the_majority_raises_the_bar() {
        let (mut vote, registry) = campaign(3, &["a", "b"]);
        vote.heard(&group(), &id("a"), Some(&id("me")), Epoch(1));
        assert_eq!(vote.standing(&registry, &group()), Standing::Open);
        vote.heard(&group(), &id("b"), Some(&id("me")), Epoch(1));
        assert!(matches!(
            vote.standing(&registry, &group()),
            Standing::Elected { .. }
        ));
    }

    #[test]
    fn votes_of_other_epochs_and_of_strangers_do_not_count() {
        let (mut vote, registry) = campaign(1, &["a", "b"]);
        vote.heard(&group(), &id("a"), Some(&id("me")), Epoch(0));
        vote.heard(&group(), &id("stranger"), Some(&id("me")), Epoch(1));
        assert_eq!(vote.standing(&registry, &group()), Standing::Open);
        vote.heard(&group(), &id("a"), Some(&id("me")), Epoch(2));
        vote.heard(&group(), &id("b"), Some(&id("me")), Epoch(2));
        assert_eq!(vote.standing(&registry, &group()), Standing::Split);
    }

    #[test]
    fn an_election_that_nobody_can_win_is_seen_at_once() {
        let (mut vote, registry) = campaign(1, &["a", "b"]);
        vote.heard(&group(), &id("a"), Some(&id("a")), Epoch(1));
        assert_eq!(vote.standing(&registry, &group()), Standing::Open);
        vote.heard(&group(), &id("b"), Some(&id("b")), Epoch(1));
        assert_eq!(vote.standing(&registry, &group()), Standing::Split);
    }

    #[test]
    fn the_winner_may_be_another() {
        let (mut vote, registry) = campaign(1, &["a", "b"]);
        vote.heard(&group(), &id("a"), Some(&id("a")), Epoch(1));
        vote.heard(&group(), &id("b"), Some(&id("a")), Epoch(1));
        assert_eq!(
            vote.standing(&registry, &group()),
            Standing::Lost { leader: id("a") }
        );
    }

    #[test]
    fn one_vote_per_group_and_epoch() {
        let (mut vote, mut registry) = (Vote::default(), registry(1, &["a", "b"]));
        assert!(vote.asked(&registry, &group(), Epoch(3), &id("a"), ClientToken(1)));
        assert!(
            !vote.asked(&registry, &group(), Epoch(3), &id("b"), ClientToken(2)),
            "one is under way"
        );
        settle(&mut vote, &mut registry);
        assert!(!vote.asked(&registry, &group(), Epoch(3), &id("b"), ClientToken(3)));
        assert!(!vote.asked(&registry, &group(), Epoch(2), &id("b"), ClientToken(4)));
        assert!(vote.asked(&registry, &group(), Epoch(4), &id("b"), ClientToken(5)));
    }

    #[test]
    fn another_group_may_vote_in_an_epoch_below_the_current_one() {
        let (mut vote, mut registry) = (Vote::default(), registry(1, &["a"]));
        registry.current_epoch = Epoch(9);
        assert!(vote.asked(&registry, &group(), Epoch(5), &id("a"), ClientToken(1)));
        settle(&mut vote, &mut registry);
        assert_eq!(registry.current_epoch, Epoch(9));
    }

    #[test]
    fn no_vote_for_an_epoch_that_has_named_a_primary() {
        let (mut vote, mut registry) = (Vote::default(), registry(1, &["a"]));
        let record = registry.groups.get_mut("g").expect("the group");
        record.config_epoch = crate::id::ConfigEpoch(7);
        assert!(!vote.asked(&registry, &group(), Epoch(7), &id("a"), ClientToken(1)));
        assert!(vote.asked(&registry, &group(), Epoch(8), &id("a"), ClientToken(2)));
    }

    #[test]
    fn a_single_coordinator_elects_itself() {
        let (vote, registry) = campaign(1, &[]);
        assert!(matches!(
            vote.standing(&registry, &group()),
            Standing::Elected { .. }
        ));
    }
}
