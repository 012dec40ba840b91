//! What can be wrong with a reply.

/// Why a connection's replies cannot be read on, and where in the reply. The connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at byte {offset} of the reply")]
pub struct ReplyError {
    /// What is wrong.
    pub kind: ReplyErrorKind,
    /// Where the offending element begins, counted from the start of the whole reply.
    pub offset: usize,
}

/// What can be wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReplyErrorKind {
    /// No type of RESP2 or RESP3 begins with this byte.
    #[error("unknown type byte {0:#04x}")]
    UnknownType(u8),
    /// A streamed string or aggregate (`$?`, `*?`), which no server sends.
    #[error("streamed type, which is not supported")]
    Streamed,
    /// A length or count that is no integer, or negative where that has no meaning.
    #[error("length is not an integer or negative")]
    InvalidLength,
    /// An integer or big number that is none.
    #[error("not an integer")]
    InvalidInteger,
    /// A double that is none.
    #[error("not a floating point number")]
    InvalidDouble,
    /// A boolean other than `t` and `f`.
    #[error("not a boolean")]
    InvalidBoolean,
    /// A null with something in it.
    #[error("not a null")]
    InvalidNull,
    /// Verbatim text without its format.
    #[error("verbatim text without a format")]
    InvalidVerbatim,
    /// A CR without LF or an LF without CR inside a line.
    #[error("CR or LF alone in a line")]
    BareLineEnd,
    /// A string that is not followed by CRLF.
    #[error("string is not followed by CRLF")]
    MissingBulkEnd,
    /// A push inside another value.
    #[error("push inside another value")]
    NestedPush,
    /// A line without an end within the limit.
    #[error("line is longer than the limit")]
    LineTooLong,
    /// A reply of more bytes than the limit.
    #[error("reply is longer than the limit")]
    TooLong,
    /// A reply of more elements than the limit.
    #[error("reply has more elements than the limit")]
    TooManyElements,
    /// Aggregates nested deeper than the limit.
    #[error("reply is nested deeper than the limit")]
    TooDeep,
}
