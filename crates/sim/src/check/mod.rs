//! The promises, as code. Each check names the invariant that it holds up, and is fed with what others can see, what
//! is decided and what is on disk; it keeps its own account and asks the core nothing.

mod calm;
mod choice;
mod ledger;
mod liveness;
mod promotion;
mod shared;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bellwether_core::{
    Addr, Cause, Command, ConfigEpoch, Effect, Epoch, EventKind, FailoverReceipt, GroupName, Registry,
    SentinelId, Verdict,
};

use crate::fault::Order;
use crate::plan::Setup;
use crate::time::Time;
pub(crate) use calm::RELEASED_WITHIN;
pub(crate) use choice::server_in;

use choice::Sight;
use ledger::Ledger;
use shared::{Seen, Shared};

/// How old a view may be that counts towards the quorum: a leader may be held up by a slow disk, a split election and
/// a pause of its own before it comes to promote, and an answer may wait for a network to heal.
const VIEWS_COUNT_FOR: Duration = Duration::from_secs(60);

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Two leaders for one group and epoch, or for one term of a log.
    OneLeader,
    /// Two votes by one coordinator in one epoch, restarts included.
    OneVote,
    /// An epoch or config epoch that goes back, in memory or on disk.
    EpochsRise,
    /// One config epoch that names two addresses.
    OneAddress,
    /// A promotion without odown by quorum and agreement of a majority.
    AgreedPromotion,
    /// Promotion of a replica with priority 0, of foreign lineage, or outside the gates.
    FitCandidate,
    /// Anything visible to others that is not yet durable here.
    DurableBeforeVisible,
    /// After faults end: more than one address served, a replica that follows another primary, a second primary.
    Converges,
    /// Acknowledged writes lost by a planned switch.
    KeepsWrites,
    /// A server that can take writes, and no client that can write for long.
    TakesWrites,
    /// A primary held for down that is well and was all the time.
    SeesTruly,
    /// Writes held back for a hand-over that was given up.
    Releases,
    /// Two coordinators that share a log and may act at the same time.
    OneActor,
    /// Two coordinators of which the same log makes different things.
    SameState,
    /// An entry that counts and that no majority has on disk.
    MajorityHasIt,
    /// A decision that counted, and that whoever leads does not have.
    KeepsDecisions,
    /// A crash.
    NeverCrashes,
    /// A stranger at an address that a server had given up is promoted, or followed.
    KeepsStrangersOut,
    /// Connections that pile up.
    Bounded,
}

impl Invariant {
    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::OneLeader => "one leader for each group and epoch",
            Self::OneVote => "one vote by each coordinator in each epoch, restarts included",
            Self::EpochsRise => "no epoch goes back, in memory or on disk",
            Self::OneAddress => "a config epoch names one address",
            Self::AgreedPromotion => "no promotion without odown by quorum and a majority's agreement",
            Self::FitCandidate => "no promotion of a replica that may not be promoted",
            Self::DurableBeforeVisible => "nothing is visible to others before it is durable",
            Self::Converges => "after the faults all agree on one primary that all replicas follow",
            Self::KeepsWrites => "a planned switch loses no acknowledged write",
            Self::TakesWrites => "a hand-over that fails keeps no client from writing for long",
            Self::SeesTruly => "a primary that is well and within reach is not held for down",
            Self::Releases => "a hand-over that is given up lets writes go on at once",
            Self::KeepsStrangersOut => "a stranger at a reused address is neither promoted nor followed",
            Self::OneActor => "of those who share a log only one may act",
            Self::SameState => "the same log comes to the same state, wherever it is read",
            Self::KeepsDecisions => "what has counted is in the log of whoever leads from then on",
            Self::MajorityHasIt => "nothing counts before a majority has it on disk",
            Self::Bounded => "nothing grows without bound",
            Self::NeverCrashes => "nothing that happens outside makes a coordinator crash",
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {} ({})", self.at, self.invariant.text(), self.what)
    }
}

/// What one coordinator has said and kept so far.
#[derive(Debug, Default)]
struct Account {
    id: Option<SentinelId>,
    epoch: Epoch,
    /// Of each group its config epoch, and the epoch of its last vote.
    groups: BTreeMap<GroupName, (ConfigEpoch, Epoch)>,
    durable_epoch: Epoch,
    durable_configs: BTreeMap<GroupName, ConfigEpoch>,
    sight: Sight,
    seen: Seen,
}

/// All checks of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    voters: usize,
    quorum: usize,
    violation: Option<Violation>,
    accounts: Vec<Account>,
    ledger: Ledger,
    leaders: BTreeMap<(GroupName, Epoch), usize>,
    addresses: BTreeMap<(GroupName, ConfigEpoch), Addr>,
    /// An operator's plain failover needs no majority, so two cut-off halves may obey two operators.
    forced: bool,
    /// An operator has had everybody forget what was not there: what comes back later is not known any more.
    pub(super) all_forgot: bool,
    /// A log is shared: nobody votes, and nothing is agreed on without it.
    is_logged: bool,
    shared: Shared,
    /// The id of whoever.
    nobody: SentinelId,
}

impl Checks {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            voters: setup.coordinators,
            quorum: usize::try_from(setup.quorum).unwrap_or(usize::MAX),
            violation: None,
            accounts: (0..setup.coordinators).map(|_| Account::default()).collect(),
            ledger: Ledger::default(),
            leaders: BTreeMap::new(),
            addresses: BTreeMap::new(),
            forced: false,
            all_forgot: false,
            is_logged: setup.log.is_some(),
            shared: Shared::default(),
            nobody: nobody(),
        }
    }

    /// How many must see a primary down.
    pub(crate) const fn quorum(&self) -> usize {
        self.quorum
    }

    pub(crate) const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    pub(crate) fn broken(&mut self, at: Time, invariant: Invariant, what: String) {
        self.violation.get_or_insert(Violation { invariant, at, what });
    }

    /// One of another fleet comes up.
    pub(crate) fn joins(&mut self) {
        self.accounts.push(Account::default());
    }

    /// An operator has ordered something.
    pub(crate) fn ordered(&mut self, order: Order) {
        let chooses = matches!(order, Order::Failover | Order::Coordinated);
        self.forced |= chooses && !self.is_logged;
        self.all_forgot |= order == Order::Reset && self.is_logged;
    }

    /// A coordinator starts from what is on its disk.
    pub(crate) fn started(&mut self, now: Time, n: usize, registry: &Registry) {
        for (name, record) in &registry.groups {
            self.names_address(now, name, record.config_epoch, &record.primary);
        }
        let account = &mut self.accounts[n];
        account.id = Some(registry.my_id.clone());
        account.epoch = registry.current_epoch;
        let groups = registry.groups.iter();
        account.groups = groups
            .map(|(name, record)| (name.clone(), (record.config_epoch, record.vote.epoch)))
            .collect();
        account.sight = Sight::default();
        account.seen = Seen::default();
    }

    /// A coordinator may have decided something.
    pub(crate) fn decided(&mut self, now: Time, n: usize, registry: &Registry, steady: bool) {
        let account = &mut self.accounts[n];
        let (before, epoch) = (account.epoch, registry.current_epoch);
        account.epoch = epoch;
        if epoch < before {
            self.broken(
                now,
                Invariant::EpochsRise,
                format!("s{}: epoch {before}, then {epoch}", n + 1),
            );
        }
        for (name, record) in &registry.groups {
            let (config_epoch, voted) = (record.config_epoch, record.vote.epoch);
            let groups = &mut self.accounts[n].groups;
            let known = groups.get(name).copied();
            let (config_before, voted_before) = known.unwrap_or_default();
            if known != Some((config_epoch, voted)) {
                groups.insert(name.clone(), (config_epoch, voted));
            }
            if voted < voted_before {
                let what = format!(
                    "s{}: {name}: voted in epoch {voted_before}, and knows of {voted}",
                    n + 1
                );
                self.broken(now, Invariant::EpochsRise, what);
            }
            if !self.is_logged {
                self.chooses(now, n, name, record, steady);
            }
            if config_epoch == config_before && known.is_some() {
                continue;
            }
            if config_epoch < config_before {
                let what = format!(
                    "s{}: {name}: config epoch {config_before}, then {config_epoch}",
                    n + 1
                );
                self.broken(now, Invariant::EpochsRise, what);
            }
            self.names_address(now, name, config_epoch, &record.primary);
        }
    }

    fn names_address(&mut self, now: Time, group: &GroupName, epoch: ConfigEpoch, addr: &Addr) {
        let key = (group.clone(), epoch);
        let known = self.addresses.entry(key).or_insert_with(|| addr.clone());
        if known != addr && !self.forced {
            let what = format!("{group}: config epoch {epoch} names {known} and {addr}");
            self.broken(now, Invariant::OneAddress, what);
        }
    }

    /// A write is on disk.
    pub(crate) fn synced(&mut self, now: Time, n: usize, synced: &Registry) {
        if self.is_logged {
            // What counts is in the log, and a new start reads that from its beginning.
            return;
        }
        let account = &mut self.accounts[n];
        let before = std::mem::replace(&mut account.durable_epoch, synced.current_epoch);
        let configs = config_epochs(synced);
        let older = configs
            .iter()
            .find(|(name, epoch)| {
                account
                    .durable_configs
                    .get(*name)
                    .is_some_and(|before| before > *epoch)
            })
            .map(|(name, epoch)| {
                format!(
                    "s{}: {name}: config epoch {epoch} on disk after a higher one",
                    n + 1
                )
            });
        account.durable_configs = configs;
        if synced.current_epoch < before {
            let epoch = synced.current_epoch;
            let what = format!("s{}: epoch {before} on disk, then {epoch}", n + 1);
            self.broken(now, Invariant::EpochsRise, what);
        }
        if let Some(what) = older {
            self.broken(now, Invariant::EpochsRise, what);
        }
    }

    /// A coordinator answers another: its view, and its vote.
    pub(crate) fn told(
        &mut self,
        now: Time,
        n: usize,
        asked: Option<&(GroupName, Addr)>,
        synced: &Registry,
        verdict: &Verdict,
    ) {
        let Some((group, primary)) = asked else { return };
        if verdict.down {
            self.ledger.says_down(now, n, group, primary);
        }
        if let Some(leader) = &verdict.leader {
            self.votes(now, n, synced, (group, verdict.leader_epoch, leader));
        }
    }

    /// A vote can be seen by others.
    fn votes(&mut self, now: Time, n: usize, synced: &Registry, vote: (&GroupName, Epoch, &SentinelId)) {
        let (group, epoch, candidate) = vote;
        let durable = synced.groups.get(group).map(|record| record.vote.epoch);
        if durable.is_some_and(|durable| durable < epoch) {
            let what = format!(
                "s{}: {group}: the vote of epoch {epoch} is shown and not on disk",
                n + 1
            );
            self.broken(now, Invariant::DurableBeforeVisible, what);
        }
        if let Some(other) = self.ledger.votes(n, group, epoch, candidate) {
            let what = format!(
                "s{}: {group}: epoch {epoch}: for {other} and for {candidate}",
                n + 1
            );
            self.broken(now, Invariant::OneVote, what);
        }
    }

    /// An effect leaves a coordinator; `synced` is what is on its disk.
    pub(crate) fn visible(&mut self, now: Time, n: usize, synced: &Registry, effect: &Effect) {
        match effect {
            Effect::Send { batch, .. } => {
                for (_, command) in batch {
                    self.sends(now, n, synced, command);
                }
            }
            Effect::Addresses(book) => {
                for (name, (host, port)) in book.iter() {
                    if !self.is_durable(synced, name, host, &port.to_string()) {
                        let what = format!("s{}: clients are told that {name} is at {host}:{port}", n + 1);
                        self.broken(now, Invariant::DurableBeforeVisible, what);
                    }
                }
            }
            Effect::Event(event) => {
                let Some(group) = &event.group else { return };
                match event.kind {
                    EventKind::SubjectivelyDown | EventKind::SubjectivelyUp | EventKind::Reset => {
                        if event.kind == EventKind::SubjectivelyDown
                            && self.is_logged
                            && let Some(server) = server_in(&event.payload)
                        {
                            self.ledger.says_down(now, n, group, &server.into());
                        }
                        self.sees(now, n, event.kind, &event.payload);
                    }
                    EventKind::ObjectivelyDown => {
                        if let Some(primary) = server_in(&event.payload) {
                            self.agrees_down(now, n, group, &primary.into());
                        }
                    }
                    EventKind::SelectedReplica => self.selects(n, group, &event.payload),
                    EventKind::AbortCandidateTimeout => self.gives_candidate_up(n, group),
                    EventKind::SwitchPrimary => self.switched(now, n, synced, group, &event.payload),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// A coordinator holds the primary for objectively down.
    fn agrees_down(&mut self, now: Time, n: usize, group: &GroupName, primary: &Addr) {
        let others = self.ledger.down_since(group, primary, now - VIEWS_COUNT_FOR, n);
        let own = self.holds_down(n, primary);
        let views = others + usize::from(own);
        if views < self.quorum {
            let what = format!(
                "s{}: {group}: {views} see {primary} down, quorum is {}",
                n + 1,
                self.quorum
            );
            self.broken(now, Invariant::AgreedPromotion, what);
        }
    }

    fn sends(&mut self, now: Time, n: usize, synced: &Registry, command: &Command) {
        match command {
            Command::TellView {
                group,
                host,
                port,
                down: true,
                ..
            } => {
                if let Some(addr) = Addr::parse(host, *port) {
                    self.ledger.says_down(now, n, group, &addr);
                }
            }
            Command::Hello { message } => self.says_hello(now, n, synced, message),
            Command::AskDown {
                epoch,
                candidate,
                host,
                port,
            } => {
                if *epoch > synced.current_epoch {
                    let what = format!("s{}: asks with epoch {epoch}, which is not on disk", n + 1);
                    self.broken(now, Invariant::DurableBeforeVisible, what);
                }
                let Some(candidate) = candidate else { return };
                let is_meant = |addr: &Addr| addr.port == *port && addr.host.to_string() == *host;
                let group = synced.groups.iter().find(|(_, record)| is_meant(&record.primary));
                if let Some(group) = group.map(|(name, _)| name.clone()) {
                    self.votes(now, n, synced, (&group, *epoch, candidate));
                }
            }
            _ => {}
        }
    }

    /// `ip,port,id,epoch,group,primary ip,primary port,config epoch`
    fn says_hello(&mut self, now: Time, n: usize, synced: &Registry, message: &str) {
        let mut fields = message.split(',');
        let first: [Option<&str>; 8] = std::array::from_fn(|_| fields.next());
        let (
            [
                _,
                _,
                _,
                Some(epoch),
                Some(name),
                Some(host),
                Some(port),
                Some(config_epoch),
            ],
            None,
        ) = (first, fields.next())
        else {
            let what = format!("s{}: a hello of {} fields", n + 1, message.split(',').count());
            self.broken(now, Invariant::DurableBeforeVisible, what);
            return;
        };
        let epoch_shown = epoch.parse().map_or(Epoch(u64::MAX), Epoch);
        let config_shown = config_epoch.parse().map_or(ConfigEpoch(u64::MAX), ConfigEpoch);
        let Some(record) = synced.groups.get(name) else {
            return;
        };
        let differs = record.config_epoch == config_shown
            && (record.primary.host.to_string() != host || record.primary.port.to_string() != port);
        if epoch_shown > synced.current_epoch || config_shown > record.config_epoch || differs {
            let what = format!(
                "s{}: says {message}, and on disk is config epoch {}",
                n + 1,
                record.config_epoch
            );
            self.broken(now, Invariant::DurableBeforeVisible, what);
        }
    }

    fn switched(&mut self, now: Time, n: usize, synced: &Registry, group: &GroupName, payload: &str) {
        let words: Vec<&str> = payload.split(' ').collect();
        let [_, _, _, host, port] = words[..] else { return };
        if !self.is_durable(synced, group, host, port) {
            let what = format!("s{}: {group}: +switch-master to {host}:{port}", n + 1);
            self.broken(now, Invariant::DurableBeforeVisible, what);
        }
    }

    /// Whether what is on disk names this address for the group, or is newer: two switches can go into one write.
    fn is_durable(&self, synced: &Registry, group: &GroupName, host: &str, port: &str) -> bool {
        let Some(record) = synced.groups.get(group) else {
            return true;
        };
        let range = (group.clone(), ConfigEpoch::default())..=(group.clone(), record.config_epoch);
        let named = self.addresses.range(range).map(|(_, addr)| addr);
        std::iter::once(&record.primary)
            .chain(named)
            .any(|addr| addr.host.to_string() == host && addr.port.to_string() == port)
    }

    /// How many elections had more than one candidate with votes, and in how many of those nobody came to lead.
    pub(crate) fn elections(&self) -> (usize, usize) {
        let contested = self.ledger.contested();
        let split = contested
            .iter()
            .filter(|election| !self.leaders.contains_key(*election));
        let (of_log, split_of_log) = self.shared.elections();
        (contested.len() + of_log, split.count() + split_of_log)
    }

    /// A coordinator holds itself to lead a failover.
    pub(crate) fn leads(&mut self, now: Time, n: usize, group: &GroupName, epoch: Epoch) {
        let other = *self.leaders.entry((group.clone(), epoch)).or_insert(n);
        if other != n && !self.forced {
            let what = format!("{group}: epoch {epoch}: s{} and s{}", other + 1, n + 1);
            self.broken(now, Invariant::OneLeader, what);
        }
    }

    /// A failover has ended for the coordinator that led it.
    pub(crate) fn ended(&mut self, now: Time, n: usize, group: &GroupName, receipt: &FailoverReceipt) {
        // Where a log is shared, whoever leads next goes on in the same epoch.
        if !self.is_logged && receipt.cause == Cause::ObjectivelyDown && receipt.phases.election.is_some() {
            self.leads(now, n, group, receipt.epoch);
        }
    }
}

fn nobody() -> SentinelId {
    match SentinelId::new("nobody") {
        Ok(id) => id,
        Err(_) => unreachable!("a plain id"),
    }
}

fn config_epochs(registry: &Registry) -> BTreeMap<GroupName, ConfigEpoch> {
    let groups = registry.groups.iter();
    groups
        .map(|(name, record)| (name.clone(), record.config_epoch))
        .collect()
}
