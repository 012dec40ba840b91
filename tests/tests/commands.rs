//! What an operator does with a live fleet: planned failover, groups added, changed, forgotten.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bellwether_tests::{Coordinator, Fleet, GROUP, Options, wait_for};

#[test]
fn a_failover_by_command() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let start = Instant::now();
    fleet.coordinators[1].ask::<()>(&["SENTINEL", "FAILOVER", GROUP])?;
    let again = refusal(&fleet.coordinators[1], &["SENTINEL", "FAILOVER", GROUP]);
    // The first may be over already; then a second one is right as well, and the fleet must still settle.
    if let Ok(again) = again {
        ensure!(
            again.contains("INPROG") || again.contains("NOGOODSLAVE"),
            "a second command got {again}"
        );
    }
    let limit = fleet.options.failover_limit();
    for source in 0..3 {
        fleet.journal.wait(
            &format!("+switch-master from sentinel-{source}"),
            start,
            limit,
            |event| (event.source == source && event.name == "+switch-master").then_some(()),
        )?;
    }
    // The old primary never went down, and has to follow all the same.
    fleet.wait_settled(limit)?;
    fleet.wait_stable()?;
    let down = fleet
        .journal
        .since(start)
        .into_iter()
        .find(|event| event.name == "+odown");
    ensure!(down.is_none(), "a planned failover needs no odown: {down:?}");
    fleet.finish()
}

#[test]
fn a_failover_by_command_without_a_candidate() -> Result<()> {
    let fleet = Fleet::start(Options {
        replicas: 0,
        ..Options::from_env()?
    })?;
    let error = refusal(&fleet.coordinators[0], &["SENTINEL", "FAILOVER", GROUP])?;
    ensure!(
        error.contains("NOGOODSLAVE"),
        "FAILOVER without replicas gives {error}"
    );
    let error = refusal(&fleet.coordinators[0], &["SENTINEL", "FAILOVER", "nobody"])?;
    ensure!(
        error.contains("No such master with that name"),
        "FAILOVER of an unknown group gives {error}"
    );
    fleet.finish()
}

#[test]
fn a_group_added_changed_and_removed() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let port = fleet.servers[0].port().to_string();
    let coordinator = &fleet.coordinators[0];
    coordinator.ask::<()>(&["SENTINEL", "MONITOR", "second", "127.0.0.1", &port, "2"])?;
    let error = refusal(
        coordinator,
        &["SENTINEL", "MONITOR", "second", "127.0.0.1", &port, "2"],
    )?;
    ensure!(
        error.contains("Duplicate master name"),
        "a second MONITOR gives {error}"
    );
    coordinator.ask::<()>(&[
        "SENTINEL",
        "SET",
        "second",
        "down-after-milliseconds",
        "4321",
        "quorum",
        "3",
    ])?;
    let error = refusal(coordinator, &["SENTINEL", "SET", "second", "quorum", "none"])?;
    ensure!(
        error.contains("Invalid argument 'none' for SENTINEL SET 'quorum'"),
        "a bad SET gives {error}"
    );
    wait_for("the second group's replicas", Duration::from_secs(20), || {
        let replicas: Vec<std::collections::HashMap<String, String>> =
            coordinator.ask(&["SENTINEL", "REPLICAS", "second"])?;
        ensure!(replicas.len() == 2, "{} replicas", replicas.len());
        Ok(())
    })?;
    let config = coordinator.config_text()?;
    for line in [
        format!("sentinel monitor second 127.0.0.1 {port} 3"),
        "sentinel down-after-milliseconds second 4321".to_owned(),
    ] {
        ensure!(
            config.lines().any(|each| each == line),
            "{line} is not in the file:\n{config}"
        );
    }

    // A restart keeps what was set at run time.
    fleet.coordinators[0].kill()?;
    fleet.coordinators[0].restart()?;
    let coordinator = &fleet.coordinators[0];
    let fields: std::collections::HashMap<String, String> =
        coordinator.ask(&["SENTINEL", "MASTER", "second"])?;
    ensure!(
        fields.get("quorum").is_some_and(|quorum| quorum == "3"),
        "after the restart: {fields:?}"
    );

    coordinator.ask::<()>(&["SENTINEL", "REMOVE", "second"])?;
    let error = refusal(coordinator, &["SENTINEL", "MASTER", "second"])?;
    ensure!(
        error.contains("No such master with that name"),
        "a removed group gives {error}"
    );
    let unknown: Option<(String, u16)> =
        coordinator.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "second"])?;
    ensure!(unknown.is_none(), "a removed group is still at {unknown:?}");
    let config = coordinator.config_text()?;
    ensure!(
        !config.contains(" second "),
        "the removed group is still in the file:\n{config}"
    );
    fleet.wait_stable()?;
    fleet.finish()
}

#[test]
fn a_changed_down_after_counts() -> Result<()> {
    let mut fleet = Fleet::start(Options {
        down_after_ms: 60_000,
        ..Options::from_env()?
    })?;
    for coordinator in &fleet.coordinators {
        coordinator.ask::<()>(&["SENTINEL", "SET", GROUP, "down-after-milliseconds", "1500"])?;
    }
    fleet.servers[0].kill()?;
    // The limit of a failover with a minute of down-after would hide a change that does not count.
    wait_for("agreement on another primary", Duration::from_secs(40), || {
        ensure!(fleet.settled()? != 0, "server-0 is still the primary");
        Ok(())
    })?;
    fleet.finish()
}

#[test]
fn reset_forgets_and_finds_again() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    // A replica that will never return is only forgotten by RESET.
    fleet.servers[2].kill()?;
    let start = Instant::now();
    let count: i64 = fleet.coordinators[0].ask(&["SENTINEL", "RESET", "my*"])?;
    ensure!(count == 1, "RESET matched {count} groups");
    let none: i64 = fleet.coordinators[0].ask(&["SENTINEL", "RESET", "your*"])?;
    ensure!(none == 0, "RESET matched {none} groups");
    fleet
        .journal
        .wait_event("+reset-master", start, Duration::from_secs(5))?;
    // Two hello periods and an INFO period of the reference.
    fleet.wait_stable()?;
    fleet.finish()
}

#[test]
fn ckquorum_counts_the_usable() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let all: String = fleet.coordinators[0].ask(&["SENTINEL", "CKQUORUM", GROUP])?;
    ensure!(
        all == "OK 3 usable Sentinels. Quorum and failover authorization can be reached",
        "CKQUORUM gives {all}"
    );
    fleet.coordinators[1].kill()?;
    fleet.coordinators[2].kill()?;
    wait_for("the loss to be seen", Duration::from_secs(20), || {
        let error = refusal(&fleet.coordinators[0], &["SENTINEL", "CKQUORUM", GROUP])?;
        ensure!(
            error.contains("NOQUORUM") && error.contains("1 usable Sentinels"),
            "CKQUORUM gives {error}"
        );
        Ok(())
    })?;
    fleet.finish()
}

/// The text of the error a command is answered with.
fn refusal(coordinator: &Coordinator, words: &[&str]) -> Result<String> {
    match coordinator.ask::<redis::Value>(words) {
        Ok(value) => Err(anyhow!("{} was accepted: {value:?}", words.join(" "))),
        Err(error) => Ok(format!("{error:#}")),
    }
}
