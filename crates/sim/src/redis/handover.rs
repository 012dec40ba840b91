//! `FAILOVER`: a primary hands its role to a replica that has every entry.

use std::net::SocketAddr;
use std::time::Duration;

use super::replicas::Stage;
use super::{Act, Server};
use crate::time::Time;

/// What a primary is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOver {
    None,
    /// Writes wait, and the replica catches up.
    Waiting {
        target: SocketAddr,
        until: Time,
    },
    /// It follows the replica already, and tells it to take over. As the reference, this has no end until the
    /// replica answers or `FAILOVER ABORT` comes.
    Handing,
}

impl HandOver {
    pub(super) const fn is_under_way(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) const fn expires_at(&self) -> Option<Time> {
        match self {
            Self::Waiting { until, .. } => Some(*until),
            Self::None | Self::Handing => None,
        }
    }

    /// `master_failover_state`
    pub(super) const fn wire(&self) -> &'static str {
        match self {
            Self::None => "no-failover",
            Self::Waiting { .. } => "waiting-for-sync",
            Self::Handing => "failover-in-progress",
        }
    }
}

impl Server {
    /// `FAILOVER TO host port TIMEOUT milliseconds`
    pub(super) fn begin_hand_over(
        &mut self,
        now: Time,
        target: Option<SocketAddr>,
        timeout: Duration,
        acts: &mut Vec<Act>,
    ) -> Result<(), &'static str> {
        if self.handover.is_under_way() {
            return Err("ERR FAILOVER already in progress.");
        }
        if !self.is_primary() {
            return Err("ERR FAILOVER is not valid when server is a replica.");
        }
        if self.replicas.is_empty() {
            return Err("ERR FAILOVER requires connected replicas.");
        }
        let replica = self.replicas.values().find(|r| Some(r.listens) == target);
        let replica = replica.ok_or("ERR FAILOVER target HOST and PORT is not a replica.")?;
        if replica.stage != Stage::Online {
            return Err("ERR FAILOVER target replica is not online.");
        }
        self.handover = HandOver::Waiting {
            target: replica.listens,
            until: now + timeout,
        };
        self.next_cron = self.next_cron.min(now + super::CRON_PERIOD_HANDING_OVER);
        self.try_hand_over(now, acts);
        Ok(())
    }

    /// Hands over if the replica has everything.
    pub(super) fn try_hand_over(&mut self, now: Time, acts: &mut Vec<Act>) {
        let HandOver::Waiting { target, .. } = self.handover else {
            return;
        };
        let offset = self.data.offset();
        let ready = |r: &super::Replica| r.listens == target && r.stage == Stage::Online && r.acked == offset;
        if self.replicas.values().any(ready) {
            self.handover = HandOver::Handing;
            self.follow(now, target, acts);
        }
    }

    /// Gives up waiting for the replica.
    pub(super) fn expire_hand_over(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.handover.expires_at().is_some_and(|until| until <= now) {
            self.stats.hand_overs_expired += 1;
            self.end_hand_over(now, acts);
        }
    }

    /// The replica has taken over.
    pub(super) fn handed_over(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.handover == HandOver::Handing {
            self.stats.hand_overs_done += 1;
            self.end_hand_over(now, acts);
        }
    }

    /// The replica does not take over: this is a primary again.
    pub(super) fn hand_over_refused(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.handover == HandOver::Handing {
            self.stats.hand_overs_refused += 1;
            self.become_primary(now, acts);
            self.end_hand_over(now, acts);
        }
    }

    /// `FAILOVER ABORT`: one that follows the replica already is a primary again, with a new history that goes on from
    /// its own. A pause by `CLIENT PAUSE` goes on.
    pub(super) fn abort_hand_over(&mut self, now: Time, acts: &mut Vec<Act>) -> Result<(), &'static str> {
        match self.handover {
            HandOver::None => return Err("ERR No failover in progress."),
            HandOver::Waiting { .. } => {}
            HandOver::Handing => self.become_primary(now, acts),
        }
        self.stats.hand_overs_aborted += 1;
        self.end_hand_over(now, acts);
        Ok(())
    }

    fn end_hand_over(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.handover = HandOver::None;
        self.go_on(now, acts);
    }
}
