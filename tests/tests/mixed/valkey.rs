//! Valkey Sentinels and Bellwethers in one fleet, beside Valkey servers.

use std::time::Instant;

use anyhow::{Result, ensure};
use bellwether_tests::{Flavour, Fleet, Kind, Options};

use Kind::{Bellwether, ValkeySentinel};

use crate::{all_count_all, elected, stays_at_rest};

/// Two of each, so that a majority needs the other kind, whoever stands for election.
const KINDS: [Kind; 4] = [ValkeySentinel, ValkeySentinel, Bellwether, Bellwether];

fn options() -> Options {
    Options {
        flavour: Flavour::Valkey,
        ..Options::mixed(&KINDS)
    }
}

#[test]
fn both_kinds_find_each_other_and_count_each_others_views() -> Result<()> {
    let mut options = options();
    options.quorum = KINDS.len();
    options.replica_config.push("replica-priority 0".to_owned());
    let mut fleet = Fleet::start(options)?;
    stays_at_rest(&mut fleet)?;
    all_count_all(&mut fleet)?;
    fleet.finish()
}

#[test]
fn either_kind_leads_and_the_other_follows() -> Result<()> {
    let mut options = options();
    options.failover_timeout_ms = 4000;
    // Who needs nobody's word must not take a busy machine for a dead server.
    options.down_after_ms = 3000;
    let mut fleet = Fleet::start(options)?;
    // With one of the other kind away, the last of that kind has to vote, and learns of the switch from the leader's kind.
    lead(&mut fleet, 0, 3)?;
    lead(&mut fleet, 2, 1)?;
    fleet.finish()
}

/// Kills the primary while `leader` is the first to see it and `away` sees nothing of it.
fn lead(fleet: &mut Fleet, leader: usize, away: usize) -> Result<()> {
    let down_after_ms = fleet.options.down_after_ms;
    for (index, coordinator) in fleet.coordinators.iter().enumerate() {
        let (quorum, factor) = if index == leader { ("1", 1) } else { ("2", 4) };
        coordinator.set("quorum", quorum)?;
        coordinator.set("down-after-milliseconds", &(factor * down_after_ms).to_string())?;
    }
    let old = fleet.wait_stable()?;
    fleet.coordinators[away].terminate()?;
    let fault = fleet.servers[old].kill()?;
    let new = fleet.wait_moved_from(old)?;
    let elected = elected(fleet, fault)?;
    ensure!(elected == leader, "sentinel-{elected} led, not sentinel-{leader}");
    let kind = KINDS[leader];
    let learner = (0..KINDS.len()).find(|index| KINDS[*index] != kind && *index != away);
    learned_from(fleet, fault, learner.unwrap_or_default(), Some(kind))?;

    // Who was away learns it from the hellos of those who were not.
    let back = Instant::now();
    fleet.coordinators[away].restart()?;
    learned_from(fleet, back, away, None)?;
    fleet.servers[old].restart()?;
    let settled = fleet.wait_stable()?;
    ensure!(settled == new, "server-{settled} took over from server-{new}");
    Ok(())
}

/// Waits until a coordinator has taken over the configuration of another one, of this kind.
fn learned_from(fleet: &Fleet, since: Instant, learner: usize, kind: Option<Kind>) -> Result<()> {
    let limit = fleet.options.failover_limit();
    let payload = fleet.journal.wait("the update", since, limit, |event| {
        (event.name == "+config-update-from" && event.source == learner).then(|| event.payload.clone())
    })?;
    let teacher = fleet
        .coordinators
        .iter()
        .find(|each| payload.contains(each.id()))
        .map(|each| each.kind());
    ensure!(
        teacher.is_some() && (kind.is_none() || teacher == kind),
        "sentinel-{learner} learned from {payload}"
    );
    Ok(())
}
