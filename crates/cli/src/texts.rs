//! The files behind a configuration: reading them, finding what an `include` names, and keeping their lines for
//! what is said about them.
//!
//! Owns all access to files that a configuration needs before the daemon runs. Never knows what a directive
//! means.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, anyhow};
use bellwether_conf::{Config, Diagnostic, Problem, Severity, Source};
use bellwether_server::read_small_text;
use rustix::fs::{Access, access};

use crate::{
    named,
    output::{Output, Style},
};

/// Longest text that is read, in bytes: what `conf` reads in all. It keeps a wrong path, to a device for
/// instance, from filling the memory.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Most files that one `include` may name.
const MAX_MATCHES: usize = 1_000;

/// A configuration, or what is wrong with it, with the texts that it was read from.
pub(crate) struct Parsed {
    pub(crate) result: Result<Config, Vec<Diagnostic>>,
    /// The main text, the overrides, the included ones.
    texts: Vec<Source>,
    overridden: usize,
}

/// Reads the configuration that begins in the file at `path`.
///
/// # Errors
///
/// If that file cannot be read. Problems inside of it are in the result.
pub(crate) fn parse(path: &Path, overrides: Vec<Source>) -> anyhow::Result<Parsed> {
    let main = read_file(path)
        .with_context(|| format!("Fatal error, can't open config file '{}'", path.display()))?;
    Ok(parse_source(main, overrides))
}

/// Reads the configuration that begins in `main`.
pub(crate) fn parse_source(main: Source, overrides: Vec<Source>) -> Parsed {
    let overridden = overrides.len();
    let mut texts = vec![main.clone()];
    texts.extend(overrides.iter().cloned());
    let result = bellwether_conf::parse_auto(&main, &overrides, &mut |pattern| {
        let found = find(pattern).map_err(|error| format!("{error:#}"))?;
        texts.extend(found.iter().cloned());
        Ok(found)
    });
    Parsed {
        result,
        texts,
        overridden,
    }
}

/// Directives from standard input.
pub(crate) fn read_stdin() -> anyhow::Result<Source> {
    Ok(Source::new(
        "standard input",
        text(io::stdin().lock()).context("standard input")?,
    ))
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    Ok(Source::new(path.to_string_lossy(), text(File::open(path)?)?))
}

/// Unlike the file that the configuration begins in, which may well be `/dev/stdin`, an included one must be a regular file:
/// a pattern can hit a named pipe, and nobody may ever write into that.
fn included(path: &Path) -> anyhow::Result<Source> {
    let text = read_small_text(path, MAX_TEXT_BYTES)?;
    Ok(Source::new(path.to_string_lossy(), text))
}

fn text(from: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(anyhow!("it is longer than {MAX_TEXT_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("it is not UTF-8 in line {line}")
    })
}

/// As Sentinel: with `* ? [` in it, the path is a pattern, and no match is no error.
fn find(pattern: &str) -> anyhow::Result<Vec<Source>> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![included(Path::new(pattern))?]);
    }
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let mut found = Vec::new();
    for path in glob::glob_with(pattern, options)? {
        let path = path?;
        if found.len() == MAX_MATCHES {
            return Err(anyhow!("it names more than {MAX_MATCHES} files"));
        }
        found.push(included(&path).with_context(|| path.display().to_string())?);
    }
    Ok(found)
}

impl Parsed {
    /// The same, refused if a script that it names cannot be run here, or a user's rules make no sense.
    pub(crate) fn with_scripts_judged(self) -> Self {
        self.judged(|config, _| named::users(config))
    }

    /// The same, refused if anything that it names cannot be used here.
    pub(crate) fn with_all_judged(self) -> Self {
        self.judged(|config, main| named::problems(config, Path::new(&main.name)))
    }

    fn judged(mut self, look: fn(&Config, &Source) -> Vec<Problem>) -> Self {
        let (Ok(config), Some(main)) = (&mut self.result, self.texts.first()) else {
            return self;
        };
        let mut found = bellwether_conf::judge_scripts(config, main, &mut is_executable);
        found.extend(config.place(main, look(config, main)));
        found.append(&mut config.warnings);
        let rank = |file: &str| self.texts.iter().position(|text| text.name == file);
        found.sort_by_cached_key(|d| (rank(&d.file), d.line, d.column));
        if found.iter().any(|d| d.severity == Severity::Error) {
            self.result = Err(found);
        } else {
            config.warnings = found;
        }
        self
    }

    /// The text that it begins in.
    pub(crate) fn main(&self) -> Option<&Source> {
        self.texts.first()
    }

    /// The texts that were included.
    pub(crate) fn included(&self) -> &[Source] {
        self.texts.get(1 + self.overridden..).unwrap_or_default()
    }

    /// All errors and warnings.
    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        match &self.result {
            Ok(config) => &config.warnings,
            Err(diagnostics) => diagnostics,
        }
    }

    /// One problem for people: what, where, and the line with a caret under the place.
    pub(crate) fn explain(&self, diagnostic: &Diagnostic, out: Output) -> String {
        let Diagnostic {
            severity,
            file,
            line,
            column,
            directive,
            message,
            hint,
        } = diagnostic;
        let severity = match severity {
            Severity::Error => out.paint(Style::Bad, "error"),
            Severity::Warning => out.paint(Style::Warning, "warning"),
        };
        let mut text = format!("{severity}: {}\n", out.paint(Style::Bold, message));
        let number = line.to_string();
        // Blanks in front would only move the line away from its number.
        let directive = directive.trim_start();
        let margin = " ".repeat(number.len());
        text.push_str(&format!("{margin}--> {file}:{line}:{column}\n"));
        if !directive.is_empty() {
            text.push_str(&format!("{margin} |\n{number} | {directive}\n"));
            if let Some(offset) = self.caret(diagnostic) {
                text.push_str(&format!(
                    "{margin} | {}{}\n",
                    " ".repeat(offset),
                    out.paint(Style::Bad, '^')
                ));
            }
        }
        if let Some(hint) = hint {
            text.push_str(&format!("{margin} = {hint}\n"));
        }
        text
    }

    /// How far into the shown line the problem is. What is shown lacks the blanks in front, and stars stand for
    /// passwords; behind such stars there is no place to point at.
    fn caret(&self, diagnostic: &Diagnostic) -> Option<usize> {
        let source = self.texts.iter().find(|source| source.name == diagnostic.file)?;
        let line = source.text.split('\n').nth(diagnostic.line.checked_sub(1)?)?;
        let shown = line.trim_start();
        let blanks = line.chars().count() - shown.chars().count();
        let offset = diagnostic.column.checked_sub(1 + blanks)?;
        let same = shown
            .chars()
            .zip(diagnostic.directive.trim_start().chars())
            .take_while(|(a, b)| a == b)
            .count();
        (offset <= same).then_some(offset)
    }
}

/// As Sentinel asks: whether this process may run it.
fn is_executable(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (tempfile::TempDir, Parsed) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        std::fs::write(&file, text).unwrap();
        let parsed = parse(&file, Vec::new()).unwrap();
        (dir, parsed)
    }

    #[test]
    fn the_caret_stands_under_the_word() {
        let (_dir, parsed) = parsed("port 1\n  sentinel monitor cache 127.0.0.1 6379 0\n");
        let [problem] = parsed.diagnostics() else {
            panic!("{:?}", parsed.diagnostics())
        };
        let text = parsed.explain(problem, Output::plain());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("error: "), "{text}");
        assert!(lines[1].ends_with("s.conf:2:41"), "{text}");
        let caret = lines[4].find('^').unwrap();
        assert_eq!(&lines[3][caret..], "0", "{text}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let (_dir, parsed) = parsed("sentinel auth-pass nobody secret\n");
        let text: String = parsed
            .diagnostics()
            .iter()
            .map(|problem| parsed.explain(problem, Output::plain()))
            .collect();
        assert!(
            text.contains("auth-pass nobody") && !text.contains("secret"),
            "{text}"
        );
    }

    #[test]
    fn scripts_must_be_there() {
        let named = |script: &str| {
            let text = format!("sentinel monitor m 127.0.0.1 1 1\nsentinel notification-script m {script}\n");
            let (_dir, parsed) = parsed(&text);
            let problems = parsed.with_scripts_judged();
            problems
                .diagnostics()
                .iter()
                .map(|d| d.message.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(named("/bin/sh"), [""; 0]);
        let refusal = "Notification script seems non existing or non executable.";
        assert_eq!(named("/no/such/script"), [refusal]);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(named(&file.path().display().to_string()), [refusal]);
    }

    #[test]
    fn an_include_may_be_a_pattern() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("b.inc", "sentinel monitor b 127.0.0.1 6380 1\n");
        write("a.inc", "sentinel monitor a 127.0.0.1 6379 1\nnonsense\n");
        write(".hidden.inc", "more nonsense\n");
        let path = dir.path().display();
        write(
            "s.conf",
            &format!("include {path}/*.inc\ninclude {path}/none-*.inc\ninclude {path}/missing\n"),
        );
        let parsed = parse(&dir.path().join("s.conf"), Vec::new()).unwrap();
        let places: Vec<String> = parsed
            .diagnostics()
            .iter()
            .map(|d| format!("{}:{}", d.file.rsplit('/').next().unwrap(), d.line))
            .collect();
        assert_eq!(places, ["s.conf:3", "a.inc:2"]);
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let error = parse(Path::new("/no/such.conf"), Vec::new()).err().unwrap();
        assert!(
            format!("{error:#}").contains("'/no/such.conf': No such file"),
            "{error:#}"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"port 1\n\xff\n").unwrap();
        let error = parse(file.path(), Vec::new()).err().unwrap();
        assert!(format!("{error:#}").ends_with("not UTF-8 in line 2"), "{error:#}");
    }
}
