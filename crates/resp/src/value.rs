//! One decoded reply, and reading it conveniently.
//!
//! Owns the shape of replies in both protocols. Never decodes bytes and never converts silently: an accessor
//! gives `None` where the type does not fit.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::{Encoder, Protocol, line::parse_i64};

/// A reply of RESP2 or RESP3.
///
/// Payloads are slices of the connection's input. What is kept for long should be copied out, because a
/// slice keeps the whole buffer alive.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+`: a short status.
    Simple(Bytes),
    /// `-` and RESP3 `!`: an error, its code being the first word.
    Error(Bytes),
    /// `:`
    Integer(i64),
    /// `$`: bytes of any kind.
    Bulk(Bytes),
    /// `$-1` of RESP2 and `_` of RESP3.
    Null,
    /// `*-1`, which only RESP2 has.
    NullArray,
    /// `*`
    Array(Vec<Self>),
    /// RESP3 `%`, in the order received; keys may repeat.
    Map(Vec<(Self, Self)>),
    /// RESP3 `~`, in the order received; members may repeat.
    Set(Vec<Self>),
    /// RESP3 `>`: out-of-band data, no answer to any command.
    Push(Vec<Self>),
    /// RESP3 `,`
    Double(f64),
    /// RESP3 `#`
    Boolean(bool),
    /// RESP3 `(`: an integer of any length, as its decimal text.
    BigNumber(Bytes),
    /// RESP3 `=`: text with a three-byte format such as `txt` or `mkd`.
    Verbatim {
        /// The format.
        format: [u8; 3],
        /// The text without its format.
        text: Bytes,
    },
}

impl Value {
    /// A bulk string copied from `bytes`.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A simple string copied from `text`.
    pub fn simple(text: impl AsRef<[u8]>) -> Self {
        Self::Simple(Bytes::copy_from_slice(text.as_ref()))
    }

    /// An error copied from `text`, which begins with the code and not with `-`.
    pub fn error(text: impl AsRef<[u8]>) -> Self {
        Self::Error(Bytes::copy_from_slice(text.as_ref()))
    }

    /// Appends the reply as `protocol` writes it. What RESP2 lacks is written as the reference does: maps,
    /// sets and pushes as flat arrays, other types as bulk strings, booleans as 0 and 1.
    pub fn encode(&self, protocol: Protocol, buf: &mut BytesMut) {
        self.encode_with(&mut Encoder::new(protocol, buf));
    }

    fn encode_with(&self, to: &mut Encoder<'_>) {
        match self {
            Self::Simple(text) => to.simple(text),
            Self::Error(text) => to.error(text),
            Self::Integer(value) => to.integer(*value),
            Self::Bulk(bytes) => to.bulk(bytes),
            Self::Null => to.null(),
            Self::NullArray => to.null_array(),
            Self::Array(items) => {
                to.array(items.len());
                items.iter().for_each(|item| item.encode_with(to));
            }
            Self::Map(pairs) => {
                to.map(pairs.len());
                for (key, value) in pairs {
                    key.encode_with(to);
                    value.encode_with(to);
                }
            }
            Self::Set(items) => {
                to.set(items.len());
                items.iter().for_each(|item| item.encode_with(to));
            }
            Self::Push(items) => {
                to.push(items.len());
                items.iter().for_each(|item| item.encode_with(to));
            }
            Self::Double(value) => to.double(*value),
            Self::Boolean(value) => to.boolean(*value),
            Self::BigNumber(digits) => to.big_number(digits),
            Self::Verbatim { format, text } => to.verbatim(*format, text),
        }
    }

    /// The payload of anything textual: simple and bulk strings, verbatim text, big numbers. Not errors, so
    /// that no error is taken for data.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::BigNumber(bytes) => Some(bytes),
            Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// As [`as_bytes`](Self::as_bytes), if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// An integer, or text that is one in canonical form.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => parse_i64(self.as_bytes()?),
        }
    }

    /// The text of an error, lossy where it is not UTF-8.
    pub fn as_error(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Error(text) => Some(String::from_utf8_lossy(text)),
            _ => None,
        }
    }

    /// The items of an array, set or push.
    pub fn as_slice(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The items of an array, set or push, taken out.
    pub fn into_vec(self) -> Option<Vec<Self>> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Keys and values of a map, or of the flat array of even length that RESP2 has in its place.
    pub fn as_pairs(&self) -> Option<Vec<(&Self, &Self)>> {
        match self {
            Self::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Self::Array(items) => {
                let (pairs, rest) = items.as_chunks::<2>();
                rest.is_empty()
                    .then(|| pairs.iter().map(|[key, value]| (key, value)).collect())
            }
            _ => None,
        }
    }

    /// Whether this is nothing, in either form.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullArray)
    }

    /// Whether this is out-of-band data rather than the answer to a command. In RESP2 published messages
    /// are plain arrays and are not recognised here.
    pub fn is_push(&self) -> bool {
        matches!(self, Self::Push(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accessors_do_not_convert_silently() {
        assert_eq!(Value::bulk("12").as_i64(), Some(12));
        assert_eq!(Value::bulk("012").as_i64(), None);
        assert_eq!(Value::Integer(12).as_str(), None);
        assert_eq!(Value::error("ERR no").as_str(), None);
        assert_eq!(Value::error("ERR no").as_error().as_deref(), Some("ERR no"));
        assert_eq!(Value::bulk(b"\xff").as_str(), None);
        assert!(Value::Null.is_null() && Value::NullArray.is_null());
        assert!(!Value::Array(vec![]).is_null());
        assert!(Value::Push(vec![]).is_push());
        assert_eq!(Value::Null.as_slice(), None);
        assert_eq!(Value::Set(vec![Value::Null]).into_vec(), Some(vec![Value::Null]));
    }

    #[test]
    fn pairs_read_alike_in_both_protocols() {
        let (key, value) = (Value::bulk("name"), Value::bulk("mymaster"));
        let map = Value::Map(vec![(key.clone(), value.clone())]);
        let flat = Value::Array(vec![key.clone(), value.clone()]);
        assert_eq!(map.as_pairs(), Some(vec![(&key, &value)]));
        assert_eq!(flat.as_pairs(), map.as_pairs());
        assert_eq!(Value::Array(vec![key]).as_pairs(), None);
        assert_eq!(Value::Null.as_pairs(), None);
    }
}
