//! Requests as the reference read them: answers recorded from it against what our decoder makes of the same
//! bytes.

use std::{collections::BTreeSet, fs, path::Path};

use bellwether_resp::{Encoder, Protocol, Request, RequestError, RequestLimits};
use bytes::BytesMut;

use crate::check::requests;

#[test]
fn requests_read_as_the_reference_reads_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference/redis-sentinel-7.0.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut ends = BTreeSet::new();
    let mut compared = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (input, recorded) = line.split_once('\t').unwrap();
        let (answers, end) = answer(&unescape(input));
        assert_eq!(
            answers.escape_ascii().to_string(),
            unescape(recorded).escape_ascii().to_string(),
            "{input}"
        );
        ends.insert(
            end.and_then(|error| error.reply_text())
                .map(|text| text[..30].to_vec()),
        );
        compared += 1;
    }
    assert!(compared >= 150, "only {compared} records");
    assert!(ends.len() >= 5, "the records end in too few ways: {ends:?}");
}

/// What a sentinel that knows no command would answer.
fn answer(input: &[u8]) -> (BytesMut, Option<RequestError>) {
    let outcome = requests(input, usize::MAX, true, RequestLimits::default());
    let mut buf = BytesMut::new();
    let mut encoder = Encoder::new(Protocol::Resp2, &mut buf);
    for request in &outcome.items {
        encoder.error(unknown_command(request));
    }
    let error = outcome.end.err();
    if let Some(text) = error.and_then(|error| error.reply_text()) {
        encoder.error(text);
    }
    (buf, error)
}

/// The recorded words are short, so the cuts at 128 bytes never matter.
fn unknown_command(request: &Request) -> Vec<u8> {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(request.name());
    text.extend(b"', with args beginning with: ");
    for arg in request.args().skip(1) {
        text.push(b'\'');
        text.extend(arg);
        text.extend(b"' ");
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            quoted => quoted,
        });
    }
    out
}
