//! The time line: what happened after the kill, when, and who said so. Pure: events in, lines out.

use std::time::Instant;

use super::events::Event;
use crate::{
    connect::HostPort,
    output::{Output, Style},
};

/// One thing that happened, with the millisecond at which each coordinator told it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) what: String,
    /// When it was first seen, in ms after the kill.
    pub(super) first_ms: u128,
    /// By coordinator; empty for what is not theirs to tell.
    pub(super) told_ms: Vec<Option<u128>>,
}

/// Makes rows out of what was seen after `killed`.
pub(super) struct Timeline {
    killed: Instant,
    names: Vec<String>,
    rows: Vec<Row>,
}

impl Timeline {
    /// `names` are the coordinators' names, `events` what they published from `killed` on.
    pub(super) fn new(killed: Instant, names: Vec<String>, events: &[Event]) -> Self {
        let mut timeline = Self {
            killed,
            names,
            rows: Vec::new(),
        };
        for event in events.iter().filter(|event| event.at >= killed) {
            if let Some(what) = timeline.describe(event) {
                timeline.add(what, event);
            }
        }
        timeline
    }

    /// Adds something that no coordinator tells.
    pub(super) fn note(&mut self, what: String, at: Instant) {
        let first_ms = at.saturating_duration_since(self.killed).as_millis();
        self.rows.push(Row {
            what,
            first_ms,
            told_ms: Vec::new(),
        });
    }

    /// The rows in order of time.
    pub(super) fn rows(mut self) -> Vec<Row> {
        self.rows.sort_by_key(|row| row.first_ms);
        self.rows
    }

    /// The rows as text, with a heading.
    pub(super) fn lines(self, out: Output) -> Vec<String> {
        let names = self.names.clone();
        let mut heading = format!("{:>7}  {:WIDTH$}", "ms", "since the kill, first seen");
        for name in &names {
            heading.push_str(&format!("{name:>7}"));
        }
        let mut lines = vec![out.paint(Style::Bold, heading)];
        for row in self.rows() {
            let mut line = format!("{:>7}  {:WIDTH$}", row.first_ms, row.what);
            for index in 0..names.len() {
                match row.told_ms.get(index) {
                    Some(Some(ms)) => line.push_str(&format!("{ms:>7}")),
                    Some(None) => line.push_str(&format!("{:>7}", "-")),
                    None => {}
                }
            }
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    fn add(&mut self, what: String, event: &Event) {
        let ms = event.at.saturating_duration_since(self.killed).as_millis();
        let row = match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row,
            None => {
                let told_ms = vec![None; self.names.len()];
                self.rows.push(Row {
                    what,
                    first_ms: ms,
                    told_ms,
                });
                let last = self.rows.len() - 1;
                &mut self.rows[last]
            }
        };
        row.first_ms = row.first_ms.min(ms);
        if let Some(told) = row.told_ms.get_mut(event.coordinator) {
            // The first time counts: what is told twice, as an sdown that comes back, did happen then.
            told.get_or_insert(ms);
        }
    }

    /// What an event means here; `None` for what does not belong into the time line.
    fn describe(&self, event: &Event) -> Option<String> {
        let name = event.name.as_str();
        let concerns_primary = event.payload.starts_with("master ");
        let who = self.names.get(event.coordinator).map_or("?", String::as_str);
        Some(match name {
            "+sdown" if concerns_primary => "subjectively down (+sdown)".to_owned(),
            "+odown" => "objectively down (+odown)".to_owned(),
            "+elected-leader" => format!("{who} elected as leader (+elected-leader)"),
            "+promoted-slave" => format!("{} promoted (+promoted-slave)", replica(&event.payload)?),
            "+switch-master" => "new primary announced (+switch-master)".to_owned(),
            "+slave-reconf-sent" => format!("{} told to follow it", replica(&event.payload)?),
            "+slave-reconf-done" => format!("{} follows it", replica(&event.payload)?),
            "+failover-end" => "failover ended (+failover-end)".to_owned(),
            "+failover-end-for-timeout" => "failover ended by its timeout".to_owned(),
            _ if name.starts_with("-failover-abort") => format!("given up by {who} ({name})"),
            _ => return None,
        })
    }
}

/// The port of the replica that a payload `slave NAME IP PORT @ …` is about.
fn replica(payload: &str) -> Option<String> {
    let mut words = payload.split(' ').skip_while(|word| *word != "slave").skip(2);
    let (host, port) = (words.next()?, words.next()?.parse().ok()?);
    Some(HostPort::new(host, port).to_string())
}

/// Room for the longest description.
const WIDTH: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rows_are_in_order_and_say_who_told_when() {
        let killed = Instant::now();
        let event = |ms, coordinator, name: &str, payload: &str| Event {
            at: killed + Duration::from_millis(ms),
            coordinator,
            name: name.to_owned(),
            payload: payload.to_owned(),
        };
        let primary = "master demo 127.0.0.1 20001";
        let replica = "slave 127.0.0.1:20002 127.0.0.1 20002 @ demo 127.0.0.1 20001";
        let events = [
            event(1004, 1, "+sdown", primary),
            event(1001, 0, "+sdown", primary),
            event(1500, 0, "+sdown", primary),
            event(1006, 0, "+odown", "master demo 127.0.0.1 20001 #quorum 2/2"),
            event(1008, 0, "+elected-leader", primary),
            event(1010, 0, "+promoted-slave", replica),
            event(1011, 1, "+switch-master", "demo 127.0.0.1 20001 127.0.0.1 20002"),
            event(2100, 0, "+sdown", replica),
            event(3, 0, "+new-epoch", "1"),
        ];
        let mut timeline = Timeline::new(killed, vec!["c1".to_owned(), "c2".to_owned()], &events);
        timeline.note("first write".to_owned(), killed + Duration::from_millis(1012));
        let rows = timeline.rows();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.what.as_str(), row.first_ms, row.told_ms.as_slice()))
            .collect();
        assert_eq!(
            seen,
            [
                (
                    "subjectively down (+sdown)",
                    1001,
                    [Some(1001), Some(1004)].as_slice()
                ),
                ("objectively down (+odown)", 1006, &[Some(1006), None]),
                (
                    "c1 elected as leader (+elected-leader)",
                    1008,
                    &[Some(1008), None]
                ),
                (
                    "127.0.0.1:20002 promoted (+promoted-slave)",
                    1010,
                    &[Some(1010), None]
                ),
                (
                    "new primary announced (+switch-master)",
                    1011,
                    &[None, Some(1011)]
                ),
                ("first write", 1012, &[]),
            ]
        );
    }

    #[test]
    fn odd_payloads_are_left_out() {
        assert_eq!(replica("slave a"), None);
        assert_eq!(replica(""), None);
        assert_eq!(replica("slave n 10.0.0.1 x @ m"), None);
    }
}
