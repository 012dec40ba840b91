//! RESP2 and RESP3: bytes to values and back.
//!
//! Three parts, each usable alone:
//!
//! - [`RequestDecoder`] reads what clients send to a listener: multibulk and inline requests, with the
//!   protocol errors and the limits of the reference, tighter before authentication.
//! - [`ReplyDecoder`] reads what servers and other sentinels send back: every type of RESP2 and RESP3, as a
//!   [`Value`].
//! - [`Encoder`], [`Value::encode`] and [`encode_command`] write replies and commands.
//!
//! Both decoders are incremental and sans-IO. The caller appends whatever arrived to a [`bytes::BytesMut`]
//! and calls `decode` until it returns `None`; payloads are handed out as slices of that buffer, not as
//! copies. A decoder remembers how far it looked, so bytes that trickle in one by one cost linear time.
//!
//! No bytes make this crate panic, recurse without bound, or allocate by an announced size: every length,
//! count, depth and line has a limit, and memory follows the bytes that really came. After an error a
//! decoder stays failed, since the position in the stream is lost.
//!
//! This crate never opens a socket, never reads a clock, never waits, and knows no command by name except
//! the two HTTP words that [`RequestError::CrossProtocol`] is about.

#![warn(missing_docs)]

mod encode;
mod line;
mod reply;
mod request;
mod value;

pub use encode::{Encoder, Protocol, encode_command};
pub use reply::{ReplyDecoder, ReplyError, ReplyErrorKind, ReplyLimits};
pub use request::{Request, RequestDecoder, RequestError, RequestLimits};
pub use value::Value;
