//! One measured failover: a fresh fleet, one fault, the moments that follow.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bellwether_tests::{Event, Fleet, GROUP, Options};
use serde::Serialize;

use crate::contender::Contender;
use crate::writer::Writers;

/// The longest common period of the processes involved (hello, 2 s). A fault waits a random part of it, so that it falls
/// anywhere in the period.
const PHASE_MS: u64 = 2000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// SIGKILL to the primary.
    Kill,
    /// SIGSTOP to the primary.
    Hang,
    /// SIGKILL to the primary, then to the coordinator that becomes leader, as soon as it does.
    LeaderKilled,
    /// SIGKILL to the primary and to a coordinator at once: the one that leads already, if one does, or any one.
    KilledTogether,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::LeaderKilled => "leader-killed",
            Self::KilledTogether => "killed-together",
        }
    }
}

/// The fleet of every run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setup {
    pub(crate) coordinators: usize,
    pub(crate) replicas: usize,
    pub(crate) down_after_ms: u64,
    pub(crate) failover_timeout_ms: u64,
}

impl Setup {
    pub(crate) fn options(&self, contender: Contender) -> Options {
        Options {
            replicas: self.replicas,
            coordinators: self.coordinators,
            quorum: self.coordinators / 2 + 1,
            down_after_ms: self.down_after_ms,
            failover_timeout_ms: self.failover_timeout_ms,
            raft: contender.raft,
            ..Options::of(contender.kind)
        }
    }
}

/// Milliseconds from the fault; nothing where it did not happen in time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) program: &'static str,
    pub(crate) scenario: Fault,
    /// First `+sdown` of the primary.
    pub(crate) sdown_ms: Option<f64>,
    /// First `+odown`.
    pub(crate) odown_ms: Option<f64>,
    /// First write accepted by a replica.
    pub(crate) write_ms: Option<f64>,
    /// `+switch-master` on the first coordinator.
    pub(crate) first_switch_ms: Option<f64>,
    /// `+switch-master` on the last (surviving) coordinator.
    pub(crate) last_switch_ms: Option<f64>,
    /// When a coordinator was killed.
    pub(crate) leader_killed_ms: Option<f64>,
    /// Whether the killed leader had already told of a promotion.
    pub(crate) leader_too_late: bool,
}

impl Run {
    /// Whether everything that belongs to the scenario happened.
    pub(crate) fn is_whole(&self) -> bool {
        let moments = [
            self.sdown_ms,
            self.odown_ms,
            self.write_ms,
            self.first_switch_ms,
            self.last_switch_ms,
        ];
        moments.iter().all(Option::is_some)
            && (matches!(self.scenario, Fault::Kill | Fault::Hang) || self.leader_killed_ms.is_some())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}"));
        write!(
            f,
            "sdown {} odown {} write {} switch {}..{} ms",
            show(self.sdown_ms),
            show(self.odown_ms),
            show(self.write_ms),
            show(self.first_switch_ms),
            show(self.last_switch_ms)
        )?;
        match self.leader_killed_ms {
            Some(ms) if self.leader_too_late => write!(f, ", leader killed at {ms:.0} (after its promotion)"),
            Some(ms) if self.scenario == Fault::KilledTogether => {
                write!(f, ", a coordinator killed at {ms:.0}")
            }
            Some(ms) => write!(f, ", leader killed at {ms:.0}"),
            None => Ok(()),
        }
    }
}

/// Starts a fleet, makes the fault happen, and takes the moments.
pub(crate) fn once(contender: Contender, scenario: Fault, setup: &Setup) -> Result<Run> {
    let mut fleet = Fleet::start(setup.options(contender))?;
    let replicas: Vec<u16> = fleet.servers[1..].iter().map(|server| server.port()).collect();
    let writers = Writers::start(&replicas);
    thread::sleep(Duration::from_millis(
        RandomState::new().build_hasher().finish() % PHASE_MS,
    ));

    // Bounded by what the reference may need: one attempt lost and the next after twice failover-timeout.
    let limit = Duration::from_millis(setup.down_after_ms + 3 * setup.failover_timeout_ms + 30_000);
    let chance = RandomState::new().build_hasher().finish();
    let any = usize::try_from(chance % setup.coordinators as u64).context("a coordinator")?;
    let doomed = contender.leader(&fleet)?.unwrap_or(any);
    let fault = match scenario {
        Fault::Kill | Fault::LeaderKilled | Fault::KilledTogether => fleet.servers[0].kill()?,
        Fault::Hang => fleet.servers[0].pause()?,
    };
    let leader = match scenario {
        Fault::LeaderKilled => Some(kill_leader(&mut fleet, fault, limit)?),
        Fault::KilledTogether => {
            let at = fleet.coordinators[doomed]
                .kill()
                .context("killing a coordinator")?;
            Some((doomed, at))
        }
        Fault::Kill | Fault::Hang => None,
    };
    let survivors: Vec<usize> = (0..setup.coordinators)
        .filter(|index| leader.is_none_or(|(leader, _)| leader != *index))
        .collect();
    // A missing moment is a finding of its own, not the end of the measurement.
    let _ = await_switches(&fleet, fault, limit, &survivors);
    let write = writers.first_accepted(
        limit
            .saturating_sub(fault.elapsed())
            .max(Duration::from_millis(100)),
    );
    let run = evaluate(&fleet, (contender, scenario, setup), fault, write, leader);
    // Ends what the run started; a breach of the voting rules makes the run worthless.
    fleet.finish().map(|()| run)
}

/// Kills the leader of the first election: the coordinator that a majority has voted for, or that says it was elected.
/// Gives its index and the moment of the kill.
fn kill_leader(fleet: &mut Fleet, fault: Instant, limit: Duration) -> Result<(usize, Instant)> {
    let ids: Vec<String> = fleet
        .coordinators
        .iter()
        .map(|each| each.id().to_owned())
        .collect();
    let majority = ids.len() / 2 + 1;
    let mut votes: Vec<(usize, String)> = Vec::new();
    let leader = fleet.journal.wait("a leader", fault, limit, |event| {
        if event.name == "+elected-leader" {
            return Some(event.source);
        }
        if event.name != "+vote-for-leader" {
            return None;
        }
        // The payload is id and epoch: votes of one election are equal as a whole.
        votes.push((event.source, event.payload.clone()));
        let given = votes.iter().filter(|(_, vote)| *vote == event.payload).count();
        let id = event.payload.split(' ').next()?;
        if given >= majority {
            ids.iter().position(|known| known == id)
        } else {
            None
        }
    })?;
    let at = fleet.coordinators[leader].kill().context("killing the leader")?;
    Ok((leader, at))
}

fn await_switches(fleet: &Fleet, fault: Instant, limit: Duration, survivors: &[usize]) -> Result<()> {
    let mut missing = survivors.to_vec();
    fleet
        .journal
        .wait("+switch-master everywhere", fault, limit, |event| {
            if is_switch(event) {
                missing.retain(|index| *index != event.source);
            }
            missing.is_empty().then_some(())
        })
}

fn is_switch(event: &Event) -> bool {
    event.name == "+switch-master" && event.payload.starts_with(&format!("{GROUP} "))
}

fn evaluate(
    fleet: &Fleet,
    (contender, scenario, setup): (Contender, Fault, &Setup),
    fault: Instant,
    write: Option<Instant>,
    leader: Option<(usize, Instant)>,
) -> Run {
    let ms = |at: Instant| at.duration_since(fault).as_secs_f64() * 1000.0;
    let events = fleet.journal.since(fault);
    let of_primary = format!("master {GROUP} ");
    let first = |name: &str| {
        let found = events
            .iter()
            .find(|event| event.name == name && event.payload.starts_with(&of_primary));
        found.map(|event| ms(event.at))
    };
    // The first switch of each coordinator that lives to the end.
    let switches: Vec<f64> = (0..setup.coordinators)
        .filter(|index| leader.is_none_or(|(leader, _)| leader != *index))
        .filter_map(|index| {
            events
                .iter()
                .find(|event| event.source == index && is_switch(event))
        })
        .map(|event| ms(event.at))
        .collect();
    let survivors = setup.coordinators - usize::from(leader.is_some());
    let promoted = |leader: usize| {
        events
            .iter()
            .any(|event| event.source == leader && (event.name == "+promoted-slave" || is_switch(event)))
    };
    Run {
        program: contender.name(),
        scenario,
        sdown_ms: first("+sdown"),
        odown_ms: first("+odown"),
        write_ms: write.map(ms),
        first_switch_ms: switches.iter().copied().reduce(f64::min),
        last_switch_ms: switches
            .iter()
            .copied()
            .reduce(f64::max)
            .filter(|_| switches.len() == survivors),
        leader_killed_ms: leader.map(|(_, at)| ms(at)),
        leader_too_late: leader.is_some_and(|(leader, _)| promoted(leader)),
    }
}
