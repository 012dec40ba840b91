//! What is wrong with a configuration, and where. Collects; never decides what is wrong.

use std::fmt;

use crate::source::Statement;

/// How many errors, and how many warnings, are kept. Nobody reads more, and a file of garbage must not
/// grow into a report many times its size.
const MAX_DIAGNOSTICS: usize = 1000;

/// What stands in place of a password.
pub(crate) const COVER: &str = "******";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is usable, but not all of it has the effect that one might expect.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// One problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the text, as in [`Source`](crate::Source).
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line itself, blanks in front included; empty where it cannot be shown. Passwords are covered.
    pub directive: String,
    /// What is wrong; the words of the reference where it has some.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: message`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    /// The problem over several lines: message, the line with a caret under the place, and the hint.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = match self.severity {
            Severity::Error => format!("error: {self}"),
            Severity::Warning => format!("warning: {self}"),
        };
        if !self.directive.is_empty() {
            text.push_str(&format!("\n  | {}", self.directive));
            // Where something is covered, columns do not fit any more.
            if !self.directive.ends_with(COVER) {
                let before = self.directive.chars().take(self.column.saturating_sub(1));
                let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                text.push_str(&format!("\n  | {indent}^"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n  = {hint}"));
        }
        text
    }
}

/// Why a statement is refused: the word that is to blame, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) word: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(word: usize, message: impl Into<String>) -> Self {
        Self {
            word,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Problems {
    pub(crate) fn error(&mut self, statement: &Statement, fault: Fault) {
        self.add(Severity::Error, statement, fault);
    }

    pub(crate) fn warning(&mut self, statement: &Statement, fault: Fault) {
        self.add(Severity::Warning, statement, fault);
    }

    fn add(&mut self, severity: Severity, statement: &Statement, fault: Fault) {
        self.push(Self::diagnostic(severity, statement, fault));
    }

    /// A fault with the place of its statement; it is not kept.
    pub(crate) fn diagnostic(severity: Severity, statement: &Statement, fault: Fault) -> Diagnostic {
        let (line, column) = statement.place(fault.word);
        Diagnostic {
            severity,
            file: statement.file.to_string(),
            line,
            column,
            directive: statement.shown(),
            message: fault.message,
            hint: fault.hint,
        }
    }

    /// Keeps a problem, or only counts it if there are too many of its kind already.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_DIAGNOSTICS {
            self.found.push(diagnostic);
        }
    }

    /// Whether there are so many errors that reading on is of no use.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= MAX_DIAGNOSTICS
    }

    /// The warnings, or everything if there is an error; in the order of the texts in `files`.
    pub(crate) fn finish(mut self, files: &[String]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let rank = |file: &str| {
            files
                .iter()
                .position(|known| known == file)
                .unwrap_or(files.len())
        };
        self.found
            .sort_by_cached_key(|d| (rank(&d.file), d.line, d.column));
        if self.errors > 0 {
            Err(self.found)
        } else {
            Ok(self.found)
        }
    }
}
