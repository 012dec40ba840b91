//! Free TCP ports on loopback that parallel test processes do not take from each other.
//!
//! A port is reserved by an advisory lock on a file named after it, then proven free by binding it. The lock lasts as
//! long as the [`Port`], so a server can be killed and started again on the same port.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::{env, fmt};

use anyhow::{Context, Result, bail};

/// Ports below the kernel's default ephemeral range (32768 and up), so no outgoing connection holds one by chance.
const FIRST: u16 = 10_000;
const LAST: u16 = 31_999;

/// A reserved port; dropping it gives the port back.
pub struct Port {
    number: u16,
    /// Locked while this port is ours. The file stays: removing it would let two processes lock two files of one name.
    _lock: File,
}

impl Port {
    /// Reserves a port, beginning the search at a random place.
    ///
    /// # Errors
    /// When the lock directory cannot be used, or every port of the range is taken.
    pub fn reserve() -> Result<Self> {
        let dir = env::temp_dir().join("bellwether-test-ports");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let count = u64::from(LAST - FIRST) + 1;
        let start = RandomState::new().build_hasher().finish() % count;
        for step in 0..count {
            let number = FIRST + u16::try_from((start + step) % count)?;
            let path = dir.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port between {FIRST} and {LAST}")
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reserved_ports_differ_and_stay_below_the_ephemeral_range() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().expect("a free port")).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(numbers.iter().all(|port| *port < 32_768));
    }
}
