//! Coordinators that share a log: everything that is decided is the same on all of them, and outlives all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Coordinator, Fleet, GROUP, Options, client, wait_for};

/// Far above what an election and a few entries of a log need.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_dead_primary_is_replaced_on_all() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let fault = fleet.servers[0].kill()?;
    let limit = fleet.options.failover_limit();
    for source in 0..3 {
        fleet.journal.wait(
            &format!("+switch-master from sentinel-{source}"),
            fault,
            limit,
            |event| (event.source == source && event.name == "+switch-master").then_some(()),
        )?;
    }
    fleet.wait_moved_from(0)?;
    // The old primary comes back and is made to follow.
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

/// Members know each other by the password that they want from their clients.
#[test]
fn a_dead_primary_is_replaced_where_all_have_passwords() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log().with_passwords())?;
    let leader = fleet.wait_log_leader()?;
    fleet.coordinators[leader].kill()?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;
    fleet.finish()
}

#[test]
fn what_is_set_on_one_is_set_on_all() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let follower = (leader + 1) % 3;
    fleet.coordinators[follower].set("down-after-milliseconds", "1234")?;
    for coordinator in &fleet.coordinators {
        wait_for("the option on all", SOON, || {
            let fields = coordinator.primary()?;
            let value = fields.get("down-after-milliseconds").map(String::as_str);
            ensure!(value == Some("1234"), "{} has {value:?}", coordinator.name());
            Ok(())
        })?;
    }
    let port = fleet.servers[0].port().to_string();
    fleet.coordinators[follower].ask::<()>(&["SENTINEL", "MONITOR", "second", "127.0.0.1", &port, "2"])?;
    for coordinator in &fleet.coordinators {
        wait_for("the group on all", SOON, || {
            let known: Option<(String, u16)> =
                coordinator.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "second"])?;
            known.map(drop).context("not known yet")
        })?;
    }
    for coordinator in &mut fleet.coordinators {
        let status = coordinator.terminate()?;
        ensure!(status.success(), "SIGTERM ends it with {status}");
    }
    fleet.finish()
}

/// One order, given to any of them, and all have forgotten a former primary that is gone for good.
#[test]
fn what_is_reset_on_one_is_forgotten_by_all() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let gone = fleet.servers[0].port().to_string();
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    let knows = |coordinator: &Coordinator| -> Result<bool> {
        let replicas = coordinator.replicas()?;
        Ok(replicas.iter().any(|replica| replica.get("port") == Some(&gone)))
    };
    for coordinator in &fleet.coordinators {
        ensure!(knows(coordinator)?, "{} knows it no more", coordinator.name());
    }
    let leader = fleet.wait_log_leader()?;
    let asked = (leader + 1) % 3;
    let count: u32 = fleet.coordinators[asked].order(&["SENTINEL", "RESET", GROUP])?;
    ensure!(count == 1, "{count} groups were reset");
    for coordinator in &fleet.coordinators {
        wait_for("the former primary to be forgotten", SOON, || {
            ensure!(!knows(coordinator)?, "{} knows it still", coordinator.name());
            Ok(())
        })?;
    }
    // What is there is known again, and no member was forgotten with the rest.
    fleet.wait_stable()?;
    for coordinator in &fleet.coordinators {
        ensure!(!knows(coordinator)?, "{} has found it again", coordinator.name());
    }
    fleet.finish()
}

/// What is written to the log shows, and what people order is not lost among the frames of members.
#[test]
fn figures_of_the_log_are_told() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let names = [
        "bellwether_raft_write_seconds_count",
        "bellwether_raft_written_entries_total",
        "bellwether_raft_written_bytes_total",
    ];
    let figures = |fleet: &Fleet| -> Result<Vec<f64>> {
        names
            .iter()
            .map(|name| fleet.coordinators[leader].metric(name))
            .collect()
    };
    let before = figures(&fleet)?;
    fleet.coordinators[leader].order::<()>(&["SENTINEL", "SET", GROUP, "parallel-syncs", "3"])?;
    let after = figures(&fleet)?;
    for (name, (before, after)) in names.iter().zip(before.iter().zip(&after)) {
        ensure!(
            after > before,
            "{name} was {before} and is {after} after an order"
        );
    }
    for _ in 0..2 {
        fleet.coordinators[leader].order::<redis::Value>(&["SENTINEL", "RAFT", "STATUS"])?;
    }
    let command =
        |name| fleet.coordinators[leader].metric(&format!("bellwether_commands_total{{command=\"{name}\"}}"));
    let (of_people, of_members) = (command("sentinel|raft")?, command("sentinel|raft|frame")?);
    ensure!(of_people == 2.0, "{of_people} orders were counted");
    ensure!(of_members > 2.0, "{of_members} frames were counted");
    fleet.finish()
}

#[test]
fn leader_and_primary_die_together() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    fleet.coordinators[leader].kill()?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    fleet.finish()
}

#[test]
fn without_a_majority_nothing_is_changed() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let port = fleet.servers[0].port();
    for coordinator in &mut fleet.coordinators[1..] {
        coordinator.kill()?;
    }
    let last = &fleet.coordinators[0];
    // An answer may come until the order has waited for long enough, which is longer than others take.
    let mut connection = client::connect_unbounded(last.port(), None)?;
    connection.set_read_timeout(Some(SOON))?;
    let answer = client::ask_on::<redis::Value>(&mut connection, &["SENTINEL", "SET", GROUP, "quorum", "3"]);
    let error = format!("{:#}", answer.err().context("SET was accepted")?);
    ensure!(error.contains("NOQUORUM"), "SET gives {error}");
    // It goes on telling what it knows.
    ensure!(last.primary_port()? == port, "the address is gone");
    for coordinator in &mut fleet.coordinators[1..] {
        coordinator.restart()?;
    }
    fleet.wait_stable()?;
    wait_for("an order to be taken again", SOON, || {
        fleet.coordinators[0].set("quorum", "2")
    })?;
    fleet.finish()
}

#[test]
fn all_are_killed_and_go_on() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    fleet.coordinators[0].set("parallel-syncs", "7")?;
    fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    let epoch = config_epoch(&fleet.coordinators[0])?;
    fleet.wait_same_history()?;
    for coordinator in &mut fleet.coordinators {
        coordinator.kill()?;
    }
    let told = switches_told(&fleet);
    fleet.coordinators.iter_mut().try_for_each(Coordinator::spawn)?;
    fleet
        .coordinators
        .iter_mut()
        .try_for_each(Coordinator::wait_ready)?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == second,
        "server-{settled} is the primary after the restart"
    );
    for coordinator in &fleet.coordinators {
        let fields = coordinator.primary()?;
        let syncs = fields.get("parallel-syncs").map(String::as_str);
        ensure!(
            syncs == Some("7"),
            "{} has parallel-syncs {syncs:?}",
            coordinator.name()
        );
        ensure!(config_epoch(coordinator)? == epoch, "the config epoch changed");
    }
    // Nobody is sent back to a primary of long ago, by an event or by a script.
    let again = switches_told(&fleet);
    ensure!(
        again == told,
        "+switch-master was told {told:?} times, after the restart {again:?} times"
    );
    fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    fleet.finish()
}

/// The state file alone is enough to go on by votes from where the log had come.
#[test]
fn all_go_back_to_votes() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    fleet.coordinators[1].set("parallel-syncs", "5")?;
    fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    let epoch = config_epoch(&fleet.coordinators[0])?;
    let ids: Vec<String> = fleet
        .coordinators
        .iter()
        .map(|each| each.id().to_owned())
        .collect();
    for coordinator in &mut fleet.coordinators {
        coordinator.terminate()?;
        for start in [
            "bellwether coordination",
            "bellwether member",
            "sentinel parallel-syncs",
        ] {
            coordinator.remove_directives(start)?;
        }
    }
    fleet.coordinators.iter_mut().try_for_each(Coordinator::spawn)?;
    fleet
        .coordinators
        .iter_mut()
        .try_for_each(Coordinator::wait_ready)?;
    let settled = fleet.wait_stable()?;
    ensure!(settled == second, "server-{settled} is the primary after that");
    for (coordinator, id) in fleet.coordinators.iter().zip(&ids) {
        ensure!(coordinator.id() == id, "{} has another id", coordinator.name());
        ensure!(config_epoch(coordinator)? == epoch, "the config epoch changed");
        let fields = coordinator.primary()?;
        let syncs = fields.get("parallel-syncs").map(String::as_str);
        ensure!(
            syncs == Some("5"),
            "{} has parallel-syncs {syncs:?}",
            coordinator.name()
        );
    }
    fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    ensure!(
        config_epoch(&fleet.coordinators[0])? > epoch,
        "the config epoch went back"
    );
    fleet.finish()
}

/// A member that has lost its disk is replaced by a new one at the same place, which is told everything.
#[test]
fn a_member_is_replaced() -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let lost = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    // So that the new one must be sent the state.
    fleet.coordinators[leader].ask::<()>(&["SENTINEL", "RAFT", "SNAPSHOT"])?;
    fleet.coordinators[lost].kill()?;
    let state = fleet.coordinators[lost].dir().join("state");
    std::fs::remove_dir_all(&state)?;
    std::fs::create_dir(&state)?;
    let (old, port) = (
        (lost + 1).to_string(),
        fleet.coordinators[lost].port().to_string(),
    );
    let words = [
        "SENTINEL",
        "RAFT",
        "ADD",
        "4",
        "127.0.0.1",
        &port,
        "REPLACES",
        &old,
    ];
    wait_for("the new member to be taken", SOON, || {
        fleet.coordinators[other].ask::<()>(&words)
    })?;
    fleet.coordinators[lost].remove_directives("bellwether member-id")?;
    fleet.coordinators[lost].remove_directives(&format!("bellwether member {old} "))?;
    fleet.coordinators[lost].add_directives(&["bellwether member-id 4".to_owned()])?;
    fleet.coordinators[lost].restart()?;
    wait_for("the new member to vote", SOON, || {
        let id = fleet.coordinators[lost].log_field("raft_id")?;
        let role = fleet.coordinators[lost].log_field("raft_role")?;
        ensure!(id == "4" && role == "follower", "member {id} is a {role}");
        Ok(())
    })?;
    fleet.wait_stable()?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    fleet.finish()
}

/// How often each coordinator has logged a switch.
fn switches_told(fleet: &Fleet) -> Vec<usize> {
    let logs = fleet.coordinators.iter().map(Coordinator::log_text);
    logs.map(|log| log.matches("+switch-master").count()).collect()
}

fn config_epoch(coordinator: &Coordinator) -> Result<u64> {
    let fields = coordinator.primary()?;
    let epoch = fields.get("config-epoch").context("no config epoch")?;
    Ok(epoch.parse()?)
}
