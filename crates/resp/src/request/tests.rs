//! One test per rule of the request forms. Each input is decoded whole and byte by byte.

use bytes::BytesMut;

use super::{Request, RequestDecoder, RequestError, RequestLimits};

/// What a stream of requests comes to: the words of each, then the error that ends it or the bytes left.
#[derive(Debug, PartialEq)]
struct Outcome {
    requests: Vec<Request>,
    end: Result<usize, RequestError>,
}

fn feed(decoder: &mut RequestDecoder, input: &[u8], chunk_bytes: usize) -> Outcome {
    let mut buf = BytesMut::new();
    let mut requests = Vec::new();
    for chunk in input.chunks(chunk_bytes) {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buf), Err(error), "an error is final");
                    return Outcome {
                        requests,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Outcome {
        requests,
        end: Ok(buf.len()),
    }
}

fn decode(input: impl AsRef<[u8]>, authenticated: bool) -> Outcome {
    let input = input.as_ref();
    let decoder = || {
        let mut decoder = RequestDecoder::default();
        decoder.set_authenticated(authenticated);
        decoder
    };
    let whole = feed(&mut decoder(), input, usize::MAX);
    assert_eq!(feed(&mut decoder(), input, 1), whole, "byte by byte");
    assert_eq!(feed(&mut decoder(), input, 3), whole, "three bytes at a time");
    whole
}

#[track_caller]
fn check(input: impl AsRef<[u8]>, requests: &[&[&str]]) {
    let outcome = decode(input, true);
    let got: Vec<Vec<&[u8]>> = outcome
        .requests
        .iter()
        .map(|request| request.args().collect())
        .collect();
    let expected: Vec<Vec<&[u8]>> = requests
        .iter()
        .map(|words| words.iter().map(|word| word.as_bytes()).collect())
        .collect();
    assert_eq!(got, expected);
    assert_eq!(outcome.end, Ok(0));
}

#[track_caller]
fn check_error(input: impl AsRef<[u8]>, authenticated: bool, error: RequestError) {
    assert_eq!(decode(input, authenticated).end, Err(error));
}

#[test]
fn multibulk() {
    check("*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", &[&["ECHO", ""]]);
    check("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", &[&["ECHO", "\r\n\r\n"]]);
    check(
        "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n",
        &[&["PING"], &["QUIT"]],
    );
    check("", &[]);
}

#[test]
fn inline() {
    check("PING\r\n", &[&["PING"]]);
    check("PING\n", &[&["PING"]]);
    check("  sentinel  masters \r\n", &[&["sentinel", "masters"]]);
    check(
        "set \"a b\" 'c d' \"\\x41\\n\"\r\n",
        &[&["set", "a b", "c d", "A\n"]],
    );
    check(
        "PING\r\n*1\r\n$4\r\nPING\r\nPING\n",
        &[&["PING"], &["PING"], &["PING"]],
    );
    check("\"\"\r\n", &[&[""]]);
}

#[test]
fn empty_requests_are_skipped() {
    check("*0\r\n*-1\r\n*-2147483648\r\n\r\n\n  \r\nPING\r\n", &[&["PING"]]);
    check("*0\r\n", &[]);
    check("\r\n\n", &[]);
    // A negative header takes the slow way; what it scanned must not count for what follows.
    check(
        "*-1\r\nPING\r\n*-1\r\n*1\r\n$4\r\nPING\r\n",
        &[&["PING"], &["PING"]],
    );
}

#[test]
fn unfinished_requests_wait() {
    for input in [
        "*",
        "*2\r",
        "*1\r\n$4\r\nPING",
        "*1\r\n$4\r\nPING\r",
        "PING",
        "\"PING",
        "*1\r\n",
        "*1\r\n$",
    ] {
        let outcome = decode(input, true);
        assert_eq!(
            outcome,
            Outcome {
                requests: vec![],
                end: Ok(outcome.end.unwrap())
            },
            "{input:?}"
        );
    }
}

#[test]
fn counts_and_lengths_have_one_form() {
    for count in [
        "",
        "a",
        "+1",
        "01",
        " 1",
        "1 ",
        "-",
        "-0",
        "1a",
        "2147483648",
        "99999999999999999999",
    ] {
        check_error(
            format!("*{count}\r\n"),
            true,
            RequestError::InvalidMultibulkLength,
        );
    }
    for len in [
        "",
        "a",
        "+1",
        "01",
        " 1",
        "-1",
        "1a",
        "536870913",
        "99999999999999999999",
    ] {
        check_error(format!("*1\r\n${len}\r\n"), true, RequestError::InvalidBulkLength);
    }
    check_error("*1\rx", true, RequestError::InvalidMultibulkLength);
    check_error("*1\r\n$4\rx", true, RequestError::InvalidBulkLength);
}

#[test]
fn arguments_begin_with_a_dollar_and_end_with_crlf() {
    check_error("*1\r\n:4\r\n", true, RequestError::ExpectedDollar(b':'));
    check_error("*1\r\n\r\n", true, RequestError::ExpectedDollar(b'\r'));
    check_error(
        "*2\r\n$1\r\na\r\n*1\r\n",
        true,
        RequestError::ExpectedDollar(b'*'),
    );
    check_error("*1\r\n$4\r\nPINGxx", true, RequestError::MissingBulkEnd);
    check_error("*1\r\n$4\r\nPING\n\n", true, RequestError::MissingBulkEnd);
    assert_eq!(
        decode("*1\r\n:", true).end,
        Ok(1 + 4),
        "judged only when the line is complete"
    );
}

#[test]
fn lines_are_bounded() {
    let long = "9".repeat(64 * 1024);
    check_error(format!("{long}9"), true, RequestError::InlineTooLong);
    check_error(format!("{long}9\r\n"), true, RequestError::InlineTooLong);
    check(format!("{long}\n"), &[&[&long]]);
    check_error(format!("*{long}"), true, RequestError::MultibulkLineTooLong);
    check_error(format!("*1\r\n${long}"), true, RequestError::BulkLineTooLong);
    check_error(
        format!("*{}\r\n", &long[1..]),
        true,
        RequestError::InvalidMultibulkLength,
    );
    check_error(
        format!("*1\r\n${}\r\n", &long[1..]),
        true,
        RequestError::InvalidBulkLength,
    );
}

#[test]
fn requests_are_bounded() {
    let limit = RequestLimits::MAX_REQUEST_BYTES as usize;
    let bulk = |len: usize| format!("*1\r\n${len}\r\n{}\r\n", "x".repeat(len));
    let fitting = 2 * limit - bulk(limit).len();
    let mut decoder = RequestDecoder::default();
    decoder.set_authenticated(true);
    let outcome = feed(&mut decoder, bulk(fitting).as_bytes(), usize::MAX);
    assert_eq!((outcome.requests.len(), outcome.end), (1, Ok(0)));
    check_error(
        format!("*1\r\n${}\r\n", fitting + 1),
        true,
        RequestError::InvalidBulkLength,
    );

    // The limit is on the sum: the third argument of half the size is refused at its header.
    let half = format!("${}\r\n{}\r\n", limit / 2 - 20, "x".repeat(limit / 2 - 20));
    let outcome = feed(
        &mut decoder,
        format!("*3\r\n{half}{half}$100\r\n").as_bytes(),
        usize::MAX,
    );
    assert_eq!(outcome.end, Err(RequestError::InvalidBulkLength));

    check_error("*1000000\r\n", true, RequestError::InvalidMultibulkLength);
    assert_eq!(decode("*100000\r\n", true).end, Ok("*100000\r\n".len()));
}

#[test]
fn bulk_limit_can_be_lowered() {
    let limits = RequestLimits {
        max_bulk_bytes: 10,
        ..RequestLimits::default()
    };
    let decode = |input: &str| feed(&mut RequestDecoder::new(limits), input.as_bytes(), 1).end;
    assert_eq!(decode("*1\r\n$11\r\n"), Err(RequestError::InvalidBulkLength));
    assert_eq!(decode("*1\r\n$10\r\n0123456789\r\n"), Ok(0));
}

#[test]
fn limits_before_authentication() {
    check_error("*11\r\n", false, RequestError::UnauthenticatedMultibulkLength);
    check_error(
        "*1000000\r\n",
        false,
        RequestError::UnauthenticatedMultibulkLength,
    );
    check_error("*1\r\n$16385\r\n", false, RequestError::UnauthenticatedBulkLength);
    check_error(
        "*1\r\n$536870912\r\n",
        false,
        RequestError::UnauthenticatedBulkLength,
    );
    check_error("*1\r\n$536870913\r\n", false, RequestError::InvalidBulkLength);
    check_error("*2147483648\r\n", false, RequestError::InvalidMultibulkLength);
    assert!(decode("*10\r\n", false).end.is_ok());
    assert!(decode("*1\r\n$16384\r\n", false).end.is_ok());
    assert!(decode("*11\r\n", true).end.is_ok());
    assert!(decode("*1\r\n$16385\r\n", true).end.is_ok());
}

#[test]
fn authentication_counts_from_the_next_request() {
    let mut decoder = RequestDecoder::default();
    let mut buf = BytesMut::from(&b"AUTH secret\r\n*11\r\n"[..]);
    assert!(decoder.decode(&mut buf).unwrap().is_some());
    decoder.set_authenticated(true);
    assert_eq!(decoder.decode(&mut buf), Ok(None));
}

#[test]
fn http_is_refused() {
    check_error("POST / HTTP/1.1\r\n", true, RequestError::CrossProtocol);
    check_error("hOsT: localhost\r\n", false, RequestError::CrossProtocol);
    check_error("*1\r\n$4\r\npost\r\n", true, RequestError::CrossProtocol);
    let outcome = decode("GET / HTTP/1.1\r\nHost: x\r\n\r\n", false);
    assert_eq!(
        (outcome.requests.len(), outcome.end),
        (1, Err(RequestError::CrossProtocol))
    );
    check(
        "POSTS\r\nHost\r\nsentinel post\r\n",
        &[&["POSTS"], &["Host"], &["sentinel", "post"]],
    );
}

#[test]
fn quotes_must_balance() {
    check_error("PING \"a\r\n", true, RequestError::UnbalancedQuotes);
    check_error("PING \"a\"b\r\n", true, RequestError::UnbalancedQuotes);
    check_error("PING 'a\\'\r\n", true, RequestError::UnbalancedQuotes);
}

#[test]
fn nothing_is_processed_after_an_error() {
    let outcome = decode("PING\r\n*x\r\nPING\r\n", true);
    assert_eq!(
        (outcome.requests.len(), outcome.end),
        (1, Err(RequestError::InvalidMultibulkLength))
    );
}

#[test]
fn reply_texts_are_those_of_the_reference() {
    use RequestError as E;
    for (error, text) in [
        (E::InlineTooLong, "too big inline request"),
        (E::UnbalancedQuotes, "unbalanced quotes in request"),
        (E::MultibulkLineTooLong, "too big mbulk count string"),
        (E::InvalidMultibulkLength, "invalid multibulk length"),
        (
            E::UnauthenticatedMultibulkLength,
            "unauthenticated multibulk length",
        ),
        (E::BulkLineTooLong, "too big bulk count string"),
        (E::ExpectedDollar(b':'), "expected '$', got ':'"),
        (E::ExpectedDollar(b'\r'), "expected '$', got ' '"),
        (E::InvalidBulkLength, "invalid bulk length"),
        (E::UnauthenticatedBulkLength, "unauthenticated bulk length"),
        (E::MissingBulkEnd, "expected CRLF after bulk"),
    ] {
        let expected = format!("ERR Protocol error: {text}");
        assert_eq!(error.reply_text().as_deref(), Some(expected.as_bytes()));
    }
    assert_eq!(E::CrossProtocol.reply_text(), None);
    assert_eq!(
        E::ExpectedDollar(0xff).reply_text().unwrap().last_chunk(),
        Some(b"'\xff'")
    );
}

#[test]
fn words_are_read_as_what_they_are() {
    let request = Request::from_args(["Sentinel", "set", "mymaster", "-12", "012"]).unwrap();
    assert_eq!(request.name(), b"Sentinel");
    assert_eq!(request.len(), 5);
    assert!(request.arg_is(0, "SENTINEL") && request.arg_is(1, "SET") && !request.arg_is(9, ""));
    assert_eq!(request.arg_str(2), Some("mymaster"));
    assert_eq!(
        (request.arg_i64(3), request.arg_i64(4), request.arg_i64(5)),
        (Some(-12), None, None)
    );
    assert_eq!(request.bytes(2).as_deref(), Some(&b"mymaster"[..]));
    assert_eq!((request.arg(5), request.bytes(5)), (None, None));
    assert_eq!(
        format!("{request:?}"),
        r#"["Sentinel", "set", "mymaster", "-12", "012"]"#
    );
    assert_eq!(Request::from_args([] as [&str; 0]), None);
    assert_eq!(Request::from_args([b"\xff"]).unwrap().arg_str(0), None);
}

#[test]
fn arguments_are_slices_of_the_input() {
    let mut buf = BytesMut::from(&b"*1\r\n$4\r\nPING\r\n"[..]);
    let address = buf[8..].as_ptr();
    let request = RequestDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert_eq!(request.name().as_ptr(), address);
    assert_eq!(request.bytes(0).unwrap().as_ptr(), address);
}
