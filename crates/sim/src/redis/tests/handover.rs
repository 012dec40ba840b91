//! `FAILOVER` and `CLIENT PAUSE`.

use super::*;

fn hand_over(to: u16, timeout_ms: u64) -> Command {
    Command::HandOver {
        to: (at(to).ip().to_string(), to),
        timeout_ms,
        pause_ms: timeout_ms,
    }
}

/// A group where the replica has not acknowledged the last write yet, and a coordinator at the primary.
fn lagging() -> (Net, ConnId) {
    let mut net = Net::group(3);
    net.run(Duration::from_millis(10));
    net.write(1, 1);
    let conn = net.connect(1, true);
    (net, conn)
}

fn state(net: &mut Net) -> String {
    let info = net.info(1);
    field(&info, "master_failover_state")
        .expect("the field")
        .to_owned()
}

#[test]
fn a_hand_over_waits_for_the_replica_and_loses_nothing() {
    let (mut net, conn) = lagging();
    let client = net.connect(1, false);
    assert_eq!(net.order(conn, hand_over(2, 5_000)), Some(Reply::Done));
    assert_eq!(state(&mut net), "waiting-for-sync");
    net.send(client, Message::Write(WriteId(2)));
    assert_eq!(net.take(client), [], "writes wait");
    net.run(secs(1));
    assert_eq!((net[1].is_primary(), net[2].is_primary()), (false, true));
    assert_eq!(state(&mut net), "no-failover");
    assert!(net[1].link_up());
    assert_eq!(net[1].follows(), Some(at(2)));
    assert_eq!(field(&net.info(2), "sync_partial_ok"), Some("1"));
    assert_eq!(field(&net.info(2), "sync_full"), Some("0"));
    assert_eq!(net.take(client), [], "the pause by the coordinator goes on");
    assert_eq!(net.order(conn, Command::Unpause), Some(Reply::Done));
    let answer = net.take(client);
    assert!(matches!(&answer[..], [Message::Refused(words)] if words.starts_with("READONLY")));
    assert_eq!(net.write(2, 3), Message::Written(WriteId(3)));
    net.run(secs(5));
    assert_eq!(net[1].entries(), net[2].entries());
    assert_eq!(
        net[3].entries(),
        net[2].entries(),
        "3 follows 1 still, in a chain"
    );
}

#[test]
fn a_release_makes_the_new_roles_permanent() {
    let (mut net, conn) = lagging();
    net.order(conn, hand_over(2, 5_000));
    net.run(secs(1));
    let unwritten = net[1].remains();
    let client = net.connect(1, false);
    net.send(client, Message::Write(WriteId(2)));
    assert_eq!(net.order(conn, Command::Release), Some(Reply::Done));
    assert!(!net.is_open(client));
    assert!(!net[1].is_paused());
    let written = net.crash(1);
    net.restart(spec(1, None), Some(unwritten));
    assert!(net[1].is_primary(), "without it the old file rules");
    net.crash(1);
    net.restart(spec(1, None), Some(written));
    assert_eq!(net[1].follows(), Some(at(2)));
}

#[test]
fn what_stands_behind_a_publish_in_a_pause_waits_too() {
    let (mut net, conn) = lagging();
    let other = net.connect(1, true);
    net.order(conn, hand_over(2, 5_000));
    let message = "hello".to_owned();
    let batch = vec![
        (RequestId(1), Command::Ping),
        (RequestId(2), Command::Hello { message }),
        (RequestId(3), Command::Ping),
    ];
    net.send(other, Message::Commands(batch));
    assert_eq!(net.replies(other).len(), 1);
    assert_eq!(net.order(other, Command::Info), None);
    net.run(secs(6));
    let rest: Vec<_> = net.take(other).into_iter().collect();
    assert!(matches!(&rest[0], Message::Hello(_)));
    assert_eq!(rest.len(), 4, "hello, its reply, the ping and INFO: {rest:?}");
}

#[test]
fn a_replica_that_does_not_catch_up_in_time_is_given_up() {
    let (mut net, conn) = lagging();
    net.frozen.insert(2);
    net.order(conn, hand_over(2, 1_500));
    let client = net.connect(1, false);
    net.send(client, Message::Write(WriteId(2)));
    net.run(Duration::from_millis(1_400));
    assert_eq!(net.take(client), []);
    net.run(Duration::from_millis(200));
    assert!(net[1].is_primary());
    assert_eq!(net.take(client), [Message::Written(WriteId(2))]);
}

#[test]
fn no_ping_disturbs_the_wait() {
    let (mut net, conn) = lagging();
    net.frozen.insert(2);
    net.order(conn, hand_over(2, 30_000));
    let before = net[1].offset();
    net.run(secs(25));
    assert_eq!(net[1].offset(), before);
}

#[test]
fn a_replica_that_dies_at_the_last_moment_leaves_the_primary_stuck() {
    let mut net = Net::group(2);
    net.run(secs(2));
    net.frozen.insert(2);
    let conn = net.connect(1, true);
    assert_eq!(net.order(conn, hand_over(2, 1_000)), Some(Reply::Done));
    net.run(secs(30));
    assert_eq!(
        state(&mut net),
        "failover-in-progress",
        "as the reference, without an end"
    );
    assert_eq!(
        net.order(conn, follow(None)),
        refused("ERR REPLICAOF not allowed while failing over.")
    );
    net.thaw(2);
    net.run(secs(1));
    assert_eq!(
        (net[1].is_primary(), net[2].is_primary()),
        (false, true),
        "as soon as it is back"
    );
}

#[test]
fn a_hand_over_that_waits_is_ended_at_once() {
    let (mut net, conn) = lagging();
    net.frozen.insert(2);
    let nothing = refused("ERR No failover in progress.");
    assert_eq!(net.order(conn, Command::AbortHandOver), nothing);
    net.order(conn, hand_over(2, 20_000));
    let replid = net[1].replid();
    let client = net.connect(1, false);
    net.send(client, Message::Write(WriteId(2)));
    assert_eq!(net.order(conn, Command::AbortHandOver), Some(Reply::Done));
    assert_eq!(state(&mut net), "no-failover");
    assert_eq!(net.take(client), [], "the pause by the coordinator goes on");
    net.order(conn, Command::Unpause);
    assert_eq!(net.take(client), [Message::Written(WriteId(2))]);
    assert_eq!(net[1].replid(), replid);
}

#[test]
fn a_stuck_primary_is_freed_by_an_end_of_the_hand_over() {
    let mut net = Net::group(3);
    net.run(secs(2));
    net.frozen.insert(2);
    let conn = net.connect(1, true);
    net.order(conn, hand_over(2, 1_000));
    net.run(secs(5));
    let replid = net[1].replid();
    let publisher = net.connect(1, true);
    let message = "hello".to_owned();
    assert_eq!(net.order(publisher, Command::Hello { message }), None);
    assert_eq!(net.order(conn, Command::AbortHandOver), Some(Reply::Done));
    assert!(net[1].is_primary());
    assert_ne!(net[1].replid(), replid);
    assert_eq!(state(&mut net), "no-failover");
    assert_eq!(net.order(conn, follow(None)), Some(Reply::Done));
    assert_eq!(net.write(1, 3), Message::Written(WriteId(3)));
    net.run(secs(2));
    assert_eq!(net[3].entries(), net[1].entries(), "it goes on where it stood");
    assert_eq!(net[1].stats().sync_full, 2, "those of the beginning");
    assert_eq!(net[1].stats().hand_overs_aborted, 1);
}

#[test]
fn a_replica_that_refuses_leaves_the_primary_in_office() {
    let mut net = Net::group(2);
    net.run(secs(2));
    net.frozen.insert(2);
    let conn = net.connect(1, true);
    net.order(conn, hand_over(2, 1_000));
    assert!(!net[1].is_primary(), "it follows already");
    // Somebody else promotes the replica first.
    net.with(2, |server, now, acts| server.become_primary(now, acts));
    net.thaw(2);
    net.run(secs(1));
    assert_eq!((net[1].is_primary(), net[2].is_primary()), (true, true));
    assert_eq!(state(&mut net), "no-failover");
}

#[test]
fn a_busy_replica_is_asked_again() {
    let mut net = Net::group(2);
    net.run(secs(2));
    net.with(2, |server, now, acts| server.set_busy(now, true, acts));
    let conn = net.connect(1, true);
    net.order(conn, hand_over(2, 1_000));
    assert_eq!(state(&mut net), "failover-in-progress");
    net.with(2, |server, now, acts| server.set_busy(now, false, acts));
    net.run(Duration::from_millis(100));
    assert!(net[2].is_primary(), "not only after a second");
}

#[test]
fn what_cannot_be_handed_over_is_refused_but_writes_pause() {
    let mut net = Net::group(2);
    let conn = net.connect(1, true);
    let no_replica = "ERR FAILOVER target HOST and PORT is not a replica.";
    assert_eq!(net.order(conn, hand_over(9, 1_000)), refused(no_replica));
    assert!(net[1].is_paused(), "the pause came first in the transaction");
    net.run(secs(2));
    assert!(!net[1].is_paused());
    let replica = net.connect(2, true);
    let no_primary = "ERR FAILOVER is not valid when server is a replica.";
    assert_eq!(net.order(replica, hand_over(1, 1_000)), refused(no_primary));
    net.crash(2);
    let alone = "ERR FAILOVER requires connected replicas.";
    assert_eq!(net.order(conn, hand_over(2, 1_000)), refused(alone));
    net.start(spec(2, Some(1)));
    net.run(Duration::from_millis(500));
    let offline = "ERR FAILOVER target replica is not online.";
    assert_eq!(net.order(conn, hand_over(2, 1_000)), refused(offline));
}

#[test]
fn an_old_server_cannot_hand_over() {
    let mut net = Net::default();
    net.start(ServerSpec {
        has_failover: false,
        ..spec(1, None)
    });
    let conn = net.connect(1, true);
    assert!(matches!(
        net.order(conn, hand_over(2, 1_000)),
        Some(Reply::Refused(_))
    ));
    assert!(!net[1].is_paused(), "nothing of the transaction is done");
    assert_eq!(field(&net.info(1), "master_failover_state"), None);
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let mut net = Net::group(2);
    let conn = net.connect(1, true);
    net.order(conn, hand_over(9, 5_000));
    net.order(conn, hand_over(9, 100));
    net.run(secs(1));
    assert!(net[1].is_paused());
}

#[test]
fn no_replica_is_served_while_a_hand_over_waits() {
    let (mut net, conn) = lagging();
    net.frozen.insert(2);
    net.order(conn, hand_over(2, 4_000));
    net.start(spec(4, Some(1)));
    net.run(secs(3));
    assert_eq!(field(&net.info(4), "master_sync_in_progress"), Some("0"));
    net.run(secs(2));
    assert_eq!(field(&net.info(4), "master_sync_in_progress"), Some("1"));
}

#[test]
fn only_a_replica_of_the_same_history_takes_over() {
    let mut net = Net::group(2);
    let sync = |replid| Message::Sync {
        listens: at(9),
        replid,
        offset: 0,
        failover: true,
    };
    let replid = net[1].replid();
    for (number, replid) in [(1, replid), (2, ReplId(9))] {
        let conn = net.connect(number, false);
        net.send(conn, sync(replid));
        assert_eq!(net.take(conn), [Message::SyncRefused]);
        assert_eq!(net[number].is_primary(), number == 1);
    }
    let conn = net.connect(2, false);
    net.send(conn, sync(replid));
    assert!(net[2].is_primary());
    assert_eq!(net.take(conn), [Message::Continue(net[2].replid())]);
}
