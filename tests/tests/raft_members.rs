//! Coordinators share a log: one of them loses its disk and is replaced, and a sentinel that is none of them turns up.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bellwether_tests::shared_log::LOG_LIMIT;
use bellwether_tests::{Coordinator, Fleet, GROUP, Kind, Options, wait_for};

/// A wrong failover would come within a second or two of the primary's death.
const WINDOW: Duration = Duration::from_secs(4);
const STEP_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_member_without_its_disk_is_replaced() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let wiped = (leader + 1) % 3;
    // The others know by now that it has acknowledged something.
    fleet.coordinators[leader].order::<()>(&["SENTINEL", "SET", GROUP, "parallel-syncs", "3"])?;
    fleet.coordinators[wiped].kill()?;
    let state = fleet.coordinators[wiped].dir().join("state");
    fs::remove_dir_all(&state)?;
    fs::create_dir(&state)?;
    fleet.coordinators[wiped].restart()?;
    wait_for("the member to notice what it has lost", LOG_LIMIT, || {
        let problem = fleet.coordinators[wiped].log_field("raft_problem")?;
        ensure!(problem.contains("new id"), "its problem is {problem}");
        Ok(())
    })?;
    takes_no_part(&fleet.coordinators[wiped])?;

    // With the leader gone, its vote would make a majority. It has none to give.
    fleet.coordinators[leader].kill()?;
    let third = 3 - leader - wiped;
    let refused = fleet.coordinators[third].order::<()>(&["SENTINEL", "SET", GROUP, "parallel-syncs", "4"]);
    let refused = format!(
        "{:#}",
        refused
            .err()
            .context("two, of which one is empty, are a majority")?
    );
    ensure!(refused.contains("NOQUORUM"), "{refused}");
    takes_no_part(&fleet.coordinators[wiped])?;
    fleet.coordinators[wiped].kill()?;
    fleet.coordinators[leader].restart()?;

    // The two others go on without it.
    fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    let leader = fleet.wait_log_leader()?;

    let old_id = (wiped + 1).to_string();
    let lines: Vec<String> = (1..)
        .zip(&fleet.coordinators)
        .map(|(id, coordinator)| coordinator.member_line(id))
        .collect();
    let directives = fleet.options.directives(fleet.servers[0].port());
    let new = fleet.prepare_coordinator(Kind::Bellwether, &directives)?;
    new.share_log(4, &lines)?;
    new.restart()?;
    let port = new.port().to_string();
    fleet.coordinators[leader].order::<()>(&[
        "SENTINEL",
        "RAFT",
        "ADD",
        "4",
        "127.0.0.1",
        &port,
        "REPLACES",
        &old_id,
    ])?;
    wait_for(
        "the new member to vote and the old one to be gone",
        LOG_LIMIT,
        || {
            let members = members(&fleet.coordinators[leader])?;
            ensure!(
                members.len() == 3
                    && members.iter().all(
                        |member| member.contains("voter=1") && !member.contains(&format!("id={old_id},"))
                    ),
                "{members:?}"
            );
            Ok(())
        },
    )?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == second,
        "server-{settled} took over from server-{second}"
    );
    fleet.wait_same_history()?;

    // The new one counts: with it and one other there is a majority.
    fleet.coordinators[leader].kill()?;
    fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    fleet.coordinators[leader].restart()?;
    fleet.servers[second].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;
    fleet.finish()
}

#[test]
fn a_foreign_sentinel_holds_failovers_until_it_is_gone() -> Result<()> {
    let (mut fleet, foreign, _) = with_a_foreign_sentinel()?;
    held(&mut fleet)?;
    fleet.coordinators[foreign].kill()?;
    // It counts as gone after ten seconds.
    let new = moved_for_members(&mut fleet)?;
    ends_well(fleet, new)
}

#[test]
fn a_foreign_sentinel_holds_failovers_until_it_is_accepted() -> Result<()> {
    let (mut fleet, foreign, id) = with_a_foreign_sentinel()?;
    held(&mut fleet)?;
    let order = ["SENTINEL", "RAFT", "ACCEPT-FOREIGN", GROUP, id.as_str()];
    fleet.coordinators[1].order::<()>(&order)?;
    let new = moved_for_members(&mut fleet)?;
    for member in &fleet.coordinators[..3] {
        let text = foreign_in_info(member)?;
        ensure!(text.is_empty(), "{} still holds back: {text}", member.name());
    }
    fleet.coordinators[foreign].kill()?;
    ends_well(fleet, new)
}

/// Three members and a Redis Sentinel that watches the same primary, and does not fail it over by itself.
fn with_a_foreign_sentinel() -> Result<(Fleet, usize, String)> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let start = Instant::now();
    let port = fleet.servers[0].port();
    // With this quorum it never takes the primary for objectively down.
    let directives = vec![
        format!("sentinel monitor {GROUP} 127.0.0.1 {port} 9"),
        format!("sentinel down-after-milliseconds {GROUP} 1500"),
    ];
    let stranger = fleet.prepare_coordinator(Kind::RedisSentinel, &directives)?;
    stranger.restart()?;
    let (index, id) = (stranger.index(), stranger.id().to_owned());
    for source in 0..3 {
        let told = fleet
            .journal
            .wait("+foreign-sentinel", start, STEP_LIMIT, |event| {
                (event.source == source && event.name == "+foreign-sentinel").then(|| event.payload.clone())
            })?;
        ensure!(
            told.contains(&id),
            "{id} is the foreign sentinel, told was {told}"
        );
        let member = &fleet.coordinators[source];
        wait_for("the foreign sentinel in INFO", STEP_LIMIT, || {
            let text = foreign_in_info(member)?;
            ensure!(!text.is_empty(), "nothing");
            Ok(())
        })?;
    }
    Ok((fleet, index, id))
}

/// The primary is killed, all see it down, and nothing is begun.
fn held(fleet: &mut Fleet) -> Result<()> {
    let fault = fleet.servers[0].kill()?;
    let port = fleet.servers[0].port();
    for source in 0..3 {
        fleet.journal.wait("+sdown", fault, STEP_LIMIT, |event| {
            (event.source == source && event.name == "+sdown").then_some(())
        })?;
    }
    bellwether_tests::hold_for("the old primary's name", WINDOW, || {
        for member in &fleet.coordinators[..3] {
            ensure!(member.primary_port()? == port, "{} has moved", member.name());
        }
        Ok(())
    })?;
    let events = fleet.journal.since(fault);
    let wrong = events.iter().find(|event| event.name == "+try-failover");
    ensure!(wrong.is_none(), "a foreign sentinel is there: {wrong:?}");
    Ok(())
}

/// Waits until the members agree on another primary; what the foreign sentinel believes does not matter.
fn moved_for_members(fleet: &mut Fleet) -> Result<u16> {
    let old = fleet.servers[0].port();
    wait_for("the members' failover", STEP_LIMIT, || {
        let first = fleet.coordinators[0].primary_port()?;
        for member in &fleet.coordinators[..3] {
            let named = member.primary_port()?;
            ensure!(named == first && named != old, "{} names {named}", member.name());
        }
        Ok(first)
    })
}

fn ends_well(mut fleet: Fleet, new: u16) -> Result<()> {
    fleet.servers[0].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(
        fleet.servers[settled].port() == new,
        "server-{settled} took over from port {new}"
    );
    fleet.wait_same_history()?;
    fleet.finish()
}

/// It does not lead, has decided nothing, and tells clients that it knows no group.
fn takes_no_part(member: &Coordinator) -> Result<()> {
    let role = member.log_field("raft_role")?;
    ensure!(role != "leader", "a member without its disk leads");
    let commit = member.log_field("raft_commit")?;
    ensure!(
        commit == "1",
        "a member without its disk has committed up to {commit}"
    );
    let address: Option<(String, u16)> = member.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
    ensure!(address.is_none(), "a member without its disk names {address:?}");
    let answer = member.order::<()>(&["SENTINEL", "SET", GROUP, "quorum", "1"]);
    ensure!(answer.is_err(), "a member without its disk took an order");
    Ok(())
}

/// The lines of INFO about members.
fn members(coordinator: &Coordinator) -> Result<Vec<String>> {
    let text: String = coordinator.ask(&["INFO", "raft"])?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("raft_member") && line.contains("id="));
    Ok(lines.map(str::to_owned).collect())
}

/// What INFO says of foreign sentinels that nobody has accepted.
fn foreign_in_info(coordinator: &Coordinator) -> Result<String> {
    let text: String = coordinator.ask(&["INFO", "sentinel"])?;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("foreign")).collect();
    Ok(lines.join("\n"))
}
