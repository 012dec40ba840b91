//! What there is to see of a member.

use bellwether_core::{Instant, LogPlace};
use raft::StateRole;

use super::Node;

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows, or waits for a leader.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows and has no vote yet.
    Learner,
    /// It was never told of any members.
    Joining,
    /// It was removed from the group.
    Removed,
}

/// A member as it sees itself and the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: u64,
    /// What it does.
    pub role: Role,
    /// The newest term it knows.
    pub term: u64,
    /// Who leads in that term; 0 if nobody is known.
    pub leader: u64,
    /// How far the log is known to be committed.
    pub commit: u64,
    /// How far it has come out of [`Node::poll_committed`].
    pub applied: u64,
    /// The last entry in the log.
    pub last: u64,
    /// The first entry in the log.
    pub first: u64,
    /// The last snapshot's index.
    pub snapshot: u64,
    /// Bytes of log after that snapshot.
    pub log_bytes: u64,
    /// How many proposals of this member have no outcome yet.
    pub pending: usize,
    /// How long ago a majority was in reach for certain: for a leader by their answers, for others by hearing of a
    /// leader. `None` if it never was.
    pub majority_contact: Option<std::time::Duration>,
    /// Until when this leader may act.
    pub lease_until: Option<Instant>,
    /// The others, and what a leader knows about them.
    pub members: Vec<MemberStatus>,
}

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub id: u64,
    /// Where it is to be reached.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// How far its log agrees with the leader's; only a leader knows.
    pub matched: Option<u64>,
    /// How many entries it lacks; only a leader knows.
    pub lag: Option<u64>,
    /// How long ago it was heard; of a member that follows another, only that other one.
    pub last_contact: Option<std::time::Duration>,
}

impl Node {
    /// What there is to see at the moment `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let raft = &self.raw.raft;
        let log = raft.store();
        Status {
            id: self.settings.id,
            role: self.role(),
            term: raft.term,
            leader: raft.leader_id,
            commit: raft.raft_log.committed,
            applied: self.applied,
            last: raft.raft_log.last_index(),
            first: log.first(),
            snapshot: log.snapshot_index(),
            log_bytes: log.bytes(),
            pending: self.proposals.count(),
            majority_contact: self.majority_contact().map(|contact| now.since(contact)),
            lease_until: self.lease_until(),
            members: self.member_statuses(now),
        }
    }

    /// Whether the log was applied up to this entry; or, if a leader has thrown it away, up to one of a later term, which
    /// stands behind all that was decided before.
    pub(crate) fn has_applied(&self, index: u64, term: u64) -> bool {
        let reached = self.raw.raft.raft_log.term(self.applied);
        self.applied >= index || reached.is_ok_and(|reached| reached > term)
    }

    /// Whether more is committed than has come out of [`poll_committed`](Node::poll_committed). Entries of raft's own, with
    /// which every leader begins, never come out.
    pub(crate) fn has_more(&self) -> bool {
        !self.committed.is_empty() || self.known_commit() > self.applied
    }

    /// How far the log is known to be committed.
    pub(crate) fn known_commit(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// How far this member is.
    pub(crate) fn place(&self) -> LogPlace {
        let raft = &self.raw.raft;
        LogPlace {
            term: raft.term,
            leads: self.is_leader(),
            leader: self.leader(),
            last: raft.raft_log.last_index(),
            applied: self.applied,
        }
    }

    /// When a majority was last in reach for certain, in whichever role.
    pub(crate) fn majority_contact(&self) -> Option<Instant> {
        let leading = self.is_leader();
        let answered = leading.then(|| self.lease.majority(self.settings.id, &self.members, self.now));
        [answered.flatten(), self.promise.last(), self.led_until]
            .into_iter()
            .flatten()
            .max()
    }

    /// Whether this member was heard of within the least election timeout.
    pub(crate) fn hears(&self, id: u64) -> bool {
        let heard = self.lease.last_heard(id);
        heard.is_some_and(|heard| self.now.since(heard) <= self.settings.election_min)
    }

    fn role(&self) -> Role {
        let (own, members) = (self.settings.id, &self.members);
        match self.raw.raft.state {
            _ if members.is_empty() => Role::Joining,
            _ if self.is_removed() => Role::Removed,
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower if members.learners.contains(&own) => Role::Learner,
            StateRole::Follower => Role::Follower,
        }
    }

    /// Whether this member is none any more, by its log or by what others have told it.
    pub(super) fn is_removed(&self) -> bool {
        let newest = self.hearsay.as_ref().unwrap_or(&self.members);
        !newest.is_empty() && !newest.contains(self.settings.id)
    }

    fn member_statuses(&self, now: Instant) -> Vec<MemberStatus> {
        let last = self.raw.raft.raft_log.last_index();
        let one = |(id, address): (&u64, &String)| {
            let progress = self.raw.raft.prs().get(*id).filter(|_| self.is_leader());
            let matched = progress.map(|progress| progress.matched);
            // Who follows hears its leader only: that the others say nothing to it means nothing.
            let leader = self.leader();
            let is_due = self.is_leader() || leader == 0 || leader == *id;
            let heard = self.lease.last_heard(*id).filter(|_| is_due);
            MemberStatus {
                id: *id,
                address: address.clone(),
                voter: self.members.voters.contains(id),
                matched,
                lag: matched.map(|matched| last.saturating_sub(matched)),
                last_contact: heard.map(|heard| now.since(heard)),
            }
        };
        self.members.addresses.iter().map(one).collect()
    }
}
