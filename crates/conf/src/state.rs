//! The durable state as a file of its own, for a state directory. Knows the text, never where it is kept.
//!
//! The text is the same sentinel directives, between a first line that names the format and a last line with a
//! checksum of everything above it. So a state that was cut off or edited is told from a good one.

use bellwether_core::{GroupRecord, LogLevel, Registry};
use thiserror::Error;

use crate::diagnostic::{Diagnostic, Problems};
use crate::emit;
use crate::generic;
use crate::lex;
use crate::options::{Config, DaemonOptions, NamedOptions, SentinelOptions, UserLine};
use crate::secrets::SecretFiles;
use crate::sentinel::Executor;
use crate::source::Statement;
use crate::value::Names;

/// The name of the state's file in the state directory.
pub const STATE_FILE: &str = "bellwether-state.conf";

/// The first line. The number changes when an older version could not read the text any more.
const HEADER: &str = "# Bellwether state, format 1. Written by the daemon: do not edit.";

/// What all first lines begin with, whatever the format.
const HEADER_START: &str = "# Bellwether state, format ";

/// The directives beside those of sentinels: this one, and `user`.
const LOG_LEVEL: &str = "loglevel";
const USER: &str = "user";

/// What stands before the checksum in the last line.
const CHECKSUM_START: &str = "# checksum crc32 ";

/// Why a state cannot be used. To start without it could break a promise, such as a vote, so the caller must not.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// The first line is another.
    #[error("it is not a state file of Bellwether: the first line is not '{HEADER}'")]
    NotAState,
    /// Another version wrote it.
    #[error("it has the format '{0}', and this version reads format 1 only")]
    OtherFormat(String),
    /// The last line is another.
    #[error("it is incomplete: the last line is not a checksum")]
    CutOff,
    /// The checksum is that of another text.
    #[error(
        "it is damaged or was edited: its checksum is {found:08x}, not {expected:08x} as its last line says"
    )]
    Damaged {
        /// What the last line says.
        expected: u32,
        /// What the text has.
        found: u32,
    },
    /// The checksum is right, but the directives are not.
    #[error("it cannot be read: {}", .0.first().map_or_else(String::new, ToString::to_string))]
    Content(Vec<Diagnostic>),
}

/// The durable state as a text.
///
/// Passwords of `secret_files` are left out, and of `users` all that were not changed while the daemon ran. Failovers under way and receipts of past ones are not in it: a restart begins with what was decided.
#[must_use]
pub fn render_state(registry: &Registry, secret_files: &SecretFiles, users: &[UserLine]) -> String {
    let mut text = format!("{HEADER}\n");
    let log_level = registry.globals.log_level;
    if log_level != LogLevel::default() {
        text.push_str(&format!("{LOG_LEVEL} {}\n", log_level.name()));
    }
    for directive in emit::state(registry, secret_files) {
        text.push_str(&directive.line());
        text.push('\n');
    }
    for user in users.iter().filter(|user| user.is_edited) {
        text.push_str(&user.text());
        text.push('\n');
    }
    let checksum = crc32(text.as_bytes());
    text.push_str(&format!("{CHECKSUM_START}{checksum:08x}\n"));
    text
}

/// Puts a state that [`render_state`] wrote into a freshly loaded configuration.
///
/// What holds where both speak:
/// - Our id: the state's. Epochs and votes: the higher one, for they must never go back.
/// - The primary's address: that with the higher config epoch, and the state's if they are equal. A configuration
///   that is never rewritten has config epoch 0, so its address only counts until the state knows the group.
/// - Options: what the configuration names holds; an option that it does not name (set by SENTINEL SET or CONFIG SET)
///   comes from the state. The quorum is always named; of renamed commands, each counts for itself.
/// - ACL users: those that the configuration names are as it says, others come from the state. `requirepass` is the
///   password of the default user even if its rules come from the state. With `aclfile` the state has no say.
/// - Known replicas and sentinels: the state's.
/// - Groups that only the state has, because they were added by SENTINEL MONITOR, are added. So a group that is
///   taken out of the configuration must also be removed by SENTINEL REMOVE; and one that was only removed by
///   SENTINEL REMOVE comes back with the next start as long as the configuration names it.
///
/// # Errors
/// If the text is not a whole and unchanged state. The configuration is then as before.
pub fn apply_state(config: &mut Config, text: &str) -> Result<(), StateError> {
    let state = read(checked(text)?)?;
    merge_globals(config, &state);
    merge_users(&mut config.daemon, state.daemon.users);
    config.my_id = state.my_id.or_else(|| config.my_id.take());
    config.current_epoch = config.current_epoch.max(state.current_epoch);
    for (name, record) in state.groups {
        match config.groups.remove(&name) {
            None => {
                config.groups.insert(name, record);
            }
            Some(configured) => {
                let named = config.named.get(&name).copied().unwrap_or_default();
                config.groups.insert(name, merge(configured, record, named));
            }
        }
    }
    if let Some(my_id) = &config.my_id {
        for record in config.groups.values_mut() {
            record.sentinels.remove(my_id);
        }
    }
    Ok(())
}

/// The directives of a state, if its first and last lines are right.
fn checked(text: &str) -> Result<&str, StateError> {
    let first = text.lines().next().unwrap_or_default();
    if first != HEADER {
        return Err(match first.strip_prefix(HEADER_START) {
            Some(rest) => {
                let format = rest.split('.').next().unwrap_or_default();
                StateError::OtherFormat(format.chars().take(20).collect())
            }
            None => StateError::NotAState,
        });
    }
    let body = text.strip_suffix('\n').ok_or(StateError::CutOff)?;
    let start = body.rfind('\n').map_or(0, |newline| newline + 1);
    let (body, last) = body.split_at(start);
    let expected = last
        .strip_prefix(CHECKSUM_START)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or(StateError::CutOff)?;
    let found = crc32(body.as_bytes());
    if expected == found {
        Ok(body)
    } else {
        Err(StateError::Damaged { expected, found })
    }
}

fn read(text: &str) -> Result<Config, StateError> {
    let mut problems = Problems::default();
    let mut daemon = DaemonOptions::default();
    let mut statements = Vec::new();
    for (line, number) in text.split('\n').zip(1..) {
        if lex::is_silent(line) {
            continue;
        }
        let refuse = |column| Diagnostic {
            severity: crate::Severity::Error,
            file: STATE_FILE.to_owned(),
            line: number,
            column,
            directive: String::new(),
            message: "this is not a sentinel directive".to_owned(),
            hint: None,
        };
        let words = match lex::split(line, number) {
            Ok(words) => words,
            Err(error) => {
                problems.push(refuse(error.column));
                continue;
            }
        };
        let statement = Statement {
            file: STATE_FILE.into(),
            source: Statement::MAIN,
            line: number,
            words,
            raw: lex::trim(line).to_owned(),
        };
        match statement.text(0) {
            "sentinel" => statements.push(statement),
            LOG_LEVEL | USER => {
                if let Err(fault) = generic::run(&mut daemon, &mut SentinelOptions::default(), &statement) {
                    problems.error(&statement, fault);
                }
            }
            _ => problems.push(refuse(1)),
        }
    }
    let mut executor = Executor::new(daemon, SentinelOptions::default(), problems, Names::Allowed);
    executor.run(&statements);
    let (config, problems) = executor.finish();
    problems
        .finish(&[STATE_FILE.to_owned()])
        .map_err(StateError::Content)?;
    Ok(config)
}

fn merge_globals(config: &mut Config, state: &Config) {
    let named = config.named_globals;
    let (own, other) = (&mut config.sentinel, &state.sentinel);
    if !named.announce_ip {
        own.announce_ip.clone_from(&other.announce_ip);
    }
    if !named.announce_port {
        own.announce_port = other.announce_port;
    }
    if !named.resolve_hostnames {
        own.resolve_hostnames = other.resolve_hostnames;
    }
    if !named.announce_hostnames {
        own.announce_hostnames = other.announce_hostnames;
    }
    if !named.sentinel_user {
        own.sentinel_user.clone_from(&other.sentinel_user);
    }
    if !named.sentinel_pass && config.secret_files.sentinel_pass.is_none() {
        own.sentinel_pass.clone_from(&other.sentinel_pass);
    }
    if !named.log_level {
        config.daemon.loglevel = state.daemon.loglevel;
    }
}

fn merge_users(configured: &mut DaemonOptions, saved: Vec<UserLine>) {
    if configured.aclfile.is_some() {
        return;
    }
    for mut user in saved {
        if configured.users.iter().any(|known| known.name == user.name) {
            continue;
        }
        // Only what was changed while a daemon ran is in a state, and there it must stay.
        user.is_edited = true;
        configured.users.push(user);
    }
}

fn merge(configured: GroupRecord, state: GroupRecord, named: NamedOptions) -> GroupRecord {
    let mut options = state.options;
    options.quorum = configured.options.quorum;
    if named.down_after {
        options.down_after = configured.options.down_after;
    }
    if named.failover_timeout {
        options.failover_timeout = configured.options.failover_timeout;
    }
    if named.parallel_syncs {
        options.parallel_syncs = configured.options.parallel_syncs;
    }
    if named.auth_user {
        options.auth_user = configured.options.auth_user;
    }
    if named.auth_pass {
        options.auth_pass = configured.options.auth_pass;
    }
    if named.notification_script {
        options.notification_script = configured.options.notification_script;
    }
    if named.client_reconfig_script {
        options.client_reconfig_script = configured.options.client_reconfig_script;
    }
    if named.reboot_down_after {
        options.reboot_down_after = configured.options.reboot_down_after;
    }
    options
        .renamed_commands
        .extend(configured.options.renamed_commands);
    let mut merged = GroupRecord { options, ..state };
    if configured.config_epoch > merged.config_epoch {
        merged.config_epoch = configured.config_epoch;
        let old = std::mem::replace(&mut merged.primary, configured.primary);
        merged.replicas.insert(old);
    }
    let GroupRecord {
        replicas, primary, ..
    } = &mut merged;
    replicas.remove(primary);
    merged.vote.epoch = merged.vote.epoch.max(configured.vote.epoch);
    merged
}

/// The CRC-32 of Ethernet and zip, bit by bit: a state is a few kilobytes and is written rarely.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (POLYNOMIAL * low);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwether_core::{
        Addr, ConfigEpoch, Decision, Epoch, GlobalChange, Globals, GroupChange, GroupName, GroupOptions,
        SentinelId,
    };

    use super::*;
    use crate::source::Source;

    const FILE: &str = "sentinel monitor m 10.0.0.1 6379 2\nsentinel down-after-milliseconds m 5000\n";

    fn load(text: &str) -> Config {
        let config = crate::parse(&Source::new("f", text), &[], &mut |_: &str| Ok(Vec::new()));
        config.unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn id(text: &str) -> SentinelId {
        SentinelId::new(&text.repeat(40)).expect("an id")
    }

    fn group(name: &str) -> GroupName {
        GroupName::new(name).expect("a name")
    }

    fn addr(host: &str) -> Addr {
        Addr::parse(host, 6379).expect("an address")
    }

    /// The registry of a coordinator that was started with `FILE` and has lived since.
    fn lived() -> Registry {
        let mut registry = load(FILE).registry(|| id("a"));
        let m = || group("m");
        for decision in [
            Decision::Set {
                group: m(),
                change: GroupChange::DownAfter(Duration::from_secs(9)),
            },
            Decision::Set {
                group: m(),
                change: GroupChange::FailoverTimeout(Duration::from_secs(9)),
            },
            Decision::SentinelSeen {
                group: m(),
                id: id("b"),
                addr: addr("10.0.0.9"),
            },
            Decision::Switch {
                group: m(),
                config_epoch: ConfigEpoch(3),
                primary: addr("10.0.0.2"),
                from: SentinelId::new("other").expect("an id"),
            },
            Decision::Vote {
                group: m(),
                epoch: Epoch(4),
                candidate: id("b"),
            },
            Decision::Monitor {
                group: group("added"),
                primary: addr("redis-added"),
                options: GroupOptions::new(1),
            },
        ] {
            registry.apply(&decision);
        }
        registry
    }

    #[test]
    fn a_restart_knows_what_was_decided() {
        let registry = lived();
        let mut config = load(FILE);
        apply_state(
            &mut config,
            &render_state(&registry, &SecretFiles::default(), &[]),
        )
        .expect("a good state");
        assert_eq!(config.my_id, Some(id("a")));
        assert_eq!(config.current_epoch, Epoch(4));
        assert_eq!(config.groups["added"], registry.groups["added"]);
        let record = &config.groups["m"];
        assert_eq!(record.vote.epoch, Epoch(4));
        assert_eq!(record.primary, addr("10.0.0.2"));
        assert_eq!(record.replicas, [addr("10.0.0.1")].into());
        assert_eq!(record.sentinels, registry.groups["m"].sentinels);
        // Named in the file, and not.
        assert_eq!(record.options.down_after, Duration::from_secs(5));
        assert_eq!(record.options.failover_timeout, Duration::from_secs(9));
    }

    #[test]
    fn what_was_set_for_the_process_comes_back_unless_the_file_says_otherwise() {
        let mut registry = lived();
        let change = |change| Decision::SetGlobals {
            changes: vec![change],
        };
        registry.apply(&change(GlobalChange::LogLevel(LogLevel::Debug)));
        registry.apply(&change(GlobalChange::AnnouncePort(7)));
        registry.apply(&Decision::Set {
            group: group("m"),
            change: GroupChange::RenameCommand {
                command: "CONFIG".to_owned(),
                renamed: Some("guess".to_owned()),
            },
        });
        let state = render_state(&registry, &SecretFiles::default(), &[]);

        let mut config = load(FILE);
        apply_state(&mut config, &state).expect("a good state");
        assert_eq!(config.registry(|| id("a")).globals, registry.globals);
        let renamed = &config.groups["m"].options.renamed_commands;
        assert_eq!(renamed, &[("CONFIG".to_owned(), "guess".to_owned())].into());

        let named = "loglevel notice\nsentinel announce-port 0\nsentinel rename-command m config other\n";
        let mut config = load(&format!("{FILE}{named}"));
        apply_state(&mut config, &state).expect("a good state");
        assert_eq!(config.registry(|| id("a")).globals, Globals::default());
        let renamed = &config.groups["m"].options.renamed_commands;
        assert_eq!(renamed, &[("CONFIG".to_owned(), "other".to_owned())].into());
    }

    #[test]
    fn users_that_were_changed_come_back_unless_the_file_names_them() {
        let user = |name: &str, is_edited| UserLine {
            rules: vec!["on".to_owned(), "#ab".to_owned(), "(+ping &a b)".to_owned()],
            is_edited,
            ..UserLine::unplaced(name.to_owned())
        };
        let users = [user("a", true), user("b", true), user("c", false)];
        let state = render_state(&lived(), &SecretFiles::default(), &users);
        let names = |file: &str| {
            let mut config = load(&format!("{FILE}{file}"));
            apply_state(&mut config, &state).expect("a good state");
            let users = config.daemon.users.iter();
            users
                .map(|user| format!("{} {} {}", user.name, user.rules.join(","), user.is_edited))
                .collect::<Vec<_>>()
        };
        let rules = "on,#ab,(+ping &a b) true";
        assert_eq!(names(""), [format!("a {rules}"), format!("b {rules}")]);
        assert_eq!(
            names("user b off\n"),
            ["b off false".to_owned(), format!("a {rules}")]
        );
        assert_eq!(names("aclfile f\n"), [""; 0]);
    }

    #[test]
    fn a_newer_address_in_the_file_holds() {
        let mut config = load(&format!("{FILE}sentinel config-epoch m 7\n"));
        apply_state(&mut config, &render_state(&lived(), &SecretFiles::default(), &[]))
            .expect("a good state");
        let record = &config.groups["m"];
        assert_eq!(
            (&record.primary, record.config_epoch),
            (&addr("10.0.0.1"), ConfigEpoch(7))
        );
        assert_eq!(record.replicas, [addr("10.0.0.2")].into());
        assert_eq!(config.current_epoch, Epoch(7));
    }

    #[test]
    fn a_state_that_is_not_whole_is_refused() {
        let good = render_state(&lived(), &SecretFiles::default(), &[]);
        let fails = |text: &str| {
            let mut config = load(FILE);
            let error = apply_state(&mut config, text).expect_err(text);
            assert_eq!(config, load(FILE));
            error
        };
        assert_eq!(fails(""), StateError::NotAState);
        assert_eq!(
            fails(&good.replace("format 1", "format 2")),
            StateError::OtherFormat("2".into())
        );
        assert!(matches!(
            fails(&good.replace("leader-epoch m 4", "leader-epoch m 3")),
            StateError::Damaged { .. }
        ));
        for end in HEADER.len()..good.len() {
            if good.is_char_boundary(end) {
                fails(&good[..end]);
            }
        }
        let body = format!("{HEADER}\nport 1\n");
        let forged = format!("{body}{CHECKSUM_START}{:08x}\n", crc32(body.as_bytes()));
        assert!(matches!(fails(&forged), StateError::Content(_)));
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
