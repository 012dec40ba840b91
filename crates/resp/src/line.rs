//! Lines and the decimal numbers in them: what requests and replies have in common.
//!
//! Owns the search for a line's end and the strict reading and writing of integers. Knows no type byte and
//! no error of either direction.

use bytes::{BufMut, BytesMut};

/// Longest line of either direction, its CRLF not counted: 64 KiB, as Sentinel. Real headers have at most
/// twelve bytes and real inline commands a few hundred.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

/// What the search for a line's end found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// The line ends before this offset, where its CRLF begins.
    At(usize),
    /// A CR without LF, or (where looked for) an LF without CR.
    Bare,
    /// More bytes are needed.
    Partial,
    /// No end within the limit.
    TooLong,
}

/// Looks for the CRLF that ends the line beginning at `start`. `scanned` says how far earlier calls looked
/// and is moved on, so that repeated calls on a growing buffer cost linear time in total. Only the first CR
/// counts: one without LF makes the line bad at once. A bare LF is data here.
pub(crate) fn find_crlf(buf: &[u8], start: usize, scanned: &mut usize, max_bytes: usize) -> LineEnd {
    let from = (*scanned).max(start);
    let found = buf
        .get(from..)
        .and_then(|rest| memchr::memchr(b'\r', rest))
        .map(|at| from + at);
    settle(buf, start, scanned, max_bytes, found)
}

/// As [`find_crlf`], but an LF without CR before it makes the line bad too.
pub(crate) fn find_crlf_strict(buf: &[u8], start: usize, scanned: &mut usize, max_bytes: usize) -> LineEnd {
    let from = (*scanned).max(start);
    let found = buf
        .get(from..)
        .and_then(|rest| memchr::memchr2(b'\r', b'\n', rest))
        .map(|at| from + at);
    settle(buf, start, scanned, max_bytes, found)
}

fn settle(buf: &[u8], start: usize, scanned: &mut usize, max_bytes: usize, found: Option<usize>) -> LineEnd {
    let end = found.unwrap_or(buf.len());
    *scanned = end;
    if end.saturating_sub(start) > max_bytes {
        return LineEnd::TooLong;
    }
    if found.is_none() {
        return LineEnd::Partial;
    }
    match (buf.get(end), buf.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => LineEnd::At(end),
        (Some(b'\r'), None) => LineEnd::Partial,
        _ => LineEnd::Bare,
    }
}

/// Reads a short run of digits closed by CRLF at `start`: the header that every sane client sends, in one
/// pass. Gives the number and the offset behind the CRLF. `None` means only that the careful way must be
/// taken.
#[inline]
pub(crate) fn short_number(buf: &[u8], start: usize) -> Option<(i64, usize)> {
    let mut value = 0;
    // Nine digits cannot overflow and cover every length below the limits.
    for (count, &byte) in buf.get(start..)?.iter().take(10).enumerate() {
        match byte {
            b'0'..=b'9' if count == 1 && value == 0 => return None,
            b'0'..=b'9' if count < 9 => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if count > 0 && buf.get(start + count + 1) == Some(&b'\n') => {
                return Some((value, start + count + 2));
            }
            _ => return None,
        }
    }
    None
}

/// Reads a decimal integer in its one canonical form: no plus, no blanks, no leading zeros, no `-0`.
/// As Sentinel, so that the same headers are refused.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counted down from zero, because only the negative side has room for the smallest value.
    let value = digits.iter().try_fold(0i64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Appends `value` in decimal.
pub(crate) fn put_i64(buf: &mut BytesMut, value: i64) {
    if value < 0 {
        buf.put_u8(b'-');
    }
    put_u64(buf, value.unsigned_abs());
}

/// Appends `value` in decimal.
pub(crate) fn put_u64(buf: &mut BytesMut, mut value: u64) {
    // The largest u64 has 20 digits.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    buf.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for good in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(parse_i64(good.to_string().as_bytes()), Some(good));
            let mut buf = BytesMut::new();
            put_i64(&mut buf, good);
            assert_eq!(buf, good.to_string().as_bytes());
        }
        let bad = [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            " 1",
            "1 ",
            "1a",
            "0x1",
            "1.0",
            "\u{661}",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999999",
        ];
        for bad in bad {
            assert_eq!(parse_i64(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_careful_one() {
        for text in [
            "0",
            "7",
            "10",
            "123456789",
            "00",
            "01",
            "-1",
            "",
            "1234567890",
            "1x",
            "+1",
            " 1",
        ] {
            let line = format!("{text}\r\n");
            if let Some((value, next)) = short_number(line.as_bytes(), 0) {
                assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text:?}");
                assert_eq!(next, line.len());
            }
        }
        assert_eq!(short_number(b"123456789\r\n", 0), Some((123_456_789, 11)));
        assert_eq!(short_number(b"1\r", 0), None);
        assert_eq!(short_number(b"1", 0), None);
        assert_eq!(short_number(b"1\rx", 0), None);
        assert_eq!(short_number(b"", 5), None);
    }

    #[test]
    fn a_line_end_may_be_torn_anywhere() {
        let mut scanned = 0;
        assert_eq!(find_crlf(b"ab", 0, &mut scanned, 9), LineEnd::Partial);
        assert_eq!(find_crlf(b"ab\r", 0, &mut scanned, 9), LineEnd::Partial);
        assert_eq!(find_crlf(b"ab\r\n", 0, &mut scanned, 9), LineEnd::At(2));
        assert_eq!(scanned, 2);
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        for find in [find_crlf, find_crlf_strict] {
            assert_eq!(find(b"abc\r\n", 0, &mut 0, 3), LineEnd::At(3));
            assert_eq!(find(b"abcd\r\n", 0, &mut 0, 3), LineEnd::TooLong);
            assert_eq!(find(b"abc", 0, &mut 0, 3), LineEnd::Partial);
            assert_eq!(find(b"abcd", 0, &mut 0, 3), LineEnd::TooLong);
        }
    }

    #[test]
    fn bare_line_ends() {
        assert_eq!(find_crlf(b"a\rb\r\n", 0, &mut 0, 9), LineEnd::Bare);
        assert_eq!(find_crlf(b"a\nb\r\n", 0, &mut 0, 9), LineEnd::At(3));
        assert_eq!(find_crlf_strict(b"a\nb\r\n", 0, &mut 0, 9), LineEnd::Bare);
    }
}
