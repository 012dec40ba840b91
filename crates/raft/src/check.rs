//! What stands before `raft::RawNode::step`. raft trusts its caller: a message that a healthy member would never send
//! can stop it for good, make a stranger its leader, or undo what was committed. So everything that raft takes for
//! granted is looked at here, and the message refused while nothing has happened yet.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType};

use crate::codec::CodecError;
use crate::log::{Log, unpack_snapshot};
use crate::member::Change;
use crate::settings::Readable;

/// No number of raft's gets near this, and from here it is far to where adding one overflows.
pub(crate) const MAX_NUMBER: u64 = 1 << 60;

/// What marks the vote request of a member to which the leadership is being transferred. raft's own word.
pub(crate) const TRANSFER: &[u8] = b"CampaignTransfer";

/// How a message contradicts itself, or what is certain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Its kind is for use within one member, or not used at all.
    #[error("{kind} does not travel")]
    Kind {
        /// raft's name for it.
        kind: String,
    },
    /// It names another sender or receiver than its frame.
    #[error("a message from {from} to {to} in another's frame")]
    Ends {
        /// The sender in it.
        from: u64,
        /// The receiver in it.
        to: u64,
    },
    /// A number in it is absurd.
    #[error("{what} is {value}")]
    Number {
        /// Which.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// It carries something that messages of its kind do not have.
    #[error("{kind} with {what}")]
    Extra {
        /// raft's name for it.
        kind: String,
        /// What it carries.
        what: &'static str,
    },
    /// Its entries do not follow each other.
    #[error("entry {index} of term {term} cannot follow there")]
    Order {
        /// The index of the first that does not.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// What an entry, or a snapshot, holds for the caller is nothing that the caller could read.
    #[error("what is at {index} cannot be read: {problem}")]
    Payload {
        /// The index.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// An entry changes the members in a way that cannot be read.
    #[error("entry {index} holds an unreadable change of the members")]
    Change {
        /// Its index.
        index: u64,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// A snapshot cannot be read.
    #[error("unreadable snapshot")]
    Snapshot(#[source] CodecError),
    /// It would overwrite what is committed. One of the two has lost its log, or two groups use one cluster id.
    #[error("entry {index} is committed here in term {ours}, and of term {theirs} there")]
    Committed {
        /// Its index.
        index: u64,
        /// Its term here.
        ours: u64,
        /// Its term there.
        theirs: u64,
    },
    /// The leader believes that we hold more than we do: this member has lost the end of its log, and must not go on
    /// under its old id.
    #[error("the leader believes that our log reaches {theirs}, it ends at {ours}")]
    LostLog {
        /// Where our log ends.
        ours: u64,
        /// What the leader believes.
        theirs: u64,
    },
    /// A member that knows nothing is sent a state in which it votes already. It must have lost its disk, and with it
    /// what it promised; it may only come back under a new id.
    #[error("member {id} votes already, but has nothing on its disk: it must come back under a new id")]
    LostDisk {
        /// Who we are.
        id: u64,
    },
    /// It acknowledges entries that do not exist.
    #[error("entry {theirs} is acknowledged, the log ends at {ours}")]
    AckBeyond {
        /// Where our log ends.
        ours: u64,
        /// What is acknowledged.
        theirs: u64,
    },
    /// Two members lead in one term.
    #[error("member {from} leads in term {term}, and so does member {leader}")]
    SecondLeader {
        /// The sender.
        from: u64,
        /// The term.
        term: u64,
        /// Who leads as far as we know.
        leader: u64,
    },
}

/// What is certain at this member.
#[derive(Debug)]
pub(crate) struct Certain<'a> {
    pub(crate) id: u64,
    pub(crate) term: u64,
    /// Who leads in that term; 0 if nobody is known.
    pub(crate) leader: u64,
    pub(crate) committed: u64,
    pub(crate) last: u64,
    pub(crate) log: &'a Log,
    /// What the caller can make sense of.
    pub(crate) readable: Readable,
}

/// Looks at a message that member `from` sent.
pub(crate) fn check(message: &Message, from: u64, certain: &Certain<'_>) -> Result<(), Unsound> {
    check_form(message, from, certain.id)?;
    check_entries(message, certain.readable)?;
    // raft ignores messages of an older term, or answers them with the newer one.
    if message.term < certain.term {
        return Ok(());
    }
    let same_term = message.term == certain.term;
    let leads = same_term && certain.leader == certain.id;
    match message.get_msg_type() {
        MessageType::MsgAppend
        | MessageType::MsgHeartbeat
        | MessageType::MsgSnapshot
        | MessageType::MsgTimeoutNow
            if same_term && certain.leader != 0 && certain.leader != from =>
        {
            Err(Unsound::SecondLeader {
                from,
                term: certain.term,
                leader: certain.leader,
            })
        }
        MessageType::MsgHeartbeat if message.commit > certain.last => Err(Unsound::LostLog {
            ours: certain.last,
            theirs: message.commit,
        }),
        MessageType::MsgAppend => check_committed(message, certain),
        // Members are made voters when they have caught up, so nobody is sent a first snapshot as one.
        MessageType::MsgSnapshot if certain.last == 0 && names_voter(message, certain.id) => {
            Err(Unsound::LostDisk { id: certain.id })
        }
        MessageType::MsgAppendResponse if leads && !message.reject && message.index > certain.last => {
            Err(Unsound::AckBeyond {
                ours: certain.last,
                theirs: message.index,
            })
        }
        _ => Ok(()),
    }
}

/// Everything that can be said without knowing more than the message.
fn check_form(message: &Message, from: u64, own: u64) -> Result<(), Unsound> {
    let kind = message.get_msg_type();
    let name = || format!("{kind:?}");
    if (message.from, message.to) != (from, own) {
        let (from, to) = (message.from, message.to);
        return Err(Unsound::Ends { from, to });
    }
    let vote = matches!(kind, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
    let travels = vote
        || matches!(
            kind,
            MessageType::MsgAppend
                | MessageType::MsgAppendResponse
                | MessageType::MsgRequestVoteResponse
                | MessageType::MsgRequestPreVoteResponse
                | MessageType::MsgSnapshot
                | MessageType::MsgHeartbeat
                | MessageType::MsgHeartbeatResponse
                | MessageType::MsgTimeoutNow
        );
    if !travels {
        return Err(Unsound::Kind { kind: name() });
    }
    // Term 0 is raft's mark of what never left the member.
    if message.term == 0 {
        let (what, value) = ("the term", 0);
        return Err(Unsound::Number { what, value });
    }
    for (what, value) in [
        ("the term", message.term),
        ("the term of an entry", message.log_term),
        ("an index", message.index),
        ("the committed index", message.commit),
        ("the term of the committed index", message.commit_term),
        ("the hint of a rejection", message.reject_hint),
    ] {
        if value > MAX_NUMBER {
            return Err(Unsound::Number { what, value });
        }
    }
    let extra = |what| Err(Unsound::Extra { kind: name(), what });
    if !message.entries.is_empty() && kind != MessageType::MsgAppend {
        return extra("entries");
    }
    if message.has_snapshot() && kind != MessageType::MsgSnapshot {
        return extra("a snapshot");
    }
    if !(message.context.is_empty() || vote && *message.context == *TRANSFER) {
        return extra("a context");
    }
    if message.request_snapshot != 0 {
        return extra("a request for a snapshot");
    }
    if message.priority != 0 || message.deprecated_priority != 0 {
        return extra("a priority");
    }
    Ok(())
}

fn check_entries(message: &Message, readable: Readable) -> Result<(), Unsound> {
    if message.get_msg_type() == MessageType::MsgSnapshot {
        let meta = message.get_snapshot().get_metadata();
        let (index, term) = (meta.index, meta.term);
        if index == 0 || index > MAX_NUMBER || term == 0 || term > message.term {
            return Err(Unsound::Order { index, term });
        }
        let (_, state) = unpack_snapshot(message.get_snapshot()).map_err(Unsound::Snapshot)?;
        return (readable.state)(state).map_err(|problem| Unsound::Payload { index, problem });
    }
    let (mut index, mut term) = (message.index, message.log_term);
    // raft says that entries beyond its log are of term 0, and would take this for the end of it.
    if message.get_msg_type() == MessageType::MsgAppend && (index == 0) != (term == 0) {
        return Err(Unsound::Order { index, term });
    }
    for entry in &message.entries {
        index += 1;
        // Every log begins with a snapshot, so nothing can be appended to an empty one.
        if entry.index != index || index == 1 || entry.term < term.max(1) || entry.term > message.term {
            let (index, term) = (entry.index, entry.term);
            return Err(Unsound::Order { index, term });
        }
        term = entry.term;
        check_change(entry).map_err(|source| Unsound::Change { index, source })?;
        if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
            (readable.proposal)(&entry.data).map_err(|problem| Unsound::Payload { index, problem })?;
        }
    }
    Ok(())
}

fn names_voter(message: &Message, id: u64) -> bool {
    let state = message.get_snapshot().get_metadata().get_conf_state();
    state.voters.contains(&id) || state.voters_outgoing.contains(&id)
}

/// An append must agree with everything that is committed here.
fn check_committed(message: &Message, certain: &Certain<'_>) -> Result<(), Unsound> {
    let mut claims = vec![(message.index, message.log_term)];
    claims.extend(message.entries.iter().map(|entry| (entry.index, entry.term)));
    for (index, theirs) in claims {
        if index > certain.committed {
            break;
        }
        // What lies before our first entry is in a snapshot, and raft answers without looking at it.
        if let Some(ours) = certain.log.term_at(index)
            && ours != theirs
        {
            return Err(Unsound::Committed { index, ours, theirs });
        }
    }
    Ok(())
}

/// Makes sure that the change of the members in an entry can be applied, if there is one.
pub(crate) fn check_change(entry: &Entry) -> Result<(), CodecError> {
    if entry.get_entry_type() == EntryType::EntryNormal {
        return Ok(());
    }
    read_change(entry).map(drop)
}

/// The change of the members in an entry: raft's part of it and ours.
pub(crate) fn read_change(entry: &Entry) -> Result<(ConfChangeV2, Option<Change>), CodecError> {
    let wrong = |what| CodecError::Value {
        what,
        value: entry.index,
    };
    if entry.get_entry_type() != EntryType::EntryConfChangeV2 {
        return Err(wrong("entry of an unused type"));
    }
    let raft =
        ConfChangeV2::parse_from_bytes(&entry.data).map_err(|_| wrong("entry without a conf change"))?;
    if raft
        .changes
        .iter()
        .any(|single| single.node_id == 0 || single.node_id > MAX_NUMBER)
    {
        return Err(wrong("entry about an absurd member id"));
    }
    let change = match &raft.context[..] {
        [] => None,
        bytes => Some(Change::decode(bytes)?),
    };
    Ok((raft, change))
}
