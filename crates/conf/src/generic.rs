//! Directives other than `sentinel …`: what the daemon honours, what it must refuse, and what it lets pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bellwether_core::{Host, LogLevel, Secret};

use crate::diagnostic::{Fault, Problems};
use crate::lex::Word;
use crate::options::{
    Bind, DaemonOptions, LogFormat, OutputLimit, SentinelOptions, Supervised, SyslogFacility, UserLine,
};
use crate::source::{Statement, name_in};
use crate::suggest::did_you_mean;
use crate::{coordination, secrets, tls, value};

/// How many addresses `bind` takes, as in the reference.
const MAX_BIND: usize = 16;

/// The largest value of the reference's signed 32-bit options.
const INT_MAX: u32 = i32::MAX as u32;

/// The longest time after which something is forgotten. Who wants more wants never.
const MAX_FORGET_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// What became of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is in the options now.
    Taken,
    /// It was accepted and does nothing; why that is worth a warning.
    None(String),
    /// It is a user, who must be judged with the other ones in the end; see [`judge_users`].
    User,
}

type Run = fn(&mut DaemonOptions, &Statement) -> Result<(), Fault>;

/// The directives that are honoured.
pub(crate) const HONOURED: &[(&str, Run)] = &[
    ("port", |o, s| set(&mut o.port, port(s))),
    ("bind", |o, s| set(&mut o.bind, bind(s))),
    ("unixsocket", |o, s| set(&mut o.unixsocket, socket_path(s))),
    ("unixsocketperm", |o, s| {
        set(&mut o.unixsocketperm, permissions(s))
    }),
    ("protected-mode", |o, s| set(&mut o.protected_mode, flag(s))),
    ("requirepass", |o, s| set(&mut o.requirepass, secret(s))),
    ("aclfile", |o, s| set(&mut o.aclfile, path(s))),
    ("acllog-max-len", |o, s| {
        set(&mut o.acllog_max_len, number(s, 0, u32::MAX).map(|n| n as usize))
    }),
    ("acl-pubsub-default", |o, s| {
        set(&mut o.acl_pubsub_allchannels, pubsub_default(s))
    }),
    ("rename-command", |o, s| o.command_names.rename(s)),
    ("dir", dir),
    ("logfile", |o, s| set(&mut o.logfile, path(s))),
    ("loglevel", |o, s| set(&mut o.loglevel, loglevel(s))),
    ("daemonize", |o, s| set(&mut o.daemonize, flag(s))),
    ("client-output-buffer-limit", output_limits),
    ("supervised", |o, s| {
        set(&mut o.supervised, one_of(s, &Supervised::ALL))
    }),
    ("syslog-enabled", |o, s| set(&mut o.syslog.enabled, flag(s))),
    ("syslog-ident", |o, s| set(&mut o.syslog.ident, text(s))),
    ("syslog-facility", |o, s| {
        set(&mut o.syslog.facility, one_of(s, &SyslogFacility::ALL))
    }),
    ("pidfile", |o, s| set(&mut o.pidfile, path(s))),
    ("maxclients", |o, s| {
        set(&mut o.maxclients, number(s, 1, u32::MAX))
    }),
    ("tcp-backlog", |o, s| {
        set(&mut o.tcp_backlog, number(s, 0, INT_MAX))
    }),
    ("tcp-keepalive", |o, s| set(&mut o.tcp_keepalive, seconds(s))),
    ("timeout", |o, s| set(&mut o.timeout, seconds(s))),
    ("bind-source-addr", |o, s| {
        set(&mut o.bind_source_addr, bind_source_addr(s))
    }),
];

/// Our own directives, all behind the word `bellwether`.
pub(crate) const OWN: &[(&str, Run)] = &[
    ("http-bind", |o, s| set(&mut o.http_bind, http_bind(s))),
    ("log-format", |o, s| set(&mut o.log_format, log_format(s))),
    ("state-dir", |o, s| set(&mut o.state_dir, state_dir(s))),
    ("tls-verify-hostname", |o, s| {
        single(s, 2)?;
        let yes = value::yes_no(s, 2, "argument must be 'yes' or 'no'");
        set(&mut o.tls.verify_hostname, yes)
    }),
];

type RunForPeers = fn(&mut SentinelOptions, &Statement) -> Result<(), Fault>;

/// Those of our own directives that concern the behaviour towards others.
pub(crate) const OWN_FOR_PEERS: &[(&str, RunForPeers)] = &[
    ("forget-sentinels-after", |o, s| {
        set(&mut o.forget_sentinels_after, forget_after(s))
    }),
    ("forget-replicas-after", |o, s| {
        set(&mut o.forget_replicas_after, forget_after(s))
    }),
];

/// The names of all our own directives.
pub(crate) fn own_names() -> impl Iterator<Item = &'static str> {
    let own = OWN.iter().map(|(name, _)| *name);
    let for_peers = OWN_FOR_PEERS.iter().map(|(name, _)| *name);
    let files = secrets::DIRECTIVES.iter().map(|(name, _)| *name);
    own.chain(coordination::names()).chain(for_peers).chain(files)
}

/// Directives of the reference that a coordinator could honour, or that mean nothing to it.
const IDLE: &[&str] = &[
    "activedefrag",
    "activerehashing",
    "always-show-logo",
    "aof_rewrite_cpulist",
    "appenddirname",
    "appendfilename",
    "appendfsync",
    "appendonly",
    "auto-aof-rewrite-min-size",
    "auto-aof-rewrite-percentage",
    "availability-zone",
    "bgsave_cpulist",
    "bio_cpulist",
    "busy-reply-threshold",
    "client-query-buffer-limit",
    "databases",
    "dbfilename",
    "debug-context",
    "disable-thp",
    "dynamic-hz",
    "enable-debug-command",
    "enable-module-command",
    "enable-protected-configs",
    "extended-redis-compatibility",
    "gopher-enabled",
    "hz",
    "ignore-warnings",
    "import-mode",
    "io-threads",
    "io-threads-do-reads",
    "jemalloc-bg-thread",
    "key-load-delay",
    "lfu-decay-time",
    "lfu-log-factor",
    "loadmodule",
    "locale-collate",
    "log-format",
    "log-timestamp-format",
    "lua-time-limit",
    "masterauth",
    "masteruser",
    "maxmemory",
    "no-appendfsync-on-rewrite",
    "notify-keyspace-events",
    "primaryauth",
    "primaryuser",
    "proc-title-template",
    "propagation-error-behavior",
    "proto-max-bulk-len",
    "protected-configs",
    "rdb-key-save-delay",
    "replicaof",
    "sanitize-dump-payload",
    "save",
    "server_cpulist",
    "server-cpulist",
    "set-proc-title",
    "slaveof",
    "socket-mark-id",
    "stop-writes-on-bgsave-error",
    "tls-cluster",
    "tracking-table-max-keys",
    "use-exit-on-panic",
    "watchdog-period",
];

/// Families of directives that mean nothing to a coordinator.
const IDLE_FAMILIES: &[&str] = &[
    "active-",
    "aof-",
    "cluster-",
    "crash-",
    "hash-",
    "hll-",
    "latency-",
    "lazyfree-",
    "list-",
    "lua-",
    "maxmemory-",
    "min-replicas-",
    "min-slaves-",
    "oom-score-adj",
    "rdb",
    "rdma-",
    "repl-",
    "replica-",
    "set-max-",
    "shutdown-",
    "slave-",
    "slowlog-",
    "stream-",
    "zset-",
];

/// Directives that are carried out elsewhere, or have others behind them.
const FIRST_WORDS: [&str; 4] = ["include", "sentinel", "bellwether", "user"];

/// Directives without effect that Redis Sentinel writes into every file on its own: not worth a warning.
const IDLE_QUIET: &[&str] = &["latency-tracking-info-percentiles"];

/// Carries out one statement.
pub(crate) fn run(
    options: &mut DaemonOptions,
    for_peers: &mut SentinelOptions,
    statement: &Statement,
) -> Result<Effect, Fault> {
    let name = statement.text(0).to_ascii_lowercase();
    let honoured = || HONOURED.iter().chain(tls::HONOURED);
    if let Some((_, run)) = honoured().find(|(known, _)| *known == name) {
        return run(options, statement).map(|()| Effect::Taken);
    }
    match name.as_str() {
        "bellwether" => return own(options, for_peers, statement).map(|()| Effect::Taken),
        "user" => return user(options, statement).map(|()| Effect::User),
        _ => {}
    }
    let decided = tls::DECIDED.iter().find(|(known, _)| *known == name);
    if !is_idle(&name) && decided.is_none() {
        return Err(unknown(&name));
    }
    if statement.words.len() < 2 {
        return Err(wrong_count());
    }
    if IDLE_QUIET.contains(&name.as_str()) {
        return Ok(Effect::Taken);
    }
    Ok(Effect::None(match decided {
        Some((_, instead)) => format!("'{name}' has no effect here: {instead}"),
        None => format!("'{name}' has no effect here"),
    }))
}

fn is_idle(name: &str) -> bool {
    let is_of_family = || IDLE_FAMILIES.iter().any(|family| name.starts_with(family));
    IDLE.contains(&name) || name_in(name) == name && is_of_family()
}

/// Whether there is a directive of this name, in lower case, with or without effect here.
pub(crate) fn is_known(name: &str) -> bool {
    let honoured = HONOURED.iter().chain(tls::HONOURED);
    FIRST_WORDS.contains(&name)
        || honoured.map(|(known, _)| *known).any(|known| known == name)
        || tls::DECIDED.iter().any(|(known, _)| *known == name)
        || is_idle(name)
}

/// Warns of what the users say together, or refuses it.
pub(crate) fn judge_users(options: &DaemonOptions, last: Option<&Statement>, problems: &mut Problems) {
    let Some(last) = last else { return };
    if options.aclfile.is_some() {
        let message = "'user' and 'aclfile' exclude each other: only one of the two can hold";
        let hint = "move the users into the ACL file, or remove 'aclfile'";
        return problems.error(last, Fault::new(0, message).hint(hint));
    }
    let default_user = options.users.iter().find(|user| user.name == "default");
    let is_open = default_user.is_some_and(|user| user.rules.iter().any(|rule| rule == "nopass"));
    if is_open && options.requirepass.is_some() {
        let message = "'requirepass' holds, although the line of the default user lets everyone in";
        problems.warning(last, Fault::new(0, message));
    }
}

fn own(
    options: &mut DaemonOptions,
    for_peers: &mut SentinelOptions,
    statement: &Statement,
) -> Result<(), Fault> {
    let name = statement.text(1).to_ascii_lowercase();
    if secrets::is_secret_file(statement) {
        return secrets::check_shape(statement);
    }
    // What they say together is looked at elsewhere, when everything is read.
    if coordination::is_directive(statement) {
        return coordination::check(statement);
    }
    if let Some((_, run)) = OWN_FOR_PEERS.iter().find(|(known, _)| *known == name) {
        return run(for_peers, statement);
    }
    match OWN.iter().find(|(known, _)| *known == name) {
        Some((_, run)) => run(options, statement),
        None => {
            let names: Vec<&str> = own_names().collect();
            let hint = did_you_mean(&name, own_names())
                .unwrap_or_else(|| format!("known are: bellwether {}", names.join(", bellwether ")));
            Err(Fault::new(1, "Bad directive or wrong number of arguments").hint(hint))
        }
    }
}

fn unknown(name: &str) -> Fault {
    // The rest may be a password: `requirepass=PASSWORD`.
    let name = name_in(name);
    let known = HONOURED
        .iter()
        .chain(tls::HONOURED)
        .map(|(known, _)| *known)
        .chain(FIRST_WORDS)
        .chain(IDLE.iter().copied());
    // A frequent slip is to leave out the word in front.
    let hint = if crate::sentinel::is_directive(name) {
        Some(format!("did you mean 'sentinel {name} …'?"))
    } else if own_names().any(|own| own == name) {
        Some(format!("did you mean 'bellwether {name} …'?"))
    } else {
        did_you_mean(name, known)
    };
    let fault = Fault::new(0, "Bad directive or wrong number of arguments");
    match hint {
        Some(hint) => fault.hint(hint),
        None if name.is_empty() => fault.hint("this is not a known directive"),
        None => fault.hint(format!("'{name}' is not a known directive")),
    }
}

fn wrong_count() -> Fault {
    Fault::new(0, "wrong number of arguments")
}

/// Puts a good value into its place; a bad one leaves it as it was.
pub(crate) fn set<T>(slot: &mut T, value: Result<T, Fault>) -> Result<(), Fault> {
    *slot = value?;
    Ok(())
}

/// The only value, which stands at `word`; `None` if it is empty.
pub(crate) fn single(statement: &Statement, word: usize) -> Result<Option<&str>, Fault> {
    if statement.words.len() == word + 1 {
        Ok(value::optional(statement, word))
    } else {
        Err(wrong_count())
    }
}

pub(crate) fn flag(statement: &Statement) -> Result<bool, Fault> {
    single(statement, 1)?;
    value::yes_no(statement, 1, "argument must be 'yes' or 'no'")
}

pub(crate) fn number(statement: &Statement, min: i64, max: u32) -> Result<u32, Fault> {
    single(statement, 1)?;
    value::unsigned(statement, 1, min, max)
}

fn seconds(statement: &Statement) -> Result<Duration, Fault> {
    number(statement, 0, INT_MAX).map(|seconds| Duration::from_secs(seconds.into()))
}

pub(crate) fn port(statement: &Statement) -> Result<u16, Fault> {
    let port = number(statement, 0, u16::MAX.into())?;
    u16::try_from(port).map_err(|_| Fault::new(1, "Invalid port number."))
}

pub(crate) fn secret(statement: &Statement) -> Result<Option<Secret>, Fault> {
    Ok(single(statement, 1)?.map(Secret::new))
}

pub(crate) fn path(statement: &Statement) -> Result<Option<PathBuf>, Fault> {
    Ok(single(statement, 1)?.map(PathBuf::from))
}

/// The longest path that an address of a unix socket holds.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Unlike Sentinel, which cuts a long path, and listens on another file.
fn socket_path(statement: &Statement) -> Result<Option<PathBuf>, Fault> {
    let path = path(statement)?;
    let is_long = path
        .as_ref()
        .is_some_and(|path| path.as_os_str().len() > MAX_SOCKET_PATH_BYTES);
    if is_long {
        let message = format!("the path of a unix socket is at most {MAX_SOCKET_PATH_BYTES} bytes long");
        return Err(Fault::new(1, message));
    }
    Ok(path)
}

/// As Sentinel, 0 is what the umask leaves.
fn permissions(statement: &Statement) -> Result<Option<u32>, Fault> {
    single(statement, 1)?;
    let mode = i64::from_str_radix(statement.text(1), 8)
        .map_err(|_| Fault::new(1, "argument couldn't be parsed as an octal number"))?;
    match u32::try_from(mode) {
        Ok(mode @ ..=0o777) => Ok(Some(mode).filter(|mode| *mode > 0)),
        _ => Err(Fault::new(1, "argument must be between 0 and 777 inclusive")),
    }
}

fn bind(statement: &Statement) -> Result<Vec<Bind>, Fault> {
    let arguments = statement.args(1);
    if arguments.is_empty() {
        return Err(wrong_count().hint(format!("1 to {MAX_BIND} addresses")));
    }
    if arguments.len() > MAX_BIND {
        let fault = Fault::new(MAX_BIND + 1, "Too many bind addresses specified.");
        return Err(fault.hint(format!("at most {MAX_BIND}")));
    }
    // As Redis since 7.0: `bind ""` listens nowhere.
    if arguments.len() == 1 && statement.text(1).is_empty() {
        return Ok(Vec::new());
    }
    let one = |(argument, word): (&Word, usize)| {
        let optional = argument.text.starts_with('-');
        let text = argument.text.strip_prefix('-').unwrap_or(&argument.text);
        let host = match text {
            "*" => Host::Ip(Ipv4Addr::UNSPECIFIED.into()),
            "::*" => Host::Ip(Ipv6Addr::UNSPECIFIED.into()),
            text => Host::parse(text).ok_or_else(|| {
                Fault::new(word, format!("'{text}' is neither an IP address nor a host name"))
            })?,
        };
        Ok(Bind { host, optional })
    };
    arguments.iter().zip(1..).map(one).collect()
}

/// How many `user` lines are taken. A coordinator has a handful, and each must be compared with those before it.
const MAX_USERS: usize = 1024;

fn user(options: &mut DaemonOptions, statement: &Statement) -> Result<(), Fault> {
    let Some(name) = statement.args(1).first() else {
        return Err(wrong_count());
    };
    if name.text.is_empty() || name.text.contains(char::is_whitespace) {
        return Err(Fault::new(1, "Spaces not allowed in ACL usernames"));
    }
    if options.users.iter().any(|user| user.name == name.text) {
        let message = "Duplicate user found. A user can only be defined once in config files";
        return Err(Fault::new(1, message));
    }
    if options.users.len() == MAX_USERS {
        return Err(Fault::new(0, format!("more than {MAX_USERS} users")));
    }
    options.users.push(UserLine {
        name: name.text.clone(),
        rules: statement.args(2).iter().map(|word| word.text.clone()).collect(),
        file: statement.file.to_string(),
        line: statement.line,
        is_main: statement.source == Statement::MAIN,
        is_edited: false,
    });
    Ok(())
}

/// Classes with three numbers each: at once, for a while, and for how many seconds.
fn output_limits(options: &mut DaemonOptions, statement: &Statement) -> Result<(), Fault> {
    let words = statement.args(1).len();
    if words == 0 || !words.is_multiple_of(4) {
        return Err(Fault::new(
            0,
            "Wrong number of arguments in buffer limit configuration.",
        ));
    }
    let mut limits = options.output_limits;
    for first in (1..=words).step_by(4) {
        let number = |word| {
            value::bytes(statement.text(word)).ok_or_else(|| {
                let message = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
                Fault::new(word, message)
            })
        };
        let seconds = statement.text(first + 3).parse::<u32>().map_err(|_| {
            let message = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            Fault::new(first + 3, message)
        })?;
        let limit = OutputLimit {
            hard_bytes: number(first + 1)?,
            soft_bytes: number(first + 2)?,
            soft_time: Duration::from_secs(seconds.into()),
        };
        match statement.text(first).to_ascii_lowercase().as_str() {
            "normal" => limits.normal = limit,
            "pubsub" => limits.pubsub = limit,
            // A coordinator has no replicas of its own.
            "replica" | "slave" => {}
            _ => {
                let message = "Invalid client class specified in buffer limit configuration.";
                return Err(Fault::new(first, message));
            }
        }
    }
    options.output_limits = limits;
    Ok(())
}

fn one_of<T: Copy>(statement: &Statement, choices: &[(&str, T)]) -> Result<T, Fault> {
    single(statement, 1)?;
    value::choice(statement, 1, choices)
}

fn text(statement: &Statement) -> Result<String, Fault> {
    Ok(single(statement, 1)?.unwrap_or_default().to_owned())
}

fn pubsub_default(statement: &Statement) -> Result<bool, Fault> {
    single(statement, 1)?;
    value::choice(statement, 1, &[("allchannels", true), ("resetchannels", false)])
}

/// As the reference, which changes into one directory after the other: a relative one counts from the last.
fn dir(options: &mut DaemonOptions, statement: &Statement) -> Result<(), Fault> {
    let dir = single(statement, 1)?.ok_or_else(|| Fault::new(1, "the directory is empty"))?;
    let before = options.dir.take().unwrap_or_default();
    options.dir = Some(before.join(dir));
    Ok(())
}

fn loglevel(statement: &Statement) -> Result<LogLevel, Fault> {
    single(statement, 1)?;
    let levels = [
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("nothing", LogLevel::Nothing),
    ];
    value::choice(statement, 1, &levels)
}

fn bind_source_addr(statement: &Statement) -> Result<Option<IpAddr>, Fault> {
    let refuse = |text| Fault::new(1, format!("'{text}' is not an IP address"));
    single(statement, 1)?
        .map(|text| text.parse().map_err(|_| refuse(text)))
        .transpose()
}

fn log_format(statement: &Statement) -> Result<LogFormat, Fault> {
    single(statement, 2)?;
    let formats = [("plain", LogFormat::Plain), ("json", LogFormat::Json)];
    value::choice(statement, 2, &formats)
}

fn http_bind(statement: &Statement) -> Result<Option<SocketAddr>, Fault> {
    let refuse = |text| {
        Fault::new(2, format!("'{text}' is not an address and a port"))
            .hint("write for example 127.0.0.1:8379 or [::1]:8379")
    };
    single(statement, 2)?
        .map(|text| text.parse().map_err(|_| refuse(text)))
        .transpose()
}

fn state_dir(statement: &Statement) -> Result<Option<PathBuf>, Fault> {
    Ok(single(statement, 2)?.map(PathBuf::from))
}

/// Seconds, or a number with a unit; 0 is never.
fn forget_after(statement: &Statement) -> Result<Option<Duration>, Fault> {
    single(statement, 2)?;
    let text = statement.text(2);
    let refuse =
        |message| Fault::new(2, message).hint("write for example 7d, 12h, 30m, or a number of seconds");
    let millis = value::millis_with_unit(text, 1000)
        .and_then(|millis| u64::try_from(millis).ok())
        .ok_or_else(|| refuse(format!("'{text}' is not a time")))?;
    if millis > MAX_FORGET_MS {
        return Err(refuse("the time is longer than ten years".to_owned()));
    }
    Ok(Some(Duration::from_millis(millis)).filter(|time| !time.is_zero()))
}
