//! Coordinators share a log whose state has some megabytes, and one that joins over a slow line is told all of it, without
//! being taken for dead meanwhile and without losing its leader.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bellwether_tests::shared_log::LOG_LIMIT;
use bellwether_tests::slow_line::SlowLine;
use bellwether_tests::{Coordinator, Fleet, Kind, Options, wait_for};

/// The state takes some three seconds on this line, four times the down-after of the group.
const BYTES_PER_SECOND: u32 = 1024 * 1024;
const GROUPS: usize = 24;
/// A password is the longest thing that a group can have.
const PASSWORD: usize = 128 * 1024;
const JOIN_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_new_member_is_told_megabytes_over_a_slow_line() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let password = "x".repeat(PASSWORD);
    for number in 0..GROUPS {
        let name = format!("group-{number}");
        let told = &fleet.coordinators[leader];
        // Nobody listens there.
        told.order::<()>(&["SENTINEL", "MONITOR", &name, "127.0.0.1", "1", "2"])?;
        told.order::<()>(&["SENTINEL", "SET", &name, "auth-pass", &password])?;
    }
    fleet.coordinators[leader].order::<()>(&["SENTINEL", "RAFT", "SNAPSHOT"])?;

    let lines: Vec<String> = (1..)
        .zip(&fleet.coordinators)
        .map(|(id, coordinator)| coordinator.member_line(id))
        .collect();
    let directives = fleet.options.directives(fleet.servers[0].port());
    let new = fleet.prepare_coordinator(Kind::Bellwether, &directives)?;
    new.share_log(4, &lines)?;
    new.restart()?;
    let (index, id) = (new.index(), new.id().to_owned());
    let line = SlowLine::to(new.port(), BYTES_PER_SECOND)?;
    let term = fleet.coordinators[leader].log_field("raft_term")?;
    let start = Instant::now();
    fleet.coordinators[leader].order::<()>(&[
        "SENTINEL",
        "RAFT",
        "ADD",
        "4",
        "127.0.0.1",
        &line.port().to_string(),
    ])?;
    let followed = follows_until_it_has_all(&fleet.coordinators[leader], &fleet.coordinators[index])?;
    ensure!(
        followed > 3,
        "it was seen {followed} times to follow: was this line slow?"
    );
    let (passed, least) = (line.passed(), (GROUPS * PASSWORD) as u64);
    ensure!(
        passed > least && passed < 2 * least,
        "{passed} bytes have passed for a state of {least}"
    );
    wait_for("its vote", LOG_LIMIT, || {
        let text: String = fleet.coordinators[leader].ask(&["INFO", "raft"])?;
        let voter = text
            .lines()
            .any(|line| line.contains("id=4,") && line.contains("voter=1"));
        ensure!(voter, "{text}");
        Ok(())
    })?;
    for coordinator in &fleet.coordinators {
        let now = coordinator.log_field("raft_term")?;
        ensure!(now == term, "{} is in term {now}, not {term}", coordinator.name());
    }
    let events = fleet.journal.since(start);
    let down = events
        .iter()
        .find(|event| event.name == "+sdown" && event.payload.contains(&id));
    ensure!(down.is_none(), "it was held for dead: {down:?}");

    // It has it all, and goes on from there by itself.
    fleet.coordinators[index].kill()?;
    fleet.coordinators[index].restart()?;
    wait_for("all groups on the new one", LOG_LIMIT, || {
        let info: String = fleet.coordinators[index].ask(&["INFO", "sentinel"])?;
        let expected = format!("sentinel_masters:{}", GROUPS + 1);
        ensure!(info.contains(&expected), "{info}");
        Ok(())
    })?;
    fleet.coordinators[leader].kill()?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.finish()
}

/// Watches the new one until it has as much as the leader. From when it knows its leader on it must never be without one.
/// Gives how often it was seen to follow before.
fn follows_until_it_has_all(leader: &Coordinator, new: &Coordinator) -> Result<usize> {
    let deadline = Instant::now() + JOIN_LIMIT;
    let own = leader.log_field("raft_id")?;
    let all: u64 = leader.log_field("raft_applied")?.parse()?;
    let mut followed = 0;
    while Instant::now() < deadline {
        let follows = new.log_field("raft_leader")?;
        ensure!(
            follows == own || followed == 0,
            "it follows {follows} after it has followed {own} {followed} times"
        );
        followed += usize::from(follows == own);
        let applied: u64 = new.log_field("raft_applied")?.parse()?;
        if applied >= all {
            return Ok(followed);
        }
    }
    bail!("it has not got all of the state in time")
}
