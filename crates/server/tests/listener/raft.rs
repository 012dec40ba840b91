//! `SENTINEL RAFT`: what goes to the driver, and what becomes of the connection.

use bellwether_core::{Answer, LogOrder, Refusal, Request};
use bellwether_resp::RequestLimits;
use bellwether_server::Limits;

use crate::support::Setup;

fn script(request: &Request) -> Answer {
    match request {
        Request::Frame { from: 7, bytes } if bytes.as_slice() == b"\x00\xff\r\n" => Answer::Ok,
        Request::Frame { from: 8, bytes } if bytes.len() == 2 * 1024 * 1024 => Answer::Ok,
        Request::Frame { .. } => Answer::Refused(Refusal::BadFrame("not a frame".to_owned())),
        Request::View {
            from,
            group,
            host,
            port,
            down,
        } if [from, group, host, port, down] == ["ab", "m", "10.0.0.1", "6379", "up"] => Answer::Ok,
        Request::Log(LogOrder::Add {
            id: 4,
            host,
            port: 26379,
            replaces: Some(3),
        }) if host == "::1" => Answer::Ok,
        Request::Log(
            LogOrder::Add {
                id: 4,
                replaces: None,
                ..
            }
            | LogOrder::Move { id: 4, .. },
        ) => Answer::Ok,
        Request::Log(LogOrder::Remove { id: 4 } | LogOrder::Transfer { .. } | LogOrder::Snapshot) => {
            Answer::Ok
        }
        Request::AcceptForeign { name, .. } if name == "m" => Answer::Ok,
        _ => Answer::Refused(Refusal::NoLog),
    }
}

#[tokio::test]
async fn orders_about_the_log_are_read() {
    let fixture = Setup {
        answer: script,
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    for order in [
        "ADD 4 0:0::1 26379 REPLACES 3",
        "add 4 host 1",
        "MOVE 4 10.0.0.7 26379",
        "REMOVE 4",
        "TRANSFER",
        "TRANSFER 2",
        "SNAPSHOT",
        "ACCEPT-FOREIGN m abc",
        "VIEW ab m 10.0.0.1 6379 up",
    ] {
        client.check(&format!("SENTINEL RAFT {order}"), "+OK\r\n").await;
    }
    let no_raft = "-NORAFT This sentinel does not use `bellwether coordination raft`\r\n";
    client.check("SENTINEL RAFT STATUS", no_raft).await;
    let id = "-ERR the id of a member is a number from 1 on\r\n";
    client.check("SENTINEL RAFT REMOVE 0", id).await;
    client.check("SENTINEL RAFT ADD x h 1", id).await;
    client.check("SENTINEL RAFT ADD 4 h 1 REPLACES -1", id).await;
    client
        .check("SENTINEL RAFT ADD 4 h 0", "-ERR Invalid port number.\r\n")
        .await;
    client
        .check(
            "SENTINEL RAFT MOVE 4 a/b 1",
            "-ERR Invalid IP address or hostname specified\r\n",
        )
        .await;
    client
        .check("SENTINEL RAFT ADD 4 h 1 INSTEAD 3", "-ERR syntax error\r\n")
        .await;
    for odd in ["NONE", "REMOVE", "STATUS x", "FRAME 7"] {
        let expected =
            "-ERR unknown subcommand or wrong number of arguments for 'RAFT'. Try SENTINEL HELP.\r\n";
        client.check(&format!("SENTINEL RAFT {odd}"), expected).await;
    }
}

#[tokio::test]
async fn frames_are_bytes_and_a_bad_one_ends_the_connection() {
    let requests = RequestLimits {
        max_request_bytes: 4 * 1024 * 1024,
        ..RequestLimits::default()
    };
    let limits = Limits {
        requests,
        ..Limits::default()
    };
    let fixture = Setup {
        answer: script,
        limits,
        ..Setup::default()
    }
    .start()
    .await;
    let mut member = fixture.client().await;
    let head = |from: u8, len: usize| {
        format!("*5\r\n$8\r\nSENTINEL\r\n$4\r\nRAFT\r\n$5\r\nFRAME\r\n$1\r\n{from}\r\n${len}\r\n")
            .into_bytes()
    };
    let frame = |from, bytes: &[u8]| [head(from, bytes.len()), bytes.to_vec(), b"\r\n".to_vec()].concat();
    // Clients that are paused do not pause the members.
    let mut operator = fixture.client().await;
    operator.check("CLIENT PAUSE 60000", "+OK\r\n").await;
    let good = frame(7, b"\x00\xff\r\n");
    member.send([good.clone(), good].concat()).await;
    member.expect("+OK\r\n+OK\r\n").await;
    member.send(frame(8, &vec![b'x'; 2 * 1024 * 1024])).await;
    member.expect("+OK\r\n").await;
    member.send(frame(9, b"nonsense")).await;
    member.expect("-BADFRAME not a frame\r\n").await;
    member.expect_end().await;
}

/// What members tell each other all the time does not hide what people order.
#[tokio::test]
async fn calls_of_members_have_names_of_their_own() {
    let fixture = Setup {
        answer: script,
        ..Setup::default()
    }
    .start()
    .await;
    let mut member = fixture.client().await;
    let frame = b"*5\r\n$8\r\nSENTINEL\r\n$4\r\nRAFT\r\n$5\r\nFRAME\r\n$1\r\n7\r\n$4\r\n\x00\xff\r\n\r\n";
    member.send(frame).await;
    member.expect("+OK\r\n").await;
    let mut operator = fixture.client().await;
    operator.send("SENTINEL RAFT SNAPSHOT\r\n").await;
    operator.read_until("\r\n").await;
    let mut watcher = fixture.client().await;
    watcher.send("CLIENT LIST\r\nPING\r\n").await;
    let list = String::from_utf8(watcher.read_until("+PONG\r\n").await).expect("text");
    for name in ["sentinel|raft|frame", "sentinel|raft"] {
        assert_eq!(list.matches(&format!(" cmd={name} ")).count(), 1, "{list}");
    }
}
