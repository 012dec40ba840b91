//! A text and where it came from, and one statement of it. Knows nothing of what a statement means.

use std::sync::Arc;

use crate::diagnostic::COVER;
use crate::lex::Word;

/// One text to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What diagnostics call it: the path of a file, `standard input`, `command line`.
    pub name: String,
    /// The text itself.
    pub text: String,
}

impl Source {
    /// Joins a name and a text.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// Directives whose value must not appear in a log, with the number of words before the value.
const SECRET: &[(&str, &str, usize)] = &[
    ("requirepass", "", 1),
    ("masterauth", "", 1),
    ("primaryauth", "", 1),
    ("user", "", 2),
    ("tls-key-file-pass", "", 1),
    ("tls-client-key-file-pass", "", 1),
    ("sentinel", "auth-pass", 3),
    ("sentinel", "sentinel-pass", 2),
];

/// One line that says something, cut into words.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// The name of the text it stands in.
    pub(crate) file: Arc<str>,
    /// Which of the texts that is; the main file is [`Statement::MAIN`].
    pub(crate) source: usize,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
    /// At least one word.
    pub(crate) words: Vec<Word>,
    /// The whole line without the blanks at its end.
    pub(crate) raw: String,
}

impl Statement {
    pub(crate) const MAIN: usize = 0;

    /// The words after the first `skip`.
    pub(crate) fn args(&self, skip: usize) -> &[Word] {
        self.words.get(skip..).unwrap_or_default()
    }

    /// The text of a word; empty if there is none at `index`.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| word.text.as_str())
    }

    /// Line and column of a word, or of the last one if there are not so many.
    pub(crate) fn place(&self, index: usize) -> (usize, usize) {
        self.words
            .get(index)
            .or_else(|| self.words.last())
            .map_or((self.line, 1), |word| (word.line, word.column))
    }

    /// The line as it may be shown: passwords are covered.
    pub(crate) fn shown(&self) -> String {
        let covered = SECRET.iter().find(|(name, sub, _)| {
            self.text(0).eq_ignore_ascii_case(name)
                && (sub.is_empty() || self.text(1).eq_ignore_ascii_case(sub))
        });
        match covered {
            Some(&(_, _, open)) if self.words.len() > open => {
                let open: Vec<&str> = self.words.iter().take(open).map(|w| w.text.as_str()).collect();
                format!("{} {COVER}", open.join(" "))
            }
            _ => self.raw.clone(),
        }
    }
}
