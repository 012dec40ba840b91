//! Addresses that servers and coordinators give up, and who comes up there: of every kind one, played on purpose.

use std::time::Duration;

use bellwether_sim::{
    Coordination, CoordinatorPick, Data, Fault, Planned, Profile, Report, ServerPick, Setup, Stranger, Time,
    When, run_plan,
};

/// How many worlds each kind is played in.
const SEEDS: std::ops::Range<u64> = 0..3;
/// A stranger comes up so much later than the address is free.
const AFTER: Duration = Duration::from_millis(300);

const fn at(millis: u64, fault: Fault) -> Planned {
    let when = When::At(Time::from_millis(millis));
    Planned { when, fault }
}

/// Plays these faults in a world of this seed, and then the death of the primary: who takes over then?
fn play(seed: u64, groups: usize, faults: &[Planned]) -> Report {
    let (mut setup, _) = Setup::of(seed, Profile::Crash, Coordination::Vote);
    setup.groups = groups;
    setup.servers = 3;
    setup.no_priority = None;
    setup.introduced = true;
    setup.faults_end = Time::from_millis(40_000);
    let mut plan = faults.to_vec();
    let primary = ServerPick::Primary(0);
    let dies = Fault::CrashServer(primary, Data::Kept, Duration::from_secs(6));
    plan.push(at(25_000, dies));
    let report = run_plan(&setup, plan.clone(), false, None);
    let lines = || run_plan(&setup, plan.clone(), true, None).lines.join("\n");
    assert!(
        report.violation.is_none(),
        "seed {seed}: {:?}\n{}",
        report.violation,
        lines()
    );
    report
}

#[test]
fn whoever_comes_up_at_an_address_of_ours_is_neither_promoted_nor_followed() {
    for stranger in [
        Stranger::Primary,
        Stranger::PrimaryThatRefuses,
        Stranger::OfOtherGroup,
        Stranger::AnswersErrors,
        Stranger::AnswersOddly,
        Stranger::HangsUp,
    ] {
        for pick in [ServerPick::Primary(0), ServerPick::Replica(0, 0)] {
            for seed in SEEDS {
                let replaced = Fault::Replaced(pick, seed % 2 == 0, stranger, AFTER);
                let report = play(seed, 2, &[at(8_000, replaced)]);
                let came = report.coverage.moments.keys().any(|moment| {
                    *moment == "stranger"
                        || (*moment == "stranger-of-other-group" && stranger == Stranger::OfOtherGroup)
                });
                assert!(came, "seed {seed}: {stranger:?} never came");
            }
        }
    }
}

#[test]
fn an_old_primary_that_never_comes_back_is_done_without() {
    for seed in SEEDS {
        let report = play(seed, 1, &[at(8_000, Fault::GoneForGood(ServerPick::Primary(0)))]);
        assert_eq!(
            report.coverage.faults.get("gone-for-good"),
            Some(&1),
            "seed {seed}"
        );
        assert!(
            report.coverage.ended() >= 2,
            "seed {seed}: two primaries were lost"
        );
    }
}

#[test]
fn a_coordinator_of_another_fleet_at_the_address_of_ours_changes_nothing() {
    for seed in SEEDS {
        let fault = Fault::ReplacedCoordinator(CoordinatorPick::Nth(0), AFTER);
        let report = play(seed, 1, &[at(8_000, fault)]);
        assert_eq!(
            report.coverage.moments.get("strange-coordinator"),
            Some(&1),
            "seed {seed}"
        );
    }
}
