//! What was told, in the form in which plays are compared: for each coordinator and each subject the sequence of what
//! was told, with the names that chance has given replaced by what their bearers did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write;

use super::{Play, Scenario, Told};

/// Events that are not compared, and why.
pub const DROPPED: &[(&str, &str)] = &[
    (
        "+monitor",
        "told when a coordinator starts, before anybody can have subscribed to it",
    ),
    (
        "-odown",
        "told by one that asks a peer just after that has switched and before it hears of the switch itself",
    ),
];
/// An attempt that another candidate has spoilt. Whether two become candidates at the same time is a matter of
/// milliseconds; what the winner does is compared.
const SPOILT: [&str; 2] = ["+try-failover", "-failover-abort-not-elected"];
/// How wide a column of a difference is.
const COLUMN: usize = 76;

/// What one coordinator told about one subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence {
    /// What the coordinator is called.
    pub by: String,
    /// What the subject is called: somebody of the cast, `group` or `election`.
    pub subject: String,
    /// Events with their words.
    pub lines: Vec<String>,
}

/// All sequences of a play, the empty ones too.
///
/// Who stands in the script, and `r1`, keeps their name. The coordinator that a `when` has picked is `leader`; a server
/// that was to be promoted becomes `chosen`, another coordinator that was elected `elected`. The rest of the cast are
/// alike: `replica` and `other`.
///
/// Elections that nobody has won are left out: the attempt with its end, and all that was told of that epoch. The
/// epochs of the others are counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portrait(Vec<Sequence>);

impl Portrait {
    /// The portrait of a play.
    #[must_use]
    pub fn of(scenario: &Scenario, play: &Play) -> Self {
        let names = earned_names(scenario, play);
        let name = |word: &str| names.get(word).cloned().unwrap_or_else(|| word.to_owned());
        let mut subjects: Vec<String> = scenario.cast.all().map(|who| who.to_string()).collect();
        subjects.extend(["group", "election", ""].map(str::to_owned));
        let won = won_epochs(&play.told);
        let mut sequences = Vec::new();
        for by in 0..scenario.cast.coordinators {
            for subject in &subjects {
                let told = play
                    .told
                    .iter()
                    .filter(|told| told.by == by && told.subject() == subject && is_compared(told));
                let lines = told.filter_map(|told| {
                    let words = details(told, &won)?;
                    let words = words.iter().map(|word| name(word));
                    Some(words.fold(told.event.clone(), |line, word| line + " " + &word))
                });
                sequences.push(Sequence {
                    by: name(&format!("s{}", by + 1)),
                    subject: name(subject),
                    lines: without_spoilt(lines.collect()),
                });
            }
        }
        Self(sequences)
    }
}

impl fmt::Display for Portrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sequence in self.0.iter().filter(|sequence| !sequence.lines.is_empty()) {
            let lines = sequence.lines.join(", ");
            writeln!(f, "{} on {}: {lines}", sequence.by, sequence.subject)?;
        }
        Ok(())
    }
}

/// All that plays of one scenario have told.
#[derive(Clone, Debug, Default)]
pub struct Repertoire(BTreeMap<(String, String), BTreeSet<Vec<String>>>);

impl Repertoire {
    /// Adds a play.
    pub fn add(&mut self, portrait: Portrait) {
        for sequence in portrait.0 {
            let known = self.0.entry((sequence.by, sequence.subject)).or_default();
            known.insert(sequence.lines);
        }
    }

    /// The sequences that no play has told of a coordinator and a subject with these names.
    #[must_use]
    pub fn unknown(&self, portrait: &Portrait) -> Vec<Sequence> {
        let known = |sequence: &&Sequence| {
            self.known(sequence)
                .is_some_and(|known| known.contains(&sequence.lines))
        };
        portrait
            .0
            .iter()
            .filter(|sequence| !known(sequence))
            .cloned()
            .collect()
    }

    /// A sequence beside the most similar one that is known.
    #[must_use]
    pub fn difference(&self, sequence: &Sequence) -> String {
        let lines = &sequence.lines;
        let nearest = self
            .known(sequence)
            .and_then(|known| known.iter().max_by_key(|other| likeness(lines, other)));
        let mut text = format!("{} on {}\n", sequence.by, sequence.subject);
        let Some(nearest) = nearest else {
            text.push_str("  no play has such a pair\n");
            return text;
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:COLUMN$} nearest in the simulator", "told");
        for at in 0..lines.len().max(nearest.len()) {
            let one = lines.get(at).map_or("", String::as_str);
            let other = nearest.get(at).map_or("", String::as_str);
            let sign = if one == other { ' ' } else { '!' };
            let _ = writeln!(text, "{sign} {one:COLUMN$} {other}");
        }
        text
    }

    fn known(&self, sequence: &Sequence) -> Option<&BTreeSet<Vec<String>>> {
        self.0.get(&(sequence.by.clone(), sequence.subject.clone()))
    }
}

/// How many lines two sequences share at begin and end, less what one has more.
fn likeness(a: &[String], b: &[String]) -> isize {
    let begin = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let rest = a.len().min(b.len()) - begin;
    let end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let signed = |count: usize| isize::try_from(count).unwrap_or(isize::MAX);
    signed(begin + end) - signed(a.len().abs_diff(b.len()))
}

/// What everybody is called.
fn earned_names(scenario: &Scenario, play: &Play) -> BTreeMap<String, String> {
    let all: BTreeSet<String> = scenario.cast.all().map(|who| who.to_string()).collect();
    let mut names = BTreeMap::from([("r1".to_owned(), "r1".to_owned())]);
    for step in &scenario.steps {
        for word in step.text.split_whitespace().filter(|word| all.contains(*word)) {
            names.insert(word.to_owned(), word.to_owned());
        }
    }
    if let Some(leader) = play.leader {
        names
            .entry(format!("s{}", leader + 1))
            .or_insert_with(|| "leader".to_owned());
    }
    for told in &play.told {
        let (who, title) = match told.event.as_str() {
            "+elected-leader" => (format!("s{}", told.by + 1), "elected"),
            "+selected-slave" => (told.subject().to_owned(), "chosen"),
            _ => continue,
        };
        names.entry(who).or_insert_with(|| title.to_owned());
    }
    for who in all {
        let title = if who.starts_with('r') { "replica" } else { "other" };
        names.entry(who).or_insert_with(|| title.to_owned());
    }
    names
}

fn is_compared(told: &Told) -> bool {
    !DROPPED.iter().any(|(event, _)| *event == told.event)
}

/// The words of an event that are compared; `None` if it belongs to an epoch that nobody has won.
fn details(told: &Told, won: &[&str]) -> Option<Vec<String>> {
    let mut words = told.words.clone();
    match told.event.as_str() {
        // How many had answered by then is a matter of microseconds.
        "+odown" => words.retain(|word| word != "#quorum" && !word.contains('/')),
        "+new-epoch" | "+vote-for-leader" => {
            let epoch = words.pop()?;
            let place = won.iter().position(|won| *won == epoch)?;
            words.push((place + 1).to_string());
        }
        _ => {}
    }
    Some(words)
}

/// The epochs in which a leader was elected, in order.
fn won_epochs(told: &[Told]) -> Vec<&str> {
    let mut candidacies = BTreeMap::new();
    let mut won = Vec::new();
    for told in told {
        match (told.event.as_str(), told.words.as_slice()) {
            ("+vote-for-leader", [candidate, epoch]) if *candidate == format!("s{}", told.by + 1) => {
                candidacies.insert(told.by, epoch.as_str());
            }
            ("+elected-leader", _) => won.extend(candidacies.get(&told.by)),
            _ => {}
        }
    }
    won
}

fn without_spoilt(mut lines: Vec<String>) -> Vec<String> {
    let is = |line: &str, event: &str| line.split(' ').next() == Some(event);
    while let Some(at) = lines
        .windows(2)
        .position(|pair| is(&pair[0], SPOILT[0]) && is(&pair[1], SPOILT[1]))
    {
        lines.drain(at..at + 2);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SCENARIO: &str = "settle\ncrash r1\nwhen +try-failover crash leader\n";

    fn portrait(leader: usize, told: &[(usize, &str)]) -> Portrait {
        let scenario = Scenario::parse("x", SCENARIO).expect("it is sound");
        let told = told.iter().map(|(by, text)| {
            let mut words = text.split(' ').map(str::to_owned);
            Told {
                at: Duration::ZERO,
                by: *by,
                event: words.next().unwrap_or_default(),
                words: words.collect(),
            }
        });
        let play = Play {
            told: told.collect(),
            leader: Some(leader),
            disturbance: None,
        };
        Portrait::of(&scenario, &play)
    }

    #[test]
    fn names_left_to_chance_make_no_difference() {
        let one = [
            (1, "+sdown slave r2 @ group r1"),
            (1, "+selected-slave slave r2 @ group r1"),
        ];
        let other = [
            (2, "+sdown slave r3 @ group r1"),
            (2, "+selected-slave slave r3 @ group r1"),
        ];
        let text = portrait(1, &one).to_string();
        assert_eq!(text, portrait(2, &other).to_string());
        assert_eq!(
            text,
            "leader on chosen: +sdown slave chosen @ group r1, +selected-slave slave chosen @ group r1\n"
        );
    }

    #[test]
    fn elections_that_nobody_wins_are_left_out() {
        let told = [
            (0, "+new-epoch 4"),
            (0, "+try-failover master group r1"),
            (0, "+vote-for-leader s1 4"),
            (1, "+new-epoch 4"),
            (1, "+try-failover master group r1"),
            (1, "+vote-for-leader s2 4"),
            (1, "-failover-abort-not-elected master group r1"),
            (1, "+new-epoch 5"),
            (1, "+try-failover master group r1"),
            (1, "+vote-for-leader s2 5"),
            (1, "+elected-leader master group r1"),
        ];
        let text = portrait(0, &told).to_string();
        let wanted = "leader on r1: +try-failover master group r1\n\
                      elected on r1: +try-failover master group r1, +elected-leader master group r1\n\
                      elected on election: +new-epoch 1, +vote-for-leader elected 1\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_no_play_has_told_is_shown_beside_the_nearest() {
        let mut repertoire = Repertoire::default();
        repertoire.add(portrait(
            0,
            &[(0, "+sdown master group r1"), (0, "-sdown master group r1")],
        ));
        let known = portrait(0, &[(0, "+sdown master group r1"), (0, "-sdown master group r1")]);
        assert_eq!(repertoire.unknown(&known), []);
        let new = portrait(0, &[(0, "+sdown master group r1")]);
        let unknown = repertoire.unknown(&new);
        assert_eq!(unknown.len(), 1);
        let text = repertoire.difference(&unknown[0]);
        assert!(text.starts_with("leader on r1\n"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.starts_with('!') && line.ends_with(" -sdown master group r1")),
            "{text}"
        );
    }
}
