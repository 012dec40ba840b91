//! How things are, read from an overview at each scrape. Each metric stands beside the way to read it.

use std::collections::BTreeSet;

use bellwether_core::{GroupOverview, InstanceOverview, Overview, SentinelOverview};

use super::text::Text;
use super::{Definition, log};
use crate::convert::{address, link_down_for_s};

const DRIVER_UP: Definition = Definition::gauge(
    "bellwether_driver_up",
    &[],
    "Whether the coordinator answered this scrape in time; without that, no figures of groups are shown.",
);

const COORDINATOR_INFO: Definition = Definition::gauge(
    "bellwether_coordinator_info",
    &["id", "coordination"],
    "Always 1; the labels tell the id and how decisions are agreed on.",
);

const GROUP_PRIMARY_INFO: Definition = Definition::gauge(
    "bellwether_group_primary_info",
    &["group", "address"],
    "Always 1; the label address tells where the primary is.",
);

/// A metric and how to read it.
pub(super) type Reading<From, Value> = (Definition, fn(&From) -> Value);

/// Figures of the coordinator itself.
const COORDINATOR: &[Reading<Overview, f64>] = &[
    (
        Definition::gauge("bellwether_current_epoch", &[], "The highest epoch seen."),
        |overview| overview.current_epoch as f64,
    ),
    (
        Definition::gauge(
            "bellwether_tilt",
            &[],
            "Whether observations are not trusted because this process did not run for a while.",
        ),
        |overview| truth(overview.tilt),
    ),
    (
        Definition::counter(
            "bellwether_tilts_total",
            &[],
            "How often observations were not trusted.",
        ),
        |overview| overview.tilt_total as f64,
    ),
    (
        Definition::gauge(
            "bellwether_save_failing",
            &[],
            "Whether the last attempt to save the state failed, so that no vote can be given.",
        ),
        |overview| truth(overview.save_error.is_some()),
    ),
    (
        Definition::counter(
            "bellwether_odd_inputs_total",
            &[],
            "Replies and messages that made no sense and were not used.",
        ),
        |overview| overview.odd_inputs as f64,
    ),
    (
        Definition::gauge("bellwether_groups", &[], "The groups that are monitored."),
        |overview| overview.groups.len() as f64,
    ),
];

/// Figures of a group.
const GROUP: &[Reading<GroupOverview, f64>] = &[
    (
        Definition::gauge(
            "bellwether_group_primary_sdown",
            &["group"],
            "Whether this coordinator sees the primary down.",
        ),
        |group| truth(group.primary.sdown_ms.is_some()),
    ),
    (
        Definition::gauge(
            "bellwether_group_odown",
            &["group"],
            "Whether enough sentinels see the primary down.",
        ),
        |group| truth(group.odown_ms.is_some()),
    ),
    (
        Definition::gauge(
            "bellwether_group_failover_in_progress",
            &["group"],
            "Whether this coordinator leads a failover of the group, or seeks to.",
        ),
        |group| truth(group.failover_state.is_some()),
    ),
    (
        Definition::gauge(
            "bellwether_group_config_epoch",
            &["group"],
            "The version of the primary's address; coordinators that agree show the same.",
        ),
        |group| group.config_epoch as f64,
    ),
    (
        Definition::gauge(
            "bellwether_group_quorum",
            &["group"],
            "How many sentinels must see the primary down.",
        ),
        |group| f64::from(group.quorum),
    ),
    (
        Definition::gauge("bellwether_group_replicas", &["group"], "The known replicas."),
        |group| group.replicas.len() as f64,
    ),
    (
        Definition::gauge(
            "bellwether_group_replicas_reachable",
            &["group"],
            "The replicas that are connected and not seen down.",
        ),
        |group| group.replicas.iter().filter(|replica| reachable(replica)).count() as f64,
    ),
    (
        Definition::gauge(
            "bellwether_group_sentinels",
            &["group"],
            "The known sentinels, without this one.",
        ),
        |group| group.sentinels.len() as f64,
    ),
    (
        Definition::gauge(
            "bellwether_group_sentinels_reachable",
            &["group"],
            "The sentinels that are connected and not seen down, without this one.",
        ),
        |group| group.sentinels.iter().filter(|peer| peer_reachable(peer)).count() as f64,
    ),
];

/// Figures of a replica; `None` where one is not known.
const REPLICA: &[Reading<InstanceOverview, Option<f64>>] = &[
    (
        Definition::gauge(
            "bellwether_replica_reachable",
            &["group", "replica"],
            "Whether the replica is connected and not seen down.",
        ),
        |replica| Some(truth(reachable(replica))),
    ),
    (
        Definition::gauge(
            "bellwether_replica_link_up",
            &["group", "replica"],
            "Whether the replica says that its link to its primary is up.",
        ),
        |replica| Some(truth(replica.replication.as_ref()?.link_up)),
    ),
    (
        Definition::gauge(
            "bellwether_replica_link_down_seconds",
            &["group", "replica"],
            "For how long the replica's link to its primary has been down; missing while it is up.",
        ),
        |replica| Some(link_down_for_s(replica.replication.as_ref()?)? as f64),
    ),
    (
        Definition::gauge(
            "bellwether_replica_lag_bytes",
            &["group", "replica"],
            "How far the replica was behind when the primary last told; missing while unknown.",
        ),
        |replica| Some(replica.replication.as_ref()?.lag_bytes? as f64),
    ),
    (
        Definition::gauge(
            "bellwether_replica_lag_seconds",
            &["group", "replica"],
            "How long ago the replica had last acknowledged when the primary last told; missing while unknown.",
        ),
        |replica| Some(replica.replication.as_ref()?.lag_s? as f64),
    ),
];

/// Every metric of this module.
pub(super) fn definitions() -> impl Iterator<Item = &'static Definition> {
    let coordinator = COORDINATOR.iter().map(|(definition, _)| definition);
    let group = GROUP.iter().map(|(definition, _)| definition);
    let replica = REPLICA.iter().map(|(definition, _)| definition);
    [&DRIVER_UP, &COORDINATOR_INFO]
        .into_iter()
        .chain(coordinator)
        .chain(std::iter::once(&GROUP_PRIMARY_INFO))
        .chain(group)
        .chain(replica)
        .chain(log::definitions())
}

/// Writes what the overview shows; without one, only that there is none.
pub(super) fn write(text: &mut Text, overview: Option<&Overview>) {
    text.single(&DRIVER_UP, truth(overview.is_some()));
    let Some(overview) = overview else { return };
    let identity = [overview.id.as_str(), overview.coordination];
    text.family(&COORDINATOR_INFO, std::iter::once((identity, 1.0)));
    for (definition, value) in COORDINATOR {
        text.single(definition, value(overview));
    }
    let groups = &overview.groups;
    text.family(
        &GROUP_PRIMARY_INFO,
        groups.iter().map(|group| {
            let primary = &group.primary;
            ([group.name.clone(), address(&primary.host, primary.port)], 1.0)
        }),
    );
    for (definition, value) in GROUP {
        text.family(
            definition,
            groups.iter().map(|group| ([&group.name], value(group))),
        );
    }
    let replicas: Vec<_> = groups.iter().flat_map(distinct_replicas).collect();
    for (definition, value) in REPLICA {
        let samples = replicas.iter().filter_map(|(group, address, replica)| {
            let labels = [*group, address.as_str()];
            Some((labels, value(replica)?))
        });
        text.family(definition, samples);
    }
    log::write(text, overview);
}

/// The replicas of a group, each with its group and address. Two that clients are told the same address of count as
/// one: Prometheus refuses a whole scrape in which a series comes twice.
fn distinct_replicas(group: &GroupOverview) -> impl Iterator<Item = (&str, String, &InstanceOverview)> {
    let mut shown = BTreeSet::new();
    group.replicas.iter().filter_map(move |replica| {
        let address = address(&replica.host, replica.port);
        shown
            .insert(address.clone())
            .then_some((group.name.as_str(), address, replica))
    })
}

const fn reachable(instance: &InstanceOverview) -> bool {
    instance.connected && instance.sdown_ms.is_none()
}

const fn peer_reachable(sentinel: &SentinelOverview) -> bool {
    sentinel.connected && sentinel.sdown_ms.is_none()
}

pub(super) const fn truth(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}
