//! Proposals on their way to an outcome: those of this member, and what a leader remembers of those of others.
//!
//! raft's own forwarding loses proposals without a word. Ours sends each to the leader *for one term*: a leader of
//! another term does not take it. So there is no doubt for long. As soon as an entry of a newer term is committed, everything
//! that was sent for an older one and has not been committed never will be, and may be sent again. As long as the
//! same leader leads, it is sent again too, in case it was lost; the leader knows what it has taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_core::Instant;

use crate::codec::{CodecError, Reader, put_bytes};
use crate::settings::{MAX_PAYLOAD_LEN, MAX_PENDING, MAX_PENDING_BYTES};

/// How many numbers of one member's proposals a leader remembers. A member has at most [`MAX_PENDING`] under way.
const MAX_REMEMBERED: usize = 2 * MAX_PENDING;

/// Longest explanation of a refusal that is taken from a leader.
const MAX_PROBLEM_LEN: usize = 1024;

/// Why a proposal came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Nobody leads.
    #[error("there is no leader")]
    NoLeader,
    /// Who leads has no majority.
    #[error("the leader reaches no majority")]
    NoMajority,
    /// Too much is under way already.
    #[error("too many proposals are under way")]
    Busy,
    /// It is larger than a proposal may be.
    #[error("a proposal of {len} bytes, at most {MAX_PAYLOAD_LEN} are possible")]
    TooLarge {
        /// Its size.
        len: usize,
    },
    /// The members are being changed already.
    #[error("another change of the members is under way")]
    ChangePending,
    /// The change of the members makes no sense.
    #[error("{problem}")]
    BadChange {
        /// In what way.
        problem: String,
    },
    /// No answer came in time, or a snapshot came in place of the entries: it may be committed, or may still come to be.
    #[error("no outcome is known")]
    Unknown,
}

impl DropReason {
    /// Whether trying again within the time that the proposal has may help.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::NoLeader | Self::NoMajority)
    }

    const fn code(&self) -> u8 {
        match self {
            Self::NoLeader => 1,
            Self::NoMajority => 2,
            Self::Busy => 3,
            Self::TooLarge { .. } => 4,
            Self::ChangePending => 5,
            Self::BadChange { .. } => 6,
            Self::Unknown => 7,
        }
    }
}

/// A proposal that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The caller's name for it.
    pub token: u64,
    /// Why. Only [`DropReason::Unknown`] leaves it open whether it is, or will be, committed.
    pub reason: DropReason,
}

/// What a proposal's entry is marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) origin: u64,
    pub(crate) session: u64,
    pub(crate) number: u64,
}

impl Tag {
    pub(crate) fn encode(self) -> Vec<u8> {
        let numbers = [self.origin, self.session, self.number];
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// `None` for entries that nobody proposed: raft's own, and promotions by a leader.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            origin: reader.u64("origin").ok()?,
            session: reader.u64("session").ok()?,
            number: reader.u64("number").ok()?,
        })
    }
}

/// A leader's refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefuseBody {
    pub(crate) term: u64,
    pub(crate) session: u64,
    pub(crate) number: u64,
    pub(crate) reason: DropReason,
}

impl RefuseBody {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.term, self.session, self.number] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(self.reason.code());
        if let DropReason::BadChange { problem } = &self.reason {
            put_bytes(&mut out, problem.as_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let (term, session) = (reader.u64("term")?, reader.u64("session")?);
        let number = reader.u64("number of a proposal")?;
        let reason = match reader.u8("reason of a refusal")? {
            1 => DropReason::NoLeader,
            2 => DropReason::NoMajority,
            3 => DropReason::Busy,
            5 => DropReason::ChangePending,
            6 => DropReason::BadChange {
                problem: reader.text("explanation of a refusal", MAX_PROBLEM_LEN)?,
            },
            value => {
                return Err(CodecError::Value {
                    what: "reason of a refusal",
                    value: value.into(),
                });
            }
        };
        reader.end("refusal")?;
        Ok(Self {
            term,
            session,
            number,
            reason,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in anybody's log.
    Waiting { not_before: Instant },
    /// Given to the leader of a term, last at this time.
    Sent { term: u64, at: Instant },
}

#[derive(Debug)]
struct Pending {
    token: u64,
    payload: Vec<u8>,
    change: bool,
    deadline: Instant,
    state: State,
    /// Why it still waits.
    reason: DropReason,
}

/// What is to be given to the leader now.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) change: bool,
}

/// The proposals of this member.
#[derive(Debug)]
pub(crate) struct Proposals {
    pub(crate) session: u64,
    timeout: Duration,
    /// How long to wait before giving something to the leader again.
    again: Duration,
    last: u64,
    pending: BTreeMap<u64, Pending>,
    bytes: usize,
    dropped: Vec<Dropped>,
}

impl Proposals {
    pub(crate) const fn new(session: u64, timeout: Duration, again: Duration) -> Self {
        Self {
            session,
            timeout,
            again,
            last: 0,
            pending: BTreeMap::new(),
            bytes: 0,
            dropped: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, payload: Vec<u8>, change: bool, token: u64, now: Instant) {
        let len = payload.len();
        let reason = if len > MAX_PAYLOAD_LEN {
            Some(DropReason::TooLarge { len })
        } else if self.pending.len() >= MAX_PENDING || self.bytes + len > MAX_PENDING_BYTES {
            Some(DropReason::Busy)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.dropped.push(Dropped { token, reason });
            return;
        }
        self.bytes += len;
        self.last += 1;
        let pending = Pending {
            token,
            payload,
            change,
            deadline: now + self.timeout,
            state: State::Waiting { not_before: now },
            reason: DropReason::NoLeader,
        };
        self.pending.insert(self.last, pending);
    }

    /// The numbers to be given now to the leader of `term`.
    pub(crate) fn due(&self, term: u64, now: Instant) -> Vec<u64> {
        let is_due = |pending: &Pending| match pending.state {
            State::Waiting { not_before } => not_before <= now,
            State::Sent { term: sent, at } => sent == term && at + self.again <= now,
        };
        let due = self.pending.iter().filter(|(_, pending)| is_due(pending));
        due.map(|(number, _)| *number).collect()
    }

    /// What one of them says, which from now on counts as given to the leader of `term`.
    pub(crate) fn send(&mut self, number: u64, term: u64, now: Instant) -> Option<Due> {
        let pending = self.pending.get_mut(&number)?;
        pending.state = State::Sent { term, at: now };
        Some(Due {
            number,
            payload: pending.payload.clone(),
            change: pending.change,
        })
    }

    /// The leader of `term` has refused: it is in no log.
    pub(crate) fn refused(&mut self, number: u64, term: u64, reason: DropReason, retry_at: Instant) {
        let Some(pending) = self.pending.get_mut(&number) else {
            return;
        };
        if !matches!(pending.state, State::Sent { term: sent, .. } if sent == term) {
            return;
        }
        if reason.is_passing() {
            pending.state = State::Waiting { not_before: retry_at };
            pending.reason = reason;
            // Under its old number the leader will not take it any more in this term.
            self.last += 1;
            let pending = self.pending.remove(&number);
            self.pending.extend(pending.map(|pending| (self.last, pending)));
        } else {
            self.drop_one(number, reason);
        }
    }

    /// An entry of ours was committed; gives back the caller's name for it.
    pub(crate) fn committed(&mut self, tag: Option<Tag>, own: u64) -> Option<u64> {
        let tag = tag.filter(|tag| tag.origin == own && tag.session == self.session)?;
        let pending = self.pending.remove(&tag.number)?;
        self.bytes -= pending.payload.len();
        Some(pending.token)
    }

    /// An entry of `term` was committed: what was sent for older terms is in no log that will ever count.
    pub(crate) fn term_committed(&mut self, term: u64, now: Instant) {
        for pending in self.pending.values_mut() {
            if matches!(pending.state, State::Sent { term: sent, .. } if sent < term) {
                pending.state = State::Waiting { not_before: now };
            }
        }
    }

    /// A snapshot took the place of entries: ours may have been among them.
    pub(crate) fn snapshot_installed(&mut self) {
        self.drop_where(|pending| matches!(pending.state, State::Sent { .. }));
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.drop_where(|pending| pending.deadline <= now);
    }

    fn drop_where(&mut self, wanted: impl Fn(&Pending) -> bool) {
        let numbers: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| wanted(pending))
            .collect();
        let numbers: Vec<_> = numbers.into_iter().map(|(number, _)| *number).collect();
        for number in numbers {
            let reason = match &self.pending[&number] {
                Pending {
                    state: State::Sent { .. },
                    ..
                } => DropReason::Unknown,
                Pending { reason, .. } => reason.clone(),
            };
            self.drop_one(number, reason);
        }
    }

    fn drop_one(&mut self, number: u64, reason: DropReason) {
        if let Some(pending) = self.pending.remove(&number) {
            self.bytes -= pending.payload.len();
            let token = pending.token;
            self.dropped.push(Dropped { token, reason });
        }
    }

    pub(crate) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// When something is to be done about them next, if `term` has a leader.
    pub(crate) fn deadline(&self, led_term: Option<u64>) -> Option<Instant> {
        let next = |pending: &Pending| {
            let again = match (pending.state, led_term) {
                (State::Waiting { not_before }, Some(_)) => Some(not_before),
                (State::Sent { term, at }, Some(led)) if term == led => Some(at + self.again),
                _ => None,
            };
            again.map_or(pending.deadline, |again| again.min(pending.deadline))
        };
        self.pending.values().map(next).min()
    }

    pub(crate) fn count(&self) -> usize {
        self.pending.len()
    }
}

/// What a leader has taken from each member in its term, so that it takes nothing twice.
#[derive(Debug, Default)]
pub(crate) struct Taken(BTreeMap<u64, TakenFrom>);

#[derive(Debug, Default)]
struct TakenFrom {
    session: u64,
    /// Numbers up to this were forgotten.
    floor: u64,
    numbers: BTreeSet<u64>,
}

impl Taken {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether it is known, or so old that it cannot be told.
    pub(crate) fn knows(&self, tag: Tag) -> bool {
        self.0.get(&tag.origin).is_some_and(|taken| {
            taken.session == tag.session && (tag.number <= taken.floor || taken.numbers.contains(&tag.number))
        })
    }

    pub(crate) fn note(&mut self, tag: Tag) {
        let taken = self.0.entry(tag.origin).or_default();
        if taken.session != tag.session {
            *taken = TakenFrom {
                session: tag.session,
                ..TakenFrom::default()
            };
        }
        taken.numbers.insert(tag.number);
        while taken.numbers.len() > MAX_REMEMBERED {
            taken.floor = taken.numbers.pop_first().unwrap_or(taken.floor);
        }
    }
}

#[cfg(test)]
mod tests;
