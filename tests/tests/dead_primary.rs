//! The primary dies or hangs: a replica is promoted, everyone agrees and follows.

use anyhow::{Result, ensure};
use bellwether_tests::{Flavour, Fleet, GROUP, Options};

#[test]
fn a_killed_primary_is_replaced() -> Result<()> {
    replaces_a_killed_primary(Flavour::Redis)
}

#[test]
fn a_killed_primary_of_valkey_is_replaced() -> Result<()> {
    replaces_a_killed_primary(Flavour::Valkey)
}

fn replaces_a_killed_primary(flavour: Flavour) -> Result<()> {
    let mut fleet = Fleet::start(Options {
        flavour,
        ..Options::from_env()?
    })?;
    fleet.write("before", "kept")?;
    let fault = fleet.servers[0].kill()?;
    let new = fleet.wait_moved_from(0)?;
    ensure!(
        fleet.read("before")?.as_deref() == Some("kept"),
        "a replicated write was lost"
    );
    fleet.write("after", "accepted")?;

    let (old_port, new_port) = (fleet.servers[0].port(), fleet.servers[new].port());
    let switch = format!("{GROUP} 127.0.0.1 {old_port} 127.0.0.1 {new_port}");
    let events = fleet.journal.since(fault);
    for coordinator in &fleet.coordinators {
        let switches: Vec<&str> = events
            .iter()
            .filter(|event| event.source == coordinator.index() && event.name == "+switch-master")
            .map(|event| event.payload.as_str())
            .collect();
        ensure!(
            switches == [switch.as_str()],
            "{} published the switches {switches:?}",
            coordinator.name()
        );
    }
    fleet.finish()
}

#[test]
fn detection_is_told_in_order() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    let fault = fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    let port = fleet.servers[0].port();
    let events = fleet.journal.since(fault);
    let leader = events
        .iter()
        .find(|event| event.name == "+elected-leader")
        .map(|event| event.source);
    let told: Vec<&str> = events
        .iter()
        .filter(|event| Some(event.source) == leader)
        .map(|event| event.name.as_str())
        .filter(|name| ORDER.contains(name))
        .collect();
    ensure!(told == ORDER, "the leader told {told:?}");
    let odown = events
        .iter()
        .find(|event| event.name == "+odown")
        .map(|event| event.payload.clone());
    let odown = odown.unwrap_or_default();
    ensure!(
        odown.starts_with(&format!("master {GROUP} 127.0.0.1 {port} #quorum ")),
        "+odown says {odown}"
    );
    fleet.finish()
}

/// What a leader tells of a failover, from the fault to the switch, as far as the order is fixed.
const ORDER: [&str; 7] = [
    "+odown",
    "+try-failover",
    "+elected-leader",
    "+failover-state-select-slave",
    "+selected-slave",
    "+promoted-slave",
    "+switch-master",
];

#[test]
fn a_hung_primary_is_replaced_and_demoted_when_it_wakes() -> Result<()> {
    let mut fleet = Fleet::start(Options::from_env()?)?;
    fleet.servers[0].pause()?;
    let new = fleet.wait_moved_from(0)?;
    fleet.servers[0].resume()?;
    // `settled` from here on means the old one too: it must follow the new one.
    let limit = fleet.options.failover_limit();
    let settled = fleet.wait_settled(limit)?;
    ensure!(
        settled == new,
        "server-{settled} took over from server-{new} when server-0 woke"
    );
    fleet.finish()
}
