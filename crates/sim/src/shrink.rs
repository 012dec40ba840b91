//! Makes a failing run shorter: faults without which the same promise is still broken are left out.

use std::collections::BTreeSet;

use crate::check::Invariant;
use crate::fault::Planned;
use crate::plan::Setup;
use crate::run::run_plan;

/// The numbers of the entries of `plan` without which `invariant` is broken all the same: leaving out any further one
/// mends it.
#[must_use]
pub fn shrink(setup: &Setup, plan: &[Planned], invariant: Invariant) -> BTreeSet<usize> {
    let mut dropped = BTreeSet::new();
    loop {
        let before = dropped.len();
        for n in 0..plan.len() {
            if !dropped.insert(n) {
                continue;
            }
            let kept = plan.iter().enumerate().filter(|(n, _)| !dropped.contains(n));
            let kept: Vec<_> = kept.map(|(_, entry)| *entry).collect();
            let report = run_plan(setup, kept, false, None);
            if report
                .violation
                .is_none_or(|violation| violation.invariant != invariant)
            {
                dropped.remove(&n);
            }
        }
        if dropped.len() == before {
            return dropped;
        }
    }
}
