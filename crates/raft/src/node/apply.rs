//! What is committed.

use raft::eraftpb::{Entry, EntryType};

use super::{Committed, Node};
use crate::check::read_change;
use crate::member::Members;
use crate::proposal::{DropReason, Dropped, Tag};

impl Node {
    pub(super) fn apply(&mut self, entry: Entry) {
        let (index, term) = (entry.index, entry.term);
        self.applied = index;
        let tag = Tag::decode(&entry.context);
        let token = self.proposals.committed(tag, self.settings.id);
        self.proposals.term_committed(term, self.now);
        if entry.get_entry_type() != EntryType::EntryNormal {
            self.apply_change(&entry, token);
        } else if tag.is_some() && index > self.skip_to {
            self.delivered = index;
            self.committed.push_back(Committed::Entry {
                index,
                term,
                payload: entry.data.to_vec(),
                token,
            });
        }
        // Entries that nobody proposed are raft's own: every leader begins with an empty one.
    }

    fn apply_change(&mut self, entry: &Entry, token: Option<u64>) {
        let (raft, change) = read_change(entry).expect("entries are looked at before raft gets them");
        // What cannot be done cannot be done at any member, and then the entry means nothing.
        let state = match self.raw.apply_conf_change(&raft) {
            Ok(state) => state,
            Err(error) => {
                let problem = error.to_string();
                let reason = DropReason::BadChange { problem };
                self.dropped.extend(token.map(|token| Dropped { token, reason }));
                return;
            }
        };
        let mut members = self.members.clone();
        members.apply(entry.index, change, &state);
        self.take_members(members);
        self.earlier.push_back(self.members.clone());
        self.keep_commit(entry.index);
        if self.is_leader() && !self.raw.raft.promotable() {
            // raft would go on leading, and stop for good at its next commit.
            let term = self.term();
            self.raw.raft.become_follower(term, raft::INVALID_ID);
            self.draw_timeout();
        }
        if entry.index <= self.skip_to {
            return;
        }
        self.delivered = entry.index;
        self.committed.push_back(Committed::Members {
            index: entry.index,
            members: self.members.clone(),
            token,
        });
    }

    /// That members have changed must be on disk soon, and not only that they were to change: who starts again may need those
    /// who have gone for good to learn that they have, or look for others where they were.
    fn keep_commit(&mut self, index: u64) {
        let store = self.raw.mut_store();
        store.hard.commit = store.hard.commit.max(index);
        self.disk.gather.hard = Some(store.hard);
        self.must_write(false);
    }

    pub(super) fn take_members(&mut self, members: Members) {
        self.lease.forget_others(&members);
        self.told.retain(|id, _| members.contains(*id));
        if self
            .hearsay
            .as_ref()
            .is_some_and(|hearsay| hearsay.index <= members.index)
        {
            self.hearsay = None;
        }
        self.moved
            .retain(|id, (index, _)| *index > members.index && members.contains(*id));
        self.introduced.retain(|id| *id > members.highest);
        self.members = members;
    }
}
