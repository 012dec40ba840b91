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

/// What makes a coordinator a candidate, and so no mere observer of a failover.
const CANDIDACY: &str = "+try-failover";

/// A situation: what is done until it has settled, and an event that comes too.
struct Situation {
    name: &'static str,
    act: fn(&mut Fleet) -> Result<()>,
    /// What tells that it is over, in any order; every coordinator that is compared must publish it.
    last: &'static [&'static str],
}

/// With one coordinator, which does everything itself.
const ALONE: &[Situation] = &[
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

/// With three, of which those are compared that did not stand for election: what an observer tells.
const OBSERVED: &[Situation] = &[
    Situation {
        name: "observed: failover by order",
        act: |fleet| {
            let primary = fleet.wait_stable()?;
            fleet.coordinators[0].ask::<()>(&["SENTINEL", "FAILOVER", GROUP])?;
            fleet.wait_moved_from(primary)?;
            fleet.wait_stable().map(|_| ())
        },
        last: &["+switch-master"],
    },
    Situation {
        name: "observed: primary killed",
        act: |fleet| {
            let primary = fleet.wait_stable()?;
            let killed = fleet.servers[primary].kill()?;
            fleet.wait_moved_from(primary)?;
            // The next situation is about its return: who leads must be through, and have found it down too.
            fleet.journal.wait_event("+failover-end", killed, LIMIT)?;
            wait_for("all to find the old primary down", LIMIT, || {
                for coordinator in &fleet.coordinators {
                    let replicas = coordinator.replicas()?;
                    let mut flags = replicas.iter().filter_map(|replica| replica.get("flags"));
                    ensure!(
                        flags.any(|flags| flags.contains("s_down")),
                        "not {}",
                        coordinator.name()
                    );
                }
                Ok(())
            })
        },
        last: &["+switch-master", "+sdown slave"],
    },
    Situation {
        name: "observed: old primary back",
        act: |fleet| {
            let down = fleet.servers.iter_mut().position(|server| !server.is_live());
            let killed = down.and_then(|index| fleet.servers.get_mut(index));
            killed.context("no server is down")?.restart()?;
            fleet.wait_stable().map(|_| ())
        },
        last: &["-sdown slave"],
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
    let mut told = Told::new();
    for (coordinators, situations) in [(1, ALONE), (3, OBSERVED)] {
        let mut fleet = start(kind, coordinators)?;
        for situation in situations {
            let forms = happen(&mut fleet, situation).context(situation.name);
            told.push(forms.context(kind.name())?);
        }
        fleet.finish()?;
    }
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
        theirs.len(),
        seen.len()
    );
    let mut differences = Vec::new();
    for (situation, (theirs, ours)) in ALONE
        .iter()
        .chain(OBSERVED)
        .zip(theirs.into_iter().zip(ours.clone()))
    {
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

fn start(kind: Kind, coordinators: usize) -> Result<Fleet> {
    Fleet::start(Options {
        flavour: kind.servers(),
        coordinators,
        quorum: coordinators / 2 + 1,
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
    let events = wait_for(situation.name, LIMIT, || {
        let events = compared(fleet, start)?;
        for last in situation.last {
            let sources: BTreeSet<usize> = events.iter().map(|event| event.source).collect();
            let told = |source: &usize| {
                events
                    .iter()
                    .any(|event| event.source == *source && is(event, last))
            };
            let silent: Vec<&usize> = sources.iter().filter(|source| !told(source)).collect();
            ensure!(
                !sources.is_empty() && silent.is_empty(),
                "{last} has not come from {silent:?}"
            );
        }
        Ok(events)
    })?;
    let names = Names::of(fleet);
    Ok(events.iter().map(|event| names.form(event)).collect())
}

/// The events of all coordinators, or where there are several, of those that did not stand for election.
fn compared(fleet: &Fleet, start: Instant) -> Result<Vec<Event>> {
    let mut events = fleet.journal.since(start);
    let candidates: BTreeSet<usize> = events
        .iter()
        .filter(|event| fleet.coordinators.len() > 1 && event.name == CANDIDACY)
        .map(|event| event.source)
        .collect();
    ensure!(
        candidates.len() < fleet.coordinators.len(),
        "every coordinator was a candidate"
    );
    events.retain(|event| !candidates.contains(&event.source));
    Ok(events)
}

/// Whether an event is the one described: its name, then words of its payload.
fn is(event: &Event, described: &str) -> bool {
    let mut words = described.split(' ');
    words.next() == Some(&event.name) && words.all(|word| event.payload.contains(word))
}

/// What differs from run to run.
struct Names {
    ports: Vec<String>,
    ids: Vec<String>,
}

impl Names {
    fn of(fleet: &Fleet) -> Self {
        let servers = fleet.servers.iter().map(|server| server.port());
        let coordinators = fleet.coordinators.iter().map(|coordinator| coordinator.port());
        Self {
            ports: servers.chain(coordinators).map(|port| port.to_string()).collect(),
            ids: fleet
                .coordinators
                .iter()
                .map(|coordinator| coordinator.id().to_owned())
                .collect(),
        }
    }

    /// An event with what depends on the run replaced.
    fn form(&self, event: &Event) -> String {
        let mut is_epoch_due = matches!(event.name.as_str(), "+new-epoch" | "+vote-for-leader");
        let mut is_count = false;
        let mut words = vec![event.name.clone()];
        for word in event.payload.split(' ') {
            let is_port = |text: &str| self.ports.iter().any(|port| port == text);
            let is_addr = word.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
            words.push(match word {
                _ if is_port(word) => "<port>".to_owned(),
                _ if is_addr => "<addr>".to_owned(),
                _ if self.ids.iter().any(|id| id == word) => "<id>".to_owned(),
                _ if is_epoch_due && word.parse::<u64>().is_ok() => {
                    is_epoch_due = false;
                    "<epoch>".to_owned()
                }
                // How many had agreed by then depends on the moment; how many were needed does not.
                _ if is_count => word
                    .split_once('/')
                    .map_or_else(|| word.to_owned(), |(_, of)| format!("<n>/{of}")),
                _ => word.to_owned(),
            });
            is_count = word == "#quorum";
        }
        words.join(" ")
    }
}
