use bellwether_core::{Epoch, Verdict};

use super::server::Server;
use super::*;

/// One connection where RESP3 is spoken, two where it is not.
async fn check_whole_life(options: &[&str], connections: usize) {
    let server = Server::start(options);
    let mut bench = Bench::new();
    let link = bench.connect(server.addr, None);
    bench.up(link).await;
    assert_eq!(bench.ask(link, Command::Ping).await, pong());
    match bench.ask(link, Command::Info).await {
        Reply::Info(text) => assert!(text.contains("role:master\r\n"), "{text}"),
        other => panic!("{other:?}"),
    }
    bench
        .hear_own_hello(link, "1.2.3.4,26379,id,0,m,1.2.3.4,6379,0")
        .await;
    let clients = server.order("CLIENT LIST");
    assert_eq!(
        clients.matches("name=sentinel-01234567-").count(),
        connections,
        "{clients}"
    );
    assert_eq!(
        clients.matches("name=sentinel-01234567-cmd").count(),
        1,
        "{clients}"
    );
    bench.links.forget(link);
    // Nothing is reported, and the server sees it go.
    while server.order("CLIENT LIST").contains("sentinel-01234567") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn resp3_needs_one_connection() {
    check_whole_life(&[], 1).await;
}

#[tokio::test]
async fn resp2_needs_two_connections() {
    check_whole_life(&["--rename-command", "HELLO", ""], 2).await;
}

#[tokio::test]
async fn the_transaction_changes_the_role_and_keeps_the_link() {
    for options in [&[][..], &["--rename-command", "HELLO", ""]] {
        let server = Server::start(options);
        let mut bench = Bench::new();
        let link = bench.connect(server.addr, None);
        bench.up(link).await;
        let follow = Some(("127.0.0.1".to_owned(), 1));
        assert_eq!(
            bench.ask(link, Command::Reconfigure { follow }).await,
            Reply::Done
        );
        assert!(server.order("INFO replication").contains("role:slave"));
        // One write, replies to both.
        let (promote, ping) = (RequestId(1001), RequestId(1002));
        let batch = vec![
            (promote, Command::Reconfigure { follow: None }),
            (ping, Command::Ping),
        ];
        bench.links.send(link, batch, None).expect("taken");
        assert_eq!(bench.reply(link, promote).await, Reply::Done);
        assert_eq!(bench.reply(link, ping).await, pong());
        assert!(server.order("INFO replication").contains("role:master"));
        // It has sent off the subscriber, which comes back by itself.
        bench.hear_own_hello(link, "after,the,transaction").await;
    }
}

#[tokio::test]
async fn passwords_open_every_connection() {
    for hello in ["HELLO", "HI"] {
        let options = ["--requirepass", "right", "--rename-command", "HELLO", hello];
        let server = Server::start(if hello == "HI" { &options } else { &options[..2] });
        for user in [None, Some("default")] {
            let mut bench = Bench::new();
            let link = bench.connect(server.addr, password(user, "right"));
            bench.up(link).await;
            assert_eq!(bench.ask(link, Command::Ping).await, pong());
            bench.hear_own_hello(link, "in").await;
        }
    }
}

#[tokio::test]
async fn a_wrong_password_shows_in_the_pings() {
    let server = Server::start(&["--requirepass", "right"]);
    let mut bench = Bench::new();
    for credentials in [None, password(None, "wrong"), password(Some("nobody"), "right")] {
        let link = bench.connect(server.addr, credentials);
        bench.up(link).await;
        match bench.ask(link, Command::Ping).await {
            Reply::Ping(Pong::Refused(text)) => assert!(text.starts_with("NOAUTH"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_forbidden_channel_costs_the_hellos_only() {
    let server = Server::start(&[]);
    server.order("ACL SETUSER watch on >pw resetchannels -@all +ping +info +client +subscribe +publish");
    let mut bench = Bench::new();
    let link = bench.connect(server.addr, password(Some("watch"), "pw"));
    bench.up(link).await;
    assert_eq!(bench.ask(link, Command::Ping).await, pong());
    let message = "m".to_owned();
    match bench.ask(link, Command::Hello { message }).await {
        Reply::Refused(text) => assert!(text.starts_with("NOPERM"), "{text}"),
        other => panic!("{other:?}"),
    }
    match bench.ask(link, Command::Reconfigure { follow: None }).await {
        Reply::Refused(text) => assert!(text.starts_with("NOPERM"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Once allowed, it is heard without a new link.
    server.order("ACL SETUSER watch &__sentinel__:hello");
    bench.hear_own_hello(link, "at last").await;
}

#[tokio::test]
async fn peers_are_spoken_to_as_sentinels() {
    // What a fleet with one password looks like while it is moved from the reference.
    let server = Server::start_sentinel(&["--requirepass", "ours"]);
    let ask = |candidate: Option<&str>| Command::AskDown {
        host: "127.0.0.1".to_owned(),
        port: 6379,
        epoch: Epoch(1),
        candidate: candidate.and_then(|id| SentinelId::new(id).ok()),
    };
    let unknown_group = Verdict {
        down: false,
        leader: None,
        leader_epoch: Epoch(0),
    };
    let mut bench = Bench::new();
    let link = bench.connect_peer(server.addr, password(None, "ours"));
    bench.up(link).await;
    assert_eq!(bench.ask(link, Command::Ping).await, pong());
    assert_eq!(
        bench.ask(link, ask(None)).await,
        Reply::Verdict(unknown_group.clone())
    );
    assert_eq!(
        bench.ask(link, ask(Some("us"))).await,
        Reply::Verdict(unknown_group)
    );
    let message = "127.0.0.1,26379,us,0,unknown,127.0.0.1,6379,0".to_owned();
    assert_eq!(bench.ask(link, Command::Hello { message }).await, Reply::Done);
    let mut stranger = Bench::new();
    let link = stranger.connect_peer(server.addr, None);
    stranger.up(link).await;
    match stranger.ask(link, ask(None)).await {
        Reply::Refused(text) => assert!(text.starts_with("NOAUTH"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_dies_takes_the_link_down() {
    let server = Server::start(&[]);
    let mut bench = Bench::new();
    let link = bench.connect(server.addr, None);
    bench.up(link).await;
    let addr = server.addr;
    drop(server);
    // Closed or reset, depending on what it had not read yet.
    bench.down(link).await;
    let link = bench.connect(addr, None);
    assert!(bench.down(link).await.starts_with("cannot connect: "));
}
