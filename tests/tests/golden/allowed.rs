//! Differences, and the lists of those that are meant: `tests/golden/differences.txt` and, where Valkey answers otherwise
//! than Redis, `valkey.txt`.
//!
//! An entry begins with `[name]`. Each `case:` in it, with `reference:` and `here:`, is one difference: what was sent,
//! what the reference answers and what we do, each with `*` for anything. `event:` stands for a difference between the
//! events of a situation. Then, for people: `what`, `theirs`, `ours`, `why`. `sometimes: yes` marks what depends on
//! timing and so may be missing, `valkey: too` what Valkey does as Redis.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use bellwether_tests::Kind;

use crate::table::{Case, Form, directory};
use crate::wire::Reply;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What was sent, or in which situation an event came.
    pub(crate) case: String,
    pub(crate) form: Option<Form>,
    pub(crate) reference: String,
    pub(crate) here: String,
}

impl Difference {
    fn is_like(&self, other: &Self) -> bool {
        (&self.case, &self.reference, &self.here) == (&other.case, &other.reference, &other.here)
    }
}

/// What stands for nothing on one side.
pub(crate) const NOTHING: &str = "-";

/// The differences between the replies to a case. Texts of several lines and lists without order differ by line.
pub(crate) fn differences(case: &Case, form: Form, theirs: &[Reply], ours: &[Reply]) -> Vec<Difference> {
    let difference = |reference: String, here: String| Difference {
        case: case.text.clone(),
        form: Some(form),
        reference,
        here,
    };
    if theirs.len() != ours.len() {
        let all = |replies: &[Reply]| replies.iter().map(Reply::render).collect::<Vec<_>>().join(" ");
        return vec![difference(all(theirs), all(ours))];
    }
    let mut found = Vec::new();
    for (theirs, ours) in theirs.iter().zip(ours).filter(|(theirs, ours)| theirs != ours) {
        match (parts(theirs, case), parts(ours, case)) {
            (Some(their_parts), Some(our_parts)) => {
                let (theirs, ours) = unmatched(their_parts, our_parts);
                found.extend(
                    theirs
                        .into_iter()
                        .map(|part| difference(part, NOTHING.to_owned())),
                );
                found.extend(ours.into_iter().map(|part| difference(NOTHING.to_owned(), part)));
            }
            _ => found.push(difference(theirs.render(), ours.render())),
        }
    }
    found
}

/// What has no counterpart on the other side.
pub(crate) fn unmatched(theirs: Vec<String>, mut ours: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut left = Vec::new();
    for part in theirs {
        match ours.iter().position(|other| *other == part) {
            Some(at) => {
                ours.remove(at);
            }
            None => left.push(part),
        }
    }
    (left, ours)
}

/// The parts of a reply that can differ one by one.
fn parts(reply: &Reply, case: &Case) -> Option<Vec<String>> {
    match reply {
        Reply::Bulk { text, .. } if text.starts_with("# ") => Some(text.lines().map(str::to_owned).collect()),
        Reply::Bulk { kind, text } if text.trim_start_matches("txt:").starts_with("id=") => {
            let words = text.split([' ', '\n']).map(str::to_owned);
            Some(std::iter::once(kind.to_string()).chain(words).collect())
        }
        Reply::List { items, .. } if case.unordered => Some(items.iter().map(Reply::render).collect()),
        _ => None,
    }
}

/// The list of what is meant.
pub(crate) struct Allowed(Vec<Entry>);

/// One reason to differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) name: String,
    patterns: Vec<Pattern>,
    pub(crate) what: String,
    pub(crate) theirs: String,
    pub(crate) ours: String,
    pub(crate) why: String,
    sometimes: bool,
    pub(crate) valkey_too: bool,
}

#[derive(Clone, Debug, Default)]
struct Pattern {
    case: String,
    is_event: bool,
    reference: String,
    here: String,
}

impl Entry {
    pub(crate) fn is_about_events(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_event)
    }
}

impl Allowed {
    /// Those to this reference.
    pub(crate) fn read_for(reference: Kind) -> Result<Self> {
        let mut redis = Self::read("differences.txt")?;
        if reference == Kind::RedisSentinel {
            return Ok(redis);
        }
        redis.keep(|entry| entry.valkey_too);
        let mut valkey = Self::read("valkey.txt")?;
        valkey.0.extend(redis.0);
        Ok(valkey)
    }

    pub(crate) fn read(name: &str) -> Result<Self> {
        let path = directory().join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("{} line {}", path.display(), index + 1);
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                entries.push(Entry {
                    name: name.to_owned(),
                    ..Entry::default()
                });
                continue;
            }
            let entry = entries.last_mut().with_context(place)?;
            entry.take(line).with_context(place)?;
        }
        for entry in &entries {
            let cells = [&entry.what, &entry.theirs, &entry.ours, &entry.why];
            let is_whole = !entry.patterns.is_empty() && cells.iter().all(|cell| !cell.is_empty());
            ensure!(is_whole, "{}: [{}] lacks something", path.display(), entry.name);
        }
        Ok(Self(entries))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(crate) fn keep(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.0.retain(keep);
    }

    /// Whether a difference is meant.
    pub(crate) fn covers(&self, difference: &Difference) -> bool {
        self.0.iter().any(|entry| entry.covers(difference))
    }

    /// Which differences are meant, which are not, and which entries nothing needed.
    pub(crate) fn judge(&self, differences: &[Difference]) -> Report {
        let mut report = Report::default();
        let mut used = vec![false; self.0.len()];
        for difference in differences {
            let hit = self.0.iter().position(|entry| entry.covers(difference));
            match hit {
                Some(at) => {
                    if let Some(used) = used.get_mut(at) {
                        *used = true;
                    }
                    report.meant += 1;
                }
                None => report.wrong.push(difference.clone()),
            }
        }
        for (entry, used) in self.0.iter().zip(used) {
            if used {
                report.reasons.push(entry.name.clone());
            } else if !entry.sometimes {
                report.unused.push(entry.name.clone());
            }
        }
        report
    }
}

impl Entry {
    fn take(&mut self, line: &str) -> Result<()> {
        let (key, value) = line.split_once(':').context("a line without a colon")?;
        let value = value.trim().to_owned();
        if key == "case" || key == "event" {
            self.patterns.push(Pattern {
                case: value,
                is_event: key == "event",
                reference: "*".to_owned(),
                here: "*".to_owned(),
            });
            return Ok(());
        }
        let pattern = self.patterns.last_mut();
        match (key, pattern) {
            ("reference", Some(pattern)) => pattern.reference = value,
            ("here", Some(pattern)) => pattern.here = value,
            ("what", _) => self.what = value,
            ("theirs", _) => self.theirs = value,
            ("ours", _) => self.ours = value,
            ("why", _) => self.why = value,
            ("sometimes", _) => self.sometimes = value == "yes",
            ("valkey", _) => self.valkey_too = value == "too",
            _ => bail!("{key} is unknown here"),
        }
        Ok(())
    }

    fn covers(&self, difference: &Difference) -> bool {
        let is_event = difference.form.is_none();
        self.patterns.iter().any(|pattern| {
            pattern.is_event == is_event
                && matches(&pattern.case, &difference.case)
                && matches(&pattern.reference, &difference.reference)
                && matches(&pattern.here, &difference.here)
        })
    }
}

/// Whether a text matches a pattern in which `*` stands for anything; the marked text `\*` is a star.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = pattern.replace("\\*", "\u{1}");
    let text = text.replace('*', "\u{1}");
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Report {
    meant: usize,
    reasons: Vec<String>,
    wrong: Vec<Difference>,
    unused: Vec<String>,
}

impl Report {
    pub(crate) fn into_result(self) -> Result<()> {
        let Self { wrong, unused, .. } = self;
        ensure!(
            wrong.is_empty() && unused.is_empty(),
            "{} differences have no reason, and {} reasons no difference (both are named above)",
            wrong.len(),
            unused.len()
        );
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, reasons) = (self.reasons.len(), self.reasons.join(", "));
        write!(f, "{} differences for {count} reasons: {reasons}", self.meant)?;
        let mut shown: Vec<&Difference> = Vec::new();
        for difference in &self.wrong {
            // The same in another form is no news.
            if shown.iter().any(|other| other.is_like(difference)) {
                continue;
            }
            shown.push(difference);
            let Difference {
                case,
                form,
                reference,
                here,
            } = difference;
            let form = form.map_or_else(String::new, |form| format!(" ({form:?})"));
            write!(
                f,
                "\nno reason: {case}{form}\n  reference: {reference}\n  here:      {here}"
            )?;
        }
        for name in &self.unused {
            write!(f, "\nno difference: [{name}]")?;
        }
        Ok(())
    }
}
