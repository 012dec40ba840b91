//! Decoding speed over pipelines as they come from real clients and servers.
//!
//! The aim is 10 million small requests per second on one core: decoding must not be what limits
//! `SENTINEL get-master-addr-by-name`.

use bellwether_resp::{Encoder, Protocol, ReplyDecoder, RequestDecoder, encode_command};
use bytes::BytesMut;
use divan::{Bencher, black_box, counter::ItemsCount};

/// Fills a read buffer of the usual size (64 KiB) when the command has 62 bytes.
const PIPELINE: usize = 1000;

fn main() {
    divan::main();
}

fn repeated(once: &[u8]) -> BytesMut {
    BytesMut::from(&once.repeat(PIPELINE)[..])
}

fn requests(bencher: Bencher<'_, '_>, once: &[u8]) {
    bencher
        .counter(ItemsCount::new(PIPELINE))
        .with_inputs(|| repeated(once))
        .bench_values(|mut buf| {
            let mut decoder = RequestDecoder::default();
            decoder.set_authenticated(true);
            while let Ok(Some(request)) = decoder.decode(&mut buf) {
                black_box(request.name());
            }
            assert!(buf.is_empty());
        });
}

#[divan::bench]
fn request_get_master_addr(bencher: Bencher<'_, '_>) {
    let mut once = BytesMut::new();
    encode_command(&mut once, &["SENTINEL", "get-master-addr-by-name", "mymaster"]);
    requests(bencher, &once);
}

#[divan::bench]
fn request_ping(bencher: Bencher<'_, '_>) {
    requests(bencher, b"*1\r\n$4\r\nPING\r\n");
}

#[divan::bench]
fn request_inline(bencher: Bencher<'_, '_>) {
    requests(bencher, b"SENTINEL get-master-addr-by-name mymaster\r\n");
}

fn replies(bencher: Bencher<'_, '_>, once: &[u8]) {
    bencher
        .counter(ItemsCount::new(PIPELINE))
        .with_inputs(|| repeated(once))
        .bench_values(|mut buf| {
            let mut decoder = ReplyDecoder::default();
            while let Ok(Some(value)) = decoder.decode(&mut buf) {
                black_box(value);
            }
            assert!(buf.is_empty());
        });
}

#[divan::bench]
fn reply_pong(bencher: Bencher<'_, '_>) {
    replies(bencher, b"+PONG\r\n");
}

#[divan::bench]
fn reply_hello_message(bencher: Bencher<'_, '_>) {
    let hello = "127.0.0.1,26379,8a3b1f2c9d4e5f60718293a4b5c6d7e8f9012345,7,mymaster,127.0.0.1,6379,7";
    let mut once = BytesMut::new();
    let mut encoder = Encoder::new(Protocol::Resp3, &mut once);
    encoder.push(3);
    encoder.bulk("message");
    encoder.bulk("__sentinel__:hello");
    encoder.bulk(hello);
    replies(bencher, &once);
}

#[divan::bench]
fn encode_master_addr(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(PIPELINE))
        .with_inputs(|| BytesMut::with_capacity(64 * PIPELINE))
        .bench_values(|mut buf| {
            let mut encoder = Encoder::new(Protocol::Resp2, &mut buf);
            for _ in 0..PIPELINE {
                encoder.bulks(black_box(&["127.0.0.1", "6379"]));
            }
            buf
        });
}
