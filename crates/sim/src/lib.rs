//! A deterministic world around the core: modelled servers, network, disks, clocks and clients, faults drawn from
//! a seed, and checks of every invariant after every step.
//!
//! Nothing here reads a clock, opens a socket or starts a thread. One seed gives one run, event for event.

#![warn(missing_docs)]

mod message;
mod redis;
mod time;

pub use message::{ConnId, Entry, Message, ReplId, Snapshot, WriteId};
pub use redis::{Act, Obedience, Remains, Server, ServerSpec, Stats};
pub use time::Time;
