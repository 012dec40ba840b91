//! When a leader may act: only while no other member can have become leader.
//!
//! raft's own lease is not enough for that. A member forgets what it has promised to a leader when it restarts, and
//! when any message of a newer term reaches it. So there are two halves here.
//!
//! *The promise.* Whoever has heard of a leader, at the time by its own clock, gives nobody a vote for the least
//! election timeout, whatever else it hears, except to a member to which that very leader hands over. A member that
//! restarts takes it that it has promised just now. A leader that hears of a newer term gives no vote while anything may
//! leave that it has ordered.
//!
//! *The proof.* A leader numbers the moments at which it speaks (rounds); whoever answers names the newest round it
//! has heard. A majority's answers prove a lease from the moment when the round was *sent* on, shortened by
//! [`MAX_DRIFT_PERCENT`]. When a leader hands over, its lease ends for the rest of the term: the message that lets
//! the other stand for election at once may arrive at any time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bellwether_core::Instant;

use crate::member::Members;
use crate::settings::MAX_DRIFT_PERCENT;

/// How many rounds are remembered. One is begun at most each time a leader speaks; beyond a few hundred in one lease,
/// the older half serves nobody.
const MAX_ROUNDS: usize = 512;

/// A leader's proof.
#[derive(Debug)]
pub(crate) struct Lease {
    /// How long this member promises, which is the least election timeout.
    promise: Duration,
    /// Since when this member leads, while it does.
    since: Option<Instant>,
    /// The leadership was offered to somebody in this term.
    void: bool,
    round: u64,
    sent: VecDeque<(u64, Instant)>,
    proven: BTreeMap<u64, Proof>,
    /// When each member was last heard, whatever it said.
    heard: BTreeMap<u64, Instant>,
}

/// What a member's answer proves.
#[derive(Clone, Copy, Debug)]
struct Proof {
    /// When the newest round was sent that it has answered.
    sent: Instant,
    promise: Duration,
}

/// How much of a promise a leader may rely on, whose clock may be slow while the other's is fast.
fn len(promise: Duration) -> Duration {
    promise * (100 - MAX_DRIFT_PERCENT) / 100
}

/// What a majority of every set of voters has reached.
fn majority(members: &Members, reached: impl Fn(u64) -> Option<Instant>) -> Option<Instant> {
    let of = |voters: &BTreeSet<u64>| {
        let mut all: Vec<_> = voters.iter().map(|id| reached(*id)).collect();
        all.sort_unstable();
        // Of five the third from the top: two others have reached more. `None` comes first.
        all.get(all.len().checked_sub(1)? / 2).copied()?
    };
    let incoming = of(&members.voters)?;
    if members.outgoing.is_empty() {
        return Some(incoming);
    }
    Some(incoming.min(of(&members.outgoing)?))
}

impl Lease {
    pub(crate) fn new(election_min: Duration) -> Self {
        Self {
            promise: election_min,
            since: None,
            void: false,
            round: 0,
            sent: VecDeque::new(),
            proven: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// The member has become leader, or has ceased to be, or leads in another term now.
    pub(crate) fn restart(&mut self, since: Option<Instant>) {
        self.since = since;
        self.void = false;
        self.sent.clear();
        self.proven.clear();
    }

    /// The leadership was offered to another member.
    pub(crate) const fn void(&mut self) {
        self.void = true;
    }

    pub(crate) const fn is_void(&self) -> bool {
        self.void
    }

    /// The round for what is said `now`.
    pub(crate) fn speak(&mut self, now: Instant) -> u64 {
        if self.sent.back().is_none_or(|(_, sent)| *sent < now) {
            // Counted on over terms, so that no number ever means two moments.
            self.round += 1;
            self.sent.push_back((self.round, now));
        }
        let too_old = now - self.promise;
        while self.sent.len() > MAX_ROUNDS || self.sent.front().is_some_and(|(_, sent)| *sent < too_old) {
            self.sent.pop_front();
        }
        self.round
    }

    /// A member answered in the current term, and the newest round it has heard is `echo`. From when it heard that, it
    /// gives nobody else a vote for as long as it promises.
    pub(crate) fn answered(&mut self, from: u64, echo: u64, promise: Duration) {
        let Ok(at) = self.sent.binary_search_by_key(&echo, |(round, _)| *round) else {
            return;
        };
        let sent = self.sent[at].1;
        if self.proven.get(&from).is_none_or(|proof| proof.sent <= sent) {
            self.proven.insert(from, Proof { sent, promise });
        }
    }

    pub(crate) fn heard(&mut self, from: u64, now: Instant) {
        self.heard.insert(from, now);
    }

    pub(crate) fn last_heard(&self, id: u64) -> Option<Instant> {
        self.heard.get(&id).copied()
    }

    pub(crate) fn forget_others(&mut self, members: &Members) {
        self.heard.retain(|id, _| members.contains(*id));
        self.proven.retain(|id, _| members.contains(*id));
    }

    /// When a majority of every set of voters was last known to follow this leader. `None` without leading.
    pub(crate) fn majority(&self, own: u64, members: &Members, now: Instant) -> Option<Instant> {
        self.since?;
        let proven = |id| self.proven.get(&id).map(|proof| proof.sent);
        majority(members, |id| if id == own { Some(now) } else { proven(id) })
    }

    /// Until when nobody else can be leader.
    pub(crate) fn until(&self, own: u64, members: &Members, now: Instant) -> Option<Instant> {
        if self.since.is_none() || self.void {
            return None;
        }
        let mine = self.promise;
        let proven = |id| {
            self.proven
                .get(&id)
                .map(|proof| proof.sent + len(proof.promise.min(mine)))
        };
        majority(members, |id| {
            if id == own {
                Some(now + len(mine))
            } else {
                proven(id)
            }
        })
    }

    /// Whether this leader has been without a majority for longer than it takes the others to replace it.
    pub(crate) fn is_lonely(&self, own: u64, members: &Members, now: Instant) -> bool {
        let Some(since) = self.since else { return true };
        let contact = self
            .majority(own, members, now)
            .map_or(since, |proven| proven.max(since));
        now.since(contact) > self.promise
    }
}

/// A follower's half.
#[derive(Debug)]
pub(crate) struct Promise {
    len: Duration,
    until: Option<Instant>,
    /// From whom, in which term, and the newest round.
    heard: Option<(u64, u64, u64)>,
    last: Option<Instant>,
}

impl Promise {
    /// `bound` if the member may have promised something before it was restarted.
    pub(crate) fn new(election_min: Duration, bound: bool, now: Instant) -> Self {
        Self {
            len: election_min,
            until: bound.then_some(now + election_min),
            heard: None,
            last: None,
        }
    }

    /// A leader spoke, and was accepted as such.
    pub(crate) fn renew(&mut self, leader: u64, term: u64, round: u64, now: Instant) {
        let newest = match self.heard {
            Some((from, of, newest)) if (from, of) == (leader, term) => newest.max(round),
            _ => round,
        };
        self.heard = Some((leader, term, newest));
        self.until = Some(now + self.len);
        self.last = Some(now);
    }

    /// Whoever led itself has promised to nobody else. But what it ordered may leave until then, also when it leads no
    /// more: it counts itself among those who let nobody else lead.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.until = self.until.max(Some(until));
    }

    /// Whether no vote may be given.
    pub(crate) fn binds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The newest round of a leader, for an answer to it.
    pub(crate) fn echo(&self, to: u64, term: u64) -> u64 {
        match self.heard {
            Some((leader, of, round)) if (leader, of) == (to, term) => round,
            _ => 0,
        }
    }

    /// When a leader was last heard.
    pub(crate) const fn last(&self) -> Option<Instant> {
        self.last
    }
}

#[cfg(test)]
mod tests;
