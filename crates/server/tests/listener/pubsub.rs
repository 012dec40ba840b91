//! Subscriptions: confirmations, messages, the restricted context, and subscribers that lag.

use std::time::Duration;

use crate::support::{DEADLINE, Setup};

#[tokio::test]
async fn messages_follow_confirmations_in_resp2() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client
        .check(
            "SUBSCRIBE +sdown +sdown",
            "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
        )
        .await;
    client
        .check(
            "PSUBSCRIBE [-+]sdown",
            "*3\r\n$10\r\npsubscribe\r\n$9\r\n[-+]sdown\r\n:2\r\n",
        )
        .await;
    fixture.hub.publish("+sdown", "master m 10.0.0.1 6379");
    client
        .expect(
            "*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$22\r\nmaster m 10.0.0.1 6379\r\n\
             *4\r\n$8\r\npmessage\r\n$9\r\n[-+]sdown\r\n$6\r\n+sdown\r\n$22\r\nmaster m 10.0.0.1 6379\r\n",
        )
        .await;
    client.check("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    client.check("PING x", "*2\r\n$4\r\npong\r\n$1\r\nx\r\n").await;
    client
        .check(
            "SENTINEL MASTERS",
            "-ERR Can't execute 'sentinel|masters': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
             allowed in this context\r\n",
        )
        .await;
    client
        .check(
            "GET x",
            "-ERR unknown command 'GET', with args beginning with: 'x' \r\n",
        )
        .await;
    client
        .check(
            "UNSUBSCRIBE",
            "*3\r\n$11\r\nunsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
        )
        .await;
    client
        .check("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n")
        .await;
    client
        .check("PUNSUBSCRIBE x", "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:1\r\n")
        .await;
    client
        .check(
            "PUNSUBSCRIBE",
            "*3\r\n$12\r\npunsubscribe\r\n$9\r\n[-+]sdown\r\n:0\r\n",
        )
        .await;
    client.check("PING", "+PONG\r\n").await;
}

#[tokio::test]
async fn messages_are_pushes_in_resp3() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client.send("HELLO 3\r\n").await;
    client.read_until("*0\r\n").await;
    client
        .check(
            "SUBSCRIBE +sdown",
            ">3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
        )
        .await;
    fixture.hub.publish("+sdown", "x");
    client
        .expect(">3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1\r\nx\r\n")
        .await;
    client.check("PING", "+PONG\r\n").await;
    client.check("SENTINEL FLUSHCONFIG", "+OK\r\n").await;
    client
        .check("PUNSUBSCRIBE", ">3\r\n$12\r\npunsubscribe\r\n_\r\n:1\r\n")
        .await;
    client.check("RESET", "+RESET\r\n").await;
    assert_eq!(fixture.hub.topic_counts(), (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_is_no_subscriber_any_more() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client
        .check("SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .await;
    assert_eq!(fixture.hub.topic_counts(), (1, 0));
    drop(client);
    let gone = async {
        while fixture.hub.topic_counts() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("the subscription ends");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off_and_others_miss_nothing() {
    let fixture = Setup::default().start().await;
    let mut slow = fixture.client().await;
    let mut quick = fixture.client().await;
    for client in [&mut slow, &mut quick] {
        client
            .check(
                "SUBSCRIBE +sdown",
                "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
            )
            .await;
    }
    let payload = "x".repeat(1_000);
    let message = format!("*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1000\r\n{payload}\r\n");
    // Far more than a socket's buffers and a mailbox hold together.
    let mut published = 0;
    while fixture.hub.cut_off_total() == 0 {
        assert!(published < 200_000, "nobody was cut off");
        for _ in 0..100 {
            fixture.hub.publish("+sdown", &payload);
        }
        published += 100;
        quick.expect(&message.repeat(100)).await;
    }
    let rest = slow.read_to_end().await;
    assert!(rest.len() < published * message.len());
    quick.check("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    assert_eq!(fixture.hub.cut_off_total(), 1);
}
