//! Real client libraries write and read through a planned failover and through a kill, without being restarted or told
//! anything.

use std::time::Duration;

use anyhow::{Result, ensure};
use bellwether_tests::client_script::{ClientScript, Library};
use bellwether_tests::{Fleet, Options};

/// A client writes about a hundred times a second; its own timeouts and back-offs are some seconds at most, which a busy
/// machine makes longer.
const WRITES_LIMIT: Duration = Duration::from_secs(60);
const KEY: &str = "counter";

/// One module for each library, so that each is a test of its own.
macro_rules! libraries {
    ($($module:ident: $name:literal,)*) => {
        $(mod $module {
            use super::*;

            #[test]
            fn continues() -> Result<()> {
                goes_on($name, Options::from_env()?)
            }

            #[test]
            fn continues_with_passwords() -> Result<()> {
                goes_on($name, Options::from_env()?.with_passwords())
            }
        })*

        #[test]
        fn every_library_is_tested() {
            let tested = [$($name),*];
            for library in bellwether_tests::client_script::LIBRARIES {
                assert!(tested.contains(&library.name), "{}", library.name);
            }
        }
    };
}

libraries! {
    redis_py: "redis-py",
    redis_py_asyncio: "redis-py asyncio",
    valkey_py: "valkey-py",
    coredis: "coredis",
    celery: "Celery",
    ioredis: "ioredis",
    iovalkey: "iovalkey",
    node_redis: "node-redis",
    redis_rb: "redis-rb",
    phpredis: "phpredis",
    redis_rs: "redis-rs",
}

/// Whether coordinators vote or share a log is nothing that a client could see.
mod shared_log {
    use super::*;

    #[test]
    fn redis_py_continues() -> Result<()> {
        goes_on("redis-py", Options::sharing_log())
    }

    #[test]
    fn ioredis_continues() -> Result<()> {
        goes_on("ioredis", Options::sharing_log())
    }
}

fn goes_on(library: &str, options: Options) -> Result<()> {
    let mut fleet = Fleet::start(options)?;
    let mut client = Library::named(library)?.start(&fleet, KEY)?;
    works(&mut client)?;

    fleet.coordinators[0].fail_over()?;
    let second = fleet.wait_moved_from(0)?;
    works(&mut client)?;
    fleet.wait_stable()?;

    fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    works(&mut client)?;
    // The last write was accepted by the new primary, and nobody else writes.
    let last = client.end()?;
    let stored = fleet.read(KEY)?;
    ensure!(
        stored == Some(last.to_string()),
        "the last accepted write was {last}, stored is {stored:?}"
    );
    fleet.finish()
}

/// Writes are accepted, and a replica can be read.
fn works(client: &mut ClientScript) -> Result<()> {
    client.wait_more(30, WRITES_LIMIT)?;
    client.read_replica(WRITES_LIMIT)
}
