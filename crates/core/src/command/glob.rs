//! Glob patterns over names: `*`, `?`, `[abc]`, `[^abc]`, `[a-z]`, `\x`.

/// Whether the whole text matches. Takes time in proportion to pattern times text at worst: a `*` that turns
/// out wrong is only ever tried again at the last one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one(pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after, from)) = star {
            p = after;
            t = from + 1;
            star = Some((after, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte against the pattern at `p`; gives the place behind what it matched.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (literal == byte).then_some(p + 1),
    }
}

/// Matches a class; one that is never closed ends with the pattern.
fn class(pattern: &[u8], start: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(start) == Some(&b'^');
    let mut p = start + usize::from(negated);
    let mut found = false;
    while p < pattern.len() && pattern[p] != b']' {
        if pattern[p] == b'\\' && p + 1 < pattern.len() {
            found |= pattern[p + 1] == byte;
            p += 2;
        } else if pattern.get(p + 1) == Some(&b'-') && p + 2 < pattern.len() {
            let (a, b) = (pattern[p], pattern[p + 2]);
            found |= (a.min(b)..=a.max(b)).contains(&byte);
            p += 3;
        } else {
            found |= pattern[p] == byte;
            p += 1;
        }
    }
    (found != negated).then_some((p + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_the_reference() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "x"),
            ("my*", "mymaster"),
            ("m?m*r", "mymaster"),
            ("[lm]y*", "mymaster"),
            ("[^a]y*", "mymaster"),
            ("[a-n]ymaster", "mymaster"),
            ("\\*", "*"),
            ("a[", "a"),
            ("*a*b*", "xaxbx"),
        ] {
            assert_eq!(matches(pattern, text), pattern != "a[", "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("my", "mymaster"),
            ("[^m]*", "mymaster"),
            ("?", ""),
            ("\\*", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches(&"*a".repeat(200), &"b".repeat(10_000)));
    }
}
