//! What can be wrong with a request, and the texts clients see.

use std::borrow::Cow;

/// Why a connection's input cannot be read on. After any of these the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// An inline request without a line end within the limit.
    #[error("inline request is longer than the limit for a line")]
    InlineTooLong,
    /// A quote that is not closed, or closed in the middle of a word.
    #[error("inline request has unbalanced quotes")]
    UnbalancedQuotes,
    /// The line with the number of arguments has no end within the limit.
    #[error("line with the number of arguments is longer than the limit")]
    MultibulkLineTooLong,
    /// The number of arguments is no integer, or more than a request can hold.
    #[error("number of arguments is not an integer or too large")]
    InvalidMultibulkLength,
    /// More arguments than a client may send before it has authenticated.
    #[error("more arguments than allowed before authentication")]
    UnauthenticatedMultibulkLength,
    /// The line with an argument's length has no end within the limit.
    #[error("line with an argument's length is longer than the limit")]
    BulkLineTooLong,
    /// Something else than `$` at the start of an argument: this byte.
    #[error("argument begins with byte {0:#04x} instead of '$'")]
    ExpectedDollar(u8),
    /// An argument's length is no integer, negative, or more than one argument or one request may have.
    #[error("length of an argument is not an integer, negative or too large")]
    InvalidBulkLength,
    /// An argument longer than a client may send before it has authenticated.
    #[error("longer argument than allowed before authentication")]
    UnauthenticatedBulkLength,
    /// An argument is not followed by CRLF.
    #[error("argument is not followed by CRLF")]
    MissingBulkEnd,
    /// An HTTP client: the first word is `POST` or `Host:`. A web page may have been made to talk to us with
    /// its reader's network access, so the connection is closed without a reply.
    #[error("request looks like HTTP, possibly a cross-protocol attack")]
    CrossProtocol,
}

impl RequestError {
    /// The error reply to send before closing, without the leading `-` and the CRLF; `None` if the
    /// connection is to be closed in silence. Bytes rather than text, since it can quote a byte received.
    pub fn reply_text(&self) -> Option<Cow<'static, [u8]>> {
        let text: &'static str = match self {
            Self::InlineTooLong => "ERR Protocol error: too big inline request",
            Self::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            Self::MultibulkLineTooLong => "ERR Protocol error: too big mbulk count string",
            Self::InvalidMultibulkLength => "ERR Protocol error: invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "ERR Protocol error: unauthenticated multibulk length",
            Self::BulkLineTooLong => "ERR Protocol error: too big bulk count string",
            Self::ExpectedDollar(got) => return Some(Cow::Owned(expected_dollar(*got))),
            Self::InvalidBulkLength => "ERR Protocol error: invalid bulk length",
            Self::UnauthenticatedBulkLength => "ERR Protocol error: unauthenticated bulk length",
            Self::MissingBulkEnd => "ERR Protocol error: expected CRLF after bulk",
            Self::CrossProtocol => return None,
        };
        Some(Cow::Borrowed(text.as_bytes()))
    }
}

fn expected_dollar(got: u8) -> Vec<u8> {
    let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
    text.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
    text.push(b'\'');
    text
}
