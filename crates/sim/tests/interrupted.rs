//! The coordinator that leads a failover dies, or stops for some seconds, right after each of its effects: whichever it was,
//! all promises hold, and in the end all is well.
//!
//! Where the simulator is built without optimization only some of the effects are played; `INTERRUPT_EVERY=1` plays all, as `.ci/run sim` does with the profile `sim`.

use std::time::Duration;

use bellwether_sim::{
    Coordination, CoordinatorPick, Data, Fault, Interruption, LogSetup, Order, Planned, Profile, ServerPick,
    Setup, Time, When, count_effects, run_interrupted,
};

/// When the failover is made necessary: all have found each other by then.
const BEGINS: Time = Time::from_millis(5_000);
/// Everything lasting has ended by then.
const ENDS: Time = Time::from_millis(12_000);
/// Of so many effects one is played, unless `INTERRUPT_EVERY` says otherwise.
const EVERY: usize = 7;
/// A seed whose coordinators all know each other.
const SEED: u64 = 1;

fn setup(coordination: Coordination) -> Setup {
    let (mut setup, _) = Setup::of(SEED, Profile::Planned, coordination);
    setup.coordinators = 3;
    setup.ranks = vec![0, 1, 2];
    setup.quorum = 2;
    setup.groups = 1;
    setup.servers = 3;
    setup.colocated = false;
    setup.introduced = true;
    setup.no_priority = None;
    setup.down_after = Duration::from_millis(500);
    setup.failover_timeout = Duration::from_secs(5);
    setup.writers = 1;
    setup.server.has_failover = true;
    setup.faults_end = ENDS;
    setup.log = setup.log.map(|_| LogSetup {
        log_bytes: 1 << 20,
        keep_entries: 256,
        slowness: 1,
    });
    setup
}

/// Plays a failover once as it is, and then once for each effect of its leader, each time interrupted after the next one.
fn interrupt_everywhere(setup: &Setup, fault: Fault, how: Interruption) {
    let plan = || {
        let when = When::At(BEGINS);
        vec![Planned { when, fault }]
    };
    let (report, ended) = count_effects(setup, plan(), BEGINS);
    assert_eq!(report.violation, None, "{fault:?}, not interrupted");
    let (leader, effects) = ended.expect("somebody leads the failover to its end");
    assert!(effects > 20, "{effects} effects are no failover");
    let every = match std::env::var("INTERRUPT_EVERY") {
        Ok(text) => text.parse().expect("INTERRUPT_EVERY is a number"),
        Err(_) => EVERY,
    };
    // Most of what goes to and fro with a shared log tells only that somebody is there.
    let every = every * if setup.log.is_some() { EVERY } else { 1 };
    for after in (1..=effects).step_by(every) {
        let play = |lines| run_interrupted(setup, plan(), BEGINS, (leader, after), how, lines);
        let (report, interrupted) = play(false);
        assert!(interrupted, "s{} has no effect {after}", leader + 1);
        assert!(
            report.violation.is_none() && report.settled_after.is_some(),
            "{fault:?}, s{} {how:?} after effect {after} of {effects}: {:?}\n{}",
            leader + 1,
            report.violation,
            play(true).0.lines.join("\n")
        );
    }
}

fn primary_dies() -> Fault {
    Fault::CrashServer(ServerPick::Primary(0), Data::Kept, Duration::from_secs(5))
}

const fn hand_over() -> Fault {
    Fault::Operator(Order::Coordinated, CoordinatorPick::Nth(0), 0)
}

/// A primary that dies may take writes with it; a hand-over may not.
fn with_losses(coordination: Coordination) -> Setup {
    let mut setup = setup(coordination);
    setup.loses_nothing = false;
    setup
}

#[test]
fn a_leader_that_dies_after_any_effect_of_a_failover_is_replaced() {
    let how = Interruption::Crash(Duration::from_millis(1_500));
    for coordination in Coordination::ALL {
        interrupt_everywhere(&with_losses(*coordination), primary_dies(), how);
    }
}

#[test]
fn a_leader_that_stops_after_any_effect_of_a_failover_does_no_harm() {
    let how = Interruption::Pause(Duration::from_secs(3));
    for coordination in Coordination::ALL {
        interrupt_everywhere(&with_losses(*coordination), primary_dies(), how);
    }
}

#[test]
fn a_leader_that_dies_after_any_effect_of_a_hand_over_loses_no_write() {
    let how = Interruption::Crash(Duration::from_millis(1_500));
    for coordination in Coordination::ALL {
        interrupt_everywhere(&setup(*coordination), hand_over(), how);
    }
}

#[test]
fn a_leader_that_stops_after_any_effect_of_a_hand_over_loses_no_write() {
    let how = Interruption::Pause(Duration::from_secs(3));
    for coordination in Coordination::ALL {
        interrupt_everywhere(&setup(*coordination), hand_over(), how);
    }
}
