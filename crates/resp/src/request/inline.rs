//! Inline requests: one line of words, as typed into a terminal.
//!
//! Owns the splitting and unquoting of a line that is already cut out. Never looks for the line's end.

use super::{RequestError, Span, Spans};

/// Splits `line` into words. Words are unquoted in place, which works because unquoting never makes a word
/// longer; the spans say where they lie afterwards.
///
/// As Sentinel: `"…"` knows `\n \r \t \a \b \xHH`, and a backslash before anything else means that byte;
/// `'…'` knows only `\'`; a quote may open in the middle of a word, and closing it ends the word.
/// Unlike Sentinel, which waits for a line end that it cannot see behind a NUL, a NUL is a byte as any other.
pub(super) fn split_in_place(line: &mut [u8]) -> Result<Spans, RequestError> {
    let mut words = Spans::new();
    let mut read = 0;
    loop {
        while line.get(read).is_some_and(|&byte| is_blank(byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(words);
        }
        let start = read;
        let mut write = read;
        while let Some(&byte) = line.get(read) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => break,
                b'"' | b'\'' => {
                    (read, write) = unquote(line, read, write)?;
                    break;
                }
                _ => {
                    line[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        }
        words.push(Span::new(start, write));
    }
}

/// Unquotes the quoted part that opens at `read` to `write` (which is not behind it). Gives the offsets
/// behind the closing quote and behind what was written.
fn unquote(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), RequestError> {
    let quote = line[read];
    read += 1;
    loop {
        let (byte, used) = match line.get(read..).unwrap_or_default() {
            [] => return Err(RequestError::UnbalancedQuotes),
            [byte, rest @ ..] if *byte == quote => {
                let closed = rest.first().is_none_or(|&next| is_blank(next));
                return if closed {
                    Ok((read + 1, write))
                } else {
                    Err(RequestError::UnbalancedQuotes)
                };
            }
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [b'\\', rest @ ..] if quote == b'"' && !rest.is_empty() => escape(rest),
            [byte, ..] => (*byte, 1),
        };
        line[write] = byte;
        write += 1;
        read += used;
    }
}

/// The byte that an escape stands for, `rest` being what follows the backslash, and the escape's length
/// with the backslash.
fn escape(rest: &[u8]) -> (u8, usize) {
    if let [b'x', high, low, ..] = rest
        && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
    {
        return (high << 4 | low, 4);
    }
    let byte = match rest.first() {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'b') => 0x08,
        Some(b'a') => 0x07,
        Some(&other) => other,
        None => b'\\',
    };
    (byte, 2)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Blanks between words: those of C's `isspace`.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], expected: Option<&[&[u8]]>) {
        let mut buf = line.to_vec();
        let words = split_in_place(&mut buf).ok();
        let words: Option<Vec<&[u8]>> = words
            .as_ref()
            .map(|spans| spans.iter().map(|span| span.of(&buf)).collect());
        assert_eq!(words.as_deref(), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn words_are_split_on_blanks() {
        check(b"", Some(&[]));
        check(b" \t\x0b\x0c ", Some(&[]));
        check(b"PING", Some(&[b"PING"]));
        check(b"  PING \t hello  ", Some(&[b"PING", b"hello"]));
        check(b"a\\b", Some(&[b"a\\b"]));
        check(b"nul\0byte \xff", Some(&[b"nul\0byte", b"\xff"]));
    }

    #[test]
    fn double_quotes_know_escapes() {
        check(br#""a b" c"#, Some(&[b"a b", b"c"]));
        check(br#""\n\r\t\a\b\\\"""#, Some(&[b"\n\r\t\x07\x08\\\""]));
        check(br#""\x41\xfF\x0g\q""#, Some(&[b"A\xffx0gq"]));
        check(br#""it's""#, Some(&[b"it's"]));
        check(br#""""#, Some(&[b""]));
    }

    #[test]
    fn single_quotes_know_one_escape() {
        check(br"'a b' c", Some(&[b"a b", b"c"]));
        check(br"'\'' '\n' '\\a'", Some(&[b"'", br"\n", br"\\a"]));
        check(br"'\\'", None);
        check(br"''", Some(&[b""]));
    }

    #[test]
    fn a_quote_may_open_in_a_word_but_must_end_it() {
        check(br#"foo"bar baz" x"#, Some(&[b"foobar baz", b"x"]));
        check(br#"foo'bar baz'"#, Some(&[b"foobar baz"]));
        check(br#""a"b"#, None);
        check(br#"'a'b"#, None);
        check(br#""a""b""#, None);
    }

    #[test]
    fn quotes_must_close() {
        check(br#"""#, None);
        check(br"'", None);
        check(br#""abc"#, None);
        check(br#""abc\"#, None);
        check(br#""abc\""#, None);
        check(br"'abc\'", None);
        check(br#"ok "abc'"#, None);
    }
}
