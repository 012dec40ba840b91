//! Servers with a tiny router between them.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

fn spec(port: u16, follows: Option<SocketAddr>) -> ServerSpec {
    ServerSpec {
        addr: SocketAddr::from(([10, 0, 0, 1], port)),
        run_seed: u64::from(port),
        follows,
        priority: 100,
        announced: true,
        repl_timeout: Duration::from_secs(60),
        ping_period: Duration::from_secs(10),
        backlog: 100,
        full_sync_time: Duration::from_secs(2),
        has_failover: true,
        min_replicas_to_write: 0,
        min_replicas_max_lag: Duration::from_secs(10),
        serves_stale: true,
        config_writable: true,
    }
}

#[test]
fn a_start_is_due_at_once_and_dials() {
    let primary = SocketAddr::from(([10, 0, 0, 1], 1));
    let mut server = Server::start(spec(2, Some(primary)), None, Time::ZERO);
    assert_eq!(server.next_deadline(), Some(Time::ZERO));
    let mut acts = Vec::new();
    server.wake(Time::ZERO, &mut acts);
    assert_eq!(acts, [Act::Dial { to: primary, dial: 1 }]);
}
