//! What has happened since the start, counted as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwether_core::{Event, EventKind, FailoverReceipt, GroupName, Outcome, Overview, Phases};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::Definition;
use super::text::Text;

const BUILD_INFO: Definition = Definition::gauge(
    "bellwether_build_info",
    &["version"],
    "Always 1; the label tells the version.",
);

const EVENTS: Definition = Definition::counter(
    "bellwether_events_total",
    &["event"],
    "Events by the name under which they are published.",
);

const FAILOVERS: Definition = Definition::counter(
    "bellwether_failovers_total",
    &["result"],
    "Failovers led here, or sought to be led, by how they ended.",
);

const GROUP_FAILOVERS: Definition = Definition::counter(
    "bellwether_group_failovers_total",
    &["group", "result"],
    "The same by group.",
);

const FAILOVER_PHASE: Definition = Definition::histogram(
    "bellwether_failover_phase_seconds",
    &["phase"],
    "How long the phases of the failovers led here took.",
);

const LINK_FAILURES: Definition = Definition::counter(
    "bellwether_link_failures_total",
    &[],
    "Connections to instances and peers that broke or could not be set up.",
);

const LOOP_DELAY: Definition = Definition::histogram(
    "bellwether_loop_delay_seconds",
    &[],
    "How late the deciding loop came to what was due.",
);

const PERSIST: Definition = Definition::histogram(
    "bellwether_persist_seconds",
    &[],
    "How long it took to write and sync the state, or to fail at it.",
);

const PERSIST_FAILURES: Definition = Definition::counter(
    "bellwether_persist_failures_total",
    &[],
    "Attempts to save the state that failed.",
);

const LOG_WRITE: Definition = Definition::histogram(
    "bellwether_raft_write_seconds",
    &[],
    "How long it took to write and sync the log that is shared.",
);

const LOG_ENTRIES: Definition = Definition::counter(
    "bellwether_raft_written_entries_total",
    &[],
    "Entries that were written to that log here.",
);

const LOG_BYTES: Definition = Definition::counter(
    "bellwether_raft_written_bytes_total",
    &[],
    "Bytes that were written to that log here, those of snapshots included.",
);

const CERTIFICATE_LOADS: Definition = Definition::counter(
    "bellwether_certificate_loads_total",
    &["result"],
    "Attempts to load changed certificates and keys: ok, or failed and those of before stay in use.",
);

const CLIENTS: Definition = Definition::gauge(
    "bellwether_clients",
    &[],
    "The clients that are connected to the sentinel port.",
);

const CLIENTS_TOTAL: Definition = Definition::counter(
    "bellwether_clients_total",
    &[],
    "Clients that have connected to the sentinel port.",
);

const CLIENTS_REFUSED: Definition = Definition::counter(
    "bellwether_clients_refused_total",
    &["reason"],
    "Clients that were turned away at the door.",
);

const COMMANDS: Definition = Definition::counter(
    "bellwether_commands_total",
    &["command"],
    "Commands that were answered on the sentinel port.",
);

const COMMAND: Definition = Definition::histogram(
    "bellwether_command_seconds",
    &[],
    "How long the answers on the sentinel port took.",
);

/// Every metric of this module.
pub(super) const DEFINITIONS: &[&Definition] = &[
    &BUILD_INFO,
    &EVENTS,
    &FAILOVERS,
    &GROUP_FAILOVERS,
    &FAILOVER_PHASE,
    &LINK_FAILURES,
    &LOOP_DELAY,
    &PERSIST,
    &PERSIST_FAILURES,
    &LOG_WRITE,
    &LOG_ENTRIES,
    &LOG_BYTES,
    &CERTIFICATE_LOADS,
    &CLIENTS,
    &CLIENTS_TOTAL,
    &CLIENTS_REFUSED,
    &COMMANDS,
    &COMMAND,
];

/// From a promotion on one machine to a failover timeout well past a minute.
const FAILOVER_BUCKETS_S: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// From an idle loop to one that was stopped long enough for tilt.
const LOOP_BUCKETS_S: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

/// From memory behind a disk to a disk that is about to fail.
const PERSIST_BUCKETS_S: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];

/// From the published address book to an order that waits for a slow disk.
const COMMAND_BUCKETS_S: &[f64] = &[
    0.000_01, 0.000_025, 0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5,
];

/// How often each result came, by group.
type GroupFailovers = BTreeMap<GroupName, BTreeMap<&'static str, u64>>;

/// The counters.
pub(super) struct Counted {
    registry: Registry,
    events: IntCounterVec,
    failovers: IntCounterVec,
    failover_phase: HistogramVec,
    /// Kept by ourselves, since series of removed groups must vanish.
    group_failovers: Mutex<GroupFailovers>,
    pub(super) link_failures: IntCounter,
    pub(super) loop_delay: Histogram,
    pub(super) persist: Histogram,
    pub(super) persist_failures: IntCounter,
    pub(super) log_write: Histogram,
    pub(super) log_entries: IntCounter,
    pub(super) log_bytes: IntCounter,
    pub(super) certificate_loads: IntCounterVec,
    pub(super) clients: IntGauge,
    pub(super) clients_total: IntCounter,
    pub(super) clients_refused: IntCounterVec,
    pub(super) commands: IntCounterVec,
    pub(super) command: Histogram,
}

impl Counted {
    pub(super) fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = register(&registry, IntGaugeVec::new(opts(&BUILD_INFO), BUILD_INFO.labels)?)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

        let events = counters(&registry, &EVENTS)?;
        for kind in EventKind::ALL {
            events.with_label_values(&[kind.name()]);
        }
        let failovers = counters(&registry, &FAILOVERS)?;
        // Each is served as 0 before it first comes.
        for outcome in &Outcome::ALL {
            failovers.with_label_values(&[outcome.label()]);
        }
        let failover_phase = HistogramVec::new(
            histogram_opts(&FAILOVER_PHASE, FAILOVER_BUCKETS_S),
            FAILOVER_PHASE.labels,
        )?;
        let failover_phase = register(&registry, failover_phase)?;
        for (phase, _) in Phases::default().named() {
            failover_phase.with_label_values(&[phase]);
        }
        let certificate_loads = counters(&registry, &CERTIFICATE_LOADS)?;
        for result in ["ok", "failed"] {
            certificate_loads.with_label_values(&[result]);
        }
        Ok(Self {
            certificate_loads,
            events,
            failovers,
            failover_phase,
            group_failovers: Mutex::default(),
            link_failures: counter(&registry, &LINK_FAILURES)?,
            loop_delay: histogram(&registry, &LOOP_DELAY, LOOP_BUCKETS_S)?,
            persist: histogram(&registry, &PERSIST, PERSIST_BUCKETS_S)?,
            persist_failures: counter(&registry, &PERSIST_FAILURES)?,
            log_write: histogram(&registry, &LOG_WRITE, PERSIST_BUCKETS_S)?,
            log_entries: counter(&registry, &LOG_ENTRIES)?,
            log_bytes: counter(&registry, &LOG_BYTES)?,
            clients: register(&registry, IntGauge::with_opts(opts(&CLIENTS))?)?,
            clients_total: counter(&registry, &CLIENTS_TOTAL)?,
            clients_refused: counters(&registry, &CLIENTS_REFUSED)?,
            commands: counters(&registry, &COMMANDS)?,
            command: histogram(&registry, &COMMAND, COMMAND_BUCKETS_S)?,
            registry,
        })
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        // Whoever shares a log has written to it before anything else.
        if self.log_write.get_sample_count() == 0 {
            let of_log = [LOG_WRITE.name, LOG_ENTRIES.name, LOG_BYTES.name];
            families.retain(|family| !of_log.contains(&family.name()));
        }
        families
    }

    pub(super) fn event(&self, event: &Event) {
        self.events.with_label_values(&[event.kind.name()]).inc();
        if event.kind == EventKind::Unmonitor
            && let Some(group) = &event.group
        {
            self.group_failovers().remove(group);
        }
    }

    pub(super) fn failover(&self, group: &GroupName, receipt: &FailoverReceipt) {
        let result = receipt.outcome.label();
        self.failovers.with_label_values(&[result]).inc();
        for (phase, took) in receipt.phases.named() {
            if let Some(took) = took {
                let phase = self.failover_phase.with_label_values(&[phase]);
                phase.observe(took.as_secs_f64());
            }
        }
        let mut groups = self.group_failovers();
        let results = groups.entry(group.clone()).or_default();
        *results.entry(result).or_default() += 1;
    }

    /// Writes the failovers by group, and forgets those of groups that are gone: their last failover may have ended
    /// after their end was told.
    pub(super) fn write_group_failovers(&self, text: &mut Text, overview: &Overview) {
        let mut groups = self.group_failovers();
        let known: BTreeSet<&str> = overview.groups.iter().map(|group| group.name.as_str()).collect();
        groups.retain(|group, _| known.contains(group.as_str()));
        let groups = &*groups;
        text.family(
            &GROUP_FAILOVERS,
            known.iter().flat_map(|group| {
                let results = groups.get(*group);
                // Also what has not come yet: an increase from nothing at all to one would not be seen.
                Outcome::ALL.iter().map(move |outcome| {
                    let count = results.and_then(|results| results.get(outcome.label()));
                    (
                        [*group, outcome.label()],
                        count.copied().unwrap_or_default() as f64,
                    )
                })
            }),
        );
    }

    fn group_failovers(&self) -> MutexGuard<'_, GroupFailovers> {
        // No step between lock and unlock can leave the map half changed, so a panic elsewhere does not matter.
        self.group_failovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn counter(registry: &Registry, definition: &Definition) -> Result<IntCounter, Error> {
    register(registry, IntCounter::with_opts(opts(definition))?)
}

fn counters(registry: &Registry, definition: &Definition) -> Result<IntCounterVec, Error> {
    register(registry, IntCounterVec::new(opts(definition), definition.labels)?)
}

fn histogram(registry: &Registry, definition: &Definition, buckets_s: &[f64]) -> Result<Histogram, Error> {
    register(
        registry,
        Histogram::with_opts(histogram_opts(definition, buckets_s))?,
    )
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn opts(definition: &Definition) -> Opts {
    Opts::new(definition.name, definition.help)
}

fn histogram_opts(definition: &Definition, buckets_s: &[f64]) -> HistogramOpts {
    HistogramOpts::new(definition.name, definition.help).buckets(buckets_s.to_vec())
}
