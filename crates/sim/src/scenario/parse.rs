//! The language of the files: a line for each setting, then a line for each step. What does not fit is named with its
//! line and word.

use std::str::SplitWhitespace;
use std::time::Duration;

use bellwether_core::EventKind;

use super::{Act, Cast, Cue, Scenario, Step, What, Who};

/// More would not fit the addresses of a stage, and show nothing that nine do not.
const MAX_CAST: u64 = 9;
/// A play in real time must not wait for longer.
const MAX_MILLIS: u64 = 60_000;
/// A script that people can follow.
const MAX_STEPS: usize = 200;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The number of the line.
    pub line: usize,
    /// What, with the word.
    pub what: String,
}

impl Scenario {
    /// Reads a file of this name.
    ///
    /// # Errors
    /// Names the first line that cannot be understood, and the word.
    pub fn parse(name: &str, text: &str) -> Result<Self, ParseError> {
        let mut scenario = Self {
            name: name.to_owned(),
            cast: Cast::default(),
            steps: Vec::new(),
        };
        let mut has_leader = false;
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let code = raw.split('#').next().unwrap_or_default().trim();
            if code.is_empty() {
                continue;
            }
            let mut words = Words {
                cast: scenario.cast,
                has_leader,
                rest: code.split_whitespace(),
            };
            let wrong = |what| ParseError { line, what };
            let first = words.next("a step").map_err(wrong)?;
            if scenario.steps.is_empty() && scenario.cast.set(first, &mut words).map_err(wrong)? {
                words.end().map_err(wrong)?;
                continue;
            }
            let what = words.step(first).map_err(wrong)?;
            words.end().map_err(wrong)?;
            if scenario.steps.is_empty() && what != What::Settle {
                return Err(wrong(format!("{first:?}: the first step must be \"settle\"")));
            }
            if scenario.steps.len() == MAX_STEPS {
                return Err(wrong(format!("{first:?}: more than {MAX_STEPS} steps")));
            }
            has_leader |= matches!(what, What::When(..));
            let text = code.to_owned();
            scenario.steps.push(Step { line, text, what });
        }
        if scenario.steps.is_empty() {
            let line = text.lines().count();
            let what = "the file ends without a step".to_owned();
            return Err(ParseError { line, what });
        }
        Ok(scenario)
    }
}

impl Cast {
    /// Takes a setting; `false` if the word is none.
    fn set(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool, String> {
        match word {
            "coordinators" => self.coordinators = words.count(MAX_CAST)?,
            "servers" => self.servers = words.count(MAX_CAST)?,
            "quorum" => self.quorum = u32::try_from(words.number(MAX_CAST)?).unwrap_or(u32::MAX),
            "down-after" => self.down_after = Duration::from_millis(words.number(MAX_MILLIS)?),
            "failover-timeout" => self.failover_timeout = Duration::from_millis(words.number(MAX_MILLIS)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Who> + use<> {
        let servers = (0..self.servers).map(Who::Server);
        servers.chain((0..self.coordinators).map(Who::Coordinator))
    }
}

/// The rest of a line.
struct Words<'a> {
    cast: Cast,
    /// A step before this one has said who the leader is.
    has_leader: bool,
    rest: SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self, wanted: &str) -> Result<&'a str, String> {
        self.rest
            .next()
            .ok_or_else(|| format!("the line ends where {wanted} must be"))
    }

    fn peek(&self) -> Option<&'a str> {
        self.rest.clone().next()
    }

    fn end(&mut self) -> Result<(), String> {
        match self.rest.next() {
            None => Ok(()),
            Some(word) => Err(format!("{word:?}: the line must end before it")),
        }
    }

    fn number(&mut self, most: u64) -> Result<u64, String> {
        let word = self.next("a number")?;
        match word.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(format!("{word:?} is no number from 1 to {most}")),
        }
    }

    fn count(&mut self, most: u64) -> Result<usize, String> {
        Ok(usize::try_from(self.number(most)?).unwrap_or(usize::MAX))
    }

    fn step(&mut self, first: &str) -> Result<What, String> {
        match first {
            "settle" => Ok(What::Settle),
            "wait" => {
                let cue = self.cue()?;
                Ok(What::Wait(cue, self.tellers()?))
            }
            "when" => {
                let cue = self.cue()?;
                let verb = self.next("something to do")?;
                self.has_leader = true;
                Ok(What::When(cue, self.act(verb)?))
            }
            "expect" => {
                self.literally("primary")?;
                if self.peek() == Some("any") {
                    self.literally("any")?;
                    self.literally("replica")?;
                    return Ok(What::Expect(None));
                }
                Ok(What::Expect(Some(self.server()?)))
            }
            verb => Ok(What::Do(self.act(verb)?)),
        }
    }

    fn act(&mut self, verb: &str) -> Result<Act, String> {
        match verb {
            "crash" => Ok(Act::Crash(self.who()?)),
            "restart" => {
                let word = self.peek().unwrap_or_default();
                let who = self.who()?;
                let empty = self.peek() == Some("empty");
                if empty {
                    if !matches!(who, Who::Server(_)) {
                        return Err(format!(
                            "{word:?} has no data to lose: only servers restart empty"
                        ));
                    }
                    self.literally("empty")?;
                }
                Ok(Act::Restart(who, empty))
            }
            "pause" => Ok(Act::Pause(self.who()?)),
            "resume" => Ok(Act::Resume(self.who()?)),
            "cut" => self.cut(),
            "heal" => Ok(Act::Heal),
            "failover" => Ok(Act::Failover(self.coordinator()?, false)),
            "coordinated" => Ok(Act::Failover(self.coordinator()?, true)),
            _ => Err(format!("{verb:?} is no step")),
        }
    }

    /// `cut A B`, `cut one-way A B`, `cut A… from all`
    fn cut(&mut self) -> Result<Act, String> {
        if self.peek() == Some("one-way") {
            self.literally("one-way")?;
            return Ok(Act::Cut(vec![(self.who()?, self.who()?)]));
        }
        let mut some = vec![self.who()?];
        while self.peek().is_some_and(|word| word != "from") {
            some.push(self.who()?);
        }
        let others: Vec<Who> = match self.peek() {
            None if some.len() == 2 => some.split_off(1),
            _ => {
                self.literally("from")?;
                self.literally("all")?;
                self.cast.all().filter(|who| !some.contains(who)).collect()
            }
        };
        let pairs = some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b)));
        Ok(Act::Cut(pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()))
    }

    fn cue(&mut self) -> Result<Cue, String> {
        let word = self.next("an event")?;
        let name = if word == "switch" { "+switch-master" } else { word };
        let event = EventKind::ALL
            .iter()
            .map(|kind| kind.name())
            .find(|known| *known == name)
            .ok_or_else(|| format!("{word:?} is no event"))?;
        let named = self.peek().filter(|word| {
            let mut letters = word.chars();
            matches!(letters.next(), Some('r' | 's')) && letters.next().is_some_and(|c| c.is_ascii_digit())
        });
        let subject = named.map(|_| self.who()).transpose()?;
        Ok(Cue { event, subject })
    }

    /// `at s1 s2`; without it, whoever runs.
    fn tellers(&mut self) -> Result<Vec<usize>, String> {
        if self.peek().is_none() {
            return Ok(Vec::new());
        }
        self.literally("at")?;
        let mut tellers = Vec::new();
        while tellers.is_empty() || self.peek().is_some() {
            let word = self.next("a coordinator")?;
            match self.find(word)? {
                Who::Coordinator(n) => tellers.push(n),
                _ => return Err(format!("{word:?} is no coordinator with a number")),
            }
        }
        Ok(tellers)
    }

    fn literally(&mut self, wanted: &str) -> Result<(), String> {
        let word = self.next(&format!("{wanted:?}"))?;
        if word == wanted {
            return Ok(());
        }
        Err(format!("{word:?} stands where {wanted:?} must be"))
    }

    fn server(&mut self) -> Result<usize, String> {
        let word = self.next("a server")?;
        match self.find(word)? {
            Who::Server(n) => Ok(n),
            _ => Err(format!("{word:?} is no server")),
        }
    }

    fn coordinator(&mut self) -> Result<Who, String> {
        let word = self.next("a coordinator")?;
        match self.find(word)? {
            Who::Server(_) => Err(format!("{word:?} is no coordinator")),
            who => Ok(who),
        }
    }

    fn who(&mut self) -> Result<Who, String> {
        let word = self.next("a server or coordinator")?;
        self.find(word)
    }

    fn find(&self, word: &str) -> Result<Who, String> {
        if word == "leader" {
            return if self.has_leader {
                Ok(Who::Leader)
            } else {
                Err("\"leader\": nobody is, before a \"when\"".to_owned())
            };
        }
        self.cast
            .all()
            .find(|who| who.to_string() == word)
            .ok_or_else(|| format!("{word:?} does not take part"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Scenario::parse("x", text)
            .expect_err("it must not be understood")
            .to_string()
    }

    #[test]
    fn errors_name_line_and_word() {
        let wrong = [
            ("coordinators many", "line 1: \"many\" is no number from 1 to 9"),
            ("servers 3 4", "line 1: \"4\": the line must end before it"),
            ("down-after", "line 1: the line ends where a number must be"),
            ("# nothing\n", "line 1: the file ends without a step"),
            ("crash r1", "line 1: \"crash\": the first step must be \"settle\""),
            ("settle\n\nexplode r1", "line 3: \"explode\" is no step"),
            ("settle\nquorum 2", "line 2: \"quorum\" is no step"),
            ("settle\ncrash r4", "line 2: \"r4\" does not take part"),
            (
                "settle\ncrash r1 r2",
                "line 2: \"r2\": the line must end before it",
            ),
            (
                "settle\ncrash leader",
                "line 2: \"leader\": nobody is, before a \"when\"",
            ),
            ("settle\nfailover r1", "line 2: \"r1\" is no coordinator"),
            (
                "settle\nrestart s1 empty",
                "line 2: \"s1\" has no data to lose: only servers restart empty",
            ),
            ("settle\nwait +party", "line 2: \"+party\" is no event"),
            (
                "settle\nwait switch at r1",
                "line 2: \"r1\" is no coordinator with a number",
            ),
            (
                "settle\nwait switch s1 s2",
                "line 2: \"s2\" stands where \"at\" must be",
            ),
            (
                "settle\nwhen switch",
                "line 2: the line ends where something to do must be",
            ),
            ("settle\ncut r1", "line 2: the line ends where \"from\" must be"),
            ("settle\nexpect primary s1", "line 2: \"s1\" is no server"),
        ];
        for (text, what) in wrong {
            assert_eq!(error(text), what, "{text}");
        }
    }

    #[test]
    fn a_file_is_settings_and_steps() {
        let text = "# shows something\nservers 2\nfailover-timeout 3000\nsettle # first\n\
                    when +elected-leader crash leader\ncut s1 r1 from all\nwait +sdown r1 at s2 s3\n";
        let scenario = Scenario::parse("x", text).expect("it is sound");
        assert_eq!(scenario.cast.servers, 2);
        assert_eq!(scenario.cast.failover_timeout, Duration::from_secs(3));
        let lines: Vec<_> = scenario.steps.iter().map(|step| step.line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
        let cue = Cue {
            event: "+elected-leader",
            subject: None,
        };
        assert_eq!(scenario.steps[1].what, What::When(cue, Act::Crash(Who::Leader)));
        let What::Do(Act::Cut(pairs)) = &scenario.steps[2].what else {
            panic!("{:?}", scenario.steps[2]);
        };
        // Two on one side, three on the other, both ways.
        assert_eq!(pairs.len(), 12);
        assert!(!pairs.contains(&(Who::Coordinator(0), Who::Server(0))));
    }
}
