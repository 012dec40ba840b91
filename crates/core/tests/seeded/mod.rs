//! A seeded bug for a whole run of the tests: `SEEDED_BUG=vote-twice cargo nextest run --features seeded-bugs`. Tests
//! that then fail show that the switch changes what the core does.

/// Plants the bug that `SEEDED_BUG` names, if it is set.
pub(crate) fn plant_named_bug() {
    let Some(name) = std::env::var_os("SEEDED_BUG") else {
        return;
    };
    #[cfg(feature = "seeded-bugs")]
    {
        use bellwether_core::bugs::{Bug, plant};
        let bug = name.to_str().and_then(Bug::from_name);
        assert!(bug.is_some(), "no bug is called {name:?}");
        plant(bug);
    }
    #[cfg(not(feature = "seeded-bugs"))]
    panic!("{name:?} can be planted only with the feature seeded-bugs");
}
