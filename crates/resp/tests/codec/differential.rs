//! Our decoders against two others, `resp-rs` and the parser of the `redis` crate, as oracles.
//!
//! On generated values all three must agree. On mutated bytes the others are laxer in places, so the rule is
//! one-sided: what we accept they must accept, and read as the same value.

use bellwether_resp::{Protocol, ReplyDecoder, ReplyLimits, RequestLimits, Value, encode_command};
use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use resp_rs::{resp2, resp3};

use crate::{
    check::{replies, requests},
    corpus,
    values::{command, in_resp3, map_values, value},
};

proptest! {
    #[test]
    fn generated_replies_read_alike(value in value()) {
        let mut buf = BytesMut::new();
        value.encode(Protocol::Resp3, &mut buf);
        prop_assert_eq!(text(&by_resp3(&buf)), text(&Some(in_resp3(value.clone()))));
        prop_assert_eq!(text(&by_redis(&buf)), text(&Some(as_redis_sees(in_resp3(value.clone())))));

        buf.clear();
        value.encode(Protocol::Resp2, &mut buf);
        let ours = replies(&buf, usize::MAX, ReplyLimits::default());
        prop_assert_eq!(text(&by_resp2(&buf)), text(&ours.items.first().cloned()));
        prop_assert_eq!(text(&by_redis(&buf)), text(&ours.items.into_iter().next().map(as_redis_sees)));
    }

    #[test]
    fn generated_requests_read_alike(commands in vec(command(), 1..4)) {
        let mut buf = BytesMut::new();
        commands.iter().for_each(|args| encode_command(&mut buf, args));
        let ours = requests(&buf, 3, true, RequestLimits::default()).items;
        let mut rest = buf.freeze();
        for request in ours {
            let expected = Value::Array(request.args().map(Value::bulk).collect());
            prop_assert_eq!(text(&by_redis(&rest)), text(&Some(expected.clone())));
            let (frame, next) = resp2::parse_frame(rest).unwrap();
            prop_assert_eq!(text(&from_resp2(frame)), text(&expected));
            rest = next;
        }
        prop_assert!(rest.is_empty());
    }
}

#[test]
fn kept_replies_read_alike() {
    let mut compared = 0;
    for (name, input) in corpus::load("reply") {
        let mut decoder = ReplyDecoder::default();
        let mut buf = BytesMut::from(&input[..]);
        loop {
            let rest = buf.clone();
            let Ok(Some(value)) = decoder.decode(&mut buf) else {
                break;
            };
            assert_eq!(text(&by_resp3(&rest)), text(&Some(value.clone())), "{name}");
            assert_eq!(
                text(&by_redis(&rest)),
                text(&Some(as_redis_sees(value))),
                "{name}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} replies compared");
}

proptest! {
    /// A single changed byte of a valid reply: mostly refused, and where we accept, the others agree.
    #[test]
    fn damaged_replies_read_alike(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut buf = BytesMut::new();
        value.encode(Protocol::Resp3, &mut buf);
        let at = at.index(buf.len());
        buf[at] = byte;
        // Only what we accept is shown to the others: they may reserve by announced sizes.
        if let Some(ours) = replies(&buf, usize::MAX, ReplyLimits::default()).items.into_iter().next() {
            prop_assert_eq!(text(&by_resp3(&buf)), text(&Some(ours)));
        }
    }
}

/// Values as text, since a NaN is not equal to itself.
fn text(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn by_resp2(input: &[u8]) -> Option<Value> {
    resp2::parse_frame(Bytes::copy_from_slice(input))
        .ok()
        .map(|(frame, _)| from_resp2(frame))
}

fn from_resp2(frame: resp2::Frame) -> Value {
    match frame {
        resp2::Frame::SimpleString(text) => Value::Simple(text),
        resp2::Frame::Error(text) => Value::Error(text),
        resp2::Frame::Integer(value) => Value::Integer(value),
        resp2::Frame::BulkString(bytes) => bytes.map_or(Value::Null, Value::Bulk),
        resp2::Frame::Array(items) => items.map_or(Value::NullArray, |items| {
            Value::Array(items.into_iter().map(from_resp2).collect())
        }),
    }
}

/// The first value, attributes before it left out.
fn by_resp3(input: &[u8]) -> Option<Value> {
    let mut rest = Bytes::copy_from_slice(input);
    loop {
        let (frame, next) = resp3::parse_frame(rest).ok()?;
        if !matches!(frame, resp3::Frame::Attribute(_)) {
            return Some(from_resp3(frame));
        }
        rest = next;
    }
}

fn from_resp3(frame: resp3::Frame) -> Value {
    use resp3::Frame;
    let each = |items: Vec<Frame>| items.into_iter().map(from_resp3).collect();
    match frame {
        Frame::SimpleString(text) => Value::Simple(text),
        Frame::Error(text) | Frame::BlobError(text) => Value::Error(text),
        Frame::Integer(value) => Value::Integer(value),
        Frame::BulkString(bytes) => bytes.map_or(Value::Null, Value::Bulk),
        Frame::Null => Value::Null,
        Frame::Array(items) => items.map_or(Value::NullArray, |items| Value::Array(each(items))),
        Frame::Set(items) => Value::Set(each(items)),
        Frame::Push(items) => Value::Push(each(items)),
        Frame::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (from_resp3(key), from_resp3(value)))
                .collect(),
        ),
        Frame::Double(value) => Value::Double(value),
        Frame::SpecialFloat(text) => Value::Double(std::str::from_utf8(&text).unwrap().parse().unwrap()),
        Frame::Boolean(value) => Value::Boolean(value),
        Frame::BigNumber(digits) => Value::BigNumber(digits),
        Frame::VerbatimString { payload } => Value::Verbatim {
            format: payload[..3].try_into().unwrap(),
            text: payload.slice(4..),
        },
        other => panic!("a streamed type: {other:?}"),
    }
}

fn by_redis(input: &[u8]) -> Option<Value> {
    redis::parse_redis_value(input).ok().map(from_redis)
}

fn from_redis(value: redis::Value) -> Value {
    use redis::Value as Theirs;
    let each = |items: Vec<Theirs>| items.into_iter().map(from_redis).collect();
    match value {
        Theirs::Nil => Value::Null,
        Theirs::Okay => Value::simple("OK"),
        Theirs::SimpleString(text) => Value::simple(text),
        Theirs::Int(value) => Value::Integer(value),
        Theirs::BulkString(bytes) => Value::bulk(bytes),
        Theirs::Array(items) => Value::Array(each(items)),
        Theirs::Set(items) => Value::Set(each(items)),
        Theirs::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (from_redis(key), from_redis(value)))
                .collect(),
        ),
        Theirs::Attribute { data, .. } => from_redis(*data),
        Theirs::Double(value) => Value::Double(value),
        Theirs::Boolean(value) => Value::Boolean(value),
        Theirs::BigNumber(digits) => Value::BigNumber(Bytes::from(digits)),
        Theirs::VerbatimString { format, text } => Value::Verbatim {
            format: match format {
                redis::VerbatimFormat::Text => *b"txt",
                redis::VerbatimFormat::Markdown => *b"mkd",
                redis::VerbatimFormat::Unknown(format) => format.into_bytes().try_into().unwrap(),
                other => panic!("an unknown format: {other:?}"),
            },
            text: Bytes::from(text),
        },
        Theirs::Push { kind, data } => {
            let mut items: Vec<Value> = each(data);
            items.insert(0, Value::bulk(kind.to_string()));
            Value::Push(items)
        }
        Theirs::ServerError(error) => match error.details() {
            Some(details) => Value::error(format!("{} {details}", error.code())),
            None => Value::error(error.code()),
        },
        other => panic!("an unknown type: {other:?}"),
    }
}

/// What that parser cannot tell apart: the two nulls, and the string types of a push's kind.
fn as_redis_sees(value: Value) -> Value {
    map_values(value, &|value| match value {
        Value::NullArray => Value::Null,
        Value::Push(mut items) => {
            if let Some(Value::Simple(kind)) = items.first() {
                items[0] = Value::Bulk(kind.clone());
            }
            Value::Push(items)
        }
        other => other,
    })
}
