//! Coordinators share a log and the one that leads dies, or sleeps, at some step of a failover: whoever leads next goes
//! on from that step, and there is one history.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bellwether_tests::shared_log::Receipt;
use bellwether_tests::{Fleet, GROUP, Options, Role, hold_for, wait_for};

/// Far above what detection and a new leader need, far below the failover timeout of the options below.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// A wrong order of a coordinator that wakes up would come at once.
const WINDOW: Duration = Duration::from_secs(3);

fn options() -> Options {
    Options {
        // Room between a fault and its consequence, in which replicas can be frozen.
        down_after_ms: 1000,
        // No takeover may depend on it: a test that waited for it would fail at its limit.
        failover_timeout_ms: 120_000,
        ..Options::sharing_log()
    }
}

/// The leader is killed when it tells of a step. How far it gets before the signal arrives is a matter of chance, so
/// this meets the step or one soon after it.
#[test]
fn killed_while_a_failover_begins() -> Result<()> {
    killed_at(&["+try-failover", "+elected-leader", "+selected-slave"])
}

#[test]
fn killed_while_a_failover_ends() -> Result<()> {
    killed_at(&[
        "+failover-state-wait-promotion",
        "+promoted-slave",
        "+switch-master",
    ])
}

#[expect(clippy::print_stderr, reason = "how far a leader got is worth to be seen")]
fn killed_at(steps: &[&str]) -> Result<()> {
    let mut fleet = Fleet::start(options())?;
    let mut primary = fleet.settled()?;
    for step in steps {
        let known = fleet.wait_same_history()?;
        let fault = fleet.servers[primary].kill()?;
        let leader = fleet.journal.wait_event(step, fault, STEP_LIMIT)?.source;
        fleet.coordinators[leader].kill()?;
        let new = moved(&mut fleet, primary)?;
        let told = told_by(&fleet, leader, fault);
        fleet.coordinators[leader].restart()?;
        fleet.servers[primary].restart()?;
        let settled = fleet.wait_stable().with_context(|| format!("killed at {step}"))?;
        ensure!(
            settled == new,
            "killed at {step}: server-{settled} took over from server-{new}"
        );
        let receipt = one_more(&mut fleet, &known).with_context(|| format!("killed at {step}"))?;
        eprintln!(
            "killed at {step}, the last it told was {}; epoch {} {}",
            told.last().map_or("nothing", String::as_str),
            receipt.epoch,
            receipt.outcome
        );
        announced_once(&fleet, fault, Some(leader))?;
        primary = new;
    }
    fleet.finish()
}

/// The order to promote is out and nobody has obeyed it: the replicas are frozen from before the failover until after
/// the leader's death. The next leader goes on with the same candidate, in the same epoch.
#[test]
fn killed_before_the_candidate_has_obeyed() -> Result<()> {
    let mut fleet = Fleet::start(options())?;
    let known = fleet.wait_same_history()?;
    let (leader, chosen, fault) = freeze_at_promotion(&mut fleet)?;
    fleet.coordinators[leader].kill()?;
    for server in &mut fleet.servers[1..] {
        server.resume()?;
    }
    let new = moved(&mut fleet, 0)?;
    ensure!(
        new == chosen,
        "server-{chosen} was chosen, server-{new} was promoted"
    );
    fleet.coordinators[leader].restart()?;
    fleet.servers[0].restart()?;
    fleet.wait_stable()?;
    let receipt = one_more(&mut fleet, &known)?;
    let epoch = begun_epoch(&fleet, fault)?;
    ensure!(
        receipt.epoch == epoch,
        "begun in epoch {epoch}, ended in epoch {}",
        receipt.epoch
    );
    announced_once(&fleet, fault, Some(leader))?;
    fleet.finish()
}

/// The switch is in the log, and who led it dies before it could tell anybody.
#[test]
fn crashed_after_election_and_after_promotion() -> Result<()> {
    let mut fleet = Fleet::start(options())?;
    let mut primary = fleet.settled()?;
    for point in ["crash-after-election", "crash-after-promotion"] {
        let known = fleet.wait_same_history()?;
        let leader = fleet.wait_log_leader()?;
        fleet.coordinators[leader].ask::<()>(&["SENTINEL", "SIMULATE-FAILURE", point])?;
        fleet.coordinators[leader].may_end();
        let fault = fleet.servers[primary].kill()?;
        wait_for("the simulated crash", STEP_LIMIT, || {
            ensure!(!fleet.coordinators[leader].is_running(), "it still runs");
            Ok(())
        })?;
        let new = moved(&mut fleet, primary).with_context(|| point)?;
        fleet.coordinators[leader].restart()?;
        fleet.servers[primary].restart()?;
        fleet.wait_stable().with_context(|| point)?;
        one_more(&mut fleet, &known).with_context(|| point)?;
        announced_once(&fleet, fault, Some(leader)).with_context(|| point)?;
        primary = new;
    }
    fleet.finish()
}

/// The leader sleeps over its lease, with the order to promote out and not obeyed. Another one leads to the end; the
/// sleeper wakes up and orders nothing.
#[test]
fn asleep_while_another_one_finishes() -> Result<()> {
    let mut fleet = Fleet::start(options())?;
    let known = fleet.wait_same_history()?;
    let (leader, _, fault) = freeze_at_promotion(&mut fleet)?;
    fleet.coordinators[leader].pause()?;
    for server in &mut fleet.servers[1..] {
        server.resume()?;
    }
    let new = moved(&mut fleet, 0)?;
    fleet.servers[0].restart()?;
    wait_follows(&mut fleet, new, &[0])?;
    fleet.coordinators[leader].resume()?;
    no_other_primary(&fleet, new)?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == new,
        "server-{settled} took over from server-{new} after all"
    );
    one_more(&mut fleet, &known)?;
    announced_once(&fleet, fault, None)?;
    fleet.finish()
}

/// The candidate of a sleeping leader dies, so the next leader takes the other replica, with a higher epoch. When both
/// come back, the sleeper must not promote its candidate after all.
#[test]
fn asleep_while_another_one_chooses_anew() -> Result<()> {
    let mut fleet = Fleet::start(options())?;
    let (leader, chosen, fault) = freeze_at_promotion(&mut fleet)?;
    fleet.coordinators[leader].pause()?;
    fleet.servers[chosen].kill()?;
    let other = 3 - chosen;
    fleet.servers[other].resume()?;
    let new = moved(&mut fleet, 0)?;
    ensure!(new == other, "server-{new} was promoted, it is dead");
    fleet.servers[chosen].restart()?;
    fleet.servers[0].restart()?;
    wait_follows(&mut fleet, new, &[0, chosen])?;
    fleet.coordinators[leader].resume()?;
    no_other_primary(&fleet, new)?;
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == new,
        "server-{settled} took over from server-{new} after all"
    );
    let history = fleet.wait_same_history()?;
    let epoch = begun_epoch(&fleet, fault)?;
    let last = history.last().context("no failover in the history")?;
    ensure!(
        last.moved() && last.epoch > epoch,
        "another candidate needs a higher epoch than {epoch}: {last:?}"
    );
    fleet.finish()
}

/// Kills the primary with the replicas frozen, and waits until the leader has asked one of them to become a primary.
/// Gives the leader, the chosen server and the moment of the fault.
fn freeze_at_promotion(fleet: &mut Fleet) -> Result<(usize, usize, Instant)> {
    let fault = fleet.servers[0].kill()?;
    // Not earlier: a replica that has been silent for too long is no candidate.
    let half = fleet.options.down_after() / 2;
    std::thread::sleep(half.saturating_sub(fault.elapsed()));
    for server in &mut fleet.servers[1..] {
        server.pause()?;
    }
    let asked = fleet
        .journal
        .wait_event("+failover-state-wait-promotion", fault, STEP_LIMIT)?;
    // `slave <name> <ip> <port> @ ...`
    let port: u16 = asked
        .payload
        .split(' ')
        .nth(3)
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("no port in {}", asked.payload))?;
    let chosen = fleet.servers.iter().position(|server| server.port() == port);
    let chosen = chosen.with_context(|| format!("port {port} is no server of ours"))?;
    Ok((asked.source, chosen, fault))
}

fn moved(fleet: &mut Fleet, old: usize) -> Result<usize> {
    wait_for("the next leader's failover", STEP_LIMIT, || {
        let primary = fleet.settled()?;
        ensure!(primary != old, "server-{old} is still the primary");
        Ok(primary)
    })
}

/// Waits until these servers follow the primary, connected.
fn wait_follows(fleet: &mut Fleet, primary: usize, replicas: &[usize]) -> Result<()> {
    let port = fleet.servers[primary].port();
    for index in replicas {
        let server = &fleet.servers[*index];
        wait_for("a returned server to follow", STEP_LIMIT, || {
            let role = server.role()?;
            ensure!(
                matches!(role, Role::Replica { of, connected: true } if of == port),
                "{} is {role:?}",
                server.name()
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// For a while nobody makes another server a primary.
fn no_other_primary(fleet: &Fleet, primary: usize) -> Result<()> {
    hold_for("one primary", WINDOW, || {
        for (index, server) in fleet.servers.iter().enumerate() {
            let is_primary = server.role()? == Role::Primary;
            ensure!(
                is_primary == (index == primary),
                "{} is a primary: {is_primary}",
                server.name()
            );
        }
        Ok(())
    })
}

/// Since `known`, exactly one failover has installed another primary, on all coordinators alike. Gives it.
fn one_more(fleet: &mut Fleet, known: &[Receipt]) -> Result<Receipt> {
    let history = fleet.wait_same_history()?;
    ensure!(
        history.starts_with(known),
        "the history was rewritten: {known:#?} became {history:#?}"
    );
    let mut moves = history[known.len()..].iter().filter(|receipt| receipt.moved());
    match (moves.next(), moves.next()) {
        (Some(receipt), None) => Ok(receipt.clone()),
        (None, _) => bail!("no failover was completed: {history:#?}"),
        (Some(_), Some(_)) => bail!("more than one failover was completed: {history:#?}"),
    }
}

/// All coordinators announced the same switch since `fault`, and each once; but for one that was `killed`, which may have
/// told it and not noted that it has.
fn announced_once(fleet: &Fleet, fault: Instant, killed: Option<usize>) -> Result<()> {
    let events = fleet.journal.since(fault);
    let switches: Vec<_> = events
        .iter()
        .filter(|event| event.name == "+switch-master")
        .collect();
    let first = switches.first().context("no +switch-master")?;
    for (number, switch) in switches.iter().enumerate() {
        ensure!(
            switch.payload == first.payload && switch.payload.starts_with(GROUP),
            "announced were {} and {}",
            first.payload,
            switch.payload
        );
        let mut earlier = switches[..number].iter();
        ensure!(
            killed == Some(switch.source) || earlier.all(|earlier| earlier.source != switch.source),
            "sentinel-{} announced {} twice",
            switch.source,
            switch.payload
        );
    }
    Ok(())
}

/// The epoch of the first failover since `fault`, as those who did not lead it tell.
fn begun_epoch(fleet: &Fleet, fault: Instant) -> Result<u64> {
    let events = fleet.journal.since(fault);
    let vote = events.iter().find(|event| event.name == "+vote-for-leader");
    let vote = vote.context("no +vote-for-leader")?;
    let epoch = vote.payload.rsplit(' ').next().unwrap_or_default();
    epoch.parse().with_context(|| vote.payload.clone())
}

/// What one coordinator told of the failover since `fault`.
fn told_by(fleet: &Fleet, source: usize, fault: Instant) -> Vec<String> {
    let events = fleet.journal.since(fault);
    let own = events.into_iter().filter(|event| event.source == source);
    own.map(|event| event.name).collect()
}
