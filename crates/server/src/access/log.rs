//! What was refused lately: `ACL LOG`.
//!
//! Owns the grouping of equal refusals and the bound on their number. Times are handed in.

use std::collections::VecDeque;

/// How many of the latest entries are looked at for one to count up. As Sentinel.
const MAX_COMPARED: usize = 10;

/// For how long equal refusals are one entry. As Sentinel.
const GROUPING_MS: u64 = 60_000;

/// Most entries whatever `acllog-max-len` says. Each takes a few KiB at worst.
const MAX_ENTRIES: usize = 10_000;

/// What of a refused word is kept; it may be as long as a request.
const MAX_TEXT_BYTES: usize = 256;

/// The refusals, the latest first.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    max_len: usize,
    next_id: u64,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Login,
    Command,
    Channel,
}

/// Equal refusals. Times are milliseconds of the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) count: i64,
    pub(crate) reason: Reason,
    /// The command, the channel, or for a login the word it was tried with.
    pub(crate) object: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    /// The client that was refused last, as in `CLIENT LIST`.
    pub(crate) client: Vec<u8>,
}

impl Reason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Login => "auth",
            Self::Command => "command",
            Self::Channel => "channel",
        }
    }
}

impl Log {
    pub(super) fn new(max_len: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            max_len: max_len.min(MAX_ENTRIES),
            next_id: 0,
        }
    }

    pub(super) fn add(&mut self, reason: Reason, object: &[u8], user: &[u8], client: Vec<u8>, now_ms: u64) {
        let cut = |text: &[u8]| text.get(..MAX_TEXT_BYTES).unwrap_or(text).to_vec();
        let (object, user) = (cut(object), cut(user));
        let same = self.entries.iter().take(MAX_COMPARED).position(|entry| {
            entry.reason == reason
                && entry.object == object
                && entry.user == user
                && now_ms.abs_diff(entry.updated_ms) <= GROUPING_MS
        });
        let entry = match same.and_then(|index| self.entries.remove(index)) {
            Some(entry) => Entry {
                count: entry.count.saturating_add(1),
                updated_ms: now_ms,
                client,
                ..entry
            },
            None => {
                let id = self.next_id;
                self.next_id += 1;
                Entry {
                    id,
                    count: 1,
                    reason,
                    object,
                    user,
                    created_ms: now_ms,
                    updated_ms: now_ms,
                    client,
                }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(self.max_len);
    }

    /// The latest entries.
    pub(super) fn latest(&self, max: usize) -> Vec<Entry> {
        self.entries.iter().take(max).cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(log: &mut Log, object: &str, now_ms: u64) {
        log.add(Reason::Command, object.as_bytes(), b"bob", Vec::new(), now_ms);
    }

    fn shown(log: &Log) -> Vec<(u64, String, i64)> {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.object).into_owned();
        let entries = log.latest(usize::MAX);
        entries
            .iter()
            .map(|entry| (entry.id, text(entry), entry.count))
            .collect()
    }

    #[test]
    fn equal_refusals_of_a_minute_are_one_entry() {
        let mut log = Log::new(10);
        add(&mut log, "role", 1_000);
        add(&mut log, "info", 2_000);
        add(&mut log, "role", 61_000);
        assert_eq!(
            shown(&log),
            [(0, "role".to_owned(), 2), (1, "info".to_owned(), 1)]
        );
        assert_eq!(log.latest(1)[0].created_ms, 1_000);
        // A minute after the last one, not after the first.
        add(&mut log, "role", 121_000);
        assert_eq!(log.latest(1)[0].count, 3);
        add(&mut log, "role", 181_001);
        assert_eq!(log.latest(1)[0].id, 2);
    }

    #[test]
    fn the_oldest_entries_go() {
        let mut log = Log::new(2);
        ["a", "b", "c"]
            .into_iter()
            .for_each(|name| add(&mut log, name, 1));
        assert_eq!(shown(&log), [(2, "c".to_owned(), 1), (1, "b".to_owned(), 1)]);
        log.clear();
        assert!(log.latest(9).is_empty());
        let mut none = Log::new(0);
        add(&mut none, "a", 1);
        assert!(none.latest(9).is_empty());
    }

    #[test]
    fn texts_are_bounded() {
        let mut log = Log::new(1);
        add(&mut log, &"x".repeat(1_000_000), 1);
        assert_eq!(log.latest(1)[0].object.len(), MAX_TEXT_BYTES);
    }
}
