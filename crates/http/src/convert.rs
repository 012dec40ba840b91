//! From the core's overview to the data of the API.
//!
//! The core may rename and move its figures; what leaves here may not change.

use std::time::Duration;

use bellwether_api as api;
use bellwether_core::{
    Cause, FailoverReceipt, ForeignOverview, GroupOverview, InstanceOverview, LogMember, LogStatus, Outcome,
    Overview, Phases, ReplicationOverview, SentinelOverview,
};

/// What clients see of the whole state.
pub(crate) fn group_list(overview: &Overview) -> api::GroupList {
    api::GroupList {
        status: status(overview),
        groups: overview.groups.iter().map(group).collect(),
    }
}

/// What clients see of one group.
pub(crate) fn group(group: &GroupOverview) -> api::Group {
    api::Group {
        name: group.name.clone(),
        quorum: group.quorum,
        config_epoch: group.config_epoch,
        down_after_ms: group.down_after_ms,
        failover_timeout_ms: group.failover_timeout_ms,
        parallel_syncs: group.parallel_syncs,
        odown_for_ms: group.odown_ms,
        failover_state: group.failover_state.map(str::to_owned),
        primary: instance(&group.primary),
        replicas: group.replicas.iter().map(instance).collect(),
        sentinels: group.sentinels.iter().map(sentinel).collect(),
        foreign_sentinels: group.foreign.iter().map(foreign).collect(),
        failovers: group.history.iter().map(failover).collect(),
    }
}

/// `host:port`, with an IPv6 host in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn status(overview: &Overview) -> api::Status {
    api::Status {
        id: overview.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        current_epoch: overview.current_epoch,
        coordination: overview.coordination.to_owned(),
        tilt: overview.tilt,
        tilt_total: overview.tilt_total,
        save_error: overview.save_error.clone(),
        odd_inputs_total: overview.odd_inputs,
        link_failures_total: overview.link_failures,
        log: overview.log.as_ref().map(log),
    }
}

fn log(log: &LogStatus) -> api::Log {
    api::Log {
        member_id: log.id,
        cluster: log.cluster.clone(),
        role: log.role.name().to_owned(),
        term: log.term,
        leader: log.leader,
        commit: log.commit,
        applied: log.applied,
        last: log.last,
        snapshot: log.snapshot,
        log_bytes: log.log_bytes,
        pending: u64::try_from(log.pending).unwrap_or(u64::MAX),
        majority_contact_ms: log.majority_contact.map(whole_millis),
        may_act: log.may_act,
        problem: log.problem.clone(),
        members: log.members.iter().map(member).collect(),
    }
}

fn member(member: &LogMember) -> api::LogMember {
    api::LogMember {
        id: member.id,
        sentinel_id: member.sentinel.to_string(),
        address: member_address(&member.address),
        voter: member.voter,
        matched: member.matched,
        lag_entries: member.lag,
        last_contact_ms: member.last_contact.map(whole_millis),
    }
}

/// The address of a member is kept as host and port with a colon between, whatever the host.
fn member_address(kept: &str) -> String {
    let parts = kept.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.map_or_else(|| kept.to_owned(), |(host, port)| address(host, port))
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn instance(instance: &InstanceOverview) -> api::Instance {
    api::Instance {
        address: address(&instance.host, instance.port),
        role: match instance.role_reported {
            "slave" => api::Role::Replica,
            _ => api::Role::Primary,
        },
        run_id: instance.run_id.clone(),
        connected: instance.connected,
        sdown_for_ms: instance.sdown_ms,
        last_ok_ping_ms: instance.last_ok_ping_ms,
        info_age_ms: instance.info_age_ms,
        offset: instance.repl_offset,
        replication: instance.replication.as_ref().map(replication),
    }
}

fn replication(replication: &ReplicationOverview) -> api::Replication {
    let host = replication.primary_host.as_deref();
    api::Replication {
        primary_address: host.map(|host| address(host, replication.primary_port)),
        link_up: replication.link_up,
        link_down_for_s: link_down_for_s(replication),
        priority: replication.priority,
        lag_bytes: replication.lag_bytes,
        lag_s: replication.lag_s,
    }
}

/// For how long the link of a replica to its primary has been down, where that is known.
pub(crate) fn link_down_for_s(replication: &ReplicationOverview) -> Option<u64> {
    if replication.link_up {
        return None;
    }
    u64::try_from(replication.link_down_s).ok()
}

fn sentinel(sentinel: &SentinelOverview) -> api::Sentinel {
    api::Sentinel {
        id: sentinel.id.clone(),
        address: address(&sentinel.host, sentinel.port),
        connected: sentinel.connected,
        sdown_for_ms: sentinel.sdown_ms,
        last_ok_ping_ms: sentinel.last_ok_ping_ms,
        last_hello_ms: sentinel.last_hello_ms,
    }
}

fn foreign(foreign: &ForeignOverview) -> api::ForeignSentinel {
    api::ForeignSentinel {
        id: foreign.id.clone(),
        address: address(&foreign.host, foreign.port),
        accepted: foreign.accepted,
    }
}

fn failover(receipt: &FailoverReceipt) -> api::Failover {
    api::Failover {
        epoch: receipt.epoch.0,
        cause: match receipt.cause {
            Cause::ObjectivelyDown => "odown",
            Cause::Manual => "manual",
            Cause::Coordinated => "coordinated",
        }
        .to_owned(),
        outcome: receipt.outcome.label().to_owned(),
        outcome_text: match &receipt.outcome {
            Outcome::Completed => {
                "another primary is installed and every reachable replica follows it".to_owned()
            }
            Outcome::CompletedLate => {
                "another primary is installed; some replicas did not follow in time".to_owned()
            }
            Outcome::Aborted(reason) => reason.to_string(),
        },
        old_primary: receipt.old_primary.to_string(),
        candidate: receipt.candidate.as_ref().map(ToString::to_string),
        voters: receipt.voters.iter().map(ToString::to_string).collect(),
        passed_over: receipt
            .passed_over
            .iter()
            .map(|(replica, reason)| api::PassedOver {
                address: replica.to_string(),
                reason: reason.clone(),
            })
            .collect(),
        phases_ms: phases_ms(&receipt.phases),
    }
}

fn phases_ms(phases: &Phases) -> api::PhasesMs {
    api::PhasesMs {
        detection: phases.detection.map(millis),
        agreement: phases.agreement.map(millis),
        election: phases.election.map(millis),
        selection: phases.selection.map(millis),
        promotion: phases.promotion.map(millis),
        reconfiguration: phases.reconfiguration.map(millis),
    }
}

/// Milliseconds, to the microsecond: more digits would only be noise.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_core::{AbortReason, Addr, Epoch};

    #[test]
    fn addresses_can_be_read_back() {
        assert_eq!(address("10.0.0.1", 6379), "10.0.0.1:6379");
        assert_eq!(address("::1", 6379), "[::1]:6379");
        assert_eq!(member_address("10.0.0.1:26379"), "10.0.0.1:26379");
        assert_eq!(member_address("::1:26379"), "[::1]:26379");
        assert_eq!(member_address("a name"), "a name");
    }

    #[test]
    fn a_link_that_never_was_up_has_no_down_time() {
        let mut replication = ReplicationOverview {
            primary_host: None,
            primary_port: 0,
            link_up: false,
            link_down_s: -1,
            priority: 100,
            lag_bytes: None,
            lag_s: None,
        };
        assert_eq!(link_down_for_s(&replication), None);
        replication.link_down_s = 7;
        assert_eq!(link_down_for_s(&replication), Some(7));
        replication.link_up = true;
        assert_eq!(link_down_for_s(&replication), None);
    }

    #[test]
    fn a_receipt_says_how_it_ended() {
        let api = failover(&FailoverReceipt {
            epoch: Epoch(4),
            cause: Cause::ObjectivelyDown,
            outcome: Outcome::Aborted(AbortReason::NoGoodReplica),
            old_primary: Addr::parse("::1", 6379).expect("an address"),
            candidate: None,
            voters: Vec::new(),
            passed_over: Vec::new(),
            phases: Phases {
                detection: Some(Duration::from_nanos(1_000_234_567)),
                ..Phases::default()
            },
        });
        assert_eq!(
            (api.outcome.as_str(), api.cause.as_str()),
            ("no_good_replica", "odown")
        );
        assert_eq!(api.outcome_text, "no replica may be promoted");
        assert_eq!(api.old_primary, "[::1]:6379");
        assert_eq!(api.phases_ms.detection, Some(1000.235));
        assert_eq!(api.phases_ms.election, None);
    }
}
