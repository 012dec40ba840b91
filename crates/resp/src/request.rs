//! Requests: what clients send to a listener.
//!
//! Owns the two request forms (multibulk and inline), their limits and the exact texts of their errors.
//! Never looks at what a command means, and never answers: the caller sends [`RequestError::reply_text`]
//! and closes.

mod decoder;
mod error;
mod inline;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

pub use decoder::{RequestDecoder, RequestLimits};
pub use error::RequestError;

/// One request: a command name and its arguments, at least one word in all.
///
/// The words are slices of one buffer that is shared with the connection's input; cloning a request or
/// taking [`bytes`](Self::bytes) of it copies nothing. What is kept for long should be copied out, because
/// a slice keeps the whole buffer alive.
#[derive(Clone)]
pub struct Request {
    frame: Bytes,
    args: Spans,
}

/// Where the words of a request lie in its frame. Eight fit without an allocation: enough for every command
/// that clients send often.
type Spans = SmallVec<[Span; 8]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Offsets are bounded by the limit on a request's size, which is a `u32`.
    fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn of(self, frame: &[u8]) -> &[u8] {
        frame
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

impl Request {
    /// Builds a request from words, for callers that have no bytes to decode. `None` without any word, or
    /// when they are too long in total for one request (4 GiB).
    pub fn from_args<T: AsRef<[u8]>>(args: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut frame = BytesMut::new();
        let mut spans = Spans::new();
        for arg in args {
            let start = frame.len();
            frame.put_slice(arg.as_ref());
            spans.push(Span::new(start, frame.len()));
        }
        let fits = u32::try_from(frame.len()).is_ok();
        (fits && !spans.is_empty()).then(|| Self {
            frame: frame.freeze(),
            args: spans,
        })
    }

    /// The command's name: the first word, in the case in which it was sent.
    pub fn name(&self) -> &[u8] {
        self.arg(0).unwrap_or_default()
    }

    /// Word `index`, where 0 is the command's name.
    pub fn arg(&self, index: usize) -> Option<&[u8]> {
        self.args.get(index).map(|span| span.of(&self.frame))
    }

    /// Word `index` as text; `None` also if it is not UTF-8.
    pub fn arg_str(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.arg(index)?).ok()
    }

    /// Word `index` as a canonical decimal integer; `None` also if it is not one.
    pub fn arg_i64(&self, index: usize) -> Option<i64> {
        crate::line::parse_i64(self.arg(index)?)
    }

    /// Whether word `index` is `word` but for ASCII case.
    pub fn arg_is(&self, index: usize, word: &str) -> bool {
        self.arg(index)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Word `index` as a shared slice, without a copy.
    pub fn bytes(&self, index: usize) -> Option<Bytes> {
        let span = self.args.get(index)?;
        Some(self.frame.slice(span.start as usize..span.end as usize))
    }

    /// All words in order, the command's name first.
    pub fn args(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.args.iter().map(|span| span.of(&self.frame))
    }

    /// Number of words, the command's name included.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a request without words does not exist"
    )]
    pub fn len(&self) -> usize {
        self.args.len()
    }
}

impl PartialEq for Request {
    /// Requests are equal if their words are, however they were framed.
    fn eq(&self, other: &Self) -> bool {
        self.args().eq(other.args())
    }
}

impl Eq for Request {}

impl fmt::Debug for Request {
    /// Shows the words as text. Beware of passwords: a request is not for logs as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.args().map(|arg| arg.escape_ascii().to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests;
