//! Failovers one after the other: each primary is killed and comes back, and nothing may get stuck.
//!
//! `BELLWETHER_CYCLES` sets how many; three without it.

use std::env;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, Options};

const CYCLES: u32 = 3;

#[test]
#[expect(clippy::print_stderr, reason = "a long run should show how far it has come")]
fn every_primary_is_killed_and_returns() -> Result<()> {
    let cycles = match env::var("BELLWETHER_CYCLES") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("BELLWETHER_CYCLES is {text}"))?,
        Err(_) => CYCLES,
    };
    let mut fleet = Fleet::start(Options {
        failover_timeout_ms: 3000,
        ..Options::from_env()?
    })?;
    let mut primary = fleet.settled()?;
    for cycle in 1..=cycles {
        let value = cycle.to_string();
        fleet
            .write("cycle", &value)
            .with_context(|| format!("cycle {cycle}"))?;
        let fault = fleet.servers[primary].kill()?;
        let new = fleet
            .wait_moved_from(primary)
            .with_context(|| format!("cycle {cycle}"))?;
        let moved = fault.elapsed();
        let stored = fleet.read("cycle")?;
        ensure!(
            stored.as_deref() == Some(value.as_str()),
            "cycle {cycle}: {stored:?} after the failover"
        );

        fleet.servers[primary].restart()?;
        let settled = fleet.wait_stable().with_context(|| format!("cycle {cycle}"))?;
        ensure!(
            settled == new,
            "cycle {cycle}: server-{settled} took over from server-{new}"
        );
        eprintln!(
            "cycle {cycle}: settled {moved:?} after the kill, whole again after {:?}",
            fault.elapsed()
        );
        primary = new;
    }
    fleet.finish()
}
