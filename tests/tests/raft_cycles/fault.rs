//! What is done to a fleet during one failover, drawn from a seed.

use std::fmt;
use std::time::Duration;

use bellwether_tests::chance::Chance;

/// What makes a failover necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The primary is killed.
    Killed,
    /// The primary is stopped, with all its connections, until it is replaced.
    Stopped,
    /// An operator orders it, of this coordinator.
    Ordered(usize),
}

/// Who is struck besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Nobody,
    /// This coordinator, whatever it is.
    Coordinator(usize),
    /// The one that leads.
    Leader,
    /// All of them.
    Everybody,
    /// This one of the two replicas.
    Replica(usize),
    /// The replica that is chosen.
    Candidate,
}

/// What is done to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL; it is started again when there is another primary, or this much later if all coordinators are struck.
    Kill(Duration),
    /// SIGSTOP, and SIGCONT this much later.
    Pause(Duration),
    /// It has to give its lead away.
    Transfer,
    /// It puts its state in the place of its log.
    Snapshot,
}

/// When it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This much before the primary's loss.
    Before(Duration),
    /// This much after it.
    After(Duration),
    /// When a coordinator tells of this step.
    At(&'static str),
}

/// One failover, and what happens to those who take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) cause: Cause,
    pub(crate) victim: Victim,
    pub(crate) blow: Blow,
    pub(crate) moment: Moment,
}

/// The steps of a failover as the leader tells them.
const STEPS: [&str; 6] = [
    "+try-failover",
    "+elected-leader",
    "+selected-slave",
    "+failover-state-wait-promotion",
    "+promoted-slave",
    "+switch-master",
];

impl Plan {
    /// One of all the plans for this many coordinators and two replicas.
    pub(crate) fn draw(chance: &mut Chance, coordinators: usize) -> Self {
        let cause = match chance.below(10) {
            0..6 => Cause::Killed,
            6..8 => Cause::Stopped,
            _ => Cause::Ordered(chance.below(coordinators)),
        };
        let victim = match chance.below(16) {
            0 => Victim::Nobody,
            1..4 => Victim::Coordinator(chance.below(coordinators)),
            4..9 => Victim::Leader,
            9..11 => Victim::Everybody,
            11..13 => Victim::Replica(chance.below(2)),
            _ => Victim::Candidate,
        };
        let blow = match (victim, chance.below(10)) {
            (Victim::Leader, 0) => Blow::Transfer,
            (Victim::Leader | Victim::Coordinator(_), 1) => Blow::Snapshot,
            (_, 2..6) => Blow::Pause(chance.millis(50, 2500)),
            _ => Blow::Kill(chance.millis(0, 1000)),
        };
        let moment = match (victim, chance.below(4)) {
            // It is known from the choice on.
            (Victim::Candidate, _) => Moment::At(chance.pick(&STEPS[2..])),
            (_, 0) => Moment::Before(chance.millis(0, 400)),
            (_, 1) => Moment::After(chance.millis(0, 800)),
            _ => Moment::At(chance.pick(&STEPS)),
        };
        Self {
            cause,
            victim,
            blow,
            moment,
        }
    }

    /// Victim and blow in words that do not tell one coordinator from another, to count by.
    pub(crate) fn kind(&self) -> String {
        let victim = match self.victim {
            Victim::Nobody => return "nothing else".to_owned(),
            Victim::Coordinator(_) => "a coordinator",
            Victim::Leader => "the leader",
            Victim::Everybody => "all coordinators",
            Victim::Replica(_) => "a replica",
            Victim::Candidate => "the candidate",
        };
        let blow = match self.blow {
            Blow::Kill(_) => "killed",
            Blow::Pause(_) => "stopped",
            Blow::Transfer => "leaves the lead",
            Blow::Snapshot => "takes a snapshot",
        };
        format!("{victim} {blow}")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "primary {:?}, {}", self.cause, self.kind())?;
        match self.victim {
            Victim::Nobody => Ok(()),
            victim => write!(f, " ({victim:?}, {:?}, {:?})", self.blow, self.moment),
        }
    }
}
