//! What a coordinator does besides where all of them share a log: frames and writes go out, members come and go, and
//! whoever has missed too much is given the whole state.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::addr::Addr;
use crate::agreement::LogOrder;
use crate::context::Context;
use crate::coordinator::Coordinator;
use crate::decided::reconnect_peers;
use crate::decision::Decision;
use crate::effect::{Command, Effect};
use crate::event::EventKind;
use crate::group::Group;
use crate::id::{ClientToken, GroupName, SentinelId};
use crate::peer::Peer;
use crate::registry::{DEFAULT_DOWN_AFTER, GroupOptions, GroupRecord, Registry};
use crate::request::{Answer, Refusal};
use crate::time::Instant;

/// How many commands may be without an answer on a connection before frames are held back from it. raft sends again
/// what is lost, and a member that is stuck should find no pile when it goes on.
const MAX_FRAMES_PENDING: u32 = 512;

/// How long nobody leads before it is told: an election takes a fraction of that.
const LEAD_GRACE: Duration = Duration::from_secs(2);

/// What was told of who leads the log.
#[derive(Debug, Default)]
pub(crate) struct LeadTold {
    leader: u64,
    /// Since when nobody is known to lead.
    lost_since: Option<Instant>,
    is_lost: bool,
}

impl Coordinator {
    /// Lets time pass for the log, and notices that it has become our turn to act, or is so no longer.
    pub(crate) fn tend_log(&mut self) {
        self.again = false;
        let now = self.cx.now;
        let Some(log) = self.cx.agreement.log_mut() else {
            return;
        };
        log.handle_time(now);
        let (acts, is_fresh) = (log.may_act(now), log.is_fresh(now));
        self.settle();
        self.tell_lead();
        if acts != std::mem::replace(&mut self.acted, acts) {
            self.cx.touched.extend(self.groups.keys().cloned());
        }
        if !self.was_caught_up && self.has_all_that_is_known() {
            self.was_caught_up = true;
            // Only now may what was saved before be replaced by what came out of the log.
            self.cx.out.changed();
            for group in self.groups.values() {
                group.tell_monitored(&mut self.cx);
            }
        }
        if is_fresh != self.was_fresh {
            self.publish_addresses();
        }
    }

    /// Tells who leads the log when that changes, and when nobody has for a while: then nothing is failed over.
    fn tell_lead(&mut self) {
        let Some(log) = self.cx.agreement.log() else {
            return;
        };
        let (place, now) = (log.place(), self.cx.now);
        let term = place.term;
        let told = &mut self.lead_told;
        if place.leader == 0 {
            let since = *told.lost_since.get_or_insert(now);
            if !told.is_lost && now.since(since) >= LEAD_GRACE {
                told.is_lost = true;
                let seconds = LEAD_GRACE.as_secs();
                let reason = format!(
                    "no member is known to have led the log for {seconds} s, so nothing is failed over and no order is \
                     taken: a majority of the members is not in reach, or this one is not among them"
                );
                let payload = format!("term {term}");
                self.cx
                    .event(EventKind::LogLeaderLost, None, payload, Some(reason));
            }
            return;
        }
        told.lost_since = None;
        let was_lost = std::mem::replace(&mut told.is_lost, false);
        let before = std::mem::replace(&mut told.leader, place.leader);
        let is_news = was_lost || before != place.leader;
        let Some(leader) = is_news.then(|| log.leader()).flatten() else {
            return;
        };
        let payload = match self.cx.members.get(&leader) {
            Some(addr) => {
                let (host, port) = self.cx.names.shown_addr(addr);
                format!("sentinel {leader} {host} {port}")
            }
            None => format!("sentinel {leader}"),
        };
        let who = if place.leads { "this one leads" } else { "it leads" };
        let reason = format!("{who} the log in term {term}");
        self.cx.event(EventKind::LogLeader, None, payload, Some(reason));
    }

    fn has_all_that_is_known(&self) -> bool {
        let log = self.cx.agreement.log();
        log.is_some_and(|log| log.is_caught_up() && !log.has_more())
    }

    /// Sends out what the log has for others and for the disk.
    pub(crate) fn drive_log(&mut self) {
        let cx = &mut self.cx;
        let Some(log) = cx.agreement.log_mut() else {
            return;
        };
        log.settled(cx.now, &cx.registry);
        let mut frames = Vec::new();
        while let Some(frame) = log.poll_frame() {
            frames.push(frame);
        }
        if let Some(write) = log.poll_write() {
            cx.out.push(Effect::WriteLog(Box::new(write)));
        }
        let own = log.own_id();
        for (to, bytes) in frames {
            send_frame(cx, own, &to, bytes);
        }
        let touched = self.cx.touched.len();
        self.settle();
        self.again |= self.cx.touched.len() > touched;
    }

    /// These are the other members from now on. All of them watch all groups.
    pub(crate) fn install_members(&mut self, members: Vec<(SentinelId, Addr)>) {
        let members: BTreeMap<SentinelId, Addr> = members.into_iter().collect();
        let old = std::mem::replace(&mut self.cx.members, members.clone());
        let names: Vec<GroupName> = self.groups.keys().cloned().collect();
        for (id, addr) in &members {
            if !old.contains_key(id) {
                own_peer(&mut self.cx, id, addr);
            }
            for group in &names {
                let (group, id, addr) = (group.clone(), id.clone(), addr.clone());
                self.carry_out(&Decision::SentinelSeen { group, id, addr }, None);
            }
            if let Some(peer) = self.cx.peers.get_mut(id).filter(|peer| peer.addr != *addr) {
                // No group has told it.
                let mut moved = Peer::new(self.cx.now, addr.clone(), peer.shortest_down_after);
                moved.owners = peer.owners;
                let gone = std::mem::replace(peer, moved);
                self.cx.close_link(&gone.link);
            }
            self.cx.wake_peer(id);
        }
        for id in old.keys().filter(|id| !members.contains_key(*id)) {
            for group in &names {
                let (group, id) = (group.clone(), id.clone());
                self.carry_out(&Decision::SentinelForgotten { group, id }, None);
            }
            disown_peer(&mut self.cx, id);
        }
    }

    /// Takes a whole state over. What has changed for groups is told as if it had been decided one by one.
    pub(crate) fn install_state(&mut self, state: Registry) {
        let gone: Vec<GroupName> = self.groups.keys().cloned().collect();
        for group in gone.into_iter().filter(|name| !state.groups.contains_key(name)) {
            self.carry_out(&Decision::Remove { group }, None);
        }
        for (name, record) in &state.groups {
            self.install_group(name, record);
        }
        let registry = &mut self.cx.registry;
        registry.current_epoch = registry.current_epoch.max(state.current_epoch);
        let (ours, theirs) = (&mut registry.globals, state.globals);
        let new_password =
            ours.sentinel_pass != theirs.sentinel_pass || ours.sentinel_user != theirs.sentinel_user;
        ours.resolve_hostnames = theirs.resolve_hostnames;
        ours.announce_hostnames = theirs.announce_hostnames;
        ours.sentinel_pass = theirs.sentinel_pass;
        ours.sentinel_user = theirs.sentinel_user;
        self.cx
            .names
            .set(theirs.resolve_hostnames, theirs.announce_hostnames);
        if new_password {
            reconnect_peers(&mut self.cx, |_| true);
        }
        self.cx.out.changed();
        let epoch = self.cx.registry.current_epoch;
        self.cx.out.decided_epoch(epoch);
        self.cx.touched.extend(self.groups.keys().cloned());
    }

    fn install_group(&mut self, name: &GroupName, record: &GroupRecord) {
        let group = || name.clone();
        if !self.groups.contains_key(name) {
            let (primary, options) = (record.primary.clone(), record.options.clone());
            let group = group();
            self.carry_out(
                &Decision::Monitor {
                    group,
                    primary,
                    options,
                },
                None,
            );
        }
        let Some(ours) = self.cx.registry.groups.get(name).cloned() else {
            return;
        };
        if ours.config_epoch < record.config_epoch {
            let leader = self.cx.agreement.log().and_then(|log| log.leader());
            let decision = Decision::Switch {
                group: group(),
                config_epoch: record.config_epoch,
                primary: record.primary.clone(),
                from: leader.unwrap_or_else(|| self.cx.registry.my_id.clone()),
            };
            self.carry_out(&decision, None);
        }
        let known: Vec<Addr> = self.replicas_of(name);
        for addr in record
            .replicas
            .iter()
            .filter(|addr| !known.contains(addr))
            .cloned()
        {
            self.carry_out(&Decision::ReplicaSeen { group: group(), addr }, None);
        }
        for addr in known.into_iter().filter(|addr| !record.replicas.contains(addr)) {
            self.carry_out(&Decision::ReplicaForgotten { group: group(), addr }, None);
        }
        if let Some(ours) = self.cx.registry.groups.get_mut(name) {
            let sentinels = std::mem::take(&mut ours.sentinels);
            *ours = GroupRecord {
                sentinels,
                ..record.clone()
            };
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.options_replaced(&ours.options, &record.options, &mut self.cx);
        }
    }

    fn replicas_of(&self, name: &GroupName) -> Vec<Addr> {
        let record = self.cx.registry.groups.get(name);
        record.map_or_else(Vec::new, |record| record.replicas.iter().cloned().collect())
    }
}

impl Group {
    /// All options at once have changed.
    fn options_replaced(&mut self, old: &GroupOptions, new: &GroupOptions, cx: &mut Context) {
        self.rules = new.into();
        let credentials = |options: &GroupOptions| {
            let GroupOptions {
                auth_user,
                auth_pass,
                renamed_commands,
                ..
            } = options.clone();
            (auth_user, auth_pass, renamed_commands)
        };
        if credentials(old) != credentials(new) {
            for instance in self.instances.values_mut() {
                instance.link_lost(cx.now);
                cx.drop_link(&mut instance.link);
            }
        }
    }
}

/// A member is connected to whether it watches a group or not.
fn own_peer(cx: &mut Context, id: &SentinelId, addr: &Addr) {
    let now = cx.now;
    let peer = cx
        .peers
        .entry(id.clone())
        .or_insert_with(|| Peer::new(now, addr.clone(), DEFAULT_DOWN_AFTER));
    peer.owners += 1;
}

fn disown_peer(cx: &mut Context, id: &SentinelId) {
    let Some(peer) = cx.peers.get_mut(id) else { return };
    peer.owners = peer.owners.saturating_sub(1);
    if peer.owners == 0
        && let Some(peer) = cx.peers.remove(id)
    {
        cx.close_link(&peer.link);
    }
}

fn send_frame(cx: &mut Context, from: u64, to: &SentinelId, bytes: Vec<u8>) {
    let Some(peer) = cx.peers.get(to) else {
        return;
    };
    let frame = Command::Frame { from, bytes };
    let is_sent = !peer.refuses(cx.now) && cx.send_within(to, frame, false, MAX_FRAMES_PENDING).is_some();
    if !is_sent && let Some(log) = cx.agreement.log_mut() {
        log.unreachable(to);
    }
}

/// A frame of another member.
pub(crate) fn frame_came(cx: &mut Context, token: ClientToken, from: u64, bytes: &[u8]) {
    let now = cx.now;
    let answer = match cx.agreement.log_mut().map(|log| log.receive(now, from, bytes)) {
        None => Answer::Refused(Refusal::NoLog),
        Some(Ok(())) => Answer::Ok,
        Some(Err(problem)) => {
            cx.member_refused(format!("member {from}"), format!("refused here: {problem}"));
            Answer::Refused(Refusal::BadFrame(problem))
        }
    };
    cx.answer_now(token, answer);
}

/// An order about the log itself.
pub(crate) fn log_ordered(cx: &mut Context, token: ClientToken, order: &LogOrder) {
    let now = cx.now;
    let unreachable = is_nowhere(cx, order);
    let outcome = match (cx.agreement.log_mut(), unreachable) {
        (None, _) => Some(Err(Refusal::NoLog)),
        (_, Some(why)) => Some(Err(Refusal::LogOrder(why))),
        (Some(log), None) => log
            .order(now, order, token)
            .map(|done| done.map_err(Refusal::LogOrder)),
    };
    match outcome {
        Some(Ok(())) => cx.answer_now(token, Answer::Ok),
        Some(Err(refusal)) => cx.answer_now(token, Answer::Refused(refusal)),
        None => {}
    }
}

/// Why nobody would reach a member where this order has it.
fn is_nowhere(cx: &Context, order: &LogOrder) -> Option<String> {
    let (LogOrder::Add { host, port, .. } | LogOrder::Move { host, port, .. }) = order else {
        return None;
    };
    let reached = cx.names.parse(host, *port);
    reached.is_none().then(|| {
        format!(
            "'{host}' is no IP address, and names are not resolved: SENTINEL CONFIG SET resolve-hostnames yes"
        )
    })
}

/// `SENTINEL RAFT ACCEPT-FOREIGN <name> <id>`
pub(crate) fn foreign_accepted(cx: &mut Context, token: ClientToken, name: &str, id: &str) {
    let found = cx
        .registry
        .groups
        .get_key_value(name)
        .map(|(name, _)| name.clone());
    let decision = match (cx.agreement.is_by_vote(), found, SentinelId::new(id)) {
        (true, ..) => Err(Refusal::NoLog),
        (_, None, _) => Err(Refusal::NoSuchGroup),
        (.., Err(why)) => Err(Refusal::BadCandidate(why.to_string())),
        (_, Some(group), Ok(id)) => Ok(Decision::AcceptForeign { group, id }),
    };
    match decision {
        Ok(decision) => cx.agreement.propose(decision, Some(token)),
        Err(refusal) => cx.answer_now(token, Answer::Refused(refusal)),
    }
}
