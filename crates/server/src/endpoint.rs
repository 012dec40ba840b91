//! Where connections come from and where they arrive.
//!
//! Owns the two kinds of socket that clients use, and how each is written in replies and logs.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// One end of a connection of a client, or a place that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address of TCP.
    Tcp(SocketAddr),
    /// A file on this machine. Both ends of such a connection are called by its path.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// The address; `None` for a file.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether clients of other machines can never have it.
    pub(crate) fn is_local(&self) -> bool {
        // A socket for both families shows IPv4 clients as IPv6 addresses.
        self.tcp()
            .is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Endpoint {
    /// As `CLIENT LIST` shows it: a file has the port 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{}:0", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_from_locals_in_both_families() {
        let is_local = |text: &str| Endpoint::Tcp(text.parse().expect("an address")).is_local();
        for local in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(is_local(local), "{local}");
        }
        for stranger in ["10.0.0.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!is_local(stranger), "{stranger}");
        }
        assert!(Endpoint::Unix(Path::new("/run/s.sock").into()).is_local());
    }

    #[test]
    fn files_are_shown_as_in_the_reference() {
        assert_eq!(
            Endpoint::Unix(Path::new("/run/s.sock").into()).to_string(),
            "/run/s.sock:0"
        );
    }
}
