//! What must differ between two processes, made equal.
//!
//! Everything here is a field, a form or a line that is known to depend on the process; all else is compared.

use crate::pair::Servers;
use crate::table::Case;
use crate::wire::Reply;

/// Fields whose numbers depend on the moment.
const MOMENTARY: &[&str] = &[
    "link-pending-commands",
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "s-down-time",
    "o-down-time",
    "info-refresh",
    "role-reported-time",
    "last-hello-message",
    "slave-repl-offset",
    "master-link-down-time",
    "id",
    "version",
    "age-seconds",
    "entry-id",
    "timestamp-created",
    "timestamp-last-updated",
];

/// The lines of INFO that are the same in any process with the same configuration.
const SAME_LINES: &[&str] = &[
    "redis_mode",
    "os",
    "arch_bits",
    "multiplexing_api",
    "monotonic_clock",
    "process_supervised",
    "configured_hz",
    "maxclients",
    "cluster_connections",
    "sentinel_",
    "master",
];

/// The fields of a line of CLIENT LIST that are the same.
const SAME_WORDS: &[&str] = &[
    "name", "flags", "db", "sub", "psub", "ssub", "multi", "watch", "events", "cmd", "user", "redir", "resp",
];

/// What is to be made equal in one case.
pub(crate) struct Mask {
    ports: [String; 2],
    any_integer: bool,
    unordered: bool,
}

impl Mask {
    pub(crate) fn new(servers: &Servers, case: &Case) -> Self {
        Self {
            ports: [
                servers.reference.port().to_string(),
                servers.bellwether.port().to_string(),
            ],
            any_integer: case.any_integer,
            unordered: case.unordered,
        }
    }

    pub(crate) fn all(&self, replies: Vec<Reply>) -> Vec<Reply> {
        replies.into_iter().map(|reply| self.one(reply)).collect()
    }

    fn one(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Line { kind: ':', .. } if self.any_integer => number(':'),
            Reply::Bulk { kind, text } => Reply::Bulk {
                kind,
                text: self.text(text),
            },
            Reply::List { kind, items } => self.list(kind, items),
            other => other,
        }
    }

    fn list(&self, kind: char, items: Vec<Reply>) -> Reply {
        let mut momentary = false;
        let mut masked = Vec::with_capacity(items.len());
        for item in items {
            let is_field = matches!(&item, Reply::Bulk { text, .. } if MOMENTARY.contains(&text.as_str()));
            masked.push(match item {
                Reply::Line { kind, .. } if momentary => number(kind),
                Reply::Bulk { kind, .. } if momentary => number(kind),
                other => self.one(other),
            });
            momentary = is_field && !momentary;
        }
        let is_uniform = |items: &[Reply]| {
            items.iter().all(|item| matches!(item, Reply::List { .. }))
                || items.iter().all(|item| matches!(item, Reply::Bulk { .. }))
        };
        if self.unordered && (kind == '~' || is_uniform(&masked)) {
            masked.sort();
        }
        Reply::List { kind, items: masked }
    }

    fn text(&self, text: String) -> String {
        if self.ports.contains(&text) {
            return "<port>".to_owned();
        }
        if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return "<id>".to_owned();
        }
        if text.starts_with("# ") {
            return info(&text);
        }
        if let Some(text) = text.strip_prefix("txt:") {
            return format!("txt:{}", self.text(text.to_owned()));
        }
        if text.starts_with("id=") {
            let line = |line: &str| line.split(' ').map(client_word).collect::<Vec<_>>().join(" ");
            return text.lines().map(line).collect::<Vec<_>>().join("\n");
        }
        text
    }
}

fn number(kind: char) -> Reply {
    Reply::Line {
        kind,
        text: "<now>".to_owned(),
    }
}

/// The text of INFO. Groups come in the order of a hash table in the reference, so their lines are numbered and ordered
/// anew: all of them stand together at the end.
fn info(text: &str) -> String {
    let is_group = |line: &&str| {
        let number = line
            .strip_prefix("master")
            .and_then(|rest| rest.split(':').next());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (groups, others): (Vec<&str>, Vec<&str>) = text.lines().partition(is_group);
    let mut groups: Vec<String> = groups
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(_, group)| format!("master<n>:{group}"))
        .collect();
    groups.sort();
    let others = others.into_iter().map(info_line);
    others.chain(groups).collect::<Vec<_>>().join("\r\n")
}

fn info_line(line: &str) -> String {
    match line.split_once(':') {
        Some((field, _)) if !SAME_LINES.iter().any(|same| field.starts_with(same)) => {
            format!("{field}:<now>")
        }
        _ => line.to_owned(),
    }
}

fn client_word(word: &str) -> String {
    match word.split_once('=') {
        Some((field, _)) if !SAME_WORDS.contains(&field) => format!("{field}=<now>"),
        _ => word.to_owned(),
    }
}
