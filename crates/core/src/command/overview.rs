//! The whole state at once, and the `# Sentinel` section of `INFO`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::addr::Addr;
use crate::context::Context;
use crate::group::Group;
use crate::id::GroupName;
use crate::instance::Instance;
use crate::instance::info::Role;
use crate::overview::{
    ForeignOverview, GroupOverview, InstanceOverview, Overview, ReplicationOverview, SentinelOverview,
};
use crate::request::CachedInfo;
use crate::time::{Instant, whole_millis};

/// Everything.
pub(super) fn overview(groups: &BTreeMap<GroupName, Group>, cx: &Context) -> Overview {
    Overview {
        id: cx.registry.my_id.to_string(),
        current_epoch: cx.registry.current_epoch.0,
        coordination: cx.agreement.name(),
        tilt: cx.tilt.is_on(),
        tilt_total: cx.tilt.total(),
        save_error: cx.out.save_error().map(str::to_owned),
        dropped_events: cx.out.dropped(),
        odd_inputs: cx.odd_inputs,
        link_failures: cx.link_failures,
        log: cx.agreement.log().map(|log| log.status(cx.now)),
        groups: groups.values().map(|group| one_group(group, cx)).collect(),
    }
}

fn one_group(group: &Group, cx: &Context) -> GroupOverview {
    let record = cx.registry.groups.get(&group.name);
    let instance = |addr: &Addr| {
        group
            .instances
            .get(addr)
            .map(|instance| one_instance(group, cx, addr, instance))
    };
    let (host, port) = cx.names.shown_addr(&group.primary);
    GroupOverview {
        name: group.name.to_string(),
        quorum: group.rules.quorum,
        config_epoch: record.map_or(0, |record| record.config_epoch.0),
        down_after_ms: whole_millis(group.rules.down_after),
        failover_timeout_ms: whole_millis(group.rules.failover_timeout),
        parallel_syncs: group.rules.parallel_syncs,
        odown_ms: group.odown_since.map(|at| cx.now.millis_since(at)),
        failover_state: group.run.as_ref().map(|run| run.state_name()),
        primary: instance(&group.primary).unwrap_or_else(|| unknown(host, port)),
        replicas: group.replicas().filter_map(|(addr, _)| instance(addr)).collect(),
        sentinels: sentinels(group, cx),
        foreign: foreign(group, cx),
        history: record
            .map(|record| record.history.iter().cloned().collect())
            .unwrap_or_default(),
    }
}

fn foreign(group: &Group, cx: &Context) -> Vec<ForeignOverview> {
    let known = group.foreign_sentinels(cx).into_iter();
    known
        .map(|(id, addr, accepted)| {
            let (host, port) = cx.names.shown_addr(&addr);
            ForeignOverview {
                id: id.to_string(),
                host,
                port,
                accepted,
            }
        })
        .collect()
}

/// An instance of which nothing is known.
fn unknown(host: String, port: u16) -> InstanceOverview {
    InstanceOverview {
        host,
        port,
        connected: false,
        sdown_ms: None,
        last_ok_ping_ms: 0,
        info_age_ms: None,
        role_reported: Role::Primary.wire(),
        run_id: None,
        repl_offset: 0,
        replication: None,
    }
}

fn one_instance(group: &Group, cx: &Context, addr: &Addr, instance: &Instance) -> InstanceOverview {
    let (host, port) = cx.names.shown_addr(addr);
    let age = |at: Instant| cx.now.millis_since(at);
    InstanceOverview {
        connected: instance.link.is_up(),
        sdown_ms: instance.sdown_since.map(age),
        last_ok_ping_ms: age(instance.health.last_ok()),
        info_age_ms: instance.info_at.map(age),
        role_reported: instance.role.wire(),
        run_id: instance.run_id.as_ref().map(ToString::to_string),
        repl_offset: instance.info.offset(),
        replication: (*addr != group.primary).then(|| replication(group, cx, addr, instance)),
        ..unknown(host, port)
    }
}

fn replication(group: &Group, cx: &Context, addr: &Addr, instance: &Instance) -> ReplicationOverview {
    let primary = group.primary_instance().map(|primary| &primary.info);
    let line = primary.and_then(|info| {
        info.replicas
            .iter()
            .find(|line| Addr::parse(&line.host, line.port).is_some_and(|told| cx.names.same(&told, addr)))
    });
    let offset = primary.and_then(|info| info.primary_offset);
    ReplicationOverview {
        primary_host: instance.info.primary_host.clone(),
        primary_port: instance.info.primary_port,
        link_up: instance.info.link_up,
        link_down_s: instance.info.link_down_s,
        priority: instance.priority(),
        lag_bytes: offset
            .zip(line.and_then(|line| line.offset))
            .map(|(all, got)| all.saturating_sub(got)),
        lag_s: line.and_then(|line| line.lag_s),
    }
}

fn sentinels(group: &Group, cx: &Context) -> Vec<SentinelOverview> {
    let one = |(id, view): (&crate::id::SentinelId, &crate::group::View)| {
        let peer = cx.peers.get(id)?;
        let (host, port) = cx.names.shown_addr(&peer.addr);
        Some(SentinelOverview {
            id: id.to_string(),
            host,
            port,
            connected: peer.link.is_up(),
            sdown_ms: view.sdown_since.map(|at| cx.now.millis_since(at)),
            last_ok_ping_ms: cx.now.millis_since(peer.health.last_ok()),
            last_hello_ms: cx.now.millis_since(view.hello_at),
        })
    };
    group.views.iter().filter_map(one).collect()
}

/// The last INFO of the primary and of each replica of the groups of these names, each group once.
pub(super) fn info_cache(
    groups: &BTreeMap<GroupName, Group>,
    cx: &Context,
    names: &[String],
) -> Vec<(String, Vec<CachedInfo>)> {
    let cached = |instance: &Instance| match instance.info_at {
        Some(at) => (cx.now.millis_since(at), instance.info_text.clone()),
        None => (0, None),
    };
    let mut known: Vec<&Group> = names
        .iter()
        .filter_map(|name| groups.get(name.as_str()))
        .collect();
    known.sort_by_key(|group| &group.name);
    known.dedup_by_key(|group| &group.name);
    let all = |group: &&Group| {
        let replicas = group.replicas().map(|(_, instance)| cached(instance));
        let entries = group
            .primary_instance()
            .map(cached)
            .into_iter()
            .chain(replicas)
            .collect();
        (group.name.to_string(), entries)
    };
    known.iter().map(all).collect()
}

/// The lines of the `# Sentinel` section of `INFO`, without its title.
pub(super) fn info_section(
    groups: &BTreeMap<GroupName, Group>,
    cx: &Context,
    running_scripts: usize,
    queued_scripts: usize,
) -> String {
    let tilt_since = cx.tilt.since().map_or(-1, |at| {
        i64::try_from(cx.now.since(at).as_secs()).unwrap_or(i64::MAX)
    });
    let mut text = format!(
        "sentinel_masters:{}\r\nsentinel_tilt:{}\r\nsentinel_tilt_since_seconds:{tilt_since}\r\n\
         sentinel_total_tilt:{}\r\nsentinel_running_scripts:{running_scripts}\r\nsentinel_scripts_queue_length:{queued_scripts}\r\n\
         sentinel_simulate_failure_flags:{}\r\n",
        groups.len(),
        u8::from(cx.tilt.is_on()),
        cx.tilt.total(),
        cx.crash_points.bits(),
    );
    // Only while there is trouble, so that nobody's parser meets them on a good day. Writing to a text cannot fail.
    if let Some(reason) = cx.out.save_error() {
        let reason = reason.replace(['\r', '\n'], " ");
        let _ = write!(text, "bellwether_save_failed:{reason}\r\n");
    }
    if let Some(ago) = cx.id_taken_ago() {
        let _ = write!(text, "bellwether_id_taken_seconds_ago:{}\r\n", ago.as_secs());
    }
    for group in groups.values() {
        let foreign = group.foreign_sentinels(cx).into_iter();
        for (id, addr, _) in foreign.filter(|(.., accepted)| !accepted) {
            let (host, port) = cx.names.shown_addr(&addr);
            let name = &group.name;
            let _ = write!(
                text,
                "bellwether_foreign_sentinel:group={name},id={id},address={host}:{port}\r\n"
            );
        }
    }
    for (i, group) in groups.values().enumerate() {
        let status = match (group.odown_since, group.primary_is_sdown()) {
            (Some(_), _) => "odown",
            (None, true) => "sdown",
            (None, false) => "ok",
        };
        let (host, port) = cx.names.shown_addr(&group.primary);
        let (replicas, sentinels) = (group.replicas().count(), group.views.len() + 1);
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "master{i}:name={},status={status},address={host}:{port},slaves={replicas},sentinels={sentinels}\r\n",
            group.name
        );
    }
    text
}
