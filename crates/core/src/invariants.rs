//! What must hold after every input. These are errors of ours, never of the world: the process stops, because
//! a coordinator that is wrong about them does harm.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::failover::Stage;
use crate::group::Group;
use crate::id::{Epoch, GroupName};

/// Checks all of them; the cheap ones always, the rest where debug assertions are on.
///
/// # Panics
/// If one does not hold.
pub(crate) fn check(groups: &BTreeMap<GroupName, Group>, cx: &Context) {
    assert!(
        cx.out.durable_epoch() <= cx.registry.current_epoch,
        "an epoch was made durable that is higher than the current one"
    );
    if !cfg!(debug_assertions) {
        return;
    }
    assert_eq!(
        groups.len(),
        cx.registry.groups.len(),
        "groups and registry do not hold the same"
    );
    for (name, group) in groups {
        let Some(record) = cx.registry.groups.get(name) else {
            panic!("{name} is in no registry")
        };
        assert_eq!(group.primary, record.primary, "{name}: two ideas of the primary");
        assert!(
            !record.replicas.contains(&record.primary),
            "{name}: the primary is among its replicas"
        );
        assert!(
            group.instances.contains_key(&group.primary),
            "{name}: the primary is not watched"
        );
        assert_eq!(
            group.instances.len(),
            record.replicas.len() + 1,
            "{name}: instances and record differ"
        );
        assert!(
            group.views.keys().eq(record.sentinels.keys()),
            "{name}: sentinels and record differ"
        );
        assert!(
            Epoch::from(record.config_epoch) <= cx.registry.current_epoch,
            "{name}: a config epoch above the current one"
        );
        assert!(
            record.vote.epoch <= cx.registry.current_epoch,
            "{name}: a vote above the current epoch"
        );
        if let Some(run) = &group.run {
            assert!(
                run.epoch <= cx.registry.current_epoch,
                "{name}: a failover above the current epoch"
            );
            assert!(
                !matches!(&run.stage, Stage::Promoting { candidate, .. } if *candidate == group.primary),
                "{name}: the primary is being promoted"
            );
        }
    }
}
