//! The text of `INFO`.

use super::*;

/// The fields of the section, in order.
fn replication(info: &str) -> Vec<&str> {
    let section = info
        .split("# Replication\r\n")
        .nth(1)
        .and_then(|rest| rest.split("\r\n\r\n").next());
    let lines = section.unwrap_or_default().lines();
    lines
        .map(|line| line.split_once(':').map_or(line, |(field, _)| field))
        .collect()
}

// The two lists are what Redis 7.0.15 prints.
const HISTORY: [&str; 9] = [
    "master_failover_state",
    "master_replid",
    "master_replid2",
    "master_repl_offset",
    "second_repl_offset",
    "repl_backlog_active",
    "repl_backlog_size",
    "repl_backlog_first_byte_offset",
    "repl_backlog_histlen",
];
const AS_REPLICA: [&str; 12] = [
    "role",
    "master_host",
    "master_port",
    "master_link_status",
    "master_last_io_seconds_ago",
    "master_sync_in_progress",
    "slave_read_repl_offset",
    "slave_repl_offset",
    "slave_priority",
    "slave_read_only",
    "replica_announced",
    "connected_slaves",
];

#[test]
fn the_replication_section_has_the_fields_of_a_real_one() {
    let mut net = Net::group(2);
    let primary = ["role", "connected_slaves", "slave0"]
        .iter()
        .chain(&HISTORY)
        .copied();
    assert_eq!(replication(&net.info(1)), primary.collect::<Vec<_>>());
    let replica: Vec<&str> = AS_REPLICA.iter().chain(&HISTORY).copied().collect();
    assert_eq!(replication(&net.info(2)), replica);
    net.crash(1);
    let info = net.info(2);
    let down = replication(&info);
    assert_eq!(down[8], "master_link_down_since_seconds");
    assert_eq!((&down[..8], &down[9..]), (&replica[..8], &replica[8..]));
}

#[test]
fn sections_come_in_the_usual_order_and_lines_end_as_on_the_wire() {
    let mut net = Net::group(2);
    let info = net.info(1);
    let sections: Vec<&str> = info.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        sections,
        [
            "# Server",
            "# Clients",
            "# Memory",
            "# Persistence",
            "# Stats",
            "# Replication",
            "# CPU",
            "# Modules",
            "# Errorstats",
            "# Cluster",
            "# Keyspace",
        ]
    );
    assert_eq!(info.matches('\n').count(), info.matches("\r\n").count());
    assert!(
        !info.contains("\r\n\r\n\r\n"),
        "one empty line between sections:\n{info}"
    );
    for section in &sections[1..] {
        assert!(
            info.contains(&format!("\r\n\r\n{section}\r\n")),
            "no empty line before {section}"
        );
    }
}

#[test]
fn ids_have_forty_digits_and_none_is_zeros() {
    let mut net = Net::group(1);
    let info = net.info(1);
    for name in ["run_id", "master_replid", "master_replid2"] {
        let value = field(&info, name).expect("the field");
        assert_eq!(value.len(), 40, "{name}");
        assert!(value.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(value.bytes().all(|b| b == b'0'), name == "master_replid2");
    }
}

#[test]
fn a_fresh_replica_has_no_offset_yet() {
    let mut net = Net::default();
    net.start(spec(2, Some(1)));
    let info = net.info(2);
    assert_eq!(
        field(&info, "slave_repl_offset"),
        Some("1"),
        "as the reference prints it"
    );
    assert_eq!(field(&info, "master_repl_offset"), Some("0"));
}

#[test]
fn what_an_operator_sets_is_shown() {
    let mut net = Net::default();
    net.start(ServerSpec {
        announced: false,
        min_replicas_to_write: 2,
        ..spec(2, Some(1))
    });
    net[2].set_priority(7);
    let info = net.info(2);
    assert_eq!(field(&info, "slave_priority"), Some("7"));
    assert_eq!(field(&info, "replica_announced"), Some("0"));
    assert_eq!(field(&info, "min_slaves_good_slaves"), Some("0"));
}
