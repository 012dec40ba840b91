//! A member that has nothing to do asks for no time.

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;

use bellwether_raft::{Change, Role};
use cluster::Cluster;

#[test]
fn who_was_told_of_its_removal_waits_for_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.found(3);
    cluster.run(1000);
    let leader = cluster.leader().expect("somebody leads");
    let gone = (1..=3).find(|id| *id != leader).expect("there are three");
    let other = (1..=3)
        .find(|id| *id != leader && *id != gone)
        .expect("there are three");
    cluster.cut(gone, leader);
    cluster.cut(gone, other);
    cluster.call(leader, |node, now| {
        node.change(now, &Change::Remove { id: gone }, 1)
    });
    cluster.run(1000);
    cluster.heal();
    cluster.run(3000);
    let status = cluster.members[&gone].status(cluster.now).expect("it runs");
    assert_eq!(status.role, Role::Removed, "the others have told it");
    let node = cluster.members[&gone].node.as_ref().expect("it runs");
    assert_eq!(node.poll_deadline(), None);
}
