//! The same settings as YAML, and the choice between the two by the file's extension.
//!
//! ```yaml
//! port: 26379
//! bind: [127.0.0.1, "-::1"]
//! unixsocket: /run/bellwether/sentinel.sock
//! unixsocketperm: 770
//! protected-mode: false
//! requirepass: "what clients give"
//! users:                             # or aclfile: /etc/bellwether/users.acl
//!   - { name: ops, rules: "on >secret ~* &* +@all" }
//!   - { name: reader, rules: ["on", "#…", "+sentinel|masters"] }
//! acllog-max-len: 128
//! acl-pubsub-default: resetchannels
//! dir: /var/lib/bellwether
//! logfile: /var/log/bellwether.log
//! loglevel: notice
//! log-format: json
//! daemonize: false
//! client-output-buffer-limit: [normal, 0, 0, 0, pubsub, 32mb, 8mb, 60]
//! supervised: auto
//! syslog-enabled: true
//! syslog-ident: bellwether
//! syslog-facility: local0
//! pidfile: /run/bellwether.pid
//! maxclients: 10000
//! tcp-backlog: 511
//! tcp-keepalive: 300
//! timeout: 0
//! bind-source-addr: 10.0.0.5
//! renamed-commands: { SHUTDOWN: "" }
//! tls-port: 26380
//! tls-replication: true
//! tls-cert-file: /etc/bellwether/tls/cert.pem
//! tls-key-file: /etc/bellwether/tls/key.pem
//! tls-key-file-pass: "if the key is encrypted"
//! tls-client-cert-file: /etc/bellwether/tls/client-cert.pem
//! tls-client-key-file: /etc/bellwether/tls/client-key.pem
//! tls-client-key-file-pass: "if the key is encrypted"
//! tls-ca-cert-file: /etc/bellwether/tls/ca.pem
//! tls-ca-cert-dir: /etc/bellwether/tls/ca
//! tls-auth-clients: optional
//! tls-protocols: TLSv1.2 TLSv1.3
//! tls-session-caching: true
//! tls-session-cache-size: 20480
//! tls-verify-hostname: false
//! http-bind: 127.0.0.1:8379
//! state-dir: /var/lib/bellwether
//! coordination:                      # or mode: vote, and nothing else
//!   mode: raft
//!   cluster: production
//!   member-id: 1
//!   members:
//!     - { id: 1, host: 10.0.0.5, port: 26380 }
//!     - { id: 2, host: 10.0.0.6, port: 26380 }
//!     - { id: 3, host: 10.0.0.7, port: 26380 }
//!   stale-reads: true
//! resolve-hostnames: true
//! announce-hostnames: false
//! deny-scripts-reconfig: true
//! announce: { ip: 192.0.2.5, port: 26379 }
//! sentinel-user: "sentinel"
//! sentinel-pass: "what other sentinels want"
//! forget-sentinels-after: 7d         # a number alone is seconds; 0 is never
//! forget-replicas-after: 0
//! groups:
//!   mymaster:
//!     primary: redis-1:6379          # or { host: "::1", port: 6379 }
//!     quorum: 2
//!     down-after: 5s                 # a number alone is milliseconds
//!     failover-timeout: 3m
//!     parallel-syncs: 1
//!     auth-user: "sentinel"
//!     auth-pass: "what the servers want"
//!     notification-script: /usr/local/bin/notify
//!     client-reconfig-script: /usr/local/bin/reconfigure
//!     renamed-commands: { CONFIG: "another name" }
//!     reboot-down-after: 0
//! ```
//!
//! Instead of each password a file may be named: `requirepass-file: PATH`, `sentinel-pass-file: PATH`, and for a
//! group `auth-pass-file: PATH`.
//!
//! A YAML file is never rewritten, so `state-dir` must be given; see [`apply_state`](crate::apply_state).
//!
//! Each entry becomes the directive that it stands for and goes the way of that one, so both forms have the same
//! rules and the same texts for errors. A place in the text is found by reading again until there: the YAML crate
//! knows places only of errors.

mod depth;
mod node;
mod schema;

use crate::diagnostic::{COVER, Diagnostic, Severity};
use crate::options::Config;
use crate::parse::{Loader, Walk, parse};
use crate::source::Source;

/// Longest text, in bytes. A group takes about 150, so this is enough for 6,000 groups; more belong to a program
/// that uses SENTINEL MONITOR.
const MAX_YAML_LEN: usize = 1 << 20;

/// How many problems are reported. Each costs a reading of the text, to find its place.
const MAX_YAML_DIAGNOSTICS: usize = 100;

/// Keys whose value must not appear in a log.
const SECRET_KEYS: [&str; 4] = ["requirepass", "auth-pass", "sentinel-pass", "key-file-pass"];

/// Reads a configuration: YAML if its name ends with `.yaml` or `.yml`, a `sentinel.conf` otherwise.
///
/// # Errors
/// As [`parse`](crate::parse()) and [`parse_yaml`].
pub fn parse_auto(
    main: &Source,
    overrides: &[Source],
    load: &mut Loader<'_>,
) -> Result<Config, Vec<Diagnostic>> {
    if is_yaml(&main.name) {
        parse_yaml(main, overrides)
    } else {
        parse(main, overrides, load)
    }
}

/// Whether a file of this name is read as YAML, and so never is rewritten.
#[must_use]
pub fn is_yaml(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
}

/// Reads a YAML configuration, then the texts that override it, which are lines of `sentinel.conf`.
///
/// # Errors
/// All problems of all texts, in their order, if there is an error among them. If the text is no YAML at all, that
/// is the only one.
pub fn parse_yaml(main: &Source, overrides: &[Source]) -> Result<Config, Vec<Diagnostic>> {
    let fail = |line, column, message: String| {
        vec![Diagnostic {
            severity: Severity::Error,
            file: main.name.clone(),
            line,
            column,
            directive: shown(&main.text, line, true),
            message,
            hint: None,
        }]
    };
    if main.text.len() > MAX_YAML_LEN {
        let message = format!("the configuration is longer than {MAX_YAML_LEN} bytes");
        return Err(fail(1, 1, message));
    }
    let root = node::read(&main.text).map_err(|error| fail(error.line, error.column, error.message))?;
    let mut no_include = |_: &str| Err("include is not possible beside YAML".to_owned());
    let mut walk = Walk::new(&mut no_include).for_yaml(&main.name);
    schema::walk(&root, &main.name, &mut walk);
    for source in overrides {
        walk.text(source, 0);
    }
    walk.require_state_dir(&main.name);
    match walk.finish() {
        Ok(mut config) => {
            config.warnings = placed(main, config.warnings);
            Ok(config)
        }
        Err(problems) => Err(placed(main, problems)),
    }
}

/// Turns the numbers of nodes, which problems of the YAML text have instead of lines, into places.
pub(crate) fn placed(main: &Source, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    // Errors first, so that warnings cannot crowd them out.
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems.truncate(MAX_YAML_DIAGNOSTICS);
    problems.sort_by_key(|problem| (problem.file != main.name, problem.line));
    for problem in problems.iter_mut().filter(|problem| problem.file == main.name) {
        (problem.line, problem.column) = node::locate(&main.text, problem.line).unwrap_or((1, 1));
        let is_secret = problem.directive.ends_with(COVER);
        problem.directive = if is_secret {
            String::new()
        } else {
            shown(&main.text, problem.line, false)
        };
    }
    problems
}

/// A line of the text as it may be shown. In a text that `is_broken` nobody knows what a line belongs to.
fn shown(text: &str, line: usize, is_broken: bool) -> String {
    /// A line of a configuration is shorter; one of garbage should not fill the screen.
    const MAX_SHOWN: usize = 200;
    let line = text.split('\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let is_secret = SECRET_KEYS.iter().any(|key| line.contains(key));
    if is_secret || line.len() > MAX_SHOWN {
        return String::new();
    }
    let line = line.trim_end();
    match open_len(line, is_broken) {
        len if len == line.len() => line.to_owned(),
        0 => String::new(),
        len => format!("{} {COVER}", &line[..len]),
    }
}

/// How much of a line may be shown, in bytes. What stands behind a key that is not known may be a password behind a slip.
fn open_len(line: &str, is_broken: bool) -> usize {
    let mut has_key = false;
    for (colon, _) in line.match_indices(':') {
        let (before, rest) = (&line[..colon], &line[colon + 1..]);
        let value = rest.trim_start();
        // `redis-1:6379` is one word.
        if !rest.is_empty() && value.len() == rest.len() {
            continue;
        }
        has_key = true;
        let before = before.trim_end().trim_end_matches(['"', '\'']);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name = &before[before.trim_end_matches(is_of_name).len()..];
        // A password that begins with a brace is no YAML, so in a good text this is a map whose keys come next.
        let is_map = !is_broken && value.starts_with('{');
        if !value.is_empty() && !is_map && !schema::is_open_key(name) {
            return colon + 1;
        }
    }
    // An item of a list is shown where the text is good: those of `users` are covered by whoever finds fault with them.
    match has_key || !is_broken && line.trim_start().starts_with('-') {
        true => line.len(),
        false => 0,
    }
}

#[cfg(test)]
mod tests;
