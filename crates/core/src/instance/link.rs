//! One connection as the core sees it: when to try it, whether it stands, how much is under way on it.

use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt;

use crate::id::LinkId;
use crate::time::Instant;

/// The first wait before a reconnect that follows a failed one; it doubles from there. Short enough that a
/// server back after a restart is seen before anybody notices, long enough not to hammer a dead host.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest wait before a reconnect: one attempt a second, as the reference.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long an attempt may take, greeting included. A dropped SYN is repeated after one second; the second
/// one has time to arrive.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest trouble that is kept, in bytes: it is one part of one log line.
const MAX_TROUBLE_LEN: usize = 200;
/// Commands without a reply on one link, per owner of the link. As the reference.
const MAX_PENDING: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle {
        retry_at: Instant,
    },
    Connecting {
        id: LinkId,
        since: Instant,
    },
    Up {
        id: LinkId,
        since: Instant,
        local: IpAddr,
    },
}

/// One connection to an instance or a peer, over all its reconnects.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    state: State,
    failures: u32,
    pending: u32,
    /// What last stood in the way, in words, since the other end was last well.
    trouble: Option<String>,
}

impl Link {
    /// A link that is to be set up at once.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            state: State::Idle { retry_at: now },
            failures: 0,
            pending: 0,
            trouble: None,
        }
    }

    pub(crate) const fn id(&self) -> Option<LinkId> {
        match self.state {
            State::Idle { .. } => None,
            State::Connecting { id, .. } | State::Up { id, .. } => Some(id),
        }
    }

    /// The number and our own address on it, if the connection stands.
    pub(crate) const fn up(&self) -> Option<(LinkId, IpAddr)> {
        match self.state {
            State::Up { id, local, .. } => Some((id, local)),
            _ => None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// When it was set up, if it stands.
    pub(crate) const fn up_since(&self) -> Option<Instant> {
        match self.state {
            State::Up { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whether it does not stand and at least one attempt to set it up again has failed.
    pub(crate) const fn is_failing(&self) -> bool {
        !self.is_up() && self.failures >= 2
    }

    /// When something is to be done about it, if it does not stand: try again, or give an attempt up.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Idle { retry_at } => Some(retry_at),
            State::Connecting { since, .. } => Some(since + CONNECT_TIMEOUT),
            State::Up { .. } => None,
        }
    }

    /// Whether an attempt has taken too long.
    pub(crate) fn attempt_timed_out(&self, now: Instant) -> bool {
        matches!(self.state, State::Connecting { since, .. } if now >= since + CONNECT_TIMEOUT)
    }

    /// Whether a new attempt is due.
    pub(crate) fn attempt_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Idle { retry_at } if now >= retry_at)
    }

    pub(crate) const fn connecting(&mut self, now: Instant, id: LinkId) {
        self.state = State::Connecting { id, since: now };
        self.pending = 0;
    }

    /// Puts an attempt off that cannot be made now.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.state = State::Idle {
            retry_at: now + FIRST_BACKOFF,
        };
    }

    pub(crate) const fn came_up(&mut self, now: Instant, id: LinkId, local: IpAddr) {
        self.state = State::Up {
            id,
            since: now,
            local,
        };
        self.pending = 0;
    }

    /// It broke, or the attempt failed: the next attempt follows at once after a break, and after a growing,
    /// jittered wait from then on.
    pub(crate) fn went_down(&mut self, now: Instant, rng: &mut impl RngExt) {
        let wait = match self.failures {
            0 => Duration::ZERO,
            n => {
                let wait = FIRST_BACKOFF.saturating_mul(1 << (n - 1).min(8)).min(MAX_BACKOFF);
                wait.mul_f64(rng.random_range(0.75..1.25))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.pending = 0;
        self.state = State::Idle { retry_at: now + wait };
    }

    /// The other end is well: the next break starts with a fresh wait.
    pub(crate) fn proved_well(&mut self) {
        self.failures = 0;
        self.trouble = None;
    }

    /// Notes what stands in the way, for people.
    pub(crate) fn is_troubled(&mut self, why: &str) {
        if self.trouble.as_deref() != Some(why) {
            let end = why.floor_char_boundary(MAX_TROUBLE_LEN);
            self.trouble = Some(why[..end].to_owned());
        }
    }

    /// Why the other end does not answer well, as far as known, in words.
    pub(crate) fn trouble(&self) -> &str {
        match &self.trouble {
            Some(why) => why,
            None if self.is_up() => "it is connected and silent",
            None => "there is no connection to it",
        }
    }

    pub(crate) const fn has_room(&self) -> bool {
        self.pending < MAX_PENDING
    }

    pub(crate) const fn sent(&mut self, count: u32) {
        self.pending = self.pending.saturating_add(count);
    }

    pub(crate) const fn replied(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    pub(crate) const fn pending(&self) -> u32 {
        self.pending
    }
}
