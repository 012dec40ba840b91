//! Measures the same failover with `redis-sentinel`, with `bellwether` by votes, and with `bellwether` by a shared log, in
//! turn, each run on a fresh fleet.
//!
//! It owns the faults, the clock and the table; the fleet is that of the end-to-end tests. All moments are taken by this
//! process on one monotonic clock: the fault just before the signal, an event when its message is read, a write when
//! its reply is read.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints its findings"
)]

mod contender;
mod measure;
mod planned;
mod report;
mod writer;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bellwether_tests::machine::Machine;
use bellwether_tests::{Kind, program};
use clap::{Parser, ValueEnum};

use crate::contender::Contender;
use crate::measure::{Fault, Run, Setup};
use crate::planned::{Order, Planned};

/// Measure failovers of redis-sentinel and bellwether side by side.
#[derive(Parser)]
struct Args {
    /// Runs of each scenario and program.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only this scenario (may be given several times).
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// Only this program (may be given several times).
    #[arg(long, value_enum)]
    only: Vec<Only>,
    /// down-after-milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    down_after: u64,
    /// failover-timeout in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20_000)]
    failover_timeout: u64,
    /// Coordinators; the quorum is their majority.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    coordinators: u8,
    /// Replicas.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    replicas: u8,
    /// Also write everything measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// SIGKILL to the primary.
    Kill,
    /// SIGSTOP to the primary.
    Hang,
    /// SIGKILL to the primary, then to the coordinator that becomes leader, as soon as it does.
    LeaderKilled,
    /// SIGKILL to the primary and to a coordinator at once: the one that leads the log, or any one where they vote.
    KilledTogether,
    /// No fault: a switch that is ordered, under a client that writes.
    Planned,
}

impl Scenario {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Kill => Some(Fault::Kill),
            Self::Hang => Some(Fault::Hang),
            Self::LeaderKilled => Some(Fault::LeaderKilled),
            Self::KilledTogether => Some(Fault::KilledTogether),
            Self::Planned => None,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Only {
    /// By votes.
    Bellwether,
    /// By a shared log.
    BellwetherRaft,
    RedisSentinel,
}

impl Only {
    const fn contender(self) -> Contender {
        match self {
            Self::Bellwether => Contender::BELLWETHER,
            Self::BellwetherRaft => Contender::BELLWETHER_RAFT,
            Self::RedisSentinel => Contender::REDIS_SENTINEL,
        }
    }
}

impl Args {
    /// The reference comes first: ratios are to it.
    fn contenders(&self) -> Vec<Contender> {
        let all = [
            Contender::REDIS_SENTINEL,
            Contender::BELLWETHER,
            Contender::BELLWETHER_RAFT,
        ];
        let wanted: Vec<Contender> = self.only.iter().map(|only| only.contender()).collect();
        all.into_iter()
            .filter(|each| wanted.is_empty() || wanted.contains(each))
            .collect()
    }

    fn scenarios(&self) -> Vec<Scenario> {
        if self.scenario.is_empty() {
            Scenario::value_variants().to_vec()
        } else {
            self.scenario.clone()
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("failover-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives false if a run failed or a figure was never reached.
fn run(args: &Args) -> Result<bool> {
    let contenders = args.contenders();
    let setup = Setup {
        coordinators: args.coordinators.into(),
        replicas: args.replicas.into(),
        down_after_ms: args.down_after,
        failover_timeout_ms: args.failover_timeout,
    };
    let machine = Machine::describe();
    println!("{}", report::heading(&machine, &setup));
    if contenders.iter().any(|each| each.kind == Kind::Bellwether) {
        println!("bellwether binary: {}\n", program::bellwether()?.display());
    }
    let mut whole = true;
    let (mut faults, mut switches) = (Vec::new(), Vec::new());
    for scenario in args.scenarios() {
        if let Some(fault) = scenario.fault() {
            whole &= measure_fault(args, fault, &contenders, &setup, &mut faults);
        } else {
            whole &= measure_switches(args, &Order::all(&contenders), &setup, &mut switches);
        }
    }
    if let Some(path) = &args.json {
        let text = report::json(&machine, &setup, &faults, &switches)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(whole)
}

fn measure_fault(
    args: &Args,
    fault: Fault,
    contenders: &[Contender],
    setup: &Setup,
    all: &mut Vec<Run>,
) -> bool {
    let mut runs = Vec::new();
    let mut whole = true;
    for number in 1..=args.runs {
        for contender in contenders {
            let label = format!("{} {number}/{} {}", fault.name(), args.runs, contender.name());
            let run = tell(&label, measure::once(*contender, fault, setup));
            whole &= run.as_ref().is_some_and(Run::is_whole);
            runs.extend(run);
        }
    }
    println!("{}", report::table(fault, contenders, &runs, setup));
    all.append(&mut runs);
    whole
}

fn measure_switches(args: &Args, orders: &[Order], setup: &Setup, all: &mut Vec<Planned>) -> bool {
    let mut whole = true;
    for number in 1..=args.runs {
        for order in orders.iter().copied() {
            let label = format!("planned {number}/{} {}", args.runs, order.name());
            let run = tell(&label, planned::once(order, setup));
            whole &= run.is_some();
            all.extend(run);
        }
    }
    println!("{}", report::planned_table(orders, all));
    whole
}

/// Says how a run went.
fn tell<T: fmt::Display>(label: &str, run: Result<T>) -> Option<T> {
    match run {
        Ok(run) => {
            eprintln!("{label}: {run}");
            Some(run)
        }
        Err(error) => {
            eprintln!("{label}: failed: {error:#}");
            None
        }
    }
}
