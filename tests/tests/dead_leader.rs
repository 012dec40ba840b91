//! The coordinator that leads dies with the primary, or in the middle of its failover: another one takes over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, Options};

fn options() -> Result<Options> {
    let mut options = Options::from_env()?;
    // With Bellwether the takeover must not depend on this time: a test that waited for it would fail at its limit.
    options.failover_timeout_ms = options.kind.pick(120_000, 4000);
    Ok(options)
}

/// Far above what detection and a second election need, far below the failover timeout of the options above.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn primary_and_leader_die_together() -> Result<()> {
    let mut fleet = Fleet::start(options()?)?;
    let fault = fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    let leader = fleet
        .journal
        .wait_event("+elected-leader", fault, TAKEOVER_LIMIT)?
        .source;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;

    fleet.servers[second].kill()?;
    fleet.coordinators[leader].kill()?;
    let third = moved(&mut fleet, second)?;

    fleet.servers[second].restart()?;
    fleet.coordinators[leader].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == third,
        "server-{settled} took over from server-{third} when the others returned"
    );
    fleet.finish()
}

#[test]
fn the_leader_dies_right_after_its_election() -> Result<()> {
    let mut fleet = Fleet::start(options()?)?;
    let fault = fleet.servers[0].kill()?;
    let leader = kill_elected(&mut fleet, fault)?;
    moved(&mut fleet, 0)?;

    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

/// The same, with the replicas frozen from before the election until after the leader's death: the leader certainly did
/// not get beyond asking for the promotion, and its request may still be waiting in a replica's socket.
#[test]
fn the_leader_dies_before_any_replica_has_moved() -> Result<()> {
    let mut options = options()?;
    // Room between the fault and sdown, in which the replicas are frozen.
    options.down_after_ms = 2000;
    let mut fleet = Fleet::start(options)?;
    let fault = fleet.servers[0].kill()?;
    // Not earlier: a replica that has been silent for too long is no candidate.
    let half = fleet.options.down_after() / 2;
    std::thread::sleep(half.saturating_sub(fault.elapsed()));
    for server in &mut fleet.servers[1..] {
        server.pause()?;
    }
    let leader = kill_elected(&mut fleet, fault)?;
    for server in &mut fleet.servers[1..] {
        server.resume()?;
    }
    moved(&mut fleet, 0)?;

    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

/// Waits for the first election after `fault` and kills who won it, at once.
fn kill_elected(fleet: &mut Fleet, fault: Instant) -> Result<usize> {
    let majority = fleet.coordinators.len() / 2 + 1;
    let ids: Vec<String> = fleet
        .coordinators
        .iter()
        .map(|each| each.id().to_owned())
        .collect();
    let mut votes: HashMap<String, usize> = HashMap::new();
    let leader = fleet.journal.wait("a leader", fault, TAKEOVER_LIMIT, |event| {
        match event.name.as_str() {
            "+elected-leader" => Some(event.source),
            "+vote-for-leader" => {
                // Id and epoch: votes of one election are equal as a whole.
                let given = votes.entry(event.payload.clone()).or_default();
                *given += 1;
                let elected = *given >= majority;
                ids.iter()
                    .position(|id| elected && event.payload.starts_with(id.as_str()))
            }
            _ => None,
        }
    })?;
    fleet.coordinators[leader].kill().context("killing the leader")?;
    Ok(leader)
}

fn moved(fleet: &mut Fleet, old: usize) -> Result<usize> {
    bellwether_tests::wait_for("another leader's failover", TAKEOVER_LIMIT, || {
        let primary = fleet.settled()?;
        ensure!(primary != old, "server-{old} is still the primary");
        Ok(primary)
    })
}
