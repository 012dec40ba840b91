//! Bytes to a port and replies back, type bytes and null forms kept apart.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// A last command, by whose error the end of the replies is seen in every context, authenticated or not.
const LAST: &str = "LAST-OF-ALL\r\n";
const LAST_REPLY: &[u8] = b"-ERR unknown command 'LAST-OF-ALL', with args beginning with: \r\n";

/// Far longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(10);

/// One reply, as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// One line: `+`, `-`, `:`, `_`, `#`, `,`, and the nulls `$-1`, `*-1`.
    Line { kind: char, text: String },
    /// `$` or `=`.
    Bulk { kind: char, text: String },
    /// `*`, `%`, `~` or `>`; keys and values of a map in turn.
    List { kind: char, items: Vec<Self> },
    /// The connection was closed.
    End,
}

impl Reply {
    /// The text of an error.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Line { kind: '-', text } => Some(text),
            _ => None,
        }
    }

    /// In one line, with the type bytes.
    pub(crate) fn render(&self) -> String {
        let mut to = String::new();
        self.write(&mut to);
        to
    }

    fn write(&self, to: &mut String) {
        // Writing to a string cannot fail.
        match self {
            Self::Line { kind, text } => {
                let _ = write!(to, "{kind}{text}");
            }
            Self::Bulk { kind, text } => {
                let _ = write!(to, "{kind}{text:?}");
            }
            Self::List { kind, items } => {
                let _ = write!(to, "{kind}[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        to.push(' ');
                    }
                    item.write(to);
                }
                to.push(']');
            }
            Self::End => to.push_str("<end of connection>"),
        }
    }
}

/// Sends bytes on a fresh connection and gives all replies to them.
pub(crate) fn exchange(port: u16, bytes: &[u8], closes: bool) -> Result<Vec<Reply>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("port {port}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    stream.write_all(bytes)?;
    if !closes {
        stream.write_all(LAST.as_bytes())?;
    }
    let mut got = Vec::new();
    let mut chunk = vec![0; 65536];
    let ended = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break true,
            Ok(count) => got.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break true,
            Err(error) => {
                return Err(error).with_context(|| format!("after {:?}", String::from_utf8_lossy(&got)));
            }
        }
        if !closes && got.ends_with(LAST_REPLY) {
            got.truncate(got.len() - LAST_REPLY.len());
            break false;
        }
    };
    let mut replies = parse(&got)?;
    if ended {
        replies.push(Reply::End);
    }
    Ok(replies)
}

fn parse(bytes: &[u8]) -> Result<Vec<Reply>> {
    let mut rest = bytes;
    let mut replies = Vec::new();
    while !rest.is_empty() {
        replies.push(one(&mut rest).with_context(|| format!("in {:?}", String::from_utf8_lossy(bytes)))?);
    }
    Ok(replies)
}

fn one(rest: &mut &[u8]) -> Result<Reply> {
    let line = line(rest)?;
    let (kind, text) = line.split_at(1);
    let kind = kind.chars().next().context("an empty line")?;
    let text = text.to_owned();
    let count = || text.parse::<usize>().with_context(|| format!("length {text:?}"));
    match kind {
        '+' | '-' | ':' | '_' | '#' | ',' => Ok(Reply::Line { kind, text }),
        _ if text == "-1" => Ok(Reply::Line { kind, text }),
        '$' | '=' => {
            let count = count()?;
            ensure!(rest.len() >= count + 2, "a bulk string is cut short");
            let text = String::from_utf8_lossy(&rest[..count]).into_owned();
            *rest = &rest[count + 2..];
            Ok(Reply::Bulk { kind, text })
        }
        '*' | '%' | '~' | '>' => {
            let count = count()? * if kind == '%' { 2 } else { 1 };
            let items = (0..count).map(|_| one(rest)).collect::<Result<_>>()?;
            Ok(Reply::List { kind, items })
        }
        _ => bail!("a reply of type {kind:?}"),
    }
}

fn line(rest: &mut &[u8]) -> Result<String> {
    let end = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .context("a line without end")?;
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    ensure!(!line.is_empty(), "an empty line");
    *rest = &rest[end + 2..];
    Ok(line)
}
