//! Generators of values and commands, and what a value becomes when its protocol cannot express it.

use bellwether_resp::Value;
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

/// Any value that our encoder writes as it is in RESP3.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => nested(),
        1 => vec(nested(), 0..5).prop_map(push),
    ]
}

fn push(mut items: Vec<Value>) -> Value {
    items.insert(0, Value::bulk("message"));
    Value::Push(items)
}

fn nested() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ -~]{0,20}".prop_map(Value::simple),
        "[A-Z]{3,8} [ -~]{1,20}".prop_map(Value::error),
        any::<i64>().prop_map(Value::Integer),
        vec(any::<u8>(), 0..40).prop_map(Value::bulk),
        Just(Value::Null),
        Just(Value::NullArray),
        proptest::num::f64::ANY.prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        "-?[1-9][0-9]{0,40}".prop_map(|digits| Value::BigNumber(Bytes::from(digits))),
        ("[a-z]{3}", "[ -~\r\n]{0,20}").prop_map(|(format, text)| Value::Verbatim {
            format: format.into_bytes().try_into().unwrap(),
            text: Bytes::from(text),
        }),
    ]
}

/// A command as a client sends it.
pub(crate) fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    ("[a-zA-Z]{1,12}", vec(vec(any::<u8>(), 0..30), 0..12))
        .prop_map(|(name, args)| std::iter::once(name.into_bytes()).chain(args).collect())
        .prop_filter("what HTTP clients send is refused", |args: &Vec<Vec<u8>>| {
            !args[0].eq_ignore_ascii_case(b"post")
        })
}

/// Applies `change` to every leaf and every completed aggregate, the innermost first.
pub(crate) fn map_values(value: Value, change: &impl Fn(Value) -> Value) -> Value {
    let each = |items: Vec<Value>| items.into_iter().map(|item| map_values(item, change)).collect();
    change(match value {
        Value::Array(items) => Value::Array(each(items)),
        Value::Set(items) => Value::Set(each(items)),
        Value::Push(items) => Value::Push(each(items)),
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (map_values(key, change), map_values(value, change)))
                .collect(),
        ),
        leaf => leaf,
    })
}

/// What `value` reads back as after a trip over RESP3, which has only one null.
pub(crate) fn in_resp3(value: Value) -> Value {
    map_values(value, &|value| match value {
        Value::NullArray => Value::Null,
        other => other,
    })
}

/// What `value` reads back as after a trip over RESP2.
pub(crate) fn in_resp2(value: Value) -> Value {
    map_values(value, &|value| match value {
        Value::Set(items) | Value::Push(items) => Value::Array(items),
        Value::Map(pairs) => Value::Array(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        Value::Boolean(value) => Value::Integer(i64::from(value)),
        Value::BigNumber(text) | Value::Verbatim { text, .. } => Value::Bulk(text),
        Value::Double(value) if value.is_nan() => Value::bulk("nan"),
        // How a number is written is the encoder's choice; that it reads back the same is what counts.
        other => other,
    })
}
