//! Glob patterns over bytes, as commands, access rules and subscribers write them: `*`, `?`, `[abc]`, `[^abc]`, `[a-z]`, `\x`.
//!
//! Matching takes at most (pattern length × text length) steps whatever the pattern is, because only the last
//! star is ever tried again. It never allocates and never recurses.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    walk(pattern, text, false)
}

/// As [`matches()`], without regard to ASCII case.
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    walk(pattern, text, true)
}

fn walk(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut at, mut from) = (0, 0);
    // Behind the last star, and where the text goes on if that star takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        if let [b'*', ..] = rest {
            at += 1;
            retry = Some((at, from));
            continue;
        }
        let step = match text.get(from) {
            Some(&byte) => one(rest, byte, ignore_case),
            None if rest.is_empty() => return true,
            // The text is used up; a longer bite of any star could only make it worse.
            None => return false,
        };
        match (step, retry) {
            (Some(len), _) => {
                at += len;
                from += 1;
            }
            (None, Some((behind, start))) => {
                at = behind;
                from = start + 1;
                retry = Some((behind, from));
            }
            (None, None) => return false,
        }
    }
}

/// Matches one byte against the element that `pattern` begins with; gives the element's length.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => {
            let (hit, len) = class(pattern, byte, ignore_case);
            hit.then_some(len)
        }
        [b'\\', escaped, ..] => same(*escaped, byte, ignore_case).then_some(2),
        [plain, ..] => same(*plain, byte, ignore_case).then_some(1),
    }
}

/// Whether `byte` is in the class that `pattern` begins with, and the class's length. As Sentinel, a class
/// that is not closed ends with the pattern, and a range may be written backwards.
fn class(pattern: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut hit = false;
    let fold = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => return (hit != negated, at),
            [b']', ..] => return (hit != negated, at + 1),
            [b'\\', escaped, ..] => {
                hit |= same(*escaped, byte, ignore_case);
                at += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low.min(high)), fold(*low.max(high)));
                hit |= (low..=high).contains(&fold(byte));
                at += 3;
            }
            [plain, ..] => {
                hit |= same(*plain, byte, ignore_case);
                at += 1;
            }
        }
    }
}

fn same(a: u8, b: u8, ignore_case: bool) -> bool {
    if ignore_case {
        a.eq_ignore_ascii_case(&b)
    } else {
        a == b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} should match {text}"
            );
        }
        for text in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} should not match {text}"
            );
        }
    }

    #[test]
    fn stars_and_question_marks() {
        check("*", &["", "+sdown"], &[]);
        check("+*", &["+", "+sdown"], &["-sdown", ""]);
        check(
            "*master*",
            &["+switch-master", "master", "+reset-master x"],
            &["maste"],
        );
        check("a?c", &["abc"], &["ac", "abbc"]);
        check("a*b*c", &["abc", "aXbYc", "abbcc"], &["acb", "ab"]);
        check("", &[""], &["a"]);
        check("**a**", &["a", "bab"], &["b"]);
    }

    #[test]
    fn classes() {
        check("[-+]sdown", &["+sdown", "-sdown"], &["sdown", "*sdown"]);
        check("[a-c]x", &["ax", "cx"], &["dx", "-x"]);
        check("[c-a]x", &["bx"], &["dx"]);
        check("[^a]", &["b"], &["a", ""]);
        check(r"[\]]", &["]"], &["\\"]);
        check("[ab", &["a", "b"], &["c"]);
        check("[]", &[], &["a", ""]);
        check("[^]", &["a"], &[""]);
    }

    #[test]
    fn escapes() {
        check(r"\*", &["*"], &["a"]);
        check(r"a\?", &["a?"], &["ab"]);
        check(r"a\", &[r"a\"], &["a"]);
    }

    #[test]
    fn case_counts_unless_told_otherwise() {
        check("ABC", &[], &["abc"]);
        assert!(matches_ignoring_case(b"A[B-D]*", b"abX"));
        assert!(!matches_ignoring_case(b"A[B-D]*", b"aeX"));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = [b"*a".repeat(2_000), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(4_000)));
    }
}
