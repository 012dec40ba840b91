//! One member of a replicated log, on tikv's `raft`.
//!
//! The members of a group agree on a sequence of decisions: what a majority has on disk is committed, and comes out at
//! every member in the same order. [`Node`] is one member. It has no socket, clock, file, thread or await: time, frames
//! and proposals come in by methods, and what is to be sent, written and applied is polled. It never looks into a
//! proposal, and never decides about anything but its own group.
//!
//! After each call the caller polls [`Node::poll_write`], [`Node::poll_frame`], [`Node::poll_committed`] and
//! [`Node::poll_dropped`] until each gives `None`, then [`Node::poll_deadline`]. What must be durable before it is seen
//! is held back until [`Node::written`]; everything else keeps flowing while the disk is slow.
//!
//! What `raft` does by itself, where it is not enough and what stands around it is told in
//! `docs/decisions/`, "The log of decisions".

#![warn(missing_docs)]

mod agreement;
mod bugs;
mod check;
mod codec;
mod frame;
mod lease;
mod log;
mod member;
mod node;
mod parts;
mod proposal;
mod restore;
mod settings;
mod timing;
mod write;

pub use agreement::{AgreementSettings, Differs, LogAgreement, cluster_id, sentinel_id};
pub use check::Unsound;
pub use codec::CodecError;
pub use frame::{BadFrame, FRAME_HEADER_LEN, FRAME_VERSION, MAX_FRAME_LEN, frame_len};
pub use member::{BadChange, Change, Members};
pub use node::{Committed, MemberStatus, Node, Role, SnapshotError, Status, TransferError};
pub use proposal::{DropReason, Dropped};
pub use restore::{Restored, StartError};
pub use settings::{
    ClusterId, MAX_ADDRESS_LEN, MAX_DRIFT_PERCENT, MAX_MEMBERS, MAX_PAYLOAD_LEN, MAX_PENDING,
    MAX_PENDING_BYTES, MAX_SNAPSHOT_LEN, MAX_SNAPSHOT_PART, Readable, Settings,
};
pub use write::{Entry, HardState, Identity, Snapshot, Write};
