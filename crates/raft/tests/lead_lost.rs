//! A leader that hears of a newer term stops leading at once. What it ordered before may still be on its way.

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;
#[allow(dead_code, reason = "other tests use the rest")]
mod forge;

use cluster::Cluster;
use raft::eraftpb::{Message, MessageType};

/// A group of three with a leader that may act.
fn led() -> (Cluster, u64) {
    let mut cluster = Cluster::new(1);
    cluster.found(3);
    cluster.run(1000);
    let leader = cluster.leader().expect("somebody leads");
    (cluster, leader)
}

/// Delivers to `to` what `from` says in a term of its own, as a candidate of that term does.
fn say(cluster: &mut Cluster, from: u64, to: u64, kind: MessageType, term: u64) {
    let status = cluster.members[&to].status(cluster.now).expect("it runs");
    let mut message = Message {
        from,
        to,
        term,
        ..Message::default()
    };
    if kind == MessageType::MsgRequestVote {
        (message.index, message.log_term) = (status.last, status.term);
    }
    let model = cluster.last_frames[&(from, to)].clone();
    let frame = forge::of(&model, message, kind);
    cluster
        .deliver(from, to, &frame)
        .expect("it runs")
        .expect("any member may say so");
}

/// Whether `id` has its vote of that term on its disk, or has it written now.
fn has_voted(cluster: &Cluster, id: u64, term: u64, candidate: u64) -> bool {
    let disk = &cluster.members[&id].disk;
    let under_way = disk.under_way.as_ref().and_then(|(_, write)| write.hard);
    let hard = under_way.unwrap_or_else(|| disk.restored().hard);
    (hard.term, hard.vote) == (term, candidate)
}

#[test]
fn who_led_gives_no_vote_while_its_orders_may_still_leave() {
    let (mut cluster, leader) = led();
    let candidate = (1..=3).find(|id| *id != leader).expect("there are three");
    let other = (1..=3)
        .find(|id| *id != leader && *id != candidate)
        .expect("there are three");
    // The two others hear nothing of what this test says, and say nothing.
    cluster.cut(leader, candidate);
    cluster.cut(leader, other);
    let until = cluster
        .call(leader, |node, _| {
            let until = node.lease_until().expect("it may act");
            node.ordered(until);
            until
        })
        .expect("it runs");
    let term = cluster.members[&leader]
        .status(cluster.now)
        .expect("it runs")
        .term
        + 1;
    // The candidate got a majority for its term before anybody heard of this leader, and learns of it only now.
    say(
        &mut cluster,
        candidate,
        leader,
        MessageType::MsgAppendResponse,
        term,
    );
    assert_eq!(cluster.leader(), None, "it leads no more");
    say(&mut cluster, candidate, leader, MessageType::MsgRequestVote, term);
    cluster.run(20);
    assert!(
        !has_voted(&cluster, leader, term, candidate),
        "orders may leave for {:?} more, and another may lead by its vote",
        until.since(bellwether_core::Instant::from_millis(cluster.now))
    );
    // When they can leave no more it votes like anybody.
    cluster.run(300);
    say(&mut cluster, candidate, leader, MessageType::MsgRequestVote, term);
    cluster.run(20);
    assert!(has_voted(&cluster, leader, term, candidate));
}
