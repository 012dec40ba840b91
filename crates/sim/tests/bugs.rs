//! The checks notice mistakes: some that show soon, as `bellwether-sim bugs` plants them all.

#![cfg(feature = "seeded-bugs")]

use bellwether_core::bugs::{Bug, plant};
use bellwether_sim::{Coordination, Invariant, Profile, run};

/// Within how many seeds each is noticed.
const SEEDS: u64 = 24;

/// The first thing noticed with a bug in the core, over all profiles in turn.
fn noticed(bug: Option<Bug>) -> Option<Invariant> {
    plant(bug);
    let broken =
        (0..SEEDS).find_map(|seed| run(seed, Profile::of_turn(seed), Coordination::Vote, false).violation);
    plant(None);
    broken.map(|violation| violation.invariant)
}

/// One test, since what is planted is planted in the whole process.
#[test]
fn bugs_are_noticed_within_few_seeds_and_nothing_is_without_one() {
    assert_eq!(noticed(None), None);
    for (bug, invariant) in [
        (Bug::VoteWithoutPersisting, Invariant::DurableBeforeVisible),
        (Bug::CountOneVoterTwice, Invariant::AgreedPromotion),
        (Bug::QuorumOfOne, Invariant::AgreedPromotion),
        (Bug::ConfigEpochGoesBack, Invariant::EpochsRise),
        (Bug::LeakLinks, Invariant::Bounded),
        (Bug::SkipDemotion, Invariant::Converges),
    ] {
        assert_eq!(noticed(Some(bug)), Some(invariant), "{}", bug.name());
    }
}
