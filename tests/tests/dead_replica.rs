//! Replicas that die during a failover, or must not be promoted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, Options};

/// Until a replica is chosen: detection and an election.
const SELECTED_LIMIT: Duration = Duration::from_secs(30);

fn options() -> Result<Options> {
    // A failover whose candidate is gone may take up to this time, so it should be short.
    Ok(Options {
        failover_timeout_ms: 3000,
        ..Options::from_env()?
    })
}

#[test]
fn the_chosen_replica_dies() -> Result<()> {
    let mut fleet = Fleet::start(options()?)?;
    let fault = fleet.servers[0].kill()?;
    let chosen = selected(&fleet, fault)?;
    fleet.servers[chosen].kill()?;
    // Wherever the failover had got to, the one replica that is left must end up as the primary.
    let limit = fleet.options.failover_limit();
    let left = 3 - chosen;
    let primary = fleet.wait_settled(limit)?;
    ensure!(
        primary == left,
        "server-{primary} is the primary, only server-{left} lives"
    );

    fleet.servers[chosen].restart()?;
    fleet.servers[0].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == left,
        "server-{settled} took over from server-{left} when the others returned"
    );
    fleet.finish()
}

#[test]
fn another_replica_dies() -> Result<()> {
    let mut fleet = Fleet::start(options()?)?;
    let fault = fleet.servers[0].kill()?;
    let chosen = selected(&fleet, fault)?;
    let other = 3 - chosen;
    fleet.servers[other].kill()?;
    let new = fleet.wait_moved_from(0)?;
    ensure!(
        new == chosen,
        "server-{chosen} was chosen, server-{new} is the primary"
    );

    fleet.servers[other].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

#[test]
fn no_replica_may_be_promoted() -> Result<()> {
    let replica_config = vec!["replica-priority 0".to_owned()];
    let mut fleet = Fleet::start(Options {
        replica_config,
        ..options()?
    })?;
    let fault = fleet.servers[0].kill()?;
    let limit = fleet.options.failover_limit();
    fleet
        .journal
        .wait_event("-failover-abort-no-good-slave", fault, limit)?;
    // Retries come within this window, and must end in the same way.
    fleet.hold_primary(0, Duration::from_secs(5))?;
    let events = fleet.journal.since(fault);
    let chosen = events
        .iter()
        .find(|event| event.name == "+selected-slave" || event.name == "+switch-master");
    ensure!(
        chosen.is_none(),
        "a replica with priority 0 was chosen: {chosen:?}"
    );

    fleet.servers[0].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == 0,
        "server-{settled} took over from a primary that came back"
    );
    fleet.finish()
}

#[test]
fn the_better_priority_is_promoted() -> Result<()> {
    let mut fleet = Fleet::start(options()?)?;
    bellwether_tests::client::ask::<()>(
        fleet.servers[2].port(),
        &["CONFIG", "SET", "replica-priority", "10"],
    )?;
    let port = fleet.servers[2].port().to_string();
    bellwether_tests::wait_for("the priority to be known", Duration::from_secs(30), || {
        for coordinator in &fleet.coordinators {
            let replicas = coordinator.replicas()?;
            let replica = replicas.iter().find(|fields| fields.get("port") == Some(&port));
            let priority = replica
                .and_then(|fields| fields.get("slave-priority"))
                .context("unknown replica")?;
            ensure!(priority == "10", "{} has priority {priority}", coordinator.name());
        }
        Ok(())
    })?;
    fleet.servers[0].kill()?;
    let new = fleet.wait_moved_from(0)?;
    ensure!(new == 2, "server-{new} was promoted");
    fleet.finish()
}

/// Waits for `+selected-slave` and gives the server it names.
fn selected(fleet: &Fleet, fault: std::time::Instant) -> Result<usize> {
    let event = fleet
        .journal
        .wait_event("+selected-slave", fault, SELECTED_LIMIT)?;
    // As Sentinel: `slave <name> <ip> <port> @ ...`.
    let port: u16 = event
        .payload
        .split(' ')
        .nth(3)
        .context("+selected-slave names no port")?
        .parse()?;
    fleet
        .servers
        .iter()
        .position(|server| server.port() == port)
        .context("+selected-slave names no server of ours")
}
