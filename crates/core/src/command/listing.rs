//! Instances as `SENTINEL MASTER` and its like list them: fields, values and order are those of the
//! reference, the only place besides events and INFO where its old words are made.

use crate::addr::Addr;
use crate::context::Context;
use crate::failover::{Cause, Stage};
use crate::group::{Group, View};
use crate::id::SentinelId;
use crate::instance::health::Health;

use crate::instance::link::Link;
use crate::instance::{Following, Instance};
use crate::peer::Peer;
use crate::request::{Answer, Listing, Refusal};
use crate::time::{Instant, whole_millis};

/// The primary of a group.
pub(super) fn primary(group: &Group, cx: &Context) -> Listing {
    let Some(instance) = group.primary_instance() else {
        return Listing::new();
    };
    let mut flags = Flags::default();
    flags.add(instance.is_sdown(), "s_down");
    flags.add(group.odown_since.is_some(), "o_down");
    flags.add(true, "master");
    flags.add(!instance.link.is_up(), "disconnected");
    flags.add(group.run.is_some(), "failover_in_progress");
    flags.add(
        group.run.as_ref().is_some_and(|run| run.cause == Cause::Manual),
        "force_failover",
    );
    flags.add(
        group
            .run
            .as_ref()
            .is_some_and(|run| run.cause == Cause::Coordinated),
        "coordinated_failover",
    );
    flags.add(instance.script_kill_sent, "script_kill_sent");
    flags.add(instance.rebooted_at.is_some(), "master_reboot");
    let mut listing = head(
        cx,
        group.name.as_str(),
        &group.primary,
        instance.run_id.as_deref(),
        flags,
    );
    link_fields(&mut listing, &instance.link, 1);
    if let Some(run) = &group.run {
        listing.push(("failover-state", run.state_name().to_owned()));
    }
    health_fields(&mut listing, cx.now, &instance.health, instance.sdown_since);
    if let Some(since) = group.odown_since {
        listing.push(("o-down-time", age(cx.now, since)));
    }
    listing.push((
        "down-after-milliseconds",
        whole_millis(group.rules.down_after).to_string(),
    ));
    info_fields(&mut listing, cx.now, instance);
    let config_epoch = cx
        .registry
        .groups
        .get(&group.name)
        .map_or(0, |record| record.config_epoch.0);
    listing.push(("config-epoch", config_epoch.to_string()));
    listing.push(("num-slaves", group.replicas().count().to_string()));
    listing.push(("num-other-sentinels", group.views.len().to_string()));
    listing.push(("quorum", group.rules.quorum.to_string()));
    listing.push((
        "failover-timeout",
        whole_millis(group.rules.failover_timeout).to_string(),
    ));
    listing.push(("parallel-syncs", group.rules.parallel_syncs.to_string()));
    let options = cx.registry.groups.get(&group.name).map(|record| &record.options);
    let scripts = options.map(|options| {
        [
            ("notification-script", &options.notification_script),
            ("client-reconfig-script", &options.client_reconfig_script),
        ]
    });
    for (field, script) in scripts.into_iter().flatten() {
        listing.extend(script.clone().map(|path| (field, path)));
    }
    listing
}

/// The replicas of a group, except those that do not want to be announced.
pub(super) fn replicas(group: &Group, cx: &Context) -> Vec<Listing> {
    group
        .replicas()
        .filter(|(_, replica)| replica.announced())
        .map(|(addr, replica)| one_replica(group, cx, addr, replica))
        .collect()
}

fn one_replica(group: &Group, cx: &Context, addr: &Addr, replica: &Instance) -> Listing {
    let promoted = matches!(
        group.run.as_ref().map(|run| &run.stage),
        Some(Stage::Promoting { candidate, .. }) if candidate == addr
    );
    let mut flags = Flags::default();
    flags.add(replica.is_sdown(), "s_down");
    flags.add(true, "slave");
    flags.add(!replica.link.is_up(), "disconnected");
    flags.add(promoted, "promoted");
    flags.add(matches!(replica.following, Following::Sent(_)), "reconf_sent");
    flags.add(
        matches!(replica.following, Following::InProgress(_)),
        "reconf_inprog",
    );
    flags.add(replica.following == Following::Done, "reconf_done");
    flags.add(replica.script_kill_sent, "script_kill_sent");
    let mut listing = head(cx, &cx.replica_name(addr), addr, replica.run_id.as_deref(), flags);
    link_fields(&mut listing, &replica.link, 1);
    health_fields(&mut listing, cx.now, &replica.health, replica.sdown_since);
    listing.push((
        "down-after-milliseconds",
        whole_millis(group.rules.down_after).to_string(),
    ));
    info_fields(&mut listing, cx.now, replica);
    let info = &replica.info;
    listing.push((
        "master-link-down-time",
        (info.link_down_s.saturating_mul(1000)).to_string(),
    ));
    listing.push((
        "master-link-status",
        if info.link_up { "ok" } else { "err" }.to_owned(),
    ));
    listing.push((
        "master-host",
        info.primary_host.clone().unwrap_or_else(|| "?".to_owned()),
    ));
    listing.push(("master-port", info.primary_port.to_string()));
    listing.push(("slave-priority", replica.priority().to_string()));
    listing.push(("slave-repl-offset", info.replica_offset.unwrap_or(0).to_string()));
    listing.push(("replica-announced", u8::from(replica.announced()).to_string()));
    listing
}

/// The other sentinels of a group.
pub(super) fn sentinels(group: &Group, cx: &Context) -> Vec<Listing> {
    group
        .views
        .iter()
        .filter_map(|(id, view)| {
            cx.peers
                .get(id)
                .map(|peer| one_sentinel(group, cx, (id, view), peer))
        })
        .collect()
}

fn one_sentinel(group: &Group, cx: &Context, (id, view): (&SentinelId, &View), peer: &Peer) -> Listing {
    let mut flags = Flags::default();
    flags.add(view.sdown_since.is_some(), "s_down");
    flags.add(true, "sentinel");
    flags.add(!peer.link.is_up(), "disconnected");
    flags.add(view.says_down, "master_down");
    let mut listing = head(cx, id.as_str(), &peer.addr, Some(id.as_str()), flags);
    link_fields(&mut listing, &peer.link, peer.owners);
    health_fields(&mut listing, cx.now, &peer.health, view.sdown_since);
    listing.push((
        "down-after-milliseconds",
        whole_millis(group.rules.down_after).to_string(),
    ));
    listing.push(("last-hello-message", age(cx.now, view.hello_at)));
    let (leader, epoch) = match &view.vote {
        Some((leader, epoch)) => (leader.to_string(), epoch.0),
        None => ("?".to_owned(), 0),
    };
    listing.push(("voted-leader", leader));
    listing.push(("voted-leader-epoch", epoch.to_string()));
    listing
}

/// `SENTINEL CKQUORUM`. As Sentinel, a sentinel that is only disconnected counts as usable. Where a log is shared,
/// a majority of its members is needed as well: some of those that answer may take no part in it.
pub(super) fn check_quorum(group: &Group, cx: &Context) -> Answer {
    let voters = group.views.len() + 1;
    let usable = 1 + group
        .views
        .values()
        .filter(|view| view.sdown_since.is_none())
        .count();
    let mut lacks = Vec::new();
    if usable < group.rules.quorum as usize {
        lacks.push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if usable < voters / 2 + 1 {
        lacks.push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    let log = cx.agreement.log().map(|log| log.status(cx.now));
    if log.is_some_and(|log| log.apart().is_some()) {
        lacks.push("No majority of the members of the log in reach");
    }
    if lacks.is_empty() {
        let text = format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached");
        return Answer::Status(text);
    }
    Answer::Refused(Refusal::NoQuorum(format!(
        "{usable} usable Sentinels. {}",
        lacks.join(". ")
    )))
}

#[derive(Default)]
struct Flags(Vec<&'static str>);

impl Flags {
    fn add(&mut self, is_set: bool, word: &'static str) {
        if is_set {
            self.0.push(word);
        }
    }
}

fn head(cx: &Context, name: &str, addr: &Addr, run_id: Option<&str>, flags: Flags) -> Listing {
    let (host, port) = cx.names.shown_addr(addr);
    vec![
        ("name", name.to_owned()),
        ("ip", host),
        ("port", port.to_string()),
        ("runid", run_id.unwrap_or_default().to_owned()),
        ("flags", flags.0.join(",")),
    ]
}

fn link_fields(listing: &mut Listing, link: &Link, owners: usize) {
    listing.push(("link-pending-commands", link.pending().to_string()));
    listing.push(("link-refcount", owners.to_string()));
}

fn health_fields(listing: &mut Listing, now: Instant, health: &Health, sdown_since: Option<Instant>) {
    listing.push(("last-ping-sent", whole_millis(health.silent_for(now)).to_string()));
    listing.push(("last-ok-ping-reply", age(now, health.last_ok())));
    listing.push(("last-ping-reply", age(now, health.last_reply())));
    if let Some(since) = sdown_since {
        listing.push(("s-down-time", age(now, since)));
    }
}

fn info_fields(listing: &mut Listing, now: Instant, instance: &Instance) {
    listing.push((
        "info-refresh",
        instance.info_at.map_or_else(|| "0".to_owned(), |at| age(now, at)),
    ));
    listing.push(("role-reported", instance.role.wire().to_owned()));
    listing.push(("role-reported-time", age(now, instance.role_since)));
}

fn age(now: Instant, since: Instant) -> String {
    now.millis_since(since).to_string()
}
