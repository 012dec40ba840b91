//! What must hold whatever happens.

use std::collections::BTreeMap;

use bellwether_raft::{FRAME_HEADER_LEN, Role, Status};
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

use super::Disk;

#[derive(Debug, Default)]
pub(crate) struct Invariants {
    /// Who led in each term.
    leaders: BTreeMap<u64, u64>,
    /// What was committed, by anybody.
    log: BTreeMap<u64, (u64, String)>,
    /// How far each member has applied since its start.
    applied: BTreeMap<u64, u64>,
}

impl Invariants {
    /// One leader a term.
    pub(crate) fn role(&mut self, id: u64, status: &Status) {
        if status.role == Role::Leader {
            let leader = *self.leaders.entry(status.term).or_insert(id);
            assert_eq!(leader, id, "two leaders in term {}", status.term);
        }
    }

    /// Durable before visible: terms, votes and acknowledgements are on disk when they are told.
    pub(crate) fn sent(id: u64, frame: &[u8], disk: &Disk) {
        let is_raft = matches!(frame[5], 1 | 2);
        let body = &frame[FRAME_HEADER_LEN..frame.len() - 4];
        let Some(message) = is_raft.then(|| Message::parse_from_bytes(body).expect("a message")) else {
            return;
        };
        let (term, vote, last) = disk.durable();
        match message.get_msg_type() {
            // Asking costs nothing.
            MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse => return,
            // One write may hold two terms; that of the older needs no vote any more.
            MessageType::MsgRequestVote if message.term == term => {
                assert_eq!(vote, id, "n{id} asks for votes")
            }
            MessageType::MsgRequestVoteResponse if !message.reject && message.term == term => {
                assert_eq!(vote, message.to, "n{id} votes");
            }
            MessageType::MsgAppendResponse if !message.reject && message.term == term => {
                assert!(
                    message.index <= last,
                    "n{id} acknowledges {}, has {last}",
                    message.index
                );
            }
            _ => {}
        }
        assert!(
            message.term <= term,
            "n{id} speaks in term {}, has {term}",
            message.term
        );
    }

    /// Entries come in order, and are the same everywhere.
    pub(crate) fn committed(&mut self, id: u64, index: u64, term: u64, text: &str) {
        let applied = self.applied.entry(id).or_default();
        assert!(index > *applied, "n{id} applies {index} after {applied}");
        *applied = index;
        let known = self.log.entry(index).or_insert_with(|| (term, text.to_owned()));
        assert_eq!(
            (known.0, known.1.as_str()),
            (term, text),
            "n{id} differs at {index}"
        );
    }

    /// A snapshot holds exactly what was committed up to its index.
    pub(crate) fn installed(&mut self, id: u64, index: u64, state: &[String]) {
        let applied = self.applied.entry(id).or_default();
        assert!(index >= *applied, "n{id} goes back from {applied} to {index}");
        *applied = index;
        let committed = self.log.range(..=index).map(|(_, (_, text))| text);
        assert!(committed.eq(state), "n{id} begins at {index} with {state:?}");
    }

    /// What was committed, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.log.values().map(|(_, text)| text.as_str())
    }

    pub(crate) fn forgot(&mut self, id: u64) {
        self.applied.remove(&id);
    }
}
