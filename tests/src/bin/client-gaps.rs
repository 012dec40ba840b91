//! Measures what a client of each library goes through when its primary is killed, and when a failover is ordered: the
//! longest time without an accepted write, and the errors it sees; with `redis-sentinel` and with `bellwether`,
//! alternately, on fresh fleets of the same times. Prints the table that `docs/compatibility.md` shows.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints its findings"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bellwether_tests::client_script::{ClientScript, Experience, LIBRARIES, Library};
use bellwether_tests::machine::Machine;
use bellwether_tests::{Fleet, Kind, Options};
use clap::Parser;

/// The reference needs up to twice failover-timeout where an election is split; clients wait.
const WRITES_LIMIT: Duration = Duration::from_secs(120);
/// Rounds that show that a client has gone on.
const ROUNDS: u64 = 50;
/// After a switch some clients stumble later than at once: they keep connections to servers that change their role.
const AFTERMATH: Duration = Duration::from_secs(2);
const KEY: &str = "counter";
const KINDS: [Kind; 2] = [Kind::RedisSentinel, Kind::Bellwether];

/// Measure how long clients cannot write during failovers.
#[derive(Parser)]
struct Args {
    /// Runs of each library and program; the table shows medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only this library (may be given several times).
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// down-after-milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    down_after: u64,
    /// failover-timeout in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    failover_timeout: u64,
}

/// The two ways to lose a primary.
#[derive(Clone, Copy, Debug)]
struct Run {
    killed: Experience,
    planned: Experience,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("client-gaps: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives false if a run failed.
fn run(args: &Args) -> Result<bool> {
    let libraries = if args.client.is_empty() {
        LIBRARIES.to_vec()
    } else {
        let named = args.client.iter().map(|name| Library::named(name));
        named.collect::<Result<_>>()?
    };
    println!("{}", heading(args));
    let mut whole = true;
    for library in libraries {
        let mut runs: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
        for number in 1..=args.runs {
            for (kind, runs) in KINDS.into_iter().zip(&mut runs) {
                match measure(library, kind, args) {
                    Ok(run) => {
                        eprintln!("{} {number} {}: {run:?}", library.name, kind.name());
                        runs.push(run);
                    }
                    Err(error) => {
                        eprintln!("{} {number} {}: {error:#}", library.name, kind.name());
                        whole = false;
                    }
                }
            }
        }
        println!("{}", row(library, &runs)?);
    }
    Ok(whole)
}

fn measure(library: Library, kind: Kind, args: &Args) -> Result<Run> {
    let mut options = Options::of(kind);
    options.down_after_ms = args.down_after;
    options.failover_timeout_ms = args.failover_timeout;
    let mut fleet = Fleet::start(options)?;
    let mut client = library.start(&fleet, KEY)?;
    client.wait_more(ROUNDS, WRITES_LIMIT)?;

    let start = Instant::now();
    fleet.coordinators[0].fail_over()?;
    let second = fleet.wait_moved_from(0)?;
    let planned = experience(&mut client, start)?;
    fleet.wait_stable()?;

    let start = fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    let killed = experience(&mut client, start)?;
    client.end()?;
    fleet.finish()?;
    Ok(Run { killed, planned })
}

fn experience(client: &mut ClientScript, start: Instant) -> Result<Experience> {
    client.wait_more(ROUNDS, WRITES_LIMIT)?;
    std::thread::sleep(AFTERMATH);
    client.wait_more(1, WRITES_LIMIT)?;
    Ok(client.experience(start))
}

fn heading(args: &Args) -> String {
    let machine = Machine::describe();
    format!(
        "{} runs each, median (worst); down-after {} ms, three sentinels, two replicas; a round each 5 ms.\n\
         {}, {} cores, {} MiB, {}; {}; {}.\n\n\
         | Client | Killed: Redis Sentinel | Bellwether | Planned: Redis Sentinel | Bellwether |\n\
         |---|---|---|---|---|",
        args.runs,
        args.down_after,
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.redis,
        machine.bellwether
    )
}

fn row(library: Library, runs: &[Vec<Run>; 2]) -> Result<String> {
    let [reference, ours] = runs;
    let version = library.version().context("the version of the library")?;
    Ok(format!(
        "| {} {version} | {} | {} | {} | {} |",
        library.name,
        cell(reference, |run| run.killed),
        cell(ours, |run| run.killed),
        cell(reference, |run| run.planned),
        cell(ours, |run| run.planned)
    ))
}

/// Median and worst gap, median of errors.
fn cell(runs: &[Run], pick: impl Fn(&Run) -> Experience) -> String {
    let mut gaps: Vec<Duration> = runs.iter().map(|run| pick(run).longest_gap).collect();
    let mut failures: Vec<usize> = runs.iter().map(|run| pick(run).failures).collect();
    gaps.sort();
    failures.sort_unstable();
    let (Some(worst), Some(median), Some(errors)) = (
        gaps.last(),
        gaps.get(gaps.len() / 2),
        failures.get(failures.len() / 2),
    ) else {
        return "no run".to_owned();
    };
    let noun = if *errors == 1 { "error" } else { "errors" };
    format!(
        "{} ms ({}), {errors} {noun}",
        median.as_millis(),
        worst.as_millis()
    )
}
