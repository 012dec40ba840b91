//! What goes into the state file where coordinators share a log.
//!
//! The log is what counts; the file is a copy of what came of it, for an operator who goes back to votes. So it never
//! falls behind what it held before: not while the log has yet to come out again after a start, and not where the file
//! is from a time of votes and knows of later epochs.

use bellwether_core::{LastVote, Registry};

/// The state as it was at the start.
#[derive(Debug)]
pub(crate) struct StateCopy {
    before: Registry,
}

impl StateCopy {
    pub(crate) const fn new(before: Registry) -> Self {
        Self { before }
    }

    /// What is to be written. `is_caught_up` says whether all that was decided is in `registry`.
    pub(crate) fn of(&self, registry: &Registry, is_caught_up: bool) -> Registry {
        let before = &self.before;
        let mut copy = registry.clone();
        if !is_caught_up {
            copy.groups = before.groups.clone();
        }
        copy.current_epoch = copy.current_epoch.max(before.current_epoch);
        let epoch = copy.current_epoch;
        for (name, record) in &mut copy.groups {
            let earlier = before.groups.get(name);
            if let Some(earlier) = earlier.filter(|earlier| earlier.config_epoch > record.config_epoch) {
                record.config_epoch = earlier.config_epoch;
                record.primary = earlier.primary.clone();
            }
            // The log has given each of its epochs to a leader, so nobody may get a vote for one of them.
            let voted = earlier.map(|earlier| earlier.vote.epoch).max(Some(epoch));
            if let Some(voted) = voted.filter(|voted| *voted > record.vote.epoch) {
                record.vote = LastVote {
                    epoch: voted,
                    candidate: None,
                };
            }
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::{Addr, Epoch, GroupName, GroupOptions, GroupRecord, SentinelId};

    use super::*;

    fn registry(epoch: u64, groups: &[(&str, u64, u16)]) -> Registry {
        let mut registry = Registry::new(SentinelId::new(&"a".repeat(40)).expect("an id"));
        registry.current_epoch = Epoch(epoch);
        for (name, config_epoch, port) in groups {
            let primary = Addr::parse("10.0.0.1", *port).expect("an address");
            let mut record = GroupRecord::new(primary, GroupOptions::new(2));
            record.config_epoch = bellwether_core::ConfigEpoch(*config_epoch);
            registry
                .groups
                .insert(GroupName::new(name).expect("a name"), record);
        }
        registry
    }

    #[test]
    fn groups_are_not_lost_while_the_log_comes_out_again() {
        let copy = StateCopy::new(registry(7, &[("a", 5, 1), ("b", 7, 2)]));
        let early = registry(6, &[("a", 6, 3)]);
        let written = copy.of(&early, false);
        assert_eq!(written.groups.len(), 2);
        assert_eq!(written.current_epoch, Epoch(7));
        assert_eq!(written.groups["a"].primary.port, 1);
        // Later what is missing was removed.
        let written = copy.of(&registry(8, &[("a", 8, 4)]), true);
        assert_eq!(written.groups.len(), 1);
        assert_eq!(written.groups["a"].primary.port, 4);
        assert_eq!(written.current_epoch, Epoch(8));
    }

    #[test]
    fn epochs_never_go_back_and_none_of_the_log_is_open_for_votes() {
        let mut before = registry(9, &[("a", 9, 1)]);
        before.groups.get_mut("a").expect("a group").vote.epoch = Epoch(11);
        let copy = StateCopy::new(before);
        let written = copy.of(&registry(4, &[("a", 4, 2), ("b", 3, 3)]), true);
        assert_eq!(written.current_epoch, Epoch(9));
        let (a, b) = (&written.groups["a"], &written.groups["b"]);
        assert_eq!((a.primary.port, a.vote.epoch), (1, Epoch(11)));
        assert_eq!((b.primary.port, b.vote.epoch), (3, Epoch(9)));
        assert_eq!(b.vote.candidate, None);
    }
}
