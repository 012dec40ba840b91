//! Redis Sentinels and Bellwethers in one fleet: each finds, believes and follows the other. Valkey's are in [`valkey`].
//!
//! `BELLWETHER_MIXED_KILLS` sets how many primaries are killed with either kind leading; two without it.

mod valkey;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bellwether_tests::{Coordinator, Fleet, Kind, Options, hold_for, wait_for};

use Kind::{Bellwether, RedisSentinel};

/// The two mixtures of three.
const MIXTURES: [[Kind; 3]; 2] = [
    [RedisSentinel, Bellwether, Bellwether],
    [RedisSentinel, RedisSentinel, Bellwether],
];
/// Three hello periods.
const QUIET: Duration = Duration::from_secs(6);
/// Events that a fleet at rest does not have: somebody would have seen another go, or believed a wrong address.
const UNREST: [&str; 9] = [
    "+sdown",
    "+odown",
    "+sentinel-address-switch",
    "+sentinel-invalid-addr",
    "+dup-sentinel",
    "-dup-sentinel",
    "+reset-master",
    "+switch-master",
    "+new-epoch",
];
const KILLS: u32 = 2;

#[test]
fn both_kinds_find_each_other_and_stay() -> Result<()> {
    for kinds in MIXTURES {
        let mut fleet = Fleet::start(Options::mixed(&kinds))?;
        stays_at_rest(&mut fleet)?;
        fleet.finish()?;
    }
    Ok(())
}

/// Shows that all see all others, and that whoever was found stays.
fn stays_at_rest(fleet: &mut Fleet) -> Result<()> {
    let addresses: BTreeMap<String, String> = fleet
        .coordinators
        .iter()
        .map(|each| (each.id().to_owned(), each.port().to_string()))
        .collect();
    let start = Instant::now();
    hold_for("a fleet at rest", QUIET, || {
        fleet
            .coordinators
            .iter()
            .try_for_each(|each| sees_all_others(each, &addresses))
    })?;
    for event in fleet.journal.since(start) {
        ensure!(
            !UNREST.contains(&event.name.as_str()),
            "sentinel-{} said {} {}",
            event.source,
            event.name,
            event.payload
        );
    }
    // Nobody is dropped and found again.
    let events = fleet.journal.events();
    let found = events.iter().filter(|event| event.name == "+sentinel");
    let mut pairs = BTreeSet::new();
    for event in found {
        ensure!(
            pairs.insert((event.source, event.payload.as_str())),
            "sentinel-{} found twice: {}",
            event.source,
            event.payload
        );
    }
    fleet.settled().map(|_| ())
}

/// It lists exactly the others, each at its own address, without a flag, and has heard of each a short time ago.
fn sees_all_others(coordinator: &Coordinator, addresses: &BTreeMap<String, String>) -> Result<()> {
    let mut expected = addresses.clone();
    expected.remove(coordinator.id());
    let name = coordinator.name();
    for fields in coordinator.sentinels()? {
        let field = |key: &str| fields.get(key).map_or("", String::as_str);
        let port = expected.remove(field("runid"));
        ensure!(
            port.as_deref() == Some(field("port")) && field("ip") == "127.0.0.1",
            "{name} lists {} at {}:{}",
            field("runid"),
            field("ip"),
            field("port")
        );
        ensure!(
            field("flags") == "sentinel",
            "{name} flags {} {}",
            field("port"),
            field("flags")
        );
        let age: u64 = field("last-hello-message").parse()?;
        ensure!(
            age < 5000,
            "{name} has heard nothing of {} for {age} ms",
            field("port")
        );
    }
    ensure!(expected.is_empty(), "{name} does not list {expected:?}");
    let answer: String = coordinator.ask(&["SENTINEL", "CKQUORUM", bellwether_tests::GROUP])?;
    let usable = format!("OK {} usable ", addresses.len());
    ensure!(answer.starts_with(&usable), "{name} says {answer}");
    Ok(())
}

/// With a quorum of all, every coordinator needs the word of every other, whatever its kind.
#[test]
fn odown_counts_the_views_of_both_kinds() -> Result<()> {
    for kinds in MIXTURES {
        let mut options = Options::mixed(&kinds);
        options.quorum = kinds.len();
        // Nobody can be promoted, so the primary stays down until it returns.
        options.replica_config.push("replica-priority 0".to_owned());
        let mut fleet = Fleet::start(options)?;
        all_count_all(&mut fleet)?;
        fleet.finish()?;
    }
    Ok(())
}

/// Kills the primary of a fleet that needs all views and has nobody to promote, and brings it back.
fn all_count_all(fleet: &mut Fleet) -> Result<()> {
    let limit = fleet.options.failover_limit();
    let count = fleet.coordinators.len();
    let fault = fleet.servers[0].kill()?;
    for index in 0..count {
        let views = format!("sentinel-{index} to count {count} views");
        let counted = format!("#quorum {count}/{count}");
        fleet.journal.wait(&views, fault, limit, |event| {
            let counted = event.name == "+odown" && event.payload.ends_with(&counted);
            (counted && event.source == index).then_some(())
        })?;
    }
    let back = Instant::now();
    fleet.servers[0].restart()?;
    for index in 0..count {
        fleet.journal.wait("-odown", back, limit, |event| {
            (event.name == "-odown" && event.source == index).then_some(())
        })?;
    }
    ensure!(
        fleet.wait_stable()? == 0,
        "another primary without a good replica"
    );
    Ok(())
}

#[test]
fn redis_sentinel_leads_bellwethers() -> Result<()> {
    kills(&MIXTURES[0], RedisSentinel)
}

#[test]
fn bellwether_leads_redis_sentinels() -> Result<()> {
    kills(&MIXTURES[1], Bellwether)
}

/// Kills one primary after the other. The one coordinator of the kind `leading` sees it first and needs nobody's word
/// for it, so it stands for election; the votes must come from the other kind.
#[expect(clippy::print_stderr, reason = "a long run should show how far it has come")]
fn kills(kinds: &[Kind], leading: Kind) -> Result<()> {
    let count = match env::var("BELLWETHER_MIXED_KILLS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("BELLWETHER_MIXED_KILLS is {text}"))?,
        Err(_) => KILLS,
    };
    let mut options = Options::mixed(kinds);
    // The reference tries again, and votes for itself again, after twice this time.
    options.failover_timeout_ms = 4000;
    // Who needs nobody's word must not take a busy machine for a dead server.
    options.down_after_ms = 3000;
    let mut fleet = Fleet::start(options)?;
    let leader = kinds
        .iter()
        .position(|kind| *kind == leading)
        .context("nobody of this kind")?;
    fleet.coordinators[leader].set("quorum", "1")?;
    let later = (4 * fleet.options.down_after_ms).to_string();
    for (index, coordinator) in fleet.coordinators.iter().enumerate() {
        if index != leader {
            coordinator.set("down-after-milliseconds", &later)?;
        }
    }
    let mut times = Vec::new();
    for kill in 1..=count {
        let primary = fleet.wait_stable()?;
        let fault = fleet.servers[primary].kill()?;
        let new = fleet
            .wait_moved_from(primary)
            .with_context(|| format!("kill {kill}"))?;
        let moved = fault.elapsed();
        let elected = elected(&fleet, fault).with_context(|| format!("kill {kill}"))?;
        ensure!(
            elected == leader,
            "kill {kill}: sentinel-{elected} led, not sentinel-{leader}"
        );
        fleet.servers[primary].restart()?;
        let settled = fleet.wait_stable().with_context(|| format!("kill {kill}"))?;
        ensure!(
            settled == new,
            "kill {kill}: server-{settled} took over from server-{new}"
        );
        eprintln!("kill {kill}: {} led, settled after {moved:?}", leading.name());
        times.push(moved);
    }
    times.sort();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        let median = times[times.len() / 2];
        eprintln!(
            "{count} kills, {} leading: {first:?}, {median:?}, {last:?}",
            leading.name()
        );
    }
    fleet.finish()
}

/// With the same times for all, whoever is first leads; and whoever leads, all follow.
#[test]
#[expect(clippy::print_stderr, reason = "a long run should show who led")]
fn whoever_leads_all_follow() -> Result<()> {
    let count: u32 = match env::var("BELLWETHER_MIXED_KILLS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("BELLWETHER_MIXED_KILLS is {text}"))?,
        Err(_) => KILLS,
    };
    for kinds in MIXTURES {
        let mut options = Options::mixed(&kinds);
        options.failover_timeout_ms = 4000;
        let mut fleet = Fleet::start(options)?;
        let mut led: BTreeMap<&str, u32> = BTreeMap::new();
        for kill in 1..=count {
            let primary = fleet.wait_stable()?;
            let fault = fleet.servers[primary].kill()?;
            let new = fleet
                .wait_moved_from(primary)
                .with_context(|| format!("kill {kill}"))?;
            eprintln!("kill {kill}: settled after {:?}", fault.elapsed());
            let leader = elected(&fleet, fault).with_context(|| format!("kill {kill}"))?;
            *led.entry(kinds[leader].name()).or_default() += 1;
            fleet.servers[primary].restart()?;
            ensure!(
                fleet.wait_stable()? == new,
                "kill {kill}: the primary moved again"
            );
        }
        eprintln!("{count} kills in {kinds:?}: {led:?} led");
        fleet.finish()?;
    }
    Ok(())
}

/// Who was the first to be elected since `start`. The fleet may have settled before the event was read.
fn elected(fleet: &Fleet, start: Instant) -> Result<usize> {
    let limit = fleet.options.failover_limit();
    Ok(fleet.journal.wait_event("+elected-leader", start, limit)?.source)
}

#[test]
fn a_failover_can_be_ordered_from_either_kind() -> Result<()> {
    for kinds in MIXTURES {
        let mut options = Options::mixed(&kinds);
        options.failover_timeout_ms = 2000;
        let mut fleet = Fleet::start(options)?;
        for index in 0..kinds.len() {
            let primary = fleet.wait_stable()?;
            let start = Instant::now();
            // As Sentinel: an order soon after a failover is refused until twice its timeout has passed.
            let limit = fleet.options.failover_limit();
            wait_for("the order to be taken", limit, || {
                fleet.coordinators[index].fail_over()
            })?;
            fleet.wait_moved_from(primary)?;
            for source in 0..kinds.len() {
                fleet
                    .journal
                    .wait("+switch-master everywhere", start, limit, |event| {
                        (event.name == "+switch-master" && event.source == source).then_some(())
                    })?;
            }
        }
        fleet.wait_stable()?;
        fleet.finish()?;
    }
    Ok(())
}

/// A coordinator that was away learns from the hellos of the other kind who the primary is.
#[test]
fn a_switch_that_was_missed_is_learned_from_the_other_kind() -> Result<()> {
    for (kinds, away) in [(MIXTURES[0], 0), (MIXTURES[1], 2)] {
        let mut fleet = Fleet::start(Options::mixed(&kinds))?;
        fleet.coordinators[away].terminate()?;
        fleet.servers[0].kill()?;
        let new = fleet.wait_moved_from(0)?;
        let back = Instant::now();
        fleet.coordinators[away].restart()?;
        let limit = fleet.options.failover_limit();
        ensure!(fleet.wait_settled(limit)? == new, "the failover was repeated");
        let learned = fleet.journal.wait("the update", back, limit, |event| {
            (event.name == "+config-update-from" && event.source == away).then(|| event.payload.clone())
        })?;
        let teacher = fleet.coordinators.iter().find(|each| learned.contains(each.id()));
        let teacher = teacher.with_context(|| format!("nobody of ours: {learned}"))?;
        ensure!(
            teacher.kind() != kinds[away],
            "learned from its own kind: {learned}"
        );
        fleet.servers[0].restart()?;
        fleet.wait_stable()?;
        fleet.finish()?;
    }
    Ok(())
}

/// Options are nobody's but one's own: to change them here changes nothing there, and unsettles nobody.
#[test]
fn options_changed_here_leave_the_others_alone() -> Result<()> {
    const OPTIONS: [&str; 4] = [
        "down-after-milliseconds",
        "failover-timeout",
        "parallel-syncs",
        "quorum",
    ];
    let mut fleet = Fleet::start(Options::mixed(&MIXTURES[1]))?;
    let options = |fleet: &Fleet| -> Result<Vec<Vec<String>>> {
        let all = fleet.coordinators.iter().map(|each| {
            let mut fields = each.primary()?;
            let values = OPTIONS
                .iter()
                .map(|name| fields.remove(*name).context("a field is missing"));
            values.collect::<Result<_>>()
        });
        all.collect()
    };
    let mut expected = options(&fleet)?;
    // One file, two readers.
    ensure!(
        expected.iter().all(|values| *values == expected[0]),
        "the same lines were read as {expected:?}"
    );
    let start = Instant::now();
    for index in [0, 2] {
        for (option, (name, value)) in OPTIONS.iter().zip(["7000", "8000", "3", "1"]).enumerate() {
            fleet.coordinators[index].set(name, value)?;
            value.clone_into(&mut expected[index][option]);
        }
        hold_for("the options of the others", QUIET / 2, || {
            let seen = options(&fleet)?;
            ensure!(seen == expected, "{seen:?}, not {expected:?}");
            Ok(())
        })?;
    }
    fleet.wait_stable()?;
    if let Some(event) = fleet
        .journal
        .since(start)
        .iter()
        .find(|event| UNREST.contains(&event.name.as_str()))
    {
        bail!("sentinel-{} said {} {}", event.source, event.name, event.payload);
    }
    fleet.finish()
}
