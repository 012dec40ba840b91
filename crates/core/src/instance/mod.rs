//! One monitored server: facts only. What follows from them is decided elsewhere.

pub(crate) mod health;
pub(crate) mod hello;
pub(crate) mod info;
pub(crate) mod link;

use std::sync::Arc;

use self::health::Health;
use self::info::{Info, Role};
use self::link::Link;
use crate::id::RequestId;
use crate::time::Instant;

/// Priority of a replica that has not told its own. As the reference.
pub(crate) const DEFAULT_PRIORITY: u32 = 100;

/// How far a replica is on its way to the new primary, while this coordinator leads the failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Following {
    /// Nothing was sent, or no failover is led here.
    #[default]
    Untold,
    /// It was told at this time.
    Sent(Instant),
    /// It reports the new primary, told at this time.
    InProgress(Instant),
    /// Its link to the new primary is up, or it was given up.
    Done,
}

/// A primary or replica. Which of the two it should be stands in the group; it keeps its link and its facts
/// when that changes.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) link: Link,
    pub(crate) health: Health,
    pub(crate) info: Info,
    /// The text that `info` was read from.
    pub(crate) info_text: Option<Arc<str>>,
    /// When `info` came.
    pub(crate) info_at: Option<Instant>,
    /// When INFO was asked for, while the answer is out.
    pub(crate) info_asked_at: Option<Instant>,
    /// A fresh INFO is wanted at once.
    pub(crate) info_wanted: bool,
    pub(crate) hello_sent_at: Option<Instant>,
    pub(crate) hello_heard_at: Option<Instant>,
    /// When it last took a hello.
    pub(crate) published_at: Option<Instant>,
    pub(crate) role: Role,
    pub(crate) role_since: Instant,
    /// It has reported to be a replica since it last started, and since it stopped being the primary.
    pub(crate) was_replica: bool,
    /// When it last began to follow another primary than before.
    pub(crate) primary_changed_at: Instant,
    pub(crate) run_id: Option<Arc<str>>,
    pub(crate) sdown_since: Option<Instant>,
    /// When it last became subjectively down, even if it is up again.
    pub(crate) last_down_at: Option<Instant>,
    /// It was the group's primary while we watched.
    pub(crate) was_primary: bool,
    /// The process that runs there has had the data of the group: it was the primary when we first heard of it, has
    /// been seen with the data of the primary, or was started anew with what one such had. Another that was given its
    /// address has not.
    pub(crate) kin: bool,
    /// It was seen to serve another group, and has not followed our primary or shown data of ours since.
    pub(crate) elsewhere: bool,
    pub(crate) script_kill_sent: bool,
    pub(crate) following: Following,
    /// The command that last told it whom to follow.
    pub(crate) told_by: Option<RequestId>,
    /// Since when it reports to hand its role over.
    pub(crate) handing_over_since: Option<Instant>,
    /// The command that was to end its hand-over, while the answer is out, and when that was sent.
    pub(crate) abort_by: Option<RequestId>,
    pub(crate) abort_sent_at: Option<Instant>,
    /// When it last answered to such a command, whatever it said.
    pub(crate) abort_answered_at: Option<Instant>,
    /// When it came back with another run id, until it answers a ping well.
    pub(crate) rebooted_at: Option<Instant>,
    /// It was found since the group was last reset.
    pub(crate) confirmed: bool,
    /// When it was last told to follow the present primary.
    pub(crate) told_at: Option<Instant>,
    /// When its promotion last failed under the present primary; it is not chosen again before it has answered
    /// since, nor before any other that may be promoted.
    pub(crate) promotion_failed_at: Option<Instant>,
}

impl Instance {
    pub(crate) fn new(now: Instant, role: Role) -> Self {
        Self {
            link: Link::new(now),
            health: Health::new(now),
            info: Info::default(),
            info_text: None,
            rebooted_at: None,
            confirmed: true,
            info_at: None,
            info_asked_at: None,
            info_wanted: true,
            hello_sent_at: None,
            hello_heard_at: None,
            published_at: None,
            told_by: None,
            handing_over_since: None,
            abort_by: None,
            abort_sent_at: None,
            abort_answered_at: None,
            role,
            role_since: now,
            was_replica: false,
            primary_changed_at: now,
            run_id: None,
            sdown_since: None,
            last_down_at: None,
            was_primary: false,
            kin: false,
            elsewhere: false,
            script_kill_sent: false,
            following: Following::Untold,
            told_at: None,
            promotion_failed_at: None,
        }
    }

    pub(crate) const fn is_sdown(&self) -> bool {
        self.sdown_since.is_some()
    }

    /// Whether what it has told was told on the connection that stands: before that, another server may have had its
    /// address.
    pub(crate) fn facts_are_its_own(&self) -> bool {
        let since = self.link.up_since();
        since.is_some_and(|since| self.info_at.is_some_and(|at| at >= since))
    }

    pub(crate) fn priority(&self) -> u32 {
        self.info.priority.unwrap_or(DEFAULT_PRIORITY)
    }

    pub(crate) fn announced(&self) -> bool {
        self.info.announced.unwrap_or(true)
    }

    /// Its connection is gone, with everything that was under way on it.
    pub(crate) fn link_lost(&mut self, now: Instant) {
        self.health.link_broke(now);
        self.info_asked_at = None;
        self.info_wanted = true;
        self.abort_by = None;
    }
}
