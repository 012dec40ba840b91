//! The `sentinel …` directives: one table, carried out in the reference's order.
//!
//! First what concerns the process, then every `monitor`, then what concerns a group; within each, in the order of
//! the text. So the order of lines in a file does not matter.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::{BadId, Epoch, GroupName, GroupOptions, GroupRecord, Host, Secret, SentinelId};

use crate::diagnostic::{Fault, Problems};
use crate::options::{Config, DaemonOptions, NamedOptions, SentinelOptions};
use crate::source::{Statement, name_in};
use crate::suggest::did_you_mean;
use crate::value::{self, Names};

/// The length that the reference demands of our own id.
const MY_ID_LEN: usize = 40;

const NOTIFICATION_SCRIPT: &str = "notification-script";
const CLIENT_RECONFIG_SCRIPT: &str = "client-reconfig-script";

/// How Redis spells it.
pub(crate) const REBOOT_PERIOD: &str = "master-reboot-down-after-period";
/// How Valkey spells the same since 8.0.
pub(crate) const VALKEY_REBOOT_PERIOD: &str = "primary-reboot-down-after-period";

/// When a directive is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// What concerns the process.
    Process,
    /// `monitor`.
    Monitor,
    /// What concerns a group, whose name is the first argument.
    Group,
}

mod group;

type Run = fn(&mut Executor, &Statement) -> Result<(), Fault>;

/// One sentinel directive.
pub(crate) struct Directive {
    /// The word behind `sentinel`.
    pub(crate) name: &'static str,
    /// Its arguments.
    pub(crate) usage: &'static str,
    /// How many arguments it takes.
    pub(crate) count: usize,
    /// When it is carried out.
    pub(crate) stage: Stage,
    run: Run,
}

const fn directive(
    name: &'static str,
    usage: &'static str,
    count: usize,
    stage: Stage,
    run: Run,
) -> Directive {
    Directive {
        name,
        usage,
        count,
        stage,
        run,
    }
}

/// All sentinel directives.
pub(crate) const DIRECTIVES: &[Directive] = &[
    directive("myid", "<id>", 1, Stage::Process, my_id),
    directive("current-epoch", "<epoch>", 1, Stage::Process, current_epoch),
    directive("announce-ip", "<ip>", 1, Stage::Process, announce_ip),
    directive("announce-port", "<port>", 1, Stage::Process, announce_port),
    directive(
        "resolve-hostnames",
        "yes|no",
        1,
        Stage::Process,
        resolve_hostnames,
    ),
    directive(
        "announce-hostnames",
        "yes|no",
        1,
        Stage::Process,
        announce_hostnames,
    ),
    directive(
        "deny-scripts-reconfig",
        "yes|no",
        1,
        Stage::Process,
        deny_scripts_reconfig,
    ),
    directive("sentinel-user", "<user>", 1, Stage::Process, sentinel_user),
    directive("sentinel-pass", "<password>", 1, Stage::Process, sentinel_pass),
    directive(
        "monitor",
        "<name> <host> <port> <quorum>",
        4,
        Stage::Monitor,
        monitor,
    ),
    directive(
        "down-after-milliseconds",
        "<name> <ms>",
        2,
        Stage::Group,
        group::down_after,
    ),
    directive(
        "failover-timeout",
        "<name> <ms>",
        2,
        Stage::Group,
        group::failover_timeout,
    ),
    directive(
        "parallel-syncs",
        "<name> <count>",
        2,
        Stage::Group,
        group::parallel_syncs,
    ),
    directive(
        "auth-pass",
        "<name> <password>",
        2,
        Stage::Group,
        group::auth_pass,
    ),
    directive("auth-user", "<name> <user>", 2, Stage::Group, group::auth_user),
    directive(
        "config-epoch",
        "<name> <epoch>",
        2,
        Stage::Group,
        group::config_epoch,
    ),
    directive(
        "leader-epoch",
        "<name> <epoch>",
        2,
        Stage::Group,
        group::leader_epoch,
    ),
    directive(
        "known-replica",
        "<name> <host> <port>",
        3,
        Stage::Group,
        group::known_replica,
    ),
    directive(
        "known-slave",
        "<name> <host> <port>",
        3,
        Stage::Group,
        group::known_replica,
    ),
    directive(
        "known-sentinel",
        "<name> <host> <port> <id>",
        4,
        Stage::Group,
        group::known_sentinel,
    ),
    directive(
        NOTIFICATION_SCRIPT,
        "<name> <path>",
        2,
        Stage::Group,
        group::notification_script,
    ),
    directive(
        CLIENT_RECONFIG_SCRIPT,
        "<name> <path>",
        2,
        Stage::Group,
        group::client_reconfig_script,
    ),
    directive(
        "rename-command",
        "<name> <command> <new name>",
        3,
        Stage::Group,
        group::rename_command,
    ),
    directive(
        REBOOT_PERIOD,
        "<name> <ms>",
        2,
        Stage::Group,
        group::reboot_period,
    ),
    directive(
        VALKEY_REBOOT_PERIOD,
        "<name> <ms>",
        2,
        Stage::Group,
        group::reboot_period,
    ),
];

/// Finds a directive by its name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|d| d.name.eq_ignore_ascii_case(name))
}

/// Whether `sentinel <name>` exists.
pub(crate) fn is_directive(name: &str) -> bool {
    find(name).is_some()
}

/// Carries out sentinel directives on a configuration that begins with given options.
pub(crate) struct Executor {
    config: Config,
    problems: Problems,
    /// What is said of host names unless `resolve-hostnames yes` allows them.
    names: Names,
    /// The text in which each group was introduced.
    origins: BTreeMap<GroupName, usize>,
    /// Names of groups whose `monitor` is refused. What else is said about them is not worth a second error.
    refused: BTreeSet<String>,
    /// Known instances and renamed commands with the text that named them.
    members: BTreeMap<(GroupName, String), usize>,
}

impl Executor {
    pub(crate) fn new(
        daemon: DaemonOptions,
        sentinel: SentinelOptions,
        problems: Problems,
        names: Names,
    ) -> Self {
        Self {
            config: Config {
                daemon,
                sentinel,
                ..Config::default()
            },
            problems,
            names,
            origins: BTreeMap::new(),
            refused: BTreeSet::new(),
            members: BTreeMap::new(),
        }
    }

    pub(crate) fn finish(self) -> (Config, Problems) {
        (self.config, self.problems)
    }

    pub(crate) fn run(&mut self, statements: &[Statement]) {
        let mut due: Vec<(&'static Directive, &Statement)> = Vec::with_capacity(statements.len());
        for statement in statements {
            match check_shape(statement) {
                Ok(Some(directive)) => due.push((directive, statement)),
                Ok(None) => {}
                Err(fault) => {
                    if statement.text(1).eq_ignore_ascii_case("monitor") {
                        self.refused.insert(statement.text(2).to_owned());
                    }
                    self.problems.error(statement, fault);
                }
            }
        }
        due.sort_by_key(|(directive, _)| directive.stage);
        for (directive, statement) in due {
            let is_about_refused =
                directive.stage == Stage::Group && self.refused.contains(statement.text(2));
            if is_about_refused || self.problems.is_full() {
                continue;
            }
            if let Err(fault) = (directive.run)(self, statement) {
                if directive.stage == Stage::Monitor {
                    self.refused.insert(statement.text(2).to_owned());
                }
                self.problems.error(statement, fault);
            }
        }
    }

    fn group(&mut self, statement: &Statement) -> Result<(GroupName, &mut GroupRecord), Fault> {
        let name = statement.text(2);
        match self.config.groups.get_key_value(name).map(|(key, _)| key.clone()) {
            Some(key) => match self.config.groups.get_mut(&key) {
                Some(record) => Ok((key, record)),
                None => Err(no_such_group()),
            },
            None => {
                let known = self.config.groups.keys().map(GroupName::as_str);
                let hint = did_you_mean(name, known)
                    .unwrap_or_else(|| format!("there is no line 'sentinel monitor {name} …'"));
                Err(no_such_group().hint(hint))
            }
        }
    }

    /// Notes that `statement` names a member of a group. `false` if it is known already from another text, of
    /// which the main file counts; an error if it is named twice in one.
    fn first_mention(
        &mut self,
        statement: &Statement,
        group: &GroupName,
        member: String,
        duplicate: &str,
    ) -> Result<bool, Fault> {
        match self.members.insert((group.clone(), member), statement.source) {
            None => Ok(true),
            Some(source) if source == statement.source => Err(Fault::new(3, duplicate)),
            Some(_) => Ok(statement.source == Statement::MAIN),
        }
    }

    fn warn(&mut self, statement: &Statement, word: usize, message: impl Into<String>) {
        self.problems.warning(statement, Fault::new(word, message));
    }

    fn names(&self) -> Names {
        if self.config.sentinel.resolve_hostnames {
            Names::Allowed
        } else {
            self.names
        }
    }

    fn named(&mut self, group: GroupName) -> &mut NamedOptions {
        self.config.named.entry(group).or_default()
    }

    fn raise_epoch(&mut self, epoch: u64) {
        self.config.current_epoch = self.config.current_epoch.max(Epoch(epoch));
    }
}

/// The directive of a statement, if the count of its arguments is right; `None` if it is to be ignored.
fn check_shape(statement: &Statement) -> Result<Option<&'static Directive>, Fault> {
    const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
    let name = statement.text(1);
    let Some(directive) = find(name) else {
        let fault = Fault::new(1, UNRECOGNIZED);
        return Err(match did_you_mean(name, DIRECTIVES.iter().map(|d| d.name)) {
            Some(hint) => fault.hint(hint),
            // The rest may be a password: `sentinel sentinel-pass=PASSWORD`.
            None => fault.hint(format!("there is no directive 'sentinel {}'", name_in(name))),
        });
    };
    let count = statement.args(2).len();
    // As Sentinel: the form of 2.6, without an id, is ignored.
    if directive.name == "known-sentinel" && count == 3 {
        return Ok(None);
    }
    if count != directive.count {
        let hint = format!("usage: sentinel {} {}", directive.name, directive.usage);
        return Err(Fault::new(1, UNRECOGNIZED).hint(hint));
    }
    Ok(Some(directive))
}

fn no_such_group() -> Fault {
    Fault::new(2, "No such master with specified name.")
}

fn my_id(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let text = statement.text(2);
    let id = SentinelId::new(text).ok().filter(|_| text.len() == MY_ID_LEN);
    let id = id.ok_or_else(|| {
        Fault::new(2, "Malformed Sentinel id in myid option.").hint(format!(
            "an id has {MY_ID_LEN} characters; remove the line to get a fresh one"
        ))
    })?;
    executor.config.my_id = Some(id);
    Ok(())
}

fn current_epoch(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    executor.raise_epoch(value::epoch(statement, 2)?);
    Ok(())
}

fn announce_ip(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    executor.config.sentinel.announce_ip = match value::optional(statement, 2) {
        None => None,
        Some(text) => {
            let refuse = || Fault::new(2, format!("'{text}' is neither an IP address nor a host name"));
            Some(Host::parse(text).ok_or_else(refuse)?)
        }
    };
    executor.config.named_globals.announce_ip = true;
    Ok(())
}

fn announce_port(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let port = value::port(statement, 2)?;
    executor.config.sentinel.announce_port = Some(port).filter(|port| *port != 0);
    executor.config.named_globals.announce_port = true;
    Ok(())
}

fn resolve_hostnames(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let message = "Please specify yes or no for the resolve-hostnames option.";
    executor.config.sentinel.resolve_hostnames = value::yes_no(statement, 2, message)?;
    executor.config.named_globals.resolve_hostnames = true;
    Ok(())
}

fn announce_hostnames(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let message = "Please specify yes or no for the announce-hostnames option.";
    executor.config.sentinel.announce_hostnames = value::yes_no(statement, 2, message)?;
    executor.config.named_globals.announce_hostnames = true;
    Ok(())
}

fn deny_scripts_reconfig(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let message = "Please specify yes or no for the deny-scripts-reconfig options.";
    executor.config.sentinel.deny_scripts_reconfig = value::yes_no(statement, 2, message)?;
    Ok(())
}

fn sentinel_user(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    executor.config.sentinel.sentinel_user = value::optional(statement, 2).map(str::to_owned);
    executor.config.named_globals.sentinel_user = true;
    Ok(())
}

fn sentinel_pass(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    executor.config.sentinel.sentinel_pass = value::optional(statement, 2).map(Secret::new);
    executor.config.named_globals.sentinel_pass = true;
    Ok(())
}

fn monitor(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let name = GroupName::new(statement.text(2)).map_err(|cause| bad_id(2, "Invalid group name", &cause));
    let primary = value::addr(statement, 3, executor.names());
    let quorum = count(statement, 5, "Quorum must be 1 or greater.");
    let (name, primary, quorum) = match (name, primary, quorum) {
        (Ok(name), Ok(primary), Ok(quorum)) => (name, primary, quorum),
        // One line may be wrong in several places: all but the last are reported here, that one by the caller.
        (name, primary, quorum) => {
            let mut faults: Vec<Fault> = [name.err(), primary.err(), quorum.err()]
                .into_iter()
                .flatten()
                .collect();
            let last = faults.pop();
            for fault in faults {
                executor.problems.error(statement, fault);
            }
            return last.map_or(Ok(()), Err);
        }
    };
    match executor.origins.get(&name) {
        Some(&origin) if origin == statement.source => return Err(Fault::new(2, "Duplicate master name.")),
        // Unlike Sentinel, a group may stand both in the main file and in an included file, on standard input or on
        // the command line: rewriting puts it into the main file, and the next start would fail. The main file
        // has the newer state, so it wins.
        Some(_) if statement.source != Statement::MAIN => {
            let message =
                format!("'{name}' is monitored by another file already, which holds its newer state");
            executor.warn(statement, 2, message);
            return Ok(());
        }
        _ => {}
    }
    executor.origins.insert(name.clone(), statement.source);
    executor.config.named.insert(name.clone(), Default::default());
    let record = GroupRecord::new(primary, GroupOptions::new(quorum));
    executor.config.groups.insert(name, record);
    Ok(())
}

/// A count of at least 1.
fn count(statement: &Statement, word: usize, message: &str) -> Result<u32, Fault> {
    let value = value::whole(statement, word)?;
    if value < 1 {
        return Err(Fault::new(word, message));
    }
    u32::try_from(value)
        .ok()
        .filter(|value| *value <= value::MAX_COUNT)
        .ok_or_else(|| Fault::new(word, format!("the number is larger than {}", value::MAX_COUNT)))
}

fn bad_id(word: usize, what: &str, cause: &BadId) -> Fault {
    Fault::new(word, format!("{what}: {cause}"))
}
