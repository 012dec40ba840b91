//! What must never be seen in the events of a fleet, whatever happened to it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::journal::Event;

/// Checks votes and leaders: each coordinator votes once per epoch, restarts included, and an epoch has one leader.
/// `ids` are the coordinators' ids by index. Holds for fleets that monitor one group.
///
/// # Errors
/// Names the first breach.
pub fn check(events: &[Event], ids: &[&str]) -> Result<()> {
    let mut votes: BTreeMap<(usize, u64), &str> = BTreeMap::new();
    let mut candidacies: BTreeMap<usize, u64> = BTreeMap::new();
    let mut leaders: BTreeMap<u64, usize> = BTreeMap::new();
    for event in events {
        match event.name.as_str() {
            "+vote-for-leader" => {
                let (id, epoch) = event.payload.split_once(' ').with_context(|| odd(event))?;
                let epoch: u64 = epoch.parse().with_context(|| odd(event))?;
                let earlier = *votes.entry((event.source, epoch)).or_insert(id);
                ensure!(
                    earlier == id,
                    "sentinel-{} voted in epoch {epoch} for {earlier} and for {id}",
                    event.source
                );
                if ids.get(event.source) == Some(&id) {
                    candidacies.insert(event.source, epoch);
                }
            }
            "+elected-leader" => {
                // As Sentinel: the event does not say the epoch, but a leader has voted for itself just before. The leader of
                // a log has not.
                let Some(epoch) = candidacies.remove(&event.source) else {
                    continue;
                };
                let earlier = *leaders.entry(epoch).or_insert(event.source);
                ensure!(
                    earlier == event.source,
                    "sentinel-{earlier} and sentinel-{} were both elected in epoch {epoch}",
                    event.source
                );
            }
            // It stands no more: it has lost, or was started anew, perhaps as a member of a log.
            "-failover-abort-not-elected" | "+monitor" => {
                candidacies.remove(&event.source);
            }
            _ => {}
        }
    }
    Ok(())
}

fn odd(event: &Event) -> String {
    format!("unexpected payload of {}: {}", event.name, event.payload)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn event(source: usize, name: &str, payload: &str) -> Event {
        Event {
            at: Instant::now(),
            source,
            name: name.to_owned(),
            payload: payload.to_owned(),
        }
    }

    #[test]
    fn two_votes_in_one_epoch_are_found() {
        let once = [
            event(0, "+vote-for-leader", "a 1"),
            event(0, "+vote-for-leader", "b 2"),
        ];
        assert!(check(&once, &["a", "b"]).is_ok());
        let twice = [
            event(0, "+vote-for-leader", "a 1"),
            event(0, "+vote-for-leader", "b 1"),
        ];
        assert!(check(&twice, &["a", "b"]).is_err());
    }

    #[test]
    fn two_leaders_of_one_epoch_are_found() {
        let elections = |second_epoch: u64| {
            [
                event(0, "+vote-for-leader", "a 1"),
                event(0, "+elected-leader", "master mymaster 127.0.0.1 1"),
                event(1, "+vote-for-leader", &format!("b {second_epoch}")),
                event(1, "+elected-leader", "master mymaster 127.0.0.1 1"),
            ]
        };
        assert!(check(&elections(2), &["a", "b"]).is_ok());
        assert!(check(&elections(1), &["a", "b"]).is_err());
    }

    #[test]
    fn who_has_lost_an_election_may_lead_a_log_later() {
        let mut events = vec![
            event(0, "+vote-for-leader", "a 1"),
            event(1, "+vote-for-leader", "b 1"),
            event(1, "+elected-leader", "master mymaster 127.0.0.1 1"),
            event(0, "-failover-abort-not-elected", "master mymaster 127.0.0.1 1"),
            event(0, "+elected-leader", "master mymaster 127.0.0.1 1"),
        ];
        assert!(check(&events, &["a", "b"]).is_ok());
        events.remove(3);
        assert!(check(&events, &["a", "b"]).is_err());
    }
}
