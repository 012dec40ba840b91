//! Everything that must survive a restart. It changes only through [`Registry::apply`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::decision::{Decision, GlobalChange, GroupChange};
use crate::failover::{FailoverReceipt, FailoverRecord};
use crate::id::{ConfigEpoch, Epoch, GroupName, SentinelId};

/// How many receipts of past failovers a group keeps. A group that fails over more often than this between
/// two looks of an operator has a problem that the newest ones show.
pub const MAX_HISTORY: usize = 64;

/// How many replicas one group may have. The largest fan-outs in use have a few dozen; beyond this it is
/// garbage in INFO that would otherwise grow the file without end.
pub const MAX_REPLICAS: usize = 1024;

/// How many sentinels may be known for one group: far more than any fleet has.
pub const MAX_SENTINELS: usize = 128;

/// Default of `down-after-milliseconds`, as in the reference.
pub const DEFAULT_DOWN_AFTER: Duration = Duration::from_secs(30);
/// Default of `failover-timeout`, as in the reference.
pub const DEFAULT_FAILOVER_TIMEOUT: Duration = Duration::from_secs(180);
/// Default of `parallel-syncs`, as in the reference.
pub const DEFAULT_PARALLEL_SYNCS: u32 = 1;

/// A password. It never shows itself in debug output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// What operators set for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOptions {
    /// How many sentinels must see the primary down.
    pub quorum: u32,
    /// How long an instance may be silent before it counts as subjectively down.
    pub down_after: Duration,
    /// The bound on the steps of a failover.
    pub failover_timeout: Duration,
    /// How many replicas are pointed at a new primary at the same time.
    pub parallel_syncs: u32,
    /// The user for the group's servers; without a password it is not used.
    pub auth_user: Option<String>,
    /// The password for the group's servers.
    pub auth_pass: Option<Secret>,
    /// What is run for each event of level warning.
    pub notification_script: Option<String>,
    /// What is run when the primary's address changes.
    pub client_reconfig_script: Option<String>,
    /// Commands that the group's servers have under other names, in capitals, with those names.
    pub renamed_commands: BTreeMap<String, String>,
    /// How long a primary that came back with another run id may go without a good answer; zero for no limit.
    pub reboot_down_after: Duration,
}

impl GroupOptions {
    /// The defaults, with this quorum.
    #[must_use]
    pub const fn new(quorum: u32) -> Self {
        Self {
            quorum,
            down_after: DEFAULT_DOWN_AFTER,
            failover_timeout: DEFAULT_FAILOVER_TIMEOUT,
            parallel_syncs: DEFAULT_PARALLEL_SYNCS,
            auth_user: None,
            auth_pass: None,
            notification_script: None,
            client_reconfig_script: None,
            renamed_commands: BTreeMap::new(),
            reboot_down_after: Duration::ZERO,
        }
    }
}

/// The last vote given for a group. The candidate is unknown after a restart; the epoch never is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LastVote {
    /// The epoch of the vote: no other candidate gets one for it.
    pub epoch: Epoch,
    /// Who got it, if still known.
    pub candidate: Option<SentinelId>,
}

/// The durable state of one monitored group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Where the primary is.
    pub primary: Addr,
    /// What operators set.
    pub options: GroupOptions,
    /// The version of `primary`.
    pub config_epoch: ConfigEpoch,
    /// Our last vote.
    pub vote: LastVote,
    /// Known replicas.
    pub replicas: BTreeSet<Addr>,
    /// Known other sentinels.
    pub sentinels: BTreeMap<SentinelId, Addr>,
    /// The failover under way that this coordinator leads.
    pub failover: Option<FailoverRecord>,
    /// Ended failovers, oldest first; at most [`MAX_HISTORY`].
    pub history: VecDeque<FailoverReceipt>,
    /// Sentinels that share no log with us and may watch the group all the same; at most [`MAX_SENTINELS`].
    pub accepted: BTreeSet<SentinelId>,
}

impl GroupRecord {
    /// A group as an operator introduces it.
    #[must_use]
    pub fn new(primary: Addr, options: GroupOptions) -> Self {
        Self {
            primary,
            options,
            config_epoch: ConfigEpoch::default(),
            vote: LastVote::default(),
            replicas: BTreeSet::new(),
            sentinels: BTreeMap::new(),
            failover: None,
            history: VecDeque::new(),
            accepted: BTreeSet::new(),
        }
    }

    /// How many sentinels take part in this group's elections: all known ones and ourselves, reachable or not.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.sentinels.len() + 1
    }
}

/// From which importance on something is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much.
    Verbose,
    /// What one wants to know in production.
    #[default]
    Notice,
    /// What a person must look at.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl LogLevel {
    /// Every level, the loudest first.
    pub const ALL: &[Self] = &[
        Self::Debug,
        Self::Verbose,
        Self::Notice,
        Self::Warning,
        Self::Nothing,
    ];

    /// The word in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Nothing => "nothing",
        }
    }
}

/// What concerns the whole process and can be changed while it runs (`SENTINEL CONFIG SET`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Globals {
    /// `announce-ip`: the host that peers are told; `None` for our own address on each link.
    pub announce_ip: Option<String>,
    /// `announce-port`: the port that peers are told; 0 for the one we listen on.
    pub announce_port: u16,
    /// `resolve-hostnames`: whether host names are accepted where addresses are.
    pub resolve_hostnames: bool,
    /// `announce-hostnames`: whether host names are shown instead of the addresses behind them.
    pub announce_hostnames: bool,
    /// `sentinel-user`: the user for other sentinels.
    pub sentinel_user: Option<String>,
    /// `sentinel-pass`: the password for other sentinels.
    pub sentinel_pass: Option<Secret>,
    /// `loglevel`
    pub log_level: LogLevel,
}

/// All durable state of one coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Our own id.
    pub my_id: SentinelId,
    /// The highest epoch seen.
    pub current_epoch: Epoch,
    /// What concerns the whole process.
    pub globals: Globals,
    /// The monitored groups.
    pub groups: BTreeMap<GroupName, GroupRecord>,
}

impl Registry {
    /// A registry that knows nothing but its owner's id.
    #[must_use]
    pub fn new(my_id: SentinelId) -> Self {
        Self {
            my_id,
            current_epoch: Epoch(0),
            globals: Globals::default(),
            groups: BTreeMap::new(),
        }
    }

    /// Carries out a decision. This is the only way in which durable state changes.
    ///
    /// A decision about a group that is gone changes nothing: it was made before the group was removed.
    ///
    /// # Panics
    /// If the decision would break safety: a second vote in an epoch, or an epoch that goes back.
    pub fn apply(&mut self, decision: &Decision) {
        match decision {
            Decision::Monitor {
                group,
                primary,
                options,
            } => {
                let mut record = GroupRecord::new(primary.clone(), options.clone());
                // A group of this name may have been here before and have voted in any epoch so far.
                record.vote.epoch = self.current_epoch;
                self.groups.entry(group.clone()).or_insert(record);
            }
            Decision::Remove { group } => {
                self.groups.remove(group);
            }
            Decision::AdvanceEpoch { epoch, .. } => self.raise_epoch(*epoch),
            Decision::SetGlobals { changes } => changes.iter().for_each(|change| self.globals.set(change)),
            Decision::Vote {
                group,
                epoch,
                candidate,
            } => {
                self.raise_epoch(*epoch);
                if let Some(record) = self.groups.get_mut(group) {
                    assert!(
                        *epoch > record.vote.epoch || bugs::has(Bug::VoteTwice),
                        "second vote of {group} in epoch {epoch}"
                    );
                    record.vote = LastVote {
                        epoch: *epoch,
                        candidate: Some(candidate.clone()),
                    };
                }
            }
            Decision::Switch {
                group,
                config_epoch,
                primary,
                ..
            } => {
                self.raise_epoch((*config_epoch).into());
                if let Some(record) = self.groups.get_mut(group) {
                    record.switch(*config_epoch, primary);
                }
            }
            Decision::Yield { group, primary, .. } => {
                if let Some(record) = self.groups.get_mut(group) {
                    record.install(primary);
                }
            }
            Decision::FailoverBegun { group, record } => {
                self.raise_epoch(record.epoch);
                if let Some(group) = self.groups.get_mut(group) {
                    group.failover = Some(record.clone());
                }
            }
            Decision::Set { group, .. }
            | Decision::AcceptForeign { group, .. }
            | Decision::ReplicaSeen { group, .. }
            | Decision::ReplicaForgotten { group, .. }
            | Decision::SentinelSeen { group, .. }
            | Decision::SentinelForgotten { group, .. }
            | Decision::Reset { group }
            | Decision::CandidateChosen { group, .. }
            | Decision::FailoverEnded { group, .. } => {
                if let Some(record) = self.groups.get_mut(group) {
                    record.apply(decision);
                }
            }
        }
    }

    fn raise_epoch(&mut self, epoch: Epoch) {
        if bugs::has(Bug::EpochGoesBack) {
            self.current_epoch = epoch;
        }
        self.current_epoch = self.current_epoch.max(epoch);
    }
}

impl Globals {
    fn set(&mut self, change: &GlobalChange) {
        match change.clone() {
            GlobalChange::AnnounceIp(ip) => self.announce_ip = ip,
            GlobalChange::AnnouncePort(port) => self.announce_port = port,
            GlobalChange::ResolveHostnames(yes) => self.resolve_hostnames = yes,
            GlobalChange::AnnounceHostnames(yes) => self.announce_hostnames = yes,
            GlobalChange::SentinelUser(user) => self.sentinel_user = user,
            GlobalChange::SentinelPass(password) => self.sentinel_pass = password,
            GlobalChange::RenewedSentinelPass(password) => self.sentinel_pass = Some(password),
            GlobalChange::LogLevel(level) => self.log_level = level,
        }
    }
}

impl GroupRecord {
    fn apply(&mut self, decision: &Decision) {
        match decision {
            Decision::Set { change, .. } => self.set(change),
            Decision::ReplicaSeen { addr, .. } => {
                if *addr != self.primary {
                    self.replicas.insert(addr.clone());
                }
            }
            Decision::ReplicaForgotten { addr, .. } => {
                self.replicas.remove(addr);
            }
            Decision::SentinelSeen { id, addr, .. } => {
                self.sentinels.insert(id.clone(), addr.clone());
            }
            Decision::SentinelForgotten { id, .. } => {
                self.sentinels.remove(id);
            }
            // What was discovered stays until it is found again or fails to be.
            Decision::Reset { .. } => {
                self.vote.candidate = None;
                self.failover = None;
            }
            Decision::AcceptForeign { id, .. } => {
                if self.accepted.len() < MAX_SENTINELS {
                    self.accepted.insert(id.clone());
                }
            }
            Decision::CandidateChosen { candidate, .. } => {
                if let Some(failover) = &mut self.failover {
                    failover.candidate = Some(candidate.clone());
                }
            }
            Decision::FailoverEnded { receipt, .. } => {
                self.failover = None;
                if self.history.len() == MAX_HISTORY {
                    self.history.pop_front();
                }
                self.history.push_back((**receipt).clone());
            }
            Decision::Monitor { .. }
            | Decision::Remove { .. }
            | Decision::AdvanceEpoch { .. }
            | Decision::SetGlobals { .. }
            | Decision::FailoverBegun { .. }
            | Decision::Vote { .. }
            | Decision::Switch { .. }
            | Decision::Yield { .. } => {}
        }
    }

    /// Installs another primary: the old one becomes a replica, all other replicas and all sentinels stay.
    fn switch(&mut self, config_epoch: ConfigEpoch, primary: &Addr) {
        assert!(
            config_epoch > self.config_epoch
                || (config_epoch == self.config_epoch && *primary == self.primary)
                || bugs::has(Bug::ConfigEpochGoesBack),
            "config epoch {} would go back to {config_epoch}, or name two addresses",
            self.config_epoch
        );
        self.config_epoch = config_epoch;
        self.install(primary);
    }

    fn install(&mut self, primary: &Addr) {
        if *primary != self.primary {
            self.replicas.remove(primary);
            let old = std::mem::replace(&mut self.primary, primary.clone());
            self.replicas.insert(old);
        }
    }

    fn set(&mut self, change: &GroupChange) {
        let options = &mut self.options;
        match change.clone() {
            GroupChange::Quorum(quorum) => options.quorum = quorum,
            GroupChange::DownAfter(duration) => options.down_after = duration,
            GroupChange::FailoverTimeout(duration) => options.failover_timeout = duration,
            GroupChange::ParallelSyncs(count) => options.parallel_syncs = count,
            GroupChange::AuthUser(user) => options.auth_user = user,
            GroupChange::AuthPass(password) => options.auth_pass = password,
            GroupChange::RenewedAuthPass(password) => options.auth_pass = Some(password),
            GroupChange::NotificationScript(path) => options.notification_script = path,
            GroupChange::ClientReconfigScript(path) => options.client_reconfig_script = path,
            GroupChange::RenameCommand { command, renamed } => {
                let command = command.to_ascii_uppercase();
                match renamed {
                    Some(renamed) => options.renamed_commands.insert(command, renamed),
                    None => options.renamed_commands.remove(&command),
                };
            }
            GroupChange::RebootDownAfter(duration) => options.reboot_down_after = duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_only_on_request() {
        let password = Secret::new("open sesame");
        assert_eq!(password.expose(), "open sesame");
        assert_eq!(format!("{password:?}"), "******");
    }

    #[test]
    fn the_history_keeps_the_last_failovers() {
        use crate::failover::{Cause, Outcome, Phases};
        let group = GroupName::new("mymaster").expect("a name");
        let primary = Addr::parse("127.0.0.1", 6379).expect("an address");
        let mut registry = Registry::new(SentinelId::new("me").expect("an id"));
        registry.apply(&Decision::Monitor {
            group: group.clone(),
            primary: primary.clone(),
            options: GroupOptions::new(2),
        });
        let failovers = u64::try_from(MAX_HISTORY).expect("a small number") + 2;
        for epoch in 1..=failovers {
            let receipt = FailoverReceipt {
                epoch: Epoch(epoch),
                cause: Cause::Manual,
                outcome: Outcome::Completed,
                old_primary: primary.clone(),
                candidate: None,
                voters: Vec::new(),
                passed_over: Vec::new(),
                phases: Phases::default(),
            };
            registry.apply(&Decision::FailoverEnded {
                group: group.clone(),
                receipt: Box::new(receipt),
            });
        }
        let epochs = registry.groups[&group]
            .history
            .iter()
            .map(|receipt| receipt.epoch.0);
        assert!(epochs.eq(3..=failovers), "all but the first two are left");
    }
}
