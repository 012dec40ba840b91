//! What is known of host names: the last good address of each, and who may be asked for when.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::{Addr, Host, HostName};
use crate::time::Instant;

/// How often one name is looked up at most. A reconnect that fails is tried every second at the slowest, and
/// looks the name up again each time.
const LOOKUP_SPACING: Duration = Duration::from_secs(1);

/// How many names are remembered. Names come from configuration, hellos and INFO; a fleet of 10,000 groups
/// with three servers each needs no more, and garbage cannot make the table grow beyond it.
const MAX_NAMES: usize = 65_536;

#[derive(Debug, Default)]
struct Entry {
    ip: Option<IpAddr>,
    asked_at: Option<Instant>,
    waiting: bool,
    failed: bool,
}

/// What is known of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It was never asked for, or long ago.
    Unknown,
    /// The answer is out.
    Waiting,
    /// It has an address.
    Known,
    /// It had none when it was last asked for.
    Failed,
}

/// The table of names, and the two settings about them.
#[derive(Debug)]
pub(crate) struct Names {
    resolve: bool,
    announce: bool,
    table: BTreeMap<HostName, Entry>,
}

impl Names {
    pub(crate) const fn new(resolve: bool, announce: bool) -> Self {
        Self {
            resolve,
            announce,
            table: BTreeMap::new(),
        }
    }

    /// The two settings have changed.
    pub(crate) const fn set(&mut self, resolve: bool, announce: bool) {
        self.resolve = resolve;
        self.announce = announce;
    }

    /// Reads an address from outside. Names count only with `resolve-hostnames yes`.
    pub(crate) fn parse(&self, host: &str, port: u16) -> Option<Addr> {
        Addr::parse(host, port).filter(|addr| self.resolve || matches!(addr.host, Host::Ip(_)))
    }

    /// The address behind a host, as far as known.
    pub(crate) fn ip(&self, host: &Host) -> Option<IpAddr> {
        match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(name) => self.table.get(name).and_then(|entry| entry.ip),
        }
    }

    /// Where to connect to; `None` while the name has never been resolved, or for port 0.
    pub(crate) fn socket(&self, addr: &Addr) -> Option<SocketAddr> {
        if addr.port == 0 {
            return None;
        }
        self.ip(&addr.host).map(|ip| SocketAddr::new(ip, addr.port))
    }

    /// Why there is nowhere to connect to, for people.
    pub(crate) fn why_nowhere(host: &Host) -> String {
        match host {
            Host::Ip(_) => "its port is 0".to_owned(),
            Host::Name(name) => format!("no address is known for the name {}", name.as_str()),
        }
    }

    /// Whether two addresses are the same place. Unlike Sentinel, two names that were never resolved are not
    /// the same for having no address both.
    pub(crate) fn same(&self, a: &Addr, b: &Addr) -> bool {
        a.port == b.port
            && (a.host == b.host || self.ip(&a.host).is_some_and(|ip| self.ip(&b.host) == Some(ip)))
    }

    /// The host as others are told: the name with `announce-hostnames yes`, else the address behind it. Unlike
    /// Sentinel, a name that was never resolved is shown as it is and not as an empty text.
    pub(crate) fn shown(&self, host: &Host) -> String {
        if self.announce {
            return host.to_string();
        }
        self.ip(host)
            .map_or_else(|| host.to_string(), |ip| ip.to_string())
    }

    /// An address as others are told.
    pub(crate) fn shown_addr(&self, addr: &Addr) -> (String, u16) {
        (self.shown(&addr.host), addr.port)
    }

    /// Whether a look-up should be started now; notes that it was.
    pub(crate) fn wants_lookup(&mut self, now: Instant, name: &HostName) -> bool {
        if !self.table.contains_key(name) && self.table.len() >= MAX_NAMES {
            return false;
        }
        let entry = self.table.entry(name.clone()).or_default();
        let fresh = entry.asked_at.is_some_and(|at| now.since(at) < LOOKUP_SPACING);
        if entry.waiting || fresh {
            return false;
        }
        entry.waiting = true;
        entry.asked_at = Some(now);
        true
    }

    /// What is known of a name.
    pub(crate) fn state(&self, name: &HostName) -> Lookup {
        match self.table.get(name) {
            None => Lookup::Unknown,
            Some(Entry { ip: Some(_), .. }) => Lookup::Known,
            Some(Entry { waiting: true, .. }) => Lookup::Waiting,
            Some(Entry { failed: true, .. }) => Lookup::Failed,
            Some(_) => Lookup::Unknown,
        }
    }

    /// A failure that was reported once must not answer later questions.
    pub(crate) fn forget_failure(&mut self, name: &HostName) {
        if let Some(entry) = self.table.get_mut(name) {
            entry.failed = false;
            entry.asked_at = None;
        }
    }

    /// Takes in the end of a look-up. A failure keeps the last good address. Says whether anything changed.
    pub(crate) fn resolved(&mut self, name: &HostName, result: Result<IpAddr, String>) -> bool {
        let Some(entry) = self.table.get_mut(name) else {
            return false;
        };
        entry.waiting = false;
        entry.failed = result.is_err();
        match result {
            Ok(ip) if entry.ip != Some(ip) => {
                entry.ip = Some(ip);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: &str) -> Addr {
        Addr::parse(host, 1).expect("a host")
    }

    #[test]
    fn a_failed_lookup_keeps_the_last_good_address() {
        let mut names = Names::new(true, false);
        let name = HostName::new("a").expect("a name");
        assert!(names.wants_lookup(Instant::ZERO, &name));
        assert!(!names.wants_lookup(Instant::ZERO, &name), "one look-up at a time");
        assert!(names.resolved(&name, Ok([10, 0, 0, 1].into())));
        assert!(!names.wants_lookup(Instant::from_millis(999), &name));
        assert!(names.wants_lookup(Instant::from_millis(1000), &name));
        assert!(!names.resolved(&name, Err("no answer".into())));
        assert_eq!(names.shown(&addr("a").host), "10.0.0.1");
        assert!(names.same(&addr("a"), &addr("10.0.0.1")));
    }

    #[test]
    fn unresolved_names_are_not_the_same_place() {
        let names = Names::new(true, false);
        assert!(!names.same(&addr("a"), &addr("b")));
        assert!(names.same(&addr("a"), &addr("A")));
    }

    #[test]
    fn names_need_resolve_hostnames() {
        assert!(Names::new(false, false).parse("redis-1", 1).is_none());
        assert!(Names::new(false, false).parse("10.0.0.1", 1).is_some());
    }

    #[test]
    fn the_same_address_again_is_no_change_and_another_one_is() {
        let mut names = Names::new(true, false);
        let name = HostName::new("a").expect("a name");
        let mut looked_up = |ip: [u8; 4], seconds: u64| {
            assert!(names.wants_lookup(Instant::from_millis(seconds * 1000), &name));
            names.resolved(&name, Ok(ip.into()))
        };
        assert!(looked_up([10, 0, 0, 1], 0));
        assert!(!looked_up([10, 0, 0, 1], 1));
        assert!(looked_up([10, 0, 0, 2], 2));
        assert_eq!(names.shown(&addr("a").host), "10.0.0.2");
    }
}
