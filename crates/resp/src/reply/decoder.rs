//! The incremental decoder of replies.
//!
//! Owns the aggregates that are still open, on an explicit stack. Consumes input element by element, so an
//! unfinished reply is never read twice.

use bytes::{Buf, Bytes, BytesMut};

use super::{ReplyError, ReplyErrorKind as Kind};
use crate::{
    Value,
    line::{LineEnd, MAX_LINE_BYTES, find_crlf_strict, parse_i64},
};

/// How large replies may be. The defaults leave room for the longest lists that a sentinel of 10,000 groups
/// answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Most bytes of one whole reply.
    pub max_reply_bytes: usize,
    /// Most bytes of a line: a simple string, an error, a number, a header.
    pub max_line_bytes: usize,
    /// Most elements of one whole reply, over all levels; a pair of a map counts as two.
    pub max_elements: usize,
    /// Deepest nesting of aggregates. A small type on purpose: dropping or encoding a value recurses.
    pub max_depth: u8,
}

impl ReplyLimits {
    /// 16 MiB. INFO has a few KiB; `SENTINEL MASTERS` of 10,000 groups about 8 MiB.
    pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
    /// 64 KiB, as for requests.
    pub const MAX_LINE_BYTES: usize = MAX_LINE_BYTES;
    /// About a million. `SENTINEL MASTERS` of 10,000 groups has 400,000 fields and values. It bounds what
    /// very many very short elements cost beyond their bytes: 40 bytes each.
    pub const MAX_ELEMENTS: usize = 1024 * 1024;
    /// 32: real replies nest four deep.
    pub const MAX_DEPTH: u8 = 32;
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self {
            max_reply_bytes: Self::MAX_REPLY_BYTES,
            max_line_bytes: Self::MAX_LINE_BYTES,
            max_elements: Self::MAX_ELEMENTS,
            max_depth: Self::MAX_DEPTH,
        }
    }
}

/// Reads the replies and pushes of one connection.
///
/// The caller appends to the buffer what arrived and calls [`decode`](Self::decode) until it gives `None`.
/// Between calls it may only append. Attributes (`|`) are read and dropped.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    limits: ReplyLimits,
    /// Set by the first error and kept: the stream is out of step.
    failed: Option<ReplyError>,
    /// Aggregates begun and not yet complete, the innermost last. Bounded by `max_depth`.
    open: Vec<Open>,
    /// A string whose header is read and whose payload is not all there.
    pending: Option<Pending>,
    /// Bytes of the current reply that are consumed.
    consumed: usize,
    /// Elements announced so far in the current reply.
    elements: usize,
    /// How far the search for the end of the current line came.
    scanned: usize,
}

#[derive(Debug)]
struct Open {
    kind: Aggregate,
    /// Items still to come, at least one; for maps, keys and values.
    missing: usize,
    items: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Array,
    Map,
    Set,
    Push,
    Attribute,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    kind: Text,
    bytes: usize,
    /// Where its header began, for errors.
    offset: usize,
}

#[derive(Debug, Clone, Copy)]
enum Text {
    Bulk,
    Error,
    Verbatim,
}

/// What reading one line or one payload led to.
enum Step {
    /// A complete value without items.
    Leaf(Value),
    /// Progress without a value: a header, or an empty attribute.
    Begun,
    /// More bytes are needed.
    Partial,
}

impl ReplyDecoder {
    /// A decoder for a new connection.
    pub fn new(limits: ReplyLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes the next complete reply or push from the front of `buf`. `None` means that more bytes are
    /// needed; parts of an unfinished reply may have been consumed from `buf` all the same.
    ///
    /// # Errors
    ///
    /// Any [`ReplyError`] is final: the same error is returned from then on.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Value>, ReplyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next(buf);
        if let Err(error) = result {
            self.failed = Some(error);
            // Nothing of the reply is of use any more.
            self.open = Vec::new();
        }
        result
    }

    /// Whether a reply has begun whose end has not come yet, given what is left in `buf`.
    pub fn is_mid_reply(&self, buf: &BytesMut) -> bool {
        !buf.is_empty() || self.consumed > 0
    }

    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Value>, ReplyError> {
        loop {
            let step = match self.pending {
                Some(pending) => self.payload(buf, pending)?,
                None => self.line(buf)?,
            };
            match step {
                Step::Partial => return Ok(None),
                Step::Begun => {}
                Step::Leaf(value) => {
                    if let Some(value) = self.close(value) {
                        self.consumed = 0;
                        self.elements = 0;
                        return Ok(Some(value));
                    }
                }
            }
        }
    }

    /// Puts a complete value into the innermost open aggregate, and that into the next, as far as they
    /// become complete. Gives the reply when it is.
    fn close(&mut self, mut value: Value) -> Option<Value> {
        while let Some(top) = self.open.last_mut() {
            top.items.push(value);
            top.missing = top.missing.saturating_sub(1);
            if top.missing > 0 {
                return None;
            }
            let Open { kind, items, .. } = self.open.pop()?;
            value = match kind {
                Aggregate::Array => Value::Array(items),
                Aggregate::Set => Value::Set(items),
                Aggregate::Push => Value::Push(items),
                Aggregate::Map => Value::Map(into_pairs(items)),
                // It only describes the value that follows and takes no place.
                Aggregate::Attribute => return None,
            };
        }
        Some(value)
    }

    /// Reads a string's payload once it is all there.
    fn payload(&mut self, buf: &mut BytesMut, pending: Pending) -> Result<Step, ReplyError> {
        let Pending { kind, bytes, offset } = pending;
        let Some(end) = buf.get(bytes..bytes.saturating_add(2)) else {
            return Ok(Step::Partial);
        };
        if end != b"\r\n" {
            return Err(ReplyError {
                kind: Kind::MissingBulkEnd,
                offset,
            });
        }
        let text = buf.split_to(bytes).freeze();
        buf.advance(2);
        self.consumed += bytes + 2;
        self.pending = None;
        let value = match kind {
            Text::Bulk => Value::Bulk(text),
            Text::Error => Value::Error(text),
            Text::Verbatim => verbatim(text).ok_or(ReplyError {
                kind: Kind::InvalidVerbatim,
                offset,
            })?,
        };
        Ok(Step::Leaf(value))
    }

    /// Reads one line: a whole value, or the header of a string or an aggregate.
    fn line(&mut self, buf: &mut BytesMut) -> Result<Step, ReplyError> {
        let offset = self.consumed;
        let fail = |kind| Err(ReplyError { kind, offset });
        let Some(&kind) = buf.first() else {
            return Ok(Step::Partial);
        };
        // Looked at before the line's end: what speaks another protocol may never send one.
        if !TYPES.contains(&kind) {
            return fail(Kind::UnknownType(kind));
        }
        if self.consumed >= self.limits.max_reply_bytes {
            return fail(Kind::TooLong);
        }
        let end = match find_crlf_strict(buf, 0, &mut self.scanned, self.limits.max_line_bytes) {
            LineEnd::At(end) => end,
            LineEnd::Bare => return fail(Kind::BareLineEnd),
            LineEnd::Partial => return Ok(Step::Partial),
            LineEnd::TooLong => return fail(Kind::LineTooLong),
        };
        self.scanned = 0;
        let mut line = buf.split_to(end).freeze();
        line.advance(1);
        buf.advance(2);
        self.consumed += end + 2;
        if self.consumed > self.limits.max_reply_bytes {
            return fail(Kind::TooLong);
        }
        self.element(kind, line).or_else(fail)
    }

    fn element(&mut self, kind: u8, line: Bytes) -> Result<Step, Kind> {
        Ok(Step::Leaf(match kind {
            b'+' => Value::Simple(line),
            b'-' => Value::Error(line),
            b':' => Value::Integer(integer(&line).ok_or(Kind::InvalidInteger)?),
            b',' => Value::Double(double(&line).ok_or(Kind::InvalidDouble)?),
            b'(' if is_big_number(&line) => Value::BigNumber(line),
            b'(' => return Err(Kind::InvalidInteger),
            b'#' => match &line[..] {
                b"t" => Value::Boolean(true),
                b"f" => Value::Boolean(false),
                _ => return Err(Kind::InvalidBoolean),
            },
            b'_' if line.is_empty() => Value::Null,
            b'_' => return Err(Kind::InvalidNull),
            b'$' if line == NULL_LENGTH => Value::Null,
            b'*' if line == NULL_LENGTH => Value::NullArray,
            b'$' => return self.text(Text::Bulk, &line),
            b'!' => return self.text(Text::Error, &line),
            b'=' => return self.text(Text::Verbatim, &line),
            b'*' => return self.aggregate(Aggregate::Array, &line),
            b'%' => return self.aggregate(Aggregate::Map, &line),
            b'~' => return self.aggregate(Aggregate::Set, &line),
            b'>' => return self.aggregate(Aggregate::Push, &line),
            b'|' => return self.aggregate(Aggregate::Attribute, &line),
            other => return Err(Kind::UnknownType(other)),
        }))
    }

    /// Begins a string.
    fn text(&mut self, kind: Text, line: &[u8]) -> Result<Step, Kind> {
        let bytes = length(line)?;
        let total = self.consumed.saturating_add(bytes).saturating_add(2);
        if total > self.limits.max_reply_bytes {
            return Err(Kind::TooLong);
        }
        let offset = self.consumed - (line.len() + 3);
        self.pending = Some(Pending { kind, bytes, offset });
        Ok(Step::Begun)
    }

    /// Begins an aggregate, or completes an empty one.
    fn aggregate(&mut self, kind: Aggregate, line: &[u8]) -> Result<Step, Kind> {
        if kind == Aggregate::Push && !self.open.is_empty() {
            return Err(Kind::NestedPush);
        }
        let count = length(line)?;
        let missing = match kind {
            Aggregate::Map | Aggregate::Attribute => count.saturating_mul(2),
            _ => count,
        };
        self.elements = self.elements.saturating_add(missing);
        if self.elements > self.limits.max_elements {
            return Err(Kind::TooManyElements);
        }
        if self.open.len() >= usize::from(self.limits.max_depth) {
            return Err(Kind::TooDeep);
        }
        if missing == 0 {
            return Ok(match kind {
                Aggregate::Array => Step::Leaf(Value::Array(Vec::new())),
                Aggregate::Map => Step::Leaf(Value::Map(Vec::new())),
                Aggregate::Set => Step::Leaf(Value::Set(Vec::new())),
                Aggregate::Push => Step::Leaf(Value::Push(Vec::new())),
                Aggregate::Attribute => Step::Begun,
            });
        }
        let items = Vec::with_capacity(missing.min(MAX_RESERVED));
        self.open.push(Open { kind, missing, items });
        Ok(Step::Begun)
    }
}

/// Every byte with which an element can begin.
const TYPES: &[u8] = b"+-:$*_#,(!=%~>|";

/// How RESP2 writes the length of what is not there.
const NULL_LENGTH: &[u8] = b"-1";

/// Most items that room is made for by announcement alone. Most real arrays are shorter, and a false
/// announcement costs less than a KiB.
const MAX_RESERVED: usize = 16;

fn length(line: &[u8]) -> Result<usize, Kind> {
    if line == b"?" {
        return Err(Kind::Streamed);
    }
    parse_i64(line)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or(Kind::InvalidLength)
}

/// An integer reply, which unlike a length may have a plus sign.
fn integer(line: &[u8]) -> Option<i64> {
    match line {
        [b'+', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => parse_i64(digits),
        _ => parse_i64(line),
    }
}

fn double(line: &[u8]) -> Option<f64> {
    match line {
        b"inf" | b"+inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        b"nan" | b"-nan" => Some(f64::NAN),
        // The standard parser takes more words than the protocol has.
        _ if line
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
        {
            std::str::from_utf8(line).ok()?.parse().ok()
        }
        _ => None,
    }
}

fn is_big_number(line: &[u8]) -> bool {
    let digits = match line {
        [b'-' | b'+', rest @ ..] => rest,
        _ => line,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn verbatim(mut text: Bytes) -> Option<Value> {
    let &[a, b, c, b':', ..] = &text[..] else {
        return None;
    };
    // The first colon ends the format.
    if [a, b, c].contains(&b':') {
        return None;
    }
    text.advance(4);
    Some(Value::Verbatim {
        format: [a, b, c],
        text,
    })
}

fn into_pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| items.next().zip(items.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_sizes_reserve_next_to_nothing() {
        let mut decoder = ReplyDecoder::default();
        let mut buf = BytesMut::from(&b"*1000000\r\n$16000000\r\n"[..]);
        assert_eq!(decoder.decode(&mut buf), Ok(None));
        assert_eq!(decoder.open[0].items.capacity(), MAX_RESERVED);
        assert!(buf.capacity() < 100);
    }
}
