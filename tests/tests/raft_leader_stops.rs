//! Coordinators share a log and the one that leads is stopped in order, as for an upgrade: another one leads from then on,
//! without an election timeout in which nobody could fail anything over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Fleet, GROUP, Options, wait_for};

/// What a process needs for its end, with time to spare: it hands the lead over within a second or not at all.
const END_LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_leader_that_is_terminated_hands_its_lead_over() -> Result<()> {
    handed_over(|fleet, leader| {
        let status = fleet.coordinators[leader].terminate()?;
        ensure!(status.success(), "SIGTERM ends it with {status}");
        Ok(())
    })
}

#[test]
fn a_leader_that_is_shut_down_by_a_client_hands_its_lead_over() -> Result<()> {
    handed_over(|fleet, leader| {
        let coordinator = &mut fleet.coordinators[leader];
        coordinator.may_end();
        // The reply is the end of the connection.
        let _ = coordinator.ask::<()>(&["SHUTDOWN"]);
        wait_for("the end of the leader", END_LIMIT, || {
            ensure!(!coordinator.is_running(), "it still runs");
            Ok(())
        })
    })
}

/// Stops whoever leads with `stop`. It must have seen another one lead before its end, in the next term, which leaves no
/// room for an election timeout; and a primary that dies at that moment is replaced.
fn handed_over(stop: impl FnOnce(&mut Fleet, usize) -> Result<()>) -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let before = term(&fleet, leader)?;
    let fault = Instant::now();
    stop(&mut fleet, leader)?;
    fleet.servers[0].kill()?;
    let text = fleet.coordinators[leader].log_text();
    let line = text.lines().find(|line| line.contains("handed the lead over"));
    let line = line.context("it ended without having handed its lead over")?;
    let new = fleet.wait_log_leader()?;
    let member = format!("member {}", new + 1);
    ensure!(line.contains(&member), "{member} leads, told was: {line}");
    let after = term(&fleet, new)?;
    ensure!(
        after == before + 1,
        "term {before} came before term {after}: there was another election"
    );
    fleet.wait_moved_from(0)?;
    let begun = fleet
        .journal
        .since(fault)
        .into_iter()
        .find(|event| event.name == "+try-failover")
        .context("no failover was begun")?;
    ensure!(
        begun.source == new && begun.payload.contains(GROUP),
        "begun by {begun:?}, not by the new leader"
    );
    ensure!(term(&fleet, new)? == after, "the lead went on to somebody else");
    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;
    fleet.finish()
}

/// Nobody is left to take over: the others hang, or are gone. It ends all the same.
#[test]
fn a_leader_without_a_successor_ends_all_the_same() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let (second, third) = ((leader + 1) % 3, (leader + 2) % 3);
    fleet.coordinators[second].pause()?;
    fleet.coordinators[third].pause()?;
    let status = fleet.coordinators[leader].terminate()?;
    ensure!(status.success(), "SIGTERM ends it with {status}");
    let text = fleet.coordinators[leader].log_text();
    ensure!(!text.contains("handed the lead over"), "to whom?\n{text}");
    fleet.coordinators[second].resume()?;
    fleet.coordinators[third].resume()?;
    fleet.coordinators[leader].restart()?;
    fleet.wait_log_leader()?;

    // One after the other, as at the end of a test machine: the last has nobody left.
    for index in 0..3 {
        let status = fleet.coordinators[index].terminate()?;
        ensure!(status.success(), "SIGTERM ends {index} with {status}");
    }
    fleet.finish()
}

fn term(fleet: &Fleet, index: usize) -> Result<u64> {
    Ok(fleet.coordinators[index].log_field("raft_term")?.parse()?)
}
