//! What a scrape says, and that the documentation says the same.

use std::collections::BTreeSet;

use super::*;
use bellwether_core::{
    AbortReason, Addr, Cause, Epoch, EventKind, ForeignOverview, GroupOverview, InstanceOverview, LogMember,
    LogRole, LogStatus, Outcome, Phases, ReplicationOverview, SentinelId,
};

fn instance(host: &str) -> InstanceOverview {
    InstanceOverview {
        host: host.to_owned(),
        port: 6379,
        connected: true,
        sdown_ms: None,
        last_ok_ping_ms: 3,
        info_age_ms: Some(100),
        role_reported: "master",
        run_id: None,
        repl_offset: 1000,
        replication: None,
    }
}

fn replica(host: &str) -> InstanceOverview {
    InstanceOverview {
        role_reported: "slave",
        replication: Some(ReplicationOverview {
            primary_host: Some("10.0.0.1".to_owned()),
            primary_port: 6379,
            link_up: true,
            link_down_s: 0,
            priority: 100,
            lag_bytes: Some(42),
            lag_s: None,
        }),
        ..instance(host)
    }
}

fn group(name: &str, replicas: Vec<InstanceOverview>) -> GroupOverview {
    GroupOverview {
        name: name.to_owned(),
        quorum: 2,
        config_epoch: 3,
        down_after_ms: 1000,
        failover_timeout_ms: 180_000,
        parallel_syncs: 1,
        odown_ms: None,
        failover_state: None,
        primary: instance("10.0.0.1"),
        replicas,
        sentinels: Vec::new(),
        foreign: Vec::new(),
        history: Vec::new(),
    }
}

fn overview(groups: Vec<GroupOverview>) -> Overview {
    Overview {
        groups,
        ..Overview::default()
    }
}

fn log(role: LogRole, members: Vec<LogMember>) -> LogStatus {
    LogStatus {
        id: 1,
        cluster: "production".to_owned(),
        role,
        term: 4,
        leader: Some(1),
        commit: 108,
        applied: 107,
        last: 109,
        snapshot: 100,
        log_bytes: 2048,
        pending: 2,
        majority_contact: Some(Duration::from_millis(250)),
        may_act: true,
        problem: None,
        members,
    }
}

fn member(id: u64, lag: Option<u64>, last_contact: Option<Duration>) -> LogMember {
    LogMember {
        id,
        sentinel: SentinelId::new(&format!("{id:040}")).expect("an id"),
        address: format!("10.0.0.{id}:26379"),
        voter: true,
        matched: None,
        lag,
        last_contact,
    }
}

fn receipt(outcome: Outcome) -> FailoverReceipt {
    FailoverReceipt {
        epoch: Epoch(1),
        cause: Cause::Manual,
        outcome,
        old_primary: Addr::parse("10.0.0.1", 6379).expect("an address"),
        candidate: None,
        voters: Vec::new(),
        passed_over: Vec::new(),
        phases: Phases {
            election: Some(Duration::from_millis(4)),
            ..Phases::default()
        },
    }
}

fn name(text: &str) -> GroupName {
    GroupName::new(text).expect("a name")
}

fn metrics() -> Metrics {
    Metrics::new().expect("well-formed metrics")
}

#[track_caller]
fn check(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "no line {line:?} in\n{text}");
    }
}

#[test]
fn a_group_and_its_replicas_are_shown() {
    let mut cut_off = replica("10.0.0.3");
    cut_off.connected = false;
    if let Some(replication) = &mut cut_off.replication {
        replication.link_up = false;
        replication.link_down_s = 9;
        replication.lag_bytes = None;
    }
    let overview = overview(vec![group("m", vec![replica("10.0.0.2"), cut_off])]);
    let text = metrics().render(Some(&overview)).expect("a scrape");
    check(
        &text,
        &[
            "bellwether_driver_up 1",
            "bellwether_groups 1",
            r#"bellwether_group_primary_info{group="m",address="10.0.0.1:6379"} 1"#,
            r#"bellwether_group_odown{group="m"} 0"#,
            r#"bellwether_group_config_epoch{group="m"} 3"#,
            r#"bellwether_group_replicas{group="m"} 2"#,
            r#"bellwether_group_replicas_reachable{group="m"} 1"#,
            r#"bellwether_replica_lag_bytes{group="m",replica="10.0.0.2:6379"} 42"#,
            r#"bellwether_replica_link_up{group="m",replica="10.0.0.3:6379"} 0"#,
            r#"bellwether_replica_link_down_seconds{group="m",replica="10.0.0.3:6379"} 9"#,
        ],
    );
    assert!(!text.contains(r#"bellwether_replica_lag_bytes{group="m",replica="10.0.0.3:6379"}"#));
    assert!(
        !text.contains("bellwether_replica_lag_seconds"),
        "an unknown lag is not 0"
    );
}

#[test]
fn every_end_of_a_failover_is_there_before_it_has_come_and_in_the_documentation() {
    let overview = overview(vec![group("m", Vec::new())]);
    let text = metrics().render(Some(&overview)).expect("a scrape");
    let documentation = include_str!("../../../../docs/http-api.md");
    for outcome in &Outcome::ALL {
        let word = outcome.label();
        check(
            &text,
            &[
                &format!(r#"bellwether_failovers_total{{result="{word}"}} 0"#),
                &format!(r#"bellwether_group_failovers_total{{group="m",result="{word}"}} 0"#),
            ],
        );
        assert!(
            documentation.contains(&format!("`{word}`")),
            "{word} is not explained"
        );
    }
}

#[test]
fn the_log_is_shown_where_one_is_shared() {
    let foreign = |accepted| ForeignOverview {
        id: "a".repeat(40),
        host: "10.0.0.9".to_owned(),
        port: 26379,
        accepted,
    };
    let mut watched = group("m", Vec::new());
    watched.foreign = vec![foreign(true), foreign(false)];
    let members = vec![
        member(1, Some(0), None),
        member(2, Some(3), Some(Duration::from_millis(1500))),
        member(3, None, None),
    ];
    let mut overview = overview(vec![watched, group("n", Vec::new())]);
    let text = metrics().render(Some(&overview)).expect("a scrape");
    assert!(
        !text.contains("bellwether_raft") && !text.contains("bellwether_foreign"),
        "{text}"
    );

    overview.log = Some(log(LogRole::Leader, members));
    let text = metrics().render(Some(&overview)).expect("a scrape");
    check(
        &text,
        &[
            "bellwether_raft_term 4",
            "bellwether_raft_leader 1",
            "bellwether_raft_commit_index 108",
            "bellwether_raft_applied_index 107",
            "bellwether_raft_snapshot_index 100",
            "bellwether_raft_log_bytes 2048",
            "bellwether_raft_pending_proposals 2",
            "bellwether_raft_majority_contact_seconds 0.25",
            "bellwether_raft_failing 0",
            "bellwether_raft_members 3",
            r#"bellwether_raft_member_lag_entries{member="1"} 0"#,
            r#"bellwether_raft_member_lag_entries{member="2"} 3"#,
            r#"bellwether_raft_member_last_contact_seconds{member="2"} 1.5"#,
            r#"bellwether_foreign_sentinels{group="m"} 2"#,
            r#"bellwether_foreign_sentinels_unaccepted{group="m"} 1"#,
            r#"bellwether_foreign_sentinels{group="n"} 0"#,
        ],
    );
    assert!(!text.contains(r#"entries{member="3"}"#) && !text.contains(r#"contact_seconds{member="1"}"#));

    overview.log = Some(LogStatus {
        majority_contact: None,
        problem: Some("an entry of a newer version".to_owned()),
        ..log(LogRole::Follower, Vec::new())
    });
    let text = metrics().render(Some(&overview)).expect("a scrape");
    check(&text, &["bellwether_raft_leader 0", "bellwether_raft_failing 1"]);
    assert!(
        !text.contains("bellwether_raft_majority_contact_seconds"),
        "{text}"
    );
}

#[test]
fn without_an_answer_only_what_was_counted_is_shown() {
    let metrics = metrics();
    metrics.persisted(Duration::from_millis(2), false);
    let text = metrics.render(None).expect("a scrape");
    check(
        &text,
        &[
            "bellwether_driver_up 0",
            "bellwether_persist_failures_total 1",
            r#"bellwether_persist_seconds_bucket{le="0.0025"} 1"#,
        ],
    );
    assert!(!text.contains("bellwether_groups "));
}

#[test]
fn what_is_told_is_counted() {
    let metrics = metrics();
    metrics.event(&Event {
        kind: EventKind::SwitchPrimary,
        group: Some(name("m")),
        payload: String::new(),
        reason: None,
    });
    metrics.failover(&name("m"), &receipt(Outcome::Completed));
    metrics.failover(&name("m"), &receipt(Outcome::Aborted(AbortReason::NoGoodReplica)));
    metrics.loop_delay(Duration::from_micros(200));
    metrics.log_written(Duration::from_millis(4), 2, 300);
    metrics.log_written(Duration::from_millis(1), 0, 0);
    metrics.link_failed();
    metrics.client_connected();
    metrics.client_connected();
    metrics.client_disconnected();
    metrics.certificates_loaded(false);
    metrics.client_refused("max_clients");
    metrics.command("ping", Duration::from_micros(20));
    let overview = overview(vec![group("m", Vec::new())]);
    let text = metrics.render(Some(&overview)).expect("a scrape");
    check(
        &text,
        &[
            r#"bellwether_events_total{event="+switch-master"} 1"#,
            r#"bellwether_events_total{event="+odown"} 0"#,
            r#"bellwether_failovers_total{result="completed"} 1"#,
            r#"bellwether_failovers_total{result="superseded"} 0"#,
            r#"bellwether_group_failovers_total{group="m",result="no_good_replica"} 1"#,
            // An alert on an increase sees the first one only if there was a zero before.
            r#"bellwether_group_failovers_total{group="m",result="candidate_timeout"} 0"#,
            r#"bellwether_failover_phase_seconds_bucket{phase="election",le="0.0025"} 0"#,
            r#"bellwether_failover_phase_seconds_bucket{phase="election",le="0.005"} 2"#,
            r#"bellwether_failover_phase_seconds_count{phase="promotion"} 0"#,
            "bellwether_loop_delay_seconds_count 1",
            r#"bellwether_raft_write_seconds_bucket{le="0.001"} 1"#,
            "bellwether_raft_write_seconds_count 2",
            "bellwether_raft_written_entries_total 2",
            "bellwether_raft_written_bytes_total 300",
            "bellwether_link_failures_total 1",
            "bellwether_clients 1",
            "bellwether_clients_total 2",
            r#"bellwether_certificate_loads_total{result="ok"} 0"#,
            r#"bellwether_certificate_loads_total{result="failed"} 1"#,
            r#"bellwether_clients_refused_total{reason="max_clients"} 1"#,
            r#"bellwether_commands_total{command="ping"} 1"#,
            "bellwether_command_seconds_count 1",
        ],
    );
}

#[test]
fn series_of_what_is_gone_vanish() {
    let metrics = metrics();
    metrics.failover(&name("a"), &receipt(Outcome::Completed));
    metrics.failover(&name("b"), &receipt(Outcome::Completed));
    let both = overview(vec![
        group("a", vec![replica("10.0.0.2"), replica("10.0.0.3")]),
        group("b", Vec::new()),
    ]);
    let text = metrics.render(Some(&both)).expect("a scrape");
    assert!(text.contains("10.0.0.3") && text.contains(r#"group="b""#));

    let fewer = overview(vec![group("a", vec![replica("10.0.0.2")])]);
    let text = metrics.render(Some(&fewer)).expect("a scrape");
    assert!(
        !text.contains("10.0.0.3") && !text.contains(r#"group="b""#),
        "{text}"
    );

    let text = metrics.render(Some(&both)).expect("a scrape");
    assert!(text.contains(r#"bellwether_group_failovers_total{group="a",result="completed"} 1"#));
    assert!(
        text.contains(r#"bellwether_group_failovers_total{group="b",result="completed"} 0"#),
        "what was counted of a removed group does not come back with its name"
    );
}

#[test]
fn a_removed_group_is_forgotten_without_a_scrape() {
    let metrics = metrics();
    metrics.failover(&name("a"), &receipt(Outcome::Completed));
    metrics.event(&Event {
        kind: EventKind::Unmonitor,
        group: Some(name("a")),
        payload: String::new(),
        reason: None,
    });
    let overview = overview(vec![group("a", Vec::new())]);
    let text = metrics.render(Some(&overview)).expect("a scrape");
    assert!(text.contains(r#"bellwether_group_failovers_total{group="a",result="completed"} 0"#));
}

#[test]
fn no_series_comes_twice() {
    let metrics = metrics();
    metrics.failover(&name("m"), &receipt(Outcome::Completed));
    let twins = vec![replica("10.0.0.2"), replica("10.0.0.2")];
    let mut overview = overview(vec![group("m", twins)]);
    overview.log = Some(log(
        LogRole::Leader,
        vec![member(1, Some(0), None), member(2, Some(0), None)],
    ));
    let text = metrics.render(Some(&overview)).expect("a scrape");
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        assert!(
            line.starts_with('#') || seen.insert(series),
            "{series} comes twice"
        );
    }
}

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for definition in definitions() {
        let Definition { name, kind, help, .. } = definition;
        assert!(names.insert(name), "{name} is defined twice");
        assert!(name.starts_with("bellwether_"), "{name}");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "help of {name}");
    }
}

#[test]
fn whatever_is_served_is_defined() {
    let metrics = metrics();
    metrics.failover(&name("m"), &receipt(Outcome::Completed));
    let mut overview = overview(vec![group("m", vec![replica("10.0.0.2")])]);
    overview.log = Some(log(
        LogRole::Leader,
        vec![member(2, Some(0), Some(Duration::ZERO))],
    ));
    let text = metrics.render(Some(&overview)).expect("a scrape");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        let defined = definitions().any(|d| d.name == name && d.kind.to_string() == kind);
        assert!(defined || name.starts_with("process_"), "{line}");
    }
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let documentation = include_str!("../../../../docs/http-api.md");
    let listed: Vec<&str> = documentation
        .lines()
        .filter(|line| line.starts_with("| `bellwether_"))
        .collect();
    let defined: Vec<String> = definitions()
        .map(|d| {
            let labels: Vec<String> = d.labels.iter().map(|label| format!("`{label}`")).collect();
            format!(
                "| `{}` | {} | {} | {} |",
                d.name,
                d.kind,
                labels.join(", "),
                d.help
            )
        })
        .collect();
    assert_eq!(
        listed,
        defined,
        "docs/http-api.md should have\n{}",
        defined.join("\n")
    );
}
