//! What must be true when a coordinator orders a server to become a primary.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{Addr, Cause, Registry};

use super::{Checks, Invariant};
use crate::time::Time;
use crate::world::Host;

/// For how long a priority must have been zero so that every coordinator that reaches the server knows it: the period
/// of INFO and some.
const PRIORITY_IS_KNOWN_AFTER: Duration = Duration::from_secs(12);

impl Checks {
    /// Coordinator `n`, whose state is `registry`, orders the server at `to` to be a primary.
    pub(crate) fn promotes(
        &mut self,
        now: Time,
        n: usize,
        registry: &Registry,
        to: SocketAddr,
        target: Option<&Host>,
    ) {
        self.takes_over(n, to);
        let to = Addr::from(to);
        let run = registry.groups.iter().find_map(|(name, record)| {
            let failover = record.failover.as_ref()?;
            (failover.candidate.as_ref() == Some(&to)).then_some((name, record, failover))
        });
        let Some((name, record, failover)) = run else {
            // The one that all know as the primary is taken back after a hand-over that came to nothing.
            let handed_over = target.is_some_and(|host| host.handing_over.is_some());
            if handed_over && registry.groups.values().any(|record| record.primary == to) {
                return;
            }
            if self.restores(n, registry, &to) {
                return;
            }
            let what = format!(
                "s{} promotes {to}, which no failover of its own has chosen",
                n + 1
            );
            self.broken(now, Invariant::AgreedPromotion, what);
            return;
        };
        if failover.cause == Cause::ObjectivelyDown && !self.is_logged {
            let votes = self.ledger.votes_for(name, failover.epoch, &registry.my_id);
            if votes <= self.voters / 2 {
                let what = format!(
                    "s{}: {name}: {votes} votes of {} in epoch {}",
                    n + 1,
                    self.voters,
                    failover.epoch
                );
                self.broken(now, Invariant::AgreedPromotion, what);
            }
            self.leads(now, n, name, failover.epoch);
        }
        if record.config_epoch > failover.epoch.into() {
            let what = format!(
                "s{}: {name}: config epoch {} is newer than its failover",
                n + 1,
                record.config_epoch
            );
            self.broken(now, Invariant::AgreedPromotion, what);
        }
        let Some(target) = target else { return };
        if target.spec.priority == 0 && now.since(target.priority_since) > PRIORITY_IS_KNOWN_AFTER {
            let what = format!("s{}: {name}: {to} has priority 0", n + 1);
            self.broken(now, Invariant::FitCandidate, what);
        }
    }

    /// Whether the server at `to` is told to be what all know it as: it was started as a replica by an old configuration,
    /// or had been one when it last answered, and whoever tells it was elected for want of anybody else to promote.
    fn restores(&self, n: usize, registry: &Registry, to: &Addr) -> bool {
        let group = registry.groups.iter().find(|(_, record)| record.primary == *to);
        let was_elected = group.is_some_and(|(name, record)| {
            let votes = self.ledger.votes_for(name, record.vote.epoch, &registry.my_id);
            self.is_logged || (votes > self.voters / 2 && record.vote.epoch > record.config_epoch.into())
        });
        // Who goes on with a failover that the log has need not have seen itself why it was begun.
        let goes_on = group.is_some_and(|(_, record)| {
            let run = record.failover.as_ref();
            run.is_some_and(|run| run.cause == Cause::ObjectivelyDown && run.candidate.is_none())
        });
        was_elected && (self.holds_down(n, to) || (self.is_logged && goes_on))
    }
}
