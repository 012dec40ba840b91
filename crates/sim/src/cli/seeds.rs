//! `run`: many seeds, on all cores.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bellwether_sim::{Coordination, Coverage, Fault, Profile, Report, Setup, run, shrink};

use super::{Kind, Planted, kept, profile, threads};

/// From how many seeds on what was never met (a kind of fault, a moment, a cause or an end of a failover) is a failure:
/// fewer may miss it by chance. The rarest, the loss of a leader that is just choosing, comes about once in 1,400 seeds.
const ENOUGH_SEEDS: u64 = 10_000;
/// How many broken seeds are made shorter; the others are only named.
const MAX_SHOWN: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The seeds, as FIRST..LAST, the last one not included.
    #[arg(long, value_parser = range, default_value = "0..1000", conflicts_with = "kept")]
    seeds: (u64, u64),
    /// Play those of a file instead, with lines of SEED PROFILE [COORDINATION], one after the other to the last.
    #[arg(long, conflicts_with_all = ["profile", "coordination", "threads", "seconds", "keep_going"])]
    kept: Option<PathBuf>,
    /// The kind of world; each seed takes its turn among all of them if none is named.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// How the coordinators agree: `vote`, `raft`, or `both`, each seed one way and then the other.
    #[arg(long, value_parser = coordinations, default_value = "vote")]
    coordination: Coordinations,
    /// How many threads play.
    #[arg(long, value_parser = threads, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Begin no more seeds after so many seconds, at least 1.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Go on after a broken promise, and tell them all at the end.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    planted: Planted,
}

/// One way to agree, or both.
#[derive(Clone, Copy, Debug)]
struct Coordinations(&'static [Coordination]);

fn coordinations(word: &str) -> Result<Coordinations> {
    let all = Coordination::ALL;
    let found = all.iter().position(|one| one.name() == word);
    match found {
        Some(at) => Ok(Coordinations(&all[at..=at])),
        None if word == "both" => Ok(Coordinations(all)),
        None => bail!("no coordination {word:?}; there are vote, raft and both"),
    }
}

fn range(word: &str) -> Result<(u64, u64)> {
    let (first, last) = word.split_once("..").context("seeds are written FIRST..LAST")?;
    let number = |word: &str| word.parse().with_context(|| format!("{word:?} is no seed"));
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first < last, "there is no seed in {word}");
    Ok((first, last))
}

/// The next seed, if it is before the last one. Behind the last one nothing is counted up, so that no number overflows.
fn take(next: &AtomicU64, last: u64) -> Option<u64> {
    next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| {
        (seed < last).then(|| seed + 1)
    })
    .ok()
}

/// How often a long run tells how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(30);

/// What all threads have in common.
#[derive(Default)]
struct Sum {
    played: u64,
    /// How often progress has been told.
    told: u32,
    coverage: Coverage,
    /// The same for each way to agree by itself: what one meets is not learnt about the other.
    by_way: BTreeMap<Coordination, Coverage>,
    simulated: Duration,
    slowest: Option<(Duration, u64, Kind)>,
    broken: Vec<(Report, Kind)>,
}

impl Sum {
    /// Tells on standard error how far it is, or at once which seed is broken.
    fn tell_progress(&mut self, broken: Option<u64>, kind: Kind, elapsed: Duration) {
        let seconds = elapsed.as_secs();
        self.told = u32::try_from(seconds / PROGRESS_PERIOD.as_secs()).unwrap_or(u32::MAX);
        // Nothing can be done if nobody reads it.
        let _ = match broken {
            Some(seed) => writeln!(
                io::stderr(),
                "seed {seed}, profile {}, is broken",
                kind.profile.name()
            ),
            None => {
                let (played, broken) = (self.played, self.broken.len());
                writeln!(
                    io::stderr(),
                    "{played} seeds played in {seconds} s, {broken} broken so far"
                )
            }
        };
    }
}

impl Run {
    pub(crate) fn run(self) -> Result<bool> {
        self.planted.plant();
        if let Some(path) = &self.kept {
            let seeds = kept::read(path)?;
            ensure!(!seeds.is_empty(), "{}: there is no seed in it", path.display());
            return Ok(self.run_kept(&seeds));
        }
        let next = AtomicU64::new(self.seeds.0);
        let stop = AtomicBool::new(false);
        let sum = Mutex::new(Sum::default());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| self.play(&next, &stop, &sum, begun));
            }
        });
        let sum = sum
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(self.tell(&sum, begun.elapsed()))
    }

    fn run_kept(&self, seeds: &[(u64, Kind)]) -> bool {
        let mut broken = 0;
        for (seed, kind) in seeds {
            let report = run(*seed, kind.profile, kind.coordination, false);
            broken += usize::from(report.violation.is_some());
            describe(&report, *kind, &self.planted);
        }
        println!("{} kept seeds played, {broken} broken", seeds.len());
        broken == 0
    }

    fn play(&self, next: &AtomicU64, stop: &AtomicBool, sum: &Mutex<Sum>, begun: Instant) {
        let limit = self.seconds.map(Duration::from_secs);
        while !stop.load(Ordering::Relaxed) && limit.is_none_or(|limit| begun.elapsed() < limit) {
            let Some(seed) = take(next, self.seeds.1) else {
                break;
            };
            let profile = self.profile_of(seed);
            for coordination in self.coordination.0 {
                let kind = Kind {
                    profile,
                    coordination: *coordination,
                };
                self.play_one(seed, kind, stop, sum, begun);
            }
        }
    }

    fn play_one(&self, seed: u64, kind: Kind, stop: &AtomicBool, sum: &Mutex<Sum>, begun: Instant) {
        let report = run(seed, kind.profile, kind.coordination, false);
        let is_broken = report.violation.is_some();
        if is_broken && !self.keep_going {
            stop.store(true, Ordering::Relaxed);
        }
        let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.played += 1;
        if is_broken || begun.elapsed() >= PROGRESS_PERIOD * (sum.told + 1) {
            // Whoever ends a run of hours before its time shall not have nothing.
            sum.tell_progress(is_broken.then_some(seed), kind, begun.elapsed());
        }
        sum.coverage.merge(&report.coverage);
        let by_way = sum.by_way.entry(kind.coordination).or_default();
        by_way.merge(&report.coverage);
        sum.simulated += report.simulated;
        if let Some(after) = report.settled_after {
            let slowest = (after, seed, kind);
            sum.slowest = sum.slowest.max(Some(slowest));
        }
        if report.violation.is_some() {
            sum.broken.push((report, kind));
        }
    }

    fn profile_of(&self, seed: u64) -> Profile {
        self.profile.unwrap_or_else(|| Profile::of_turn(seed))
    }

    fn tell(&self, sum: &Sum, took: Duration) -> bool {
        println!("{}", sum.coverage);
        let (seconds, ended) = (took.as_secs_f64(), sum.coverage.ended());
        println!(
            "seeds {}..{}: {} played in {seconds:.1} s on {} threads; {:.1} h simulated, {ended} failovers, {:.0} a second and thread",
            self.seeds.0,
            self.seeds.1,
            sum.played,
            self.threads,
            sum.simulated.as_secs_f64() / 3_600.0,
            ended as f64 / seconds / self.threads as f64,
        );
        if let Some((after, seed, kind)) = sum.slowest {
            let after = after.as_secs_f64();
            println!("slowest to settle after the last fault: {after:.1} s (seed {seed}, profile {kind})");
        }
        let missing = self.missing(sum);
        if !missing.is_empty() {
            println!("never met: {}", missing.join(", "));
        }
        for (report, kind) in sum.broken.iter().take(MAX_SHOWN) {
            describe(report, *kind, &self.planted);
        }
        for (report, kind) in sum.broken.iter().skip(MAX_SHOWN) {
            if let Some(violation) = &report.violation {
                println!("seed {} profile {kind}: {violation}", report.seed);
            }
        }
        println!("{} broken", sum.broken.len());
        sum.broken.is_empty() && missing.is_empty()
    }

    fn missing(&self, sum: &Sum) -> Vec<String> {
        if sum.played < ENOUGH_SEEDS * self.coordination.0.len() as u64 {
            return Vec::new();
        }
        let ways = sum.by_way.iter();
        ways.flat_map(|(coordination, coverage)| self.missing_of(*coordination, coverage))
            .collect()
    }

    fn missing_of(&self, coordination: Coordination, coverage: &Coverage) -> Vec<String> {
        let mut kinds = self.profile.unwrap_or(Profile::Swarm).kinds();
        if coordination == Coordination::Raft {
            // Where a member is the log says: nobody moves by himself.
            kinds.retain(|kind| *kind != "replaced-coordinator");
            if self.profile != Some(Profile::Handover) {
                kinds.extend(Fault::OF_A_LOG);
            }
        }
        let mut missing = coverage.missing_faults(&kinds);
        // A profile by itself has its own part of the world.
        if matches!(self.profile, None | Some(Profile::Swarm)) {
            missing.extend(coverage.missing(coordination));
        }
        let words = missing.into_iter();
        words
            .map(|what| format!("{what} ({})", coordination.name()))
            .collect()
    }
}

/// A broken seed, with the fewest faults that still break it.
fn describe(report: &Report, kind: Kind, planted: &Planted) {
    let Some(violation) = &report.violation else {
        return;
    };
    println!("seed {} profile {kind}: {violation}", report.seed);
    let (setup, plan) = Setup::of(report.seed, kind.profile, kind.coordination);
    let dropped = shrink(&setup, &plan, violation.invariant);
    for (n, entry) in plan.iter().enumerate().filter(|(n, _)| !dropped.contains(n)) {
        println!("  {n}: {entry}");
    }
    let without: Vec<_> = dropped.iter().map(ToString::to_string).collect();
    let without = if without.is_empty() {
        String::new()
    } else {
        format!(" --without {}", without.join(","))
    };
    println!(
        "  bellwether-sim replay {} --profile {kind}{without}{planted}",
        report.seed
    );
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Args;
    use super::*;

    #[test]
    fn the_last_of_all_seeds_is_the_end() {
        let next = AtomicU64::new(u64::MAX - 1);
        let taken: Vec<_> = (0..4).map(|_| take(&next, u64::MAX)).collect();
        assert_eq!(taken, [Some(u64::MAX - 1), None, None, None]);
    }

    #[test]
    fn a_range_has_seeds_and_says_what_is_none() {
        assert_eq!(range("3..5").ok(), Some((3, 5)));
        for (word, why) in [
            ("5..3", "there is no seed in 5..3"),
            ("3..3", "there is no seed in 3..3"),
            ("3", "seeds are written FIRST..LAST"),
            ("3..", "\"\" is no seed"),
            ("3..=5", "\"=5\" is no seed"),
        ] {
            let told = range(word).map_err(|error| error.to_string());
            assert_eq!(told, Err(why.to_owned()));
        }
    }

    #[test]
    fn what_would_play_nothing_or_be_passed_over_is_refused() {
        let fits =
            |words: &[&str]| Args::try_parse_from([&["bellwether-sim", "run"], words].concat()).is_ok();
        assert!(fits(&["--threads", "1", "--seconds", "1"]));
        assert!(fits(&["--kept", "seeds.txt"]));
        for words in [["--threads", "0"], ["--threads", "1000000"], ["--seconds", "0"]] {
            assert!(!fits(&words), "{words:?}");
        }
        for other in [
            "--seeds=0..5",
            "--profile=disk",
            "--coordination=raft",
            "--threads=2",
            "--seconds=9",
            "--keep-going",
        ] {
            assert!(!fits(&["--kept", "seeds.txt", other]), "{other}");
        }
    }
}
