use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A listener in the place of a server.
struct Fake {
    listener: TcpListener,
}

impl Fake {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// Takes a connection and its greeting, and answers with these bytes.
    async fn answer(&self, bytes: &[u8]) -> TcpStream {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        read_some(&mut stream).await;
        stream.write_all(bytes).await.expect("sent");
        stream
    }
}

async fn read_some(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let length = stream.read(&mut bytes).await.expect("something");
    bytes.truncate(length);
    bytes
}

/// Enough of an answer to HELLO.
const HELLO: &[u8] = b"%1\r\n$5\r\nproto\r\n:3\r\n";

async fn bench_on(fake: &Fake) -> (Bench, LinkId, TcpStream) {
    let mut bench = Bench::new();
    let link = bench.connect(fake.addr(), None);
    let stream = fake.answer(HELLO).await;
    bench.up(link).await;
    (bench, link, stream)
}

#[tokio::test]
async fn replies_in_pieces_are_put_together() {
    let fake = Fake::new().await;
    let (mut bench, link, mut stream) = bench_on(&fake).await;
    stream
        .write_all(b">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n")
        .await
        .expect("sent");
    let request = bench.send(link, Command::Ping);
    for byte in b"+PONG\r\n" {
        stream.write_all(&[*byte]).await.expect("sent");
        stream.flush().await.expect("sent");
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.reply(link, request).await, pong());
}

#[tokio::test]
async fn an_order_that_comes_too_late_does_not_leave() {
    let fake = Fake::new().await;
    let (mut bench, link, mut stream) = bench_on(&fake).await;
    let order = Command::Reconfigure { follow: None };
    let batch = vec![(RequestId(1), order)];
    bench
        .links
        .send(link, batch, Some(Instant::ZERO))
        .expect("the link takes it");
    let reason = bench.down(link).await;
    assert!(reason.contains("held back"), "{reason}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
    assert!(!rest.windows(7).any(|word| word == b"SLAVEOF"));
}

#[tokio::test]
async fn what_was_said_before_the_end_is_heard_before_the_end() {
    let fake = Fake::new().await;
    let (mut bench, link, mut stream) = bench_on(&fake).await;
    let request = bench.send(link, Command::Ping);
    while !read_some(&mut stream)
        .await
        .windows(4)
        .any(|word| word == b"PING")
    {}
    stream
        .write_all(b">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n+PONG\r\n+half")
        .await
        .expect("sent");
    drop(stream);
    assert_eq!(bench.reply(link, request).await, pong());
    assert_eq!(bench.down(link).await, "the server closed the connection");
}

/// Whatever is sent instead of an answer to HELLO or after it, the link ends with a reason and little memory.
async fn check_garbage(greeting: &[u8], then: &[u8], reason: &str) {
    let fake = Fake::new().await;
    let mut bench = Bench::new();
    let link = bench.connect(fake.addr(), None);
    let mut stream = fake.answer(greeting).await;
    if greeting == HELLO {
        bench.up(link).await;
        // The other side may close at any byte.
        let _ = stream.write_all(then).await;
        let _ = stream.shutdown().await;
    }
    let given = bench.down(link).await;
    assert!(given.contains(reason), "{given}");
}

#[tokio::test]
async fn garbage_ends_the_link() {
    check_garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", "what came is no reply").await;
    check_garbage(HELLO, b"\0\0\0\0\r\n", "what came is no reply").await;
    check_garbage(HELLO, b"$999999999999\r\n", "what came is no reply").await;
    check_garbage(HELLO, &b"*1\r\n".repeat(10_000), "what came is no reply").await;
    check_garbage(HELLO, &b"+x".repeat(1_000_000), "what came is no reply").await;
    check_garbage(HELLO, b"$9\r\nhalf", "the server closed the connection").await;
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_ends_the_link() {
    // The first takes the place of the subscription's answer.
    check_garbage(HELLO, b"-ERR no\r\n+PONG\r\n", "nobody asked for").await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    tokio::time::pause();
    let fake = Fake::new().await;
    let mut bench = Bench::new();
    for link in [
        bench.connect(fake.addr(), None),
        bench.connect_peer(fake.addr(), None),
    ] {
        assert!(
            bench
                .down(link)
                .await
                .starts_with("no answer to the greeting within")
        );
    }
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_noticed() {
    let fake = Fake::new().await;
    let (mut bench, link, _stream) = bench_on(&fake).await;
    let message = "x".repeat(64 * 1024);
    let stuck = async {
        loop {
            let command = Command::Hello {
                message: message.clone(),
            };
            match bench.links.send(link, vec![(RequestId(1), command)], None) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, stuck).await, Ok(SendError::Stuck));
    // The one who was told forgets; the link says nothing more.
    assert!(bench.links.send(link, Vec::new(), None).is_ok());
}

#[tokio::test]
async fn a_link_that_was_dropped_says_nothing() {
    let fake = Fake::new().await;
    let (mut bench, link, mut stream) = bench_on(&fake).await;
    bench.links.forget(link);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
    assert!(bench.reports.try_recv().is_err());
}
