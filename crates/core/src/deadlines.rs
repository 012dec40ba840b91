//! Who is to be looked at when: one ordered queue, so that nothing is ever scanned.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{GroupName, SentinelId};
use crate::time::Instant;

/// What has a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Group(GroupName),
    Peer(SentinelId),
}

/// At most one deadline for each.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: BTreeSet<(Instant, Who)>,
    of: BTreeMap<Who, Instant>,
}

impl Deadlines {
    /// Replaces the deadline of `who`.
    pub(crate) fn set(&mut self, who: Who, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.of.insert(who.clone(), at),
            None => self.of.remove(&who),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.queue.remove(&(old, who.clone()));
        }
        if let Some(at) = at {
            self.queue.insert((at, who));
        }
    }

    /// Takes out one whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Who> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        let (_, who) = self.queue.pop_first()?;
        self.of.remove(&who);
        Some(who)
    }

    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_deadline_replaces_the_old_one() {
        let who = Who::Group(GroupName::new("g").expect("a name"));
        let mut deadlines = Deadlines::default();
        deadlines.set(who.clone(), Some(Instant::from_millis(5)));
        deadlines.set(who.clone(), Some(Instant::from_millis(9)));
        assert_eq!(deadlines.first(), Some(Instant::from_millis(9)));
        assert_eq!(deadlines.pop_due(Instant::from_millis(8)), None);
        assert_eq!(deadlines.pop_due(Instant::from_millis(9)), Some(who.clone()));
        assert_eq!(deadlines.first(), None);
        deadlines.set(who.clone(), Some(Instant::from_millis(1)));
        deadlines.set(who, None);
        assert_eq!(deadlines.first(), None);
    }
}
