//! INFO and ROLE, with the fields that sentinels and client libraries read, spelled as real servers spell them.

use std::fmt::Write;

use bellwether_resp::Value;

use super::state::{Link, Replica, Role, State};

/// The version whose manners the answers have; tools parse it.
const LIKE_VERSION: &str = "7.0.0";

/// Writes one section.
type Section = fn(&State) -> String;

/// INFO of one section, or of all.
pub(super) fn info(state: &State, section: Option<&str>) -> String {
    let wanted =
        |name: &str| section.is_none_or(|section| ["all", "default", "everything", name].contains(&section));
    let mut text = String::new();
    let sections: [(&str, Section); 4] = [
        ("server", server),
        ("clients", clients),
        ("replication", replication),
        ("keyspace", keyspace),
    ];
    for (_, write) in sections.iter().filter(|(name, _)| wanted(name)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&write(state));
    }
    text
}

fn server(state: &State) -> String {
    format!(
        "# Server\r\nredis_version:{LIKE_VERSION}\r\nbellwether_stand_in:{}\r\nredis_mode:standalone\r\n\
         process_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        state.run_id,
        state.port,
        state.started.elapsed().as_secs(),
    )
}

fn clients(state: &State) -> String {
    format!("# Clients\r\nconnected_clients:{}\r\n", state.clients.len())
}

fn keyspace(state: &State) -> String {
    match state.keys() {
        0 => "# Keyspace\r\n".to_owned(),
        keys => format!("# Keyspace\r\ndb0:keys={keys},expires=0,avg_ttl=0\r\n"),
    }
}

fn replication(state: &State) -> String {
    let mut text = String::from("# Replication\r\n");
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "{name}:{value}\r\n");
    };
    match &state.role {
        Role::Primary => line("role", &"master"),
        Role::Replica { primary, link } => {
            line("role", &"slave");
            line("master_host", &primary.host);
            line("master_port", &primary.port);
            let (status, last_io) = match link {
                Link::Up { last_io } => (
                    "up",
                    i64::try_from(last_io.elapsed().as_secs()).unwrap_or(i64::MAX),
                ),
                Link::Down { .. } => ("down", -1),
            };
            line("master_link_status", &status);
            line("master_last_io_seconds_ago", &last_io);
            line("master_sync_in_progress", &0);
            line("slave_read_repl_offset", &state.offset);
            line("slave_repl_offset", &state.offset);
            if let Link::Down { since } = link {
                line("master_link_down_since_seconds", &since.elapsed().as_secs());
            }
            line("slave_priority", &100);
            line("slave_read_only", &1);
            line("replica_announced", &1);
        }
    }
    let replicas: Vec<&Replica> = state
        .clients
        .values()
        .filter_map(|client| client.replica.as_ref())
        .collect();
    line("connected_slaves", &replicas.len());
    for (index, replica) in replicas.iter().enumerate() {
        let Replica {
            ip,
            port,
            offset,
            heard,
        } = replica;
        let lag = heard.elapsed().as_secs();
        line(
            &format!("slave{index}"),
            &format_args!("ip={ip},port={port},state=online,offset={offset},lag={lag}"),
        );
    }
    line("master_failover_state", &"no-failover");
    line("master_replid", &state.replication_id);
    line("master_repl_offset", &state.offset);
    text
}

/// The answer to ROLE.
pub(super) fn role(state: &State) -> Value {
    let offset = state.offset.cast_signed();
    match &state.role {
        Role::Primary => {
            let replicas = state
                .clients
                .values()
                .filter_map(|client| client.replica.as_ref())
                .map(|replica| {
                    let words = [
                        replica.ip.to_string(),
                        replica.port.to_string(),
                        replica.offset.to_string(),
                    ];
                    Value::Array(words.iter().map(Value::bulk).collect())
                });
            Value::Array(vec![
                Value::bulk("master"),
                Value::Integer(offset),
                Value::Array(replicas.collect()),
            ])
        }
        Role::Replica { primary, link } => {
            let (status, offset) = match link {
                Link::Up { .. } => ("connected", offset),
                Link::Down { .. } => ("connect", -1),
            };
            Value::Array(vec![
                Value::bulk("slave"),
                Value::bulk(&primary.host),
                Value::Integer(primary.port.into()),
                Value::bulk(status),
                Value::Integer(offset),
            ])
        }
    }
}
