//! The periodic traffic, and what single replies mean: facts about instances, and their subjective state.

use std::net::IpAddr;
use std::time::Duration;

use crate::addr::Addr;
use crate::bugs::{self, Bug};
use crate::context::Context;
use crate::decision::Decision;
use crate::effect::Command;
use crate::event::EventKind;
use crate::failover::{HAND_OVER_INFO_PERIOD, Stage};
use crate::group::Group;
use crate::id::{GroupName, RequestId};
use crate::input::{Pong, Reply};
use crate::instance::health::{Health, ping_period};
use crate::instance::hello::Hello;
use crate::instance::info::{Info, Role};
use crate::instance::link::Link;
use crate::instance::{Following, Instance};

use crate::registry::MAX_REPLICAS;
use crate::time::Instant;

/// How often INFO is asked for in restless times: a failover, a down primary, a replica without its primary,
/// a primary whose replicas are not known yet. As the reference.
const RESTLESS_INFO_PERIOD: Duration = Duration::from_secs(1);
/// For how long a primary counts as new. Its replicas come one after the other, and one that nobody has found yet when
/// the primary dies is one too few to choose from, and follows a dead primary for ever.
const NEW_PRIMARY: Duration = Duration::from_secs(10);
/// How often a server is asked whether it has done what it was told. Promotion takes a millisecond where all
/// is well; more would only add load where it is not.
const STEP_INFO_PERIOD: Duration = Duration::from_millis(50);

/// For how long a subscription may be silent, our own hellos included, before it is set up anew. As the reference.
const MAX_HELLO_SILENCE: Duration = Duration::from_secs(6);
/// How long a primary may claim to be a replica, beyond its `down-after-milliseconds`: five answers to INFO. The
/// reference waits for 20 s, because it asks every 10 s; that long nobody can write.
const ROLE_GRACE: Duration = Duration::from_secs(5);

/// In what a server says if it is told to end a hand-over and has none.
const NOTHING_TO_ABORT: &str = "No failover in progress";

impl Group {
    /// Sends everything that is due to instances and sentinels.
    pub(crate) fn talk(&mut self, cx: &mut Context) {
        let ping_period = ping_period(self.rules.down_after, cx.tunables.ping_period);
        let successor = self.successor();
        let periods: Vec<Duration> = self
            .instances
            .iter()
            .map(|(addr, instance)| self.info_period(addr, instance, cx.tunables.info_period, cx.now))
            .collect();
        for ((addr, instance), info_period) in self.instances.iter_mut().zip(periods) {
            if !instance.link.is_up() {
                continue;
            }
            if recycle_if_stuck(instance, self.rules.down_after, cx) || !instance.link.has_room() {
                continue;
            }
            let mut commands = Vec::new();
            if instance
                .health
                .ping_due_at(ping_period)
                .is_some_and(|at| cx.due(at))
            {
                instance.health.ping_sent(cx.now);
                cx.wake_at(cx.now + ping_period);
                commands.push(Command::Ping);
            }
            if info_due(instance, info_period, cx) {
                instance.info_asked_at = Some(cx.now);
                instance.info_wanted = false;
                commands.push(if Some(addr) == successor.as_ref() {
                    Command::InfoAndAck
                } else {
                    Command::Info
                });
            }
            cx.send(&mut instance.link, commands, false);
        }
        self.greet(cx);
    }

    /// Sends a hello to everybody to whom one is due. While the state cannot be saved none goes out: what it
    /// would tell is not on disk.
    fn greet(&mut self, cx: &mut Context) {
        if cx.out.is_stuck() {
            return;
        }
        let durable = !bugs::has(Bug::AnnounceBeforeDurable);
        let silenced = [self.paused_server(), self.hushed_server(cx)];
        let mut hello = HelloText::default();
        for (addr, instance) in &mut self.instances {
            // Everything behind the message would wait with it, and an order that ends the hand-over, too.
            let waits = instance.info.hand_over.is_under_way();
            if waits || silenced.iter().flatten().any(|silenced| silenced == addr) {
                continue;
            }
            let Some((_, local)) = instance.link.up().filter(|_| instance.link.has_room()) else {
                continue;
            };
            let due = instance
                .hello_sent_at
                .map_or(Instant::ZERO, |at| at + cx.tunables.publish_period);
            if !cx.due(due) {
                continue;
            }
            instance.hello_sent_at = Some(cx.now);
            let message = hello.text(&self.name, &self.primary, local, cx);
            cx.send(&mut instance.link, vec![Command::Hello { message }], durable);
        }
        for (id, view) in &mut self.views {
            let Some((_, local)) = cx.peers.get(id).and_then(|peer| peer.link.up()) else {
                continue;
            };
            let due = view
                .hello_sent_at
                .map_or(Instant::ZERO, |at| at + cx.tunables.publish_period);
            if !cx.due(due) {
                continue;
            }
            view.hello_sent_at = Some(cx.now);
            let message = hello.text(&self.name, &self.primary, local, cx);
            cx.send_to_peer(id, Command::Hello { message }, durable);
        }
    }

    /// Sends a hello to everybody at once: there is news.
    pub(crate) fn spread_news(&mut self, cx: &mut Context) {
        for instance in self.instances.values_mut() {
            instance.hello_sent_at = None;
        }
        for view in self.views.values_mut() {
            view.hello_sent_at = None;
        }
        self.greet(cx);
    }

    /// How often this instance is asked for INFO at the moment.
    fn info_period(&self, addr: &Addr, instance: &Instance, quiet: Duration, now: Instant) -> Duration {
        let told = matches!(instance.following, Following::Sent(_) | Following::InProgress(_));
        match self.run.as_ref().map(|run| &run.stage) {
            Some(Stage::Promoting { candidate, .. }) if candidate == addr => {
                return if self.is_handing_over() {
                    HAND_OVER_INFO_PERIOD
                } else {
                    STEP_INFO_PERIOD
                };
            }
            Some(Stage::Reconfiguring { .. }) if told => return STEP_INFO_PERIOD,
            _ => {}
        }
        let is_primary = *addr == self.primary;
        let restless = if is_primary {
            let is_new = now.since(self.config_changed_at) < NEW_PRIMARY;
            let hands_over = instance.info.hand_over.is_under_way();
            is_new
                || self.hushed.is_some()
                || self.instances.len() == 1
                || instance.role == Role::Replica
                || hands_over
        } else {
            let strays = instance.role == Role::Primary || !instance.info.link_up;
            self.odown_since.is_some() || self.run.is_some() || strays
        };
        if restless {
            RESTLESS_INFO_PERIOD.min(quiet)
        } else {
            quiet
        }
    }

    /// Asks all replicas for INFO at once.
    pub(crate) fn want_replica_info(&mut self) {
        let primary = &self.primary;
        for (_, replica) in self.instances.iter_mut().filter(|(addr, _)| *addr != primary) {
            replica.info_wanted = true;
        }
    }

    /// Finds out who is subjectively down, and who no longer is.
    pub(crate) fn judge_instances(&mut self, cx: &mut Context) {
        let mut changed = Vec::new();
        for (addr, instance) in &self.instances {
            let role = self.role_of(addr);
            let silent = is_silent(instance.health.unanswered_since(), self.rules.down_after, cx);
            let turncoat = role == Role::Primary
                && instance.role == Role::Replica
                && cx.due(instance.role_since + self.rules.down_after + ROLE_GRACE);
            let reboot_down_after = self.rules.reboot_down_after;
            let rebooted_at = instance
                .rebooted_at
                .filter(|_| role == Role::Primary && !reboot_down_after.is_zero());
            let rebooting = rebooted_at.is_some_and(|at| cx.due(at + reboot_down_after));
            if (silent || turncoat || rebooting) != instance.is_sdown() {
                changed.push((addr.clone(), role, [silent, turncoat, rebooting]));
            }
        }
        for (addr, role, [silent, turncoat, rebooting]) in changed {
            let down = silent || turncoat || rebooting;
            let alone = self
                .lacks_sentinels(cx)
                .filter(|_| role == Role::Primary)
                .unwrap_or_default();
            let Some(instance) = self.instances.get_mut(&addr) else {
                continue;
            };
            if down {
                instance.sdown_since = Some(cx.now);
                instance.last_down_at = Some(cx.now);
            } else {
                instance.sdown_since = None;
                instance.script_kill_sent = false;
                instance.info_wanted = true;
            }
            let reason = if rebooting && !silent {
                "it started anew and has not become well in time".to_owned()
            } else if turncoat && !silent {
                "it claims to be a replica although it is held as the primary".to_owned()
            } else if down {
                format!("{}{alone}", why_silent(&instance.health, &instance.link, cx.now))
            } else {
                "it answers again".to_owned()
            };
            let kind = if down {
                EventKind::SubjectivelyDown
            } else {
                EventKind::SubjectivelyUp
            };
            let payload = self.describe(cx, &addr);
            cx.event(kind, Some(&self.name), payload, Some(reason));
            if down && role == Role::Primary {
                self.want_replica_info();
                self.want_verdicts();
            }
        }
    }

    /// What follows, for people, from there being too few sentinels for the quorum.
    fn lacks_sentinels(&self, cx: &Context) -> Option<String> {
        let connected = |id| cx.peers.get(id).is_some_and(|peer| peer.link.is_up());
        let there = 1 + self.views.keys().filter(|id| connected(*id)).count();
        (there < self.rules.quorum as usize).then(|| {
            format!(
                "; {} sentinels have to agree, and {there} of {} can be reached",
                self.rules.quorum,
                self.views.len() + 1
            )
        })
    }

    /// Takes in the reply to a command on an instance's link.
    pub(crate) fn instance_replied(
        &mut self,
        addr: &Addr,
        request: RequestId,
        reply: Reply,
        cx: &mut Context,
    ) {
        let Some(instance) = self.instances.get_mut(addr) else {
            return;
        };
        instance.link.replied();
        if instance.abort_by == Some(request) {
            return self.abort_answered(addr, reply, cx);
        }
        match reply {
            Reply::Ping(pong) => self.ponged(addr, &pong, cx),
            Reply::Info(text) => self.informed(addr, &text, cx),
            Reply::Done => instance.published_at = Some(cx.now),
            Reply::Refused(words) => self.refused(addr, request, &words, cx),
            Reply::Verdict(_) => cx.odd(Some(&self.name), format!("a verdict from the server {addr}")),
            Reply::Odd(what) => {
                instance.info_asked_at = None;
                cx.odd(Some(&self.name), format!("{addr}: {what}"));
            }
        }
    }

    fn ponged(&mut self, addr: &Addr, pong: &Pong, cx: &mut Context) {
        let Some(instance) = self.instances.get_mut(addr) else {
            return;
        };
        let well = matches!(pong, Pong::Pong | Pong::Loading | Pong::PrimaryDown);
        let was_late =
            instance.health.silent_for(cx.now) >= ping_period(self.rules.down_after, cx.tunables.ping_period);
        instance.health.answered(cx.now, well);
        if well {
            instance.link.proved_well();
            if *pong == Pong::Pong {
                instance.rebooted_at = None;
            }
        } else {
            let hint = match pong {
                Pong::Refused(words) if is_about_credentials(words) => ", see auth-user and auth-pass",
                _ => "",
            };
            instance.link.is_troubled(&format!("{pong}{hint}"));
        }
        if *pong == Pong::Busy && instance.is_sdown() && !instance.script_kill_sent {
            instance.script_kill_sent = true;
            cx.send(&mut instance.link, vec![Command::ScriptKill], false);
        }
        // A ping that was answered within its time changes nothing that must be looked at now.
        if instance.is_sdown() || !well || was_late {
            cx.touch(&self.name);
        }
    }

    /// A server has ended its hand-over, or says that there is none: both is well.
    fn abort_answered(&mut self, addr: &Addr, reply: Reply, cx: &mut Context) {
        if let Some(instance) = self.instances.get_mut(addr) {
            instance.abort_by = None;
            instance.abort_answered_at = Some(cx.now);
        }
        if let Reply::Refused(words) = reply
            && !words.contains(NOTHING_TO_ABORT)
        {
            cx.odd(
                Some(&self.name),
                format!("{addr} refused to end its hand-over: {words}"),
            );
        }
        cx.touch(&self.name);
    }

    fn refused(&mut self, addr: &Addr, request: RequestId, words: &str, cx: &mut Context) {
        let Some(instance) = self.instances.get_mut(addr) else {
            return;
        };
        instance.info_asked_at = None;
        if instance.told_by == Some(request) {
            instance.told_by = None;
            if matches!(instance.following, Following::Sent(_)) {
                // It will not follow by being waited for: the next one has its turn, and the repairs see to it.
                instance.following = Following::Done;
            }
            let payload = format!("{} {words}", self.describe(cx, addr));
            cx.event(EventKind::ReconfigureRefused, Some(&self.name), payload, None);
            self.promotion_refused(addr, cx);
            cx.touch(&self.name);
        } else {
            cx.odd(Some(&self.name), format!("{addr} refused a command: {words}"));
        }
    }

    /// Takes in a whole INFO text.
    pub(crate) fn informed(&mut self, addr: &Addr, text: &str, cx: &mut Context) {
        let held_as = self.role_of(addr);
        let Some(instance) = self.instances.get_mut(addr) else {
            return;
        };
        let info = Info::parse(text);
        instance.info_text = Some(text.into());
        instance.info_at = Some(cx.now);
        instance.info_asked_at = None;
        let rebooted = info.run_id.is_some() && instance.run_id.is_some() && info.run_id != instance.run_id;
        let is_first = instance.run_id.is_none();
        if info.run_id.is_some() {
            instance.run_id.clone_from(&info.run_id);
        }
        instance.kin = if is_first {
            held_as == Role::Primary
        } else {
            instance.kin && (!rebooted || info.shares_lineage(&instance.info))
        };
        let moved = (&info.primary_host, info.primary_port)
            != (&instance.info.primary_host, instance.info.primary_port);
        if moved {
            instance.primary_changed_at = cx.now;
        }
        let role = info.role.unwrap_or(Role::Replica);
        let turned = role != instance.role;
        if turned {
            instance.role = role;
            instance.role_since = cx.now;
            if role == Role::Replica {
                instance.primary_changed_at = cx.now;
            }
        }
        instance.handing_over_since = info
            .hand_over
            .is_under_way()
            .then(|| instance.handing_over_since.unwrap_or(cx.now));
        instance.was_replica = role == Role::Replica || (instance.was_replica && !rebooted);
        instance.info = info;
        if held_as == Role::Replica {
            self.note_kin(addr);
            self.note_elsewhere(addr, cx);
        }
        if rebooted {
            let watched = held_as == Role::Primary && !self.rules.reboot_down_after.is_zero();
            if let Some(instance) = self.instances.get_mut(addr).filter(|_| watched) {
                instance.rebooted_at = Some(cx.now);
            }
            let payload = self.describe(cx, addr);
            cx.event(EventKind::Reboot, Some(&self.name), payload, None);
        }
        if turned {
            let kind = if role == held_as {
                EventKind::RoleAsExpected
            } else {
                EventKind::RoleUnexpected
            };
            let payload = format!("{} new reported role is {}", self.describe(cx, addr), role.wire());
            cx.event(kind, Some(&self.name), payload, None);
        }
        // Unlike Sentinel, a primary that claims to be a replica names none: its own replicas belong to a chain, not
        // to this group. Those of a former primary are ours: they were found by nobody while it was the primary.
        let is_primary = held_as == Role::Primary && role == Role::Primary;
        let was_primary = self
            .instances
            .get(addr)
            .is_some_and(|instance| instance.was_primary && instance.kin);
        if is_primary || (held_as == Role::Replica && was_primary) {
            let named = self.discover_replicas(addr, cx);
            if is_primary {
                self.confirm_replicas(&named, cx);
            }
        }
        cx.touch(&self.name);
    }

    /// Finds the replicas that a server names, and tells all that it names.
    fn discover_replicas(&self, addr: &Addr, cx: &mut Context) -> Vec<Addr> {
        let Some(instance) = self.instances.get(addr) else {
            return Vec::new();
        };
        let named: Vec<Addr> = {
            let lines = instance.info.replicas.iter();
            lines
                .filter_map(|line| cx.names.parse(&line.host, line.port))
                .collect()
        };
        let mut found: Vec<&Addr> = Vec::new();
        for replica in &named {
            if let crate::addr::Host::Name(name) = &replica.host {
                cx.look_up(name);
            }
            if self.find_instance(cx, replica).is_none() && !found.contains(&replica) {
                found.push(replica);
            }
        }
        let room = MAX_REPLICAS.saturating_sub(self.instances.len());
        for addr in found.into_iter().take(room).cloned() {
            cx.propose(Decision::ReplicaSeen {
                group: self.name.clone(),
                addr,
            });
        }
        named
    }
}

/// Our hello for a group: the same on all links that leave from one address of ours, and that is nearly always all.
#[derive(Default)]
struct HelloText(Option<(IpAddr, String)>);

impl HelloText {
    /// The text for a link on which our own address is `local`.
    fn text(&mut self, group: &GroupName, primary: &Addr, local: IpAddr, cx: &mut Context) -> String {
        match &self.0 {
            Some((known, text)) if *known == local => text.clone(),
            _ => {
                let text = hello_message(group, primary, local, cx);
                self.0 = Some((local, text.clone()));
                text
            }
        }
    }
}

/// Our hello for a group, as told on a link on which our own address is `local`.
fn hello_message(group: &GroupName, primary: &Addr, local: IpAddr, cx: &mut Context) -> String {
    let (primary_host, primary_port) = cx.names.shown_addr(primary);
    let globals = &cx.registry.globals;
    let host = match &globals.announce_ip {
        Some(host) => host,
        None => &local.to_string(),
    };
    let port = if globals.announce_port == 0 {
        cx.settings.listen_port
    } else {
        globals.announce_port
    };
    let record = cx.registry.groups.get(group);
    let told = record.filter(|_| !bugs::has(Bug::HelloWithoutConfigEpoch));
    let message = Hello {
        host,
        port,
        id: cx.registry.my_id.as_str(),
        current_epoch: cx.registry.current_epoch.0,
        group: group.as_str(),
        primary_host: &primary_host,
        primary_port,
        config_epoch: told.map_or(0, |record| record.config_epoch.0),
    }
    .to_string();
    cx.announced(&message);
    message
}

/// Whether something that owes an answer since `since` counts as down.
pub(crate) fn is_silent(since: Option<Instant>, down_after: Duration, cx: &mut Context) -> bool {
    since.is_some_and(|since| cx.due(since + down_after))
}

/// Why something counts as down, for people.
pub(crate) fn why_silent(health: &Health, link: &Link, now: Instant) -> String {
    let silent_ms = health.silent_for(now).as_millis();
    format!("no good answer for {silent_ms} ms: {}", link.trouble())
}

/// Whether a server speaks of the user and password that it was given, or not given.
fn is_about_credentials(words: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"]
        .iter()
        .any(|code| words.starts_with(code))
}

fn info_due(instance: &Instance, period: Duration, cx: &mut Context) -> bool {
    if instance.info_asked_at.is_some() {
        return false;
    }
    let due = match instance.info_at {
        Some(at) if !instance.info_wanted => at + period,
        _ => Instant::ZERO,
    };
    cx.due(due)
}

/// Drops a link that has proved useless: a ping or the subscription has been silent on it for too long.
fn recycle_if_stuck(instance: &mut Instance, down_after: Duration, cx: &mut Context) -> bool {
    let Some(up_since) = instance.link.up_since() else {
        return false;
    };
    if cx.now.since(up_since) < cx.tunables.min_link_age {
        return false;
    }
    let half = down_after / 2;
    let deaf =
        instance.health.ping_outstanding(cx.now) > half && cx.now.since(instance.health.last_reply()) > half;
    let published = instance
        .published_at
        .is_some_and(|at| cx.now.since(at) < MAX_HELLO_SILENCE);
    let heard_at = instance.hello_heard_at.map_or(up_since, |at| at.max(up_since));
    let mute = published && cx.now.since(heard_at) > MAX_HELLO_SILENCE;
    if deaf || mute {
        instance.link_lost(cx.now);
        cx.drop_link(&mut instance.link);
    }
    deaf || mute
}
