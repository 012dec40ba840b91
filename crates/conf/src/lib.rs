//! The configuration of a coordinator: text to settings and back.
//!
//! - [`parse`](parse()) reads a `sentinel.conf` as Redis Sentinel does, [`parse_yaml`] reads the same settings as
//!   YAML, [`parse_auto`] chooses by the file's extension. All problems are reported at once, each with its place.
//! - [`rewrite`](rewrite()) puts the durable state back into a `sentinel.conf` and keeps everything else in it.
//! - [`render_state`] and [`apply_state`] are for a state directory, where the configuration itself is read-only.
//!
//! Whatever this crate writes, it can read, and so can Redis and Valkey Sentinel.
//!
//! This crate never touches a file, the environment or the network: callers pass texts in, and a closure that
//! finds what an `include` names.

#![warn(missing_docs)]

mod args;
mod command_names;
mod coordination;
mod diagnostic;
mod emit;
mod generic;
mod lex;
mod options;
mod parse;
mod places;
mod rewrite;
mod script;
mod secrets;
mod sentinel;
mod source;
mod state;
mod suggest;
mod tls;
mod value;
mod yaml;

pub use args::overrides_from_args;
pub use bellwether_core::{LogLevel, Secret};
pub use command_names::CommandNames;
pub use coordination::{Coordination, MAX_RAFT_MEMBER_ID, MAX_RAFT_MEMBERS, RaftSettings};
pub use diagnostic::{Diagnostic, Severity};
pub use lex::quote;
pub use options::{
    Bind, Config, DaemonOptions, LogFormat, OutputLimit, OutputLimits, SentinelOptions, Supervised,
    SyslogFacility, SyslogOptions, UserLine,
};
pub use parse::{Loader, parse};
pub use places::Problem;
pub use rewrite::rewrite;
pub use script::judge_scripts;
pub use secrets::SecretFiles;
pub use source::Source;
pub use state::{STATE_FILE, StateError, apply_state, render_state};
pub use tls::{AuthClients, KeyFiles, TlsOptions, TlsProtocols};
pub use yaml::{is_yaml, parse_auto, parse_yaml};

/// The names of all directives that are honoured or kept, such as `port` and `sentinel monitor`: one list for help
/// texts, and for the test that the example file explains each.
pub fn directives() -> impl Iterator<Item = String> {
    let generic = generic::HONOURED.iter().chain(tls::HONOURED);
    let generic = generic.map(|(name, _)| (*name).to_owned());
    let own = generic::own_names().map(|name| format!("bellwether {name}"));
    let sentinel = sentinel::DIRECTIVES
        .iter()
        .map(|d| format!("sentinel {}", d.name));
    generic.chain(["include".to_owned()]).chain(own).chain(sentinel)
}
