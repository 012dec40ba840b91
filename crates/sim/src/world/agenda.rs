//! What happens when: the earliest first, and what is due at the same time in the order in which it was put down.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Due;
use crate::time::Time;

/// What is still to happen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Entry>,
    last: u64,
}

/// Something that is to happen. Entries compare by when it is their turn: the greatest is the next.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Time,
    /// The number under which it was put down.
    pub(super) serial: u64,
    pub(super) due: Due,
}

impl Agenda {
    /// Puts something down.
    pub(super) fn push(&mut self, at: Time, due: Due) {
        self.last += 1;
        let serial = self.last;
        self.heap.push(Entry { at, serial, due });
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes out the next.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.heap.pop()
    }

    /// All of it, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Due> {
        self.heap.iter().map(|entry| &entry.due)
    }

    /// Strikes out what does not happen after all.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Due) -> bool) {
        self.heap.retain(|entry| stays(&entry.due));
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_of_several_at_once_the_first_put_down() {
        let mut agenda = Agenda::default();
        for (at, n) in [(5, 0), (3, 1), (5, 2), (3, 3), (9, 4), (4, 5), (3, 6)] {
            agenda.push(Time::from_millis(at), Due::Save(n));
        }
        agenda.retain(|due| !matches!(due, Due::Save(3)));
        assert_eq!(agenda.next_at(), Some(Time::from_millis(3)));
        let order = std::iter::from_fn(|| agenda.pop()).map(|entry| (entry.serial, entry.due));
        let order: Vec<_> = order
            .map(|(serial, due)| match due {
                Due::Save(n) => (serial, n),
                other => panic!("{other:?} was never put down"),
            })
            .collect();
        assert_eq!(order, [(2, 1), (7, 6), (6, 5), (1, 0), (3, 2), (5, 4)]);
        assert_eq!(agenda.next_at(), None);
    }
}
