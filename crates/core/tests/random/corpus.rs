//! The kept inputs of the fuzz targets: real ones, and odd ones worth keeping. What a fuzzer finds becomes a file here.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use bellwether_core::EventKind;
use rand::{Rng, SeedableRng, TryRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::check::{MAX_STEPS, check_hellos, check_infos, check_inputs};
use crate::world::World;

/// The inputs of `inputs` that are made: each ends when the first event of this kind comes.
const MADE: &[(&str, EventKind)] = &[
    ("failover-end", EventKind::FailoverEnd),
    ("adopted-configuration", EventKind::ConfigUpdateFrom),
    ("no-good-replica", EventKind::AbortNoGoodReplica),
    ("promotion-without-answer", EventKind::AbortCandidateTimeout),
    ("election-lost", EventKind::AbortNotElected),
    ("old-primary-made-replica", EventKind::ConvertToReplica),
    ("tilt", EventKind::TiltEnd),
    ("group-removed", EventKind::Unmonitor),
    ("group-reset", EventKind::Reset),
    ("replica-repointed", EventKind::ReconfigureSent),
    ("vote", EventKind::VoteForLeader),
    ("down-and-up", EventKind::ObjectivelyUp),
];

#[test]
fn the_corpus_of_hellos_breaks_nothing_and_reaches_much() {
    let events = replay("hello", |bytes| check_hellos(&String::from_utf8_lossy(bytes)));
    for kind in [
        EventKind::Sentinel,
        EventKind::NewEpoch,
        EventKind::ConfigUpdateFrom,
        EventKind::SwitchPrimary,
        EventKind::SentinelAddressSwitch,
        EventKind::SentinelInvalidAddr,
    ] {
        assert!(events.contains(&kind), "no input leads to {kind:?}");
    }
}

#[test]
fn the_corpus_of_infos_breaks_nothing_and_reaches_much() {
    let events = replay("info", |bytes| check_infos(&String::from_utf8_lossy(bytes)));
    for kind in [
        EventKind::Replica,
        EventKind::Reboot,
        EventKind::RoleUnexpected,
        EventKind::RoleAsExpected,
    ] {
        assert!(events.contains(&kind), "no input leads to {kind:?}");
    }
}

/// What these bytes mean depends on the order in which the world draws: `WRITE_CORPUS=1` makes them anew.
#[test]
fn the_corpus_of_inputs_breaks_nothing_and_reaches_much() {
    if std::env::var_os("WRITE_CORPUS").is_some() {
        for (name, kind) in MADE {
            fs::write(directory("inputs").join(name), made(*kind)).expect("written");
        }
    }
    let events = replay("inputs", check_inputs);
    for (_, kind) in MADE {
        assert!(
            events.contains(kind),
            "no input leads to {kind:?}; WRITE_CORPUS=1 makes the inputs anew"
        );
    }
}

fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/corpus")
        .join(target)
}

fn replay(target: &str, check: impl Fn(&[u8]) -> BTreeSet<EventKind>) -> BTreeSet<EventKind> {
    let dir = directory(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry of it").path())
        .collect();
    paths.sort();
    let mut events = BTreeSet::new();
    for path in &paths {
        let input = fs::read(path).expect("read");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input)));
        events.extend(outcome.unwrap_or_else(|_| panic!("{}: see above", path.display())));
    }
    assert!(paths.len() >= 8, "{} has lost its files", dir.display());
    events
}

/// The shortest of some thousand random inputs that lead to an event.
fn made(goal: EventKind) -> Vec<u8> {
    let inputs = (0..4_000).filter_map(|seed| {
        let mut world = World::at_random(Recorder {
            inner: Xoshiro256PlusPlus::seed_from_u64(seed),
            given: Vec::new(),
        });
        for _ in 0..MAX_STEPS {
            world.step();
            if world.events().contains(&goal) {
                return Some(world.source().given.clone());
            }
        }
        None
    });
    inputs
        .min_by_key(Vec::len)
        .unwrap_or_else(|| panic!("nothing leads to {goal:?}"))
}

/// Remembers what was drawn, in the form in which [`crate::check::Bytes`] gives it.
struct Recorder {
    inner: Xoshiro256PlusPlus,
    given: Vec<u8>,
}

impl TryRng for Recorder {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let number = self.inner.next_u32();
        self.given.extend(number.to_le_bytes());
        Ok(number)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.try_next_u32()?) << 32)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(4) {
            let number = self.try_next_u32()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}
