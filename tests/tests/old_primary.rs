//! A primary that was replaced comes back and becomes a replica of its successor.

use std::time::Duration;

use anyhow::{Result, ensure};
use bellwether_tests::{Fleet, Options};

/// Unlike Sentinel, which waits 8 to 20 s: nothing but the time to see it answer and to sync.
const RETURN_LIMIT: Duration = Duration::from_secs(6);
/// As Sentinel: 20 s at most, and the time to sync.
const RETURN_LIMIT_REFERENCE: Duration = Duration::from_secs(40);

#[test]
fn it_follows_after_a_restart() -> Result<()> {
    returns(
        |fleet| fleet.servers[0].kill().map(drop),
        |fleet| fleet.servers[0].restart(),
    )
}

#[test]
fn it_follows_after_waking_up() -> Result<()> {
    returns(
        |fleet| fleet.servers[0].pause().map(drop),
        |fleet| fleet.servers[0].resume(),
    )
}

#[test]
fn it_follows_after_coming_back_empty() -> Result<()> {
    returns(
        |fleet| fleet.servers[0].kill().map(drop),
        |fleet| fleet.servers[0].restart_empty(),
    )
}

fn returns(
    fault: impl FnOnce(&mut Fleet) -> Result<()>,
    repair: impl FnOnce(&mut Fleet) -> Result<()>,
) -> Result<()> {
    let server_config = vec!["appendonly yes".to_owned()];
    let mut fleet = Fleet::start(Options {
        server_config,
        ..Options::from_env()?
    })?;
    fleet.write("key", "kept")?;
    fault(&mut fleet)?;
    let new = fleet.wait_moved_from(0)?;
    repair(&mut fleet)?;
    let limit = fleet.options.kind.pick(RETURN_LIMIT, RETURN_LIMIT_REFERENCE);
    let settled = fleet.wait_settled(limit)?;
    ensure!(settled == new, "server-{settled} took over from server-{new}");
    ensure!(
        fleet.read("key")?.as_deref() == Some("kept"),
        "the data did not survive the return"
    );
    fleet.wait_stable()?;
    fleet.finish()
}
