//! What a configuration says about the process, as directives with values, where that is not what every sentinel does
//! anyway. `sentinel.conf` and YAML call these by the same names, so both are written from this.

use bellwether_conf::{
    AuthClients, DaemonOptions, OutputLimits, Supervised, SyslogFacility, SyslogOptions, TlsOptions,
    UserLine, quote,
};

/// The value of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number or a word.
    Plain(String),
    /// yes or no.
    Flag(bool),
    /// Any text.
    Text(String),
    /// Addresses, or other words; none at all means nowhere.
    Hosts(Vec<String>),
}

/// A directive and its value.
pub(crate) type Entry = (&'static str, Value);

impl Value {
    /// As it stands in a `sentinel.conf`.
    pub(crate) fn in_conf(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Flag(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Self::Text(text) => quote(text).into_owned(),
            Self::Hosts(hosts) if hosts.is_empty() => "\"\"".to_owned(),
            Self::Hosts(hosts) => hosts.join(" "),
        }
    }
}

/// The directives about the process, without users and without those that only bellwether knows.
pub(crate) fn entries(daemon: &DaemonOptions) -> Vec<Entry> {
    let default = DaemonOptions::default();
    let mut to = Entries::default();
    to.0.push(("port", Value::Plain(daemon.port.to_string())));
    if daemon.bind != default.bind {
        let hosts = daemon.bind.iter().map(|bind| {
            let sign = if bind.optional { "-" } else { "" };
            format!("{sign}{}", bind.host)
        });
        to.0.push(("bind", Value::Hosts(hosts.collect())));
    }
    if let Some(mode) = daemon.unixsocketperm {
        // In quotes, lest YAML reads another number.
        to.0.push(("unixsocketperm", Value::Text(format!("{mode:o}"))));
    }
    to.flag("protected-mode", daemon.protected_mode, default.protected_mode);
    to.text(
        "requirepass",
        daemon.requirepass.as_ref().map(|secret| secret.expose()),
    );
    for (name, path) in [
        ("unixsocket", &daemon.unixsocket),
        ("aclfile", &daemon.aclfile),
        ("dir", &daemon.dir),
        ("logfile", &daemon.logfile),
        ("pidfile", &daemon.pidfile),
    ] {
        to.text(name, path.as_ref().map(|path| path.to_string_lossy()).as_deref());
    }
    to.plain("acllog-max-len", daemon.acllog_max_len, default.acllog_max_len);
    if daemon.aclfile.is_some() || !daemon.users.is_empty() || daemon.acl_pubsub_allchannels {
        // Said even where it is the default, which was another one before Redis 7.
        let word = if daemon.acl_pubsub_allchannels {
            "allchannels"
        } else {
            "resetchannels"
        };
        to.0.push(("acl-pubsub-default", Value::Plain(word.to_owned())));
    }
    to.plain("loglevel", daemon.loglevel.name(), default.loglevel.name());
    to.flag("daemonize", daemon.daemonize, default.daemonize);
    let name = |of: &DaemonOptions| {
        let known = Supervised::ALL.iter().find(|(_, known)| *known == of.supervised);
        known.map_or("no", |(name, _)| name)
    };
    to.plain("supervised", name(daemon), name(&default));
    syslog(&mut to, &daemon.syslog);
    if daemon.output_limits != default.output_limits {
        let OutputLimits { normal, pubsub } = daemon.output_limits;
        let words = [("normal", normal), ("pubsub", pubsub)].map(|(class, limit)| {
            [
                class.to_owned(),
                limit.hard_bytes.to_string(),
                limit.soft_bytes.to_string(),
                limit.soft_time.as_secs().to_string(),
            ]
        });
        to.0.push(("client-output-buffer-limit", Value::Hosts(words.concat())));
    }
    to.plain("maxclients", daemon.maxclients, default.maxclients);
    to.plain("tcp-backlog", daemon.tcp_backlog, default.tcp_backlog);
    let seconds = |of: &DaemonOptions| [of.tcp_keepalive.as_secs(), of.timeout.as_secs()];
    let ([keepalive, timeout], [usual_keepalive, usual_timeout]) = (seconds(daemon), seconds(&default));
    to.plain("tcp-keepalive", keepalive, usual_keepalive);
    to.plain("timeout", timeout, usual_timeout);
    let source = daemon.bind_source_addr.map(|addr| addr.to_string());
    to.text("bind-source-addr", source.as_deref());
    tls(&mut to, &daemon.tls);
    to.0
}

fn syslog(to: &mut Entries, syslog: &SyslogOptions) {
    let default = SyslogOptions::default();
    to.flag("syslog-enabled", syslog.enabled, default.enabled);
    if syslog.ident != default.ident {
        to.text("syslog-ident", Some(&syslog.ident));
    }
    let name = |facility| {
        let known = SyslogFacility::ALL.iter().find(|(_, known)| *known == facility);
        known.map_or("local0", |(name, _)| name)
    };
    to.plain("syslog-facility", name(syslog.facility), name(default.facility));
}

fn tls(to: &mut Entries, tls: &TlsOptions) {
    let default = TlsOptions::default();
    to.plain("tls-port", tls.port, default.port);
    to.flag("tls-replication", tls.replication, default.replication);
    for (name, path) in [
        ("tls-cert-file", &tls.server.cert),
        ("tls-key-file", &tls.server.key),
        ("tls-client-cert-file", &tls.client.cert),
        ("tls-client-key-file", &tls.client.key),
        ("tls-ca-cert-file", &tls.ca_file),
        ("tls-ca-cert-dir", &tls.ca_dir),
    ] {
        to.text(name, path.as_ref().map(|path| path.to_string_lossy()).as_deref());
    }
    for (name, files) in [
        ("tls-key-file-pass", &tls.server),
        ("tls-client-key-file-pass", &tls.client),
    ] {
        to.text(name, files.key_pass.as_ref().map(|secret| secret.expose()));
    }
    let auth = |auth| match auth {
        AuthClients::Yes => "yes",
        AuthClients::No => "no",
        AuthClients::Optional => "optional",
    };
    to.plain(
        "tls-auth-clients",
        auth(tls.auth_clients),
        auth(default.auth_clients),
    );
    if tls.protocols != default.protocols {
        let word = if tls.protocols.v1_2 { "TLSv1.2" } else { "TLSv1.3" };
        to.0.push(("tls-protocols", Value::Plain(word.to_owned())));
    }
    match tls.cached_sessions {
        0 => to.0.push(("tls-session-caching", Value::Flag(false))),
        size => to.plain("tls-session-cache-size", size, default.cached_sessions),
    }
}

#[derive(Default)]
struct Entries(Vec<Entry>);

impl Entries {
    fn plain<T: std::fmt::Display + PartialEq>(&mut self, name: &'static str, value: T, default: T) {
        if value != default {
            self.0.push((name, Value::Plain(value.to_string())));
        }
    }

    fn flag(&mut self, name: &'static str, value: bool, default: bool) {
        if value != default {
            self.0.push((name, Value::Flag(value)));
        }
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.push((name, Value::Text(value.to_owned())));
        }
    }
}

/// Whether the two name the same users with the same rules, wherever they stand.
pub(crate) fn same_users(some: &[UserLine], others: &[UserLine]) -> bool {
    let said = |user: &UserLine| (user.name.clone(), user.rules.clone());
    some.iter().map(said).eq(others.iter().map(said))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{path::PathBuf, time::Duration};

    use bellwether_conf::{KeyFiles, LogLevel, Source, TlsProtocols};
    use proptest::{
        collection::{btree_map, vec},
        option,
        prelude::*,
    };

    use super::*;

    /// Texts that are hard to write, never empty: that means none.
    fn odd() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z/]{1,8}", "[ \t\"'\\\\#\r\n:{}&*!|>%@`~äж漢x-]{1,8}"]
    }

    fn file() -> impl Strategy<Value = Option<PathBuf>> {
        option::of(odd().prop_map(PathBuf::from))
    }

    /// A password can only be made by what reads one.
    fn secret(text: &str) -> DaemonOptions {
        let source = Source::new("f", format!("requirepass {}", quote(text)));
        let config = bellwether_conf::parse(&source, &[], &mut |_| Ok(Vec::new()));
        config.expect("a password").daemon
    }

    fn key() -> impl Strategy<Value = KeyFiles> {
        (file(), file(), option::of(odd())).prop_map(|(cert, key, pass)| KeyFiles {
            cert,
            key,
            key_pass: pass.and_then(|pass| secret(&pass).requirepass),
        })
    }

    fn tls() -> impl Strategy<Value = TlsOptions> {
        let auth = prop::sample::select(vec![AuthClients::Yes, AuthClients::No, AuthClients::Optional]);
        let versions = prop::sample::select(vec![(true, true), (true, false), (false, true)]);
        let numbers = (any::<u16>(), 0..=65_536_u32, any::<bool>());
        (key(), key(), file(), file(), auth, versions, numbers).prop_map(
            |(
                server,
                client,
                ca_file,
                ca_dir,
                auth_clients,
                (v1_2, v1_3),
                (port, cached_sessions, replication),
            )| {
                TlsOptions {
                    port,
                    replication,
                    server,
                    client,
                    ca_file,
                    ca_dir,
                    auth_clients,
                    protocols: TlsProtocols { v1_2, v1_3 },
                    cached_sessions,
                    verify_hostname: false,
                }
            },
        )
    }

    fn users() -> impl Strategy<Value = Vec<UserLine>> {
        // An open default user beside a password is a warning, not an error.
        let rules = vec(odd(), 0..4);
        btree_map("[a-zä:#>-]{1,6}", rules, 0..4).prop_map(|users| {
            let line = |(name, rules)| UserLine {
                rules,
                is_edited: false,
                ..UserLine::unplaced(name)
            };
            users.into_iter().map(line).collect()
        })
    }

    /// Any options of the process that can be said in both forms.
    pub(crate) fn daemon() -> impl Strategy<Value = DaemonOptions> {
        let level = prop::sample::select(LogLevel::ALL.to_vec());
        let numbers = (
            any::<u16>(),
            1..=u32::MAX,
            0..1_000_u64,
            0..100_usize,
            any::<bool>(),
        );
        (numbers, file(), option::of(odd()), level, tls(), users()).prop_map(
            |((port, maxclients, timeout, acllog_max_len, flag), dir, password, loglevel, tls, users)| {
                DaemonOptions {
                    port,
                    maxclients,
                    timeout: Duration::from_secs(timeout),
                    acllog_max_len,
                    acl_pubsub_allchannels: flag,
                    protected_mode: flag,
                    // The two exclude each other.
                    aclfile: dir.clone().filter(|_| users.is_empty()),
                    dir,
                    requirepass: password.and_then(|text| secret(&text).requirepass),
                    loglevel,
                    tls,
                    users,
                    ..DaemonOptions::default()
                }
            },
        )
    }
}
