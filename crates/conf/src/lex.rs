//! Lines to words, and a value to a word: the quoting rules of `sentinel.conf`.

use std::borrow::Cow;

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its value, quotes and escapes resolved.
    pub(crate) text: String,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
    /// The column of its first character, from 1.
    pub(crate) column: usize,
}

/// Why a line cannot be cut into words, and the column of the word that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) column: usize,
    pub(crate) kind: LexErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LexErrorKind {
    /// A quote is not closed, or something follows the closing quote at once.
    Unbalanced,
    /// `\xHH` escapes built something that is not UTF-8.
    NotUtf8,
    /// A NUL, at which the reference would stop reading the line.
    Nul,
}

/// Whether a line says nothing: it is blank or a comment. There are no comments behind a directive.
pub(crate) fn is_silent(line: &str) -> bool {
    let line = trim(line);
    line.is_empty() || line.starts_with('#')
}

/// Takes off what the reference takes off both ends of a line.
pub(crate) fn trim(line: &str) -> &str {
    line.trim_matches([' ', '\t', '\r', '\n'])
}

/// Cuts a line into words.
///
/// Words split at blanks. `"…"` knows `\n \r \t \b \a \\ \" \xHH`, any other escaped character stands for itself;
/// `'…'` knows only `\'`. A quote may open in the middle of a word and must close at the end of one.
pub(crate) fn split(line: &str, number: usize) -> Result<Vec<Word>, LexError> {
    let mut cursor = Cursor {
        bytes: line.as_bytes(),
        at: 0,
        column: 1,
    };
    let mut words = Vec::new();
    loop {
        while cursor.peek().is_some_and(is_space) {
            cursor.bump();
        }
        if cursor.peek().is_none() {
            return Ok(words);
        }
        let column = cursor.column;
        let fail = |kind| LexError { column, kind };
        let bytes = cursor.word().map_err(fail)?;
        let text = String::from_utf8(bytes).map_err(|_| fail(LexErrorKind::NotUtf8))?;
        words.push(Word {
            text,
            line: number,
            column,
        });
    }
}

/// A value as one word of a line: as it is if that is safe, otherwise in double quotes with escapes.
///
/// Unlike Sentinel before 2026, which wrote values as they were, so that a blank in a password made a file that
/// could not be loaded again, and a newline smuggled in a directive.
#[must_use]
pub fn quote(value: &str) -> Cow<'_, str> {
    let odd = |c: char| matches!(c, ' ' | '"' | '\'' | '\\') || c.is_control();
    if !value.is_empty() && !value.starts_with('#') && !value.contains(odd) {
        return Cow::Borrowed(value);
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    column: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        // A column is a character, so the bytes that continue one do not count.
        if self.peek().is_none_or(|next| next & 0xC0 != 0x80) {
            self.column += 1;
        }
        Some(byte)
    }

    /// Reads one word; the cursor stands on its first byte.
    fn word(&mut self) -> Result<Vec<u8>, LexErrorKind> {
        let mut word = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                0 => return Err(LexErrorKind::Nul),
                b'"' | b'\'' => {
                    self.bump();
                    self.quoted(byte, &mut word)?;
                    // The reference wants a blank or the end behind a closing quote.
                    if self.peek().is_some_and(|next| !is_space(next)) {
                        return Err(LexErrorKind::Unbalanced);
                    }
                    break;
                }
                _ => {
                    self.bump();
                    word.push(byte);
                }
            }
        }
        Ok(word)
    }

    /// Reads to the closing quote; the cursor stands behind the opening one.
    fn quoted(&mut self, quote: u8, word: &mut Vec<u8>) -> Result<(), LexErrorKind> {
        loop {
            let byte = self.bump().ok_or(LexErrorKind::Unbalanced)?;
            match byte {
                0 => return Err(LexErrorKind::Nul),
                b'\\' if quote == b'"' => {
                    let escaped = self.escape()?;
                    word.push(escaped);
                }
                b'\\' if self.peek() == Some(b'\'') => {
                    self.bump();
                    word.push(b'\'');
                }
                byte if byte == quote => return Ok(()),
                byte => word.push(byte),
            }
        }
    }

    /// Reads an escape of a double-quoted word; the cursor stands behind the backslash.
    fn escape(&mut self) -> Result<u8, LexErrorKind> {
        let byte = self.bump().ok_or(LexErrorKind::Unbalanced)?;
        Ok(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'a' => 0x07,
            b'x' => {
                let digit = |at: usize| self.bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
                match (digit(self.at), digit(self.at + 1)) {
                    (Some(high), Some(low)) => {
                        self.bump();
                        self.bump();
                        // Two hexadecimal digits: at most 255.
                        u8::try_from(high * 16 + low).map_err(|_| LexErrorKind::NotUtf8)?
                    }
                    _ => b'x',
                }
            }
            0 => return Err(LexErrorKind::Nul),
            other => other,
        })
    }
}

/// Blanks as the reference's C library has them.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line, 1).expect(line).into_iter().map(|w| w.text).collect()
    }

    fn fails(line: &str, column: usize, kind: LexErrorKind) {
        assert_eq!(split(line, 1), Err(LexError { column, kind }), "{line:?}");
    }

    #[test]
    fn words_split_at_blanks() {
        assert_eq!(words("port\t 26379 "), ["port", "26379"]);
        assert_eq!(words("  "), [""; 0]);
        assert_eq!(words("a # b"), ["a", "#", "b"]);
    }

    #[test]
    fn quotes_may_open_in_the_middle() {
        assert_eq!(words(r#"ab"c d" e"#), ["abc d", "e"]);
        assert_eq!(words(r#""" x"#), ["", "x"]);
        assert_eq!(words(r"'it\'s \n'"), [r"it's \n"]);
        assert_eq!(words(r#""\x41\n\q\xzz\"""#), ["A\nqxzz\""]);
    }

    #[test]
    fn bad_quotes_name_their_word() {
        fails(r#"a "b"#, 3, LexErrorKind::Unbalanced);
        fails(r#"ä "b"c"#, 3, LexErrorKind::Unbalanced);
        fails(r#""a\"#, 1, LexErrorKind::Unbalanced);
        fails("'a", 1, LexErrorKind::Unbalanced);
        fails(r#""\xff""#, 1, LexErrorKind::NotUtf8);
        fails("a\0", 1, LexErrorKind::Nul);
    }

    #[test]
    fn columns_count_characters() {
        let columns: Vec<_> = split("ää  b\tc", 7)
            .unwrap()
            .iter()
            .map(|w| (w.line, w.column))
            .collect();
        assert_eq!(columns, [(7, 1), (7, 5), (7, 7)]);
    }

    #[test]
    fn values_are_quoted_only_when_needed() {
        assert_eq!(quote("plain-Ä#1"), "plain-Ä#1");
        assert_eq!(quote(""), r#""""#);
        assert_eq!(quote("#a"), r##""#a""##);
        assert_eq!(quote("a b\n\u{1}\u{85}"), r#""a b\n\x01\xc2\x85""#);
        assert_eq!(quote(r#"'"\"#), r#""'\"\\""#);
    }
}
