//! `bugs`: mistakes that the core can be told to make, and how soon each is noticed.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bellwether_core::bugs::{Bug, plant};
use bellwether_sim::{Coordination, Invariant, Profile, Report, run};

/// Within how many seeds a bug must be caught.
const MAX_SEEDS: u64 = 3_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Bugs {
    /// Which ones; all if none is named.
    names: Vec<String>,
    /// Within how many seeds each must be caught.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), default_value_t = MAX_SEEDS)]
    seeds: u64,
    /// The kind of world; each seed takes its turn among all of them if none is named.
    #[arg(long, value_parser = super::profile)]
    profile: Option<Profile>,
    /// How the coordinators agree: with a shared log for the bugs that are about one, by votes for all others, if nothing is
    /// said.
    #[arg(long, value_parser = super::coordination)]
    coordination: Option<Coordination>,
    /// How many threads play.
    #[arg(long, value_parser = super::threads, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

/// How a bug was noticed.
struct Catch {
    seed: u64,
    profile: Profile,
    invariant: Invariant,
    what: String,
}

/// The bug of this name.
pub(super) fn named(name: &str) -> Result<Bug> {
    Bug::from_name(name).with_context(|| {
        let known: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("no bug {name:?}; there are {}", known.join(", "))
    })
}

impl Bugs {
    pub(crate) fn run(self) -> Result<bool> {
        let mut chosen = Vec::new();
        for name in &self.names {
            chosen.push(named(name)?);
        }
        let chosen = if chosen.is_empty() {
            Bug::ALL.to_vec()
        } else {
            chosen
        };
        println!("| bug | caught by | seeds | profile | what was seen |");
        println!("|---|---|---:|---|---|");
        let mut missed = 0;
        for bug in chosen {
            match self.catch(bug) {
                Some(catch) => println!(
                    "| `{}` | {} | {} | {} | {} |",
                    bug.name(),
                    catch.invariant.text(),
                    catch.seed + 1,
                    catch.profile.name(),
                    catch.what,
                ),
                None => {
                    missed += 1;
                    println!("| `{}` | nothing | {} | | |", bug.name(), self.seeds);
                }
            }
        }
        if missed > 0 {
            println!("{missed} not caught");
        }
        Ok(missed == 0)
    }

    fn coordination(&self, bug: Bug) -> Coordination {
        let its_own = if bug.is_of_a_log() {
            Coordination::Raft
        } else {
            Coordination::Vote
        };
        self.coordination.unwrap_or(its_own)
    }

    /// The first seed that shows the bug.
    fn catch(&self, bug: Bug) -> Option<Catch> {
        let mut first = 0;
        while first < self.seeds {
            let (report, profile) = self.first_broken(bug, first)?;
            let violation = report.violation?;
            first = report.seed + 1;
            // What is broken without the bug shows nothing about it.
            if run(report.seed, profile, self.coordination(bug), false)
                .violation
                .is_none()
            {
                return Some(Catch {
                    seed: report.seed,
                    profile,
                    invariant: violation.invariant,
                    what: violation.what,
                });
            }
        }
        None
    }

    /// The first broken seed from one on, with the bug planted. How many threads there are makes no difference: each
    /// seed before it is played to its end.
    fn first_broken(&self, bug: Bug, first: u64) -> Option<(Report, Profile)> {
        let coordination = self.coordination(bug);
        let next = AtomicU64::new(first);
        let found = AtomicU64::new(self.seeds);
        plant(Some(bug));
        let play = || {
            let mut mine = None;
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= found.load(Ordering::Relaxed) {
                    return mine;
                }
                let profile = self.profile.unwrap_or_else(|| Profile::of_turn(seed));
                let report = run(seed, profile, coordination, false);
                if report.violation.is_some() {
                    found.fetch_min(seed, Ordering::Relaxed);
                    mine.get_or_insert((report, profile));
                }
            }
        };
        let broken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(play)).collect();
            let played = threads.into_iter().filter_map(|thread| thread.join().ok()?);
            played.min_by_key(|(report, _)| report.seed)
        });
        plant(None);
        broken
    }
}
