//! Plays some seeds of every profile: the promises hold, and a seed is a seed.

use bellwether_sim::{Profile, run};

/// How many seeds of each profile a quick test plays. `bellwether-sim run` plays more.
const SEEDS: u64 = 8;

#[test]
fn a_seed_gives_the_same_run_again() {
    for profile in Profile::ALL {
        let (first, again) = (run(7, *profile, false), run(7, *profile, true));
        assert_eq!(
            first.hash,
            again.hash,
            "{}: the lines changed the run",
            profile.name()
        );
        assert_eq!(first.coverage, again.coverage, "{}", profile.name());
        assert_ne!(
            first.hash,
            run(8, *profile, false).hash,
            "{}: two seeds, one run",
            profile.name()
        );
    }
}

#[test]
fn some_seeds_of_every_profile_keep_all_promises() {
    for profile in Profile::ALL {
        let mut failovers = 0;
        for seed in 0..SEEDS {
            let report = run(seed, *profile, false);
            let lines = || run(seed, *profile, true).lines.join("\n");
            assert!(
                report.violation.is_none(),
                "seed {seed} profile {}: {:?}\n{}",
                profile.name(),
                report.violation,
                lines()
            );
            failovers += report.coverage.ended();
        }
        assert!(failovers > 0, "{}: no failover in any seed", profile.name());
    }
}
