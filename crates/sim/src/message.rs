//! What travels on the connections of the simulated world. All of it stands for bytes of a TCP stream: in order,
//! whole, or not at all.

use std::net::SocketAddr;
use std::sync::Arc;

use bellwether_core::{Command, GroupName, Reply, RequestId};

/// One connection, numbered through the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One write of a client, numbered through the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u32);

/// The id of a replication history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplId(pub u64);

/// One entry of a replication stream. Each counts as one byte of the replication offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A client has written.
    Write(WriteId),
    /// The primary's ping to its replicas.
    Ping,
}

/// A whole data set, as a full synchronization sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The history it belongs to.
    pub replid: ReplId,
    /// Where that history began: the offset before the first entry that anybody keeps.
    pub base: u64,
    /// Every entry since then; the offset is `base` plus their number.
    pub entries: Arc<Vec<Entry>>,
}

/// What one end of a connection tells the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A coordinator's commands to a server or another coordinator, in one write.
    Commands(Vec<(RequestId, Command)>),
    /// The answer to one of them.
    Reply(RequestId, Reply),
    /// A hello published on a server reaches one that listens there.
    Hello(String),

    /// A client writes.
    Write(WriteId),
    /// The write is taken.
    Written(WriteId),
    /// A client asks a server for its role.
    AskRole,
    /// The answer: whether it is a primary.
    Role {
        /// It is.
        primary: bool,
    },
    /// A server refuses what a client asked, in these words.
    Refused(String),

    /// A client asks a coordinator where the primary of a group is.
    AskPrimary(GroupName),
    /// A coordinator answers.
    PrimaryIs(Option<(String, u16)>),

    /// A replica asks its primary for data.
    Sync {
        /// Where the replica listens: what the primary shows of it.
        listens: SocketAddr,
        /// The history it has.
        replid: ReplId,
        /// How far it has it; what follows is wanted.
        offset: u64,
        /// The old primary's hand-over: become the primary first.
        failover: bool,
    },
    /// The primary begins with a whole data set.
    FullSync(Snapshot),
    /// The primary goes on where the replica stands, under this id of the history.
    Continue(ReplId),
    /// The primary cannot serve a replica now.
    SyncRefused,
    /// The next entries of the stream.
    Stream {
        /// The offset before the first of them.
        from: u64,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// A replica tells how far it is.
    Ack {
        /// Its offset.
        offset: u64,
    },
}
