//! A planned switch that loses nothing: `SENTINEL FAILOVER … COORDINATED` under a client that writes throughout.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::{Flavour, Fleet, GROUP, Kind, Options, wait_for};

/// How often the role is handed over.
const SWITCHES: usize = 3;

#[test]
fn a_planned_switch_loses_no_write() -> Result<()> {
    // The reference has no such command before Valkey 9: nothing to hold it against.
    switches(Options::of(Kind::Bellwether))
}

#[test]
fn a_planned_switch_loses_no_write_on_valkey() -> Result<()> {
    switches(Options {
        flavour: Flavour::Valkey,
        // It orders nothing, and follows.
        ..Options::mixed(&[Kind::Bellwether, Kind::Bellwether, Kind::ValkeySentinel])
    })
}

/// Hands the role over again and again, ordered by every Bellwether in turn.
fn switches(options: Options) -> Result<()> {
    let mut fleet = Fleet::start(options)?;
    let mut primary = fleet.settled()?;
    let ports: Vec<u16> = fleet.servers.iter().map(|server| server.port()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = thread::spawn({
        let stop = Arc::clone(&stop);
        move || write_until(&stop, &ports)
    });
    for switch in 0..SWITCHES {
        let coordinators = &fleet.coordinators;
        let ours = coordinators.iter().filter(|each| each.kind() == Kind::Bellwether);
        let coordinator = ours.cycle().nth(switch).context("no Bellwether")?;
        // A replica that has just been repointed is a candidate again as soon as its link is up.
        wait_for("the order to be taken", Duration::from_secs(10), || {
            coordinator.ask::<String>(&["SENTINEL", "FAILOVER", GROUP, "COORDINATED"])
        })?;
        let new = fleet
            .wait_moved_from(primary)
            .with_context(|| format!("switch {switch}"))?;
        let settled = fleet.wait_stable().with_context(|| format!("switch {switch}"))?;
        ensure!(settled == new, "server-{settled} took over from server-{new}");
        primary = new;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.join().expect("the writer does not panic");
    let mut connection = fleet.servers[primary].connect()?;
    let kept: BTreeSet<u64> = redis::cmd("LRANGE")
        .arg("written")
        .arg(0)
        .arg(-1)
        .query(&mut connection)?;
    let lost: Vec<u64> = acknowledged
        .iter()
        .filter(|number| !kept.contains(number))
        .copied()
        .collect();
    ensure!(
        acknowledged.len() > SWITCHES,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
    ensure!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    fleet.finish()
}

/// Appends numbers to a list on whichever server takes them; gives those that were acknowledged.
fn write_until(stop: &AtomicBool, ports: &[u16]) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    let connect = |at: usize| {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", ports[at % ports.len()])).ok()?;
        client.get_connection_with_timeout(Duration::from_secs(1)).ok()
    };
    let mut at = 0;
    let mut connection = connect(at);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let result: Option<redis::RedisResult<u64>> = connection
            .as_mut()
            .map(|connection| redis::cmd("RPUSH").arg("written").arg(number).query(connection));
        if matches!(result, Some(Ok(_))) {
            acknowledged.push(number);
        } else {
            at += 1;
            connection = connect(at);
        }
    }
    acknowledged
}
