//! `CLIENT`: who is connected, under what name, and who is to go.

use std::sync::Arc;

use bytes::Bytes;

use super::{Flow, catalog};
use crate::client::session::{Call, Replies};
use crate::client::{Client, MAX_LABEL_BYTES};

pub(super) fn id(call: &mut Call<'_>) -> Flow {
    let id = i64::try_from(call.session.client.id).unwrap_or(i64::MAX);
    call.reply().integer(id);
    Flow::Done
}

pub(super) fn getname(call: &mut Call<'_>) -> Flow {
    let name = call.session.client.labels().name.clone();
    let mut to = call.reply();
    if name.is_empty() {
        to.null()
    } else {
        to.bulk(name)
    }
    Flow::Done
}

pub(super) fn setname(call: &mut Call<'_>) -> Flow {
    if let Err(error) = check_name(call.word(2)) {
        return call.error(error);
    }
    set_name(call, 2);
    call.ok()
}

/// Sets the client's name to word `index`, which was checked.
pub(super) fn set_name(call: &Call<'_>, index: usize) {
    call.session.client.labels().name = Bytes::copy_from_slice(call.word(index));
}

/// Whether a client may be called so; if not, the error.
pub(super) fn check_name(name: &[u8]) -> Result<(), String> {
    check_label("Client names", name)
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER <value>`
pub(super) fn setinfo(call: &mut Call<'_>) -> Flow {
    let is_name = call.words.arg_is(2, "LIB-NAME");
    if !is_name && !call.words.arg_is(2, "LIB-VER") {
        return call.error_quoting("ERR Unrecognized option '", 2, "'");
    }
    // As Sentinel: the error spells the option as the client did.
    if let Err(error) = check_label(&call.text(2), call.word(3)) {
        return call.error(error);
    }
    let value = Bytes::copy_from_slice(call.word(3));
    let mut labels = call.session.client.labels();
    if is_name {
        labels.lib_name = value;
    } else {
        labels.lib_version = value;
    }
    drop(labels);
    call.ok()
}

fn check_label(what: &str, value: &[u8]) -> Result<(), String> {
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        ));
    }
    if value.len() > MAX_LABEL_BYTES {
        return Err(format!(
            "ERR {what} cannot be longer than {MAX_LABEL_BYTES} bytes."
        ));
    }
    Ok(())
}

pub(super) fn info(call: &mut Call<'_>) -> Flow {
    let client = Arc::clone(&call.session.client);
    show(call, &[client])
}

/// `CLIENT LIST [TYPE <type>] [ID <id> …]`
pub(super) fn list(call: &mut Call<'_>) -> Flow {
    let mut clients = call.session.server.clients.snapshot();
    let count = call.words.len();
    if count == 4 && call.words.arg_is(2, "TYPE") {
        let Some(kind) = Kind::named(call.word(3)) else {
            return unknown_type(call, 3);
        };
        clients.retain(|client| kind.is_of(client));
    } else if count > 3 && call.words.arg_is(2, "ID") {
        let mut ids = Vec::with_capacity(count);
        for index in 3..count {
            let Some(id) = super::integer(call, index) else {
                return call.error("ERR Invalid client ID");
            };
            ids.push(id);
        }
        ids.sort_unstable();
        clients.retain(|client| i64::try_from(client.id).is_ok_and(|id| ids.binary_search(&id).is_ok()));
    } else if count != 2 {
        return call.syntax_error();
    }
    show(call, &clients)
}

fn show(call: &mut Call<'_>, clients: &[Arc<Client>]) -> Flow {
    let now_ms = call.session.now_ms();
    let mut text = Vec::new();
    for client in clients {
        client.describe(now_ms, &mut text);
    }
    call.reply().verbatim(*b"txt", text);
    Flow::Done
}

/// `CLIENT KILL <addr:port>` or `CLIENT KILL <filter> <value> …`
pub(super) fn kill(call: &mut Call<'_>) -> Flow {
    let filter = match call.words.len() {
        3 => Filter {
            addr: Some(call.text(2)),
            ..Filter::default()
        },
        _ => match Filter::read(call) {
            Ok(filter) => Filter {
                skip_me: filter.skip_me.or(Some(true)),
                ..filter
            },
            Err(refused) => return refused,
        },
    };
    let mut killed = 0;
    let now_ms = call.session.now_ms();
    for client in call.session.server.clients.snapshot() {
        let is_me = client.id == call.session.client.id;
        if !filter.hits(&client, now_ms) || (is_me && filter.skip_me == Some(true)) {
            continue;
        }
        killed += 1;
        if is_me {
            call.session.closing = true;
        } else {
            client.close();
        }
    }
    match (call.words.len(), killed) {
        (3, 0) => call.error("ERR No such client"),
        (3, _) => call.ok(),
        _ => {
            call.reply().integer(killed);
            Flow::Done
        }
    }
}

/// Whom to kill: all that fit everything that is set.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    addr: Option<String>,
    local_addr: Option<String>,
    kind: Option<Kind>,
    user: Option<Arc<str>>,
    min_age_s: Option<u64>,
    skip_me: Option<bool>,
}

impl Filter {
    /// Reads the filters, or gives what was answered instead.
    fn read(call: &mut Call<'_>) -> Result<Self, Flow> {
        let mut filter = Self::default();
        let mut at = 2;
        while at < call.words.len() {
            let value = at + 1;
            if value >= call.words.len() {
                return Err(call.syntax_error());
            }
            match call.word(at).to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(positive(call, value, "client-id should be greater than 0")?),
                b"maxage" => {
                    if super::integer(call, value).is_none() {
                        return Err(call.error("ERR maxage is not an integer or out of range"));
                    }
                    filter.min_age_s = Some(positive(call, value, "maxage should be greater than 0")?);
                }
                b"addr" => filter.addr = Some(call.text(value)),
                b"laddr" => filter.local_addr = Some(call.text(value)),
                b"type" => match Kind::named(call.word(value)) {
                    Some(kind) => filter.kind = Some(kind),
                    None => return Err(unknown_type(call, value)),
                },
                b"user" => {
                    let users = call.session.server.context.access.users();
                    match users.get(call.word(value)) {
                        Some(user) => filter.user = Some(Arc::clone(user.name())),
                        None => return Err(call.error_quoting("ERR No such user '", value, "'")),
                    }
                }
                b"skipme" => match call.word(value).to_ascii_lowercase().as_slice() {
                    b"yes" => filter.skip_me = Some(true),
                    b"no" => filter.skip_me = Some(false),
                    _ => return Err(call.syntax_error()),
                },
                _ => return Err(call.syntax_error()),
            }
            at += 2;
        }
        Ok(filter)
    }

    fn hits(&self, client: &Client, now_ms: u64) -> bool {
        let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
        self.id.is_none_or(|id| id == client.id)
            && self
                .addr
                .as_ref()
                .is_none_or(|addr| *addr == client.peer.to_string())
            && self
                .local_addr
                .as_ref()
                .is_none_or(|addr| *addr == client.local.to_string())
            && self.kind.is_none_or(|kind| kind.is_of(client))
            && self.user.as_ref().is_none_or(|user| client.is_of(user))
            && self.min_age_s.is_none_or(|min_s| age_s >= min_s)
    }
}

fn positive(call: &mut Call<'_>, index: usize, otherwise: &str) -> Result<u64, Flow> {
    match super::integer(call, index).and_then(|number| u64::try_from(number).ok()) {
        Some(number) if number > 0 => Ok(number),
        _ => Err(call.error(format!("ERR {otherwise}"))),
    }
}

/// The types of clients. A coordinator has no replicas and no primary among its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Replication,
    Subscriber,
}

impl Kind {
    fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(Self::Normal),
            b"master" | b"slave" | b"replica" => Some(Self::Replication),
            b"pubsub" => Some(Self::Subscriber),
            _ => None,
        }
    }

    fn is_of(self, client: &Client) -> bool {
        let kind = if client.is_subscriber() {
            Self::Subscriber
        } else {
            Self::Normal
        };
        self == kind
    }
}

fn unknown_type(call: &mut Call<'_>, index: usize) -> Flow {
    call.error_quoting("ERR Unknown client type '", index, "'")
}

/// `CLIENT REPLY ON|OFF|SKIP`
pub(super) fn reply(call: &mut Call<'_>) -> Flow {
    let session = &mut *call.session;
    session.replies = match call
        .words
        .arg(2)
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_slice()
    {
        b"on" => Replies::On,
        b"off" => Replies::Off,
        b"skip" if session.replies == Replies::Off => Replies::Off,
        b"skip" => Replies::SkipNext,
        _ => return call.syntax_error(),
    };
    // Taken back again unless replies are on.
    call.ok()
}

pub(super) fn help(call: &mut Call<'_>) -> Flow {
    catalog::help(call)
}
