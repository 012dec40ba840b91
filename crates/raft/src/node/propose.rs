//! Proposals: ours to the leader, others' to us.

use bellwether_core::Instant;

use super::Node;
use crate::frame::{Kind, ProposeBody};
use crate::member::Change;
use crate::proposal::{DropReason, Due, RefuseBody, Tag};

impl Node {
    /// Proposes something. The outcome comes with `token`, within the time that the settings give: out of
    /// [`poll_committed`](Self::poll_committed) if it was committed, out of [`poll_dropped`](Self::poll_dropped) if not.
    /// Which member leads does not matter.
    pub fn propose(&mut self, now: Instant, payload: Vec<u8>, token: u64) {
        self.advance(now);
        self.proposals.add(payload, false, token, self.now);
        self.finish();
    }

    /// Asks for a change of the members. The outcome comes like that of a proposal.
    pub fn change(&mut self, now: Instant, change: &Change, token: u64) {
        self.advance(now);
        self.proposals.add(change.encode(), true, token, self.now);
        self.finish();
    }

    /// Gives the leader what is due, if there is one.
    pub(super) fn flush(&mut self) {
        let (leader, term) = (self.leader(), self.term());
        if leader == raft::INVALID_ID {
            return;
        }
        let session = self.proposals.session;
        for number in self.proposals.due(term, self.now) {
            let Some(due) = self.proposals.send(number, term, self.now) else {
                continue;
            };
            let Due {
                number,
                payload,
                change,
            } = due;
            let body = ProposeBody {
                term,
                session,
                number,
                change,
                payload: &payload,
            };
            if leader != self.settings.id {
                self.send(leader, Kind::Propose, &body.encode());
            } else if let Err(reason) = self.append(self.settings.id, &body) {
                self.refused(number, term, reason);
            }
        }
    }

    /// A member wants something appended.
    pub(super) fn take_proposal(&mut self, from: u64, body: &ProposeBody<'_>) {
        if let Err(reason) = self.append(from, body) {
            let refuse = RefuseBody {
                term: body.term,
                session: body.session,
                number: body.number,
                reason,
            };
            self.send(from, Kind::Refuse, &refuse.encode());
        }
    }

    pub(super) fn take_refusal(&mut self, body: RefuseBody) {
        if body.session == self.proposals.session {
            self.refused(body.number, body.term, body.reason);
        }
    }

    fn refused(&mut self, number: u64, term: u64, reason: DropReason) {
        // The next heartbeat shows whether anything has changed.
        let retry_at = self.now + self.settings.heartbeat;
        self.proposals.refused(number, term, reason, retry_at);
    }

    /// Appends something, unless it is there already. A refusal is certain: it will never be committed.
    fn append(&mut self, origin: u64, body: &ProposeBody<'_>) -> Result<(), DropReason> {
        let (own, term) = (self.settings.id, self.term());
        if !self.is_leader() || body.term != term {
            // Perhaps it was taken before, in another term or in another run. A refusal would say that it was not.
            return Ok(());
        }
        let tag = Tag {
            origin,
            session: body.session,
            number: body.number,
        };
        if self.taken.knows(tag) {
            return Ok(());
        }
        // Also if it is refused: another copy of it may be under way.
        self.taken.note(tag);
        if self.raw.raft.lead_transferee.is_some() || self.lease.is_void() {
            return Err(DropReason::NoLeader);
        }
        if self.lease.is_lonely(own, &self.members, self.now) {
            return Err(DropReason::NoMajority);
        }
        let proposed = if body.change {
            let change = self.check_change(body.payload)?;
            let change = self.members.raft_change(&change);
            self.raw.propose_conf_change(tag.encode(), change)
        } else {
            self.raw.propose(tag.encode(), body.payload.to_vec())
        };
        // The one reason left: too much is uncommitted.
        proposed.map_err(|_| DropReason::Busy)
    }

    fn check_change(&self, payload: &[u8]) -> Result<Change, DropReason> {
        let bad = |problem: String| DropReason::BadChange { problem };
        let change = Change::decode(payload).map_err(|error| bad(error.to_string()))?;
        // raft would make an empty entry of it, without a word.
        if self.raw.raft.has_pending_conf() || self.members.is_joint() {
            return Err(DropReason::ChangePending);
        }
        let checked = self.members.check(&change, self.settings.id, |id| self.hears(id));
        checked.map_err(|error| bad(error.to_string()))?;
        Ok(change)
    }
}
