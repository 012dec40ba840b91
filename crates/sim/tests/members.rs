//! Members of a shared log that come, go and move: of every kind one, played on purpose.

use std::time::Duration;

use bellwether_sim::{
    Coordination, CoordinatorPick, Data, Fault, Planned, Profile, Report, ServerPick, Setup, Time, When,
    run_plan,
};

/// How many worlds each kind is played in.
const SEEDS: std::ops::Range<u64> = 0..3;
/// How much later comes what is not to come at once.
const AFTER: Duration = Duration::from_millis(700);

const fn at(millis: u64, fault: Fault) -> Planned {
    let when = When::At(Time::from_millis(millis));
    Planned { when, fault }
}

/// Plays these faults in a world of this seed, and then the death of the primary.
fn play(seed: u64, faults: &[Planned]) -> Report {
    let (mut setup, _) = Setup::of(seed, Profile::Crash, Coordination::Raft);
    setup.coordinators = 3;
    setup.quorum = 2;
    setup.groups = 1;
    setup.servers = 3;
    setup.no_priority = None;
    setup.introduced = true;
    setup.faults_end = Time::from_millis(40_000);
    let mut plan = faults.to_vec();
    let dies = Fault::CrashServer(ServerPick::Primary(0), Data::Kept, Duration::from_secs(6));
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
fn each_change_of_the_members_is_seen_through_and_a_failover_after_it() {
    let leader = CoordinatorPick::Leader(0);
    for (fault, done) in [
        (Fault::ReplaceMember(leader, true, AFTER), "member-replaced"),
        (Fault::ReplaceMember(leader, false, AFTER), "member-replaced"),
        (Fault::RelieveMember(leader, AFTER), "member-replaced"),
        (Fault::AddMember, "member-added"),
        (Fault::RemoveMember(leader, AFTER), "member-removed"),
        (Fault::MoveMember(leader, true, AFTER), "member-moved"),
        (Fault::MoveMember(leader, false, AFTER), "member-moved"),
    ] {
        for seed in SEEDS {
            let report = play(seed, &[at(8_000, fault)]);
            let moments = &report.coverage.moments;
            assert_eq!(moments.get(done), Some(&1), "seed {seed}: {fault:?}: {moments:?}");
            assert!(report.coverage.ended() > 0, "seed {seed}: {fault:?}: no failover");
        }
    }
}

#[test]
fn a_member_that_was_down_while_all_others_were_replaced_is_a_member_again() {
    let down = Duration::from_secs(25);
    for seed in SEEDS {
        let plan = [
            at(6_000, Fault::CrashCoordinator(CoordinatorPick::Nth(0), down)),
            at(8_000, Fault::RelieveMember(CoordinatorPick::Nth(1), AFTER)),
            // By then the first of the others has gone, and is not counted.
            at(16_000, Fault::RelieveMember(CoordinatorPick::Nth(1), AFTER)),
        ];
        let report = play(seed, &plan);
        let moments = &report.coverage.moments;
        assert_eq!(
            moments.get("member-replaced"),
            Some(&2),
            "seed {seed}: {moments:?}"
        );
    }
}
