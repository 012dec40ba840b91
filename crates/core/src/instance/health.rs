//! The ping clock of one instance or peer: when it was last well, and since when it is silent.

use std::time::Duration;

use crate::time::Instant;

/// How often to ping: four times within `down-after-milliseconds`, so that a silence is noticed soon after it
/// begins, or more often where `longest` says so.
pub(crate) fn ping_period(down_after: Duration, longest: Duration) -> Duration {
    (down_after / 4).min(longest)
}

/// The ping clock.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// Since when it owes us an answer: the first unanswered ping, or the break of its link. A new entry owes
    /// one from its creation, so that a server that never answers goes down too.
    unanswered_since: Option<Instant>,
    /// A ping is under way on the present connection.
    in_flight: bool,
    last_sent: Option<Instant>,
    last_ok: Instant,
    last_reply: Instant,
}

impl Health {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            unanswered_since: Some(now),
            in_flight: false,
            last_sent: None,
            last_ok: now,
            last_reply: now,
        }
    }

    /// When the next ping is due on a link that stands; `None` while one is under way.
    pub(crate) fn ping_due_at(&self, period: Duration) -> Option<Instant> {
        match (self.in_flight, self.last_sent) {
            (true, _) => None,
            (false, None) => Some(Instant::ZERO),
            (false, Some(at)) => Some(at + period),
        }
    }

    pub(crate) fn ping_sent(&mut self, now: Instant) {
        self.in_flight = true;
        self.last_sent = Some(now);
        self.unanswered_since.get_or_insert(now);
    }

    /// An answer came; a good one ends the silence.
    pub(crate) const fn answered(&mut self, now: Instant, well: bool) {
        self.in_flight = false;
        self.last_reply = now;
        if well {
            self.last_ok = now;
            self.unanswered_since = None;
        }
    }

    /// The link broke: the silence begins now, if it has not begun before.
    pub(crate) fn link_broke(&mut self, now: Instant) {
        self.in_flight = false;
        self.last_sent = None;
        self.unanswered_since.get_or_insert(now);
    }

    /// This process did not run for `gap`: the silence of that time proves nothing.
    pub(crate) fn forgive(&mut self, now: Instant, gap: Duration) {
        if let Some(since) = &mut self.unanswered_since {
            *since = (*since + gap).min(now);
        }
        self.last_ok = (self.last_ok + gap).min(now);
        self.last_reply = (self.last_reply + gap).min(now);
    }

    /// Since when it owes an answer.
    pub(crate) const fn unanswered_since(&self) -> Option<Instant> {
        self.unanswered_since
    }

    /// For how long it has owed an answer.
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        self.unanswered_since
            .map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether its last answer was no good one, such as that a password is needed.
    pub(crate) fn is_refused(&self) -> bool {
        self.last_ok < self.last_reply
    }

    pub(crate) const fn last_ok(&self) -> Instant {
        self.last_ok
    }

    pub(crate) const fn last_reply(&self) -> Instant {
        self.last_reply
    }

    /// For how long a ping has been without an answer; zero if none is under way.
    pub(crate) fn ping_outstanding(&self, now: Instant) -> Duration {
        if self.in_flight {
            self.silent_for(now)
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn silence_starts_at_the_first_unanswered_ping() {
        let mut health = Health::new(at(0));
        health.ping_sent(at(10));
        health.answered(at(11), true);
        assert_eq!(health.silent_for(at(500)), Duration::ZERO);
        health.ping_sent(at(1000));
        assert_eq!(health.silent_for(at(1300)), Duration::from_millis(300));
        health.answered(at(1400), false);
        assert_eq!(
            health.silent_for(at(1500)),
            Duration::from_millis(500),
            "an error does not end it"
        );
    }

    #[test]
    fn silence_starts_at_once_when_the_link_breaks() {
        let mut health = Health::new(at(0));
        health.answered(at(1), true);
        health.link_broke(at(100));
        health.link_broke(at(200));
        assert_eq!(health.silent_for(at(300)), Duration::from_millis(200));
    }

    #[test]
    fn a_stall_of_our_own_is_not_held_against_others() {
        let mut health = Health::new(at(0));
        health.answered(at(0), true);
        health.ping_sent(at(1000));
        health.forgive(at(6100), Duration::from_millis(5000));
        assert_eq!(health.silent_for(at(6100)), Duration::from_millis(100));
    }

    #[test]
    fn four_pings_fit_into_down_after() {
        assert_eq!(
            ping_period(Duration::from_millis(1000), Duration::from_secs(1)),
            Duration::from_millis(250)
        );
        assert_eq!(
            ping_period(Duration::from_secs(30), Duration::from_secs(1)),
            Duration::from_secs(1)
        );
    }
}
