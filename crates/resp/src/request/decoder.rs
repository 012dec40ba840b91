//! The incremental decoder of requests.
//!
//! Owns the position inside an unfinished request. Never holds payload bytes: those stay in the caller's
//! buffer until the request is complete.

use bytes::{Buf, BytesMut};

use super::{Request, RequestError, Span, Spans, inline::split_in_place};
use crate::line::{LineEnd, MAX_LINE_BYTES, find_crlf, parse_i64, short_number};

/// How large requests may be. The defaults suit a coordinator, whose longest real request (a hello, an ACL
/// rule, a list of channels) has a few KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most bytes of one argument (`proto-max-bulk-len`).
    pub max_bulk_bytes: u64,
    /// Most bytes of one multibulk request, headers included. This bounds what a connection's unfinished
    /// request can occupy, together with `max_line_bytes`.
    pub max_request_bytes: u32,
    /// Most bytes of a line: an inline request or a header.
    pub max_line_bytes: u32,
    /// Most arguments of a multibulk request before authentication.
    pub unauthenticated_max_args: u32,
    /// Most bytes of one argument before authentication.
    pub unauthenticated_max_bulk_bytes: u64,
}

impl RequestLimits {
    /// 512 MiB, as Sentinel. Nothing so long passes [`Self::MAX_REQUEST_BYTES`]; it matters where a
    /// configuration sets it lower.
    pub const MAX_BULK_BYTES: u64 = 512 * 1024 * 1024;
    /// 1 MiB. Unlike Sentinel, which bounds only single arguments: with some thousand clients, gigabytes of
    /// unfinished requests could push a coordinator out of memory, and no command needs even 64 KiB.
    pub const MAX_REQUEST_BYTES: u32 = 1024 * 1024;
    /// 64 KiB, as Sentinel.
    pub const MAX_LINE_BYTES: u32 = MAX_LINE_BYTES as u32;
    /// 10, as Sentinel: enough for HELLO with AUTH and SETNAME.
    pub const UNAUTHENTICATED_MAX_ARGS: u32 = 10;
    /// 16 KiB, as Sentinel: no password is longer.
    pub const UNAUTHENTICATED_MAX_BULK_BYTES: u64 = 16 * 1024;
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_bulk_bytes: Self::MAX_BULK_BYTES,
            max_request_bytes: Self::MAX_REQUEST_BYTES,
            max_line_bytes: Self::MAX_LINE_BYTES,
            unauthenticated_max_args: Self::UNAUTHENTICATED_MAX_ARGS,
            unauthenticated_max_bulk_bytes: Self::UNAUTHENTICATED_MAX_BULK_BYTES,
        }
    }
}

/// Reads the requests of one connection.
///
/// The caller appends to the buffer what arrived and calls [`decode`](Self::decode) until it gives `None`.
/// Between calls it may only append: the decoder remembers offsets into the unfinished request.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    authenticated: bool,
    /// Set by the first error and kept: the stream is out of step.
    failed: Option<RequestError>,
    /// What is read of a multibulk request whose end has not come yet.
    partial: Partial,
    /// How far the search for the end of the current line came.
    scanned: usize,
}

/// A multibulk request up to the part that is still missing.
#[derive(Debug, Default)]
struct Partial {
    /// Offset behind all that is read.
    pos: usize,
    /// Arguments still to come; 0 means between requests.
    missing_args: u32,
    /// Length of the argument at `pos`, once its header is read.
    bulk_bytes: Option<usize>,
    /// Complete arguments.
    args: Spans,
}

impl Default for RequestDecoder {
    fn default() -> Self {
        Self::new(RequestLimits::default())
    }
}

impl RequestDecoder {
    /// A decoder for a new connection, not yet authenticated.
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            authenticated: false,
            failed: None,
            partial: Partial::default(),
            scanned: 0,
        }
    }

    /// Lifts the limits that hold before authentication, or puts them back. Takes effect with the next
    /// header that is read.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Changes the limits. Takes effect with the next header that is read.
    pub fn set_limits(&mut self, limits: RequestLimits) {
        self.limits = limits;
    }

    /// Takes the next complete request from the front of `buf`. `None` means that more bytes are needed.
    /// Empty requests are skipped, as Sentinel does.
    ///
    /// # Errors
    ///
    /// Any [`RequestError`] is final: the same error is returned from then on.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next(buf);
        if let Err(error) = result {
            self.failed = Some(error);
        }
        result
    }

    /// Whether a request has begun whose end has not come yet, given what is left in `buf`.
    pub fn is_mid_request(&self, buf: &BytesMut) -> bool {
        !buf.is_empty() || self.partial.missing_args > 0
    }

    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        loop {
            if self.partial.missing_args > 0 {
                return self.multibulk_args(buf);
            }
            match buf.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.multibulk_header(buf)? {
                        return Ok(None);
                    }
                }
                Some(_) => {
                    let Some(request) = self.inline(buf)? else {
                        return Ok(None);
                    };
                    if request.len() > 0 {
                        return checked(request).map(Some);
                    }
                }
            }
        }
    }

    /// Reads `*<count>`. True if it was complete; then either arguments are missing or, with a count of 0 or
    /// less, the empty request is already skipped.
    fn multibulk_header(&mut self, buf: &mut BytesMut) -> Result<bool, RequestError> {
        let Some((count, next)) = self.header(buf, 0, b'*')? else {
            return Ok(false);
        };
        let count = count.ok_or(RequestError::InvalidMultibulkLength)?;
        if count <= 0 {
            buf.advance(next);
            self.scanned = 0;
            return Ok(true);
        }
        if count > i64::from(i32::MAX) {
            return Err(RequestError::InvalidMultibulkLength);
        }
        if !self.authenticated && count > i64::from(self.limits.unauthenticated_max_args) {
            return Err(RequestError::UnauthenticatedMultibulkLength);
        }
        // Refused early, because it could never fit.
        if count > i64::from(self.limits.max_request_bytes) / MIN_ARG_BYTES {
            return Err(RequestError::InvalidMultibulkLength);
        }
        self.partial.missing_args = count as u32;
        self.partial.pos = next;
        Ok(true)
    }

    /// Reads arguments until the request is complete or the bytes run out.
    fn multibulk_args(&mut self, buf: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        while self.partial.missing_args > 0 {
            let len = match self.partial.bulk_bytes {
                Some(len) => len,
                None => {
                    let Some(len) = self.bulk_header(buf)? else {
                        return Ok(None);
                    };
                    len
                }
            };
            let start = self.partial.pos;
            let end = start + len;
            let Some(tail) = buf.get(end..end + 2) else {
                return Ok(None);
            };
            // Unlike Sentinel, which skips two bytes whatever they are: a stream that is out of step must
            // not be run as commands.
            if tail != b"\r\n" {
                return Err(RequestError::MissingBulkEnd);
            }
            self.partial.args.push(Span::new(start, end));
            self.partial.missing_args -= 1;
            self.partial.bulk_bytes = None;
            self.partial.pos = end + 2;
        }
        let Partial { pos, args, .. } = std::mem::take(&mut self.partial);
        self.scanned = 0;
        checked(Request {
            frame: buf.split_to(pos).freeze(),
            args,
        })
        .map(Some)
    }

    /// Reads `$<length>` of the next argument.
    fn bulk_header(&mut self, buf: &BytesMut) -> Result<Option<usize>, RequestError> {
        let Some((len, next)) = self.header(buf, self.partial.pos, b'$')? else {
            return Ok(None);
        };
        let len = len
            .and_then(|len| u64::try_from(len).ok())
            .ok_or(RequestError::InvalidBulkLength)?;
        if len > self.limits.max_bulk_bytes {
            return Err(RequestError::InvalidBulkLength);
        }
        if !self.authenticated && len > self.limits.unauthenticated_max_bulk_bytes {
            return Err(RequestError::UnauthenticatedBulkLength);
        }
        if (next as u64).saturating_add(len).saturating_add(2) > u64::from(self.limits.max_request_bytes) {
            return Err(RequestError::InvalidBulkLength);
        }
        let len = len as usize;
        self.partial.pos = next;
        self.partial.bulk_bytes = Some(len);
        Ok(Some(len))
    }

    /// Reads the header line at `start`: the type byte `kind` and a number. Gives the number (`None` if it
    /// is none) and the offset behind the line. As Sentinel, the type byte is judged only once the line is
    /// complete.
    fn header(&mut self, buf: &[u8], start: usize, kind: u8) -> Result<Option<Header>, RequestError> {
        if buf.get(start) == Some(&kind)
            && let Some((number, next)) = short_number(buf, start + 1)
        {
            return Ok(Some((Some(number), next)));
        }
        let end = match find_crlf(buf, start, &mut self.scanned, self.limits.max_line_bytes as usize) {
            LineEnd::At(end) => Some(end),
            // Unlike Sentinel, which skips the byte after a CR unseen.
            LineEnd::Bare => None,
            LineEnd::Partial => return Ok(None),
            LineEnd::TooLong if kind == b'*' => return Err(RequestError::MultibulkLineTooLong),
            LineEnd::TooLong => return Err(RequestError::BulkLineTooLong),
        };
        match buf.get(start) {
            Some(&first) if first != kind => Err(RequestError::ExpectedDollar(first)),
            _ => {
                let number = end.and_then(|end| parse_i64(buf.get(start + 1..end)?));
                Ok(Some((number, end.unwrap_or(start) + 2)))
            }
        }
    }

    /// Reads an inline request: a line up to LF, a CR before it not counted. The request has no words if the
    /// line has none. Unlike Sentinel, a line over the limit is refused also when it arrives at once: what is
    /// accepted does not depend on how the network cuts it.
    fn inline(&mut self, buf: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        let found = buf
            .get(self.scanned..)
            .and_then(|rest| memchr::memchr(b'\n', rest));
        let end = found.map_or(buf.len(), |at| self.scanned + at);
        if end > self.limits.max_line_bytes as usize {
            return Err(RequestError::InlineTooLong);
        }
        if found.is_none() {
            self.scanned = end;
            return Ok(None);
        }
        self.scanned = 0;
        let mut line = buf.split_to(end + 1);
        // The line end counts as a blank, so it need not be cut off.
        let args = split_in_place(&mut line)?;
        Ok(Some(Request {
            frame: line.freeze(),
            args,
        }))
    }
}

/// A header's number, if it is one, and the offset behind its line.
type Header = (Option<i64>, usize);

/// Shortest argument on the wire: `$0\r\n\r\n`.
const MIN_ARG_BYTES: i64 = 6;

/// Refuses what only an HTTP client sends, in whatever request form.
fn checked(request: Request) -> Result<Request, RequestError> {
    let name = request.name();
    // Looked at by length first, since this is on the path of every request.
    let is_http = match name.len() {
        4 => name.eq_ignore_ascii_case(b"post"),
        5 => name.eq_ignore_ascii_case(b"host:"),
        _ => false,
    };
    if is_http {
        Err(RequestError::CrossProtocol)
    } else {
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_sizes_reserve_nothing() {
        let mut decoder = RequestDecoder::default();
        decoder.set_authenticated(true);
        let mut buf = BytesMut::from(&b"*100000\r\n$1000000\r\n"[..]);
        let before = buf.capacity();
        assert_eq!(decoder.decode(&mut buf), Ok(None));
        assert_eq!(buf.capacity(), before);
        assert!(!decoder.partial.args.spilled());
    }
}
