//! Full and partial synchronization, chains, time-outs.

use super::*;

#[test]
fn a_full_synchronization_takes_its_time_and_brings_everything() {
    let mut net = Net::default();
    net.start(spec(1, None));
    net.run(secs(1));
    assert_eq!(net.write(1, 1), Message::Written(WriteId(1)));
    net.start(spec(2, Some(1)));
    net.run(Duration::from_millis(500));
    assert!(net.info(1).contains("port=2,state=wait_bgsave,offset=0,lag=0"));
    assert_eq!(field(&net.info(1), "rdb_bgsave_in_progress"), Some("1"));
    assert_eq!(field(&net.info(2), "master_sync_in_progress"), Some("1"));
    let conn = net.connect(2, false);
    net.send(conn, Message::AskRole);
    assert_eq!(
        net.take(conn),
        [Message::Role { primary: false }],
        "not loading yet"
    );
    net.run(secs(1));
    assert!(net[2].is_loading());
    assert!(net.info(1).contains("state=send_bulk"));
    assert_eq!(
        net.order(conn, Command::Ping),
        Some(Reply::Ping(bellwether_core::Pong::Loading))
    );
    net.write(1, 2);
    net.run(secs(1));
    assert!(net[2].link_up() && !net[2].is_loading());
    assert_eq!(
        net[2].entries(),
        net[1].entries(),
        "the write during the load as well"
    );
    assert_eq!(net[2].replid(), net[1].replid());
    net.run(secs(1));
    assert!(
        net.info(1).contains("state=online,offset=2,lag="),
        "{}",
        net.info(1)
    );
}

#[test]
fn a_short_break_costs_a_partial_synchronization_and_a_long_one_a_full_one() {
    let mut net = Net::group(2);
    let remains = {
        net[2].save();
        net.crash(2)
    };
    for write in 0..100 {
        net.write(1, write);
    }
    net.restart(spec(2, Some(1)), Some(remains.clone()));
    net.run(Duration::from_millis(1));
    assert_eq!(net[2].offset(), 100, "all within the backlog");
    assert_eq!(field(&net.info(1), "sync_partial_ok"), Some("1"));
    net.crash(2);
    net.write(1, 100);
    net.restart(spec(2, Some(1)), Some(remains));
    net.run(Duration::from_millis(1));
    assert_eq!(net[2].offset(), 0, "one more than the backlog has");
    assert_eq!(field(&net.info(1), "sync_full"), Some("2"));
    net.run(secs(3));
    assert_eq!(net[2].offset(), 101);
}

#[test]
fn a_primary_without_data_wipes_its_replicas() {
    let mut net = Net::group(2);
    net.write(1, 1);
    net.crash(1);
    net.restart(spec(1, None), None);
    net.run(secs(5));
    assert!(net[2].link_up());
    assert_eq!(net[2].entries(), []);
}

#[test]
fn a_primary_that_saved_serves_those_that_are_not_ahead_of_the_file() {
    let mut net = Net::group(3);
    net.write(1, 1);
    net[1].save();
    net.frozen.insert(3);
    net.write(1, 2);
    let remains = net.crash(1);
    // The second write never reached replica 3.
    net.packets
        .retain(|(end, _, packet)| *end != Some(3) || matches!(packet, Packet::Closed));
    net.thaw(3);
    net.restart(spec(1, None), Some(remains));
    net.run(secs(5));
    let info = net.info(1);
    assert_eq!(
        (field(&info, "sync_partial_ok"), field(&info, "sync_full")),
        (Some("1"), Some("1"))
    );
    assert_eq!(
        net[2].entries(),
        [Entry::Write(WriteId(1))],
        "what was not saved is gone"
    );
    assert_eq!(net[3].entries(), net[1].entries());
}

#[test]
fn a_crash_in_a_full_synchronization_leaves_the_received_data() {
    let mut net = Net::default();
    net.start(spec(1, None));
    net.write(1, 1);
    net.start(spec(2, Some(1)));
    net.run(Duration::from_millis(1_500));
    assert!(net[2].is_loading());
    let remains = net.crash(2);
    net.restart(spec(2, Some(1)), Some(remains));
    assert_eq!(net[2].offset(), 1);
}

#[test]
fn an_interrupted_full_synchronization_leaves_no_way_back() {
    let mut net = Net::group(2);
    net.start(spec(3, None));
    net.run(secs(1));
    net.write(1, 1);
    let conn = net.connect(2, true);
    net.order(conn, follow(Some(3)));
    net.run(Duration::from_millis(10));
    let info = net.info(2);
    assert_eq!(field(&info, "slave_repl_offset"), Some("1"), "none to speak of");
    assert_eq!(field(&info, "master_repl_offset"), Some("1"));
    net.order(conn, follow(Some(1)));
    net.run(Duration::from_millis(10));
    assert!(!net[2].link_up(), "another full one");
    net.run(secs(5));
    assert_eq!(net[2].entries(), net[1].entries());
}

#[test]
fn a_chain_passes_the_stream_on_and_outlives_its_head() {
    let mut net = Net::group(2);
    net.start(spec(3, Some(2)));
    net.run(secs(4));
    net.write(1, 1);
    assert_eq!(net[3].entries(), [Entry::Write(WriteId(1))]);
    assert!(net.info(2).contains("slave0:ip=10.0.0.1,port=3,state=online"));
    net.run(secs(10));
    assert_eq!(net[3].offset(), 2, "pings come from the top alone");
    net.crash(1);
    let conn = net.connect(2, true);
    net.order(conn, follow(None));
    assert!(net[3].link_up(), "it was sent off and is back at once");
    net.write(2, 2);
    assert_eq!(net[3].entries(), net[2].entries());
    assert_eq!(
        field(&net.info(2), "sync_partial_ok"),
        Some("1"),
        "it goes on under the new id"
    );
    assert_eq!(net[3].replid(), net[2].replid());
}

#[test]
fn replicas_follow_a_promoted_one_without_loss() {
    let mut net = Net::group(3);
    net.write(1, 1);
    net.crash(1);
    let conns = [net.connect(2, true), net.connect(3, true)];
    net.order(conns[0], follow(None));
    net.order(conns[1], follow(Some(2)));
    net.run(Duration::from_millis(1));
    assert!(net[3].link_up(), "a partial synchronization by the former id");
    assert_eq!(net.write(2, 2), Message::Written(WriteId(2)));
    assert_eq!(net[3].offset(), 2);
}

#[test]
fn a_silent_primary_is_left_and_a_silent_replica_dropped() {
    let mut net = Net::group(2);
    net.frozen.insert(1);
    net.run(secs(62));
    assert!(!net[2].link_up());
    let mut net = Net::group(2);
    net.frozen.insert(2);
    net.run(secs(50));
    assert!(net.info(1).contains("connected_slaves:1"));
    net.run(secs(15));
    assert!(net.info(1).contains("connected_slaves:0"));
}

#[test]
fn a_link_that_breaks_is_set_up_at_once_and_then_each_second() {
    let mut net = Net::group(2);
    net.crash(1);
    net.run(secs(4));
    assert_eq!(field(&net.info(2), "master_link_down_since_seconds"), Some("4"));
    net.start(spec(1, None));
    net.run(secs(1));
    assert_eq!(field(&net.info(2), "master_sync_in_progress"), Some("1"));
}

#[test]
fn one_that_follows_nobody_or_itself_stays_down() {
    let mut net = Net::default();
    net.start(spec(1, Some(9)));
    net.start(spec(2, Some(2)));
    net.run(secs(10));
    for number in [1, 2] {
        let info = net.info(number);
        assert_eq!(field(&info, "master_link_status"), Some("down"));
        assert_eq!(field(&info, "master_link_down_since_seconds"), Some("-1"));
    }
    net.start(spec(3, Some(1)));
    net.run(secs(10));
    assert!(!net[3].link_up(), "one without a primary serves no replicas");
}

#[test]
fn the_backlog_begins_where_the_data_were_loaded() {
    let mut net = Net::group(1);
    net.write(1, 1);
    net.start(spec(2, Some(1)));
    net.run(secs(3));
    let backlog = |info: &str| {
        let number = |name| field(info, name)?.parse::<u64>().ok();
        (
            number("repl_backlog_first_byte_offset"),
            number("repl_backlog_histlen"),
        )
    };
    assert_eq!(backlog(&net.info(2)), (Some(2), Some(0)));
    net.write(1, 2);
    assert_eq!(backlog(&net.info(2)), (Some(2), Some(1)));
    assert_eq!(backlog(&net.info(1)), (Some(1), Some(2)));
}

#[test]
fn a_new_id_goes_down_the_chain() {
    let mut net = Net::group(3);
    net.start(spec(4, Some(3)));
    net.run(secs(4));
    let before = net[4].replid();
    let conns = [net.connect(2, true), net.connect(3, true)];
    net.order(conns[0], follow(None));
    net.order(conns[1], follow(Some(2)));
    assert_eq!(net[4].replid(), net[2].replid());
    assert_ne!(net[4].replid(), before);
    assert_eq!(
        field(&net.info(3), "second_repl_offset"),
        Some("1"),
        "the old id up to here"
    );
    assert_eq!(field(&net.info(3), "sync_full"), Some("1"), "the first one of 4");
}

#[test]
fn data_that_are_replaced_are_replaced_down_the_chain() {
    let mut net = Net::group(2);
    net.start(spec(3, Some(2)));
    net.start(spec(4, None));
    net.run(secs(4));
    net.write(4, 1);
    let conn = net.connect(2, true);
    net.order(conn, follow(Some(4)));
    net.run(Duration::from_millis(1_500));
    assert!(net[2].is_loading());
    assert!(!net[3].link_up(), "it was sent off");
    net.run(secs(5));
    assert_eq!(net[3].entries().first(), Some(&Entry::Write(WriteId(1))));
    assert_eq!(net[3].entries(), net[4].entries());
}

#[test]
fn a_long_snapshot_is_no_silence_and_a_dead_load_is() {
    let mut net = Net::default();
    let patience = |number, follows| ServerSpec {
        repl_timeout: secs(5),
        full_sync_time: secs(40),
        ..spec(number, follows)
    };
    net.start(patience(1, None));
    net.start(patience(2, Some(1)));
    net.run(secs(39));
    assert_eq!(
        net[2].stats().connections + net[1].stats().connections,
        1,
        "the first one holds"
    );
    net.frozen.insert(2);
    net.run(secs(20));
    assert!(net.info(1).contains("state=send_bulk"));
    net.run(secs(10));
    assert!(net.info(1).contains("connected_slaves:0"));
}

#[test]
fn a_promotion_forgets_how_long_the_link_was_down() {
    let mut net = Net::group(2);
    net.crash(1);
    net.run(secs(3));
    let conn = net.connect(2, true);
    net.order(conn, follow(None));
    net.order(conn, follow(Some(9)));
    assert_eq!(field(&net.info(2), "master_link_down_since_seconds"), Some("-1"));
}

#[test]
fn both_ends_of_a_connection_to_itself_are_forgotten() {
    let mut server = Server::start(spec(1, Some(1)), None, Time::ZERO);
    let (conn, mut acts) = (ConnId(1), Vec::new());
    server.wake(Time::ZERO, &mut acts);
    server.accepted(conn, false);
    server.dialled(Time::ZERO, 1, Ok(conn), &mut acts);
    server.closed(Time::ZERO, conn, &mut acts);
    assert_eq!(field(&server.info(Time::ZERO), "connected_clients"), Some("0"));
}
