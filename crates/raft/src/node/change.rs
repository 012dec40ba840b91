//! The members: learners become voters, replaced ones go, leadership is handed over, and who has missed all that is
//! told.

use bellwether_core::Instant;
use raft::eraftpb::ConfChangeV2;

use super::Node;
use crate::frame::Kind;
use crate::member::Members;
use crate::restore::FOUNDING;

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This member does not lead.
    #[error("this member does not lead, member {leader} does")]
    NotLeader {
        /// Who does.
        leader: u64,
    },
    /// Nobody does, as far as this member knows.
    #[error("no member is known to lead")]
    NoLeader,
    /// There is no such voter.
    #[error("member {id} is no other voter")]
    NoVoter {
        /// The id.
        id: u64,
    },
    /// It was not heard of lately: the lead would be given up for nothing.
    #[error("member {id} is not in reach")]
    OutOfReach {
        /// The id.
        id: u64,
    },
    /// No other voter was heard of lately.
    #[error("no other voter is in reach")]
    Nobody,
}

impl Node {
    /// Hands the leadership over, to `to` or to whoever is furthest ahead. Either another member leads soon, or this
    /// one stops leading when the least election timeout is over: it cannot take the offer back.
    ///
    /// # Errors
    ///
    /// There is nothing to hand over, or nobody to hand it to.
    pub fn transfer(&mut self, now: Instant, to: Option<u64>) -> Result<(), TransferError> {
        self.advance(now);
        if !self.is_leader() {
            return Err(match self.leader() {
                0 => TransferError::NoLeader,
                leader => TransferError::NotLeader { leader },
            });
        }
        let own = self.settings.id;
        let to = match to {
            Some(id) if id == own || !self.members.voters.contains(&id) => {
                return Err(TransferError::NoVoter { id });
            }
            Some(id) if !self.hears(id) => return Err(TransferError::OutOfReach { id }),
            Some(id) => id,
            None => self.successor().ok_or(TransferError::Nobody)?,
        };
        self.raw.transfer_leader(to);
        self.finish();
        Ok(())
    }

    fn successor(&self) -> Option<u64> {
        let others = self.members.voters.iter().filter(|id| **id != self.settings.id);
        let near = others.filter(|id| self.hears(**id));
        let matched = |id: &u64| self.raw.raft.prs().get(*id).map(|progress| progress.matched);
        near.copied().max_by_key(matched)
    }

    /// What a leader does for its members by itself.
    pub(super) fn tend_members(&mut self) {
        self.tell_silent();
        let raft = &self.raw.raft;
        if !self.is_leader() || raft.has_pending_conf() || raft.lead_transferee.is_some() {
            return;
        }
        let change = if self.members.is_joint() {
            // raft leaves by itself, unless the leadership changed hands in between.
            Some(ConfChangeV2::default())
        } else {
            let caught_up = self
                .members
                .learners
                .iter()
                .find(|id| self.has_caught_up(**id))
                .copied();
            if caught_up.is_some_and(|id| self.members.replaces.get(&id) == Some(&self.settings.id))
                && let Some(to) = self.successor()
            {
                // The entry that removes us would end our leading. The next leader will make it.
                self.raw.transfer_leader(to);
                return;
            }
            caught_up.map(|id| self.members.promotion(id))
        };
        if let Some(change) = change {
            // Too much is uncommitted, or we are about to lose the leadership: later, or the next leader will.
            let _ = self.raw.propose_conf_change(Vec::new(), change);
        }
    }

    /// A member that slept while members changed may have nobody to answer to, or look for its leader where that was: it is
    /// told who they are, by who leads, and by all while nobody does.
    fn tell_silent(&mut self) {
        let (leads, leader, own) = (self.is_leader(), self.leader(), self.settings.id);
        if self.members.index <= FOUNDING || self.is_removed() || (!leads && leader != raft::INVALID_ID) {
            return;
        }
        let since = self.members.index;
        let progress = |id: u64| self.raw.raft.prs().get(id);
        let lacks = |id: u64| progress(id).is_some_and(|progress| progress.matched < since);
        let is_silent = |id: &&u64| **id != own && !self.hears(**id) && (!leads || lacks(**id));
        // Who has no vote yet may wait to be told everything, and takes that from whoever leads.
        let silent: Vec<u64> = self.members.voters.iter().filter(is_silent).copied().collect();
        for id in silent {
            self.tell_members(id);
        }
    }

    fn has_caught_up(&self, id: u64) -> bool {
        let committed = self.raw.raft.raft_log.committed;
        let progress = self.raw.raft.prs().get(id);
        self.hears(id) && progress.is_some_and(|progress| progress.matched >= committed)
    }

    /// Tells a member that is out of touch who the members are, at most once in an election timeout.
    pub(super) fn tell_members(&mut self, to: u64) {
        let (now, pause) = (self.now, self.settings.election_min);
        if self.members.is_empty() {
            return;
        }
        if self.told.get(&to).is_some_and(|told| now.since(*told) < pause) {
            return;
        }
        // Ids up to the highest ever used can get here, and so many may have been removed.
        if !self.members.contains(to) {
            self.told.retain(|_, told| now.since(*told) < pause);
        }
        self.told.insert(to, now);
        let body = self.members.encode();
        self.send(to, Kind::Members, &body);
    }

    pub(super) fn take_hearsay(&mut self, from: u64, members: Members) {
        if members.index < self.members.index {
            self.tell_members(from);
        }
        // Where it is itself a member may say; where others are, only those.
        let known = self.members.addresses.get(&from);
        let told = members.addresses.get(&from);
        if let Some(address) = told.filter(|told| members.index > self.members.index && known != Some(*told))
            && known.is_some()
        {
            let place = (members.index, address.clone());
            let before = self.moved.insert(from, place.clone());
            self.news += u64::from(before.is_none_or(|before| before != place));
        }
        let known = self.hearsay.as_ref().unwrap_or(&self.members);
        if members.index > known.index {
            self.hearsay = Some(members);
            self.news += 1;
        }
    }
}
