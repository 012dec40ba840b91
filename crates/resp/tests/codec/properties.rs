//! Properties of encoding and decoding together.

use bellwether_resp::{Protocol, ReplyLimits, RequestLimits, Value, encode_command};
use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

use crate::{
    check::{check_replies, check_requests, replies, requests},
    values::{command, in_resp2, in_resp3, map_values, value},
};

fn encode(values: &[Value], protocol: Protocol) -> BytesMut {
    let mut buf = BytesMut::new();
    values.iter().for_each(|value| value.encode(protocol, &mut buf));
    buf
}

/// Values as text, since a NaN is not equal to itself.
fn text(values: &[Value]) -> String {
    format!("{values:?}")
}

proptest! {
    #[test]
    fn values_survive_resp3(values in vec(value(), 1..4), chunk_bytes in 1usize..50) {
        let decoded = replies(&encode(&values, Protocol::Resp3), chunk_bytes, ReplyLimits::default());
        let expected: Vec<Value> = values.into_iter().map(in_resp3).collect();
        prop_assert_eq!(text(&decoded.items), text(&expected));
        prop_assert_eq!(decoded.end, Ok(0));
    }

    #[test]
    fn values_survive_resp2_as_far_as_it_goes(values in vec(value(), 1..4), chunk_bytes in 1usize..50) {
        let decoded = replies(&encode(&values, Protocol::Resp2), chunk_bytes, ReplyLimits::default());
        prop_assert_eq!(decoded.end, Ok(0));
        let expected: Vec<Value> = values.into_iter().map(in_resp2).collect();
        prop_assert_eq!(decoded.items.len(), expected.len());
        for (got, expected) in decoded.items.into_iter().zip(expected) {
            prop_assert!(same_but_for_doubles(&got, &expected), "{got:?} for {expected:?}");
        }
    }

    #[test]
    fn commands_survive(commands in vec(command(), 1..4), chunk_bytes in 1usize..50) {
        let mut buf = BytesMut::new();
        commands.iter().for_each(|args| encode_command(&mut buf, args));
        let decoded = requests(&buf, chunk_bytes, true, RequestLimits::default());
        let got: Vec<Vec<Vec<u8>>> = decoded.items.iter().map(|request| request.args().map(<[u8]>::to_vec).collect()).collect();
        prop_assert_eq!(got, commands);
        prop_assert_eq!(decoded.end, Ok(0));
    }

    #[test]
    fn quoted_commands_survive(args in command(), quote in any::<[bool; 13]>()) {
        let mut line: Vec<u8> = Vec::new();
        for (arg, single) in args.iter().zip(quote) {
            line.extend(if single { single_quoted(arg) } else { double_quoted(arg) });
            line.push(b' ');
        }
        line.extend(b"\r\n");
        let decoded = requests(&line, 5, true, RequestLimits::default());
        prop_assert_eq!(decoded.items.len(), 1);
        let got: Vec<Vec<u8>> = decoded.items[0].args().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(got, args);
    }

    #[test]
    fn any_bytes_are_harmless(input in vec(any::<u8>(), 0..200)) {
        check_requests(&input);
        check_replies(&input);
    }

    #[test]
    fn any_protocol_like_bytes_are_harmless(input in "([*$+:%~>|=!,#(_-][0-9?]{0,3}\r\n?|[a-z\"'\\\\ ]{0,4}|\n){0,60}") {
        check_requests(input.as_bytes());
        check_replies(input.as_bytes());
    }
}

fn same_but_for_doubles(got: &Value, expected: &Value) -> bool {
    // Doubles arrive as text; read them back where one is expected.
    let same_slices = |got: &[Value], expected: &[Value]| {
        got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| same_but_for_doubles(a, b))
    };
    match (got, expected) {
        (Value::Bulk(text), Value::Double(expected)) => {
            let text = std::str::from_utf8(text).unwrap();
            text.parse::<f64>().unwrap().to_bits() == expected.to_bits()
        }
        (Value::Array(got), Value::Array(expected)) => same_slices(got, expected),
        _ => got == expected,
    }
}

fn double_quoted(arg: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in arg {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    out.push(b'"');
    out
}

/// Single quotes cannot express a line feed, or a backslash before a quote or at the end.
fn single_quoted(arg: &[u8]) -> Vec<u8> {
    if arg.iter().any(|byte| matches!(byte, b'\n' | b'\\')) {
        return double_quoted(arg);
    }
    let mut out = vec![b'\''];
    for &byte in arg {
        if byte == b'\'' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'\'');
    out
}

#[test]
fn generated_values_reach_every_type() {
    use std::{cell::RefCell, collections::BTreeSet};

    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let seen = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let value = value().new_tree(&mut runner).unwrap().current();
        map_values(value, &|value| {
            let name = format!("{value:?}");
            let name = name
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default();
            seen.borrow_mut().insert(name.to_owned());
            value
        });
    }
    assert_eq!(seen.borrow().len(), 14, "{:?}", seen.borrow());
}
