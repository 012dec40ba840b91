//! `INFO`: what operators and exporters read.
//!
//! The section about groups comes from the core as text; the others are about this process. What only a
//! data server has is shown as one without data would: exporters look for all fields.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use bellwether_core::{Answer, LogStatus, Request as Ask};

use super::{COMPATIBLE_VERSION, Flow, answer, raft};
use crate::client::session::{Call, Session};
use crate::endpoint::Endpoint;

/// The sections, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Server,
    Clients,
    Stats,
    Cpu,
    Sentinel,
    Raft,
}

const SECTIONS: &[(&str, Section)] = &[
    ("server", Section::Server),
    ("clients", Section::Clients),
    ("stats", Section::Stats),
    ("cpu", Section::Cpu),
    ("sentinel", Section::Sentinel),
    ("raft", Section::Raft),
];

/// `INFO [<section> …]`. Unknown sections are left out in silence, as Sentinel.
pub(super) fn info(call: &mut Call<'_>) -> Flow {
    let sections = asked_for(call);
    if [Section::Sentinel, Section::Raft]
        .iter()
        .any(|section| sections.contains(section))
    {
        let (running_scripts, queued_scripts) = call.session.server.context.scripts.counts();
        let question = Ask::InfoSection {
            running_scripts,
            queued_scripts,
        };
        return Flow::ask_then(question, |call, section| match section {
            Answer::Info { section, log } => write(call, Some(&section), log.as_deref()),
            other => answer::write(call, other),
        });
    }
    write(call, None, None);
    Flow::Done
}

fn asked_for(call: &Call<'_>) -> Vec<Section> {
    let all = ["default", "all", "everything"];
    let words = call.words.len();
    let everything =
        words == 1 || (1..words).any(|index| all.iter().any(|word| call.words.arg_is(index, word)));
    let named = |name: &str| (1..words).any(|index| call.words.arg_is(index, name));
    SECTIONS
        .iter()
        .filter(|(name, _)| everything || named(name))
        .map(|(_, section)| *section)
        .collect()
}

fn write(call: &mut Call<'_>, groups: Option<&str>, log: Option<&LogStatus>) {
    let mut text = String::new();
    // Where no log is shared there is nothing to tell of it.
    for section in asked_for(call)
        .into_iter()
        .filter(|section| *section != Section::Raft || log.is_some())
    {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        match section {
            Section::Server => server(call.session, &mut text),
            Section::Clients => clients(call.session, &mut text),
            Section::Stats => stats(call.session, &mut text),
            Section::Cpu => cpu(&mut text),
            Section::Sentinel => {
                let groups = groups.unwrap_or_default();
                if !groups.starts_with(SENTINEL_TITLE) {
                    text.push_str(SENTINEL_TITLE);
                    text.push_str("\r\n");
                }
                text.push_str(groups);
            }
            Section::Raft => {
                text.push_str("# Raft\r\n");
                log.iter().for_each(|log| text.push_str(&raft::info(log)));
            }
        }
    }
    // As Sentinel, a plain bulk string in RESP3 too.
    call.reply().bulk(text);
}

const SENTINEL_TITLE: &str = "# Sentinel";

/// Writes the lines `field:value`, below a title if there is one.
macro_rules! lines {
    ($to:expr, $title:literal, $($lines:tt)+) => {{
        $to.push_str(concat!("# ", $title, "\r\n"));
        lines!($to, $($lines)+);
    }};
    ($to:expr, $($field:literal: $value:expr,)+) => {{
        // Writing to a string cannot fail.
        $(let _ = write!($to, concat!($field, ":{}\r\n"), $value);)+
    }};
}

fn server(session: &Session, to: &mut String) {
    let identity = &session.server.context.identity;
    let system = rustix::system::uname();
    let uptime_s = session.now_ms() / 1000;
    // The wall clock is only shown, never reckoned with.
    let now_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    lines!(to, "Server",
        "redis_version": COMPATIBLE_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": identity.version,
        "redis_mode": "sentinel",
        "os": format_args!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "rust",
        "gcc_version": "0.0.0",
        "process_id": std::process::id(),
        "process_supervised": identity.supervised,
        "run_id": identity.run_id,
        "tcp_port": identity.port,
        "server_time_usec": now_us,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s / 86_400,
        "hz": 10,
        "configured_hz": 10,
        "lru_clock": (now_us / 1_000_000) & 0x00ff_ffff,
        "executable": identity.executable,
        "config_file": identity.config_file,
        "io_threads_active": 0,
        "bellwether_version": identity.version,
    );
    for (index, (name, address)) in identity.listeners.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = match address {
            Endpoint::Tcp(address) => write!(
                to,
                "listener{index}:name={name},bind={},port={}\r\n",
                address.ip(),
                address.port()
            ),
            Endpoint::Unix(path) => write!(to, "listener{index}:name={name},bind={}\r\n", path.display()),
        };
    }
}

fn clients(session: &Session, to: &mut String) {
    let all = session.server.clients.snapshot();
    lines!(to, "Clients",
        "connected_clients": all.len(),
        "cluster_connections": 0,
        "maxclients": session.server.context.limits.max_clients,
        "client_recent_max_input_buffer": 0,
        "client_recent_max_output_buffer": 0,
        "blocked_clients": 0,
        "tracking_clients": all.iter().filter(|client| client.is_tracking()).count(),
        "pubsub_clients": all.iter().filter(|client| client.is_subscriber()).count(),
        "watching_clients": 0,
        "clients_in_timeout_table": 0,
        "total_watched_keys": 0,
        "total_blocking_keys": 0,
        "total_blocking_keys_on_nokey": 0,
    );
}

fn stats(session: &Session, to: &mut String) {
    let stats = &session.server.stats;
    let rates = stats.rates();
    let hub = &session.server.context.hub;
    let (channels, patterns) = hub.topic_counts();
    lines!(to, "Stats",
        "total_connections_received": stats.connections.get(),
        "total_commands_processed": stats.commands.get(),
        "instantaneous_ops_per_sec": rates.commands.round(),
        "total_net_input_bytes": stats.input_bytes.get(),
        "total_net_output_bytes": stats.output_bytes.get(),
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": format_args!("{:.2}", rates.input_bytes / 1024.0),
        "instantaneous_output_kbps": format_args!("{:.2}", rates.output_bytes / 1024.0),
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": stats.rejected.get(),
    );
    zeros(to, DATA_FIELDS);
    lines!(to,
        "pubsub_channels": channels,
        "pubsub_patterns": patterns,
        "pubsubshard_channels": 0,
        "pubsub_clients_cut_off": hub.cut_off_total(),
    );
    zeros(to, WORK_FIELDS);
    lines!(to,
        "total_error_replies": stats.errors.get(),
        "dump_payload_sanitizations": 0,
        "total_reads_processed": stats.reads.get(),
        "total_writes_processed": stats.writes.get(),
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "acl_access_denied_auth": stats.denied_logins.get(),
        "acl_access_denied_cmd": stats.denied_commands.get(),
        "acl_access_denied_key": 0,
        "acl_access_denied_channel": stats.denied_channels.get(),
    );
}

/// Writes fields that only a data server counts.
fn zeros(to: &mut String, fields: &[(&str, &str)]) {
    for (field, zero) in fields {
        let _ = write!(to, "{field}:{zero}\r\n");
    }
}

const DATA_FIELDS: &[(&str, &str)] = &[
    ("sync_full", "0"),
    ("sync_partial_ok", "0"),
    ("sync_partial_err", "0"),
    ("expired_keys", "0"),
    ("expired_stale_perc", "0.00"),
    ("expired_time_cap_reached_count", "0"),
    ("expire_cycle_cpu_milliseconds", "0"),
    ("evicted_keys", "0"),
    ("evicted_clients", "0"),
    ("total_eviction_exceeded_time", "0"),
    ("current_eviction_exceeded_time", "0"),
    ("keyspace_hits", "0"),
    ("keyspace_misses", "0"),
];

const WORK_FIELDS: &[(&str, &str)] = &[
    ("latest_fork_usec", "0"),
    ("total_forks", "0"),
    ("migrate_cached_sockets", "0"),
    ("slave_expires_tracked_keys", "0"),
    ("active_defrag_hits", "0"),
    ("active_defrag_misses", "0"),
    ("active_defrag_key_hits", "0"),
    ("active_defrag_key_misses", "0"),
    ("total_active_defrag_time", "0"),
    ("current_active_defrag_time", "0"),
    ("tracking_total_keys", "0"),
    ("tracking_total_items", "0"),
    ("tracking_total_prefixes", "0"),
    ("unexpected_error_replies", "0"),
];

fn cpu(to: &mut String) {
    let whole = CpuSeconds::read("/proc/self/stat").unwrap_or_default();
    let main = CpuSeconds::read(&format!("/proc/self/task/{}/stat", std::process::id())).unwrap_or_default();
    let seconds = |value: f64| format!("{value:.6}");
    lines!(to, "CPU",
        "used_cpu_sys": seconds(whole.system),
        "used_cpu_user": seconds(whole.user),
        "used_cpu_sys_children": seconds(whole.children_system),
        "used_cpu_user_children": seconds(whole.children_user),
        "used_cpu_sys_main_thread": seconds(main.system),
        "used_cpu_user_main_thread": seconds(main.user),
    );
}

/// What a process or thread has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct CpuSeconds {
    user: f64,
    system: f64,
    children_user: f64,
    children_system: f64,
}

impl CpuSeconds {
    fn read(path: &str) -> Option<Self> {
        Self::parse(
            &fs::read_to_string(path).ok()?,
            rustix::param::clock_ticks_per_second(),
        )
    }

    /// Reads fields 14 to 17 of a `stat` file of procfs.
    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        // The second field, a name in parentheses, may hold blanks and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let mut next = || Some(fields.next()?.parse::<u64>().ok()? as f64 / ticks_per_second.max(1) as f64);
        Some(Self {
            user: next()?,
            system: next()?,
            children_user: next()?,
            children_system: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 3 4 20 0";
        let expected = CpuSeconds {
            user: 2.5,
            system: 0.5,
            children_user: 0.03,
            children_system: 0.04,
        };
        assert_eq!(CpuSeconds::parse(stat, 100), Some(expected));
        assert_eq!(CpuSeconds::parse("7 (a) S 1", 100), None);
        assert!(CpuSeconds::read("/proc/self/stat").is_some());
    }
}
