//! Values to bytes.
//!
//! Owns how each reply type looks in RESP2 and RESP3. Appends to the caller's buffer and never bounds it:
//! how much unread output a client may have is the listener's decision.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::line::{put_i64, put_u64};

/// The protocol of a connection: RESP2 until `HELLO 3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// With maps, sets, pushes and the other richer types.
    Resp3,
}

/// Appends replies to a buffer, in one protocol.
///
/// Aggregates are written as a header followed by their items; the caller writes as many as announced.
#[derive(Debug)]
pub struct Encoder<'a> {
    protocol: Protocol,
    buf: &'a mut BytesMut,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `buf`.
    pub fn new(protocol: Protocol, buf: &'a mut BytesMut) -> Self {
        Self { protocol, buf }
    }

    /// A simple string. CR and LF become spaces.
    pub fn simple(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', text.as_ref());
    }

    /// An error; `text` begins with its code (`ERR …`), not with `-`. CR and LF become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.buf.put_u8(b':');
        put_i64(self.buf, value);
        self.buf.put_slice(CRLF);
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        put_bulk(self.buf, b'$', bytes.as_ref());
    }

    /// No string: `$-1` or `_`.
    pub fn null(&mut self) {
        self.pick(b"$-1\r\n", b"_\r\n");
    }

    /// No array: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.pick(b"*-1\r\n", b"_\r\n");
    }

    /// The header of an array of `len` items.
    pub fn array(&mut self, len: usize) {
        put_header(self.buf, b'*', len);
    }

    /// The header of a map of `len` pairs. RESP2: an array of twice as many items.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => put_header(self.buf, b'*', len * 2),
            Protocol::Resp3 => put_header(self.buf, b'%', len),
        }
    }

    /// The header of a set of `len` members. RESP2: an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// The header of a push of `len` items. RESP2: an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// Text with a format. RESP2: a bulk string of the text alone.
    pub fn verbatim(&mut self, format: [u8; 3], text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text);
        }
        put_header(self.buf, b'=', text.len() + format.len() + 1);
        self.buf.put_slice(&format);
        self.buf.put_u8(b':');
        self.buf.put_slice(text);
        self.buf.put_slice(CRLF);
    }

    /// A floating point number. RESP2: a bulk string of its text.
    pub fn double(&mut self, value: f64) {
        let text = double_text(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A truth value. RESP2: the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match value {
            true => self.pick(b":1\r\n", b"#t\r\n"),
            false => self.pick(b":0\r\n", b"#f\r\n"),
        }
    }

    /// An integer of any length, given as decimal text. RESP2: a bulk string.
    pub fn big_number(&mut self, digits: impl AsRef<[u8]>) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits.as_ref()),
        }
    }

    /// An array of bulk strings, as many replies are.
    pub fn bulks<T: AsRef<[u8]>>(&mut self, items: &[T]) {
        self.array(items.len());
        for item in items {
            self.bulk(item);
        }
    }

    /// The protocol this encoder writes.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn aggregate(&mut self, kind: u8, len: usize) {
        let kind = if self.protocol == Protocol::Resp3 {
            kind
        } else {
            b'*'
        };
        put_header(self.buf, kind, len);
    }

    fn pick(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.buf.put_slice(if self.protocol == Protocol::Resp3 {
            resp3
        } else {
            resp2
        });
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buf.put_u8(kind);
        let start = self.buf.len();
        self.buf.put_slice(text);
        for byte in self.buf.iter_mut().skip(start) {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buf.put_slice(CRLF);
    }
}

/// Appends a command for a server or another sentinel: an array of bulk strings, the name first.
pub fn encode_command<T: AsRef<[u8]>>(buf: &mut BytesMut, args: &[T]) {
    put_header(buf, b'*', args.len());
    for arg in args {
        put_bulk(buf, b'$', arg.as_ref());
    }
}

fn put_bulk(buf: &mut BytesMut, kind: u8, bytes: &[u8]) {
    put_header(buf, kind, bytes.len());
    buf.put_slice(bytes);
    buf.put_slice(CRLF);
}

fn put_header(buf: &mut BytesMut, kind: u8, len: usize) {
    buf.put_u8(kind);
    put_u64(buf, len as u64);
    buf.put_slice(CRLF);
}

/// The shortest text that reads back as the same number, with an exponent where plain digits would be long.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let mut text = String::new();
    let plain = value == 0.0 || (1e-5..1e17).contains(&value.abs());
    // Writing to a string cannot fail.
    let _ = if plain {
        write!(text, "{value}")
    } else {
        write!(text, "{value:e}")
    };
    text
}

const CRLF: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Encoder<'_>), resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut buf = BytesMut::new();
            write(&mut Encoder::new(protocol, &mut buf));
            assert_eq!(
                buf.escape_ascii().to_string(),
                expected.as_bytes().escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn types_that_both_protocols_have() {
        check(|to| to.simple("OK"), "+OK\r\n", "+OK\r\n");
        check(|to| to.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n");
        check(|to| to.integer(-42), ":-42\r\n", ":-42\r\n");
        check(
            |to| to.integer(i64::MIN),
            ":-9223372036854775808\r\n",
            ":-9223372036854775808\r\n",
        );
        check(|to| to.bulk("a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n");
        check(|to| to.bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|to| to.array(0), "*0\r\n", "*0\r\n");
        check(
            |to| to.bulks(&["a", "bc"]),
            "*2\r\n$1\r\na\r\n$2\r\nbc\r\n",
            "*2\r\n$1\r\na\r\n$2\r\nbc\r\n",
        );
    }

    #[test]
    fn types_that_resp2_lacks() {
        check(|to| to.null(), "$-1\r\n", "_\r\n");
        check(|to| to.null_array(), "*-1\r\n", "_\r\n");
        check(|to| to.map(3), "*6\r\n", "%3\r\n");
        check(|to| to.set(2), "*2\r\n", "~2\r\n");
        check(|to| to.push(3), "*3\r\n", ">3\r\n");
        check(
            |to| to.verbatim(*b"txt", "hi"),
            "$2\r\nhi\r\n",
            "=6\r\ntxt:hi\r\n",
        );
        check(|to| to.boolean(true), ":1\r\n", "#t\r\n");
        check(|to| to.boolean(false), ":0\r\n", "#f\r\n");
        check(|to| to.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
    }

    #[test]
    fn doubles_are_short_and_exact() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            let resp2 = format!("${}\r\n{text}\r\n", text.len());
            check(|to| to.double(value), &resp2, &format!(",{text}\r\n"));
        }
    }

    #[test]
    fn lines_cannot_be_broken_from_inside() {
        check(
            |to| to.error("ERR a\r\n+OK\r\n"),
            "-ERR a  +OK  \r\n",
            "-ERR a  +OK  \r\n",
        );
        check(|to| to.simple("a\nb\rc"), "+a b c\r\n", "+a b c\r\n");
        check(|to| to.big_number("1\r\n:2"), "$5\r\n1\r\n:2\r\n", "(1  :2\r\n");
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut buf = BytesMut::new();
        encode_command(&mut buf, &["PING"]);
        encode_command::<&[u8]>(&mut buf, &[b"SUBSCRIBE", b"__sentinel__:hello"]);
        assert_eq!(
            buf,
            &b"*1\r\n$4\r\nPING\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$18\r\n__sentinel__:hello\r\n"[..]
        );
    }
}
