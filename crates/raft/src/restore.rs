//! What a member starts from: what its store held, checked before anything is made of it.

use std::collections::BTreeMap;

use protobuf::Message as _;
use raft::eraftpb;

use crate::codec::CodecError;
use crate::log::{Log, pack_snapshot, unpack_snapshot};
use crate::member::{BadChange, Members};
use crate::settings::{MAX_SNAPSHOT_LEN, Settings};
use crate::write::{Entry, HardState, Identity, Snapshot, stored_snapshot};

/// Where the log of every founding member begins: one entry, of term 1, of which only the snapshot tells.
pub(crate) const FOUNDING: u64 = 1;

/// What the store held. All empty is a member that is yet to be told everything by a leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whose log it is.
    pub identity: Option<Identity>,
    /// What was promised.
    pub hard: HardState,
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The entries, in order. Those that the snapshot stands for may be among them.
    pub entries: Vec<Entry>,
    /// Up to which index the state that the caller keeps for itself is complete; 0 if it keeps none.
    pub applied: u64,
}

/// Why a member cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// 0 means nobody.
    #[error("0 is no member id")]
    ZeroId,
    /// The times do not fit each other.
    #[error("unusable times: {problem}")]
    Times {
        /// In what way.
        problem: &'static str,
    },
    /// The store is that of another member or group.
    #[error("the store belongs to member {} of cluster {}, this is member {} of cluster {}",
        found.id, found.cluster, own.id, own.cluster)]
    OtherIdentity {
        /// Whose store it is.
        found: Identity,
        /// Who we are.
        own: Identity,
    },
    /// There is a log but nobody's name on it.
    #[error("the store holds a log but does not say whose")]
    NoIdentity,
    /// A group is to be founded, but the store is not empty.
    #[error("the store is not empty: it belongs to member {} of cluster {}", found.id, found.cluster)]
    AlreadyFounded {
        /// Whose store it is.
        found: Identity,
    },
    /// The founding members are not usable.
    #[error("unusable founding members")]
    Founders(#[from] BadChange),
    /// This member is not one of the founding members.
    #[error("member {id} is not among the founding members")]
    NoFounder {
        /// Who we are.
        id: u64,
    },
    /// The configuration has a member where the store has another one.
    #[error(
        "the configuration has member {id} at {address}, where the log has member {other}: were their numbers mixed up?"
    )]
    MixedUp {
        /// The member.
        id: u64,
        /// Where the configuration has it.
        address: String,
        /// Whom the store has there.
        other: u64,
    },
    /// The snapshot is too large to be sent.
    #[error("the snapshot has {len} bytes, at most {MAX_SNAPSHOT_LEN} are possible")]
    TooLarge {
        /// Its size.
        len: usize,
    },
    /// There are entries but no snapshot before them.
    #[error("the log has entries but no beginning")]
    NoSnapshot,
    /// The snapshot cannot be read.
    #[error("the snapshot at {index} cannot be read: {problem}")]
    Snapshot {
        /// Its index.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// An entry cannot be read.
    #[error("entry {index} cannot be read: {problem}")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// An entry is missing.
    #[error("the log has a hole: entry {found} follows {before}")]
    Hole {
        /// The last one before the hole.
        before: u64,
        /// The first one after it.
        found: u64,
    },
    /// Terms go back in the log.
    #[error("entry {index} is of term {term}, but the one before it of term {before}")]
    Term {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The term of the one before it.
        before: u64,
    },
    /// The log is newer than what was promised.
    #[error("the log ends in term {last}, but the newest term known is {term}")]
    OldHardState {
        /// The term of the last entry.
        last: u64,
        /// The term in the hard state.
        term: u64,
    },
    /// More was committed, or applied, than the log holds: its end is lost.
    #[error("the log ends at {last}, but {what} reaches {index}: its end is lost")]
    Lost {
        /// Its last index.
        last: u64,
        /// What went further.
        what: &'static str,
        /// How far.
        index: u64,
    },
    /// raft itself refuses to start.
    #[error("raft refuses to start: {problem}")]
    Raft {
        /// What it says.
        problem: String,
    },
}

/// What is left of [`Restored`] when it makes sense.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) log: Log,
    pub(crate) members: Members,
    pub(crate) applied: u64,
    /// What the caller has to be given before any entry.
    pub(crate) state: Option<(u64, u64, Vec<u8>)>,
    /// The store does not know yet whose it is.
    pub(crate) fresh: bool,
}

impl Restored {
    /// What each founding member starts from: the same members, and the same state if there is one already. The
    /// store must be empty; everything in here is asked to be written before anything else.
    ///
    /// # Errors
    ///
    /// The members or the state are unusable.
    pub fn founding(
        settings: &Settings,
        members: &BTreeMap<u64, String>,
        state: &[u8],
    ) -> Result<Self, StartError> {
        if !members.contains_key(&settings.id) {
            return Err(StartError::NoFounder { id: settings.id });
        }
        if state.len() > MAX_SNAPSHOT_LEN {
            return Err(StartError::TooLarge { len: state.len() });
        }
        let mut members = Members::founding(members)?;
        members.index = FOUNDING;
        Ok(Self {
            snapshot: Some(stored_snapshot(&pack_snapshot(
                FOUNDING, FOUNDING, &members, state,
            ))),
            hard: HardState {
                term: FOUNDING,
                vote: 0,
                commit: FOUNDING,
            },
            ..Self::default()
        })
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(self, settings: &Settings, founding: bool) -> Result<Start, StartError> {
        let own = Identity {
            cluster: settings.cluster,
            id: settings.id,
        };
        match self.identity {
            Some(found) if founding => return Err(StartError::AlreadyFounded { found }),
            Some(found) if found != own => return Err(StartError::OtherIdentity { found, own }),
            None if !founding && !self.is_empty() => return Err(StartError::NoIdentity),
            _ => {}
        }
        let fresh = self.identity.is_none();
        let Some(snapshot) = self.snapshot else {
            return check_blank(&self.entries, self.hard, self.applied).map(|log| Start {
                log,
                members: Members::default(),
                applied: 0,
                state: None,
                fresh,
            });
        };
        let (raft, members, state) = read_snapshot(&snapshot)?;
        let mut log = Log::starting(raft, self.hard);
        for entry in self.entries.iter().filter(|entry| entry.index > snapshot.index) {
            add_entry(&mut log, entry)?;
        }
        let last = log.last();
        check_end(last, self.hard, self.applied)?;
        // What was applied had been committed. Commits are not written by themselves, so this may be newer.
        let commit = self.hard.commit.max(self.applied).max(snapshot.index);
        log.hard.commit = commit;
        Ok(Start {
            log,
            members,
            applied: self.applied,
            state: (self.applied < snapshot.index).then_some((snapshot.index, snapshot.term, state)),
            fresh,
        })
    }
}

/// A member that was never told anything may have voted, but has no log.
fn check_blank(entries: &[Entry], hard: HardState, applied: u64) -> Result<Log, StartError> {
    if !entries.is_empty() {
        return Err(StartError::NoSnapshot);
    }
    check_end((0, 0), hard, applied)?;
    Ok(Log::starting(eraftpb::Snapshot::default(), hard))
}

fn check_end((last, term): (u64, u64), hard: HardState, applied: u64) -> Result<(), StartError> {
    for (what, index) in [("what is committed", hard.commit), ("what is applied", applied)] {
        if index > last {
            return Err(StartError::Lost { last, what, index });
        }
    }
    if term > hard.term {
        let (last, term) = (term, hard.term);
        return Err(StartError::OldHardState { last, term });
    }
    Ok(())
}

fn read_snapshot(snapshot: &Snapshot) -> Result<(eraftpb::Snapshot, Members, Vec<u8>), StartError> {
    let wrong = |problem: String| StartError::Snapshot {
        index: snapshot.index,
        problem,
    };
    let raft =
        eraftpb::Snapshot::parse_from_bytes(&snapshot.bytes).map_err(|error| wrong(error.to_string()))?;
    let (members, state) = unpack_snapshot(&raft).map_err(|error: CodecError| wrong(error.to_string()))?;
    let meta = raft.get_metadata();
    if (meta.index, meta.term) != (snapshot.index, snapshot.term) {
        let (index, term) = (meta.index, meta.term);
        return Err(wrong(format!("it says to be at {index} of term {term}")));
    }
    let state = state.to_vec();
    Ok((raft, members, state))
}

fn add_entry(log: &mut Log, stored: &Entry) -> Result<(), StartError> {
    let index = stored.index;
    let wrong = |problem: String| StartError::Entry { index, problem };
    let entry = eraftpb::Entry::parse_from_bytes(&stored.bytes).map_err(|error| wrong(error.to_string()))?;
    if (entry.index, entry.term) != (index, stored.term) {
        let (index, term) = (entry.index, entry.term);
        return Err(wrong(format!("it says to be entry {index} of term {term}")));
    }
    crate::check::check_change(&entry).map_err(|error| wrong(error.to_string()))?;
    let (last, before) = log.last();
    if index != last + 1 {
        let (before, found) = (last, index);
        return Err(StartError::Hole { before, found });
    }
    if entry.term < before {
        let term = entry.term;
        return Err(StartError::Term { index, term, before });
    }
    log.append(vec![entry]);
    Ok(())
}

#[cfg(test)]
mod tests;
