//! Members of the log that come, go and move: what an operator does about it, step by step, until it is done.
//!
//! He does one thing after the other, says it to whoever runs, looks whether it has come about before he says it again, and
//! changes the configurations last or not at all. A member that has lost its disk never comes back under its id.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_core::{Answer, ClientToken, LogOrder, LogRole, Refusal, Registry, Request};
use rand::RngExt;

use super::shared::{member, sentinel};
use super::{COORDINATOR_PORT, Due, Node, SharedLog, State, World};
use crate::log_store::Held;
use crate::network::{Actor, Machine};
use crate::time::Time;

/// How often the operator looks, in milliseconds.
const LOOKS_MILLIS: std::ops::Range<u64> = 100..900;
/// Within which time after an order another one leads because of it, and not because a timeout is over.
const HANDED_OVER_WITHIN: Duration = Duration::from_millis(200);
/// How often he looks for members that were left behind.
const LOOKS_AFTER: Duration = Duration::from_secs(4);
/// How long he waits for an answer: longer than any may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many members there are at most. More would prove nothing else.
const MOST: usize = 6;
/// How far the clock of a new member may be off, in parts per million.
const DRIFT_PPM: i64 = 2_000;

/// A change of the members that an operator sees through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new one comes, in the place of another if one is named.
    Add {
        /// Its number, when it is there.
        new: Option<usize>,
        /// On which machine; one of its own if none is named.
        on: Option<Machine>,
        /// Who goes.
        old: Option<usize>,
    },
    /// One goes.
    Remove(usize),
    /// One moves to this machine.
    Move(usize, Machine),
}

/// What the operator is about.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    change: Option<Change>,
    /// For how long who has gone still runs.
    lingers: Duration,
    /// To whom he has said something, in which life and when, that is not answered yet.
    asked: Option<(usize, u32, ClientToken, Time)>,
    /// When somebody was last told to hand the lead over.
    pub(super) transfer_at: Option<Time>,
    /// When he last looked for members that were left behind.
    looked_at: Time,
    /// How often he has meant to look.
    looks: u32,
    /// Who did not know the present members when he last looked.
    behind: Vec<usize>,
    /// The members have changed, or may have.
    pub(crate) has_begun: bool,
}

/// A member as the log has it: where it is, and whether it votes.
type Listed = (String, bool);

impl World {
    /// The coordinators that are no strangers and have not left for good.
    pub(crate) fn fleet(&self) -> impl Iterator<Item = (usize, &Node)> {
        let all = if self.shared.is_some() {
            self.nodes.len()
        } else {
            self.members
        };
        let nodes = self.nodes.iter().enumerate().take(all);
        nodes.filter(|(_, node)| !node.left)
    }

    /// Which of the fleet has this number, counted round.
    pub(super) fn nth_of_fleet(&self, n: usize) -> usize {
        let count = self.fleet().count().max(1);
        self.fleet().nth(n % count).map_or(0, |(n, _)| n)
    }

    /// Whether the operator may begin with something new, that takes so many members away.
    fn may_change(&self, fewer: usize) -> bool {
        let rest = self.fleet().count().saturating_sub(fewer);
        self.shared.is_some() && self.operator.change.is_none() && rest >= self.checks.quorum().max(2)
    }

    /// A member dies with its disk for good, and a new one is to take its place.
    pub(super) fn replace_member(&mut self, n: usize, same_address: bool, after: Duration) -> Option<()> {
        // Who is left must be a majority.
        if !self.may_change(1) || self.nodes[n].left || self.fleet().count() < 3 {
            return None;
        }
        // Who has nothing but the founding may have lost its disk, and elects nobody: with another one gone nobody may be able to.
        let is_told = |node: &Node| !matches!(node.disk.log().held(2), Held::Nothing);
        if !self.fleet().all(|(m, node)| m == n || is_told(node)) {
            return None;
        }
        self.crash_coordinator(n, false);
        self.nodes[n].gone = true;
        let on = same_address.then(|| std::mem::replace(&mut self.nodes[n].machine, Machine(u16::MAX)));
        let old = Some(n);
        self.begin_change(Change::Add { new: None, on, old }, after);
        Some(())
    }

    /// A new member is to take the place of one that runs.
    pub(super) fn relieve_member(&mut self, n: usize, lingers: Duration) -> Option<()> {
        if !self.may_change(0) || self.nodes[n].left {
            return None;
        }
        let (new, on, old) = (None, None, Some(n));
        self.begin_change(Change::Add { new, on, old }, Duration::ZERO);
        self.operator.lingers = lingers;
        Some(())
    }

    /// One more member is to come.
    pub(super) fn add_member(&mut self) -> Option<()> {
        if !self.may_change(0) || self.fleet().count() >= MOST {
            return None;
        }
        let (new, on, old) = (None, None, None);
        self.begin_change(Change::Add { new, on, old }, Duration::ZERO);
        Some(())
    }

    /// A member is to go.
    pub(super) fn remove_member(&mut self, n: usize, lingers: Duration) -> Option<()> {
        if !self.may_change(1) || self.nodes[n].left {
            return None;
        }
        self.begin_change(Change::Remove(n), Duration::ZERO);
        self.operator.lingers = lingers;
        Some(())
    }

    /// A member goes to another machine with its disk. It is there before the log says so, or comes when the log does.
    pub(super) fn move_member(&mut self, n: usize, log_first: bool, after: Duration) -> Option<()> {
        if !self.may_change(0) || self.nodes[n].left {
            return None;
        }
        // Nobody finds one that has moved before the log says where to: those who stay must be a majority that all know.
        let newest = self.newest_members();
        let knows = |n: usize| self.listed(n).is_some_and(|(_, listed)| listed == newest);
        let runs = |n: usize| self.nodes[n].state == State::Running;
        let all = self.fleet().count();
        let log_first = log_first || all < 3 || !self.fleet().all(|(n, _)| runs(n) && knows(n));
        let machine = self.new_machine();
        if log_first {
            self.begin_change(Change::Move(n, machine), Duration::ZERO);
        } else {
            self.moves_to(n, machine);
            self.begin_change(Change::Move(n, machine), after);
        }
        Some(())
    }

    fn moves_to(&mut self, n: usize, machine: Machine) {
        self.crash_coordinator(n, false);
        self.nodes[n].machine = machine;
        self.start_coordinator(n);
    }

    fn begin_change(&mut self, change: Change, after: Duration) {
        self.operator.change = Some(change);
        self.operator.lingers = Duration::ZERO;
        self.operator.has_begun = true;
        self.looks_again(after);
    }

    /// The operator looks again after this time, and not before.
    fn looks_again(&mut self, after: Duration) {
        self.operator.looks += 1;
        self.after(after, Due::TendMembers(self.operator.looks));
    }

    /// Why the members are not as the operator wants them.
    pub(crate) fn unrest_of_members(&self) -> Option<String> {
        if !self.operator.has_begun {
            return None;
        }
        if let Some(change) = self.operator.change {
            return Some(format!("this is not done: {change:?}"));
        }
        let wanted: BTreeMap<u64, Listed> = self
            .fleet()
            .map(|(n, node)| (member(n), (address(node.machine), true)))
            .collect();
        self.fleet().find_map(|(n, _)| {
            let (_, listed) = self.listed(n)?;
            (listed != wanted).then(|| format!("s{} has the members {listed:?}, wanted {wanted:?}", n + 1))
        })
    }

    /// How far a coordinator is, and the members that it knows.
    fn listed(&self, n: usize) -> Option<(u64, BTreeMap<u64, Listed>)> {
        let node = &self.nodes[n];
        let status = node.core.log()?.status(node.clock.read(self.now));
        let members = status.members.into_iter();
        let listed = members.map(|member| (member.id, (member.address, member.voter)));
        (status.role != LogRole::Joining).then(|| (status.applied, listed.collect()))
    }

    /// The members by the log of whoever has come furthest.
    fn newest_members(&self) -> BTreeMap<u64, Listed> {
        let all = (0..self.nodes.len()).filter_map(|n| self.listed(n));
        all.max_by_key(|(applied, _)| *applied)
            .map(|(_, listed)| listed)
            .unwrap_or_default()
    }

    /// The operator looks how far his change is, and does what is next.
    pub(super) fn tend_members(&mut self, look: u32) {
        if look != self.operator.looks {
            return;
        }
        let Some(change) = self.operator.change else {
            return self.look_after_members();
        };
        let newest = self.newest_members();
        let votes = |n: usize| newest.get(&member(n)).is_some_and(|(_, voter)| *voter);
        let is_listed = |n: usize| newest.contains_key(&member(n));
        let done = match change {
            Change::Add { new, old, .. } => new.is_some_and(votes) && !old.is_some_and(is_listed),
            Change::Remove(old) => !is_listed(old),
            Change::Move(n, machine) => {
                let listed = newest.get(&member(n));
                listed.is_some_and(|(at, _)| *at == address(machine))
            }
        };
        if done {
            return self.end_change(change, &newest);
        }
        let wait = Duration::from_millis(self.strange.random_range(LOOKS_MILLIS));
        self.looks_again(wait);
        let waits = self.operator.asked.is_some_and(|(n, life, _, at)| {
            let node = &self.nodes[n];
            node.life == life && node.state != State::Dead && self.now.since(at) < PATIENCE
        });
        if !waits {
            self.do_next(change);
        }
        if self.now.since(self.operator.looked_at) >= LOOKS_AFTER {
            self.look_after_members();
        }
    }

    /// Who was down while members changed may know none of those who lead. If one stays behind, it is started again with the
    /// present lines.
    fn look_after_members(&mut self) {
        let newest = self.newest_members();
        // A new one is yet to be told.
        let knows = |n: usize| self.listed(n).is_none_or(|(_, listed)| listed == newest);
        let runs = self.fleet().filter(|(_, node)| node.state == State::Running);
        let behind: Vec<usize> = runs.map(|(n, _)| n).filter(|n| !knows(*n)).collect();
        let before = std::mem::replace(&mut self.operator.behind, behind.clone());
        self.operator.looked_at = self.now;
        if self.operator.change.is_none() && (!behind.is_empty() || !self.healed) {
            self.looks_again(LOOKS_AFTER);
        }
        for n in behind.into_iter().filter(|n| before.contains(n)) {
            self.trace.line(self.now, || {
                format!("{} was left behind and gets other lines", Actor::Coordinator(n))
            });
            self.coverage.count("member-left-behind");
            self.nodes[n].lines = lines(&newest);
            self.crash_coordinator(n, false);
            self.start_coordinator(n);
        }
    }

    fn do_next(&mut self, change: Change) {
        let order = match change {
            Change::Add { new: None, on, old } => {
                let new = Some(self.comes(on));
                self.operator.change = Some(Change::Add { new, on, old });
                return;
            }
            Change::Add {
                new: Some(new), old, ..
            } => LogOrder::Add {
                id: member(new),
                host: self.nodes[new].machine.ip().to_string(),
                port: COORDINATOR_PORT,
                replaces: old.map(member),
            },
            Change::Remove(old) => LogOrder::Remove { id: member(old) },
            Change::Move(n, machine) => LogOrder::Move {
                id: member(n),
                host: machine.ip().to_string(),
                port: COORDINATOR_PORT,
            },
        };
        let runs = |n: &usize| self.nodes[*n].state == State::Running && self.listed(*n).is_some();
        let there: Vec<usize> = self.fleet().map(|(n, _)| n).filter(runs).collect();
        if there.is_empty() {
            return;
        }
        let n = there[self.strange.random_range(0..there.len())];
        let name = self.groups[0].clone();
        match order {
            LogOrder::Remove { id } if self.leader(&name).map(member) == Some(id) => {
                if let Some(leader) = self.leader(&name) {
                    self.say(leader, LogOrder::Transfer { to: None });
                }
            }
            LogOrder::Add { id, .. }
                if self.listed(n).is_some_and(|(_, listed)| listed.contains_key(&id)) => {}
            order => self.say(n, order),
        }
    }

    fn say(&mut self, n: usize, order: LogOrder) {
        if matches!(order, LogOrder::Transfer { .. }) {
            self.operator.transfer_at = Some(self.now);
        }
        self.trace.line(self.now, || {
            format!("the operator says to {}: {order:?}", Actor::Coordinator(n))
        });
        let node = &self.nodes[n];
        self.operator.asked = Some((n, node.life, node.next_token(), self.now));
        self.order(n, Request::Log(order));
    }

    /// Somebody leads who did not: perhaps because it was told to.
    pub(crate) fn count_lead(&mut self) {
        let soon = |at: Time| self.now.since(at) < HANDED_OVER_WITHIN;
        if self.operator.transfer_at.take_if(|at| soon(*at)).is_some() {
            self.coverage.count("lead-handed-over");
        }
    }

    /// A coordinator answers an operator.
    pub(super) fn operator_hears(&mut self, n: usize, token: ClientToken, answer: &Answer) {
        if self.shared.is_some() && matches!(answer, Answer::Refused(Refusal::NoQuorum(_))) {
            self.coverage.count("order-without-majority");
        }
        let life = self.nodes[n].life;
        if self
            .operator
            .asked
            .is_some_and(|(m, of, asked, _)| (m, of, asked) == (n, life, token))
        {
            self.operator.asked = None;
            self.coverage.count(match answer {
                Answer::Refused(_) => "change-of-members-refused",
                _ => "change-of-members-taken",
            });
        }
    }

    /// A new member comes up with an empty disk, and waits to be told of the others.
    fn comes(&mut self, on: Option<Machine>) -> usize {
        let machine = on.unwrap_or_else(|| self.new_machine());
        let n = self.nodes.len();
        let seed = self.strange.random_range(0..u64::MAX);
        let drift_ppm = self.strange.random_range(-DRIFT_PPM..=DRIFT_PPM);
        let registry = Registry::new(sentinel(n));
        // It is given the lines of the others, and none for itself.
        let members = lines(&self.newest_members());
        let shared = self.shared.clone().map(|shared| SharedLog { members, ..shared });
        let node = Node::new(
            (n, machine),
            registry,
            shared.as_ref(),
            self.now,
            (seed, drift_ppm),
        );
        self.checks.joins();
        self.checks.started(self.now, n, node.core.registry());
        self.nodes.push(node);
        self.trace.line(self.now, || {
            format!(
                "{} comes up on {}, a new member",
                Actor::Coordinator(n),
                machine.ip()
            )
        });
        n
    }

    fn end_change(&mut self, change: Change, newest: &BTreeMap<u64, Listed>) {
        self.operator.change = None;
        self.operator.asked = None;
        self.trace.line(self.now, || format!("it is done: {change:?}"));
        // The lines of all configurations are changed, or forgotten.
        if self.strange.random_range(0..2) == 0 {
            for node in &mut self.nodes {
                node.lines = lines(newest);
            }
        }
        self.looks_again(LOOKS_AFTER);
        let gone = match change {
            Change::Add { old: None, .. } => return self.coverage.count("member-added"),
            Change::Add { old: Some(old), .. } => {
                self.coverage.count("member-replaced");
                old
            }
            Change::Remove(old) => {
                self.coverage.count("member-removed");
                old
            }
            Change::Move(n, machine) => {
                self.coverage.count("member-moved");
                if self.nodes[n].machine != machine {
                    self.moves_to(n, machine);
                }
                return;
            }
        };
        self.nodes[gone].left = true;
        self.after(self.operator.lingers, Due::Retire(gone));
    }

    /// The process of one that is no member any more is ended for good.
    pub(super) fn retire(&mut self, n: usize) {
        if self.nodes[n].state != State::Dead {
            self.crash_coordinator(n, false);
        }
        self.nodes[n].gone = true;
    }
}

/// Members as configurations name them.
fn lines(listed: &BTreeMap<u64, Listed>) -> BTreeMap<u64, String> {
    listed.iter().map(|(id, (at, _))| (*id, at.clone())).collect()
}

/// The address of a coordinator, as the log has it.
fn address(machine: Machine) -> String {
    format!("{}:{COORDINATOR_PORT}", machine.ip())
}
