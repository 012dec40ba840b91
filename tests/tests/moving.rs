//! A fleet moves from Redis Sentinel to Bellwether and back, one coordinator at a time, on the same files.

use anyhow::{Result, ensure};
use bellwether_tests::{Fleet, Kind, Options};

#[test]
fn a_fleet_moves_forth_and_back() -> Result<()> {
    // The slower of the two sets the times.
    let mut fleet = Fleet::start(Options::of(Kind::RedisSentinel))?;
    let mut primary = fleet.settled()?;
    for (from, to) in [
        (Kind::RedisSentinel, Kind::Bellwether),
        (Kind::Bellwether, Kind::RedisSentinel),
    ] {
        for index in 0..3 {
            ensure!(
                fleet.coordinators[index].kind() == from,
                "sentinel-{index} is not what it should be"
            );
            let id = fleet.coordinators[index].id().to_owned();
            fleet.coordinators[index].terminate()?;
            fleet.coordinators[index].become_kind(to)?;
            fleet.coordinators[index].restart()?;
            ensure!(
                fleet.coordinators[index].id() == id,
                "sentinel-{index} lost its id on the move"
            );
            let settled = fleet.wait_stable()?;
            ensure!(
                settled == primary,
                "the move of sentinel-{index} made server-{settled} the primary"
            );
            // With one and with two of three moved; the way back needs no second proof of the same mixtures.
            if to == Kind::Bellwether && index < 2 {
                primary = fail_over(&mut fleet, primary)?;
            }
        }
    }
    // What Bellwether wrote is now in the hands of the reference.
    fail_over(&mut fleet, primary)?;
    fleet.finish()
}

/// The fleet as mixed as it is must replace a dead primary and take it back.
fn fail_over(fleet: &mut Fleet, old: usize) -> Result<usize> {
    fleet.servers[old].kill()?;
    let new = fleet.wait_moved_from(old)?;
    fleet.servers[old].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(settled == new, "server-{settled} took over from server-{new}");
    Ok(new)
}
