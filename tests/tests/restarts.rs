//! What coordinators and servers still know after a restart.

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, Options};

/// Ids that belong to no coordinator, as candidates of made-up elections.
const CANDIDATE: &str = "1111111111111111111111111111111111111111";
const RIVAL: &str = "2222222222222222222222222222222222222222";
/// Far above every epoch a fleet reaches by itself.
const EPOCH: u64 = 1000;

#[test]
fn a_restarted_coordinator_keeps_id_epochs_and_votes() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    // A real failover first, so that there is a config epoch to keep.
    fleet.servers[0].kill()?;
    let new = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    let port = fleet.servers[new].port();
    let id = fleet.coordinators[0].id().to_owned();
    let config_epoch = config_epoch(&fleet)?;
    ensure!(config_epoch > 0, "a failover left config epoch 0");
    let (_, leader, epoch) = fleet.coordinators[0].is_down(port, EPOCH, CANDIDATE)?;
    ensure!(
        (leader.as_str(), epoch) == (CANDIDATE, EPOCH),
        "a first request got {leader} {epoch}"
    );

    fleet.coordinators[0].kill()?;
    fleet.coordinators[0].restart()?;
    ensure!(
        fleet.coordinators[0].id() == id,
        "the id changed to {}",
        fleet.coordinators[0].id()
    );
    let kept = self::config_epoch(&fleet)?;
    ensure!(kept == config_epoch, "config epoch {config_epoch} became {kept}");
    let named = fleet.coordinators[0].primary_port()?;
    ensure!(named == port, "it names {named} after the restart, {port} before");
    let (_, leader, epoch) = fleet.coordinators[0].is_down(port, EPOCH, RIVAL)?;
    ensure!(leader != RIVAL, "a second vote in epoch {EPOCH}");
    ensure!(epoch == EPOCH, "the vote's epoch became {epoch}");
    let (_, leader, _) = fleet.coordinators[0].is_down(port, EPOCH - 1, RIVAL)?;
    ensure!(leader != RIVAL, "a vote in an epoch that is over");
    let (_, leader, epoch) = fleet.coordinators[0].is_down(port, EPOCH + 1, RIVAL)?;
    ensure!(
        (leader.as_str(), epoch) == (RIVAL, EPOCH + 1),
        "a new epoch got {leader} {epoch}"
    );

    // Orderly ends keep as much as kills.
    let status = fleet.coordinators[0].terminate()?;
    ensure!(status.success(), "SIGTERM gave {status}");
    fleet.coordinators[0].restart()?;
    ensure!(
        fleet.coordinators[0].id() == id,
        "the id changed to {}",
        fleet.coordinators[0].id()
    );
    let (_, leader, _) = fleet.coordinators[0].is_down(port, EPOCH + 1, CANDIDATE)?;
    ensure!(leader != CANDIDATE, "a second vote in epoch {}", EPOCH + 1);
    fleet.wait_stable()?;
    fleet.finish()
}

#[test]
fn a_restarted_coordinator_knows_the_others_from_its_file() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let config = fleet.coordinators[0].config_text()?;
    for server in &fleet.servers[1..] {
        let line = format!("127.0.0.1 {}", server.port());
        let known = config
            .lines()
            .any(|each| each.contains("known-replica") && each.ends_with(&line));
        ensure!(known, "no known-replica line for {line} in:\n{config}");
    }
    for coordinator in &fleet.coordinators[1..] {
        let known = config
            .lines()
            .any(|each| each.contains("known-sentinel") && each.ends_with(coordinator.id()));
        ensure!(
            known,
            "no known-sentinel line for {} in:\n{config}",
            coordinator.id()
        );
    }
    // The primary is gone when it comes back: only the file can tell it of the replicas.
    fleet.coordinators[0].kill()?;
    fleet.servers[0].kill()?;
    fleet.coordinators[0].restart()?;
    fleet.wait_moved_from(0)?;
    fleet.finish()
}

#[test]
fn everything_restarts() -> Result<()> {
    let server_config = ["appendonly yes", "appendfsync always"]
        .map(str::to_owned)
        .to_vec();
    let mut fleet = Fleet::start(Options {
        server_config,
        ..Options::from_env()?
    })?;
    // Away from the state the config files began with.
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.write("key", "kept")?;

    for coordinator in &mut fleet.coordinators {
        coordinator.kill()?;
    }
    for server in &mut fleet.servers {
        server.kill()?;
    }
    for coordinator in &mut fleet.coordinators {
        coordinator.spawn()?;
    }
    for server in &mut fleet.servers {
        server.spawn()?;
    }
    for coordinator in &mut fleet.coordinators {
        coordinator.wait_ready()?;
    }
    for server in &mut fleet.servers {
        server.wait_ready()?;
    }
    fleet.wait_stable()?;
    ensure!(
        fleet.read("key")?.as_deref() == Some("kept"),
        "a write that all had acknowledged was lost"
    );

    // And it still works.
    let primary = fleet.settled()?;
    fleet.servers[primary].kill()?;
    fleet.wait_moved_from(primary)?;
    fleet.finish()
}

fn config_epoch(fleet: &Fleet) -> Result<u64> {
    let fields = fleet.coordinators[0].primary()?;
    Ok(fields
        .get("config-epoch")
        .context("SENTINEL MASTER has no config-epoch")?
        .parse()?)
}
