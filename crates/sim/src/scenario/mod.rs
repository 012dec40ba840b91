//! Scenarios: one script of failures, played the same way in the simulated world and on real servers.
//!
//! A file is read here, played step by step on a [`Stage`], and what the coordinators told is brought into a form in
//! which two plays can be compared. Nothing here knows what a stage is made of.

mod parse;
mod play;
mod portrait;
mod simulated;

use std::net::IpAddr;
use std::time::Duration;

pub use parse::ParseError;
pub use play::{PlayError, play};
pub use portrait::{DROPPED, Portrait, Repertoire, Sequence};
pub use simulated::{Simulated, rehearse};

/// A file, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The name of the file without its ending.
    pub name: String,
    /// Who plays.
    pub cast: Cast,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// How many take part, and the settings of the group. Each server and each coordinator has a machine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// How many coordinators: `s1`, `s2`, …
    pub coordinators: usize,
    /// How many servers: `r1`, which is the first primary, `r2`, …
    pub servers: usize,
    /// How many coordinators must see the primary down.
    pub quorum: u32,
    /// `down-after-milliseconds`
    pub down_after: Duration,
    /// `failover-timeout`
    pub failover_timeout: Duration,
}

impl Default for Cast {
    fn default() -> Self {
        Self {
            coordinators: 3,
            servers: 3,
            quorum: 2,
            down_after: Duration::from_millis(1_500),
            failover_timeout: Duration::from_secs(10),
        }
    }
}

/// One line of the play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number in the file.
    pub line: usize,
    /// Its words.
    pub text: String,
    /// What it says.
    pub what: What,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Wait until all that can be well is well, and nobody tells anything any more.
    Settle,
    /// Something is done.
    Do(Act),
    /// Wait until coordinators have told of an event.
    Wait(Cue, Vec<usize>),
    /// As soon as one coordinator tells of an event, something is done; it is the `leader` from then on.
    When(Cue, Act),
    /// The coordinators that run must name this primary; `None`: any but the first.
    Expect(Option<usize>),
}

/// An event to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// Its name.
    pub event: &'static str,
    /// Whom it concerns; anyone if nobody is named.
    pub subject: Option<Who>,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// `r1` is 0.
    Server(usize),
    /// `s1` is 0.
    Coordinator(usize),
    /// The coordinator that told of the event of the last `when`.
    Leader,
}

/// What is done to the cast. On a stage, the leader has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A process is killed.
    Crash(Who),
    /// It is started again, from what was saved; `true`: a server whose data are gone.
    Restart(Who, bool),
    /// It is stopped, with all its connections.
    Pause(Who),
    /// It goes on.
    Resume(Who),
    /// What these send to those does not arrive.
    Cut(Vec<(Who, Who)>),
    /// All cuts end.
    Heal,
    /// An operator orders a failover; `true`: a coordinated one.
    Failover(Who, bool),
}

/// What a coordinator has told its subscribers, with names in place of addresses and ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, from the start of the play on.
    pub at: Duration,
    /// The coordinator.
    pub by: usize,
    /// The name of the event.
    pub event: String,
    /// The words behind it, as [`Names::translate`] gives them.
    pub words: Vec<String>,
}

impl Told {
    /// Whom it concerns.
    #[must_use]
    pub fn subject(&self) -> &str {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words[..] {
            ["master", _, name, ..] | ["slave" | "sentinel", name, ..] => name,
            _ if self.event == "+switch-master" => "group",
            _ if self.event == "+new-epoch" || self.event == "+vote-for-leader" => "election",
            _ => "",
        }
    }
}

/// What was told in a play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// Everything after the first time that all had settled: in which order all find each other is left to chance.
    pub told: Vec<Told>,
    /// The coordinator that the last `when` has picked.
    pub leader: Option<usize>,
    /// Somebody who ran and could be reached was told to be down. It may be old news, after a heal; on real machines
    /// it may mean as well that they had too much to do.
    pub disturbance: Option<Told>,
}

/// Who is at which address and has which id.
#[derive(Clone, Debug)]
pub struct Names {
    /// The name of the group.
    pub group: String,
    /// Addresses without port, and ids of coordinators.
    pub of: Vec<(String, Who)>,
}

impl Names {
    /// The words of an event, with one name for address and port, for `address:port`, and for a coordinator's id.
    #[must_use]
    pub fn translate(&self, payload: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut after_address = false;
        for word in payload.split(' ') {
            let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
            let found = self.of.iter().find(|(text, _)| text == word || text == host);
            let is_port = after_address && word.bytes().all(|byte| byte.is_ascii_digit());
            after_address = found.is_some() && word.parse::<IpAddr>().is_ok();
            match found {
                // Name and address of an instance are the same here.
                Some((_, who)) if words.last() == Some(&who.to_string()) => {}
                Some((_, who)) => words.push(who.to_string()),
                None if is_port => {}
                None if word == self.group => words.push("group".to_owned()),
                None => words.push(word.to_owned()),
            }
        }
        words
    }
}

/// What a server says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a server, of this cast or unknown, and has its data or not.
    Replica(Option<usize>, bool),
}

/// How a coordinator sees the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it sends clients.
    pub primary: Option<usize>,
    /// How many replicas it knows.
    pub replicas: usize,
    /// How many other coordinators it knows.
    pub peers: usize,
}

/// Where a scenario is played.
pub trait Stage {
    /// What may go wrong with the stage itself.
    type Error: std::fmt::Display;

    /// Does something at once. Whoever is named is in the state that the act needs.
    ///
    /// # Errors
    /// When it cannot be done.
    fn act(&mut self, act: &Act) -> Result<(), Self::Error>;

    /// Lets a little time go by, less if somebody tells something.
    ///
    /// # Errors
    /// When the world has come to its end.
    fn pass(&mut self) -> Result<(), Self::Error>;

    /// The player takes its time before it goes on: what follows meets the others at any phase of what they do.
    ///
    /// # Errors
    /// When the world has come to its end.
    fn idle(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// How long the play has lasted.
    fn now(&self) -> Duration;

    /// Everything that was told up to the last act or pass.
    fn told(&self) -> &[Told];

    /// What a server says that runs and can be asked. An error means: not yet.
    ///
    /// # Errors
    /// When it does not answer.
    fn role(&mut self, server: usize) -> Result<Role, Self::Error>;

    /// What a coordinator says that runs. An error means: not yet.
    ///
    /// # Errors
    /// When it does not answer.
    fn view(&mut self, coordinator: usize) -> Result<View, Self::Error>;
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(n) => write!(f, "r{}", n + 1),
            Self::Coordinator(n) => write!(f, "s{}", n + 1),
            Self::Leader => f.write_str("leader"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ids_become_names() {
        let names = Names {
            group: "mine".to_owned(),
            of: vec![
                ("10.0.0.1".to_owned(), Who::Server(0)),
                ("10.0.0.10".to_owned(), Who::Server(1)),
                ("10.0.0.3".to_owned(), Who::Coordinator(0)),
                ("abc".to_owned(), Who::Coordinator(0)),
            ],
        };
        let translate = |payload: &str| names.translate(payload).join(" ");
        let replica = "slave 10.0.0.10:6379 10.0.0.10 6379 @ mine 10.0.0.1 6379";
        assert_eq!(translate(replica), "slave r2 @ group r1");
        assert_eq!(
            translate("sentinel abc 10.0.0.3 26379 @ mine 10.0.0.1 6379"),
            "sentinel s1 @ group r1"
        );
        assert_eq!(translate("mine 10.0.0.1 6379 10.0.0.10 6379"), "group r1 r2");
        assert_eq!(translate("abc 7"), "s1 7");
    }
}
