//! Coordinators share a log: what goes on with a majority of them, stops without it, and goes on when it is back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Coordinator, Fleet, GROUP, Options};

/// A wrong failover would come within a second or two of the primary's death.
const WINDOW: Duration = Duration::from_secs(5);
const STEP_LIMIT: Duration = Duration::from_secs(30);

fn options(coordinators: usize) -> Options {
    Options {
        coordinators,
        quorum: 2,
        ..Options::sharing_log()
    }
}

#[test]
fn lost_and_regained() -> Result<()> {
    let mut fleet = Fleet::start(options(3))?;
    let leader = fleet.wait_log_leader()?;
    let (last, other) = ((leader + 1) % 3, (leader + 2) % 3);
    fleet.coordinators[leader].kill()?;
    fleet.coordinators[other].kill()?;
    let fault = fleet.servers[0].kill()?;
    fleet.journal.wait("+sdown", fault, STEP_LIMIT, |event| {
        (event.source == last && event.name == "+sdown").then_some(())
    })?;
    fleet.hold_primary(0, WINDOW)?;
    refuses(&fleet.coordinators[last])?;
    nothing_was_begun(&fleet, fault)?;

    // One more is a majority again, whichever it is.
    fleet.coordinators[other].restart()?;
    fleet.wait_moved_from(0)?;
    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;
    fleet.finish()
}

#[test]
fn three_of_five_are_enough_and_two_are_not() -> Result<()> {
    let mut fleet = Fleet::start(options(5))?;
    let leader = fleet.wait_log_leader()?;
    let follower = (leader + 1) % 5;
    fleet.coordinators[leader].kill()?;
    fleet.coordinators[follower].kill()?;
    fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;

    let third = (leader + 2) % 5;
    fleet.coordinators[third].kill()?;
    let fault = fleet.servers[second].kill()?;
    let left = [(leader + 3) % 5, (leader + 4) % 5];
    for source in left {
        fleet.journal.wait("+sdown", fault, STEP_LIMIT, |event| {
            (event.source == source && event.name == "+sdown").then_some(())
        })?;
    }
    fleet.hold_primary(second, WINDOW)?;
    for index in left {
        refuses(&fleet.coordinators[index])?;
    }
    nothing_was_begun(&fleet, fault)?;

    for index in [leader, follower, third] {
        fleet.coordinators[index].restart()?;
    }
    fleet.wait_moved_from(second)?;
    fleet.servers[second].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;
    fleet.finish()
}

/// An order is answered, and not carried out.
fn refuses(coordinator: &Coordinator) -> Result<()> {
    for words in [
        &["SENTINEL", "FAILOVER", GROUP][..],
        &["SENTINEL", "SET", GROUP, "quorum", "1"],
    ] {
        let answer = coordinator.order::<redis::Value>(words);
        let error = format!(
            "{:#}",
            answer.err().with_context(|| format!("{words:?} was accepted"))?
        );
        ensure!(error.contains("NOQUORUM"), "{words:?} gives {error}");
    }
    Ok(())
}

fn nothing_was_begun(fleet: &Fleet, fault: std::time::Instant) -> Result<()> {
    let events = fleet.journal.since(fault);
    let wrong = events
        .iter()
        .find(|event| event.name == "+try-failover" || event.name == "+switch-master");
    ensure!(wrong.is_none(), "without a majority: {wrong:?}");
    Ok(())
}
