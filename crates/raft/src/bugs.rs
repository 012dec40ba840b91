//! Mistakes on purpose, so that the simulator can show that it notices them: the core describes them and says whether one
//! is to be made. Without the feature `seeded-bugs` none ever is.

#[cfg(feature = "seeded-bugs")]
pub(crate) use bellwether_core::bugs::{Bug, has};

/// Those that are made here.
#[cfg(not(feature = "seeded-bugs"))]
#[derive(Clone, Copy)]
pub(crate) enum Bug {
    ActWithoutLease,
    OrderAtAnyTime,
    CountConclusionOfAnyTerm,
}

#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
