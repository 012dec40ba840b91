//! A fleet moves from Redis Sentinel to Bellwether and back, one coordinator at a time, on the same files.

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, GROUP, Kind, Options, wait_for};

/// On the way there is no moment in which the fleet could not replace its primary: not while a coordinator is away, not
/// when it has just come up as the other kind, not when all is well again.
#[test]
fn a_fleet_moves_forth() -> Result<()> {
    moves(Kind::RedisSentinel, Kind::Bellwether)
}

#[test]
fn a_fleet_moves_back() -> Result<()> {
    moves(Kind::Bellwether, Kind::RedisSentinel)
}

fn moves(from: Kind, to: Kind) -> Result<()> {
    // The slower of the two sets the times.
    let mut options = Options::mixed(&[from, from, to]);
    options.kinds = vec![from; 3];
    // A Redis Sentinel that has given its vote stands back for twice this time.
    options.failover_timeout_ms = 2000;
    let mut fleet = Fleet::start(options)?;
    let mut primary = fleet.settled()?;
    for index in 0..3 {
        primary = move_one(&mut fleet, index, from, to, primary)
            .with_context(|| format!("sentinel-{index} becomes {}", to.name()))?;
    }
    fail_over(&mut fleet, primary).context("at the end")?;
    fleet.finish()
}

fn move_one(fleet: &mut Fleet, index: usize, from: Kind, to: Kind, primary: usize) -> Result<usize> {
    let coordinator = &mut fleet.coordinators[index];
    ensure!(coordinator.kind() == from, "it is not what it should be");
    let id = coordinator.id().to_owned();
    coordinator.terminate()?;
    can_fail_over(fleet, "with one away")?;
    let second = fail_over(fleet, primary).context("with one away")?;

    fleet.coordinators[index].become_kind(to)?;
    fleet.coordinators[index].restart()?;
    ensure!(fleet.coordinators[index].id() == id, "its id is lost");
    // Not waiting for anything: what its file says must do.
    let third = fail_over(fleet, second).context("just after its start")?;

    let settled = fleet.wait_stable()?;
    ensure!(settled == third, "server-{settled} took over from server-{third}");
    can_fail_over(fleet, "at rest")?;
    Ok(third)
}

/// Every coordinator that is there says that a failover is possible.
fn can_fail_over(fleet: &mut Fleet, when: &str) -> Result<()> {
    for coordinator in &mut fleet.coordinators {
        if coordinator.is_live() {
            let answer: String = coordinator.ask(&["SENTINEL", "CKQUORUM", GROUP])?;
            ensure!(
                answer.starts_with("OK "),
                "{when}: {} says {answer}",
                coordinator.name()
            );
        }
    }
    Ok(())
}

/// The fleet as it is must replace a dead primary and take it back.
fn fail_over(fleet: &mut Fleet, old: usize) -> Result<usize> {
    fleet.servers[old].kill()?;
    let new = fleet.wait_moved_from(old)?;
    fleet.servers[old].restart()?;
    let limit = fleet.options.failover_limit();
    wait_for("the old primary to follow", limit, || {
        let settled = fleet.settled()?;
        ensure!(settled == new, "server-{settled} took over from server-{new}");
        Ok(())
    })?;
    Ok(new)
}
