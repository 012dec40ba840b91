//! A server as a replica: the link to its primary.

use std::net::SocketAddr;

use super::handover::HandOver;
use super::{Act, Loading, Server};
use crate::message::{ConnId, Message, ReplId, Snapshot};
use crate::time::Time;

/// How many messages of the primary are held while a script runs or data are loaded. Each stands for a packet; a
/// primary would drop a replica whose buffer has grown that large.
const MAX_HELD: usize = 100_000;

/// How a server is connected to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Not at all; a replica tries again at the next cron.
    Waiting,
    /// The connection is being set up.
    Dialling { dial: u64, since: Time },
    /// Synchronization was asked for.
    Asking {
        conn: ConnId,
        last_io: Time,
        /// It will be a full one.
        full: bool,
    },
    /// The data set has come and is being loaded.
    Loading { conn: ConnId },
    /// The stream flows.
    Up { conn: ConnId, last_io: Time },
}

/// What comes from the primary.
#[derive(Debug)]
pub(super) enum FromPrimary {
    Message(Message),
    Closed,
}

impl Link {
    pub(super) const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Asking { conn, .. } | Self::Loading { conn } | Self::Up { conn, .. } => Some(*conn),
            Self::Waiting | Self::Dialling { .. } => None,
        }
    }

    /// A full synchronization is under way.
    pub(super) const fn is_transferring(&self) -> bool {
        matches!(self, Self::Asking { full: true, .. } | Self::Loading { .. })
    }
}

impl Server {
    /// `REPLICAOF host port`. Replicas of its own are kept: they may be able to go on with it.
    pub(super) fn follow(&mut self, now: Time, primary: SocketAddr, acts: &mut Vec<Act>) {
        if self.follows.replace(primary).is_none() {
            // A former primary offers its own history.
            self.resumable = true;
        }
        self.drop_link(now, acts);
        self.dial(now, acts);
    }

    /// `REPLICAOF NO ONE`
    pub(super) fn become_primary(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.follows.take().is_none() {
            return;
        }
        self.drop_link(now, acts);
        self.link_down_since = None;
        let replid = self.ids.replid();
        self.data.rename(replid);
        // They must learn the new id, and can go on at once.
        self.drop_replicas(now, acts);
    }

    /// The connection to the primary stands.
    pub(super) fn greet_primary(&mut self, now: Time, conn: ConnId, acts: &mut Vec<Act>) {
        self.link = Link::Asking {
            conn,
            last_io: now,
            full: false,
        };
        let message = Message::Sync {
            listens: self.spec.addr,
            replid: if self.resumable {
                self.data.replid
            } else {
                ReplId(0)
            },
            offset: self.data.offset(),
            failover: self.handover == HandOver::Handing,
        };
        acts.push(Act::Send { conn, message });
    }

    /// As the reference: neither while a script runs nor while data are loaded anything of the primary is read.
    pub(super) fn hold_or_take(&mut self, now: Time, item: FromPrimary, acts: &mut Vec<Act>) {
        if !self.busy && self.loading.is_none() {
            self.take(now, item, acts);
        } else if self.held.len() < MAX_HELD {
            self.held.push_back(item);
        } else if let Some(conn) = self.link.conn() {
            acts.push(Act::Close { conn });
            self.held.clear();
            self.held.push_back(FromPrimary::Closed);
        }
    }

    pub(super) fn take_held(&mut self, now: Time, acts: &mut Vec<Act>) {
        while !self.busy && self.loading.is_none() {
            let Some(item) = self.held.pop_front() else { return };
            self.take(now, item, acts);
        }
    }

    /// The data of a full synchronization are in memory.
    pub(super) fn synchronized(&mut self, now: Time, acts: &mut Vec<Act>) {
        if let Link::Loading { conn } = self.link {
            self.link_is_up(now, conn);
            self.ack(acts);
        }
    }

    /// What a replica does each second.
    pub(super) fn tend_link(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.is_primary() {
            return;
        }
        let last_io = match self.link {
            Link::Waiting | Link::Loading { .. } => now,
            Link::Dialling { since, .. } => since,
            Link::Asking { last_io, .. } | Link::Up { last_io, .. } => last_io,
        };
        if now.since(last_io) > self.spec.repl_timeout {
            self.drop_link(now, acts);
        }
        if self.link == Link::Waiting {
            self.dial(now, acts);
        }
        self.ack(acts);
    }

    fn take(&mut self, now: Time, item: FromPrimary, acts: &mut Vec<Act>) {
        let message = match item {
            FromPrimary::Message(message) => message,
            FromPrimary::Closed => return self.lost(now, acts),
        };
        match self.link {
            Link::Asking { conn, .. } => self.take_answer(now, conn, message, acts),
            Link::Up { conn, .. } => self.take_stream(now, conn, message, acts),
            Link::Waiting | Link::Dialling { .. } | Link::Loading { .. } => {}
        }
    }

    fn take_answer(&mut self, now: Time, conn: ConnId, message: Message, acts: &mut Vec<Act>) {
        match message {
            Message::Continue(replid) => {
                if replid != self.data.replid {
                    self.data.rename(replid);
                    self.drop_replicas(now, acts);
                }
                self.link_is_up(now, conn);
                self.handed_over(now, acts);
            }
            // A sign of life: the primary writes a snapshot for us. From here on there is no way back to our
            // own data.
            Message::Stream { entries, .. } if entries.is_empty() => {
                self.resumable = false;
                self.link = Link::Asking {
                    conn,
                    last_io: now,
                    full: true,
                };
                self.handed_over(now, acts);
            }
            Message::FullSync(snapshot) => self.load(now, conn, snapshot, acts),
            _ => {
                self.drop_link(now, acts);
                self.hand_over_refused(now, acts);
            }
        }
    }

    fn load(&mut self, now: Time, conn: ConnId, snapshot: Snapshot, acts: &mut Vec<Act>) {
        self.data.store(&snapshot);
        self.resumable = false;
        self.drop_replicas(now, acts);
        self.link = Link::Loading { conn };
        self.loading = Some(Loading {
            until: now + self.spec.full_sync_time / 2,
            snapshot: Some(snapshot),
        });
        self.handed_over(now, acts);
    }

    fn take_stream(&mut self, now: Time, conn: ConnId, message: Message, acts: &mut Vec<Act>) {
        self.link = Link::Up { conn, last_io: now };
        match message {
            Message::Stream { entries, .. } if entries.is_empty() => {}
            Message::Stream { from, entries } if from == self.data.offset() => self.feed(entries, acts),
            // A stream with a gap, or no stream: nothing that follows can be trusted.
            _ => {
                acts.push(Act::Close { conn });
                self.lost(now, acts);
            }
        }
    }

    /// The connection is closed. As the reference, one that had got somewhere is set up again at once, before the backlog
    /// has moved on.
    fn lost(&mut self, now: Time, acts: &mut Vec<Act>) {
        let at_once = self.link_up() || self.link.is_transferring();
        self.forget_link(now);
        if at_once {
            self.dial(now, acts);
        }
    }

    fn link_is_up(&mut self, now: Time, conn: ConnId) {
        self.link = Link::Up { conn, last_io: now };
        self.link_down_since = None;
        self.resumable = true;
    }

    fn drop_link(&mut self, now: Time, acts: &mut Vec<Act>) {
        if let Some(conn) = self.link.conn() {
            acts.push(Act::Close { conn });
        }
        self.forget_link(now);
    }

    fn forget_link(&mut self, now: Time) {
        if self.link_up() {
            self.link_down_since = Some(now);
        }
        self.held.clear();
        self.link = Link::Waiting;
    }

    fn dial(&mut self, now: Time, acts: &mut Vec<Act>) {
        let Some(to) = self.follows else { return };
        self.dials += 1;
        self.link = Link::Dialling {
            dial: self.dials,
            since: now,
        };
        acts.push(Act::Dial { to, dial: self.dials });
    }

    fn ack(&self, acts: &mut Vec<Act>) {
        if let Link::Up { conn, .. } = self.link {
            let message = Message::Ack {
                offset: self.data.offset(),
            };
            acts.push(Act::Send { conn, message });
        }
    }
}
