//! The listener on real sockets, byte for byte, with a scripted driver behind it.

mod acl;
mod acl_reference;
mod generic;
mod limits;
mod pubsub;
mod raft;
mod reference;
mod renamed;
mod sentinel;
mod support;
