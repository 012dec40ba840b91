//! raft's output: what goes to the disk, what may leave at once and what waits for the disk.

use protobuf::Message as _;
use raft::eraftpb::{self, Message, MessageType};
use raft::{Ready, StateRole};

use super::{Committed, Install, Node};
use crate::frame::{Frame, Kind};
use crate::log::{pack_snapshot, unpack_snapshot};
use crate::parts::Incoming;
use crate::settings::MAX_SNAPSHOT_LEN;
use crate::write::{Write, stored_entry, stored_hard_state, stored_snapshot};

/// Why a snapshot was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It stands for more than came out here, or less than the one there is.
    #[error("a snapshot at {upto}, possible are {from} to {to}")]
    Index {
        /// Where it was to be.
        upto: u64,
        /// The last one's index.
        from: u64,
        /// What came out last.
        to: u64,
    },
    /// It is too large to be sent.
    #[error("a snapshot of {len} bytes, at most {MAX_SNAPSHOT_LEN} are possible")]
    TooLarge {
        /// Its size.
        len: usize,
    },
}

impl Node {
    /// What must be written next. There is never more than one under way: `None` until [`written`](Self::written) has
    /// told of the last, and what comes up meanwhile is gathered in the next. A write that fails cannot be made up for:
    /// the member must be stopped.
    pub fn poll_write(&mut self) -> Option<Write> {
        if !self.disk.due || self.disk.durable < self.disk.polled {
            return None;
        }
        self.disk.due = false;
        self.disk.polled += 1;
        let write = std::mem::take(&mut self.disk.gather);
        Some(Write {
            seq: self.disk.polled,
            ..write
        })
    }

    /// The write with this number is durable.
    ///
    /// # Panics
    ///
    /// It is not the one that is under way.
    pub fn written(&mut self, seq: u64) {
        let under_way = self.disk.durable < self.disk.polled;
        assert!(
            under_way && seq == self.disk.polled,
            "write {seq} was not under way"
        );
        self.disk.durable = seq;
        while let Some((number, _)) = self.disk.unsynced.pop_front_if(|(_, write)| *write <= seq) {
            self.raw.on_persist_ready(number);
        }
        let mut newest = None;
        while let Some((_, install)) = self.disk.install.pop_front_if(|(write, _)| *write <= seq) {
            newest = Some(install);
        }
        if let Some(Install { index, term, data }) = newest {
            self.raw.advance_apply_to(index);
            self.applied = index;
            self.committed
                .push_back(Committed::Snapshot { index, term, data });
        }
        let durable = self.disk.durable;
        let (free, held) = std::mem::take(&mut self.disk.held)
            .into_iter()
            .partition::<Vec<_>, _>(|(write, _)| *write <= durable);
        self.disk.held = held.into();
        for (_, message) in free {
            self.post(message);
        }
        self.finish();
    }

    /// Whether a snapshot should be made: so much was logged since the last one, or a new member has to be sent one
    /// that names it as a member.
    #[must_use]
    pub fn needs_snapshot(&self) -> bool {
        let log = self.raw.raft.store();
        let newcomer = |id: &u64| !log.snapshot_names(*id) && self.lacks_the_log(*id);
        let newcomers = self.is_leader() && self.members.addresses.keys().any(newcomer);
        self.delivered > log.snapshot_index() && (newcomers || log.bytes() > self.settings.log_bytes)
    }

    /// Whether a member cannot be told what it lacks entry by entry.
    fn lacks_the_log(&self, id: u64) -> bool {
        let progress = self.raw.raft.prs().get(id);
        progress.is_some_and(|progress| progress.matched + 1 < self.raw.raft.store().first())
    }

    /// Takes the caller's state as of `upto`, the index of the last [`Committed`] of any kind that it has applied, in
    /// place of the log up to there.
    ///
    /// # Errors
    ///
    /// It is no such state, or too large. Nothing has changed then.
    pub fn snapshot(&mut self, upto: u64, data: &[u8]) -> Result<(), SnapshotError> {
        let from = self.raw.raft.store().snapshot_index();
        let to = self.delivered;
        if data.len() > MAX_SNAPSHOT_LEN {
            return Err(SnapshotError::TooLarge { len: data.len() });
        }
        let term = self
            .raw
            .raft
            .store()
            .term_at(upto)
            .filter(|_| upto > from && upto <= to);
        let term = term.ok_or(SnapshotError::Index { upto, from, to })?;
        while self.earlier.get(1).is_some_and(|members| members.index <= upto) {
            self.earlier.pop_front();
        }
        let members = self.earlier.front().unwrap_or(&self.members);
        let snapshot = pack_snapshot(upto, term, members, data);
        let drop_to = upto.saturating_sub(self.settings.keep_entries);
        self.disk.gather.snapshot = Some(stored_snapshot(&snapshot));
        self.disk.gather.drop_to = drop_to;
        self.raw.mut_store().compact(snapshot, drop_to);
        self.must_write(false);
        Ok(())
    }

    /// The number of the write that what is gathered now will go into, which has to be made.
    pub(super) fn must_write(&mut self, vote: bool) -> u64 {
        let seq = self.disk.polled + 1;
        self.disk.due = true;
        self.disk.newest = seq;
        if vote {
            self.disk.newest_vote = seq;
        }
        seq
    }

    /// Carries out all that raft has to say.
    pub(super) fn pump(&mut self) {
        while self.raw.has_ready() {
            let ready = self.raw.ready();
            self.take_ready(ready);
            self.note_role();
        }
        self.note_role();
    }

    fn take_ready(&mut self, mut ready: Ready) {
        // The lease has to know who leads before anything is said.
        self.note_role();
        let number = ready.number();
        let free = ready.take_messages();
        self.gather(&mut ready);
        for message in free {
            // raft lets the only voter lead before its vote for itself is on disk. Learners must not hear of a term
            // that may be begun anew after a crash.
            let after = self.disk.newest_vote;
            self.post_after(message, after);
        }
        for message in ready.take_persisted_messages() {
            self.post_after_write(message);
        }
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        if self.disk.newest <= self.disk.durable {
            self.raw.on_persist_ready(number);
        } else {
            self.disk.unsynced.push_back((number, self.disk.newest));
        }
        let Some(last) = committed.last().map(|entry| entry.index) else {
            return;
        };
        for entry in committed {
            self.apply(entry);
        }
        self.raw.advance_apply_to(last);
    }

    /// Puts what is to be durable into the next write, and into the log that raft reads.
    fn gather(&mut self, ready: &mut Ready) {
        let must_sync = ready.must_sync();
        if let Some(hard) = ready.hs().map(stored_hard_state) {
            let old = self.raw.raft.store().hard;
            self.raw.mut_store().hard = hard;
            self.disk.gather.hard = Some(hard);
            if (hard.term, hard.vote) != (old.term, old.vote) {
                self.must_write(true);
            }
        }
        if !must_sync {
            return;
        }
        if !ready.snapshot().is_empty() {
            self.gather_snapshot(ready.snapshot());
        }
        let entries = ready.take_entries();
        self.disk
            .gather
            .append_entries(entries.iter().map(stored_entry).collect());
        self.raw.mut_store().append(entries);
        self.must_write(false);
    }

    fn gather_snapshot(&mut self, snapshot: &eraftpb::Snapshot) {
        let (members, data) = unpack_snapshot(snapshot).expect("a snapshot is looked at before raft gets it");
        let meta = snapshot.get_metadata();
        let install = Install {
            index: meta.index,
            term: meta.term,
            data: data.to_vec(),
        };
        self.take_members(members);
        self.earlier = [self.members.clone()].into();
        self.proposals.snapshot_installed();
        self.disk.gather.install(stored_snapshot(snapshot));
        self.raw.mut_store().install(snapshot.clone());
        let seq = self.must_write(false);
        self.disk.install.push_back((seq, install));
    }

    fn post_after_write(&mut self, message: Message) {
        let after = match message.get_msg_type() {
            // It says that we follow in this term, no more: a slow disk must not look like a dead member.
            MessageType::MsgHeartbeatResponse => self.disk.newest_vote,
            _ => self.disk.newest,
        };
        self.post_after(message, after);
    }

    fn post_after(&mut self, message: Message, write: u64) {
        if write <= self.disk.durable {
            self.post(message);
        } else {
            self.disk.held.push_back((write, message));
        }
    }

    pub(super) fn post(&mut self, message: Message) {
        let to = message.to;
        let (mut kind, mut round, mut echo) = (Kind::Raft, 0, 0);
        // Writing to memory cannot fail, and all required fields have defaults.
        let body = message.write_to_bytes().unwrap_or_default();
        match message.get_msg_type() {
            MessageType::MsgAppend | MessageType::MsgHeartbeat => round = self.lease.speak(self.now),
            MessageType::MsgSnapshot => {
                if let Some(first) = self.snapshots.begin(to, &body, self.now) {
                    return self.send(to, Kind::Part, &first);
                }
                kind = Kind::Snapshot;
                round = self.lease.speak(self.now);
            }
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
                echo = self.promise.echo(to, message.term);
            }
            MessageType::MsgTimeoutNow => {
                self.lease.void();
                if self.orders_until > self.now {
                    self.offer = Some(message);
                    return;
                }
            }
            _ => {}
        }
        let frame = Frame {
            kind,
            promise_ms: self.settings.promise_ms(),
            cluster: self.settings.cluster,
            from: self.settings.id,
            to,
            round,
            echo,
            log: self.members.log,
            body: &body,
        };
        self.frames.push_back((to, frame.encode()));
    }

    /// Acts upon having become leader, or no longer being it.
    fn note_role(&mut self) {
        let now_seen = (self.raw.raft.term, self.raw.raft.state);
        if now_seen == self.seen {
            return;
        }
        let (term, role) = now_seen;
        let led = self.seen.1 == StateRole::Leader;
        let leads = role == StateRole::Leader;
        if leads && (!led || term != self.seen.0) {
            self.lease.restart(Some(self.now));
            self.offer = None;
            self.taken.clear();
            self.incoming = Incoming::default();
        } else if led && !leads {
            self.led_until = self.lease.majority(self.settings.id, &self.members, self.now);
            self.lease.restart(None);
            self.offer = None;
        }
        self.snapshots.clear();
        self.seen = now_seen;
    }
}
