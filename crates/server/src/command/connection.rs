//! Commands about the connection itself: `PING`, `AUTH`, `HELLO`, `QUIT`, `RESET`; and `SHUTDOWN`.

use std::sync::atomic::Ordering;

use bellwether_resp::Protocol;
use bytes::Bytes;

use super::{COMPATIBLE_VERSION, Flow, acl, client, pubsub};
use crate::access::{DEFAULT_USER, Reason};
use crate::client::session::{Call, Replies};

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

pub(super) fn ping(call: &mut Call<'_>) -> Flow {
    if call.words.len() > 2 {
        return call.error("ERR wrong number of arguments for 'ping' command");
    }
    let payload = call.words.bytes(1);
    let in_subscriber_context = call.session.protocol == Protocol::Resp2 && call.session.subscriptions() > 0;
    let mut to = call.reply();
    match payload {
        _ if in_subscriber_context => to.bulks(&[Bytes::from_static(b"pong"), payload.unwrap_or_default()]),
        Some(payload) => to.bulk(payload),
        None => to.simple("PONG"),
    }
    Flow::Done
}

/// `AUTH [<user>] <password>`
pub(super) fn auth(call: &mut Call<'_>) -> Flow {
    let access = &call.session.server.context.access;
    let (user, password) = match call.words.len() {
        2 if !access.needs_password() => {
            return call.error(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            );
        }
        2 => (DEFAULT_USER.as_bytes(), call.word(1)),
        3 => (call.word(1), call.word(2)),
        _ => return call.syntax_error(),
    };
    let Some(identity) = access.log_in(user, password) else {
        let user = user.to_vec();
        return refuse_login(call, &user);
    };
    call.session.become_user(identity);
    call.ok()
}

/// `HELLO [<protocol> [AUTH <user> <password>] [SETNAME <name>]]`
pub(super) fn hello(call: &mut Call<'_>) -> Flow {
    let protocol = match call.words.arg(1).map(|_| super::integer(call, 1)) {
        None => call.session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return call.error("NOPROTO unsupported protocol version"),
        Some(None) => return call.error("ERR Protocol version is not an integer or out of range"),
    };
    let (mut login, mut name) = (None, None);
    let mut at = 2;
    while at < call.words.len() {
        let more = call.words.len() - at - 1;
        if call.words.arg_is(at, "AUTH") && more >= 2 {
            login = Some((at + 1, at + 2));
            at += 3;
        } else if call.words.arg_is(at, "SETNAME") && more >= 1 {
            if let Err(error) = client::check_name(call.word(at + 1)) {
                return call.error(error);
            }
            name = Some(at + 1);
            at += 2;
        } else {
            return call.error_quoting("ERR Syntax error in HELLO option '", at, "'");
        }
    }
    if let Some((user, password)) = login {
        let access = &call.session.server.context.access;
        let Some(identity) = access.log_in(call.word(user), call.word(password)) else {
            let user = call.word(user).to_vec();
            return refuse_login(call, &user);
        };
        call.session.become_user(identity);
    }
    if call.session.must_log_in() {
        return call.error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    if let Some(index) = name {
        client::set_name(call, index);
    }
    call.session.set_protocol(protocol);
    introduce(call)
}

fn refuse_login(call: &mut Call<'_>, user: &[u8]) -> Flow {
    let word = call.words.name().to_vec();
    acl::note(call, Reason::Login, &word, user);
    call.error(WRONG_PASSWORD)
}

fn introduce(call: &mut Call<'_>) -> Flow {
    let id = i64::try_from(call.session.client.id).unwrap_or(i64::MAX);
    let protocol = if call.session.protocol == Protocol::Resp3 {
        3
    } else {
        2
    };
    let mut to = call.reply();
    to.map(6);
    to.bulk("server");
    to.bulk("redis");
    to.bulk("version");
    to.bulk(COMPATIBLE_VERSION);
    to.bulk("proto");
    to.integer(protocol);
    to.bulk("id");
    to.integer(id);
    to.bulk("mode");
    to.bulk("sentinel");
    to.bulk("modules");
    to.array(0);
    Flow::Done
}

/// `QUIT`. Unlike Sentinel since 7.0, which does not know it: older clients send it when they leave.
pub(super) fn quit(call: &mut Call<'_>) -> Flow {
    call.session.closing = true;
    call.ok()
}

/// `RESET`: the connection as it was at the start. Unlike Sentinel since 7.0, which does not know it.
pub(super) fn reset(call: &mut Call<'_>) -> Flow {
    pubsub::forget(call.session);
    call.session.replies = Replies::On;
    call.session.set_tracking(None);
    call.session.client.no_evict.store(false, Ordering::Relaxed);
    call.session.set_protocol(Protocol::Resp2);
    let newcomer = call.session.server.context.access.newcomer();
    call.session.become_user(newcomer);
    call.session.client.labels().name = Bytes::new();
    call.reply().simple("RESET");
    Flow::Done
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE]`, `SHUTDOWN ABORT`. The client sees the end of the connection, no reply.
pub(super) fn shutdown(call: &mut Call<'_>) -> Flow {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for word in call.words.args().skip(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"abort" => abort = true,
            b"now" | b"force" => other = true,
            _ => return call.syntax_error(),
        }
    }
    if (save && nosave) || (abort && (save || nosave || other)) {
        return call.syntax_error();
    }
    if abort {
        return call.error("ERR No shutdown in progress.");
    }
    tracing::info!(client = call.session.client.id, peer = %call.session.client.peer, "shutdown asked for by a client");
    call.session.server.context.handle.shutdown();
    call.session.closing = true;
    Flow::Done
}
