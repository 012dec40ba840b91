//! Who may write, what survives a restart, faults.

use super::*;
use bellwether_core::Pong;

#[test]
fn a_replica_refuses_writes() {
    let mut net = Net::group(2);
    assert_eq!(
        net.write(2, 1),
        Message::Refused("READONLY You can't write against a read only replica.".to_owned())
    );
    assert_eq!(net[2].offset(), 0);
}

#[test]
fn a_primary_that_needs_replicas_refuses_writes_without() {
    let needs_one = |number, follows| ServerSpec {
        min_replicas_to_write: 1,
        ..spec(number, follows)
    };
    let mut net = Net::default();
    net.start(needs_one(1, None));
    let refused = Message::Refused("NOREPLICAS Not enough good replicas to write.".to_owned());
    assert_eq!(net.write(1, 1), refused);
    net.start(needs_one(2, Some(1)));
    net.run(secs(5));
    assert_eq!(net.write(1, 2), Message::Written(WriteId(2)));
    net.frozen.insert(2);
    net.run(secs(8));
    assert_eq!(
        net.write(1, 3),
        Message::Written(WriteId(3)),
        "it lags by less than 10 s"
    );
    net.run(secs(5));
    assert_eq!(net.write(1, 4), refused);
}

#[test]
fn a_replica_that_serves_no_stale_data_says_so() {
    let mut net = Net::default();
    net.start(ServerSpec {
        serves_stale: false,
        ..spec(2, Some(1))
    });
    let conn = net.connect(2, true);
    assert_eq!(
        net.order(conn, Command::Ping),
        Some(Reply::Ping(Pong::PrimaryDown))
    );
    assert!(matches!(net.order(conn, Command::Info), Some(Reply::Info(_))));
    assert_eq!(net.order(conn, follow(None)), Some(Reply::Done));
    assert_eq!(net.order(conn, Command::Ping), Some(Reply::Ping(Pong::Pong)));
}

#[test]
fn a_restart_reads_the_configuration_as_last_written() {
    for writable in [true, false] {
        let mut net = Net::group(2);
        net[2].set_config_writable(writable);
        let conn = net.connect(2, true);
        assert_eq!(
            net.order(conn, follow(None)),
            Some(Reply::Done),
            "whether it can write or not"
        );
        let run_id = net[2].run_id().to_owned();
        let remains = net.crash(2);
        net.restart(spec(2, Some(1)), Some(remains.clone()));
        assert_eq!(net[2].is_primary(), writable);
        assert_ne!(net[2].run_id(), run_id);
        net.crash(2);
        net.restart(spec(2, Some(1)), Some(remains.with_first_config()));
        assert!(!net[2].is_primary());
    }
}

#[test]
fn a_restart_has_the_data_that_were_saved() {
    let mut net = Net::group(1);
    net.write(1, 1);
    net[1].save();
    net.write(1, 2);
    let remains = net.crash(1);
    net.restart(spec(1, None), Some(remains.clone()));
    assert_eq!(net[1].entries(), [Entry::Write(WriteId(1))]);
    net.crash(1);
    net.restart(spec(1, None), Some(remains.without_data()));
    assert_eq!(net[1].entries(), []);
}

#[test]
fn a_start_can_take_long() {
    let mut net = Net::group(1);
    net.write(1, 1);
    net[1].save();
    let remains = net.crash(1);
    net.restart(spec(1, None), Some(remains));
    let until = net.now + secs(20);
    net[1].set_loading_until(until);
    net.run(secs(19));
    assert_eq!(
        net.write(1, 2),
        Message::Refused("LOADING Redis is loading the dataset in memory".to_owned())
    );
    let conn = net.connect(1, true);
    assert_eq!(net.order(conn, Command::Ping), Some(Reply::Ping(Pong::Loading)));
    assert_eq!(
        net.order(conn, follow(Some(2))),
        refused("LOADING Redis is loading the dataset in memory")
    );
    assert_eq!(field(&net.info(1), "loading"), Some("1"));
    net.run(secs(2));
    assert_eq!(net.write(1, 3), Message::Written(WriteId(3)));
    assert!(net[1].is_primary(), "the refused order was not carried out");
}

#[test]
fn a_script_keeps_a_server_busy_until_it_is_killed() {
    let mut net = Net::group(2);
    net.with(2, |server, now, acts| server.set_busy(now, true, acts));
    assert_eq!(net[2].next_deadline(), None);
    let conn = net.connect(2, true);
    assert_eq!(net.order(conn, Command::Ping), Some(Reply::Ping(Pong::Busy)));
    assert!(
        matches!(net.order(conn, Command::Info), Some(Reply::Refused(words)) if words.starts_with("BUSY"))
    );
    assert!(
        matches!(net.order(conn, follow(None)), Some(Reply::Refused(words)) if words.starts_with("BUSY"))
    );
    net.write(1, 1);
    assert_eq!(net[2].offset(), 0, "the stream is not read");
    assert_eq!(net.order(conn, Command::ScriptKill), Some(Reply::Done));
    assert_eq!(net[2].offset(), 1, "and now it is");
    assert_eq!(
        net.order(conn, Command::ScriptKill),
        refused("NOTBUSY No scripts in execution right now.")
    );
}

#[test]
fn a_lost_primary_is_noticed_when_the_script_ends() {
    let mut net = Net::group(2);
    net.with(2, |server, now, acts| server.set_busy(now, true, acts));
    net.write(1, 1);
    net.crash(1);
    assert!(net[2].link_up());
    net.with(2, |server, now, acts| server.set_busy(now, false, acts));
    assert!(!net[2].link_up());
    assert_eq!(net[2].offset(), 1, "what had come before is taken");
}
