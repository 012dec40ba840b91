//! The log as its coordinator drives it and operators see it.

use bellwether_core::{
    ClientToken, Instant, LogMember, LogOrder, LogPlace, LogRole, LogStatus, LogWrite, Registry,
    ReplicatedLog, SentinelId,
};

use super::{ASIDE_SPACING, FRESH_FOR, LogAgreement, sentinel_id};
use crate::check::Unsound;
use crate::frame::BadFrame;
use crate::member::Change;
use crate::node::Role;

impl ReplicatedLog for LogAgreement {
    fn handle_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.node.handle_time(now);
    }

    fn poll_deadline(&self) -> Option<Instant> {
        self.node.poll_deadline()
    }

    fn receive(&mut self, now: Instant, from: u64, frame: &[u8]) -> Result<(), String> {
        self.now = self.now.max(now);
        let before = self.node.news();
        let taken = self.node.receive(now, from, frame);
        if self.node.news() != before {
            self.tell_members();
        }
        if let Err(BadFrame::Unsound(Unsound::LostLog { .. } | Unsound::LostDisk { .. })) = &taken {
            self.lost = Some((
                self.node.known_commit(),
                format!(
                    "member {from} knows more of this member's log than is here: it was lost, and this member has to be \
                     replaced by one with a new id and an empty directory"
                ),
            ));
        }
        taken.map_err(|bad| in_full(&bad))
    }

    fn poll_frame(&mut self) -> Option<(SentinelId, Vec<u8>)> {
        let (to, bytes) = self.node.poll_frame()?;
        Some((sentinel_id(self.settings.log.cluster, to), bytes))
    }

    fn unreachable(&mut self, to: &SentinelId) {
        if let Some(id) = self.member_of(to) {
            self.node.unreachable(id);
        }
    }

    fn poll_write(&mut self) -> Option<LogWrite> {
        self.node.poll_write()
    }

    fn written(&mut self, seq: u64) {
        self.node.written(seq);
    }

    fn settled(&mut self, now: Instant, registry: &Registry) {
        self.now = self.now.max(now);
        if let Some(problem) = &self.problem {
            let refusal = Self::no_part(problem);
            let all = std::mem::take(&mut self.orders);
            self.conclusions.clear();
            if !all.is_empty() {
                self.drop_all(all, refusal);
            }
            // It does nothing with the lead, if it has been elected.
            self.step_aside(now, None);
            return;
        }
        let idle = self.under_way.is_empty() && self.orders.is_empty() && self.conclusions.is_empty();
        if self.is_to_found() {
            self.found();
        } else if self.founded && idle {
            self.bring_in(registry);
        }
        self.flush();
        // With nothing to wait for everything that came out has been applied.
        if self.decided.is_empty() {
            self.take_snapshot(registry);
        }
    }

    fn order(&mut self, now: Instant, order: &LogOrder, origin: ClientToken) -> Option<Result<(), String>> {
        self.now = self.now.max(now);
        if let Some(problem) = &self.problem
            && !matches!(order, LogOrder::Transfer { .. })
        {
            return Some(Err(Self::no_part(problem)));
        }
        let change = match order {
            LogOrder::Add {
                id,
                host,
                port,
                replaces,
            } => {
                let (id, address) = (*id, format!("{host}:{port}"));
                match *replaces {
                    Some(old) => Change::Replace { old, id, address },
                    None => Change::Add { id, address },
                }
            }
            LogOrder::Remove { id } => Change::Remove { id: *id },
            LogOrder::Move { id, host, port } => Change::Move {
                id: *id,
                address: format!("{host}:{port}"),
            },
            LogOrder::Transfer { to } => {
                let done = self.node.transfer(self.now, *to);
                return Some(done.map_err(|error| error.to_string()));
            }
            LogOrder::Snapshot if self.delivered <= self.node.status(self.now).snapshot => {
                return Some(Ok(()));
            }
            LogOrder::Snapshot if self.snapshot_for.is_some() => {
                return Some(Err("a snapshot is being taken".to_owned()));
            }
            LogOrder::Snapshot => {
                self.snapshot_for = Some(origin);
                return None;
            }
        };
        self.last_number += 1;
        self.asked.insert(self.last_number, origin);
        self.node.change(self.now, &change, self.last_number);
        None
    }

    fn step_aside(&mut self, now: Instant, to: Option<&SentinelId>) {
        let recent = self
            .stepped_aside_at
            .is_some_and(|at| now.since(at) < ASIDE_SPACING);
        if recent || !self.node.is_leader() {
            return;
        }
        self.stepped_aside_at = Some(now);
        let to = to.and_then(|to| self.member_of(to));
        // If nobody can take over, this one goes on as it is.
        let _ = self.node.transfer(now, to);
    }

    fn leader(&self) -> Option<SentinelId> {
        let leader = self.node.leader();
        (leader != 0).then(|| sentinel_id(self.settings.log.cluster, leader))
    }

    fn status(&self, now: Instant) -> LogStatus {
        let status = self.node.status(now);
        let cluster = self.settings.log.cluster;
        let members = status.members.into_iter();
        LogStatus {
            id: status.id,
            cluster: cluster.to_string(),
            role: match status.role {
                Role::Leader => LogRole::Leader,
                Role::Follower => LogRole::Follower,
                Role::Candidate => LogRole::Candidate,
                Role::Learner => LogRole::Learner,
                Role::Joining => LogRole::Joining,
                Role::Removed => LogRole::Removed,
            },
            term: status.term,
            leader: (status.leader != 0).then_some(status.leader),
            commit: status.commit,
            applied: status.applied,
            last: status.last,
            snapshot: status.snapshot,
            log_bytes: status.log_bytes,
            pending: status.pending,
            majority_contact: status.majority_contact,
            may_act: self.may_act(now),
            problem: self.problem.clone().or_else(|| self.loss()),
            members: members
                .map(|member| LogMember {
                    id: member.id,
                    sentinel: sentinel_id(cluster, member.id),
                    address: member.address,
                    voter: member.voter,
                    matched: member.matched,
                    lag: member.lag,
                    last_contact: member.last_contact,
                })
                .collect(),
        }
    }

    fn place(&self) -> LogPlace {
        self.node.place()
    }

    fn may_act(&self, now: Instant) -> bool {
        self.problem.is_none() && self.node.may_act(now)
    }

    fn own_id(&self) -> u64 {
        self.settings.log.id
    }

    fn is_caught_up(&self) -> bool {
        let (index, term) = self.stored;
        self.founded && self.decided.is_empty() && self.node.has_applied(index, term)
    }

    fn has_more(&self) -> bool {
        !self.decided.is_empty() || self.node.has_more()
    }

    fn is_fresh(&self, now: Instant) -> bool {
        let contact = self.node.majority_contact();
        self.settings.stale_reads || contact.is_some_and(|at| now.since(at) < FRESH_FOR)
    }
}

impl LogAgreement {
    /// That this member has lost its log, unless it has been told more of the log since.
    fn loss(&self) -> Option<String> {
        let (at, text) = self.lost.as_ref()?;
        (*at == self.node.known_commit()).then(|| text.clone())
    }
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
