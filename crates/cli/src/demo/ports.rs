//! Ports to listen on, free at this moment.

use std::{collections::BTreeSet, net::TcpListener};

use anyhow::bail;

/// Below the range from which Linux draws the local ports of outgoing connections (32768 and up), so that no
/// connection takes one between here and the listener; above what services commonly use.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// How many ports may be tried before giving up. A machine where so many are taken has other problems.
const MAX_TRIES: u32 = 2_000;

/// Finds `count` different free ports on the loopback. Where the search begins depends on the process id, so
/// that demos running at the same time seldom meet.
pub(super) fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    let width = u32::from(RANGE.end - RANGE.start);
    let start = std::process::id().wrapping_mul(97) % width;
    let mut found = BTreeSet::new();
    for step in 0..MAX_TRIES {
        if found.len() == count {
            break;
        }
        let port = RANGE.start + u16::try_from((start + step) % width).unwrap_or_default();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.insert(port);
        }
    }
    if found.len() < count {
        bail!("no {count} free ports between {} and {}", RANGE.start, RANGE.end);
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_passed_over() {
        let first = free(1).unwrap();
        let _taken = TcpListener::bind(("127.0.0.1", first[0])).unwrap();
        let next = free(12).unwrap();
        assert_eq!(next.len(), 12);
        assert!(!next.contains(&first[0]));
        assert!(next.iter().all(|port| RANGE.contains(port)));
    }
}
