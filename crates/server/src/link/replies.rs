//! Which reply belongs to which command, and what it says in the core's words.
//!
//! Owns the commands that have no reply yet, in the order in which they were sent; servers answer in that
//! order. Does no input or output.

use std::collections::VecDeque;

use bellwether_core::{Command, Epoch, Pong, Reply, RequestId, SentinelId, Verdict};
use bellwether_resp::Value;

use super::HELLO_CHANNEL;
use super::wire::{self, Shape};

/// How many replies may be missing. The core stops at 100 commands, a transaction counting as one; the rest
/// is room for those and for the greeting.
const MAX_AWAITED: usize = 1024;

/// How much of a server's words is kept. They end in the log.
const MAX_TEXT_LEN: usize = 256;

/// What one link waits for.
#[derive(Debug, Default)]
pub(super) struct Replies {
    awaited: VecDeque<Awaited>,
}

/// One command, or one transaction, that was sent.
#[derive(Debug)]
enum Awaited {
    /// Part of a greeting.
    Greeting,
    /// A subscription. Where RESP3 is spoken its success comes as a push and only its refusal as a reply.
    Subscribe,
    /// A command of the core.
    Plain(RequestId, Kind),
    /// The transaction.
    Transaction(RequestId, Transaction),
}

/// Which replies a command has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ping,
    Info,
    /// As `Info`; a refusal of the `REPLCONF` before it may come first.
    InfoAndAck,
    AskDown,
    /// Anything that is no error will do.
    Other,
}

#[derive(Debug)]
struct Transaction {
    shape: Shape,
    replies: u8,
    /// What matters was done outside of a transaction, because there was none.
    applied_alone: bool,
    /// Why a part was not taken into it: the first such reason.
    refused: Option<String>,
}

/// What a value that came in means.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// The answer to a command of the core.
    Reply(RequestId, Reply),
    /// A hello message.
    Hello(String),
    /// The subscription stands.
    Subscribed,
    /// The subscription was refused.
    SubscribeRefused(String),
    /// Part of a greeting was refused.
    GreetingRefused(String),
    /// Nothing.
    Nothing,
}

/// Why a stream of replies is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    #[error("a reply came that nobody asked for")]
    Unasked,
    #[error("more than {MAX_AWAITED} commands have no reply")]
    TooMany,
}

impl Replies {
    /// Notes that part of a greeting was sent.
    pub(super) fn await_greeting(&mut self) {
        self.awaited.push_back(Awaited::Greeting);
    }

    /// Notes that a subscription was sent.
    pub(super) fn await_subscribe(&mut self) {
        self.awaited.push_back(Awaited::Subscribe);
    }

    /// Notes that a command was sent.
    pub(super) fn await_command(&mut self, request: RequestId, command: &Command) -> Result<(), ReplyError> {
        if self.awaited.len() >= MAX_AWAITED {
            return Err(ReplyError::TooMany);
        }
        if let Some(shape) = wire::transaction(command) {
            let transaction = Transaction {
                shape,
                replies: 0,
                applied_alone: false,
                refused: None,
            };
            self.awaited.push_back(Awaited::Transaction(request, transaction));
            return Ok(());
        }
        let kind = match command {
            Command::Ping => Kind::Ping,
            Command::Info => Kind::Info,
            Command::InfoAndAck => Kind::InfoAndAck,
            Command::AskDown { .. } => Kind::AskDown,
            _ => Kind::Other,
        };
        self.awaited.push_back(Awaited::Plain(request, kind));
        Ok(())
    }

    /// Says what the next value means.
    ///
    /// # Errors
    /// If it is a reply and none is awaited.
    pub(super) fn take(&mut self, value: Value) -> Result<Meaning, ReplyError> {
        if let Value::Push(items) = &value {
            return Ok(self.push(items));
        }
        let mut first = self.awaited.pop_front().ok_or(ReplyError::Unasked)?;
        Ok(match &mut first {
            Awaited::Greeting => match greeting_refusal(&value) {
                Some(text) => Meaning::GreetingRefused(text),
                None => Meaning::Nothing,
            },
            Awaited::Subscribe => Meaning::SubscribeRefused(describe(&value)),
            Awaited::Plain(_, Kind::InfoAndAck) if is_about_replconf(&value) => {
                self.awaited.push_front(first);
                Meaning::Nothing
            }
            Awaited::Plain(request, kind) => Meaning::Reply(*request, plain(*kind, &value)),
            Awaited::Transaction(request, transaction) => match transaction.take(&value) {
                Some(reply) => Meaning::Reply(*request, reply),
                None => {
                    self.awaited.push_front(first);
                    Meaning::Nothing
                }
            },
        })
    }

    fn push(&mut self, items: &[Value]) -> Meaning {
        if let Some(message) = hello(items) {
            return Meaning::Hello(message);
        }
        let confirms = items.first().and_then(Value::as_str) == Some("subscribe");
        if confirms && matches!(self.awaited.front(), Some(Awaited::Subscribe)) {
            self.awaited.pop_front();
            return Meaning::Subscribed;
        }
        Meaning::Nothing
    }
}

impl Transaction {
    /// Takes the next of its replies; the last one gives the outcome.
    fn take(&mut self, value: &Value) -> Option<Reply> {
        // `MULTI` has the first reply.
        let decisive = self.shape.decisive + 2;
        self.replies += 1;
        if self.replies < self.shape.len {
            if self.replies == decisive && value.as_str().is_some_and(|text| text.starts_with("OK")) {
                self.applied_alone = true;
            }
            if self.refused.is_none() {
                self.refused = error_text(value);
            }
            return None;
        }
        if self.applied_alone {
            return Some(Reply::Done);
        }
        let outcome = value
            .as_slice()
            .and_then(|replies| replies.get(usize::from(self.shape.decisive)));
        Some(match (outcome, self.refused.take()) {
            // Whether the server could write its file is its own affair: one without a file cannot.
            (Some(outcome), _) => match error_text(outcome) {
                None => Reply::Done,
                Some(text) => Reply::Refused(text),
            },
            (_, Some(refused)) => Reply::Refused(refused),
            (None, None) if value.is_null() => {
                Reply::Refused("the server gave up the transaction".to_owned())
            }
            _ => refused_or_odd(value),
        })
    }
}

/// The message, if these are the parts of a hello. The same in both protocols, as a push or as an array.
pub(super) fn hello(items: &[Value]) -> Option<String> {
    let [kind, channel, message] = items else {
        return None;
    };
    let is_hello = kind.as_str() == Some("message") && channel.as_str() == Some(HELLO_CHANNEL);
    let text = message.as_bytes().filter(|_| is_hello)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn plain(kind: Kind, value: &Value) -> Reply {
    match kind {
        Kind::Ping => ping(value),
        Kind::Info | Kind::InfoAndAck => match value {
            Value::Bulk(text) | Value::Verbatim { text, .. } => {
                Reply::Info(String::from_utf8_lossy(text).into_owned())
            }
            _ => refused_or_odd(value),
        },
        Kind::AskDown => verdict(value).unwrap_or_else(|| refused_or_odd(value)),
        Kind::Other => match value {
            Value::Error(_) => refused_or_odd(value),
            _ => Reply::Done,
        },
    }
}

/// Whether a reply is to `REPLCONF` and not to what follows it: a refusal that names it, or a status, which INFO never has.
fn is_about_replconf(value: &Value) -> bool {
    match value {
        Value::Simple(_) => true,
        Value::Error(text) => text
            .to_ascii_lowercase()
            .windows(8)
            .any(|part| part == b"replconf"),
        _ => false,
    }
}

fn ping(value: &Value) -> Reply {
    let pong = match value {
        Value::Simple(text) if text.starts_with(b"PONG") => Pong::Pong,
        Value::Error(text) if text.starts_with(b"LOADING") => Pong::Loading,
        Value::Error(text) if text.starts_with(b"MASTERDOWN") => Pong::PrimaryDown,
        Value::Error(text) if text.starts_with(b"BUSY") => Pong::Busy,
        Value::Simple(text) | Value::Error(text) => Pong::Refused(cut(text)),
        _ => return Reply::Odd(describe(value)),
    };
    Reply::Ping(pong)
}

fn verdict(value: &Value) -> Option<Reply> {
    let Some([Value::Integer(down), Value::Bulk(leader), Value::Integer(epoch)]) = value.as_slice() else {
        return None;
    };
    let leader = match &leader[..] {
        b"*" => None,
        id => Some(SentinelId::new(std::str::from_utf8(id).ok()?).ok()?),
    };
    Some(Reply::Verdict(Verdict {
        down: *down == 1,
        leader,
        leader_epoch: Epoch(u64::try_from(*epoch).ok()?),
    }))
}

fn refused_or_odd(value: &Value) -> Reply {
    match error_text(value) {
        Some(text) => Reply::Refused(text),
        None => Reply::Odd(describe(value)),
    }
}

fn error_text(value: &Value) -> Option<String> {
    match value {
        Value::Error(text) => Some(cut(text)),
        _ => None,
    }
}

/// Why part of a greeting was refused, without what the server quotes: one that does not know a command
/// repeats its words, and here the password is one of them.
pub(super) fn greeting_refusal(value: &Value) -> Option<String> {
    let text = error_text(value)?;
    let unquoted = text.split(['\'', '`', '"']).next().unwrap_or_default();
    Some(unquoted.trim_end().to_owned())
}

/// A value in a few words, for people.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Error(text) | Value::Simple(text) => cut(text),
        Value::Bulk(text) => format!("the string {:?}", cut(text)),
        Value::Integer(number) => format!("the number {number}"),
        Value::Null | Value::NullArray => "nothing".to_owned(),
        _ => match value.as_slice() {
            Some(items) => format!("a list of {}", items.len()),
            None => "a value of another type".to_owned(),
        },
    }
}

/// A server's words, made fit for a line of the log.
fn cut(text: &[u8]) -> String {
    let end = text.len().min(MAX_TEXT_LEN);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(&text[..end]).chars().map(clean).collect()
}

#[cfg(test)]
mod tests;
