//! One test per rule of the reply types and limits. Each input is decoded whole and byte by byte.

use bytes::{Bytes, BytesMut};

use super::{ReplyDecoder, ReplyError, ReplyErrorKind as Kind, ReplyLimits};
use crate::Value;

/// What a stream of replies comes to: the values, then the error that ends it or the bytes left.
#[derive(Debug, PartialEq)]
struct Outcome {
    values: Vec<Value>,
    end: Result<usize, ReplyError>,
}

fn feed(limits: ReplyLimits, input: &[u8], chunk_bytes: usize) -> Outcome {
    let mut decoder = ReplyDecoder::new(limits);
    let mut buf = BytesMut::new();
    let mut values = Vec::new();
    for chunk in input.chunks(chunk_bytes) {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buf), Err(error), "an error is final");
                    return Outcome {
                        values,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Outcome {
        values,
        end: Ok(buf.len()),
    }
}

fn decode_within(limits: ReplyLimits, input: impl AsRef<[u8]>) -> Outcome {
    let input = input.as_ref();
    let whole = feed(limits, input, usize::MAX);
    let single = feed(limits, input, 1);
    // Compared as text, since a NaN is not equal to itself.
    assert_eq!(
        format!("{:?}", single.values),
        format!("{:?}", whole.values),
        "byte by byte"
    );
    assert_eq!(single.end, whole.end, "byte by byte");
    whole
}

#[track_caller]
fn check(input: impl AsRef<[u8]>, expected: Value) {
    let outcome = decode_within(ReplyLimits::default(), input);
    assert_eq!(
        outcome,
        Outcome {
            values: vec![expected],
            end: Ok(0)
        }
    );
}

#[track_caller]
fn check_error(input: impl AsRef<[u8]>, kind: Kind, offset: usize) {
    let outcome = decode_within(ReplyLimits::default(), input);
    assert_eq!(outcome.end, Err(ReplyError { kind, offset }));
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn strings() {
    check("+OK\r\n", Value::simple("OK"));
    check("+\r\n", Value::simple(""));
    check("-ERR no\r\n", Value::error("ERR no"));
    check("!6\r\nERR\r\n!\r\n", Value::error("ERR\r\n!"));
    check("$2\r\nhi\r\n", Value::bulk("hi"));
    check("$0\r\n\r\n", Value::bulk(""));
    check("$4\r\n\r\n\r\n\r\n", Value::bulk("\r\n\r\n"));
    check(
        "=6\r\ntxt:hi\r\n",
        Value::Verbatim {
            format: *b"txt",
            text: bytes("hi"),
        },
    );
    check(
        "=4\r\ntxt:\r\n",
        Value::Verbatim {
            format: *b"txt",
            text: bytes(""),
        },
    );
}

#[test]
fn scalars() {
    check(":0\r\n", Value::Integer(0));
    check(":-42\r\n", Value::Integer(-42));
    check(":+42\r\n", Value::Integer(42));
    check(":-9223372036854775808\r\n", Value::Integer(i64::MIN));
    check("#t\r\n", Value::Boolean(true));
    check("#f\r\n", Value::Boolean(false));
    check(",1.5\r\n", Value::Double(1.5));
    check(",-1e-3\r\n", Value::Double(-0.001));
    check(",inf\r\n", Value::Double(f64::INFINITY));
    check(",-inf\r\n", Value::Double(f64::NEG_INFINITY));
    let outcome = decode_within(ReplyLimits::default(), ",nan\r\n");
    assert!(matches!(outcome.values[..], [Value::Double(value)] if value.is_nan()));
    check(
        "(-123456789012345678901\r\n",
        Value::BigNumber(bytes("-123456789012345678901")),
    );
}

#[test]
fn nulls() {
    check("$-1\r\n", Value::Null);
    check("_\r\n", Value::Null);
    check("*-1\r\n", Value::NullArray);
}

#[test]
fn aggregates() {
    check("*0\r\n", Value::Array(vec![]));
    check(
        "*2\r\n:1\r\n*1\r\n$-1\r\n",
        Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Null])]),
    );
    check(
        "*2\r\n*0\r\n%0\r\n",
        Value::Array(vec![Value::Array(vec![]), Value::Map(vec![])]),
    );
    check("~1\r\n+a\r\n", Value::Set(vec![Value::simple("a")]));
    check("~0\r\n", Value::Set(vec![]));
    check(
        ">2\r\n+message\r\n+x\r\n",
        Value::Push(vec![Value::simple("message"), Value::simple("x")]),
    );
    check(">0\r\n", Value::Push(vec![]));
    let map = Value::Map(vec![
        (Value::simple("a"), Value::Integer(1)),
        (Value::Null, Value::Array(vec![])),
    ]);
    check("%2\r\n+a\r\n:1\r\n_\r\n*0\r\n", map);
}

#[test]
fn replies_follow_each_other() {
    let outcome = decode_within(ReplyLimits::default(), "+PONG\r\n>1\r\n:1\r\n+PONG\r\n:");
    assert_eq!(
        outcome.values,
        [
            Value::simple("PONG"),
            Value::Push(vec![Value::Integer(1)]),
            Value::simple("PONG")
        ]
    );
    assert_eq!(outcome.end, Ok(1));
}

#[test]
fn attributes_are_dropped() {
    check("|1\r\n+ttl\r\n:1\r\n+OK\r\n", Value::simple("OK"));
    check("|0\r\n|0\r\n+OK\r\n", Value::simple("OK"));
    check(
        "*2\r\n:1\r\n|1\r\n+a\r\n*1\r\n+b\r\n:2\r\n",
        Value::Array(vec![Value::Integer(1), Value::Integer(2)]),
    );
    check(
        "|1\r\n+a\r\n+b\r\n>1\r\n:1\r\n",
        Value::Push(vec![Value::Integer(1)]),
    );
    let outcome = decode_within(ReplyLimits::default(), "|1\r\n+a\r\n+b\r\n");
    assert_eq!(
        outcome,
        Outcome {
            values: vec![],
            end: Ok(0)
        }
    );
}

#[test]
fn odd_elements_are_named() {
    check_error("x", Kind::UnknownType(b'x'), 0);
    check_error("\r\n", Kind::UnknownType(b'\r'), 0);
    check_error("HTTP/1.1 400 Bad Request\r\n", Kind::UnknownType(b'H'), 0);
    check_error("*2\r\n:1\r\n;4\r\n", Kind::UnknownType(b';'), 8);
    for head in ["$", "*", "%", "~", ">", "|", "=", "!"] {
        check_error(format!("{head}?\r\n"), Kind::Streamed, 0);
        check_error(format!("{head}-2\r\n"), Kind::InvalidLength, 0);
        check_error(format!("{head}\r\n"), Kind::InvalidLength, 0);
        check_error(format!("{head}01\r\n"), Kind::InvalidLength, 0);
        check_error(format!("{head}99999999999999999999\r\n"), Kind::InvalidLength, 0);
    }
    for head in ["%", "~", ">", "|", "=", "!"] {
        check_error(format!("{head}-1\r\n"), Kind::InvalidLength, 0);
    }
    for text in ["", "a", "1 ", "+", "-", "+-1", "1.0", "9223372036854775808"] {
        check_error(format!(":{text}\r\n"), Kind::InvalidInteger, 0);
    }
    for text in ["", "-", "1a", "1.5"] {
        check_error(format!("({text}\r\n"), Kind::InvalidInteger, 0);
    }
    for text in ["", "a", "infinity", "1e", "0x1p3", " 1"] {
        check_error(format!(",{text}\r\n"), Kind::InvalidDouble, 0);
    }
    check_error("#x\r\n", Kind::InvalidBoolean, 0);
    check_error("_x\r\n", Kind::InvalidNull, 0);
    check_error("=3\r\ntxt\r\n", Kind::InvalidVerbatim, 0);
    check_error("=4\r\ntxtx\r\n", Kind::InvalidVerbatim, 0);
    check_error("=5\r\na:b:c\r\n", Kind::InvalidVerbatim, 0);
    check_error("$1\r\nab\r\n", Kind::MissingBulkEnd, 0);
    check_error("*1\r\n$1\r\nab\r\n", Kind::MissingBulkEnd, 4);
    check_error("+a\nb\r\n", Kind::BareLineEnd, 0);
    check_error("+a\rb\r\n", Kind::BareLineEnd, 0);
    check_error("*1\r\n>1\r\n", Kind::NestedPush, 4);
    check_error("*2\r\n:1\r\n:x\r\n", Kind::InvalidInteger, 8);
}

#[test]
fn errors_read_as_sentences() {
    let error = ReplyError {
        kind: Kind::UnknownType(b'H'),
        offset: 8,
    };
    assert_eq!(
        error.to_string(),
        "unknown type byte 0x48, at byte 8 of the reply"
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth));
    let limit = usize::from(ReplyLimits::MAX_DEPTH);
    assert_eq!(
        decode_within(ReplyLimits::default(), nested(limit)).values.len(),
        1
    );
    check_error(nested(limit + 1), Kind::TooDeep, 4 * limit);
    check_error("*1\r\n".repeat(100_000), Kind::TooDeep, 4 * limit);
    check_error("|1\r\n".repeat(100_000), Kind::TooDeep, 4 * limit);
}

#[test]
fn elements_are_bounded_over_all_levels() {
    let limits = ReplyLimits {
        max_elements: 4,
        ..ReplyLimits::default()
    };
    let kind_of = |input: &str| decode_within(limits, input).end.map_err(|error| error.kind);
    assert_eq!(kind_of("*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n*4\r\n"), Ok(0));
    assert_eq!(kind_of("*5\r\n"), Err(Kind::TooManyElements));
    assert_eq!(kind_of("%3\r\n"), Err(Kind::TooManyElements));
    assert_eq!(
        kind_of("*2\r\n*2\r\n:1\r\n:1\r\n*1\r\n"),
        Err(Kind::TooManyElements)
    );
    assert_eq!(
        kind_of("|2\r\n:1\r\n:1\r\n:1\r\n:1\r\n*1\r\n"),
        Err(Kind::TooManyElements)
    );
    check_error("*9223372036854775807\r\n", Kind::TooManyElements, 0);
    check_error("%9223372036854775807\r\n", Kind::TooManyElements, 0);
}

#[test]
fn bytes_are_bounded() {
    check_error("$16777216\r\n", Kind::TooLong, 0);
    check_error("$9223372036854775807\r\n", Kind::TooLong, 0);
    let limits = ReplyLimits {
        max_reply_bytes: 20,
        ..ReplyLimits::default()
    };
    let kind_of = |input: &str| decode_within(limits, input).end.map_err(|error| error.kind);
    assert_eq!(kind_of("*2\r\n+1234567890123\r\n"), Ok(0));
    assert_eq!(kind_of("*2\r\n+1234567890123\r\n+"), Err(Kind::TooLong));
    assert_eq!(kind_of("+123456789012345678\r\n"), Err(Kind::TooLong));
    assert_eq!(kind_of("$13\r\n1234567890123\r\n+OK\r\n"), Ok(0));
    assert_eq!(kind_of("$14\r\n"), Err(Kind::TooLong));
    assert_eq!(kind_of("|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n|"), Err(Kind::TooLong));
}

#[test]
fn lines_are_bounded() {
    let long = "9".repeat(ReplyLimits::MAX_LINE_BYTES);
    check_error(format!("+{long}"), Kind::LineTooLong, 0);
    check_error(format!("+{long}\r\n"), Kind::LineTooLong, 0);
    check_error(format!("${long}"), Kind::LineTooLong, 0);
    let fitting = &long[1..];
    check(format!("+{fitting}\r\n"), Value::simple(fitting));
}

#[test]
fn payloads_are_slices_of_the_input() {
    let mut buf = BytesMut::from(&b"$4\r\nPONG\r\n"[..]);
    let address = buf[4..].as_ptr();
    let Ok(Some(Value::Bulk(text))) = ReplyDecoder::default().decode(&mut buf) else {
        panic!("a bulk string")
    };
    assert_eq!(text.as_ptr(), address);
}
