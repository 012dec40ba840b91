//! A text and where it came from, and one statement of it. Of what a statement means it knows only what must not be shown.

use std::sync::Arc;

use crate::diagnostic::COVER;
use crate::lex::Word;
use crate::{generic, sentinel};

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

/// As much of a word as looks like the name of a directive. What follows, or a word of another kind, may be a password.
pub(crate) fn name_in(word: &str) -> &str {
    /// No name is longer.
    const MAX_LEN: usize = 64;
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let len = word.bytes().take(MAX_LEN).take_while(is_of_name).count();
    // All of it is ASCII, so this is where a character begins.
    word.get(..len).unwrap_or_default()
}

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

    /// The line as it may be shown: passwords are covered, and so is what a slip in the directive's name keeps us from
    /// knowing.
    pub(crate) fn shown(&self) -> String {
        let Some(open) = self.open_words() else {
            return self.raw.clone();
        };
        let mut shown = String::new();
        for word in self.words.iter().take(open) {
            let name = name_in(&word.text);
            shown.push_str(if self.is_known() { &word.text } else { name });
            if !self.is_known() && name != word.text {
                // `requirepass=PASSWORD`
                return shown + COVER;
            }
            shown.push(' ');
        }
        if open >= self.words.len() {
            return self.raw.clone();
        }
        shown + COVER
    }

    /// How many words may be shown; `None` if all.
    fn open_words(&self) -> Option<usize> {
        if !self.is_known() {
            return Some(self.directive_words());
        }
        let is = |index: usize, name: &str| self.text(index).eq_ignore_ascii_case(name);
        let (_, _, open) = SECRET
            .iter()
            .find(|(name, sub, _)| is(0, name) && (sub.is_empty() || is(1, sub)))?;
        // Where words are missing, what is there may be the password: `sentinel auth-pass PASSWORD`, `user >PASSWORD on`.
        let is_short = self.words.len() <= *open || (is(0, "user") && self.text(1).starts_with(['>', '<']));
        Some(if is_short { self.directive_words() } else { *open })
    }

    /// Whether there is such a directive.
    fn is_known(&self) -> bool {
        let name = self.text(0).to_ascii_lowercase();
        match name.as_str() {
            "sentinel" => self.words.len() == 1 || sentinel::is_directive(self.text(1)),
            "bellwether" => {
                let sub = self.text(1).to_ascii_lowercase();
                self.words.len() == 1 || generic::own_names().any(|own| own == sub)
            }
            _ => generic::is_known(&name),
        }
    }

    /// How many words its name has.
    fn directive_words(&self) -> usize {
        match ["sentinel", "bellwether"]
            .iter()
            .any(|first| self.text(0).eq_ignore_ascii_case(first))
        {
            true => 2,
            false => 1,
        }
    }
}
