//! Durable before visible: effects that depend on a change wait until the change is on disk.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bugs::{self, Bug};
use crate::effect::{Command, Effect};
use crate::event::{Event, EventKind};
use crate::id::{Epoch, GroupName, LinkId, PersistSeq, RequestId};
use crate::request::{Answer, Refusal};
use crate::time::Instant;

/// How long to wait after a failed write before the next one. A disk that is full stays so for a while, and a
/// try each second costs nothing.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many effects may wait for the disk. A healthy disk clears them every millisecond; beyond this number
/// the disk is stuck, requests are refused and the oldest events are dropped.
const MAX_HELD: usize = 16_384;

#[derive(Debug)]
struct Held {
    seq: PersistSeq,
    effect: Effect,
    /// It only shows what is: if the write fails it goes out all the same, because an operator who looks at
    /// a coordinator with a full disk must see something.
    read: bool,
}

/// Effects on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Effect>,
    held: VecDeque<Held>,
    last_seq: PersistSeq,
    in_flight: Option<(PersistSeq, Epoch)>,
    dirty: bool,
    retry_at: Option<Instant>,
    save_error: Option<String>,
    durable_epoch: Epoch,
    dropped: u64,
    /// What is decided is durable already, in a log of its own: nothing waits for the registry to be written.
    is_logged: bool,
}

impl Outbox {
    pub(crate) fn new(durable_epoch: Epoch) -> Self {
        Self {
            durable_epoch,
            ..Self::default()
        }
    }

    /// An outbox for decisions that are durable before they count.
    pub(crate) fn logged(durable_epoch: Epoch) -> Self {
        Self {
            is_logged: true,
            ..Self::new(durable_epoch)
        }
    }

    /// Whether what has been decided may not be told, because it cannot be written.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.save_error.is_some() && !self.is_logged
    }

    /// Everything up to this epoch has been decided.
    pub(crate) fn decided_epoch(&mut self, epoch: Epoch) {
        if self.is_logged {
            self.durable_epoch = self.durable_epoch.max(epoch);
        }
    }

    /// Sends out what depends on nothing.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.ready.push_back(effect);
    }

    /// Sends out what must not be seen before everything decided so far is on disk.
    pub(crate) fn push_durable(&mut self, effect: Effect) {
        match self.pending_seq() {
            None => self.ready.push_back(effect),
            Some(seq) => self.hold(Held {
                seq,
                effect,
                read: false,
            }),
        }
    }

    /// Sends out what shows the present state: after the write under way, but not hindered by one that fails.
    pub(crate) fn push_read(&mut self, effect: Effect) {
        match self.pending_seq() {
            Some(seq) if self.save_error.is_none() => self.hold(Held {
                seq,
                effect,
                read: true,
            }),
            _ => self.ready.push_back(effect),
        }
    }

    /// Tells of an event: at once if it is a plain observation and no earlier event of its group waits, else
    /// when what was decided is on disk.
    pub(crate) fn event(&mut self, event: Event) {
        let behind = |held: &Held| matches!(&held.effect, Effect::Event(e) if e.group == event.group);
        let at_once = is_observation(event.kind) || bugs::has(Bug::AnnounceBeforeDurable);
        if at_once && !self.held.iter().any(behind) {
            self.push(Effect::Event(event));
        } else {
            self.push_durable(Effect::Event(event));
        }
    }

    /// Notes that the registry was changed.
    pub(crate) const fn changed(&mut self) {
        self.dirty = true;
    }

    /// Why the last write failed, while none has succeeded since.
    pub(crate) fn save_error(&self) -> Option<&str> {
        self.save_error.as_deref()
    }

    /// The highest epoch that is on disk and so may be shown.
    pub(crate) const fn durable_epoch(&self) -> Epoch {
        self.durable_epoch
    }

    /// When a failed write is to be tried again.
    pub(crate) const fn retry_at(&self) -> Option<Instant> {
        if self.dirty && self.in_flight.is_none() {
            self.retry_at
        } else {
            None
        }
    }

    /// How many events were dropped because the disk was stuck.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Starts a write if one is due. Called once at the end of a turn, so that changes coalesce.
    pub(crate) fn flush(&mut self, now: Instant, epoch: Epoch) {
        let waits = self.retry_at.is_some_and(|at| now < at);
        if !self.dirty || self.in_flight.is_some() || waits {
            return;
        }
        self.last_seq.0 += 1;
        self.in_flight = Some((self.last_seq, epoch));
        self.dirty = false;
        self.push(Effect::Persist { seq: self.last_seq });
    }

    /// A write is done: what waited for it goes out.
    pub(crate) fn persisted(&mut self, seq: PersistSeq) {
        let Some((_, epoch)) = self.in_flight.take_if(|(flying, _)| *flying == seq) else {
            return;
        };
        self.durable_epoch = self.durable_epoch.max(epoch);
        self.retry_at = None;
        while let Some(held) = self.held.pop_front_if(|held| held.seq <= seq) {
            self.ready.push_back(held.effect);
        }
        if self.save_error.take().is_some() {
            self.push(Effect::Event(save_event(EventKind::SaveRecovered, String::new())));
        }
    }

    /// A write failed: clients that waited for it are refused, everything else waits for the next one.
    pub(crate) fn persist_failed(&mut self, now: Instant, seq: PersistSeq, reason: String) {
        if self.in_flight.take_if(|(flying, _)| *flying == seq).is_none() {
            return;
        }
        self.dirty = true;
        self.retry_at = Some(now + RETRY_AFTER);
        let next = PersistSeq(self.last_seq.0 + 1);
        for held in std::mem::take(&mut self.held) {
            match held.effect {
                effect if held.read => self.push(effect),
                Effect::Answer { token, .. } => {
                    self.push(Effect::Answer {
                        token,
                        answer: Answer::Refused(Refusal::SaveFailed),
                    });
                }
                effect => self.held.push_back(Held {
                    seq: next,
                    effect,
                    read: false,
                }),
            }
        }
        if self.save_error.as_ref() != Some(&reason) {
            self.push(Effect::Event(save_event(EventKind::SaveFailed, reason.clone())));
        }
        self.save_error = Some(reason);
    }

    /// Takes back the orders for a link that wait for the disk: what they follow from is no longer so. Gives how
    /// many commands will have no answer for it.
    pub(crate) fn retract_orders(&mut self, link: LinkId) -> usize {
        let mut retracted = 0;
        self.held.retain(|held| match &held.effect {
            Effect::Send { link: to, batch, .. } if *to == link && is_order(batch) => {
                retracted += batch.len();
                false
            }
            _ => true,
        });
        retracted
    }

    /// A link is gone: what waits for the disk to leave on it has nowhere to go.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.held
            .retain(|held| !matches!(&held.effect, Effect::Send { link: to, .. } if *to == link));
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        self.ready.pop_front()
    }

    /// The write that will cover everything decided so far.
    const fn pending_seq(&self) -> Option<PersistSeq> {
        match (self.dirty, self.in_flight) {
            _ if self.is_logged => None,
            (true, _) => Some(PersistSeq(self.last_seq.0 + 1)),
            (false, Some((seq, _))) => Some(seq),
            (false, None) => None,
        }
    }

    fn hold(&mut self, held: Held) {
        if self.held.len() >= MAX_HELD {
            if let Effect::Answer { token, .. } = held.effect {
                self.push(Effect::Answer {
                    token,
                    answer: Answer::Refused(Refusal::Overloaded),
                });
                return;
            }
            if matches!(held.effect, Effect::Addresses(_)) {
                // The latest addresses are the ones that count, and they are told nowhere else.
                self.held
                    .retain(|earlier| !matches!(earlier.effect, Effect::Addresses(_)));
                self.held.push_back(held);
                return;
            }
            self.dropped += 1;
            if let Some(at) = self
                .held
                .iter()
                .position(|held| matches!(held.effect, Effect::Event(_)))
            {
                self.held.remove(at);
            } else {
                return;
            }
        }
        self.held.push_back(held);
    }
}

/// Whether commands change what a server does.
pub(crate) fn is_order(batch: &[(RequestId, Command)]) -> bool {
    batch
        .iter()
        .any(|(_, command)| matches!(command, Command::Reconfigure { .. } | Command::HandOver { .. }))
}

/// Events that tell what was seen, and depend on nothing that was decided.
const fn is_observation(kind: EventKind) -> bool {
    use EventKind as E;
    matches!(
        kind,
        E::SubjectivelyDown
            | E::SubjectivelyUp
            | E::ObjectivelyDown
            | E::ObjectivelyUp
            | E::Tilt
            | E::TiltEnd
            | E::Reboot
            | E::RoleAsExpected
            | E::RoleUnexpected
            | E::LinkReconnection
            | E::IdTaken
            | E::MemberRefused
            | E::LogLeader
            | E::LogLeaderLost
            | E::Odd
    )
}

fn save_event(kind: EventKind, payload: String) -> Event {
    Event {
        kind,
        group: None::<GroupName>,
        payload,
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClientToken;

    fn answer(token: u64) -> Effect {
        Effect::Answer {
            token: ClientToken(token),
            answer: Answer::Ok,
        }
    }

    fn drain(out: &mut Outbox) -> Vec<Effect> {
        std::iter::from_fn(|| out.pop()).collect()
    }

    #[test]
    fn what_depends_on_a_change_waits_for_the_disk() {
        let mut out = Outbox::new(Epoch(0));
        out.changed();
        out.push_durable(answer(1));
        out.flush(Instant::ZERO, Epoch(1));
        assert_eq!(drain(&mut out), [Effect::Persist { seq: PersistSeq(1) }]);
        out.changed();
        out.push_durable(answer(2));
        out.flush(Instant::ZERO, Epoch(1));
        assert_eq!(drain(&mut out), [], "one write at a time");
        out.persisted(PersistSeq(1));
        assert_eq!(drain(&mut out), [answer(1)]);
        assert_eq!(out.durable_epoch(), Epoch(1));
        out.flush(Instant::ZERO, Epoch(1));
        assert_eq!(drain(&mut out), [Effect::Persist { seq: PersistSeq(2) }]);
        out.persisted(PersistSeq(2));
        assert_eq!(drain(&mut out), [answer(2)]);
        out.push_durable(answer(3));
        assert_eq!(drain(&mut out), [answer(3)], "nothing to wait for");
    }

    #[test]
    fn a_failed_write_refuses_clients_and_is_tried_again() {
        let mut out = Outbox::new(Epoch(0));
        let event = Event {
            kind: EventKind::NewEpoch,
            group: None,
            payload: "1".into(),
            reason: None,
        };
        out.changed();
        out.event(event.clone());
        out.push_durable(answer(1));
        out.flush(Instant::ZERO, Epoch(1));
        drain(&mut out);
        out.persist_failed(Instant::ZERO, PersistSeq(1), "disk full".into());
        let effects = drain(&mut out);
        assert_eq!(
            effects[0],
            Effect::Answer {
                token: ClientToken(1),
                answer: Answer::Refused(Refusal::SaveFailed)
            }
        );
        assert!(matches!(&effects[1], Effect::Event(e) if e.kind == EventKind::SaveFailed));
        out.flush(Instant::from_millis(999), Epoch(1));
        assert_eq!(drain(&mut out), [], "not before the delay");
        out.flush(Instant::from_millis(1000), Epoch(1));
        assert_eq!(drain(&mut out), [Effect::Persist { seq: PersistSeq(2) }]);
        out.persisted(PersistSeq(2));
        assert_eq!(drain(&mut out)[0], Effect::Event(event));
    }

    #[test]
    fn what_waits_for_a_link_that_is_gone_goes_nowhere() {
        let mut out = Outbox::new(Epoch(0));
        out.changed();
        for link in [LinkId(1), LinkId(2)] {
            out.push_durable(Effect::Send {
                until: None,
                link,
                batch: Vec::new(),
            });
        }
        out.forget_link(LinkId(1));
        out.flush(Instant::ZERO, Epoch(0));
        out.persisted(PersistSeq(1));
        let left = drain(&mut out);
        assert_eq!(left.len(), 2, "the write and one command: {left:?}");
        assert!(matches!(left[1], Effect::Send { link: LinkId(2), .. }));
    }

    #[test]
    fn a_stuck_disk_holds_a_bounded_number_of_effects() {
        let mut out = Outbox::new(Epoch(0));
        out.changed();
        for token in 0..=MAX_HELD as u64 {
            out.push_durable(answer(token));
        }
        let refused = drain(&mut out);
        assert_eq!(refused.len(), 1);
        assert!(matches!(
            &refused[0],
            Effect::Answer {
                answer: Answer::Refused(Refusal::Overloaded),
                ..
            }
        ));
        let book = |port| {
            Effect::Addresses(std::sync::Arc::new(
                [(GroupName::new("g").expect("a name"), (String::new(), port))].into(),
            ))
        };
        out.push_durable(book(1));
        out.push_durable(book(2));
        out.flush(Instant::ZERO, Epoch(0));
        out.persisted(PersistSeq(1));
        let books: Vec<_> = drain(&mut out)
            .into_iter()
            .filter(|e| matches!(e, Effect::Addresses(_)))
            .collect();
        assert_eq!(books, [book(2)], "the latest addresses always get through");
    }

    #[test]
    fn only_the_orders_for_one_link_are_retracted() {
        let send = |link, command| Effect::Send {
            link: LinkId(link),
            batch: vec![(RequestId(1), command)],
            until: None,
        };
        let order = || Command::Reconfigure { follow: None };
        let mut out = Outbox::new(Epoch(0));
        out.changed();
        for effect in [
            send(1, order()),
            send(1, Command::Ping),
            send(2, order()),
            answer(1),
        ] {
            out.push_durable(effect);
        }
        assert_eq!(out.retract_orders(LinkId(1)), 1);
        out.flush(Instant::ZERO, Epoch(1));
        out.persisted(PersistSeq(1));
        let persist = Effect::Persist { seq: PersistSeq(1) };
        let left = [persist, send(1, Command::Ping), send(2, order()), answer(1)];
        assert_eq!(drain(&mut out), left);
    }
}
