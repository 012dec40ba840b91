//! How deep the brackets of a YAML text nest, found in one pass. Owns that limit; judges nothing else.
//!
//! The YAML crate looks at every open bracket again at each token before it notices that there are too many, so that 40 KiB of
//! brackets take seconds.

/// How many brackets may be open at once. The crate refuses more levels than this of any kind, and a configuration has four.
pub(super) const MAX_DEPTH: usize = 128;

/// Line and column of the first bracket that opens one level too many.
///
/// Knows of YAML what it needs to tell a bracket from a character of a text: brackets in quotes and comments count for
/// nothing, and outside of brackets only one that begins a value. A block text (`|`) that looks like brackets could be
/// mistaken for them, but no value of a configuration has so many.
pub(super) fn too_deep(text: &str) -> Option<(usize, usize)> {
    let mut scan = Scan {
        rest: text,
        depth: 0,
        begins: true,
        is_blank: true,
    };
    while let Some(c) = scan.rest.chars().next() {
        let at = scan.rest;
        scan.rest = &at[c.len_utf8()..];
        scan.take(c);
        if scan.depth > MAX_DEPTH {
            let before = &text[..text.len() - at.len()];
            let line = before.rsplit('\n').next().unwrap_or_default();
            return Some((before.matches('\n').count() + 1, line.chars().count() + 1));
        }
    }
    None
}

struct Scan<'t> {
    rest: &'t str,
    depth: usize,
    /// Whether a value could begin here.
    begins: bool,
    /// Whether the character before was blank.
    is_blank: bool,
}

impl Scan<'_> {
    fn take(&mut self, c: char) {
        let was_blank = std::mem::replace(&mut self.is_blank, c.is_whitespace());
        match c {
            '\n' => self.begins = true,
            _ if c.is_whitespace() => {}
            '#' if was_blank => self.skip_to(|text| text.find('\n')),
            // Within brackets no bare text can hold one.
            '[' | '{' if self.begins || self.depth > 0 => {
                self.depth += 1;
                self.begins = true;
            }
            ']' | '}' => {
                self.depth = self.depth.saturating_sub(1);
                self.begins = false;
            }
            ',' if self.depth > 0 => self.begins = true,
            '-' | '?' => self.begins = self.rest.starts_with(char::is_whitespace),
            // Behind a key in quotes the value may follow at once.
            ':' => self.begins |= self.rest.starts_with(char::is_whitespace),
            // The end of the tag or anchor is where the value begins.
            '!' | '&' if self.begins => self.skip_to(|text| text.find(char::is_whitespace)),
            '"' if self.begins => self.skip_to(end_of_double),
            '\'' if self.begins => self.skip_to(end_of_single),
            _ => self.begins = false,
        }
    }

    /// Goes on where `end` says, or ends.
    fn skip_to(&mut self, end: impl Fn(&str) -> Option<usize>) {
        self.rest = end(self.rest).map_or("", |end| &self.rest[end..]);
    }
}

/// Where a text ends whose first `"` was taken: behind the next that is not escaped.
fn end_of_double(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    Some(end? + 1)
}

/// Where a text ends whose first `'` was taken. A doubled one stands for itself; its second half looks like the begin of
/// another such text, which comes to the same.
fn end_of_single(text: &str) -> Option<usize> {
    Some(text.find('\'')? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_that_nest_too_deep_are_found() {
        let many = |unit: &str| unit.repeat(MAX_DEPTH + 1);
        for text in [
            many("["),
            many("{a: "),
            many("[\n"),
            many("[x, "),
            many("[ &a "),
            many("&a ["),
            many("!!seq ["),
            many("['a''', "),
            many("[\"]\\\"]\", "),
            many("[ # ]\n"),
            many("{\"a\":["),
            many("[a-'b, "),
            format!("don't: {}", many("[")),
            format!("- - ? {}", many("[")),
        ] {
            let text = format!("users: 1\n- {text}");
            assert!(too_deep(&text).is_some(), "{text}");
        }
        assert_eq!(
            too_deep(&format!("a: 1\né: {}", many("["))),
            Some((2, 4 + MAX_DEPTH))
        );
    }

    #[test]
    fn brackets_that_are_text_count_for_nothing() {
        let unit = "\
            - \"[[[ \\\" [[[\"\n\
            - '[[[ '' [[['\n\
            - a[[[ {{{ don't\n\
            - https://[::1]:1/[[[\n\
            # [[[ it's\n\
            - [a, {b: \"]\"}, [c]]\n\
            - b # [[[\n";
        assert_eq!(too_deep(&unit.repeat(100)), None);
        let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(too_deep(&format!("{deepest}\n{deepest}")), None);
        assert_eq!(too_deep("a: \"[[["), None);
    }
}
