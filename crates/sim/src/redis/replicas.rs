//! A server as the one that replicas follow, be it a primary or a replica itself.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Act, Server};
use crate::message::{ConnId, Entry, Message, ReplId};
use crate::time::Time;

/// One that follows this server.
#[derive(Debug)]
pub(super) struct Replica {
    /// Where it listens.
    pub(super) listens: SocketAddr,
    pub(super) stage: Stage,
    /// How far it said it is; 0 before it has.
    pub(super) acked: u64,
    pub(super) acked_at: Time,
}

/// How far its synchronization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A snapshot is being written.
    Snapshot { until: Time },
    /// The snapshot was sent.
    Loading,
    /// It follows the stream.
    Online,
}

/// What a replica asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncRequest {
    pub(super) listens: SocketAddr,
    pub(super) replid: ReplId,
    pub(super) offset: u64,
    pub(super) failover: bool,
}

impl Replica {
    pub(super) fn acked(&mut self, now: Time, offset: u64) {
        self.acked = offset;
        self.acked_at = now;
        if self.stage == Stage::Loading {
            self.stage = Stage::Online;
        }
    }

    pub(super) const fn snapshot_at(&self) -> Option<Time> {
        match self.stage {
            Stage::Snapshot { until } => Some(until),
            Stage::Loading | Stage::Online => None,
        }
    }

    /// Seconds since it acknowledged.
    pub(super) fn lag_s(&self, now: Time) -> u64 {
        match self.stage {
            Stage::Online => now.since(self.acked_at).as_secs(),
            Stage::Snapshot { .. } | Stage::Loading => 0,
        }
    }

    const fn gets_stream(&self) -> bool {
        matches!(self.stage, Stage::Loading | Stage::Online)
    }
}

impl Server {
    /// A replica asks for data.
    pub(super) fn sync(&mut self, now: Time, conn: ConnId, request: SyncRequest, acts: &mut Vec<Act>) {
        let SyncRequest {
            listens,
            replid,
            offset,
            ..
        } = request;
        if self.busy || self.loading.is_some() {
            // The replica gives up at the greeting already, which is answered by an error. This matters to one
            // that hands over: it tries again, where a refusal would make it give up.
            self.clients.remove(&conn);
            return acts.push(Act::Close { conn });
        }
        if !self.may_sync(now, request, acts) {
            let message = Message::SyncRefused;
            return acts.push(Act::Send { conn, message });
        }
        self.clients.remove(&conn);
        let missing = self.data.missing(replid, offset, self.spec.backlog);
        let missing = missing.map(<[Entry]>::to_vec);
        let mut send = |message| acts.push(Act::Send { conn, message });
        let stage = match missing {
            Some(entries) => {
                self.stats.sync_partial += 1;
                send(Message::Continue(self.data.replid));
                if !entries.is_empty() {
                    let from = offset;
                    send(Message::Stream { from, entries });
                }
                Stage::Online
            }
            None => {
                self.stats.sync_full += 1;
                self.stats.sync_partial_refused += u64::from(replid != ReplId(0));
                send(sign_of_life(self.data.offset()));
                let until = now + self.spec.full_sync_time / 2;
                Stage::Snapshot { until }
            }
        };
        let replica = Replica {
            listens,
            stage,
            acked: 0,
            acked_at: now,
        };
        self.replicas.insert(conn, replica);
        self.count_good_replicas(now);
    }

    /// Whether replicas are served now. The request of a primary that hands over makes this server one first.
    fn may_sync(&mut self, now: Time, request: SyncRequest, acts: &mut Vec<Act>) -> bool {
        if request.failover {
            if self.is_primary() || request.replid != self.data.replid {
                return false;
            }
            self.become_primary(now, acts);
        }
        !self.handover.is_under_way() && (self.is_primary() || self.link_up())
    }

    /// Appends to the data, and hands on to all replicas.
    pub(super) fn feed(&mut self, entries: Vec<Entry>, acts: &mut Vec<Act>) {
        let from = self.data.offset();
        self.data.append(&entries);
        let mut replicas = self.replicas.iter().filter(|(_, r)| r.gets_stream()).peekable();
        let mut entries = Some(entries);
        while let Some((conn, _)) = replicas.next() {
            // The last one gets the list itself.
            let entries = match replicas.peek() {
                Some(_) => entries.clone(),
                None => entries.take(),
            };
            let message = Message::Stream {
                from,
                entries: entries.unwrap_or_default(),
            };
            acts.push(Act::Send { conn: *conn, message });
        }
    }

    /// Sends the snapshots that are written.
    pub(super) fn finish_snapshots(&mut self, now: Time, acts: &mut Vec<Act>) {
        for (conn, replica) in &mut self.replicas {
            if replica.snapshot_at().is_some_and(|at| at <= now) {
                replica.stage = Stage::Loading;
                replica.acked_at = now;
                let message = Message::FullSync(self.data.snapshot());
                acts.push(Act::Send { conn: *conn, message });
            }
        }
    }

    /// What happens each second: pings, signs of life for those that wait, and the end of those that are silent.
    pub(super) fn tend_replicas(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.next_ping <= now {
            self.next_ping = now + self.spec.ping_period;
            // As the reference: a ping would move the offset that a hand-over waits for.
            if self.is_primary() && !self.replicas.is_empty() && !self.handover.is_under_way() {
                self.feed(vec![Entry::Ping], acts);
            }
        }
        let offset = self.data.offset();
        let (timeout, loading) = (self.spec.repl_timeout, self.spec.full_sync_time);
        self.replicas.retain(|conn, replica| {
            let silent = now.since(replica.acked_at);
            let gone = match replica.stage {
                Stage::Snapshot { .. } => {
                    let message = sign_of_life(offset);
                    acts.push(Act::Send { conn: *conn, message });
                    false
                }
                Stage::Loading => silent > timeout + loading,
                Stage::Online => silent > timeout,
            };
            if gone {
                acts.push(Act::Close { conn: *conn });
            }
            !gone
        });
        self.count_good_replicas(now);
    }

    /// Those whose acknowledgement is young enough for `min-replicas-to-write`.
    pub(super) fn count_good_replicas(&mut self, now: Time) {
        if self.needs_replicas() {
            let max_lag: Duration = self.spec.min_replicas_max_lag;
            let good = |r: &&Replica| r.stage == Stage::Online && r.lag_s(now) <= max_lag.as_secs();
            let count = self.replicas.values().filter(good).count();
            self.good_replicas = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// As the reference: a zero in either setting turns the check off.
    pub(super) const fn needs_replicas(&self) -> bool {
        self.spec.min_replicas_to_write > 0 && !self.spec.min_replicas_max_lag.is_zero()
    }

    pub(super) fn drop_replicas(&mut self, now: Time, acts: &mut Vec<Act>) {
        while let Some((conn, _)) = self.replicas.pop_first() {
            acts.push(Act::Close { conn });
        }
        self.count_good_replicas(now);
    }
}

/// Tells a replica that waits for a snapshot that its primary lives.
const fn sign_of_life(offset: u64) -> Message {
    Message::Stream {
        from: offset,
        entries: Vec::new(),
    }
}
