//! The durable state as directives, in the reference's order. Knows nothing of the file they go to.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_core::{
    Addr, DEFAULT_DOWN_AFTER, DEFAULT_FAILOVER_TIMEOUT, DEFAULT_PARALLEL_SYNCS, Globals, GroupName,
    GroupRecord, Host, Registry,
};

use crate::lex::quote;
use crate::options::SentinelOptions;
use crate::secrets::SecretFiles;
use crate::sentinel::{REBOOT_PERIOD, VALKEY_REBOOT_PERIOD};
use crate::value::{MAX_COUNT, MAX_TIME_MS};

/// Which line of a file a directive belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The word behind `sentinel`, in lower case and today's spelling.
    pub(crate) name: String,
    /// The group; empty if it concerns the process.
    pub(crate) group: String,
    /// The replica's address, the sentinel's id or the renamed command, where a group has several lines of one name.
    pub(crate) member: String,
}

impl Key {
    /// The key of a line with these words behind `sentinel`. `is_group` tells whether the first is a group's name.
    pub(crate) fn of(words: &[&str], is_group: bool) -> Self {
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let name = match word(0).to_ascii_lowercase() {
            old if old == "known-slave" => "known-replica".to_owned(),
            other if other == VALKEY_REBOOT_PERIOD => REBOOT_PERIOD.to_owned(),
            name => name,
        };
        let member = match name.as_str() {
            "known-replica" => format!("{} {}", word(2), word(3)).to_ascii_lowercase(),
            "known-sentinel" => word(4).to_owned(),
            "rename-command" => word(2).to_ascii_uppercase(),
            _ => String::new(),
        };
        let group = if is_group {
            word(1).to_owned()
        } else {
            String::new()
        };
        Self { name, group, member }
    }
}

/// One directive to write.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    /// Which line it belongs to.
    pub(crate) key: Key,
    /// The words behind `sentinel`.
    pub(crate) words: Vec<String>,
    /// Whether it must be written. One that says the default is written only where a line says so already.
    pub(crate) is_required: bool,
}

impl Directive {
    /// The same by another name.
    pub(crate) fn spelled(&self, name: &str) -> Self {
        let mut other = self.clone();
        if let Some(word) = other.words.first_mut() {
            name.clone_into(word);
        }
        other
    }

    /// Whether the word at `index` is the name of a command, whose case does not count.
    pub(crate) fn is_command(&self, index: usize) -> bool {
        index == 2 && self.key.name == "rename-command"
    }

    /// The directive as a line, quoted where needed.
    pub(crate) fn line(&self) -> String {
        let mut line = "sentinel".to_owned();
        for word in &self.words {
            line.push(' ');
            line.push_str(&quote(word));
        }
        line
    }
}

/// Gathers directives.
#[derive(Default)]
struct Emitter {
    directives: Vec<Directive>,
    is_group: bool,
}

impl Emitter {
    fn push(&mut self, is_required: bool, words: &[&str]) {
        self.directives.push(Directive {
            key: Key::of(words, self.is_group),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            is_required,
        });
    }

    fn required(&mut self, words: &[&str]) {
        self.push(true, words);
    }
}

/// Everything that a rewritten file has about sentinels.
pub(crate) fn directives(
    options: &SentinelOptions,
    registry: &Registry,
    secret_files: &SecretFiles,
) -> Vec<Directive> {
    let mut emitter = Emitter::default();
    let globals = &registry.globals;
    let flag = |yes: bool| if yes { "yes" } else { "no" };
    // Names in the state can be loaded only where names are allowed.
    let resolve = globals.resolve_hostnames || uses_names(registry);
    let deny = options.deny_scripts_reconfig;
    let announce = globals.announce_hostnames;
    emitter.required(&["myid", registry.my_id.as_str()]);
    emitter.push(!deny, &["deny-scripts-reconfig", flag(deny)]);
    emitter.push(resolve, &["resolve-hostnames", flag(resolve)]);
    emitter.push(announce, &["announce-hostnames", flag(announce)]);
    groups(&mut emitter, registry, secret_files);
    emitter.required(&["current-epoch", &registry.current_epoch.to_string()]);
    addresses_and_login(&mut emitter, globals, secret_files);
    emitter.directives
}

fn addresses_and_login(emitter: &mut Emitter, globals: &Globals, secret_files: &SecretFiles) {
    if let Some(ip) = &globals.announce_ip {
        emitter.required(&["announce-ip", ip]);
    }
    let port = globals.announce_port;
    emitter.push(port != 0, &["announce-port", &port.to_string()]);
    if let Some(user) = &globals.sentinel_user {
        emitter.required(&["sentinel-user", user]);
    }
    if let Some(password) = &globals.sentinel_pass
        && secret_files.sentinel_pass.is_none()
    {
        emitter.required(&["sentinel-pass", password.expose()]);
    }
}

/// The registry alone.
pub(crate) fn state(registry: &Registry, secret_files: &SecretFiles) -> Vec<Directive> {
    let mut emitter = Emitter::default();
    let globals = &registry.globals;
    emitter.required(&["myid", registry.my_id.as_str()]);
    emitter.push(globals.resolve_hostnames, &["resolve-hostnames", "yes"]);
    emitter.push(globals.announce_hostnames, &["announce-hostnames", "yes"]);
    groups(&mut emitter, registry, secret_files);
    emitter.required(&["current-epoch", &registry.current_epoch.to_string()]);
    addresses_and_login(&mut emitter, globals, secret_files);
    emitter.directives.retain(|directive| directive.is_required);
    emitter.directives
}

fn groups(emitter: &mut Emitter, registry: &Registry, secret_files: &SecretFiles) {
    emitter.is_group = true;
    for (name, record) in &registry.groups {
        group(emitter, name, record, !secret_files.auth_pass.contains_key(name));
    }
    emitter.is_group = false;
}

/// `with_password` is false where the password stands in a file of its own.
fn group(emitter: &mut Emitter, name: &GroupName, record: &GroupRecord, with_password: bool) {
    let name = name.as_str();
    let options = &record.options;
    let (host, port) = host_and_port(&record.primary);
    let quorum = options.quorum.clamp(1, MAX_COUNT).to_string();
    emitter.required(&["monitor", name, &host, &port, &quorum]);
    emitter.push(
        options.down_after != DEFAULT_DOWN_AFTER,
        &["down-after-milliseconds", name, &millis(options.down_after)],
    );
    emitter.push(
        options.failover_timeout != DEFAULT_FAILOVER_TIMEOUT,
        &["failover-timeout", name, &millis(options.failover_timeout)],
    );
    emitter.push(
        options.parallel_syncs != DEFAULT_PARALLEL_SYNCS,
        &[
            "parallel-syncs",
            name,
            &options.parallel_syncs.clamp(1, MAX_COUNT).to_string(),
        ],
    );
    for (directive, script) in [
        ("notification-script", &options.notification_script),
        ("client-reconfig-script", &options.client_reconfig_script),
    ] {
        if let Some(path) = script.as_deref().filter(|path| !path.is_empty()) {
            emitter.required(&[directive, name, path]);
        }
    }
    let password = options.auth_pass.as_ref().map(|password| password.expose());
    if let Some(password) = password.filter(|password| with_password && !password.is_empty()) {
        emitter.required(&["auth-pass", name, password]);
    }
    if let Some(user) = options.auth_user.as_deref().filter(|user| !user.is_empty()) {
        emitter.required(&["auth-user", name, user]);
    }
    if !options.reboot_down_after.is_zero() {
        emitter.required(&[REBOOT_PERIOD, name, &millis(options.reboot_down_after)]);
    }
    emitter.required(&["config-epoch", name, &record.config_epoch.to_string()]);
    emitter.required(&["leader-epoch", name, &record.vote.epoch.to_string()]);
    for replica in record
        .replicas
        .iter()
        .filter(|replica| **replica != record.primary)
    {
        let (host, port) = host_and_port(replica);
        emitter.required(&["known-replica", name, &host, &port]);
    }
    for (id, addr) in &record.sentinels {
        let (host, port) = host_and_port(addr);
        emitter.required(&["known-sentinel", name, &host, &port, id.as_str()]);
    }
    for (command, renamed) in &options.renamed_commands {
        emitter.required(&["rename-command", name, command, renamed]);
    }
}

/// Unlike Sentinel, which writes the IP that a name resolved to unless `announce-hostnames` is on, the name itself
/// is kept: otherwise a restart would forget it.
fn host_and_port(addr: &Addr) -> (String, String) {
    (addr.host.to_string(), addr.port.to_string())
}

/// Whole milliseconds in the range that can be loaded.
fn millis(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    millis.clamp(1, MAX_TIME_MS).to_string()
}

fn uses_names(registry: &Registry) -> bool {
    let is_name = |addr: &Addr| matches!(addr.host, Host::Name(_));
    registry.groups.values().any(|record| {
        is_name(&record.primary)
            || record.replicas.iter().any(is_name)
            || record.sentinels.values().any(is_name)
    })
}

/// The names of the groups, to tell lines about groups that are gone.
pub(crate) fn names(registry: &Registry) -> BTreeSet<&str> {
    registry.groups.keys().map(GroupName::as_str).collect()
}
