//! Coordinators that share a log, one failover after the other, and in each of them somebody else is struck as well:
//! after each all are well, there is one primary, nothing that was acknowledged by all is lost, and all coordinators
//! have the same history of failovers.
//!
//! - `BELLWETHER_FAILOVERS`: how many; five without it.
//! - `BELLWETHER_SEED`: what the faults are drawn from; another one each time without it.
//! - `BELLWETHER_FLEETS`: how many fleets share the failovers, at the same time; one without it.

#![expect(clippy::print_stderr, reason = "a long run should show how far it has come")]

mod fault;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bellwether_tests::chance::{self, Chance};
use bellwether_tests::shared_log::Receipt;
use bellwether_tests::{Fleet, GROUP, Options, invariants, wait_for};

use fault::{Blow, Cause, Moment, Plan, Victim};

const FAILOVERS: u64 = 5;
const COORDINATORS: usize = 3;
/// For one step of a failover, on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// Every so many failovers a line tells how far the run has come.
const PROGRESS: u64 = 25;

/// A failover after which it took longer until all were well is shown: usually a server that slept, or a replica that had
/// to be told twice.
const SLOW: Duration = Duration::from_secs(10);

/// What a run has seen.
#[derive(Default)]
struct Tally {
    /// Times from the primary's loss to agreement on another one, by what else happened.
    by_kind: BTreeMap<String, Vec<Duration>>,
    /// Times from the beginning until all were well again.
    well: Vec<Duration>,
    /// Ends of failovers.
    outcomes: BTreeMap<String, usize>,
}

#[test]
fn one_failover_after_the_other_with_faults() -> Result<()> {
    let failovers: u64 = chance::from_env("BELLWETHER_FAILOVERS")?.unwrap_or(FAILOVERS);
    let fleets: u64 = chance::from_env("BELLWETHER_FLEETS")?.unwrap_or(1).max(1);
    let seed = chance::seed()?;
    eprintln!("{failovers} failovers in {fleets} fleets, BELLWETHER_SEED={seed}");
    let began = Instant::now();
    let tallies = thread::scope(|scope| {
        let runs: Vec<_> = (0..fleets)
            .map(|fleet| {
                let share = failovers / fleets + u64::from(fleet < failovers % fleets);
                scope.spawn(move || {
                    let played = play(fleet, share, seed.wrapping_add(fleet));
                    // The others may go on for long.
                    played.inspect_err(|error| eprintln!("fleet {fleet}: {error:#}"))
                })
            })
            .collect();
        let ends = runs.into_iter().map(|run| run.join());
        ends.map(|end| end.map_err(|_| anyhow!("a fleet panicked"))?)
            .collect::<Vec<Result<Tally>>>()
    });
    let mut all = Tally::default();
    let mut failed = Vec::new();
    for (fleet, tally) in tallies.into_iter().enumerate() {
        match tally {
            Ok(tally) => all.add(tally),
            Err(error) => failed.push(format!("fleet {fleet}: {error:#}")),
        }
    }
    all.print(began.elapsed());
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn play(number: u64, failovers: u64, seed: u64) -> Result<Tally> {
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    let mut fleet = Fleet::start(Options {
        coordinators: COORDINATORS,
        down_after_ms: 400,
        failover_timeout_ms: 3000,
        ..Options::sharing_log()
    })?;
    let mut known = fleet.wait_same_history()?;
    for cycle in 1..=failovers {
        let plan = Plan::draw(&mut chance, COORDINATORS);
        let began = Instant::now();
        let done = one(&mut fleet, &plan, cycle, &known);
        let (took, history) = done.with_context(|| format!("seed {seed}, failover {cycle}: {plan}"))?;
        tally.by_kind.entry(plan.kind()).or_default().push(took);
        tally.well.push(began.elapsed());
        if began.elapsed() > SLOW {
            eprintln!(
                "fleet {number}, failover {cycle}: {plan}: all well only after {:?}",
                began.elapsed()
            );
            slow_events(&fleet, began);
        }
        let last_known = last_epoch(&known);
        for receipt in history.iter().filter(|receipt| receipt.epoch > last_known) {
            *tally.outcomes.entry(receipt.outcome.clone()).or_default() += 1;
        }
        known = history;
        if cycle % PROGRESS == 0 || failovers <= FAILOVERS {
            eprintln!(
                "fleet {number}, failover {cycle}: {plan}: another primary after {took:?}, all well after {:?}",
                began.elapsed()
            );
        }
        let ids: Vec<&str> = fleet.coordinators.iter().map(|each| each.id()).collect();
        invariants::check(&fleet.journal.events(), &ids).with_context(|| format!("seed {seed}"))?;
        fleet.journal.forget_before(began);
    }
    fleet.finish()?;
    Ok(tally)
}

fn slow_events(fleet: &Fleet, began: Instant) {
    for event in fleet.journal.since(began) {
        let at = event.at.duration_since(began);
        eprintln!(
            "  {at:>10.2?} sentinel-{} {} {}",
            event.source, event.name, event.payload
        );
    }
}

/// One failover by a plan. Gives how long it took until all agreed on another primary, and the history.
fn one(fleet: &mut Fleet, plan: &Plan, cycle: u64, known: &[Receipt]) -> Result<(Duration, Vec<Receipt>)> {
    let value = cycle.to_string();
    wait_for("a write that all replicas have", STEP_LIMIT, || {
        fleet.write("cycle", &value)
    })?;
    let old = fleet.wait_settled(STEP_LIMIT)?;
    let began = Instant::now();
    let mut struck = Struck::default();
    if let Moment::Before(ahead) = plan.moment {
        struck.strike(fleet, plan, old, began)?;
        thread::sleep(ahead);
    }
    let lost = Instant::now();
    match plan.cause {
        Cause::Killed => fleet.servers[old].kill().map(drop)?,
        Cause::Stopped => fleet.servers[old].pause().map(drop)?,
        Cause::Ordered(by) => order(fleet, by),
    }
    match plan.moment {
        Moment::Before(_) => {}
        Moment::After(later) => {
            thread::sleep(later);
            struck.strike(fleet, plan, old, began)?;
        }
        Moment::At(step) => {
            let told = fleet.journal.wait_event(step, began, STEP_LIMIT);
            // An order may have been refused, or was overtaken.
            if told.is_ok() || !matches!(plan.cause, Cause::Ordered(_)) {
                told?;
                struck.strike(fleet, plan, old, began)?;
            }
        }
    }
    let limit = fleet.options.failover_limit();
    let mut asked_at = Instant::now();
    wait_for("agreement on another primary", limit, || {
        struck.release_due(fleet)?;
        let settled = fleet.settled()?;
        if let Cause::Ordered(by) = plan.cause
            && settled == old
            && asked_at.elapsed() > Duration::from_secs(2)
        {
            // It was refused, or given up because of what happened to those who take part.
            struck.heal(fleet)?;
            asked_at = Instant::now();
            order(fleet, by);
        }
        ensure!(settled != old, "server-{old} is still the primary");
        Ok(())
    })?;
    let took = lost.elapsed();
    struck.heal(fleet)?;
    if plan.cause == Cause::Stopped {
        fleet.servers[old].resume()?;
    }
    for server in &mut fleet.servers {
        if !server.is_running() {
            server.restart()?;
        }
    }
    fleet.wait_stable()?;
    let history = fleet.wait_same_history()?;
    agrees(fleet, &history, known)?;
    wait_for("what was written before", STEP_LIMIT, || {
        let stored = fleet.read("cycle")?;
        ensure!(
            stored.as_deref() == Some(value.as_str()),
            "{stored:?} instead of {value}"
        );
        Ok(())
    })?;
    Ok((took, history))
}

/// What it says counts for nothing here: whoever refuses is asked again.
fn order(fleet: &mut Fleet, by: usize) {
    let _ = fleet.coordinators[by].ask::<redis::Value>(&["SENTINEL", "FAILOVER", GROUP]);
}

/// The history goes on from the one that was known, and its last switch is what the fleet looks like.
fn agrees(fleet: &mut Fleet, history: &[Receipt], known: &[Receipt]) -> Result<()> {
    let last_known = last_epoch(known);
    let (before, new): (Vec<&Receipt>, Vec<&Receipt>) =
        history.iter().partition(|receipt| receipt.epoch <= last_known);
    let kept = &known[known.len().saturating_sub(before.len())..];
    ensure!(
        before.iter().copied().eq(kept),
        "the history was rewritten: {known:#?} became {history:#?}"
    );
    for pair in history.windows(2) {
        ensure!(
            pair[0].epoch < pair[1].epoch,
            "the epochs do not ascend: {pair:#?}"
        );
    }
    let last = new.iter().rev().find(|receipt| receipt.moved());
    let last = last.with_context(|| format!("no failover was completed: {new:#?}"))?;
    let primary = fleet.settled()?;
    let address = format!("127.0.0.1:{}", fleet.servers[primary].port());
    ensure!(
        last.candidate.as_deref() == Some(address.as_str()),
        "{address} is the primary, the last failover was {last:#?}"
    );
    Ok(())
}

fn last_epoch(history: &[Receipt]) -> u64 {
    history.last().map_or(0, |receipt| receipt.epoch)
}

/// Who is dead or stopped, and until when.
#[derive(Default)]
struct Struck {
    /// Index, until when, and whether it is dead.
    coordinators: Vec<(usize, Option<Instant>, bool)>,
    server: Option<(usize, Instant)>,
}

impl Struck {
    fn strike(&mut self, fleet: &mut Fleet, plan: &Plan, old: usize, began: Instant) -> Result<()> {
        let now = Instant::now();
        match plan.victim {
            Victim::Nobody => Ok(()),
            Victim::Coordinator(index) => self.strike_coordinator(fleet, plan.blow, index),
            Victim::Leader => {
                // Who has just told of a step leads; else whoever is named.
                let told = fleet.journal.since(began);
                let by = told.iter().rev().find(|event| event.name == "+elected-leader");
                let index = match by {
                    Some(event) => event.source,
                    None => fleet.wait_log_leader()?,
                };
                self.strike_coordinator(fleet, plan.blow, index)
            }
            Victim::Everybody => {
                let until = match plan.blow {
                    Blow::Kill(time) | Blow::Pause(time) => now + time,
                    Blow::Transfer | Blow::Snapshot => bail!("{plan} makes no sense"),
                };
                for index in 0..COORDINATORS {
                    self.strike_coordinator(fleet, plan.blow, index)?;
                }
                for (_, each, _) in &mut self.coordinators {
                    *each = Some(until);
                }
                Ok(())
            }
            Victim::Replica(which) => {
                let mut replicas = (0..fleet.servers.len()).filter(|index| *index != old);
                let index = replicas.nth(which).context("too few replicas")?;
                self.strike_server(fleet, plan.blow, index)
            }
            Victim::Candidate => {
                let chosen = fleet.journal.wait_event("+selected-slave", began, STEP_LIMIT)?;
                let port = chosen
                    .payload
                    .split(' ')
                    .nth(3)
                    .and_then(|port| port.parse().ok());
                let port: u16 = port.with_context(|| format!("no port in {}", chosen.payload))?;
                let index = fleet.servers.iter().position(|server| server.port() == port);
                self.strike_server(
                    fleet,
                    plan.blow,
                    index.context("the candidate is no server of ours")?,
                )
            }
        }
    }

    fn strike_coordinator(&mut self, fleet: &mut Fleet, blow: Blow, index: usize) -> Result<()> {
        let coordinator = &mut fleet.coordinators[index];
        match blow {
            Blow::Kill(_) => {
                coordinator.kill()?;
                self.coordinators.push((index, None, true));
            }
            Blow::Pause(time) => {
                let since = coordinator.pause()?;
                self.coordinators.push((index, Some(since + time), false));
            }
            // Refused by one that does not lead any more, and without an effect on one that has nothing new.
            Blow::Transfer => drop(coordinator.order::<redis::Value>(&["SENTINEL", "RAFT", "TRANSFER"])),
            Blow::Snapshot => drop(coordinator.order::<redis::Value>(&["SENTINEL", "RAFT", "SNAPSHOT"])),
        }
        Ok(())
    }

    fn strike_server(&mut self, fleet: &mut Fleet, blow: Blow, index: usize) -> Result<()> {
        match blow {
            Blow::Kill(_) => fleet.servers[index].kill().map(drop),
            Blow::Pause(time) => {
                let since = fleet.servers[index].pause()?;
                self.server = Some((index, since + time));
                Ok(())
            }
            Blow::Transfer | Blow::Snapshot => bail!("servers have no log to share"),
        }
    }

    /// Brings back whose time is over.
    fn release_due(&mut self, fleet: &mut Fleet) -> Result<()> {
        let now = Instant::now();
        self.release(fleet, |until| until.is_some_and(|until| until <= now))
    }

    /// Brings everybody back.
    fn heal(&mut self, fleet: &mut Fleet) -> Result<()> {
        self.release(fleet, |_| true)
    }

    fn release(&mut self, fleet: &mut Fleet, is_due: impl Fn(Option<Instant>) -> bool) -> Result<()> {
        let (due, left): (Vec<_>, Vec<_>) = self.coordinators.drain(..).partition(|each| is_due(each.1));
        self.coordinators = left;
        let mut started = Vec::new();
        for (index, _, is_dead) in due {
            let coordinator = &mut fleet.coordinators[index];
            if is_dead {
                coordinator.spawn()?;
                started.push(index);
            } else {
                coordinator.resume()?;
            }
        }
        // Not one after the other: none may need another one to come up.
        for index in started {
            fleet.coordinators[index].wait_ready()?;
        }
        if let Some((index, until)) = self.server
            && is_due(Some(until))
        {
            fleet.servers[index].resume()?;
            self.server = None;
        }
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, mut other: Self) {
        self.well.append(&mut other.well);
        for (kind, mut times) in other.by_kind {
            self.by_kind.entry(kind).or_default().append(&mut times);
        }
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }

    fn print(&mut self, took: Duration) {
        eprintln!("took {took:?}; ends of failovers: {:?}", self.outcomes);
        self.well.sort_unstable();
        if let Some(longest) = self.well.last() {
            let median = self.well[self.well.len() / 2];
            eprintln!("all well again after {median:.2?} (median), {longest:.2?} (longest)");
        }
        for (kind, times) in &mut self.by_kind {
            times.sort_unstable();
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            eprintln!(
                "{:>5}  {kind}: another primary after {median:.2?} (median), {longest:.2?} (longest)",
                times.len()
            );
        }
    }
}
