//! Addresses as people write them: an IP or a name, and a port.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest host name that DNS allows.
const MAX_HOST_NAME_LEN: usize = 253;

/// A host name. Compared without regard to case, shown as it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Takes a name from outside; `None` if it cannot be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_HOST_NAME_LEN;
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        (fits && plain).then(|| Self(text.into()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |name: &Self| name.0.bytes().map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
        lower(self).cmp(&lower(other))
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for HostName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HostName {}

/// The host part of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Host {
    /// A numeric address.
    Ip(IpAddr),
    /// A name that must be resolved.
    Name(HostName),
}

impl Host {
    /// Reads an IP or, failing that, a name; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(ip) => Some(Self::Ip(ip)),
            Err(_) => HostName::new(text).map(Self::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

/// Where a server listens. Port 0 stands for "never connect", as in the reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Addr {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl Addr {
    /// Reads a host text and joins it with a port; `None` if the text is neither an IP nor a name.
    #[must_use]
    pub fn parse(host: &str, port: u16) -> Option<Self> {
        Host::parse(host).map(|host| Self { host, port })
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self {
            host: Host::Ip(addr.ip()),
            port: addr.port(),
        }
    }
}

impl fmt::Display for Addr {
    /// `host:port`, with an IPv6 host in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_ips_or_names() {
        assert_eq!(Host::parse("127.0.0.1"), Some(Host::Ip([127, 0, 0, 1].into())));
        assert!(matches!(Host::parse("redis-primary"), Some(Host::Name(_))));
        assert_eq!(Host::parse("a b"), None);
        assert_eq!(Host::parse(""), None);
        assert_eq!(
            Addr::parse("::1", 6379).map(|a| a.to_string()).as_deref(),
            Some("[::1]:6379")
        );
    }

    #[test]
    fn names_compare_without_case() {
        assert_eq!(HostName::new("Redis-A"), HostName::new("redis-a"));
        assert_eq!(
            HostName::new("Redis-A").cmp(&HostName::new("redis-a")),
            Ordering::Equal
        );
    }
}
