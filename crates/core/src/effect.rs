//! Everything that can come out of the core.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::addr::{Addr, Host, HostName};
use crate::agreement::LogWrite;
use crate::event::Event;
use crate::failover::FailoverReceipt;
use crate::id::{ClientToken, Epoch, GroupName, LinkId, PersistSeq, RequestId, SentinelId};
use crate::registry::{LogLevel, Secret};
use crate::request::Answer;
use crate::time::Instant;

/// One thing to do, in the order in which they come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Set up a connection; [`LinkUp`](crate::Input::LinkUp) or [`LinkDown`](crate::Input::LinkDown) follows.
    Connect {
        /// Its number from now on.
        link: LinkId,
        /// Where to.
        to: SocketAddr,
        /// What is there.
        kind: LinkKind,
    },
    /// Drop a connection; nothing follows.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// Send commands, in one write.
    Send {
        /// On which connection.
        link: LinkId,
        /// The commands; each reply carries its number.
        batch: Vec<(RequestId, Command)>,
        /// From when on they must not leave any more: another coordinator may give orders by then. If it is too late
        /// the connection is to be dropped instead.
        until: Option<Instant>,
    },
    /// Look up a name; [`Resolved`](crate::Input::Resolved) follows.
    Resolve {
        /// The name.
        name: HostName,
    },
    /// Write the registry as it is now; [`Persisted`](crate::Input::Persisted) or
    /// [`PersistFailed`](crate::Input::PersistFailed) follows. There is never more than one under way.
    Persist {
        /// The number of this write.
        seq: PersistSeq,
    },
    /// Write to the log that is shared with others; [`LogWritten`](crate::Input::LogWritten) follows. There is never
    /// more than one under way. If it fails, this process must end.
    WriteLog(Box<LogWrite>),
    /// Tell log, subscribers and metrics.
    Event(Event),
    /// Answer a client.
    Answer {
        /// Which request.
        token: ClientToken,
        /// The answer.
        answer: Answer,
    },
    /// The addresses that clients are told from now on.
    Addresses(Arc<AddressBook>),
    /// Run a script of an operator, some time soon.
    RunScript {
        /// The program.
        path: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Log from this importance on.
    LogLevel(LogLevel),
    /// End the process with this status, at once: an operator wanted to see what happens then.
    Exit {
        /// The status.
        status: u8,
    },
    /// A failover led here has ended.
    FailoverEnded {
        /// The group.
        group: GroupName,
        /// What happened.
        receipt: Box<FailoverReceipt>,
    },
}

/// Where each group's primary is: host text and port, as clients are told.
pub type AddressBook = BTreeMap<GroupName, (String, u16)>;

/// What is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A server of a group: commands, and a subscription to hello messages.
    Instance {
        /// The group, whose renamed commands apply.
        group: GroupName,
        /// The host as it is known: the name that was looked up, if it has one.
        host: Host,
        /// How to authenticate; `None` without a password.
        credentials: Option<Credentials>,
        /// Commands that it has under other names, in capitals, with those names.
        renamed: BTreeMap<String, String>,
    },
    /// Another sentinel: commands only.
    Peer {
        /// Its id.
        id: SentinelId,
        /// The host as it is known: the name that was looked up, if it has one.
        host: Host,
        /// How to authenticate; `None` without a password.
        credentials: Option<Credentials>,
    },
}

/// User and password for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user; `None` for the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Secret,
}

/// A command for an instance or a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PING`
    Ping,
    /// `INFO`
    Info,
    /// `INFO`, and before it `REPLCONF GETACK`, which has no reply where it is allowed: a replica then tells its primary
    /// at once how far it has come, for which a hand-over waits. By itself it does so once a second.
    InfoAndAck,
    /// `PUBLISH __sentinel__:hello <message>`
    Hello {
        /// The message.
        message: String,
    },
    /// `SENTINEL is-master-down-by-addr`
    AskDown {
        /// The host of the primary, as text.
        host: String,
        /// The port of the primary.
        port: u16,
        /// The epoch of the question.
        epoch: Epoch,
        /// The candidate for whom a vote is asked; `None` asks for none.
        candidate: Option<SentinelId>,
    },
    /// `SENTINEL RAFT FRAME`: a frame of the log, for another member.
    Frame {
        /// The id of the member that sends it.
        from: u64,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// `SENTINEL RAFT VIEW`: how a primary looks from here, for another member.
    TellView {
        /// The id of the sentinel that sees it so.
        from: SentinelId,
        /// The group.
        group: GroupName,
        /// The host of the primary, as text.
        host: String,
        /// The port of the primary.
        port: u16,
        /// Whether it is subjectively down.
        down: bool,
    },
    /// The transaction that changes whom an instance follows and drops its clients.
    Reconfigure {
        /// Whom to follow, as host text and port; `None` makes it a primary.
        follow: Option<(String, u16)>,
    },
    /// `SCRIPT KILL`
    ScriptKill,
    /// For the primary: the transaction that pauses writes and hands its role over to a replica by the
    /// server's own `FAILOVER`.
    HandOver {
        /// The replica, as host text and port.
        to: (String, u16),
        /// How long it may take, in milliseconds.
        timeout_ms: u64,
        /// How long writes are held back by a pause of our own, in milliseconds: it outlasts the hand-over, until the
        /// clients are sent off.
        pause_ms: u64,
    },
    /// After a hand-over: the transaction that makes the new role permanent, drops the clients and lets
    /// writes through again.
    Release,
    /// `CLIENT UNPAUSE`: a hand-over was given up.
    Unpause,
    /// `FAILOVER ABORT`: a hand-over that the server does not end by itself. Never part of a transaction: a server or a
    /// user without the command would lose the rest with it.
    AbortHandOver,
}

impl LinkKind {
    /// The group of an instance.
    #[must_use]
    pub const fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Instance { group, .. } => Some(group),
            Self::Peer { .. } => None,
        }
    }
}

/// A host text and a port, as they go over the wire.
#[must_use]
pub fn wire_addr(addr: &Addr) -> (String, u16) {
    (addr.host.to_string(), addr.port)
}
