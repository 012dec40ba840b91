//! The one door: inputs in, effects out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agreement::{Agreement, Decided, ReplicatedLog, Vote};
use crate::bugs::{self, Bug};
use crate::command;
use crate::context::{Context, LinkOwner};
use crate::deadlines::{Deadlines, Who};
use crate::decided::decided;
use crate::decision::Decision;
use crate::discovery::hello_came;
use crate::effect::{AddressBook, Command, Effect};
use crate::event::EventKind;
use crate::group::Group;
use crate::id::{ClientToken, GroupName, LinkId, RequestId, SentinelId};
use crate::input::{Input, Pong, Reply};
use crate::peer::Peer;
use crate::registry::{LastVote, Registry};
use crate::request::{Answer, Refusal, Request};
use crate::settings::Settings;
use crate::shared::LeadTold;
use crate::time::{Instant, whole_millis};

/// How often a turn looks again at groups that its own decisions have touched. Each look moves a failover one
/// step, and a failover has six.
const MAX_ROUNDS: usize = 16;

/// The deciding part of one daemon. It has no clock, socket or file: the caller drives it.
///
/// The caller owes three things: [`handle`](Self::handle) every input and, when none is at hand,
/// [`Input::Turn`]; carry out the effects of [`poll_effect`](Self::poll_effect) in their order until there is
/// none; come back with a `Turn` at [`poll_deadline`](Self::poll_deadline) at the latest.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) groups: BTreeMap<GroupName, Group>,
    pub(crate) cx: Context,
    deadlines: Deadlines,
    /// Requests that wait for a name to be resolved.
    waiting: Vec<(ClientToken, Request)>,
    addresses: Arc<AddressBook>,
    started: bool,
    /// Where a log is shared: whether this coordinator leads and may act, and whether addresses may be told, when it last
    /// looked.
    pub(crate) acted: bool,
    pub(crate) was_fresh: bool,
    pub(crate) lead_told: LeadTold,
    /// Whether everything that was decided before the start had come out of the log when it last looked.
    pub(crate) was_caught_up: bool,
    /// Something was decided after the last turn had ended.
    pub(crate) again: bool,
}

impl Coordinator {
    /// A coordinator that goes on from durable state, and agrees with others by votes.
    #[must_use]
    pub fn new(settings: Settings, registry: Registry, now: Instant) -> Self {
        Self::with_agreement(settings, registry, now, Box::new(Vote::default()))
    }

    /// A coordinator with another kind of agreement.
    #[must_use]
    pub fn with_agreement(
        settings: Settings,
        registry: Registry,
        now: Instant,
        agreement: Box<dyn Agreement>,
    ) -> Self {
        let mut cx = Context::new(settings, registry, agreement, now);
        if bugs::has(Bug::ForgetVoteAtRestart) {
            let records = cx.registry.groups.values_mut();
            records.for_each(|record| record.vote = LastVote::default());
        }
        let records: Vec<_> = cx.registry.groups.clone().into_iter().collect();
        let mut groups = BTreeMap::new();
        for (name, record) in records {
            let group = Group::new(name.clone(), &record, &mut cx);
            cx.touch(&name);
            group.tell_monitored(&mut cx);
            groups.insert(name, group);
        }
        cx.touched_peers.extend(cx.peers.keys().cloned());
        let mut coordinator = Self {
            groups,
            cx,
            deadlines: Deadlines::default(),
            waiting: Vec::new(),
            addresses: Arc::default(),
            started: false,
            acted: false,
            was_fresh: true,
            lead_told: LeadTold::default(),
            was_caught_up: false,
            again: false,
        };
        coordinator.publish_addresses();
        coordinator
    }

    /// Takes in one input that arrived at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.cx.now = self.cx.now.max(now);
        match input {
            Input::Turn => {
                self.tend_log();
                self.turn();
            }
            Input::LogWritten { seq } => {
                if let Some(log) = self.cx.agreement.log_mut() {
                    log.written(seq);
                }
            }
            Input::LinkUp { link, local } => self.link_up(link, local),
            Input::LinkDown { link, reason } => self.link_down(link, &reason),
            Input::Reply { link, request, reply } => self.replied(link, request, reply),
            Input::Hello { link, message } => self.heard(link, &message),
            Input::Resolved { name, result } => {
                if let Err(reason) = &result {
                    self.cx
                        .odd(None, format!("{} does not resolve: {reason}", name.as_str()));
                }
                if self.cx.names.resolved(&name, result) {
                    self.cx.touched.extend(self.groups.keys().cloned());
                }
                for (token, request) in std::mem::take(&mut self.waiting) {
                    self.request(token, request);
                }
                self.publish_addresses();
            }
            Input::Request { token, request } => self.request(token, request),
            Input::Persisted { seq } => self.cx.out.persisted(seq),
            Input::PersistFailed { seq, .. } if bugs::has(Bug::FailedPersistTakenAsDone) => {
                self.cx.out.persisted(seq);
            }
            Input::PersistFailed { seq, reason } => self.cx.out.persist_failed(self.cx.now, seq, reason),
        }
        self.settle();
        self.drive_log();
        crate::invariants::check(&self.groups, &self.cx);
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.cx.out.pop()
    }

    /// When the next [`Input::Turn`] is due at the latest.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let tilt_ends_at = self
            .cx
            .tilt
            .since()
            .map(|since| since + self.cx.tunables.tilt_period);
        let log_due = self.cx.agreement.log().and_then(|log| log.poll_deadline());
        let again = self.again.then_some(self.cx.now);
        [
            self.deadlines.first(),
            self.cx.out.retry_at(),
            tilt_ends_at,
            log_due,
            again,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The durable state, to be written when [`Effect::Persist`] says so.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.cx.registry
    }

    /// The log that all coordinators share, to be looked at; `None` where they vote.
    #[must_use]
    pub fn log(&self) -> Option<&dyn ReplicatedLog> {
        self.cx.agreement.log()
    }

    /// Whether the registry holds everything that was decided. Where a log is shared it does not at first: it begins
    /// empty, and fills while what is in the log comes out again.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.cx.agreement.log().is_none_or(|log| log.is_caught_up())
    }

    /// Decides on all facts at hand: every group that was touched or is due, once.
    fn turn(&mut self) {
        self.watch_for_stall();
        while let Some(who) = self.deadlines.pop_due(self.cx.now) {
            match who {
                Who::Group(name) => self.cx.touch(&name),
                Who::Peer(id) => self.cx.wake_peer(&id),
            }
        }
        self.end_tilt();
        for _ in 0..MAX_ROUNDS {
            for id in std::mem::take(&mut self.cx.touched_peers) {
                self.keep_peer(&id);
            }
            if self.cx.touched.is_empty() {
                break;
            }
            for name in std::mem::take(&mut self.cx.touched) {
                if let Some(group) = self.groups.get_mut(&name) {
                    let at = group.evaluate(&mut self.cx);
                    self.deadlines.set(Who::Group(name), at);
                }
            }
            self.settle();
        }
        let epoch = self.cx.registry.current_epoch;
        self.cx.out.flush(self.cx.now, epoch);
    }

    /// Carries out what was decided, and what follows from it.
    pub(crate) fn settle(&mut self) {
        let mut switched = false;
        self.cx.is_past = !self.cx.agreement.is_by_vote() && !self.was_caught_up;
        while let Some(news) = self.cx.agreement.poll_decided() {
            match news {
                Decided::Decision { decision, origin } => {
                    switched |= decision.changes_addresses();
                    self.carry_out(&decision, origin);
                }
                Decided::State(state) => {
                    switched = true;
                    self.install_state(*state);
                }
                Decided::Members(members) => self.install_members(members),
                Decided::Ordered { origin, result } => {
                    let answer = match result {
                        Ok(()) => Answer::Ok,
                        Err(why) => Answer::Refused(Refusal::LogOrder(why)),
                    };
                    self.cx.answer_now(origin, answer);
                }
                Decided::Dropped {
                    groups,
                    origins,
                    reason,
                } => {
                    // What followed from it must not be done: it goes on from what is decided.
                    for name in &groups {
                        if let Some(group) = self.groups.get_mut(name) {
                            group.stand_back(&mut self.cx);
                        }
                    }
                    self.cx.touched.extend(groups);
                    for token in origins {
                        let refusal = Refusal::NoQuorum(reason.clone());
                        self.cx.promised(token);
                        self.cx.answer_now(token, Answer::Refused(refusal));
                    }
                }
            }
        }
        self.cx.is_past = false;
        if switched {
            self.publish_addresses();
        }
    }

    pub(crate) fn carry_out(&mut self, decision: &Decision, origin: Option<ClientToken>) {
        decided(&mut self.groups, &mut self.cx, decision, origin);
        if let Some(gone) = decision.removes_group() {
            self.deadlines.set(Who::Group(gone.clone()), None);
        }
    }

    /// Gives clients the addresses as they are from now on, once they are durable.
    pub(crate) fn publish_addresses(&mut self) {
        let names = &self.cx.names;
        let now = self.cx.now;
        let is_fresh = self.cx.agreement.log().is_none_or(|log| log.is_fresh(now));
        // Remembered here, where it counts: who publishes between two turns may find it otherwise than the last one did.
        self.was_fresh = is_fresh;
        let book: AddressBook = self
            .groups
            .iter()
            .filter(|_| is_fresh)
            .map(|(name, group)| (name.clone(), names.shown_addr(&group.primary)))
            .collect();
        if !self.started || *self.addresses != book {
            self.started = true;
            self.addresses = Arc::new(book);
            let effect = Effect::Addresses(Arc::clone(&self.addresses));
            if bugs::has(Bug::AnnounceBeforeDurable) {
                return self.cx.out.push(effect);
            }
            self.cx.out.push_durable(effect);
        }
    }

    fn request(&mut self, token: ClientToken, request: Request) {
        if let Some(unresolved) = command::run(&mut self.groups, &mut self.cx, token, request) {
            self.waiting.push((token, unresolved));
        }
    }

    fn link_up(&mut self, link: LinkId, local: std::net::IpAddr) {
        let Some(owner) = self.cx.owners.get(&link).cloned() else {
            return;
        };
        let now = self.cx.now;
        match owner {
            LinkOwner::Instance(group, addr) => {
                if let Some(instance) = self.instance(&group, &addr) {
                    instance.link.came_up(now, link, local);
                    instance.link_lost(now);
                    self.cx.touch(&group);
                }
            }
            LinkOwner::Peer(id) => {
                if let Some(peer) = self.cx.peers.get_mut(&id) {
                    peer.link.came_up(now, link, local);
                    self.cx.wake_peer(&id);
                    self.touch_restless();
                }
            }
        }
    }

    fn link_down(&mut self, link: LinkId, reason: &str) {
        let Some(owner) = self.cx.disown(link) else {
            return;
        };
        self.cx.link_failures += 1;
        self.cx.out.forget_link(link);
        let (now, cx) = (self.cx.now, &mut self.cx);
        match owner {
            LinkOwner::Instance(name, addr) => {
                let Some(group) = self.groups.get_mut(&name) else {
                    return;
                };
                let Some(instance) = group.instances.get_mut(&addr) else {
                    return;
                };
                instance.link.is_troubled(reason);
                instance.link.went_down(now, &mut cx.rng);
                instance.link_lost(now);
                let payload = format!("{} #{reason}", group.describe(cx, &addr));
                cx.event(EventKind::LinkReconnection, Some(&name), payload, None);
                cx.touch(&name);
            }
            LinkOwner::Peer(id) => {
                let Some(peer) = cx.peers.get_mut(&id) else { return };
                peer.link.is_troubled(reason);
                peer.link.went_down(now, &mut cx.rng);
                peer.health.link_broke(now);
                if let Some(log) = cx.agreement.log_mut() {
                    log.unreachable(&id);
                }
                let payload = format!("sentinel {id} {} #{reason}", peer.addr);
                cx.event(EventKind::LinkReconnection, None, payload, None);
                cx.wake_peer(&id);
                self.touch_restless();
            }
        }
    }

    /// Touches the groups that may be waiting for a peer.
    fn touch_restless(&mut self) {
        for group in self
            .groups
            .values()
            .filter(|group| group.odown_since.is_some() || group.run.is_some())
        {
            self.cx.touched.insert(group.name.clone());
        }
    }

    fn replied(&mut self, link: LinkId, request: RequestId, reply: Reply) {
        match self.cx.owners.get(&link).cloned() {
            // A reply on a link that has been given up: late, and of no meaning any more.
            None => {}
            Some(LinkOwner::Instance(name, addr)) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.instance_replied(&addr, request, reply, &mut self.cx);
                }
            }
            Some(LinkOwner::Peer(id)) => self.peer_replied(&id, request, reply),
        }
    }

    fn peer_replied(&mut self, id: &SentinelId, request: RequestId, reply: Reply) {
        let now = self.cx.now;
        let Some(peer) = self.cx.peers.get_mut(id) else {
            return;
        };
        peer.link.replied();
        match reply {
            Reply::Ping(pong) => {
                let well = matches!(pong, Pong::Pong | Pong::Loading | Pong::PrimaryDown);
                peer.health.answered(now, well);
                if well {
                    peer.link.proved_well();
                } else {
                    peer.link.is_troubled(&pong.to_string());
                }
            }
            Reply::Verdict(verdict) => {
                let asked = self.cx.take_question(request);
                let asked = asked.and_then(|(name, primary)| Some((self.groups.get_mut(&name)?, primary)));
                // What is said of a former primary is not true of the present one.
                if let Some((group, _)) = asked.filter(|(group, primary)| {
                    group.primary == *primary || bugs::has(Bug::CountVerdictOnFormerPrimary)
                }) {
                    group.verdict_came(id, verdict, &mut self.cx);
                }
            }
            Reply::Refused(words) => {
                let is_news = peer.refused(now, &words);
                let addr = peer.addr.clone();
                self.cx.take_question(request);
                if let Some(problem) = words.strip_prefix("BADFRAME ") {
                    let (host, port) = self.cx.names.shown_addr(&addr);
                    let reason = format!("it refuses what this member says: {problem}");
                    self.cx
                        .member_refused(format!("sentinel {id} {host} {port}"), reason);
                } else if is_news || self.cx.agreement.is_by_vote() {
                    self.cx
                        .odd(None, format!("sentinel {id} refused a command: {words}"));
                }
            }
            Reply::Odd(what) => {
                self.cx.take_question(request);
                self.cx.odd(None, format!("sentinel {id}: {what}"));
            }
            Reply::Info(_) | Reply::Done => {}
        }
    }

    fn heard(&mut self, link: LinkId, message: &str) {
        let Some(LinkOwner::Instance(group, addr)) = self.cx.owners.get(&link).cloned() else {
            return;
        };
        let now = self.cx.now;
        if let Some(instance) = self.instance(&group, &addr) {
            instance.hello_heard_at = Some(now);
        }
        // Our own come back from every server: most of all hellos.
        if !self.cx.is_own(message) {
            hello_came(&mut self.groups, message, &mut self.cx);
        }
    }

    fn instance(
        &mut self,
        group: &GroupName,
        addr: &crate::addr::Addr,
    ) -> Option<&mut crate::instance::Instance> {
        self.groups
            .get_mut(group)
            .and_then(|group| group.instances.get_mut(addr))
    }

    /// Does what is due about the link and the pings of a peer.
    fn keep_peer(&mut self, id: &SentinelId) {
        // Aside as long as the rest of the context is needed with one of them.
        let mut peers = std::mem::take(&mut self.cx.peers);
        if let Some(peer) = peers.get_mut(id) {
            let at = Self::keep(&mut self.cx, id, peer);
            self.deadlines.set(Who::Peer(id.clone()), at);
        }
        self.cx.peers = peers;
    }

    /// The same for this peer. Gives when it is to be looked at again.
    fn keep(cx: &mut Context, id: &SentinelId, peer: &mut Peer) -> Option<Instant> {
        cx.take_alarm();
        cx.keep_link(&mut peer.link, &peer.addr, || LinkOwner::Peer(id.clone()));
        if peer.link.is_up() {
            let period = peer.ping_period(cx.now, cx.tunables.ping_period);
            let stuck = peer.health.ping_outstanding(cx.now) > peer.shortest_down_after / 2;
            let old = peer
                .link
                .up_since()
                .is_some_and(|at| cx.now.since(at) > cx.tunables.min_link_age);
            if stuck && old {
                peer.health.link_broke(cx.now);
                cx.drop_link(&mut peer.link);
            } else if peer.health.ping_due_at(period).is_some_and(|at| cx.due(at)) {
                peer.health.ping_sent(cx.now);
                cx.send(&mut peer.link, vec![Command::Ping], false);
            }
            cx.wake_at(cx.now + period);
        }
        cx.take_alarm()
    }

    /// Notices that this process did not run, and forgives the others what was not seen of them meanwhile.
    fn watch_for_stall(&mut self) {
        if bugs::has(Bug::StallNotForgiven) {
            return;
        }
        let now = self.cx.now;
        let Some(stall) = self
            .cx
            .tilt
            .observe(now, self.poll_deadline(), self.cx.tunables.tilt_trigger)
        else {
            return;
        };
        for group in self.groups.values_mut() {
            for instance in group.instances.values_mut() {
                instance.health.forgive(now, stall.gap);
            }
            group.slept(stall.gap, &mut self.cx);
        }
        for peer in self.cx.peers.values_mut() {
            peer.health.forgive(now, stall.gap);
        }
        if stall.reported {
            let reason = format!("this process did not run for {} ms", whole_millis(stall.gap));
            self.cx
                .event(EventKind::Tilt, None, "#tilt mode entered".into(), Some(reason));
        }
        self.cx.touched.extend(self.groups.keys().cloned());
        self.cx.touched_peers.extend(self.cx.peers.keys().cloned());
    }

    /// Trusts observations again as soon as every link has answered since the stall, or has been silent for
    /// long enough since to be judged by that alone.
    fn end_tilt(&mut self) {
        let Some(since) = self.cx.tilt.since() else { return };
        let now = self.cx.now;
        let evidence = self.groups.values().all(|group| {
            let judged = now.since(since) >= group.rules.down_after;
            judged
                || group
                    .instances
                    .values()
                    .all(|instance| instance.health.last_reply() > since)
        });
        if !evidence && now < since + self.cx.tunables.tilt_period {
            return;
        }
        if let Some(length) = self.cx.tilt.end(now) {
            let reason = format!("it lasted {} ms", whole_millis(length));
            self.cx
                .event(EventKind::TiltEnd, None, "#tilt mode exited".into(), Some(reason));
            self.cx.touched.extend(self.groups.keys().cloned());
        }
    }
}
