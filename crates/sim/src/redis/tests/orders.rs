//! What coordinators order.

use super::*;

#[test]
fn an_order_sends_off_all_but_the_one_who_gave_it() {
    let mut net = Net::group(2);
    let (mine, other, client) = (net.connect(2, true), net.connect(2, true), net.connect(2, false));
    assert_eq!(net.order(mine, follow(None)), Some(Reply::Done));
    assert!(net[2].is_primary());
    assert!(net.is_open(mine) && !net.is_open(other) && !net.is_open(client));
    let replicas = net.connect(1, true);
    net.order(replicas, follow(None));
    assert!(net.info(1).contains("connected_slaves:0"), "2 has left");
}

#[test]
fn replicas_are_no_clients() {
    let mut net = Net::group(2);
    let conn = net.connect(1, true);
    assert_eq!(
        net.order(conn, follow(None)),
        Some(Reply::Done),
        "it is one already"
    );
    assert!(net[2].link_up());
    assert_eq!(
        field(&net.info(1), "second_repl_offset"),
        Some("-1"),
        "nothing has changed"
    );
}

#[test]
fn the_same_order_again_changes_nothing() {
    let mut net = Net::group(2);
    let conn = net.connect(2, true);
    let other = net.connect(2, false);
    assert_eq!(net.order(conn, follow(Some(1))), Some(Reply::Done));
    assert_eq!(net[1].stats().sync_partial, 0, "the link was not touched");
    assert!(!net.is_open(other), "the clients are sent off all the same");
}

#[test]
fn a_promotion_begins_a_history_of_its_own() {
    let mut net = Net::group(2);
    net.write(1, 1);
    let before = net[2].replid();
    let conn = net.connect(2, true);
    net.order(conn, follow(None));
    assert_ne!(net[2].replid(), before);
    let info = net.info(2);
    assert_eq!(field(&info, "second_repl_offset"), Some("2"));
    assert_eq!(
        field(&info, "master_replid2"),
        field(&net.info(1), "master_replid")
    );
    // What the old primary wrote after that is lost when it follows.
    net.write(1, 2);
    let old = net.connect(1, true);
    net.order(old, follow(Some(2)));
    net.run(secs(5));
    assert!(!net[1].entries().contains(&Entry::Write(WriteId(2))));
    assert_eq!(net[1].entries(), net[2].entries());
    assert_eq!(field(&net.info(2), "sync_full"), Some("1"));
}

#[test]
fn hellos_reach_every_coordinator_and_no_client() {
    let mut net = Net::group(1);
    let conns = [net.connect(1, true), net.connect(1, true), net.connect(1, false)];
    let message = "hello".to_owned();
    net.send(
        conns[0],
        Message::Commands(vec![(RequestId(1), Command::Hello { message })]),
    );
    let hello = Message::Hello("hello".to_owned());
    assert_eq!(
        net.take(conns[0]),
        [hello.clone(), Message::Reply(RequestId(1), Reply::Done)]
    );
    assert_eq!(net.take(conns[1]), [hello]);
    assert_eq!(net.take(conns[2]), []);
}

#[test]
fn a_server_may_ignore_or_refuse() {
    let mut net = Net::group(2);
    let (conn, client) = (net.connect(2, true), net.connect(2, false));
    net[2].set_obedience(Obedience::Ignores);
    assert_eq!(net.order(conn, follow(None)), Some(Reply::Done));
    net[2].set_obedience(Obedience::Refuses("NOPERM no".to_owned()));
    assert_eq!(net.order(conn, follow(None)), refused("NOPERM no"));
    assert!(!net[2].is_primary() && net.is_open(client));
    net[2].set_obedience(Obedience::Obeys);
    net.order(conn, follow(None));
    assert!(net[2].is_primary());
}

#[test]
fn an_answer_to_a_dial_of_yesterday_is_hung_up() {
    let mut net = Net::default();
    net.start(spec(2, Some(9)));
    let mut acts = Vec::new();
    net[2].wake(Time::ZERO, &mut acts);
    let conn = net.connect(2, true);
    net.order(conn, follow(Some(8)));
    acts.clear();
    net[2].dialled(Time::ZERO, 1, Ok(ConnId(99)), &mut acts);
    assert_eq!(acts, [Act::Close { conn: ConnId(99) }]);
}

#[test]
fn a_question_for_coordinators_is_not_understood() {
    let mut net = Net::group(1);
    let conn = net.connect(1, true);
    let ask = Command::AskDown {
        host: "10.0.0.1".to_owned(),
        port: 1,
        epoch: bellwether_core::Epoch(1),
        candidate: None,
    };
    assert!(
        matches!(net.order(conn, ask), Some(Reply::Refused(words)) if words.starts_with("ERR unknown command"))
    );
}
