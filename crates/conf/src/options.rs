//! The settings, as plain data with their defaults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bellwether_core::{Epoch, Globals, GroupName, GroupRecord, Host, LogLevel, Registry, Secret, SentinelId};

use crate::command_names::CommandNames;
use crate::coordination::Coordination;
use crate::diagnostic::Diagnostic;
use crate::lex::quote;
use crate::places::Places;
use crate::script::ScriptLine;
use crate::secrets::SecretFiles;
use crate::tls::TlsOptions;

/// Everything that a configuration says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// How the process runs and listens.
    pub daemon: DaemonOptions,
    /// How this coordinator behaves towards others.
    pub sentinel: SentinelOptions,
    /// Our own id; `None` before the first start.
    pub my_id: Option<SentinelId>,
    /// The highest epoch seen; never lower than any epoch of a group.
    pub current_epoch: Epoch,
    /// The monitored groups with their durable state.
    pub groups: BTreeMap<GroupName, GroupRecord>,
    /// Passwords that stand in files of their own.
    pub secret_files: SecretFiles,
    /// What was accepted but has not the effect that one might expect.
    pub warnings: Vec<Diagnostic>,
    /// Which options of each group the configuration names; see [`apply_state`](crate::apply_state).
    pub(crate) named: BTreeMap<GroupName, NamedOptions>,
    /// The same for what concerns the process.
    pub(crate) named_globals: NamedGlobals,
    /// The scripts that are named, in their order; see [`judge_scripts`](crate::judge_scripts).
    pub(crate) scripts: Vec<ScriptLine>,
    /// Where files and users are named; see [`Config::place`].
    pub(crate) places: Places,
    /// What the main text alone says about the log level.
    pub(crate) main_log_level: LogLevel,
}

impl Config {
    /// The durable state to start with. `fresh_id` is asked for an id if the configuration has none.
    #[must_use]
    pub fn registry(&self, fresh_id: impl FnOnce() -> SentinelId) -> Registry {
        Registry {
            my_id: self.my_id.clone().unwrap_or_else(fresh_id),
            current_epoch: self.current_epoch,
            globals: self.globals(),
            groups: self.groups.clone(),
        }
    }

    /// What can be changed while the process runs, as the configuration has it.
    fn globals(&self) -> Globals {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let password = self.sentinel.sentinel_pass.clone();
        Globals {
            announce_ip: self.sentinel.announce_ip.as_ref().map(ToString::to_string),
            announce_port: self.sentinel.announce_port.unwrap_or(0),
            resolve_hostnames: self.sentinel.resolve_hostnames,
            announce_hostnames: self.sentinel.announce_hostnames,
            sentinel_user: text(&self.sentinel.sentinel_user),
            sentinel_pass: password.filter(|password| !password.expose().is_empty()),
            log_level: self.daemon.loglevel,
        }
    }
}

/// How the process runs and listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonOptions {
    /// `port`: where to listen; 0 means nowhere.
    pub port: u16,
    /// `bind`: the addresses to listen on. Empty means nowhere, as `bind ""` does.
    pub bind: Vec<Bind>,
    /// `unixsocket`: a file to listen on; `None` means no file.
    pub unixsocket: Option<PathBuf>,
    /// `unixsocketperm`: who may use that file, as of chmod; `None` leaves it to the umask.
    pub unixsocketperm: Option<u32>,
    /// `protected-mode`: without a password, serve only clients on this machine.
    pub protected_mode: bool,
    /// `requirepass`: what clients must give with AUTH.
    pub requirepass: Option<Secret>,
    /// `user`: the ACL users, in the order of their lines. Whether their rules make sense is not known here.
    pub users: Vec<UserLine>,
    /// `aclfile`: where the ACL users are kept instead; `None` means in the configuration.
    pub aclfile: Option<PathBuf>,
    /// `acllog-max-len`: how many refusals are remembered.
    pub acllog_max_len: usize,
    /// `acl-pubsub-default allchannels`: whether a new ACL user may listen to everything.
    pub acl_pubsub_allchannels: bool,
    /// `rename-command`: by which names clients call our commands.
    pub command_names: CommandNames,
    /// `dir`: the working directory, joined from all `dir` lines as the reference changes into one after the other.
    pub dir: Option<PathBuf>,
    /// `logfile`; `None` is standard output.
    pub logfile: Option<PathBuf>,
    /// `loglevel`
    pub loglevel: LogLevel,
    /// `bellwether log-format`
    pub log_format: LogFormat,
    /// `client-output-buffer-limit`: how much may wait for a client.
    pub output_limits: OutputLimits,
    /// `daemonize`
    pub daemonize: bool,
    /// `supervised`: who started the process.
    pub supervised: Supervised,
    /// The `syslog-…` directives.
    pub syslog: SyslogOptions,
    /// `pidfile`
    pub pidfile: Option<PathBuf>,
    /// `maxclients`
    pub maxclients: u32,
    /// `tcp-backlog`
    pub tcp_backlog: u32,
    /// `tcp-keepalive`; zero means off.
    pub tcp_keepalive: Duration,
    /// `timeout`: how long a client may be idle; zero means for ever. Subscribers are exempt.
    pub timeout: Duration,
    /// `bind-source-addr`: the local address of outgoing links.
    pub bind_source_addr: Option<IpAddr>,
    /// The `tls-…` directives.
    pub tls: TlsOptions,
    /// `bellwether http-bind`: where to serve HTTP; `None` means nowhere.
    pub http_bind: Option<SocketAddr>,
    /// `bellwether state-dir`: where the durable state lives; `None` means in the configuration file itself.
    pub state_dir: Option<PathBuf>,
    /// `bellwether coordination`: how coordinators agree.
    pub coordination: Coordination,
}

impl Default for DaemonOptions {
    fn default() -> Self {
        Self {
            port: 26379,
            bind: vec![
                Bind::required(Ipv4Addr::UNSPECIFIED.into()),
                Bind::optional(Ipv6Addr::UNSPECIFIED.into()),
            ],
            unixsocket: None,
            unixsocketperm: None,
            protected_mode: false,
            requirepass: None,
            users: Vec::new(),
            aclfile: None,
            acllog_max_len: 128,
            acl_pubsub_allchannels: false,
            command_names: CommandNames::default(),
            dir: None,
            logfile: None,
            loglevel: LogLevel::Notice,
            log_format: LogFormat::Plain,
            output_limits: OutputLimits::default(),
            daemonize: false,
            supervised: Supervised::No,
            syslog: SyslogOptions::default(),
            pidfile: None,
            maxclients: 10_000,
            tcp_backlog: 511,
            tcp_keepalive: Duration::from_secs(300),
            timeout: Duration::ZERO,
            bind_source_addr: None,
            tls: TlsOptions::default(),
            http_bind: None,
            state_dir: None,
            coordination: Coordination::Vote,
        }
    }
}

/// One ACL user, as a `user` line gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// The name.
    pub name: String,
    /// The rules behind it. Some are passwords.
    pub rules: Vec<String>,
    /// Where the line is, for messages: the name of the text.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Whether it stands in the main text, which is the one that is rewritten.
    pub is_main: bool,
    /// Whether the rules are other than those of the line.
    pub is_edited: bool,
}

impl UserLine {
    /// A user that stands nowhere yet, and whose rules are to follow.
    #[must_use]
    pub const fn unplaced(name: String) -> Self {
        Self {
            name,
            rules: Vec::new(),
            file: String::new(),
            line: 0,
            is_main: true,
            is_edited: true,
        }
    }

    /// The user as a line of a configuration.
    #[must_use]
    pub fn text(&self) -> String {
        let mut line = format!("user {}", quote(&self.name));
        for rule in &self.rules {
            line.push(' ');
            match rule.strip_prefix('#') {
                // Only at the start of a line would it begin a comment.
                Some(digest) if matches!(quote(digest), Cow::Borrowed(_)) => line.push_str(rule),
                _ => line.push_str(&quote(rule)),
            }
        }
        line
    }
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The address. `*` is `0.0.0.0` and `::*` is `::`.
    pub host: Host,
    /// Whether to go on without it if this machine does not have it (`-` in front).
    pub optional: bool,
}

impl Bind {
    const fn required(ip: IpAddr) -> Self {
        Self {
            host: Host::Ip(ip),
            optional: false,
        }
    }

    const fn optional(ip: IpAddr) -> Self {
        Self {
            host: Host::Ip(ip),
            optional: true,
        }
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Plain,
    /// A JSON object.
    Json,
}

/// How much may wait for a client before it is cut off, by what the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// For those who subscribe to nothing.
    pub normal: OutputLimit,
    /// For subscribers.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    /// Unlike Sentinel (32 MiB at once, 8 MiB for a minute), one limit for subscribers that holds at once, because the
    /// burst of a mass failover is when memory is needed elsewhere. A thousand groups failing over at once make some 4 MB
    /// of events, so a subscriber that reads at all is safe.
    fn default() -> Self {
        let pubsub = OutputLimit {
            hard_bytes: 8 * 1024 * 1024,
            ..OutputLimit::default()
        };
        Self {
            normal: OutputLimit::default(),
            pubsub,
        }
    }
}

/// How much may wait for one client; 0 bytes are no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At any moment.
    pub hard_bytes: u64,
    /// For longer than `soft_time` without a break.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_time: Duration,
}

/// Who waits to hear that the process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervised {
    /// Nobody.
    No,
    /// systemd.
    Systemd,
    /// upstart.
    Upstart,
    /// Whichever of the two has left its mark in the environment.
    Auto,
}

impl Supervised {
    /// All of them, each with its name.
    pub const ALL: [(&str, Self); 4] = [
        ("upstart", Self::Upstart),
        ("systemd", Self::Systemd),
        ("auto", Self::Auto),
        ("no", Self::No),
    ];
}

/// What goes to the system's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// `syslog-enabled`: whether anything does.
    pub enabled: bool,
    /// `syslog-ident`: the name in front of each line.
    pub ident: String,
    /// `syslog-facility`
    pub facility: SyslogFacility,
}

impl Default for SyslogOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            ident: "redis".to_owned(),
            facility: SyslogFacility::LOCAL0,
        }
    }
}

/// The part of the system that a line of its log is about, by its number in RFC 3164.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogFacility(u8);

impl SyslogFacility {
    const LOCAL0: Self = Self(16);

    /// All of them, each with its name.
    pub const ALL: [(&str, Self); 9] = [
        ("user", Self(1)),
        ("local0", Self::LOCAL0),
        ("local1", Self(17)),
        ("local2", Self(18)),
        ("local3", Self(19)),
        ("local4", Self(20)),
        ("local5", Self(21)),
        ("local6", Self(22)),
        ("local7", Self(23)),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

/// How this coordinator behaves towards others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelOptions {
    /// `announce-ip`: the address that hellos carry; `None` means the local address of the link.
    pub announce_ip: Option<Host>,
    /// `announce-port`: the port that hellos carry; `None` means the listening port.
    pub announce_port: Option<u16>,
    /// `resolve-hostnames`: whether host names may be used for addresses.
    pub resolve_hostnames: bool,
    /// `announce-hostnames`: whether replies and hellos carry host names where known.
    pub announce_hostnames: bool,
    /// `deny-scripts-reconfig`: whether SENTINEL SET refuses to change scripts.
    pub deny_scripts_reconfig: bool,
    /// `sentinel-user`: the user for other sentinels.
    pub sentinel_user: Option<String>,
    /// `sentinel-pass`: the password for other sentinels.
    pub sentinel_pass: Option<Secret>,
    /// `bellwether forget-sentinels-after`: for how long a sentinel must be down to be forgotten; `None` means
    /// for ever.
    pub forget_sentinels_after: Option<Duration>,
    /// `bellwether forget-replicas-after`: the same for replicas.
    pub forget_replicas_after: Option<Duration>,
}

impl Default for SentinelOptions {
    fn default() -> Self {
        Self {
            announce_ip: None,
            announce_port: None,
            resolve_hostnames: false,
            announce_hostnames: false,
            deny_scripts_reconfig: true,
            sentinel_user: None,
            sentinel_pass: None,
            forget_sentinels_after: None,
            forget_replicas_after: None,
        }
    }
}

/// Which options of a group a configuration names. The quorum always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedOptions {
    pub(crate) down_after: bool,
    pub(crate) failover_timeout: bool,
    pub(crate) parallel_syncs: bool,
    pub(crate) auth_user: bool,
    pub(crate) auth_pass: bool,
    pub(crate) notification_script: bool,
    pub(crate) client_reconfig_script: bool,
    pub(crate) reboot_down_after: bool,
}

/// Which settings of the process that can be changed while it runs a configuration names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedGlobals {
    pub(crate) announce_ip: bool,
    pub(crate) announce_port: bool,
    pub(crate) resolve_hostnames: bool,
    pub(crate) announce_hostnames: bool,
    pub(crate) sentinel_user: bool,
    pub(crate) sentinel_pass: bool,
    pub(crate) log_level: bool,
}
