//! Who the members are: voters, learners, the addresses of all, and what changes them.
//!
//! `raft` keeps the sets of ids; addresses, and who is to take whose place, are ours. They travel in the context of
//! conf change entries and at the head of snapshots, so that every member has the same list at the same index.

use std::collections::{BTreeMap, BTreeSet};

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use crate::check::MAX_NUMBER;
use crate::codec::{CodecError, Reader, put_bytes, put_len};
use crate::settings::{MAX_ADDRESS_LEN, MAX_MEMBERS};

/// A change of the members that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add a member. It starts as a learner and becomes a voter by itself once it has caught up.
    Add {
        /// Its id: greater than any that was ever used.
        id: u64,
        /// Where it is to be reached.
        address: String,
    },
    /// Add a member that takes the place of another: when it has caught up, it becomes a voter and the other goes, in
    /// one step that needs a majority of both the old and the new voters. The leader can be replaced too.
    Replace {
        /// Who goes.
        old: u64,
        /// Who comes.
        id: u64,
        /// Where the new one is to be reached.
        address: String,
    },
    /// Remove a member.
    Remove {
        /// Who goes.
        id: u64,
    },
    /// Tell a new address of a member.
    Move {
        /// Which.
        id: u64,
        /// Where it is to be reached now.
        address: String,
    },
}

/// Why a change of the members was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// 0 means nobody.
    #[error("0 is no member id")]
    ZeroId,
    /// No number of raft's may get so large.
    #[error("member id {id} is too large, {MAX_NUMBER} is the highest")]
    HugeId {
        /// The id.
        id: u64,
    },
    /// Ids are never used again: the votes of the earlier bearer may still be under way.
    #[error("member id {id} was used before; take one above {highest}")]
    UsedId {
        /// The id.
        id: u64,
        /// The highest id so far.
        highest: u64,
    },
    /// There is no such member.
    #[error("there is no member {id}")]
    Unknown {
        /// The id.
        id: u64,
    },
    /// No voter would be left.
    #[error("member {id} is the last voter")]
    LastVoter {
        /// The id.
        id: u64,
    },
    /// It leads: somebody else must lead first.
    #[error("member {id} is the leader: transfer the leadership first")]
    Leads {
        /// The id.
        id: u64,
    },
    /// Too few of those who would be left are in reach: nothing could be decided any more, this change not undone either.
    #[error(
        "without member {id} no majority would be in reach: bring the silent ones back, or remove them first"
    )]
    NoMajorityLeft {
        /// Who was to go.
        id: u64,
    },
    /// Too many members.
    #[error("there are {MAX_MEMBERS} members already")]
    TooMany,
    /// Another member is at this address: whoever is sent to one of them would reach the other.
    #[error("member {by} is at that address already")]
    TakenAddress {
        /// Whose it is.
        by: u64,
    },
    /// An address is empty or too long.
    #[error("the address has {len} bytes, 1 to {MAX_ADDRESS_LEN} are taken")]
    Address {
        /// Its length.
        len: usize,
    },
}

/// The members as of some index of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The index of the entry that made them so.
    pub index: u64,
    /// Who votes.
    pub voters: BTreeSet<u64>,
    /// Who votes as well while one member replaces another.
    pub outgoing: BTreeSet<u64>,
    /// Who only follows, until it has caught up.
    pub learners: BTreeSet<u64>,
    /// Where each is to be reached.
    pub addresses: BTreeMap<u64, String>,
    /// Which learner is to take whose place.
    pub replaces: BTreeMap<u64, u64>,
    /// The highest id ever used.
    pub highest: u64,
    /// Which log this is, by the ids of those with whom it began; 0 where that is not known yet.
    pub log: u64,
}

impl Members {
    /// The members at the start of a group, all of them voters.
    ///
    /// # Errors
    ///
    /// The set is empty or too large, or has the id 0 or an unusable address.
    pub fn founding(members: &BTreeMap<u64, String>) -> Result<Self, BadChange> {
        if members.len() > MAX_MEMBERS {
            return Err(BadChange::TooMany);
        }
        if members.contains_key(&0) {
            return Err(BadChange::ZeroId);
        }
        for address in members.values() {
            check_address(address)?;
        }
        let highest = members.last_key_value().map(|(id, _)| *id);
        if let Some(id) = highest.filter(|id| *id > MAX_NUMBER) {
            return Err(BadChange::HugeId { id });
        }
        Ok(Self {
            index: 0,
            voters: members.keys().copied().collect(),
            addresses: members.clone(),
            highest: highest.ok_or(BadChange::LastVoter { id: 0 })?,
            log: mark(members),
            ..Self::default()
        })
    }

    /// Whether it is a voter or a learner.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.addresses.contains_key(&id)
    }

    /// Whether nothing is known of anybody: the member is yet to be told by a leader.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(crate) fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Looks whether a change makes sense now. `hears` tells who is in reach of the leader.
    pub(crate) fn check(
        &self,
        change: &Change,
        leader: u64,
        hears: impl Fn(u64) -> bool,
    ) -> Result<(), BadChange> {
        let known = |id: u64| self.contains(id).then_some(()).ok_or(BadChange::Unknown { id });
        match change {
            Change::Add { id, address } => {
                self.check_new(*id, address)?;
                self.check_free(address, *id)
            }
            Change::Replace { old, id, address } => {
                // If it leads when the time has come, it hands over by itself.
                known(*old)?;
                self.check_new(*id, address)?;
                self.check_free(address, *old)
            }
            Change::Remove { id } => {
                known(*id)?;
                if *id == leader {
                    return Err(BadChange::Leads { id: *id });
                }
                if self.voters.contains(id) && self.voters.len() == 1 {
                    return Err(BadChange::LastVoter { id: *id });
                }
                let left = self.voters.iter().filter(|voter| *voter != id);
                let (count, near) = left.fold((0, 0), |(count, near), voter| {
                    let is_near = *voter == leader || hears(*voter);
                    (count + 1, near + usize::from(is_near))
                });
                if self.voters.contains(id) && near <= count / 2 {
                    return Err(BadChange::NoMajorityLeft { id: *id });
                }
                Ok(())
            }
            Change::Move { id, address } => {
                known(*id)?;
                check_address(address)?;
                self.check_free(address, *id)
            }
        }
    }

    /// Refuses an address at which another member is than `whose`.
    fn check_free(&self, address: &str, whose: u64) -> Result<(), BadChange> {
        let mut others = self.addresses.iter().filter(|(id, _)| **id != whose);
        let by = others.find(|(_, taken)| *taken == address);
        by.map_or(Ok(()), |(by, _)| Err(BadChange::TakenAddress { by: *by }))
    }

    fn check_new(&self, id: u64, address: &str) -> Result<(), BadChange> {
        if id == 0 {
            return Err(BadChange::ZeroId);
        }
        if id > MAX_NUMBER {
            return Err(BadChange::HugeId { id });
        }
        if id <= self.highest {
            let highest = self.highest;
            return Err(BadChange::UsedId { id, highest });
        }
        if self.addresses.len() >= MAX_MEMBERS {
            return Err(BadChange::TooMany);
        }
        check_address(address)
    }

    /// How `raft` calls a change.
    pub(crate) fn raft_change(&self, change: &Change) -> ConfChangeV2 {
        let single = match change {
            Change::Add { id, .. } | Change::Replace { id, .. } => (*id, ConfChangeType::AddLearnerNode),
            Change::Remove { id } => (*id, ConfChangeType::RemoveNode),
            // Making a voter of a voter changes nothing but is an entry, and that carries the address.
            Change::Move { id, .. } if self.learners.contains(id) => (*id, ConfChangeType::AddLearnerNode),
            Change::Move { id, .. } => (*id, ConfChangeType::AddNode),
        };
        let mut raft = conf_change(&[single]);
        raft.context = change.encode().into();
        raft
    }

    /// The change that makes a voter of a learner, in place of another member if that was asked for.
    pub(crate) fn promotion(&self, id: u64) -> ConfChangeV2 {
        match self.replaces.get(&id).filter(|old| self.contains(**old)) {
            None => conf_change(&[(id, ConfChangeType::AddNode)]),
            Some(&old) => {
                let mut raft =
                    conf_change(&[(id, ConfChangeType::AddNode), (old, ConfChangeType::RemoveNode)]);
                raft.set_transition(ConfChangeTransition::Implicit);
                raft
            }
        }
    }

    /// Takes over a change that was committed at `index`, after which the sets are `state`.
    pub(crate) fn apply(&mut self, index: u64, change: Option<Change>, state: &ConfState) {
        match change {
            Some(Change::Add { id, address } | Change::Move { id, address }) => {
                self.addresses.insert(id, address);
            }
            Some(Change::Replace { old, id, address }) => {
                self.addresses.insert(id, address);
                self.replaces.insert(id, old);
            }
            Some(Change::Remove { .. }) | None => {}
        }
        self.index = index;
        self.take_sets(state);
        let ids: BTreeSet<u64> = self.ids().collect();
        self.addresses.retain(|id, _| ids.contains(id));
        self.replaces
            .retain(|id, old| self.learners.contains(id) && self.addresses.contains_key(old));
        self.highest = ids.last().copied().unwrap_or(0).max(self.highest);
    }

    fn take_sets(&mut self, state: &ConfState) {
        self.voters = state.voters.iter().copied().collect();
        self.outgoing = state.voters_outgoing.iter().copied().collect();
        self.learners = state
            .learners
            .iter()
            .chain(&state.learners_next)
            .copied()
            .collect();
    }

    fn ids(&self) -> impl Iterator<Item = u64> {
        let voters = self.voters.iter().chain(&self.outgoing);
        voters.chain(&self.learners).copied()
    }

    /// The sets as `raft` wants them. We never demote a voter, so `learners_next` is always empty.
    pub(crate) fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.iter().copied().collect(),
            learners: self.learners.iter().copied().collect(),
            voters_outgoing: self.outgoing.iter().copied().collect(),
            auto_leave: self.is_joint(),
            ..ConfState::default()
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.highest.to_be_bytes());
        out.extend_from_slice(&self.log.to_be_bytes());
        put_len(&mut out, self.addresses.len());
        for (id, address) in &self.addresses {
            let flag = |set: &BTreeSet<u64>, bit: u8| u8::from(set.contains(id)) << bit;
            out.extend_from_slice(&id.to_be_bytes());
            out.push(flag(&self.voters, 0) | flag(&self.outgoing, 1) | flag(&self.learners, 2));
            let replaces = self.replaces.get(id).copied().unwrap_or(0);
            out.extend_from_slice(&replaces.to_be_bytes());
            put_bytes(&mut out, address.as_bytes());
        }
        out
    }

    /// Reads what [`encode`](Self::encode) has written, and makes sure that `raft` can work with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let mut members = Self {
            index: reader.u64("index of the members")?,
            highest: reader.u64("highest member id")?,
            log: reader.u64("mark of the log")?,
            ..Self::default()
        };
        for _ in 0..reader.len("number of members", MAX_MEMBERS)? {
            let id = reader.u64("member id")?;
            let roles = reader.u8("role of a member")?;
            let replaces = reader.u64("replaced member")?;
            let address = reader.text("address of a member", MAX_ADDRESS_LEN)?;
            let wrong = |what, value| Err(CodecError::Value { what, value });
            if id == 0 || id > members.highest {
                return wrong("member id", id);
            }
            // A learner is nothing else; everybody is something.
            if !matches!(roles, 1..=4) {
                return wrong("role of a member", roles.into());
            }
            if members.addresses.insert(id, address).is_some() {
                return wrong("doubled member id", id);
            }
            for (bit, set) in [&mut members.voters, &mut members.outgoing, &mut members.learners]
                .into_iter()
                .enumerate()
            {
                if roles & (1 << bit) != 0 {
                    set.insert(id);
                }
            }
            if replaces != 0 {
                members.replaces.insert(id, replaces);
            }
        }
        if members.voters.is_empty() {
            return Err(CodecError::Value {
                what: "number of voters",
                value: 0,
            });
        }
        reader.end("members")?;
        Ok(members)
    }
}

impl Change {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, id, old, address) = match self {
            Self::Add { id, address } => (1, *id, 0, address.as_str()),
            Self::Replace { old, id, address } => (2, *id, *old, address.as_str()),
            Self::Remove { id } => (3, *id, 0, ""),
            Self::Move { id, address } => (4, *id, 0, address.as_str()),
        };
        let mut out = vec![kind];
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&old.to_be_bytes());
        put_bytes(&mut out, address.as_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8("kind of change")?;
        let id = reader.u64("member id")?;
        let old = reader.u64("replaced member")?;
        let address = reader.text("address of a member", MAX_ADDRESS_LEN)?;
        reader.end("change of the members")?;
        Ok(match kind {
            1 => Self::Add { id, address },
            2 => Self::Replace { old, id, address },
            3 => Self::Remove { id },
            4 => Self::Move { id, address },
            value => {
                return Err(CodecError::Value {
                    what: "kind of change",
                    value: value.into(),
                });
            }
        })
    }
}

/// What tells logs apart that began with different members, or with the same ones elsewhere: FNV-1a, and never 0.
fn mark(founders: &BTreeMap<u64, String>) -> u64 {
    // No address has the byte that ends each.
    let bytes = founders.iter().flat_map(|(id, address)| {
        let id = id.to_be_bytes().into_iter();
        id.chain(address.bytes()).chain([0xff])
    });
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

const fn check_address(address: &str) -> Result<(), BadChange> {
    match address.len() {
        1..=MAX_ADDRESS_LEN => Ok(()),
        len => Err(BadChange::Address { len }),
    }
}

fn conf_change(singles: &[(u64, ConfChangeType)]) -> ConfChangeV2 {
    let mut raft = ConfChangeV2::default();
    for &(id, kind) in singles {
        let mut single = ConfChangeSingle {
            node_id: id,
            ..ConfChangeSingle::default()
        };
        single.set_change_type(kind);
        raft.changes.push(single);
    }
    raft
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Members {
        let list = [(1, "a:1"), (2, "b:1"), (3, "c:1")];
        let list = list.map(|(id, address)| (id, address.to_owned()));
        Members::founding(&list.into()).unwrap()
    }

    #[test]
    fn members_come_through() {
        let mut members = three();
        let change = Change::Replace {
            old: 3,
            id: 4,
            address: "d:1".to_owned(),
        };
        assert_eq!(Change::decode(&change.encode()), Ok(change.clone()));
        let mut state = members.conf_state();
        state.learners.push(4);
        members.apply(9, Some(change), &state);
        assert_eq!((members.index, members.highest, members.replaces[&4]), (9, 4, 3));
        assert_eq!(Members::decode(&members.encode()), Ok(members));
    }

    #[test]
    fn a_log_is_told_by_those_with_whom_it_began() {
        let of = |host: &str, ids: &[u64]| {
            let list = ids.iter().map(|id| (*id, format!("{host}:{id}")));
            Members::founding(&list.collect()).unwrap().log
        };
        assert_eq!(of("h", &[1, 2, 3]), of("h", &[1, 2, 3]));
        let all = [
            of("h", &[1, 2, 3]),
            of("h", &[1, 2]),
            of("h", &[1, 2, 4]),
            of("h", &[3]),
            of("h", &[1, 2, 3, 4]),
            of("i", &[1, 2, 3]),
        ];
        let distinct: BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn unusable_changes_are_refused() {
        let members = three();
        let add = |id, address: &str| Change::Add {
            id,
            address: address.to_owned(),
        };
        let check = |change| members.check(&change, 1, |_| true);
        assert_eq!(check(add(4, "d:1")), Ok(()));
        assert_eq!(check(add(0, "d:1")), Err(BadChange::ZeroId));
        assert_eq!(check(add(3, "d:1")), Err(BadChange::UsedId { id: 3, highest: 3 }));
        let id = u64::MAX;
        assert_eq!(check(add(id, "d:1")), Err(BadChange::HugeId { id }));
        assert_eq!(check(add(4, "")), Err(BadChange::Address { len: 0 }));
        assert_eq!(check(Change::Remove { id: 9 }), Err(BadChange::Unknown { id: 9 }));
        assert_eq!(check(Change::Remove { id: 1 }), Err(BadChange::Leads { id: 1 }));
        assert_eq!(check(Change::Remove { id: 2 }), Ok(()));
    }

    #[test]
    fn an_address_has_one_member() {
        let members = three();
        let taken = Err(BadChange::TakenAddress { by: 2 });
        let address = "b:1".to_owned();
        let add = |address| Change::Add { id: 4, address };
        let replace = |old, address| Change::Replace { old, id: 4, address };
        let to = |id, address| Change::Move { id, address };
        assert_eq!(members.check(&add(address.clone()), 1, |_| true), taken);
        assert_eq!(members.check(&to(3, address.clone()), 1, |_| true), taken);
        assert_eq!(members.check(&replace(3, address.clone()), 1, |_| true), taken);
        // The machine of a member that is gone, and a move that was said already.
        assert_eq!(members.check(&replace(2, address.clone()), 1, |_| true), Ok(()));
        assert_eq!(members.check(&to(2, address), 1, |_| true), Ok(()));
    }

    #[test]
    fn damaged_lists_are_refused() {
        /// Where the role of the first member lies.
        const ROLE: usize = 36;
        let bytes = three().encode();
        for len in 0..bytes.len() {
            assert!(Members::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        let mut no_role = bytes.clone();
        no_role[ROLE] = 0;
        assert!(Members::decode(&no_role).is_err());
        let mut voter_and_learner = bytes;
        voter_and_learner[ROLE] = 5;
        assert!(Members::decode(&voter_and_learner).is_err());
    }
}
