//! Agreement by the replicated log: a decision counts when it is committed, everywhere and in the same order.
//!
//! Two kinds of things are put forward. Orders of operators count whoever leads when they are committed. What a leader
//! concludes by itself, the steps of a failover above all, counts in its own term alone: its successor may have gone
//! another way by then. All decisions of one turn go into one entry, so that an order of several parts is carried out
//! as a whole, and a thousand failovers at once need a few writes.

mod configured;
mod orders;
mod payload;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bellwether_core::{
    Addr, Agreement, ClientToken, ClusterId, Decided, Decision, Duty, Epoch, GroupName, Instant, Registry,
    ReplicatedLog, SentinelId, Standing,
};

pub use self::configured::Differs;
use self::payload::{Part, Payload, READABLE, Shared, Waiting, common, cut, groups, is_own};
use crate::bugs::{self, Bug};
use crate::node::{Committed, Node};
use crate::proposal::{DropReason, Dropped};
use crate::restore::{Restored, StartError};
use crate::settings::Settings;

/// How long after one hand-over of the lead the next may follow because others see more. Otherwise members that see
/// different halves of the world would hand it to each other all the time.
const ASIDE_SPACING: Duration = Duration::from_secs(5);

/// How long ago a majority may have been in reach for what is told to be fresh: a leader's death and an election fit in.
const FRESH_FOR: Duration = Duration::from_secs(3);

/// What is to be agreed on, and with whom.
#[derive(Clone, Debug)]
pub struct AgreementSettings {
    /// Of this member of the log.
    pub log: Settings,
    /// The members that found the group, with their addresses; this one is among them unless it joins later.
    pub members: BTreeMap<u64, String>,
    /// Whether clients are told addresses while no majority is in reach.
    pub stale_reads: bool,
}

/// How far the first leader is in telling what its configuration says.
#[derive(Clone, Copy, Debug, Default)]
struct Founding {
    /// How many parts the log has from this member as leader in a term: another may have come in between.
    told: usize,
    in_term: u64,
    /// The number of the proposal with the newest part.
    number: u64,
}

/// The name by which frames tell groups of members apart, from the name in the configuration.
#[must_use]
pub fn cluster_id(name: &str) -> ClusterId {
    // FNV-1a. It need not be secret: whoever may connect has a password or a certificate.
    let hash = name
        .bytes()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
    ClusterId(hash)
}

/// The id by which a member goes as a sentinel: everybody can tell it from the configuration.
///
/// # Panics
/// Never: the text is a good id.
#[must_use]
pub fn sentinel_id(cluster: ClusterId, member: u64) -> SentinelId {
    let text = format!("{:024x}{member:016x}", cluster.0 >> 32);
    SentinelId::new(&text).expect("40 hexadecimal digits are an id")
}

/// Agreement by the replicated log.
pub struct LogAgreement {
    node: Node,
    settings: AgreementSettings,
    my_id: SentinelId,
    now: Instant,
    /// What this process knew before it was told anything: its configuration, or its state from before.
    local: Option<Box<Registry>>,
    founded: bool,
    /// Members that the configuration had otherwise than the store, at the start.
    differs: Vec<Differs>,
    /// The last entry that the store held at the start, as index and term.
    stored: (u64, u64),
    /// What was concluded, and what was ordered, since the last entry.
    conclusions: Waiting,
    orders: Waiting,
    /// What was proposed, by the number of the proposal.
    under_way: BTreeMap<u64, Waiting>,
    /// How many decisions about each group have no outcome yet.
    busy: BTreeMap<GroupName, usize>,
    /// Who waits for orders about the log itself.
    asked: BTreeMap<u64, ClientToken>,
    last_number: u64,
    decided: VecDeque<Decided>,
    founding: Founding,
    /// The index up to which everything has been handed out.
    delivered: u64,
    snapshot_for: Option<ClientToken>,
    stepped_aside_at: Option<Instant>,
    /// Why this member cannot go on. It has no part in anything then.
    problem: Option<String>,
    /// What a leader has said that shows that this member has lost its log, and how far the log was committed then.
    lost: Option<(u64, String)>,
}

impl LogAgreement {
    /// Goes on from what the store held; founds the group, or waits to be told of it, if that was nothing. `local` is
    /// what this process knows from its configuration and earlier state.
    ///
    /// # Errors
    /// What is stored contradicts itself or the settings.
    pub fn new(
        settings: AgreementSettings,
        restored: Restored,
        local: Registry,
        now: Instant,
    ) -> Result<Self, StartError> {
        let log = Settings {
            readable: READABLE,
            ..settings.log.clone()
        };
        let nobody = sentinel_id(log.cluster, 0);
        let snapshot = restored.snapshot.as_ref();
        let last = restored.entries.last().map(|entry| (entry.index, entry.term));
        let stored = last.max(snapshot.map(|snapshot| (snapshot.index, snapshot.term)));
        let stored = stored.unwrap_or_default();
        let founds = restored.is_empty() && settings.members.contains_key(&log.id);
        let mut node = if founds {
            let state = Shared::of(&Registry::new(nobody.clone()), false, nobody).encode();
            Node::found(log.clone(), &settings.members, &state, &restored, now)?
        } else {
            Node::new(log.clone(), restored, now)?
        };
        let differs = configured::compare(node.members(), &settings.members)?;
        for id in settings.members.keys() {
            node.introduce(*id);
        }
        let mut agreement = Self {
            my_id: sentinel_id(log.cluster, log.id),
            node,
            settings,
            now,
            local: Some(Box::new(local)),
            founded: false,
            differs,
            stored,
            conclusions: Waiting::new(),
            orders: Waiting::new(),
            under_way: BTreeMap::new(),
            busy: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_number: 0,
            decided: VecDeque::new(),
            founding: Founding::default(),
            delivered: 0,
            snapshot_for: None,
            stepped_aside_at: None,
            problem: None,
            lost: None,
        };
        agreement.tell_members();
        Ok(agreement)
    }

    /// What the configuration says of members otherwise than the log did at the start. The log counts. That is as it
    /// should be after members were moved or added while this one was gone, and is a slip in the configuration otherwise.
    #[must_use]
    pub fn differs(&self) -> &[Differs] {
        &self.differs
    }

    /// What a coordinator begins with: its own settings, and nothing that is a matter of the log.
    #[must_use]
    pub fn first_registry(&self) -> Registry {
        let mut registry = Registry::new(self.my_id.clone());
        if let Some(local) = &self.local {
            registry.globals = local.globals.clone();
        }
        registry
    }

    /// Takes in what is committed next; `false` if nothing is.
    fn take_committed(&mut self) -> bool {
        if let Some(committed) = self.node.poll_committed() {
            // Who the others are has to be known in any case.
            if self.problem.is_none() || matches!(committed, Committed::Members { .. }) {
                self.take(committed);
            }
            return true;
        }
        let dropped = self.node.poll_dropped();
        let any = dropped.is_some();
        if let Some(dropped) = dropped {
            self.take_dropped(dropped);
        }
        any
    }

    fn take(&mut self, committed: Committed) {
        match committed {
            Committed::Entry {
                index,
                term,
                payload,
                token,
            } => {
                self.delivered = index;
                self.take_entry(index, term, &payload, token);
            }
            Committed::Snapshot { index, data, .. } => {
                self.delivered = index;
                match Shared::decode(&data) {
                    Ok(shared) => {
                        self.founded = shared.founded;
                        self.decided.push_back(Decided::State(Box::new(shared.registry)));
                        self.tell_members();
                    }
                    Err(bad) => self.fail(format!("the state at {index}: {bad}")),
                }
            }
            Committed::Members { index, token, .. } => {
                self.delivered = index;
                self.tell_members();
                if let Some(origin) = token.and_then(|token| self.asked.remove(&token)) {
                    let result = Ok(());
                    self.decided.push_back(Decided::Ordered { origin, result });
                }
            }
        }
    }

    fn take_entry(&mut self, index: u64, term: u64, bytes: &[u8], token: Option<u64>) {
        let ours = token.and_then(|token| self.end(token));
        let payload = match Payload::decode(bytes) {
            Ok(payload) => payload,
            Err(bad) => {
                // What follows may build upon it, so nothing of that may be carried out either.
                self.drop_all(ours.unwrap_or_default(), in_words(&DropReason::Unknown));
                return self.fail(format!("entry {index} of the log: {bad}"));
            }
        };
        let is_old = payload.term.is_some_and(|concluded| concluded != term);
        if is_old && !bugs::has(Bug::CountConclusionOfAnyTerm) {
            let reason = "another coordinator leads by now";
            return self.drop_all(ours.unwrap_or_default(), reason.to_owned());
        }
        match payload.founding {
            Some(_) if self.founded => return,
            Some(Part::Last) => self.founded = true,
            Some(Part::More) => self.founding.told += usize::from(ours.is_some()),
            None => {}
        }
        // What was proposed here has besides what concerns this coordinator alone.
        let decisions = ours.unwrap_or_else(|| payload.decisions.into_iter().map(|d| (d, None)).collect());
        let decided = decisions
            .into_iter()
            .map(|(decision, origin)| Decided::Decision { decision, origin });
        self.decided.extend(decided);
    }

    /// This member cannot go on. Whoever waits for something is told so: what comes of it does not come out here.
    fn fail(&mut self, problem: String) {
        let refusal = Self::no_part(&problem);
        self.problem = Some(problem);
        for (_, waiting) in std::mem::take(&mut self.under_way) {
            self.drop_all(waiting, in_words(&DropReason::Unknown));
        }
        self.busy.clear();
        if let Some(origin) = self.snapshot_for.take() {
            let result = Err(refusal);
            self.decided.push_back(Decided::Ordered { origin, result });
        }
    }

    fn no_part(problem: &str) -> String {
        format!("this coordinator has no part in the log any more: {problem}")
    }

    fn take_dropped(&mut self, Dropped { token, reason }: Dropped) {
        if let Some(origin) = self.asked.remove(&token) {
            let news = match &reason {
                DropReason::ChangePending | DropReason::BadChange { .. } => Decided::Ordered {
                    origin,
                    result: Err(reason.to_string()),
                },
                _ => Decided::Dropped {
                    groups: Vec::new(),
                    origins: vec![origin],
                    reason: in_words(&reason),
                },
            };
            return self.decided.push_back(news);
        }
        if let Some(waiting) = self.end(token) {
            self.drop_all(waiting, in_words(&reason));
        }
    }

    /// A proposal has an outcome: gives what was in it.
    fn end(&mut self, token: u64) -> Option<Waiting> {
        let waiting = self.under_way.remove(&token)?;
        for group in groups(&waiting) {
            if let Some(count) = self.busy.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.busy.remove(&group);
                }
            }
        }
        Some(waiting)
    }

    fn drop_all(&mut self, waiting: Waiting, reason: String) {
        self.decided.push_back(Decided::Dropped {
            groups: groups(&waiting),
            origins: waiting.into_iter().filter_map(|(_, origin)| origin).collect(),
            reason,
        });
    }

    /// Whether this one does what follows from what was decided.
    fn acts(&self, now: Instant) -> bool {
        self.node.may_act(now) || (bugs::has(Bug::ActWithoutLease) && self.node.is_leader())
    }

    /// Has the coordinator know who the others are.
    fn tell_members(&mut self) {
        let own = self.settings.log.id;
        let cluster = self.settings.log.cluster;
        let addresses = self.node.members().addresses.iter();
        let others = addresses.filter(|(id, _)| **id != own);
        let others = others.filter_map(|(id, address)| {
            let address = self.node.moved(*id).unwrap_or(address);
            Some((sentinel_id(cluster, *id), parse(address)?))
        });
        let mut others: Vec<_> = others.collect();
        if self.node.members().is_empty() {
            // We wait to be told, and whoever tells us must be reachable for our answers.
            let named = self.settings.members.iter().filter(|(id, _)| **id != own);
            others
                .extend(named.filter_map(|(id, address)| Some((sentinel_id(cluster, *id), parse(address)?))));
        } else {
            // Whoever leads may have come while we slept: without answers it could not tell us that.
            let later = self.later_members();
            others
                .extend(later.filter_map(|(id, address)| Some((sentinel_id(cluster, *id), parse(address)?))));
        }
        self.decided.push_back(Decided::Members(others));
    }

    /// Those of whom other members have told, or the configuration, and not the log yet. Ids only grow, so one that was
    /// removed is not among them.
    fn later_members(&self) -> impl Iterator<Item = (&u64, &String)> {
        let (own, highest) = (self.settings.log.id, self.node.members().highest);
        let told = self.node.hearsay().into_iter();
        let told = told.flat_map(|members| members.addresses.iter());
        let known: BTreeMap<_, _> = self.settings.members.iter().chain(told).collect();
        known
            .into_iter()
            .filter(move |(id, _)| **id != own && **id > highest)
    }

    fn member_of(&self, sentinel: &SentinelId) -> Option<u64> {
        let cluster = self.settings.log.cluster;
        let known = self.node.members().addresses.keys();
        let mut members = known
            .chain(self.later_members().map(|(id, _)| id))
            .chain(self.settings.members.keys());
        members
            .find(|id| sentinel_id(cluster, **id) == *sentinel)
            .copied()
    }

    /// Notes what is put forward.
    fn gather(&mut self, decision: Decision, origin: Option<ClientToken>, concluded: bool) {
        if let Some(group) = decision.group() {
            *self.busy.entry(group.clone()).or_default() += 1;
        }
        let to = if concluded {
            &mut self.conclusions
        } else {
            &mut self.orders
        };
        to.push((decision, origin));
    }

    /// Proposes what was gathered.
    fn flush(&mut self) {
        let term = self.node.term();
        for waiting in cut(std::mem::take(&mut self.orders)) {
            self.propose_entry(waiting, None, None);
        }
        for waiting in cut(std::mem::take(&mut self.conclusions)) {
            self.propose_entry(waiting, Some(term), None);
        }
    }

    fn propose_entry(&mut self, waiting: Waiting, term: Option<u64>, founding: Option<Part>) {
        let decisions = waiting.iter().map(|(decision, _)| for_all(decision)).collect();
        let payload = Payload {
            term,
            founding,
            decisions,
        };
        self.last_number += 1;
        self.under_way.insert(self.last_number, waiting);
        self.node.propose(self.now, payload.encode(), self.last_number);
    }

    /// The first leader tells all others what its configuration says, one part after the other: the last one must not count
    /// where an earlier one was dropped, and all of them at once may be more than is taken.
    fn found(&mut self) {
        let Some(local) = &self.local else { return };
        let term = self.node.term();
        let Founding { told, in_term, .. } = self.founding;
        let told = if in_term == term { told } else { 0 };
        let mut parts = cut(founding(local)).into_iter().skip(told);
        let next = parts.next().unwrap_or_default();
        let part = if parts.next().is_some() {
            Part::More
        } else {
            Part::Last
        };
        self.count(&next);
        self.propose_entry(next, Some(term), Some(part));
        self.founding = Founding {
            told,
            in_term: term,
            number: self.last_number,
        };
    }

    /// Whether nobody has founded yet, and it is for this member to say the next part.
    fn is_to_found(&self) -> bool {
        !self.founded && !self.under_way.contains_key(&self.founding.number) && self.node.may_act(self.now)
    }

    fn count(&mut self, waiting: &Waiting) {
        for group in groups(waiting) {
            *self.busy.entry(group).or_default() += 1;
        }
    }

    /// Whoever has voted before it shared a log may know of later epochs than the log: it tells them.
    fn bring_in(&mut self, registry: &Registry) {
        let Some(local) = self.local.take() else { return };
        let later: Vec<Decision> = later(&local, registry, &self.my_id);
        if later.is_empty() {
            return;
        }
        self.local = Some(local);
        for decision in later {
            self.gather(decision, None, false);
        }
    }

    fn take_snapshot(&mut self, registry: &Registry) {
        let asked = self.snapshot_for.take();
        if !self.node.needs_snapshot() && asked.is_none() {
            return;
        }
        let nobody = sentinel_id(self.settings.log.cluster, 0);
        let data = Shared::of(registry, self.founded, nobody).encode();
        let result = self.node.snapshot(self.delivered, &data);
        if let Some(origin) = asked {
            let result = result.map_err(|error| error.to_string());
            self.decided.push_back(Decided::Ordered { origin, result });
        }
    }
}

impl Agreement for LogAgreement {
    fn name(&self) -> &'static str {
        "raft"
    }

    fn propose(&mut self, decision: Decision, origin: Option<ClientToken>) {
        if let Decision::SetGlobals { changes } = &decision
            && changes.iter().all(is_own)
        {
            self.decided.push_back(Decided::Decision { decision, origin });
            return;
        }
        self.gather(decision, origin, false);
    }

    fn conclude(&mut self, decision: Decision) {
        let is_ours = match &decision {
            Decision::Vote { .. }
            | Decision::Yield { .. }
            | Decision::SentinelSeen { .. }
            | Decision::SentinelForgotten { .. } => false,
            Decision::Switch { from, .. } => *from == self.my_id,
            _ => true,
        };
        if !is_ours || !self.node.is_leader() || self.problem.is_some() {
            return;
        }
        let known = decision
            .group()
            .is_some_and(|group| self.busy.contains_key(group));
        let mut waiting = self.conclusions.iter().chain(self.under_way.values().flatten());
        if known && waiting.any(|(earlier, _)| *earlier == decision) {
            return;
        }
        self.gather(decision, None, true);
    }

    fn is_by_vote(&self) -> bool {
        false
    }

    fn duty(&self, now: Instant, group: &GroupName) -> Duty {
        if !self.node.is_leader() || self.problem.is_some() {
            Duty::Rest
        } else if self.busy.contains_key(group) || !self.acts(now) {
            Duty::Wait
        } else {
            Duty::Act
        }
    }

    fn order_ends_at(&mut self) -> Option<Instant> {
        let until = self.node.lease_until().unwrap_or(Instant::ZERO);
        if bugs::has(Bug::OrderAtAnyTime) || bugs::has(Bug::ActWithoutLease) {
            return Some(Instant::new(Duration::MAX));
        }
        self.node.ordered(until);
        Some(until)
    }

    fn log(&self) -> Option<&dyn ReplicatedLog> {
        Some(self)
    }

    fn log_mut(&mut self) -> Option<&mut dyn ReplicatedLog> {
        Some(self)
    }

    fn poll_decided(&mut self) -> Option<Decided> {
        while self.decided.is_empty() && self.take_committed() {}
        self.decided.pop_front()
    }

    fn campaign(&mut self, _: &Registry, _: &GroupName, _: Epoch) {}

    fn ballot(&self, _: &GroupName) -> Option<Epoch> {
        None
    }

    fn heard(&mut self, _: &GroupName, _: &SentinelId, _: Option<&SentinelId>, _: Epoch) {}

    fn standing(&self, _: &Registry, _: &GroupName) -> Standing {
        if !self.acts(self.now) {
            return Standing::Open;
        }
        let (own, cluster) = (self.settings.log.id, self.settings.log.cluster);
        let voters = self.node.members().voters.iter().copied();
        let near = voters.filter(|id| *id == own || self.node.hears(*id));
        Standing::Elected {
            voters: near.map(|id| sentinel_id(cluster, id)).collect(),
        }
    }

    fn has_heard(&self, _: &GroupName, _: &SentinelId) -> bool {
        true
    }

    fn withdraw(&mut self, _: &GroupName) {}

    fn asked(&mut self, _: &Registry, _: &GroupName, _: Epoch, _: &SentinelId, _: ClientToken) -> bool {
        // Nobody gets a vote where one leads for all.
        false
    }
}

impl fmt::Debug for LogAgreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogAgreement")
            .field("node", &self.node)
            .field("under_way", &self.under_way.len())
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

/// What all members are told of a decision.
fn for_all(decision: &Decision) -> Decision {
    match decision {
        Decision::SetGlobals { changes } => Decision::SetGlobals {
            changes: changes.iter().filter(|change| !is_own(change)).cloned().collect(),
        },
        other => other.clone(),
    }
}

/// What a configuration says, as decisions.
fn founding(local: &Registry) -> Waiting {
    use bellwether_core::GlobalChange as G;
    let globals = common(&local.globals);
    let changes = vec![
        G::ResolveHostnames(globals.resolve_hostnames),
        G::AnnounceHostnames(globals.announce_hostnames),
        G::SentinelUser(globals.sentinel_user),
        G::SentinelPass(globals.sentinel_pass),
    ];
    let mut decisions = vec![Decision::SetGlobals { changes }];
    for (group, record) in &local.groups {
        let group = || group.clone();
        decisions.push(Decision::Monitor {
            group: group(),
            primary: record.primary.clone(),
            options: record.options.clone(),
        });
        let replicas = record.replicas.iter().cloned();
        decisions.extend(replicas.map(|addr| Decision::ReplicaSeen { group: group(), addr }));
    }
    decisions.into_iter().map(|decision| (decision, None)).collect()
}

/// What `local` knows and `registry` does not yet: later epochs, and the primaries that they installed.
fn later(local: &Registry, registry: &Registry, me: &SentinelId) -> Vec<Decision> {
    let mut later = Vec::new();
    for (name, ours) in &local.groups {
        let Some(known) = registry.groups.get(name) else {
            continue;
        };
        if local.current_epoch > registry.current_epoch && later.is_empty() {
            later.push(Decision::AdvanceEpoch {
                epoch: local.current_epoch,
                group: name.clone(),
            });
        }
        if ours.config_epoch > known.config_epoch {
            later.push(Decision::Switch {
                group: name.clone(),
                config_epoch: ours.config_epoch,
                primary: ours.primary.clone(),
                from: me.clone(),
            });
        }
    }
    later
}

fn parse(address: &str) -> Option<Addr> {
    let (host, port) = address.rsplit_once(':')?;
    Addr::parse(host.trim_matches(['[', ']']), port.parse().ok()?)
}

/// Why something was not decided, for a client.
fn in_words(reason: &DropReason) -> String {
    match reason {
        DropReason::Unknown => "no answer came in time: it may have been decided, or may still be".to_owned(),
        other => format!("nothing was changed: {other}"),
    }
}
