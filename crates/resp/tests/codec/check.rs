//! What must hold for any bytes. The fuzz targets include this file too, so it uses nothing but the crate
//! and `bytes`.
//!
//! The limits are small, so that small inputs reach them.

use bellwether_resp::{
    ReplyDecoder, ReplyError, ReplyLimits, Request, RequestDecoder, RequestError, RequestLimits, Value,
};
use bytes::BytesMut;

const REQUEST_LIMITS: RequestLimits = RequestLimits {
    max_bulk_bytes: 200,
    max_request_bytes: 256,
    max_line_bytes: 96,
    unauthenticated_max_args: 4,
    unauthenticated_max_bulk_bytes: 64,
};

const REPLY_LIMITS: ReplyLimits = ReplyLimits {
    max_reply_bytes: 512,
    max_line_bytes: 96,
    max_elements: 64,
    max_depth: 5,
};

/// What a stream comes to: what was decoded, then the error that ends it or the number of bytes left.
#[derive(Debug)]
pub(crate) struct Outcome<T, E> {
    pub(crate) items: Vec<T>,
    pub(crate) end: Result<usize, E>,
}

/// Decodes `input` whole and in pieces, with and without authentication, and checks that the pieces make no
/// difference, that little is left waiting, and that every request uses up bytes of its own.
pub(crate) fn check_requests(input: &[u8]) {
    for authenticated in [false, true] {
        let whole = requests(input, usize::MAX, authenticated, REQUEST_LIMITS);
        for chunk_bytes in [1, 7] {
            let pieces = requests(input, chunk_bytes, authenticated, REQUEST_LIMITS);
            assert_eq!(pieces.items, whole.items, "{chunk_bytes} bytes at a time");
            assert_eq!(pieces.end, whole.end, "{chunk_bytes} bytes at a time");
        }
        let used: usize = whole.items.iter().map(wire_bytes_min).sum();
        assert!(used <= input.len(), "{used} bytes decoded from {}", input.len());
        // A complete request, or its last header, or an inline line, or the two bytes behind an argument.
        let bound = (REQUEST_LIMITS.max_request_bytes + REQUEST_LIMITS.max_line_bytes + 2) as usize;
        assert!(
            whole.end.is_err() || whole.end.is_ok_and(|left| left <= bound),
            "too much left waiting"
        );
    }
}

/// As [`check_requests`], for replies.
pub(crate) fn check_replies(input: &[u8]) {
    let whole = replies(input, usize::MAX, REPLY_LIMITS);
    for chunk_bytes in [1, 7] {
        let pieces = replies(input, chunk_bytes, REPLY_LIMITS);
        // Compared as text, since a NaN is not equal to itself.
        assert_eq!(
            format!("{:?}", pieces.items),
            format!("{:?}", whole.items),
            "{chunk_bytes} at a time"
        );
        assert_eq!(pieces.end, whole.end, "{chunk_bytes} bytes at a time");
    }
    // The shortest reply is `_` with its line end.
    assert!(whole.items.len() * 3 <= input.len());
    for value in &whole.items {
        assert!(depth(value) <= usize::from(REPLY_LIMITS.max_depth));
        assert!(elements(value) <= REPLY_LIMITS.max_elements);
    }
    let bound = REPLY_LIMITS.max_reply_bytes.max(REPLY_LIMITS.max_line_bytes) + 2;
    assert!(
        whole.end.is_err() || whole.end.is_ok_and(|left| left <= bound),
        "too much left waiting"
    );
}

/// Decodes requests from `input`, fed in pieces of `chunk_bytes`.
pub(crate) fn requests(
    input: &[u8],
    chunk_bytes: usize,
    authenticated: bool,
    limits: RequestLimits,
) -> Outcome<Request, RequestError> {
    let mut decoder = RequestDecoder::new(limits);
    decoder.set_authenticated(authenticated);
    run(input, chunk_bytes, |buf| decoder.decode(buf))
}

/// Decodes replies from `input`, fed in pieces of `chunk_bytes`.
pub(crate) fn replies(input: &[u8], chunk_bytes: usize, limits: ReplyLimits) -> Outcome<Value, ReplyError> {
    let mut decoder = ReplyDecoder::new(limits);
    run(input, chunk_bytes, |buf| decoder.decode(buf))
}

fn run<T, E: PartialEq + std::fmt::Debug>(
    input: &[u8],
    chunk_bytes: usize,
    mut decode: impl FnMut(&mut BytesMut) -> Result<Option<T>, E>,
) -> Outcome<T, E> {
    let mut buf = BytesMut::new();
    let mut items = Vec::new();
    for chunk in input.chunks(chunk_bytes) {
        buf.extend_from_slice(chunk);
        loop {
            let before = buf.len();
            match decode(&mut buf) {
                Ok(Some(item)) => {
                    assert!(buf.len() < before, "an item must use up bytes");
                    items.push(item);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decode(&mut buf).err().as_ref(), Some(&error), "an error is final");
                    return Outcome {
                        items,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Outcome {
        items,
        end: Ok(buf.len()),
    }
}

/// The fewest bytes in which a request can be sent: inline, one blank or line end behind each word. Empty
/// words need quotes, but these do not matter for a bound.
fn wire_bytes_min(request: &Request) -> usize {
    request.args().map(|arg| arg.len() + 1).sum()
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => value.as_slice().unwrap_or_default().iter().collect(),
    }
}

fn depth(value: &Value) -> usize {
    let aggregate = matches!(
        value,
        Value::Array(_) | Value::Map(_) | Value::Set(_) | Value::Push(_)
    );
    usize::from(aggregate) + children(value).into_iter().map(depth).max().unwrap_or(0)
}

fn elements(value: &Value) -> usize {
    children(value).into_iter().map(|child| 1 + elements(child)).sum()
}
