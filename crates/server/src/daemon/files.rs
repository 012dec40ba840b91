//! How many files and sockets the process may have open.
//!
//! Owns the process's own limit, and changes it within what the operator of the machine allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What is needed besides clients and links: ports, log, state, pipes of the runtime. As Sentinel.
const RESERVED: u64 = 32;

/// Raises the limit as far as is allowed: the usual default of 1024 is used up by a few hundred groups. Warns
/// if `max_clients` alone do not fit; clients that come then wait to be accepted.
pub(super) fn raise_limit(max_clients: u32) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        ..before
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => before.maximum,
        Err(_) => before.current,
    };
    let wanted = u64::from(max_clients) + RESERVED;
    // No limit at all is `None`.
    if now.is_some_and(|now| now < wanted) {
        warn!(
            "at most {} files may be open, which is less than maxclients {max_clients} and {RESERVED} more",
            now.unwrap_or_default()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_machine_allows() {
        raise_limit(1);
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
    }
}
