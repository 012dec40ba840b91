//! Plays some seeds of every profile: the promises hold, and a seed is a seed.

use bellwether_sim::{Coordination, Profile, run};

/// How many seeds of each profile a quick test plays. `bellwether-sim run` plays more.
const SEEDS: u64 = 8;

fn worlds() -> impl Iterator<Item = (Profile, Coordination)> {
    let both = |profile: &'static Profile| Coordination::ALL.iter().map(|one| (*profile, *one));
    Profile::ALL.iter().flat_map(both)
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for (profile, coordination) in worlds() {
        let play = |seed, keeps_lines| run(seed, profile, coordination, keeps_lines);
        let name = format!("{} {}", profile.name(), coordination.name());
        let (first, again) = (play(7, false), play(7, true));
        assert_eq!(first.hash, again.hash, "{name}: the lines changed the run");
        assert_eq!(first.coverage, again.coverage, "{name}");
        assert_ne!(first.hash, play(8, false).hash, "{name}: two seeds, one run");
    }
}

#[test]
fn some_seeds_of_every_profile_keep_all_promises() {
    for (profile, coordination) in worlds() {
        let mut failovers = 0;
        for seed in 0..SEEDS {
            let report = run(seed, profile, coordination, false);
            let lines = || run(seed, profile, coordination, true).lines.join("\n");
            assert!(
                report.violation.is_none(),
                "seed {seed} profile {} coordination {}: {:?}\n{}",
                profile.name(),
                coordination.name(),
                report.violation,
                lines()
            );
            failovers += report.coverage.ended();
        }
        assert!(failovers > 0, "{}: no failover in any seed", profile.name());
    }
}
