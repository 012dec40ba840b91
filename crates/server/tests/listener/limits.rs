//! What a client may not do: be one too many, idle, never read, send without end.

use std::time::Duration;

use bellwether_conf::OutputLimit;
use bellwether_core::{Answer, Request};
use bellwether_server::Limits;
use tokio::io::AsyncWriteExt as _;

use crate::support::{DEADLINE, Setup};

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let limits = Limits {
        max_clients: 1,
        ..Limits::default()
    };
    let fixture = Setup {
        limits,
        ..Setup::default()
    }
    .start()
    .await;
    let mut first = fixture.client().await;
    first.check("PING", "+PONG\r\n").await;
    let mut second = fixture.client().await;
    second.expect("-ERR max number of clients reached\r\n").await;
    second.expect_end().await;
    first.check("QUIT", "+OK\r\n").await;
    first.expect_end().await;
    let admitted = async {
        loop {
            let mut third = fixture.client().await;
            third.send("PING\r\n").await;
            if third.read_up_to(7).await == b"+PONG\r\n" {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, admitted)
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn an_idle_client_is_closed_and_a_subscriber_is_spared() {
    let limits = Limits {
        idle_timeout: Some(Duration::from_millis(1)),
        ..Limits::default()
    };
    let fixture = Setup {
        limits,
        ..Setup::default()
    }
    .start()
    .await;
    let mut subscriber = fixture.client().await;
    subscriber
        .check(
            "SUBSCRIBE +sdown",
            "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
        )
        .await;
    let mut idle = fixture.client().await;
    idle.expect_end().await;
    subscriber.check("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
}

/// A client that sends questions with large answers and never reads must not have them pile up: the server stops
/// reading from it.
#[tokio::test]
async fn a_client_that_never_reads_is_not_read_from() {
    fn large(_: &Request) -> Answer {
        Answer::Text("x".repeat(100_000))
    }
    let fixture = Setup {
        answer: large,
        ..Setup::default()
    }
    .start()
    .await;
    let mut deaf = fixture.client().await;
    let batch = "SENTINEL MYID\r\n".repeat(10_000);
    let mut sent = 0;
    // A gigabyte of answers for each batch: sending must come to a halt.
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(1), deaf.stream.write(batch.as_bytes())).await
    {
        sent += written.expect("still connected");
        assert!(sent < 1_000 * batch.len(), "the server reads without end");
    }
    // Nobody else suffers.
    let mut other = fixture.client().await;
    other.check("PING", "+PONG\r\n").await;
    other.send("INFO stats\r\nPING\r\n").await;
    let stats = String::from_utf8(other.read_until("+PONG\r\n").await).expect("text");
    let commands: usize = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"))
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!(
        commands < 1_000,
        "{commands} commands were run for a client that reads no replies"
    );
    // And who reads at last gets everything in order.
    deaf.expect(&format!("$100000\r\n{}\r\n", "x".repeat(100_000)).repeat(3))
        .await;
}

#[tokio::test]
async fn a_request_without_end_is_refused() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client.send("x".repeat(65_536 + 2)).await;
    client
        .expect("-ERR Protocol error: too big inline request\r\n")
        .await;
    let mut client = fixture.client().await;
    client
        .check(
            "*2\r\n$4\r\nPING\r\n$2000000",
            "-ERR Protocol error: invalid bulk length\r\n",
        )
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn http_is_closed_without_a_word() {
    let fixture = Setup::default().start().await;
    for request in ["POST / HTTP/1.1", "Host: x"] {
        let mut client = fixture.client().await;
        client.check(request, "").await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn bytes_may_trickle() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    for byte in b"*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect("$2\r\nhi\r\n").await;
}

#[tokio::test]
async fn who_leaves_more_replies_unread_than_is_allowed_is_cut_off() {
    let limits = Limits {
        replies: OutputLimit {
            hard_bytes: 10_000,
            ..OutputLimit::default()
        },
        ..Limits::default()
    };
    let fixture = Setup {
        limits,
        ..Setup::default()
    }
    .start()
    .await;
    let (mut deaf, mut other) = (fixture.client().await, fixture.client().await);
    // One that reads what it asked for gets more than that at once.
    other.send("COMMAND DOCS\r\nQUIT\r\n").await;
    assert!(other.read_to_end().await.len() > 10_000);
    // Far more than the sockets hold.
    deaf.send("COMMAND DOCS\r\n".repeat(4_000)).await;
    let mut watcher = fixture.client().await;
    tokio::time::timeout(DEADLINE, async {
        loop {
            watcher.send("CLIENT LIST ID 1\r\n").await;
            if watcher.read_until("\n\r\n").await == b"$0\r\n\r\n" {
                break;
            }
        }
    })
    .await
    .expect("it is gone");
}
