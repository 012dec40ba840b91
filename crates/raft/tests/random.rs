//! Members under random trouble: loss, delay, partitions, crashes, slow disks, clocks that run unevenly, changes of the
//! members. What must always hold is checked by the cluster after every step; what must hold in the end, here.
//!
//! `SEED=n` plays one seed and tells all that happened; `SEEDS=n` plays so many.

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;

use std::collections::BTreeSet;

use bellwether_raft::Change;
use cluster::Cluster;

/// How many seeds an ordinary run plays: a few seconds of them.
const SEEDS: u64 = 30;

/// How many troubles come in one run.
const STEPS: u64 = 120;

#[test]
fn nothing_is_lost_and_nobody_leads_twice() {
    let number = |name| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        let mut cluster = Cluster::new(seed);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed, &mut cluster)));
        print(&mut cluster);
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        return;
    }
    let (mut committed, mut dropped, mut changed) = (0, 0, 0);
    for seed in 1..=number("SEEDS").unwrap_or(SEEDS) {
        let mut cluster = Cluster::new(seed);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed, &mut cluster)));
        assert!(played.is_ok(), "SEED={seed} fails, as told above");
        let count = |what: &str| {
            cluster
                .outcomes
                .values()
                .filter(|outcome| outcome.starts_with(what))
                .count()
        };
        committed += count("committed");
        dropped += count("dropped");
        changed += count("the members");
    }
    // A test in which nothing happens shows nothing.
    assert!(
        committed > 1000 && dropped > 30 && changed > 20,
        "{committed} {dropped} {changed}"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut cluster = Cluster::new(5);
        play(5, &mut cluster);
        cluster.take_output()
    };
    assert_eq!(run(), run());
}

#[expect(clippy::print_stderr, reason = "the account of one seed is asked for")]
fn print(cluster: &mut Cluster) {
    for line in cluster.take_output() {
        eprintln!("{line}");
    }
    for member in cluster.members.values() {
        eprintln!("{:?}", member.node);
    }
}

fn play(seed: u64, cluster: &mut Cluster) {
    cluster.settings.keep_entries = 5;
    cluster.settings.log_bytes = 2000;
    if seed % 5 < 2 {
        cluster.settings.snapshot_part = 60;
    }
    cluster.keeps_state = seed % 4 < 2;
    let count = 3 + 2 * (seed % 2);
    cluster.found(count);
    if seed.is_multiple_of(3) {
        cluster.delay = (1, [40, 120][usize::try_from(seed / 3 % 2).expect("few")]);
    }
    for id in 1..=count {
        // As uneven as a lease allows for: 5 % to either side.
        let rate = 950 + cluster.random(101);
        cluster.members.get_mut(&id).expect("a founder").rate = rate;
    }
    let mut token = 0;
    for _ in 0..STEPS {
        trouble(cluster, &mut token);
        let pause = 10 + cluster.random(150);
        cluster.run(pause);
        snapshots(cluster);
    }
    recover(cluster);
    settle(cluster, &mut token);
}

/// One thing that goes wrong, or is asked for.
fn trouble(cluster: &mut Cluster, token: &mut u64) {
    let ids: Vec<u64> = cluster.members.keys().copied().collect();
    let mut one = || ids[usize::try_from(cluster.random(ids.len() as u64)).expect("few")];
    let (id, other) = (one(), one());
    let runs = cluster.members[&id].node.is_some();
    match cluster.random(100) {
        0..6 => tempt(cluster),
        6..45 => {
            for _ in 0..=cluster.random(4) {
                propose(cluster, id, token);
            }
        }
        45..53 if runs && down(cluster) < ids.len().div_ceil(2) => {
            let kept = cluster.random(2) == 0;
            cluster.say(&format!("n{id} crashes"));
            cluster.crash(id, kept);
        }
        53..65 if !runs => start(cluster, id),
        65..71 if id != other => cluster.cut(id, other),
        71..74 => ids.iter().for_each(|other| cluster.cut(id, *other)),
        74..76 if id != other => cluster.cut_one_way(id, other),
        76..84 => cluster.heal(),
        84..88 => cluster.loss = [0, 0, 5, 30][usize::try_from(cluster.random(4)).expect("few")],
        88..91 => {
            cluster.members.get_mut(&id).expect("a member").disk.takes = [1, 5, 400][(*token % 3) as usize]
        }
        91..94 => drop(cluster.call(id, |node, now| node.transfer(now, None))),
        94..96 => drop(cluster.call(id, |node, _| node.unreachable(other))),
        96..100 => change(cluster, id, other, token),
        _ => {}
    }
}

/// Tries to make two members believe that they may act: somebody stops hearing the leader, and then whoever kept it
/// in office forgets that it did, or the leader is cut off.
fn tempt(cluster: &mut Cluster) {
    let Some(leader) = cluster.leader() else { return };
    let is_up = |id: &u64| *id != leader && cluster.members[id].node.is_some();
    let mut others: Vec<u64> = cluster.members.keys().copied().filter(is_up).collect();
    let start_at = usize::try_from(cluster.random(others.len().max(1) as u64)).expect("few");
    others.rotate_left(start_at);
    let (deaf, rest) = others.split_at(others.len() / 2);
    cluster.say(&format!("n{leader} is led into temptation with {rest:?}"));
    deaf.iter().for_each(|id| cluster.cut(leader, *id));
    let pause = 150 + cluster.random(350);
    cluster.run(pause);
    for id in rest {
        cluster.cut(leader, *id);
        if cluster.random(2) == 0 && cluster.members[id].node.is_some() {
            cluster.crash(*id, true);
            start(cluster, *id);
        }
    }
    cluster.run(400);
    cluster.heal();
}

fn down(cluster: &Cluster) -> usize {
    cluster
        .members
        .values()
        .filter(|member| member.node.is_none())
        .count()
}

fn start(cluster: &mut Cluster, id: u64) {
    let rate = cluster.members[&id].rate;
    cluster
        .start(id)
        .unwrap_or_else(|problem| panic!("n{id} does not start: {problem}"));
    cluster.members.get_mut(&id).expect("it was started").rate = rate;
}

fn propose(cluster: &mut Cluster, id: u64, token: &mut u64) {
    *token += 1;
    let (token, payload) = (*token, format!("p{token}"));
    if cluster
        .call(id, |node, now| node.propose(now, payload.into_bytes(), token))
        .is_none()
    {
        cluster.outcomes.insert(token, "never proposed".to_owned());
    }
}

fn change(cluster: &mut Cluster, id: u64, other: u64, token: &mut u64) {
    let Some(members) = cluster.call(id, |node, _| node.members().clone()) else {
        return;
    };
    let new = cluster.members.keys().max().expect("members") + 1;
    *token += 1;
    let token = *token;
    let address = format!("host{new}:1");
    let change = match cluster.random(3) {
        _ if new > 12 => return,
        0 if members.voters.len() > 3 => Change::Remove { id: other },
        1 => Change::Replace {
            old: other,
            id: new,
            address,
        },
        _ if members.addresses.len() < 6 => Change::Add { id: new, address },
        _ => return,
    };
    cluster.say(&format!("n{id} asks for {change:?}"));
    cluster.call(id, |node, now| node.change(now, &change, token));
    if !matches!(change, Change::Remove { .. }) {
        cluster.start(new).expect("an empty member can start");
    }
}

fn snapshots(cluster: &mut Cluster) {
    let ids: Vec<u64> = cluster.members.keys().copied().collect();
    for id in ids {
        let wanted = cluster.call(id, |node, _| node.needs_snapshot()) == Some(true);
        if wanted {
            cluster.snapshot(id).expect("it was asked for");
        }
    }
}

/// All trouble ends.
fn recover(cluster: &mut Cluster) {
    cluster.heal();
    (cluster.loss, cluster.delay) = (0, (1, 5));
    let ids: Vec<u64> = cluster.members.keys().copied().collect();
    for id in ids {
        cluster.members.get_mut(&id).expect("a member").disk.takes = 1;
        if cluster.members[&id].node.is_none() {
            start(cluster, id);
        }
    }
}

/// Everybody agrees again, and what was said about proposals is true.
fn settle(cluster: &mut Cluster, token: &mut u64) {
    for _ in 0..80 {
        cluster.run(100);
        snapshots(cluster);
    }
    let leader = cluster.leader().expect("somebody leads");
    let members = cluster
        .call(leader, |node, _| node.members().clone())
        .expect("it runs");
    assert!(
        members.outgoing.is_empty() && members.learners.is_empty(),
        "{members:?}"
    );
    let members: Vec<u64> = members.addresses.keys().copied().collect();
    let first = *token + 1;
    members.iter().for_each(|id| propose(cluster, *id, token));
    cluster.run(1000);
    for last in first..=*token {
        assert!(
            cluster.outcomes[&last].starts_with("committed"),
            "{last}: {}",
            cluster.outcomes[&last]
        );
    }
    let texts: Vec<&str> = cluster.invariants.texts().collect();
    for id in members {
        assert_eq!(cluster.members[&id].state, texts, "n{id}");
    }
    let distinct: BTreeSet<&str> = texts.iter().copied().collect();
    assert_eq!(distinct.len(), texts.len(), "something was committed twice");
    for (token, outcome) in &cluster.outcomes {
        let is_there = distinct.contains(format!("p{token}").as_str());
        if outcome.starts_with("committed") {
            assert!(is_there, "proposal {token} is lost");
        } else if outcome.starts_with("dropped") {
            assert!(!is_there, "proposal {token} was not dropped");
        }
    }
    assert_eq!(cluster.refused, 0, "honest members refuse each other");
}
