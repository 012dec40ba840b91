//! A configuration as YAML. The state (id, epochs, known instances) is no part of it; that goes to the state directory.

use std::{fmt::Write, path::Path, time::Duration};

use anyhow::bail;
use bellwether_conf::{Config, Coordination, DaemonOptions, LogFormat, SentinelOptions, Source, UserLine};

use crate::{
    process::{self, Value},
    texts,
};

/// The YAML text of `config` with its state in `state_dir`.
///
/// # Errors
///
/// If YAML cannot say all of it.
pub(super) fn text(config: &Config, state_dir: &Path, from: &Path) -> anyhow::Result<String> {
    let mut yaml = Yaml {
        text: format!(
            "# Imported by bellwether from {}\n# This file is never rewritten: the state is in the directory below.\n",
            from.display()
        ),
    };
    yaml.text_entry(0, "state-dir", &state_dir.to_string_lossy());
    yaml.text
        .push_str("# Metrics and health checks over HTTP:\n# http-bind: 127.0.0.1:8379\n\n");
    daemon(&mut yaml, &config.daemon);
    sentinel(&mut yaml, &config.sentinel);
    groups(&mut yaml, config);
    let again = texts::parse_source(Source::new("imported.yaml", yaml.text.clone()), Vec::new());
    if again.result.is_ok_and(|copied| is_same(config, copied)) {
        Ok(yaml.text)
    } else {
        bail!(
            "not all that the file says can be said in YAML: write a sentinel.conf instead (--output FILE.conf)"
        );
    }
}

/// Whether `copied` says the same, the state aside.
fn is_same(config: &Config, mut copied: Config) -> bool {
    copied.daemon.state_dir.clone_from(&config.daemon.state_dir);
    let users = &config.daemon.users;
    if process::same_users(&copied.daemon.users, users)
        || users.iter().all(|user| says_nothing(user, &config.daemon))
    {
        copied.daemon.users.clone_from(&config.daemon.users);
    }
    let groups = config
        .groups
        .iter()
        .map(|(name, record)| (name, &record.primary, &record.options));
    let copies = copied
        .groups
        .iter()
        .map(|(name, record)| (name, &record.primary, &record.options));
    groups.eq(copies) && copied.daemon == config.daemon && copied.sentinel == config.sentinel
}

/// Whether the line is the one that Redis Sentinel writes into every file: the default user may do everything, without
/// a password or with that of `requirepass`.
fn says_nothing(user: &UserLine, daemon: &DaemonOptions) -> bool {
    user.name == "default"
        && user.rules.iter().all(|rule| match rule.as_str() {
            "nopass" => daemon.requirepass.is_none(),
            "on" | "~*" | "&*" | "+@all" | "sanitize-payload" => true,
            rule => rule.starts_with('#') && daemon.requirepass.is_some(),
        })
}

fn daemon(yaml: &mut Yaml, daemon: &DaemonOptions) {
    for (name, value) in process::entries(daemon) {
        match value {
            Value::Plain(text) => yaml.entry(0, name, text),
            Value::Flag(yes) => yaml.entry(0, name, yes),
            Value::Text(text) => yaml.text_entry(0, name, &text),
            // Nowhere is written as an empty address.
            Value::Hosts(hosts) if hosts.is_empty() => yaml.text_entry(0, name, ""),
            Value::Hosts(hosts) => yaml.entry(0, name, list(&hosts)),
        }
    }
    yaml.flag("tls-verify-hostname", daemon.tls.verify_hostname, false);
    if daemon.log_format == LogFormat::Json {
        yaml.entry(0, "log-format", "json");
    }
    let renamed = daemon.command_names.changes();
    if !renamed.is_empty() {
        yaml.line(0, "renamed-commands:");
        for (command, word) in renamed {
            yaml.text_entry(1, command, word);
        }
    }
    let http = daemon.http_bind.map(|addr| addr.to_string());
    yaml.optional_text("http-bind", http.as_deref());
    coordination(yaml, &daemon.coordination);
    if daemon.users.iter().any(|user| !says_nothing(user, daemon)) {
        yaml.line(0, "users:");
        for user in &daemon.users {
            let name = quoted(&user.name);
            yaml.line(1, &format!("- {{ name: {name}, rules: {} }}", list(&user.rules)));
        }
    }
}

fn coordination(yaml: &mut Yaml, coordination: &Coordination) {
    let Coordination::Raft(settings) = coordination else {
        return;
    };
    yaml.line(0, "coordination:");
    yaml.entry(1, "mode", "raft");
    yaml.text_entry(1, "cluster", &settings.cluster);
    yaml.entry(1, "member-id", settings.member_id);
    yaml.line(1, "members:");
    for (id, (host, port)) in &settings.members {
        let host = quoted(host);
        yaml.line(2, &format!("- {{ id: {id}, host: {host}, port: {port} }}"));
    }
    yaml.entry(1, "stale-reads", settings.stale_reads);
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn sentinel(yaml: &mut Yaml, options: &SentinelOptions) {
    let default = SentinelOptions::default();
    yaml.flag(
        "resolve-hostnames",
        options.resolve_hostnames,
        default.resolve_hostnames,
    );
    yaml.flag(
        "announce-hostnames",
        options.announce_hostnames,
        default.announce_hostnames,
    );
    yaml.flag(
        "deny-scripts-reconfig",
        options.deny_scripts_reconfig,
        default.deny_scripts_reconfig,
    );
    if options.announce_ip.is_some() || options.announce_port.is_some() {
        yaml.line(0, "announce:");
        if let Some(ip) = &options.announce_ip {
            yaml.text_entry(1, "ip", &ip.to_string());
        }
        if let Some(port) = options.announce_port {
            yaml.entry(1, "port", port);
        }
    }
    yaml.optional_text("sentinel-user", options.sentinel_user.as_deref());
    yaml.optional_text(
        "sentinel-pass",
        options.sentinel_pass.as_ref().map(|secret| secret.expose()),
    );
    for (key, after) in [
        ("forget-sentinels-after", options.forget_sentinels_after),
        ("forget-replicas-after", options.forget_replicas_after),
    ] {
        if let Some(after) = after {
            yaml.entry(0, key, millis(after));
        }
    }
}

fn groups(yaml: &mut Yaml, config: &Config) {
    yaml.line(0, "groups:");
    for (name, record) in &config.groups {
        let options = &record.options;
        yaml.line(1, &format!("{}:", quoted(name.as_str())));
        let host = quoted(&record.primary.host.to_string());
        yaml.entry(
            2,
            "primary",
            format!("{{ host: {host}, port: {} }}", record.primary.port),
        );
        yaml.entry(2, "quorum", options.quorum);
        yaml.entry(2, "down-after", millis(options.down_after));
        yaml.entry(2, "failover-timeout", millis(options.failover_timeout));
        yaml.entry(2, "parallel-syncs", options.parallel_syncs);
        if let Some(user) = &options.auth_user {
            yaml.text_entry(2, "auth-user", user);
        }
        if let Some(password) = &options.auth_pass {
            yaml.text_entry(2, "auth-pass", password.expose());
        }
        if let Some(path) = &options.notification_script {
            yaml.text_entry(2, "notification-script", path);
        }
        if let Some(path) = &options.client_reconfig_script {
            yaml.text_entry(2, "client-reconfig-script", path);
        }
        if !options.renamed_commands.is_empty() {
            yaml.line(2, "renamed-commands:");
            for (command, renamed) in &options.renamed_commands {
                yaml.text_entry(3, &quoted(command), renamed);
            }
        }
        if !options.reboot_down_after.is_zero() {
            yaml.entry(2, "reboot-down-after", millis(options.reboot_down_after));
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// As a text between double quotes: what JSON takes, YAML takes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text under construction.
struct Yaml {
    text: String,
}

impl Yaml {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:width$}{text}", "", width = 2 * depth);
    }

    fn entry(&mut self, depth: usize, key: &str, value: impl std::fmt::Display) {
        self.line(depth, &format!("{key}: {value}"));
    }

    fn text_entry(&mut self, depth: usize, key: &str, value: &str) {
        self.entry(depth, key, quoted(value));
    }

    fn optional_text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text_entry(0, key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool, default: bool) {
        if value != default {
            self.entry(0, key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::tests::daemon;

    proptest! {
        #[test]
        fn what_is_written_is_loaded(daemon in daemon()) {
            let mut config = Config::default();
            config.daemon = daemon;
            let text = text(&config, Path::new("/s"), Path::new("f"));
            prop_assert!(text.is_ok(), "{text:?}");
        }
    }
}
