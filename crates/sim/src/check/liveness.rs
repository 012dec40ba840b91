//! What must be true some time after the last fault.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_core::{Addr, GroupName};

use super::Invariant;
use crate::message::{Entry, WriteId};
use crate::world::{Host, World};

/// A client that is fine has written within this time.
const WRITES_WITHIN: Duration = Duration::from_secs(2);

impl World {
    /// What is not as it must be some time after the last fault; `None` if all is well.
    #[must_use]
    pub fn unrest(&self) -> Option<String> {
        let epochs = self.fleet().map(|(_, node)| node.core.registry().current_epoch);
        let epochs: BTreeSet<_> = epochs.collect();
        if epochs.len() != 1 {
            return Some(format!("coordinators are in epochs {epochs:?}"));
        }
        if let Some(what) = self.unrest_of_members().or_else(|| self.log_unrest()) {
            return Some(what);
        }
        (0..self.groups.len()).find_map(|group| self.group_unrest(group))
    }

    fn group_unrest(&self, group: usize) -> Option<String> {
        let name = &self.groups[group];
        let configs: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|node| !node.left)
            .filter_map(|node| node.core.registry().groups.get(name))
            .map(|record| (record.config_epoch, record.primary.clone()))
            .collect();
        if configs.len() != 1 {
            return Some(format!("{name}: coordinators hold {configs:?}"));
        }
        let (_, primary) = configs.first()?;
        for (n, node) in self.fleet() {
            let told = node.book.get(name);
            if !told.is_some_and(|(host, port)| *host == primary.host.to_string() && *port == primary.port) {
                return Some(format!("{name}: s{} tells clients {told:?}", n + 1));
            }
        }
        let members = || {
            self.servers
                .iter()
                .enumerate()
                .filter(|(_, host)| host.group == group && !host.gone)
        };
        for (n, host) in members() {
            if !self.is_known(&self.groups[group], host) {
                continue;
            }
            let name = format!("{name}: r{} at {}", n + 1, host.addr);
            if Addr::from(host.addr) == *primary {
                if !host.server.is_primary() {
                    return Some(format!("{name} is no primary"));
                }
            } else if host.server.is_primary() {
                return Some(format!("{name} is a second primary"));
            } else if host.server.follows().map(Addr::from).as_ref() != Some(primary) {
                return Some(format!(
                    "{name} follows {:?} and not {primary}",
                    host.server.follows()
                ));
            } else if !host.server.link_up() {
                return Some(format!("{name} has no data of its primary"));
            }
        }
        if !members().any(|(_, host)| Addr::from(host.addr) == *primary) {
            return Some(format!("{name}: nobody is at {primary}"));
        }
        self.writers.iter().enumerate().find_map(|(c, writer)| {
            let idle = writer
                .written_at
                .is_none_or(|at| self.now.since(at) > WRITES_WITHIN);
            (writer.group == group && idle).then(|| format!("{name}: c{} cannot write", c + 1))
        })
    }

    /// Whether any coordinator has heard of a server. One that moved while its primary was dead may be known to none.
    fn is_known(&self, name: &GroupName, host: &Host) -> bool {
        let addr = Addr::from(host.addr);
        let mut records = self
            .nodes
            .iter()
            .filter(|node| !node.left)
            .filter_map(|node| node.core.registry().groups.get(name));
        let is_stable = !host.moved && !self.checks.all_forgot;
        is_stable || records.any(|record| record.primary == addr || record.replicas.contains(&addr))
    }

    /// The faults have ended long ago, and still not all is well.
    pub fn never_rests(&mut self, what: String) {
        self.checks.broken(self.now, Invariant::Converges, what);
    }

    /// No client may have been unable to write for longer than this while a majority of the coordinators was there.
    pub fn check_gaps(&mut self, longest: Duration) {
        let gaps = self.writers.iter().map(|writer| writer.longest_gap);
        if let Some((c, gap)) = gaps.enumerate().max_by_key(|(_, gap)| *gap)
            && gap > longest
        {
            let what = format!("c{} could not write for {:.1} s", c + 1, gap.as_secs_f64());
            self.checks.broken(self.now, Invariant::TakesWrites, what);
        }
    }

    /// Counts the acknowledged writes that the primaries do not have; where none may be lost, one is too many.
    pub fn count_lost_writes(&mut self, none_may_be: bool) {
        for group in 0..self.groups.len() {
            let seen = self.seen_primary(group);
            let primary = self
                .servers
                .iter()
                .find(|host| Some(Addr::from(host.addr)) == seen);
            let Some(primary) = primary else { continue };
            let kept: BTreeSet<WriteId> = primary
                .server
                .entries()
                .iter()
                .filter_map(|entry| match entry {
                    Entry::Write(write) => Some(*write),
                    Entry::Ping => None,
                })
                .collect();
            let acknowledged = self.writers.iter().filter(|writer| writer.group == group);
            let acknowledged: Vec<_> = acknowledged
                .flat_map(|writer| writer.acknowledged.iter())
                .collect();
            let lost: Vec<_> = acknowledged
                .iter()
                .filter(|(write, _)| !kept.contains(write))
                .collect();
            self.coverage.writes.0 += acknowledged.len() as u64;
            self.coverage.writes.1 += lost.len() as u64;
            if let Some((write, at)) = lost.first().filter(|_| none_may_be) {
                let what = format!("{} lost, the first is {} of {at}", lost.len(), write.0);
                self.checks.broken(self.now, Invariant::KeepsWrites, what);
            }
        }
    }
}
