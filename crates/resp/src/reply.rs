//! Replies: what servers and other sentinels send back.
//!
//! Owns the incremental decoding of every reply type and the limits on it. Never matches replies to
//! commands; that is the link's work, as is setting pushes apart.

mod decoder;
mod error;

pub use decoder::{ReplyDecoder, ReplyLimits};
pub use error::{ReplyError, ReplyErrorKind};

#[cfg(test)]
mod tests;
