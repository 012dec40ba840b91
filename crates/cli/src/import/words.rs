//! A configuration in words: what it means here. Passwords are named, never shown.

use bellwether_conf::{
    AuthClients, Config, DaemonOptions, Diagnostic, OutputLimit, OutputLimits, Source, Supervised,
};

use crate::{output::plural, texts::Parsed};

/// What is taken over, a line for each matter.
pub(super) fn taken(config: &Config) -> Vec<String> {
    let mut lines = vec![identity(config), listening(&config.daemon)];
    lines.extend(other_entrances(&config.daemon));
    lines.extend(process(&config.daemon));
    let users = config.daemon.users.len();
    if users > 0 {
        lines.push(plural(users, "ACL user"));
    }
    if let Some(file) = &config.daemon.aclfile {
        lines.push(format!("ACL users of {}", file.display()));
    }
    lines.extend(towards_others(config));
    for (name, record) in &config.groups {
        let options = &record.options;
        lines.push(format!(
            "group {name}: primary {}, quorum {}, down after {} ms, failover timeout {} ms, parallel syncs {}",
            record.primary,
            options.quorum,
            options.down_after.as_millis(),
            options.failover_timeout.as_millis(),
            options.parallel_syncs
        ));
        let user = options.auth_user.as_deref();
        match (user, options.auth_pass.is_some()) {
            (Some(user), true) => lines.push(format!("  logs in as {user}, with a password")),
            (None, true) => lines.push("  logs in with a password".to_owned()),
            _ => {}
        }
        let scripts = [
            ("notification script", &options.notification_script),
            ("client reconfiguration script", &options.client_reconfig_script),
        ];
        for (what, path) in scripts {
            lines.extend(path.iter().map(|path| format!("  {what} {path}")));
        }
        for (command, new_name) in &options.renamed_commands {
            lines.push(format!("  calls {command} by the name {new_name}"));
        }
        if !options.reboot_down_after.is_zero() {
            let ms = options.reboot_down_after.as_millis();
            lines.push(format!("  a primary that restarts counts as down after {ms} ms"));
        }
        lines.push(format!(
            "  config epoch {}, last vote in epoch {}; knows {} and {}",
            record.config_epoch,
            record.vote.epoch,
            plural(record.replicas.len(), "replica"),
            plural(record.sentinels.len(), "other sentinel")
        ));
    }
    if config.groups.is_empty() {
        lines.push("no group: groups can be added by SENTINEL MONITOR".to_owned());
    }
    lines
}

/// Line, or file and line where it is not the main one.
pub(super) fn place(parsed: &Parsed, diagnostic: &Diagnostic) -> String {
    match parsed.main() {
        Some(Source { name, .. }) if *name != diagnostic.file => {
            format!("{} of {}", diagnostic.line, diagnostic.file)
        }
        _ => diagnostic.line.to_string(),
    }
}

fn identity(config: &Config) -> String {
    match &config.my_id {
        Some(id) => format!("id {id}, current epoch {}", config.current_epoch),
        None => "no id yet: one is made at the first start".to_owned(),
    }
}

fn listening(daemon: &DaemonOptions) -> String {
    if daemon.bind.is_empty() || daemon.port == 0 {
        return "listens nowhere without TLS".to_owned();
    }
    let hosts: Vec<String> = daemon.bind.iter().map(|bind| bind.host.to_string()).collect();
    let password = match (&daemon.requirepass, daemon.protected_mode) {
        (Some(_), _) => ", clients need a password",
        (None, true) => ", serves this machine only (protected mode)",
        (None, false) => "",
    };
    format!(
        "listens on port {} of {}{password}",
        daemon.port,
        hosts.join(", ")
    )
}

/// How else clients come in, and what becomes of them.
fn other_entrances(daemon: &DaemonOptions) -> Vec<String> {
    let mut lines = Vec::new();
    if daemon.tls.port != 0 {
        let certificates = match daemon.tls.auth_clients {
            AuthClients::Yes => "clients must show a certificate",
            AuthClients::Optional => "clients may show a certificate",
            AuthClients::No => "clients need no certificate",
        };
        lines.push(format!(
            "listens with TLS on port {}, {certificates}",
            daemon.tls.port
        ));
    }
    if daemon.tls.replication {
        lines.push("links to servers and other sentinels use TLS".to_owned());
    }
    if let Some(path) = &daemon.unixsocket {
        let mode = daemon
            .unixsocketperm
            .map(|mode| format!(" with the permissions {mode:o}"));
        lines.push(format!(
            "listens on {}{}",
            path.display(),
            mode.unwrap_or_default()
        ));
    }
    for (command, word) in daemon.command_names.changes() {
        lines.push(match word {
            "" => format!("clients cannot call {command}"),
            word => format!("clients call {command} by the name {word}"),
        });
    }
    let limits = &daemon.output_limits;
    if *limits != OutputLimits::default() {
        let (normal, pubsub) = (amount(limits.normal), amount(limits.pubsub));
        lines.push(format!(
            "what may wait: {normal} for a client, {pubsub} for a subscriber"
        ));
    }
    lines
}

fn amount(limit: OutputLimit) -> String {
    let hard = match limit.hard_bytes {
        0 => "any number of bytes".to_owned(),
        bytes => format!("{bytes} bytes"),
    };
    match limit.soft_bytes {
        0 => hard,
        bytes => format!("{hard} (over {bytes} for {} s)", limit.soft_time.as_secs()),
    }
}

fn process(daemon: &DaemonOptions) -> Vec<String> {
    let path = |what: &str, path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| format!("{what} {}", path.display()))
    };
    let mut parts: Vec<String> = [
        path("directory", &daemon.dir),
        path("log in", &daemon.logfile),
        path("process id in", &daemon.pidfile),
    ]
    .into_iter()
    .flatten()
    .collect();
    if daemon.daemonize {
        parts.push("in the background".to_owned());
    }
    let supervisor = Supervised::ALL
        .iter()
        .find(|(_, kind)| *kind == daemon.supervised);
    if let Some((name, kind)) = supervisor
        && *kind != Supervised::No
    {
        parts.push(format!("supervised {name}"));
    }
    if daemon.syslog.enabled {
        parts.push(format!("log to syslog as {}", daemon.syslog.ident));
    }
    (!parts.is_empty())
        .then(|| parts.join(", "))
        .into_iter()
        .collect()
}

fn towards_others(config: &Config) -> Vec<String> {
    let options = &config.sentinel;
    let mut lines = Vec::new();
    let announced = [
        options.announce_ip.as_ref().map(ToString::to_string),
        options.announce_port.map(|port| format!("port {port}")),
    ];
    let announced: Vec<String> = announced.into_iter().flatten().collect();
    if !announced.is_empty() {
        lines.push(format!("announces {}", announced.join(", ")));
    }
    if options.resolve_hostnames {
        let tail = if options.announce_hostnames {
            ", and are told to others"
        } else {
            ""
        };
        lines.push(format!("host names are looked up{tail}"));
    }
    if options.sentinel_pass.is_some() {
        lines.push("other sentinels want a password, which it has".to_owned());
    }
    lines
}
