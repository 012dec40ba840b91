//! A coordinator that cannot store a vote does not give it. Needs root, to mount a small file system.

use std::time::Duration;

use anyhow::{Result, ensure};
use bellwether_tests::{Fleet, Options, wait_for};

const CANDIDATE: &str = "1111111111111111111111111111111111111111";
/// Far above every epoch a fleet reaches by itself.
const EPOCH: u64 = 1000;
const LOG_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn no_vote_is_given_that_cannot_be_stored() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        small_disk_on: Some(0),
        ..Options::from_env()?
    })?;
    fleet.coordinators[0].disk()?.fill()?;
    // A coordinator that cannot store its state may end: the others are there to go on.
    fleet.coordinators[0].may_end();
    let port = fleet.servers[0].port();
    if let Ok((_, leader, epoch)) = fleet.coordinators[0].is_down(port, EPOCH, CANDIDATE) {
        ensure!(
            leader != CANDIDATE,
            "it gave a vote for epoch {epoch} with a full disk"
        );
    }
    wait_for("the error in the log", LOG_LIMIT, || {
        let log = fleet.coordinators[0].log_text().to_lowercase();
        ensure!(
            log.contains("no space left on device"),
            "the log does not name the full disk"
        );
        Ok(())
    })?;

    recover(fleet)
}

#[test]
fn the_others_fail_over() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        small_disk_on: Some(0),
        ..Options::from_env()?
    })?;
    fleet.coordinators[0].disk()?.fill()?;
    fleet.coordinators[0].may_end();
    let fault = fleet.servers[0].kill()?;
    // The one without a disk may be behind, or gone: the other two are enough, and must agree.
    let limit = fleet.options.failover_limit();
    for source in [1, 2] {
        fleet.journal.wait(
            &format!("+switch-master from sentinel-{source}"),
            fault,
            limit,
            |event| (event.source == source && event.name == "+switch-master").then_some(()),
        )?;
    }
    let events = fleet.journal.since(fault);
    let vote = events
        .iter()
        .find(|event| event.source == 0 && event.name == "+vote-for-leader");
    ensure!(vote.is_none(), "with a full disk it told of {vote:?}");
    recover(fleet)
}

/// With space again, and started again if it has ended, the coordinator is as good as any.
fn recover(mut fleet: Fleet) -> Result<()> {
    fleet.coordinators[0].disk()?.free()?;
    if !fleet.coordinators[0].is_running() {
        fleet.coordinators[0].restart()?;
    }
    fleet.wait_stable()?;
    let primary = fleet.settled()?;
    fleet.servers[primary].kill()?;
    fleet.wait_moved_from(primary)?;
    fleet.finish()
}
