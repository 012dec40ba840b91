//! A deterministic world around the core: modelled servers, network, disks, clocks and clients, faults drawn from
//! a seed, and checks of every invariant after every step.
//!
//! Nothing here reads a clock, opens a socket or starts a thread. One seed gives one run, event for event.

#![warn(missing_docs)]

mod check;
mod clock;
mod coverage;
mod disk;
mod fault;
mod interrupt;
mod log_store;
mod message;
mod network;
mod plan;
mod redis;
mod run;
pub mod scenario;
mod shared_log;
mod shrink;
mod time;
mod trace;
mod world;

pub use check::{Invariant, Violation};
pub use coverage::Coverage;
pub use fault::{CoordinatorPick, Data, Fault, MachinePick, Order, Planned, ServerPick, Stranger, When};
pub use interrupt::{Interruption, count_effects, run_interrupted};
pub use message::{ConnId, Entry, Message, ReplId, Snapshot, WriteId};
pub use network::{Actor, End, Flight, Machine, Network, Packet, Quality};
pub use plan::{Profile, Setup};
pub use redis::{Act, Obedience, Remains, Server, ServerSpec, Stats};
pub use run::{Report, run, run_plan, words_of};
pub use shared_log::{Coordination, LogSetup};
pub use shrink::shrink;
pub use time::Time;
pub use trace::Trace;
pub use world::World;
