//! The scenarios that real servers play in the end-to-end tests come to their end here as well, and are the same again
//! with the same seed.

use std::fs;
use std::path::Path;

use bellwether_sim::scenario::{Portrait, Scenario, rehearse};

const SEEDS: u64 = 3;

#[test]
fn every_scenario_comes_to_its_end() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut count = 0;
    for entry in fs::read_dir(&dir).expect("the scenarios are there") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a text");
        let shown = path.display();
        let scenario = Scenario::parse("x", &text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        for seed in 0..SEEDS {
            let play =
                || rehearse(&scenario, seed).unwrap_or_else(|error| panic!("{shown}, seed {seed}: {error}"));
            let (first, again) = (play(), play());
            assert_eq!(first, again, "{shown}, seed {seed}");
            let portrait = Portrait::of(&scenario, &first).to_string();
            assert!(!portrait.is_empty(), "{shown}, seed {seed}: nobody told anything");
        }
        count += 1;
    }
    assert!(count >= 10, "{count} scenarios");
}
