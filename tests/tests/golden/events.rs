//! The events of the same situations, on fleets of the references and on one of ours.
//!
//! Compared is which events come, and with what words: addresses, ids and epochs are replaced by what they stand for.
//! When they come is the business of other tests.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bellwether_tests::{Event, Fleet, GROUP, Kind, Options, wait_for};

use crate::allowed::{self, Allowed, Difference, NOTHING};

/// Covers a failover of the reference with all its waits, and the repair of the old primary.
const LIMIT: Duration = Duration::from_secs(90);

/// A situation: what is done until it has settled, and an event that comes too.
struct Situation {
    name: &'static str,
    act: fn(&mut Fleet) -> Result<()>,
    /// What tells that it is over, in any order.
    last: &'static [&'static str],
}

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "options set",
        act: |fleet| {
            let ask = |words: &[&str]| fleet.coordinators[0].ask::<()>(words);
            ask(&["SENTINEL", "SET", GROUP, "quorum", "2", "parallel-syncs", "2"])?;
            ask(&["SENTINEL", "SET", GROUP, "quorum", "1", "auth-user", "default"])?;
            ask(&["SENTINEL", "SET", GROUP, "auth-user", ""])?;
            ask(&["SENTINEL", "SET", GROUP, "down-after-milliseconds", "1500"])?;
            ask(&["SENTINEL", "SET", GROUP, "failover-timeout", "6000"])
        },
        last: &["+set failover-timeout"],
    },
    Situation {
        name: "group added and removed",
        act: |fleet| {
            let port = fleet.servers[0].port().to_string();
            let ask = |words: &[&str]| fleet.coordinators[0].ask::<()>(words);
            ask(&["SENTINEL", "MONITOR", "other", "127.0.0.1", &port, "3"])?;
            let replicas = |words: &[&str]| fleet.coordinators[0].ask::<Vec<redis::Value>>(words);
            wait_for("the replicas of the other group", LIMIT, || {
                let count = replicas(&["SENTINEL", "REPLICAS", "other"])?.len();
                ensure!(count == 2, "{count} replicas");
                Ok(())
            })?;
            ask(&["SENTINEL", "REMOVE", "other"])
        },
        last: &["-monitor"],
    },
    Situation {
        name: "group reset",
        act: |fleet| {
            fleet.coordinators[0].ask::<i64>(&["SENTINEL", "RESET", "*"])?;
            fleet.wait_stable().map(|_| ())
        },
        last: &["+slave"],
    },
    Situation {
        name: "failover by order",
        act: |fleet| {
            let primary = fleet.wait_stable()?;
            fleet.coordinators[0].ask::<()>(&["SENTINEL", "FAILOVER", GROUP])?;
            fleet.wait_moved_from(primary)?;
            // The old primary follows, and is seen to.
            fleet.wait_stable().map(|_| ())
        },
        last: &["+failover-end"],
    },
    Situation {
        name: "primary killed",
        act: |fleet| {
            let primary = fleet.wait_stable()?;
            fleet.servers[primary].kill()?;
            fleet.wait_moved_from(primary).map(|_| ())
        },
        last: &["+sdown slave", "+failover-end"],
    },
];

/// The references, and ourselves.
const KINDS: [Kind; 3] = [Kind::RedisSentinel, Kind::ValkeySentinel, Kind::Bellwether];

#[test]
fn the_same_events_come_with_the_same_words() -> Result<()> {
    // Mostly they wait, so all fleets can go through it at the same time.
    let [redis, valkey, ours] = thread::scope(|scope| {
        let runs = KINDS.map(|kind| scope.spawn(move || go_through(kind)));
        runs.map(|run| run.join().unwrap_or_else(|_| bail!("a thread has failed")))
    });
    let ours = ours?;
    for (reference, theirs) in [(Kind::RedisSentinel, redis?), (Kind::ValkeySentinel, valkey?)] {
        judge(reference, theirs, &ours)?;
    }
    Ok(())
}

/// The forms of the events in each situation.
type Told = Vec<BTreeSet<String>>;

fn go_through(kind: Kind) -> Result<Told> {
    let mut fleet = start(kind)?;
    let told = SITUATIONS
        .iter()
        .map(|situation| happen(&mut fleet, situation).context(situation.name))
        .collect::<Result<Told>>();
    let told = told.context(kind.name())?;
    fleet.finish()?;
    Ok(told)
}

/// Holds what we told against what a reference did.
fn judge(reference: Kind, theirs: Told, ours: &Told) -> Result<()> {
    let mut allowed = Allowed::read_for(reference)?;
    allowed.keep(allowed::Entry::is_about_events);
    let seen: BTreeSet<&String> = theirs.iter().flatten().collect();
    println!(
        "events compared with {}: {} situations, {} forms",
        reference.name(),
        SITUATIONS.len(),
        seen.len()
    );
    let mut differences = Vec::new();
    for (situation, (theirs, ours)) in SITUATIONS.iter().zip(theirs.into_iter().zip(ours.clone())) {
        let (theirs, ours) = allowed::unmatched(theirs.into_iter().collect(), ours.into_iter().collect());
        let difference = |reference, here| Difference {
            case: situation.name.to_owned(),
            form: None,
            reference,
            here,
        };
        differences.extend(
            theirs
                .into_iter()
                .map(|event| difference(event, NOTHING.to_owned())),
        );
        differences.extend(
            ours.into_iter()
                .map(|event| difference(NOTHING.to_owned(), event)),
        );
    }
    let report = allowed.judge(&differences);
    println!("{report}");
    report.into_result()
}

fn start(kind: Kind) -> Result<Fleet> {
    Fleet::start(Options {
        flavour: kind.servers(),
        coordinators: 1,
        quorum: 1,
        // The same for both, as the periods are part of what is compared.
        down_after_ms: 1500,
        // A full copy begins at once: how long a failover lasts is not what is compared.
        server_config: vec!["repl-diskless-sync-delay 0".to_owned()],
        ..Options::of(kind)
    })
}

/// Does it, and gives the forms of the events that came.
fn happen(fleet: &mut Fleet, situation: &Situation) -> Result<BTreeSet<String>> {
    let start = Instant::now();
    (situation.act)(fleet)?;
    for last in situation.last {
        let words: Vec<&str> = last.split(' ').collect();
        fleet.journal.wait(situation.name, start, LIMIT, |event| {
            let is_last = words.first() == Some(&event.name.as_str())
                && words.iter().skip(1).all(|word| event.payload.contains(word));
            is_last.then_some(())
        })?;
    }
    let epoch = fleet.coordinators[0].primary()?.get("config-epoch").cloned();
    let ports: Vec<String> = fleet
        .servers
        .iter()
        .map(|server| server.port().to_string())
        .collect();
    let id = fleet.coordinators[0].id().to_owned();
    let events = fleet.journal.since(start);
    Ok(events
        .iter()
        .map(|event| form(event, &ports, &id, epoch.as_deref()))
        .collect())
}

/// An event with what depends on the run replaced.
fn form(event: &Event, ports: &[String], id: &str, epoch: Option<&str>) -> String {
    let mut is_number_epoch = matches!(event.name.as_str(), "+new-epoch" | "+vote-for-leader");
    let mut words = vec![event.name.clone()];
    for word in event.payload.split(' ') {
        let is_addr = word
            .rsplit_once(':')
            .is_some_and(|(_, port)| ports.iter().any(|known| known == port));
        words.push(match word {
            _ if ports.iter().any(|port| port == word) => "<port>".to_owned(),
            _ if is_addr => "<addr>".to_owned(),
            _ if word == id => "<id>".to_owned(),
            _ if is_number_epoch && (epoch == Some(word) || word.parse::<u64>().is_ok()) => {
                is_number_epoch = false;
                "<epoch>".to_owned()
            }
            _ => word.to_owned(),
        });
    }
    words.join(" ")
}
