//! Coordinators share a log whose state has some megabytes, and one that joins over a slow line is told all of it, without
//! being taken for dead meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bellwether_tests::shared_log::LOG_LIMIT;
use bellwether_tests::slow_line::SlowLine;
use bellwether_tests::{Coordinator, Fleet, Kind, Options, wait_for};

/// The state takes some six seconds on this line: more than twice the down-after of the group.
const BYTES_PER_SECOND: u32 = 1024 * 1024;
const GROUPS: usize = 32;
/// A password is the longest thing that a group can have.
const PASSWORD: usize = 192 * 1024;
const JOIN_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_new_member_is_told_megabytes_over_a_slow_line() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        down_after_ms: 2500,
        ..Options::sharing_log()
    })?;
    let leader = fleet.wait_log_leader()?;
    let password = "x".repeat(PASSWORD);
    for number in 0..GROUPS {
        add_group(&fleet.coordinators[leader], &format!("group-{number}"), &password)?;
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
    let leader = fleet.wait_log_leader_among(&[0, 1, 2])?;
    let start = Instant::now();
    fleet.coordinators[leader].order::<()>(&[
        "SENTINEL",
        "RAFT",
        "ADD",
        "4",
        "127.0.0.1",
        &line.port().to_string(),
    ])?;
    let all: u64 = fleet.coordinators[leader].log_field("raft_applied")?.parse()?;
    wait_for("the new one to have it all", JOIN_LIMIT, || {
        let applied: u64 = fleet.coordinators[index].log_field("raft_applied")?.parse()?;
        ensure!(applied >= all, "{applied} of {all}");
        Ok(())
    })?;
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

/// Both orders are said again where a busy machine takes too long: said twice they come to the same.
fn add_group(coordinator: &Coordinator, name: &str, password: &str) -> Result<()> {
    wait_for("another group", LOG_LIMIT, || {
        let known: Option<(String, u16)> = coordinator.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name])?;
        if known.is_none() {
            // Nobody listens there.
            coordinator.order::<()>(&["SENTINEL", "MONITOR", name, "127.0.0.1", "1", "2"])?;
        }
        coordinator.order::<()>(&["SENTINEL", "SET", name, "auth-pass", password])
    })
}
