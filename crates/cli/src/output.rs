//! What goes to the terminal: lines, and colours only where a person looks.
//!
//! Owns the two streams. Never panics on a closed pipe, as `println!` does: writing is fallible and the caller
//! decides.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

/// Standard output, line by line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    colours: bool,
}

/// How a word is shown where colours are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
    Warning,
}

impl Output {
    /// Colours only on a terminal, and not if `NO_COLOR` is set to anything.
    pub(crate) fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: io::stdout().is_terminal() && !unwanted,
        }
    }

    /// Without colours.
    pub(crate) const fn plain() -> Self {
        Self { colours: false }
    }

    /// Writes one line.
    ///
    /// # Errors
    ///
    /// What writing gave, a closed pipe above all.
    pub(crate) fn line(self, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// `text` in a style.
    pub(crate) fn paint(self, style: Style, text: impl Display) -> String {
        if !self.colours {
            return text.to_string();
        }
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Bad => 31,
            Style::Good => 32,
            Style::Warning => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Whether colours are shown.
    pub(crate) const fn colours(self) -> bool {
        self.colours
    }
}

/// A count with its noun.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes one line to standard error. That it cannot be written has nowhere to be told.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether `error` is about a reader of our output that has gone away.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_closed_pipe_is_found_under_context() {
        let broken: io::Result<()> = Err(io::ErrorKind::BrokenPipe.into());
        let error = broken.context("printing the table").unwrap_err();
        assert!(is_closed_pipe(&error));
        assert!(!is_closed_pipe(&anyhow::anyhow!("something else")));
    }

    #[test]
    fn without_a_terminal_there_are_no_colours() {
        assert_eq!(Output::plain().paint(Style::Bad, "down"), "down");
        assert_eq!(
            Output { colours: true }.paint(Style::Bad, "down"),
            "\x1b[31mdown\x1b[0m"
        );
    }
}
