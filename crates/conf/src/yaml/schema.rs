//! Which keys there are, and which directive each stands for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::node::{Node, Value};
use crate::diagnostic::{COVER, Fault};
use crate::lex::{self, Word};
use crate::parse::Walk;
use crate::source::{Statement, name_in};
use crate::suggest::did_you_mean;
use crate::value;

/// What a value must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text, a number, or yes and no.
    Scalar,
    /// A text. A number in its place would lose its zeros, and that matters for a password.
    Text,
    /// One or several scalars.
    List,
    /// A time: milliseconds, or a number with a unit.
    Time,
}

/// A key, the words of the directive before the value, and what the value must be.
type Entry = (&'static str, &'static [&'static str], Kind);

/// Keys of the whole.
const ROOT: &[Entry] = &[
    ("port", &["port"], Kind::Scalar),
    ("bind", &["bind"], Kind::List),
    ("unixsocket", &["unixsocket"], Kind::Scalar),
    ("unixsocketperm", &["unixsocketperm"], Kind::Scalar),
    ("protected-mode", &["protected-mode"], Kind::Scalar),
    ("requirepass", &["requirepass"], Kind::Text),
    ("aclfile", &["aclfile"], Kind::Scalar),
    ("acllog-max-len", &["acllog-max-len"], Kind::Scalar),
    ("acl-pubsub-default", &["acl-pubsub-default"], Kind::Scalar),
    (
        "requirepass-file",
        &["bellwether", "requirepass-file"],
        Kind::Scalar,
    ),
    ("dir", &["dir"], Kind::Scalar),
    ("logfile", &["logfile"], Kind::Scalar),
    ("loglevel", &["loglevel"], Kind::Scalar),
    ("log-format", &["bellwether", "log-format"], Kind::Scalar),
    ("daemonize", &["daemonize"], Kind::Scalar),
    (
        "client-output-buffer-limit",
        &["client-output-buffer-limit"],
        Kind::List,
    ),
    ("supervised", &["supervised"], Kind::Scalar),
    ("syslog-enabled", &["syslog-enabled"], Kind::Scalar),
    ("syslog-ident", &["syslog-ident"], Kind::Scalar),
    ("syslog-facility", &["syslog-facility"], Kind::Scalar),
    ("pidfile", &["pidfile"], Kind::Scalar),
    ("maxclients", &["maxclients"], Kind::Scalar),
    ("tcp-backlog", &["tcp-backlog"], Kind::Scalar),
    ("tcp-keepalive", &["tcp-keepalive"], Kind::Scalar),
    ("timeout", &["timeout"], Kind::Scalar),
    ("bind-source-addr", &["bind-source-addr"], Kind::Scalar),
    ("tls-port", &["tls-port"], Kind::Scalar),
    ("tls-replication", &["tls-replication"], Kind::Scalar),
    ("tls-cert-file", &["tls-cert-file"], Kind::Scalar),
    ("tls-key-file", &["tls-key-file"], Kind::Scalar),
    ("tls-key-file-pass", &["tls-key-file-pass"], Kind::Text),
    ("tls-client-cert-file", &["tls-client-cert-file"], Kind::Scalar),
    ("tls-client-key-file", &["tls-client-key-file"], Kind::Scalar),
    (
        "tls-client-key-file-pass",
        &["tls-client-key-file-pass"],
        Kind::Text,
    ),
    ("tls-ca-cert-file", &["tls-ca-cert-file"], Kind::Scalar),
    ("tls-ca-cert-dir", &["tls-ca-cert-dir"], Kind::Scalar),
    ("tls-auth-clients", &["tls-auth-clients"], Kind::Scalar),
    ("tls-protocols", &["tls-protocols"], Kind::Scalar),
    ("tls-session-caching", &["tls-session-caching"], Kind::Scalar),
    (
        "tls-session-cache-size",
        &["tls-session-cache-size"],
        Kind::Scalar,
    ),
    (
        "tls-verify-hostname",
        &["bellwether", "tls-verify-hostname"],
        Kind::Scalar,
    ),
    ("http-bind", &["bellwether", "http-bind"], Kind::Scalar),
    ("state-dir", &["bellwether", "state-dir"], Kind::Scalar),
    (
        "resolve-hostnames",
        &["sentinel", "resolve-hostnames"],
        Kind::Scalar,
    ),
    (
        "announce-hostnames",
        &["sentinel", "announce-hostnames"],
        Kind::Scalar,
    ),
    (
        "deny-scripts-reconfig",
        &["sentinel", "deny-scripts-reconfig"],
        Kind::Scalar,
    ),
    ("sentinel-user", &["sentinel", "sentinel-user"], Kind::Text),
    ("sentinel-pass", &["sentinel", "sentinel-pass"], Kind::Text),
    (
        "sentinel-pass-file",
        &["bellwether", "sentinel-pass-file"],
        Kind::Scalar,
    ),
    (
        "forget-sentinels-after",
        &["bellwether", "forget-sentinels-after"],
        Kind::Scalar,
    ),
    (
        "forget-replicas-after",
        &["bellwether", "forget-replicas-after"],
        Kind::Scalar,
    ),
];

/// Keys of the whole that hold maps or lists of maps.
const ROOT_MAPS: [&str; 5] = ["announce", "coordination", "groups", "users", RENAMED];

/// Keys of `announce`.
const ANNOUNCE: &[Entry] = &[
    ("ip", &["sentinel", "announce-ip"], Kind::Scalar),
    ("port", &["sentinel", "announce-port"], Kind::Scalar),
];

/// Keys of `coordination`, apart from the list of the members.
const COORDINATION: &[Entry] = &[
    ("mode", &["bellwether", "coordination"], Kind::Scalar),
    ("cluster", &["bellwether", "cluster"], Kind::Scalar),
    ("member-id", &["bellwether", "member-id"], Kind::Scalar),
    ("stale-reads", &["bellwether", "stale-reads"], Kind::Scalar),
];

/// The key of `coordination` that holds the members, and the keys of one.
const MEMBERS: &str = "members";
const MEMBER: [&str; 3] = ["id", "host", "port"];
const MEMBER_EXAMPLE: &str = "write for each: - { id: …, host: …, port: … }";

/// Keys of a group, apart from those that make up `monitor`. The group's name follows the words.
const GROUP: &[Entry] = &[
    ("down-after", &["sentinel", "down-after-milliseconds"], Kind::Time),
    ("failover-timeout", &["sentinel", "failover-timeout"], Kind::Time),
    ("parallel-syncs", &["sentinel", "parallel-syncs"], Kind::Scalar),
    ("auth-user", &["sentinel", "auth-user"], Kind::Text),
    ("auth-pass", &["sentinel", "auth-pass"], Kind::Text),
    ("auth-pass-file", &["bellwether", "auth-pass-file"], Kind::Scalar),
    (
        "notification-script",
        &["sentinel", "notification-script"],
        Kind::Text,
    ),
    (
        "client-reconfig-script",
        &["sentinel", "client-reconfig-script"],
        Kind::Text,
    ),
    (
        "reboot-down-after",
        &["sentinel", "master-reboot-down-after-period"],
        Kind::Time,
    ),
];

/// The key that holds a map of commands with their new names: those of a group's servers, or our own.
const RENAMED: &str = "renamed-commands";

/// Keys of a user.
const USER: [&str; 2] = ["name", "rules"];

/// Keys of a group that make up `monitor`.
const MONITOR: [&str; 2] = ["primary", "quorum"];

/// Whether what stands behind this key may be shown.
pub(super) fn is_open_key(name: &str) -> bool {
    // A rule may be a password.
    let is_users = ["users", "rules"].contains(&name);
    let entries = [ROOT, ANNOUNCE, COORDINATION, GROUP].into_iter().flatten();
    let known = entries.map(|(key, _, _)| *key);
    !is_users
        && known
            .chain(ROOT_MAPS)
            .chain(MONITOR)
            .chain(MEMBER)
            .chain(["name", MEMBERS])
            .any(|known| known == name)
}

/// Turns a tree into statements.
pub(super) fn walk(root: &Node, file: &str, walk: &mut Walk<'_, '_>) {
    let mut schema = Schema {
        file: file.into(),
        walk,
        is_secret: false,
    };
    schema.root(root);
}

struct Schema<'s, 'a, 'l> {
    file: Arc<str>,
    walk: &'s mut Walk<'a, 'l>,
    /// Whether lines must not be shown where something is wrong in them.
    is_secret: bool,
}

impl Schema<'_, '_, '_> {
    fn root(&mut self, root: &Node) {
        let Some(entries) = self.map(root, "the configuration") else {
            return;
        };
        let known = ROOT.iter().map(|(key, _, _)| *key).chain(ROOT_MAPS);
        let known: Vec<&str> = known.collect();
        for (key, name, value) in self.keys(entries, &known) {
            match name {
                "announce" => self.announce(value),
                "coordination" => self.coordination(value),
                "groups" => self.groups(value),
                "users" => self.users(value),
                RENAMED => self.renamed(key, None, value),
                _ => self.entry(ROOT, None, key, name, value),
            }
        }
    }

    fn announce(&mut self, node: &Node) {
        let Some(entries) = self.map(node, "'announce'") else {
            return;
        };
        let known: Vec<&str> = ANNOUNCE.iter().map(|(key, _, _)| *key).collect();
        for (key, name, value) in self.keys(entries, &known) {
            self.entry(ANNOUNCE, None, key, name, value);
        }
    }

    fn coordination(&mut self, node: &Node) {
        let example = "write: { mode: raft, member-id: …, members: […] }, or { mode: vote }";
        let Some(entries) = self.map_like(node, "'coordination'", Some(example)) else {
            return;
        };
        let known: Vec<&str> = COORDINATION
            .iter()
            .map(|(key, _, _)| *key)
            .chain([MEMBERS])
            .collect();
        for (key, name, value) in self.keys(entries, &known) {
            match (name, &value.value) {
                (MEMBERS, Value::List(members)) => members.iter().for_each(|member| self.member(key, member)),
                (MEMBERS, _) => {
                    self.fault(value, format!("'{MEMBERS}' must be a list"), Some(MEMBER_EXAMPLE))
                }
                _ => self.entry(COORDINATION, None, key, name, value),
            }
        }
    }

    fn member(&mut self, key: &Node, node: &Node) {
        let Some(entries) = self.map_like(node, "a member", Some(MEMBER_EXAMPLE)) else {
            return;
        };
        let mut parts = [const { None }; MEMBER.len()];
        for (_, name, value) in self.keys(entries, &MEMBER) {
            let text = self.scalar(value).map(|text| word(value, &text));
            if let Some(index) = MEMBER.iter().position(|known| *known == name) {
                parts[index] = Some(text);
            }
        }
        for (name, _) in MEMBER.iter().zip(&parts).filter(|(_, part)| part.is_none()) {
            self.fault(node, format!("the member has no '{name}'"), None);
        }
        // `None` where a part is missing, `Some(None)` where it is wrong: both are reported by now.
        if let [Some(Some(id)), Some(Some(host)), Some(Some(port))] = parts {
            let [bellwether, member] = ["bellwether", "member"].map(|text| word(key, text));
            self.statement(vec![bellwether, member, id, host, port]);
        }
    }

    /// The ACL users, each with a name and with rules. Nothing of it is shown: a rule may be a password.
    fn users(&mut self, node: &Node) {
        self.is_secret = true;
        match &node.value {
            // `users:` with nothing behind it is how an empty list is written.
            Value::Null => {}
            Value::List(users) => users.iter().for_each(|user| self.user(user)),
            _ => self.fault(
                node,
                "'users' must be a list",
                Some("write for each: - { name: …, rules: \"…\" }"),
            ),
        }
        self.is_secret = false;
    }

    fn user(&mut self, node: &Node) {
        let Some(entries) = self.map(node, "a user") else {
            return;
        };
        let (mut name, mut rules) = (None, None);
        for (_, key, value) in self.keys(entries, &USER) {
            if key == "name" {
                name = Some(self.scalar(value).map(|text| word(value, &text)));
            } else {
                rules = Some(self.rules(value));
            }
        }
        if name.is_none() {
            self.fault(node, "the user has no 'name'", None);
        }
        // Without rules the user can do nothing, as a `user` line without rules says.
        if let (Some(Some(name)), Some(rules)) = (name, rules.unwrap_or_else(|| Some(Vec::new()))) {
            let mut words = vec![word(node, "user"), name];
            words.extend(rules);
            self.statement(words);
        }
    }

    /// The rules of a user: a list of them, or one text, cut into words as a line of a `sentinel.conf` is.
    fn rules(&mut self, node: &Node) -> Option<Vec<Word>> {
        match &node.value {
            Value::List(rules) => rules
                .iter()
                .map(|rule| match &rule.value {
                    Value::Text(text) => Some(word(rule, text)),
                    _ => {
                        self.fault(rule, "a rule must be text", Some("put it in quotes"));
                        None
                    }
                })
                .collect(),
            Value::Text(text) => match lex::split(text, 1) {
                Ok(words) => Some(words.iter().map(|part| word(node, &part.text)).collect()),
                Err(_) => {
                    let hint = "or write the rules as a list";
                    self.fault(node, "Unbalanced quotes in the rules", Some(hint));
                    None
                }
            },
            _ => {
                self.fault(
                    node,
                    "'rules' must be text or a list of texts",
                    Some("put them in quotes"),
                );
                None
            }
        }
    }

    fn groups(&mut self, node: &Node) {
        // `groups:` with nothing behind it is how an empty one is written.
        if matches!(node.value, Value::Null) {
            return;
        }
        let Some(entries) = self.map(node, "'groups'") else {
            return;
        };
        let mut seen = BTreeSet::new();
        for (key, value) in entries {
            let Value::Text(name) = &key.value else {
                self.fault(key, "the name of a group must be text", Some("put it in quotes"));
                continue;
            };
            if seen.insert(name.as_str()) {
                self.group(key, name, value);
            } else {
                self.fault(key, "Duplicate master name.", None);
            }
        }
    }

    fn group(&mut self, name_node: &Node, name: &str, node: &Node) {
        let Some(entries) = self.map(node, &format!("the group '{name}'")) else {
            return;
        };
        let known: Vec<&str> = MONITOR
            .into_iter()
            .chain(GROUP.iter().map(|(key, _, _)| *key))
            .chain([RENAMED])
            .collect();
        let name_word = word(name_node, name);
        let (mut primary, mut quorum) = (None, None);
        let mut others = Vec::new();
        for (key, key_name, value) in self.keys(entries, &known) {
            match key_name {
                "primary" => primary = Some(self.primary(value)),
                "quorum" => quorum = Some(self.scalar(value).map(|text| word(value, &text))),
                _ => others.push((key, key_name, value)),
            }
        }
        for (part, is_missing) in MONITOR.into_iter().zip([primary.is_none(), quorum.is_none()]) {
            if is_missing {
                self.fault(name_node, format!("the group '{name}' has no '{part}'"), None);
            }
        }
        // `None` where an entry is missing, `Some(None)` where it is wrong: both are reported by now.
        let (Some(Some([host, port])), Some(Some(quorum))) = (primary, quorum) else {
            return;
        };
        let [sentinel, monitor] = ["sentinel", "monitor"].map(|text| word(name_node, text));
        self.statement(vec![sentinel, monitor, name_word.clone(), host, port, quorum]);
        for (key, key_name, value) in others {
            if key_name == RENAMED {
                self.renamed(key, Some(&name_word), value);
                continue;
            }
            self.entry(GROUP, Some(&name_word), key, key_name, value);
        }
    }

    /// Commands with their new names.
    fn renamed(&mut self, key: &Node, group: Option<&Word>, node: &Node) {
        let Some(entries) = self.map(node, &format!("'{RENAMED}'")) else {
            return;
        };
        for (command, renamed) in entries {
            let [Some(command_name), Some(new_name)] = [command, renamed].map(|node| self.scalar(node))
            else {
                continue;
            };
            let mut words = vec![word(key, "rename-command")];
            if let Some(group) = group {
                words.insert(0, word(key, "sentinel"));
                words.push(group.clone());
            }
            words.extend([word(command, &command_name), word(renamed, &new_name)]);
            self.statement(words);
        }
    }

    /// Host and port of `host:port`, or of a map with the two.
    fn primary(&mut self, node: &Node) -> Option<[Word; 2]> {
        match &node.value {
            Value::Text(text) => {
                let parts = text.rsplit_once(':').and_then(|(host, port)| {
                    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    // An IPv6 address without brackets cannot be told from one with a port.
                    let host = bare.or_else(|| (!host.contains(':')).then_some(host))?;
                    Some([word(node, host), word(node, port)])
                });
                if parts.is_none() {
                    let hint = "write host:port, or [address]:port for IPv6";
                    self.fault(node, format!("'{text}' is not a host and a port"), Some(hint));
                }
                parts
            }
            Value::Map(entries) => {
                let (mut host, mut port) = (None, None);
                for (_, name, value) in self.keys(entries, &["host", "port"]) {
                    let part = self.scalar(value).map(|text| word(value, &text));
                    if name == "host" {
                        host = part;
                    } else {
                        port = part;
                    }
                }
                let parts = host.zip(port).map(|(host, port)| [host, port]);
                if parts.is_none() {
                    self.fault(node, "the primary needs a 'host' and a 'port'", None);
                }
                parts
            }
            _ => {
                let hint = "write host:port, or [address]:port for IPv6";
                self.fault(node, "the primary must be a host and a port", Some(hint));
                None
            }
        }
    }

    /// One key with its value as a directive.
    fn entry(&mut self, table: &[Entry], group: Option<&Word>, key: &Node, name: &str, value: &Node) {
        let Some((_, prefix, kind)) = table.iter().find(|(known, _, _)| *known == name) else {
            return;
        };
        let mut words: Vec<Word> = prefix.iter().map(|text| word(key, text)).collect();
        words.extend(group.cloned());
        let values = match (kind, &value.value) {
            (Kind::List, Value::List(items)) => items
                .iter()
                .map(|item| self.scalar(item).map(|text| word(item, &text)))
                .collect(),
            (Kind::Text, Value::Text(text)) => Some(vec![word(value, text)]),
            (Kind::Text, Value::Number(_) | Value::Bool(_)) => {
                self.fault(value, format!("'{name}' must be text"), Some("put it in quotes"));
                None
            }
            (Kind::Time, _) => self.time(value).map(|text| vec![word(value, &text)]),
            _ => self.scalar(value).map(|text| vec![word(value, &text)]),
        };
        if let Some(values) = values {
            words.extend(values);
            self.statement(words);
        }
    }

    /// The value as one word.
    fn scalar(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
            Value::Null => {
                self.fault(node, "a value is missing", Some("write \"\" for an empty one"));
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.fault(node, "a single value is needed here", None);
                None
            }
        }
    }

    /// A time in milliseconds.
    fn time(&mut self, node: &Node) -> Option<String> {
        let text = self.scalar(node)?;
        let millis = value::millis_with_unit(&text, 1).map(|millis| millis.to_string());
        if millis.is_none() {
            let hint = "write for example 5s, 500ms, 3m, 1h, or a number of milliseconds";
            self.fault(node, format!("'{text}' is not a time"), Some(hint));
        }
        millis
    }

    /// The entries of a map; anything else is a fault.
    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        self.map_like(node, what, None)
    }

    /// The same, with an example for the fault.
    fn map_like<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        example: Option<&str>,
    ) -> Option<&'n [(Node, Node)]> {
        if let Value::Map(entries) = &node.value {
            return Some(entries);
        }
        self.fault(node, format!("{what} must be a map of keys and values"), example);
        None
    }

    /// The entries whose key is known and comes for the first time; others are faults.
    fn keys<'n>(
        &mut self,
        entries: &'n [(Node, Node)],
        known: &[&str],
    ) -> Vec<(&'n Node, &'n str, &'n Node)> {
        let mut seen = BTreeSet::new();
        let mut good = Vec::new();
        for (key, value) in entries {
            let Value::Text(name) = &key.value else {
                self.fault(key, "this is not a known key", None);
                continue;
            };
            if name_in(name) != name {
                self.fault(key, "this is not a known key", None);
            } else if !known.contains(&name.as_str()) {
                let near = did_you_mean(name, known.iter().copied());
                let hint = near.unwrap_or_else(|| format!("known are: {}", known.join(", ")));
                self.fault(key, format!("'{name}' is not a known key"), Some(&hint));
            } else if !seen.insert(name.as_str()) {
                self.fault(key, format!("'{name}' is given twice"), None);
            } else {
                good.push((key, name.as_str(), value));
            }
        }
        good
    }

    fn statement(&mut self, words: Vec<Word>) {
        self.walk.statement(self.on(words), 0);
    }

    fn fault(&mut self, node: &Node, message: impl Into<String>, hint: Option<&str>) {
        let mut fault = Fault::new(0, message);
        fault.hint = hint.map(str::to_owned);
        let mut statement = self.on(vec![word(node, "")]);
        if self.is_secret {
            COVER.clone_into(&mut statement.raw);
        }
        self.walk.refuse(&statement, fault);
    }

    fn on(&self, words: Vec<Word>) -> Statement {
        Statement {
            file: Arc::clone(&self.file),
            source: Statement::MAIN,
            line: 0,
            words,
            raw: String::new(),
        }
    }
}

/// A word whose line is the number of its node, until the place is looked up.
fn word(node: &Node, text: &str) -> Word {
    Word {
        text: text.to_owned(),
        line: node.id,
        column: 0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn root_keys() -> impl Iterator<Item = &'static str> {
        ROOT.iter().map(|(key, _, _)| *key)
    }

    #[test]
    fn every_key_has_a_directive() {
        for (key, words, _) in ROOT.iter().chain(ANNOUNCE).chain(COORDINATION).chain(GROUP) {
            let is_known = match words {
                ["sentinel", name] => crate::sentinel::is_directive(name),
                ["bellwether", name] => crate::generic::own_names().any(|own| own == *name),
                [name] => {
                    let mut honoured = crate::generic::HONOURED.iter().chain(crate::tls::HONOURED);
                    honoured.any(|(known, _)| known == name)
                }
                _ => false,
            };
            assert!(is_known, "{key}");
        }
        let of_process = || ROOT.iter().chain(COORDINATION);
        let keyed = |name: &str| of_process().any(|(_, words, _)| words.last() == Some(&name));
        let honoured = crate::generic::HONOURED.iter().chain(crate::tls::HONOURED);
        let honoured = honoured.map(|(name, _)| *name);
        let all = honoured.chain(crate::generic::own_names());
        // The first belongs to groups, the others have a map and a list.
        let elsewhere = ["auth-pass-file", "rename-command", "member"];
        for name in all.filter(|name| !elsewhere.contains(name)) {
            assert!(keyed(name), "'{name}' has no key");
        }
    }
}
