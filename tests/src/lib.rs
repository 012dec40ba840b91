//! The harness of the end-to-end tests and of the failover benchmark.
//!
//! It owns real processes: servers of Redis or Valkey, coordinators (`bellwether`, or theirs for comparison), their
//! ports, directories and logs. It looks at them from the outside only: what a server says in ROLE, what a coordinator
//! answers, which events it publishes. It never links the code under test (one test links the simulator, to compare it
//! with reality) and never skips: what is missing on the machine is an error that names what to install.
//!
//! Environment:
//! - `BELLWETHER_BIN`: the binary under test; else `bellwether` beside the test executable's profile directory.
//! - `BELLWETHER_TESTS_KIND`: `bellwether` (default), `redis-sentinel` or `valkey-sentinel`, to check the tests against
//!   the reference.
//! - `BELLWETHER_REDIS_SERVER`, `BELLWETHER_REDIS_SENTINEL`, `BELLWETHER_VALKEY_SERVER`, `BELLWETHER_VALKEY_SENTINEL`:
//!   other programs for these, for instance of another version.
//! - `BELLWETHER_TEST_CLIENTS`: where `scripts/install-test-clients.sh` put the client libraries.
//! - `BELLWETHER_SEED`: what tests with random faults draw them from.
//! - `BELLWETHER_TESTS_KEEP`: when set, a failed test leaves its directory in place.

pub mod certificates;
pub mod chance;
pub mod client;
pub mod client_script;
pub mod coordinator;
pub mod disk;
pub mod fleet;
pub mod invariants;
pub mod journal;
pub mod machine;
pub mod machines;
pub mod network;
pub mod port;
pub mod process;
pub mod program;
pub mod redis_server;
pub mod shared_log;
pub mod slow_line;
pub mod wait;

pub use coordinator::{Coordinator, Kind};
pub use fleet::{Fleet, Options};
pub use journal::{Event, Journal};
pub use redis_server::{Flavour, RedisServer, Role};
pub use wait::{hold_for, wait_for};

/// The name of the monitored group in every test.
pub const GROUP: &str = "mymaster";
