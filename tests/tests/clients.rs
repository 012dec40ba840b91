//! Real client libraries write through a failover without being restarted or told anything.

use std::time::Duration;

use anyhow::{Result, ensure};
use bellwether_tests::client_script::ClientScript;
use bellwether_tests::{Fleet, Options};

/// A client writes about a hundred times a second; its own timeouts and back-offs are below a few seconds.
const WRITES_LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "counter";

#[test]
fn redis_py_writes_through_a_failover() -> Result<()> {
    writes_through_a_failover(|fleet| ClientScript::python("redis_py_writer.py", fleet, KEY))
}

#[test]
fn ioredis_writes_through_a_failover() -> Result<()> {
    writes_through_a_failover(|fleet| ClientScript::node("ioredis_writer.js", fleet, KEY))
}

fn writes_through_a_failover(start: impl FnOnce(&Fleet) -> Result<ClientScript>) -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let mut client = start(&fleet)?;
    client.wait_line("replica ok", WRITES_LIMIT)?;
    client.wait_more(50, WRITES_LIMIT)?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    client.wait_more(50, WRITES_LIMIT)?;
    // The last write was accepted by the new primary, and nobody else writes.
    let last = client.end()?;
    let stored = fleet.read(KEY)?;
    ensure!(
        stored == Some(last.to_string()),
        "the last accepted write was {last}, stored is {stored:?}"
    );
    fleet.finish()
}
