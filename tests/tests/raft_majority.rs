//! Coordinators share a log: what goes on with a majority of them, stops without it, and goes on when it is back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Coordinator, Fleet, GROUP, Options, hold_for, wait_for};

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

/// With `stale-reads no` whoever is cut off tells no client an address that may be a former one by now, as if it did not
/// know the group; it is as before when a majority is back.
#[test]
fn cut_off_it_names_no_primary_if_it_is_told_so() -> Result<()> {
    let mut options = options(3);
    options
        .coordinator_config
        .push("bellwether stale-reads no".to_owned());
    let mut fleet = Fleet::start(options)?;
    let leader = fleet.wait_log_leader()?;
    // A leader that loses its followers, and a follower that loses its leader.
    for last in [leader, (leader + 1) % 3] {
        let gone = [(last + 1) % 3, (last + 2) % 3];
        for index in gone {
            fleet.coordinators[index].kill()?;
        }
        let known = &fleet.coordinators[last];
        wait_for("nothing to be told any more", STEP_LIMIT, || {
            let told = told(known)?;
            ensure!(told.is_none(), "it tells {told:?}");
            Ok(())
        })?;
        // All else is a matter of its own eyes.
        let port = known.primary()?.get("port").cloned();
        let expected = fleet.servers[0].port();
        ensure!(
            port == Some(expected.to_string()),
            "SENTINEL MASTER tells {port:?}"
        );
        // A restart does not make it fresher.
        fleet.coordinators[last].kill()?;
        fleet.coordinators[last].restart()?;
        hold_for("no address without a majority", WINDOW, || {
            let told = told(&fleet.coordinators[last])?;
            ensure!(told.is_none(), "after a restart it tells {told:?}");
            Ok(())
        })?;
        for index in gone {
            fleet.coordinators[index].restart()?;
        }
        for coordinator in &fleet.coordinators {
            wait_for("the address to be told again", STEP_LIMIT, || {
                let told = told(coordinator)?;
                ensure!(told == Some(expected), "{} tells {told:?}", coordinator.name());
                Ok(())
            })?;
        }
        fleet.wait_stable()?;
    }
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

fn told(coordinator: &Coordinator) -> Result<Option<u16>> {
    let address: Option<(String, u16)> = coordinator.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
    Ok(address.map(|(_, port)| port))
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
