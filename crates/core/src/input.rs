//! Everything that can come into the core.

use std::fmt;
use std::net::IpAddr;

use crate::addr::HostName;
use crate::id::{ClientToken, Epoch, LinkId, PersistSeq, RequestId, SentinelId};
use crate::request::Request;

/// One thing that happened outside. Facts are only recorded; decisions follow at the next [`Input::Turn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// All inputs at hand have been handed over: decide.
    Turn,
    /// A connection stands, and greetings and authentication are through.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Our own address on it, which peers learn.
        local: IpAddr,
    },
    /// A connection could not be set up, or is gone.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why, in words.
        reason: String,
    },
    /// An answer to a command.
    Reply {
        /// On which connection.
        link: LinkId,
        /// To which command.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// A hello came in by subscription.
    Hello {
        /// On which connection.
        link: LinkId,
        /// The message as it came.
        message: String,
    },
    /// A look-up asked for by [`Effect::Resolve`](crate::Effect::Resolve) has ended.
    Resolved {
        /// The name.
        name: HostName,
        /// Its address, or why there is none.
        result: Result<IpAddr, String>,
    },
    /// A client asks.
    Request {
        /// The number under which it waits for the answer.
        token: ClientToken,
        /// What it asks.
        request: Request,
    },
    /// The registry as it was at [`Effect::Persist`](crate::Effect::Persist) with this number is on disk.
    Persisted {
        /// The number.
        seq: PersistSeq,
    },
    /// The write of [`Effect::WriteLog`](crate::Effect::WriteLog) with this number is on disk.
    LogWritten {
        /// The number.
        seq: u64,
    },
    /// The registry could not be written; what was on disk before is intact.
    PersistFailed {
        /// The number.
        seq: PersistSeq,
        /// Why, in words.
        reason: String,
    },
}

/// An answer to a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Ping`.
    Ping(Pong),
    /// To `Info`: the whole text.
    Info(String),
    /// To `AskDown`.
    Verdict(Verdict),
    /// To any other command: it was carried out.
    Done,
    /// To any command except `Ping`: the server refused, in these words.
    Refused(String),
    /// To any command: the answer makes no sense for it, described in words.
    Odd(String),
}

/// An answer to `PING`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pong {
    /// Well.
    Pong,
    /// Loading its data: alive.
    Loading,
    /// A replica whose primary is down and that is told not to serve old data: alive.
    PrimaryDown,
    /// A script has run for long: not well, but a `SCRIPT KILL` may help.
    Busy,
    /// Any other error, in its words: not well.
    Refused(String),
}

impl fmt::Display for Pong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pong => f.write_str("it answers"),
            Self::Loading => f.write_str("it is loading its data"),
            Self::PrimaryDown => f.write_str("its own primary is down"),
            Self::Busy => f.write_str("a script has kept it busy"),
            Self::Refused(words) => write!(f, "it says {words:?}"),
        }
    }
}

/// What a peer says about a primary, and for whom it voted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The peer sees the primary down.
    pub down: bool,
    /// Whom the peer voted for.
    pub leader: Option<SentinelId>,
    /// In which epoch.
    pub leader_epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_to_a_ping_is_told_in_words() {
        let words = |pong: Pong| pong.to_string();
        assert_eq!(words(Pong::Pong), "it answers");
        assert_eq!(words(Pong::Loading), "it is loading its data");
        assert_eq!(words(Pong::PrimaryDown), "its own primary is down");
        assert_eq!(words(Pong::Busy), "a script has kept it busy");
        assert_eq!(words(Pong::Refused("NOAUTH".to_owned())), "it says \"NOAUTH\"");
    }
}
