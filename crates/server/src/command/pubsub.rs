//! `SUBSCRIBE` and its like, and `PUBLISH`, which only takes hellos.

use std::sync::Arc;

use bellwether_core::Request as Ask;
use bytes::BytesMut;

use super::Flow;
use crate::client::session::{Call, Session};
use crate::hub::Subscriber;

/// The channel of hello messages, the only one that can be published to.
const HELLO_CHANNEL: &[u8] = b"__sentinel__:hello";

pub(super) fn subscribe(call: &mut Call<'_>) -> Flow {
    for index in 1..call.words.len() {
        match call
            .session
            .subscriber()
            .subscribe(call.words.arg(index).unwrap_or_default())
        {
            Ok(()) => confirm(call, "subscribe", Some(index)),
            Err(error) => drop(call.error(format!("ERR {error}"))),
        }
    }
    call.session.note_subscriptions();
    Flow::Done
}

pub(super) fn psubscribe(call: &mut Call<'_>) -> Flow {
    for index in 1..call.words.len() {
        match call
            .session
            .subscriber()
            .psubscribe(call.words.arg(index).unwrap_or_default())
        {
            Ok(()) => confirm(call, "psubscribe", Some(index)),
            Err(error) => drop(call.error(format!("ERR {error}"))),
        }
    }
    call.session.note_subscriptions();
    Flow::Done
}

pub(super) fn unsubscribe(call: &mut Call<'_>) -> Flow {
    end(call, "unsubscribe", Subscriber::unsubscribe, |subscriber| {
        subscriber.channels().cloned().collect()
    })
}

pub(super) fn punsubscribe(call: &mut Call<'_>) -> Flow {
    end(call, "punsubscribe", Subscriber::punsubscribe, |subscriber| {
        subscriber.patterns().cloned().collect()
    })
}

/// `PUBLISH __sentinel__:hello <message>`. As Sentinel, the reply is 1 whatever the message was, and it is not
/// delivered to subscribers.
pub(super) fn publish(call: &mut Call<'_>) -> Flow {
    if call.word(1) != HELLO_CHANNEL {
        return call.error("ERR Only HELLO messages are accepted by Sentinel instances.");
    }
    Flow::ask_then(
        Ask::Hello {
            message: call.text(2),
        },
        |call, _| call.reply().integer(1),
    )
}

/// Ends all subscriptions without a word, for `RESET`.
pub(super) fn forget(session: &mut Session) {
    session.subscriber = None;
    session.note_subscriptions();
}

type End = fn(&mut Subscriber, &[u8]);
type All = fn(&Subscriber) -> Vec<Arc<[u8]>>;

/// Ends those subscriptions that are named, or all of the kind. One confirmation each.
fn end(call: &mut Call<'_>, kind: &str, end: End, all: All) -> Flow {
    // What was published before must be seen before the confirmation.
    drain(call);
    let named = call.words.args().skip(1).map(Arc::from);
    let mut names: Vec<Arc<[u8]>> = named.collect();
    if names.is_empty() {
        names = call.session.subscriber.as_deref().map(all).unwrap_or_default();
    }
    if names.is_empty() {
        write(call.session, call.out, kind, None);
    }
    for name in names {
        if let Some(subscriber) = call.session.subscriber.as_deref_mut() {
            end(subscriber, &name);
        }
        write(call.session, call.out, kind, Some(&name));
    }
    call.session.note_subscriptions();
    Flow::Done
}

fn drain(call: &mut Call<'_>) {
    while let Some(delivery) = call.session.subscriber.as_deref().and_then(Subscriber::take) {
        call.session.deliver(&delivery, call.out);
    }
}

fn confirm(call: &mut Call<'_>, kind: &str, index: Option<usize>) {
    let name = index.and_then(|index| call.words.arg(index));
    write(call.session, call.out, kind, name);
}

fn write(session: &Session, out: &mut BytesMut, kind: &str, name: Option<&[u8]>) {
    let count = session.subscriptions();
    let mut to = bellwether_resp::Encoder::new(session.protocol, out);
    to.push(3);
    to.bulk(kind);
    match name {
        Some(name) => to.bulk(name),
        None => to.null(),
    }
    to.integer(i64::try_from(count).unwrap_or(i64::MAX));
}
