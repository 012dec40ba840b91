//! Too few coordinators agree that the primary is down, or too few can elect a leader: nothing is touched.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bellwether_tests::{Fleet, Options};

/// A wrong failover would come within a second or two of the last condition it waits for.
const WINDOW: Duration = Duration::from_secs(6);
const DETECTED_LIMIT: Duration = Duration::from_secs(20);

#[test]
fn without_quorum_nothing_happens() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        quorum: 3,
        ..Options::from_env()?
    })?;
    fleet.coordinators[2].kill()?;
    let fault = fleet.servers[0].kill()?;
    wait_from_each(&fleet, &[0, 1], "+sdown", fault)?;
    fleet.hold_primary(0, WINDOW)?;
    let events = fleet.journal.since(fault);
    let wrong = events
        .iter()
        .find(|event| event.name == "+odown" || event.name == "+try-failover");
    ensure!(wrong.is_none(), "two of three required views led to {wrong:?}");

    fleet.coordinators[2].restart()?;
    fleet.wait_moved_from(0)?;
    fleet.finish()
}

#[test]
fn without_majority_nothing_happens_until_it_returns() -> Result<()> {
    let options = Options {
        coordinators: 5,
        quorum: 2,
        failover_timeout_ms: 3000,
        ..Options::from_env()?
    };
    let mut fleet = Fleet::start(options)?;
    for coordinator in &mut fleet.coordinators[2..] {
        coordinator.kill()?;
    }
    let fault = fleet.servers[0].kill()?;
    wait_from_each(&fleet, &[0, 1], "+odown", fault)?;
    fleet.hold_primary(0, WINDOW)?;
    let events = fleet.journal.since(fault);
    let wrong = events.iter().find(|event| event.name == "+elected-leader");
    ensure!(
        wrong.is_none(),
        "two of five coordinators elected a leader: {wrong:?}"
    );

    for coordinator in &mut fleet.coordinators[2..] {
        coordinator.restart()?;
    }
    fleet.wait_moved_from(0)?;
    fleet.finish()
}

#[test]
fn a_coordinator_alone_does_not_count_itself_twice() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        quorum: 1,
        ..Options::from_env()?
    })?;
    fleet.coordinators[1].kill()?;
    fleet.coordinators[2].kill()?;
    let fault = fleet.servers[0].kill()?;
    wait_from_each(&fleet, &[0], "+odown", fault)?;
    fleet.hold_primary(0, WINDOW)?;
    fleet.finish()
}

fn wait_from_each(fleet: &Fleet, sources: &[usize], name: &str, fault: Instant) -> Result<()> {
    for source in sources {
        fleet.journal.wait(
            &format!("{name} from sentinel-{source}"),
            fault,
            DETECTED_LIMIT,
            |event| {
                (event.source == *source && event.name == name && event.payload.starts_with("master "))
                    .then_some(())
            },
        )?;
    }
    Ok(())
}
