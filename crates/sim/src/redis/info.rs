//! The text of `INFO` in the sections and the order of Redis 7.0: what a coordinator reads is true, and so are a
//! few fields around it; the rest stands for what it has to pass over.

use std::fmt::Write;

use super::Server;
use super::link::Link;
use super::replicas::{Replica, Stage};
use crate::message::ReplId;
use crate::time::Time;

/// Room for a text without replicas, and for each line of one.
const TEXT_LEN: usize = 2_048;
const LINE_LEN: usize = 80;

/// One line; a `String` takes everything.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{
        let _infallible = write!($out, $($arg)*);
        $out.push_str("\r\n");
    }};
}

impl Server {
    pub(super) fn info(&self, now: Time) -> String {
        let mut out = String::with_capacity(TEXT_LEN + LINE_LEN * self.replicas.len());
        self.server_section(now, &mut out);
        let blocked = self.clients.values().filter(|c| c.is_blocked()).count();
        line!(
            out,
            "# Clients\r\nconnected_clients:{}\r\ncluster_connections:0\r\nmaxclients:10000\r\nblocked_clients:{blocked}",
            self.clients.len()
        );
        out.push_str(MEMORY);
        line!(
            out,
            "# Persistence\r\nloading:{}\r\nasync_loading:0\r\nrdb_bgsave_in_progress:{}\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n",
            u8::from(self.loading.is_some()),
            u8::from(self.replicas.values().any(|r| r.snapshot_at().is_some())),
        );
        line!(
            out,
            "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\nsync_full:{}\r\nsync_partial_ok:{}\r\nsync_partial_err:{}\r\npubsub_channels:{}\r\n",
            self.stats.connections,
            self.stats.commands,
            self.stats.sync_full,
            self.stats.sync_partial,
            self.stats.sync_partial_refused,
            u8::from(self.clients.values().any(|c| c.coordinator)),
        );
        self.replication_section(now, &mut out);
        out.push_str(REST);
        out
    }

    fn server_section(&self, now: Time, out: &mut String) {
        let uptime = now.since(self.started_at).as_secs();
        out.push_str(SERVER);
        line!(out, "run_id:{}", self.run_id);
        line!(out, "tcp_port:{}", self.spec.addr.port());
        line!(out, "server_time_usec:{}", now.micros());
        line!(out, "uptime_in_seconds:{uptime}");
        line!(out, "uptime_in_days:{}", uptime / 86_400);
        out.push_str("hz:10\r\nconfigured_hz:10\r\nexecutable:/usr/bin/redis-server\r\n");
        out.push_str("config_file:/etc/redis/redis.conf\r\nio_threads_active:0\r\n\r\n");
    }

    fn replication_section(&self, now: Time, out: &mut String) {
        out.push_str("# Replication\r\n");
        let role = if self.is_primary() { "master" } else { "slave" };
        line!(out, "role:{role}");
        self.as_replica(now, out);
        line!(out, "connected_slaves:{}", self.replicas.len());
        if self.needs_replicas() {
            line!(out, "min_slaves_good_slaves:{}", self.good_replicas);
        }
        for (n, replica) in self.replicas.values().enumerate() {
            replica_line(now, n, replica, out);
        }
        if self.spec.has_failover {
            line!(out, "master_failover_state:{}", self.handover.wire());
        }
        let (offset, oldest) = (self.data.offset(), self.data.backlog_from(self.spec.backlog));
        line!(out, "master_replid:{}", Hex(self.data.replid));
        let second = self.data.second.map_or(ReplId(0), |(replid, _)| replid);
        line!(out, "master_replid2:{}", Hex(second));
        line!(out, "master_repl_offset:{offset}");
        match self.data.second {
            Some((_, until)) => line!(out, "second_repl_offset:{}", until + 1),
            None => line!(out, "second_repl_offset:-1"),
        }
        line!(out, "repl_backlog_active:1");
        line!(out, "repl_backlog_size:{}", self.spec.backlog);
        line!(out, "repl_backlog_first_byte_offset:{}", oldest + 1);
        line!(out, "repl_backlog_histlen:{}\r\n", offset - oldest);
    }

    fn as_replica(&self, now: Time, out: &mut String) {
        let Some(primary) = self.follows else { return };
        let up = self.link_up();
        line!(out, "master_host:{}", primary.ip());
        line!(out, "master_port:{}", primary.port());
        line!(out, "master_link_status:{}", if up { "up" } else { "down" });
        match self.link {
            Link::Up { last_io, .. } => {
                line!(out, "master_last_io_seconds_ago:{}", now.since(last_io).as_secs());
            }
            _ => line!(out, "master_last_io_seconds_ago:-1"),
        }
        let transferring = self.link.is_transferring();
        line!(out, "master_sync_in_progress:{}", u8::from(transferring));
        // As the reference: one that cannot go on where it stands has no offset.
        let offset = if up || self.resumable {
            self.data.offset()
        } else {
            1
        };
        line!(out, "slave_read_repl_offset:{offset}");
        line!(out, "slave_repl_offset:{offset}");
        if transferring {
            out.push_str("master_sync_total_bytes:0\r\nmaster_sync_read_bytes:0\r\n");
            out.push_str("master_sync_left_bytes:0\r\nmaster_sync_perc:0.00\r\n");
            out.push_str("master_sync_last_io_seconds_ago:0\r\n");
        }
        match self.link_down_since {
            _ if up => {}
            Some(since) => {
                line!(
                    out,
                    "master_link_down_since_seconds:{}",
                    now.since(since).as_secs()
                );
            }
            None => line!(out, "master_link_down_since_seconds:-1"),
        }
        line!(out, "slave_priority:{}", self.spec.priority);
        line!(out, "slave_read_only:1");
        line!(out, "replica_announced:{}", u8::from(self.spec.announced));
    }
}

fn replica_line(now: Time, n: usize, replica: &Replica, out: &mut String) {
    let state = match replica.stage {
        Stage::Snapshot { .. } => "wait_bgsave",
        Stage::Loading => "send_bulk",
        Stage::Online => "online",
    };
    line!(
        out,
        "slave{n}:ip={},port={},state={state},offset={},lag={}",
        replica.listens.ip(),
        replica.listens.port(),
        replica.acked,
        replica.lag_s(now)
    );
}

/// The id of a history in 40 digits.
struct Hex(ReplId);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(ReplId(id)) = self;
        write!(f, "{id:016x}{:024x}", id.rotate_left(32))
    }
}

const SERVER: &str = "# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n\
    redis_build_id:0\r\nredis_mode:standalone\r\nos:Linux x86_64\r\narch_bits:64\r\n\
    monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\nprocess_id:1\r\nprocess_supervised:no\r\n";

const MEMORY: &str = "\r\n# Memory\r\nused_memory:1013832\r\nused_memory_human:990.07K\r\nmaxmemory:0\r\n\
    maxmemory_policy:noeviction\r\nmem_fragmentation_ratio:7.42\r\nmem_clients_slaves:0\r\n\
    mem_allocator:jemalloc-5.3.0\r\n\r\n";

const REST: &str = "# CPU\r\nused_cpu_sys:0.000000\r\nused_cpu_user:0.005370\r\n\r\n# Modules\r\n\r\n\
    # Errorstats\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n";
