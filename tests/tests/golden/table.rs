//! The requests: `tests/golden/*.txt`.
//!
//! One case a line; `#` begins a comment, `server NAME` says whom the cases below are sent to. In front of a case:
//! - `!`: sent once, as it changes something; otherwise it is sent inline, as a multibulk, and as that in RESP3;
//! - `?`: both may need a while until they answer the same;
//! - `~`: the order of elements is of no meaning;
//! - `:`: integers are not compared;
//! - `raw`: these very bytes, after which the connection is closed.
//!
//! ` ;; ` stands between requests that are sent at once. `{primary}`, `{replica}`, `{alone}` are ports of servers.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::{Context as _, Result, ensure};

use crate::pair::Servers;

/// How a case is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Inline,
    Multibulk2,
    Multibulk3,
    Raw,
}

/// Requests, and how to look at their replies.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// As it stands in the table, without the marks.
    pub(crate) text: String,
    pub(crate) servers: &'static str,
    pub(crate) eventually: bool,
    pub(crate) unordered: bool,
    pub(crate) any_integer: bool,
    pub(crate) closes: bool,
    once: bool,
}

/// Where the tables are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// All cases of all tables.
pub(crate) fn read_all() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for name in TABLES {
        let path = directory().join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        read(&text, &mut cases).with_context(|| path.display().to_string())?;
    }
    Ok(cases)
}

/// In this order: the last ones change what the coordinators know.
const TABLES: &[&str] = &[
    "protocol.txt",
    "generic.txt",
    "subscriber.txt",
    "unauthenticated.txt",
    "groups.txt",
];

const SERVERS: &[&str] = &["plain", "password", "groups"];

fn read(text: &str, cases: &mut Vec<Case>) -> Result<()> {
    let mut servers = None;
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("server ") {
            servers = SERVERS.iter().copied().find(|known| *known == name);
            ensure!(
                servers.is_some(),
                "line {}: no server is called {name}",
                index + 1
            );
            continue;
        }
        let servers = servers.with_context(|| format!("line {}: for which server?", index + 1))?;
        cases.push(Case::read(line, servers));
    }
    Ok(())
}

impl Case {
    /// A case without marks for a coordinator without groups.
    pub(crate) fn plain(text: &str) -> Self {
        Self::read(text, "plain")
    }

    fn read(line: &str, servers: &'static str) -> Self {
        let (marks, text) = match line.split_once(' ') {
            Some((marks, text)) if marks.chars().all(|mark| "!?~:".contains(mark)) => (marks, text),
            _ => ("", line),
        };
        let raw = text.strip_prefix("raw ");
        Self {
            text: raw.unwrap_or(text).to_owned(),
            servers,
            eventually: marks.contains('?'),
            unordered: marks.contains('~'),
            any_integer: marks.contains(':'),
            closes: raw.is_some(),
            once: marks.contains('!'),
        }
    }

    pub(crate) fn forms(&self) -> &'static [Form] {
        match self {
            Self { closes: true, .. } => &[Form::Raw],
            Self { once: true, .. } => &[Form::Multibulk2],
            _ => &[Form::Inline, Form::Multibulk2, Form::Multibulk3],
        }
    }

    /// What is sent.
    pub(crate) fn bytes(&self, form: Form, servers: &Servers) -> Vec<u8> {
        let text = servers.fill_in(&self.text);
        if form == Form::Raw {
            return unescape(&text);
        }
        let mut bytes = Vec::new();
        if form == Form::Multibulk3 && servers.opens_with_hello() {
            bytes.extend_from_slice(b"HELLO 3\r\n");
        }
        for request in text.split(" ;; ") {
            if form == Form::Inline {
                bytes.extend_from_slice(request.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            } else {
                let words = words(request);
                bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
                for word in words {
                    bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                    bytes.extend_from_slice(&word);
                    bytes.extend_from_slice(b"\r\n");
                }
            }
        }
        bytes
    }

    /// The commands in it, as `COMMAND LIST` names them, containers among them.
    pub(crate) fn command_names(&self) -> Vec<String> {
        let name = |request: &str| {
            let words: Vec<String> = request
                .split_ascii_whitespace()
                .map(str::to_ascii_lowercase)
                .collect();
            let plain = words.first().cloned().unwrap_or_default();
            let both = words.get(1).map(|second| format!("{plain}|{second}"));
            iter::once(plain).chain(both).collect::<Vec<_>>()
        };
        self.text.split(" ;; ").flat_map(name).collect()
    }
}

/// Splits as an inline request is split.
fn words(request: &str) -> Vec<Vec<u8>> {
    let bytes = unescape_outside(request);
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    let mut in_word = false;
    for (byte, is_literal) in bytes {
        match byte {
            b'"' if !is_literal => {
                open = !open;
                if !in_word {
                    words.push(Vec::new());
                    in_word = true;
                }
            }
            b' ' if !open && !is_literal => in_word = false,
            _ => {
                if !in_word {
                    words.push(Vec::new());
                    in_word = true;
                }
                words
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|word| word.push(byte));
            }
        }
    }
    words
}

/// Bytes, and whether each was written with a backslash.
fn unescape_outside(text: &str) -> Vec<(u8, bool)> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push((byte, false));
            continue;
        }
        let escaped = match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            Some(other) => other,
            None => b'\\',
        };
        bytes.push((escaped, true));
    }
    bytes
}

/// The bytes of a raw case; `@N*c` stands for N times the character c.
fn unescape(text: &str) -> Vec<u8> {
    let plain: Vec<u8> = unescape_outside(text).into_iter().map(|(byte, _)| byte).collect();
    let Some(at) = plain.iter().position(|byte| *byte == b'@') else {
        return plain;
    };
    let tail = String::from_utf8_lossy(&plain[at + 1..]).into_owned();
    let repeat = tail.split_once('*').and_then(|(count, rest)| {
        let filler = rest.chars().next()?;
        let after = &rest[filler.len_utf8()..];
        Some((count.parse::<usize>().ok()?, filler, after.to_owned()))
    });
    match repeat {
        Some((count, filler, after)) => {
            let mut bytes = plain[..at].to_vec();
            bytes.extend(filler.to_string().repeat(count).bytes());
            bytes.extend(after.bytes());
            bytes
        }
        None => plain,
    }
}
