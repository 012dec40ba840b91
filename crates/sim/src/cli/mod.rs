//! The commands. Each says by its status whether all promises were kept.

#[cfg(feature = "seeded-bugs")]
mod bugs;
mod kept;
mod replay;
mod scenario;
mod seeds;
mod step;

use anyhow::{Result, anyhow, bail, ensure};
use bellwether_sim::{Coordination, Planned, Profile, Setup, Time};
use clap::{Parser, Subcommand};

/// Plays failovers in a simulated world and checks every promise after every step.
#[derive(Debug, Parser)]
#[command(name = "bellwether-sim", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Play many seeds and tell what was met and what was broken.
    Run(seeds::Run),
    /// Play one seed and print what happens, a line for each event.
    Replay(replay::Replay),
    /// Play a script of failures and print what the coordinators tell.
    Scenario(scenario::Play),
    /// Play one seed by hand.
    Step(step::Step),
    /// Show that mistakes in the core are noticed (needs the feature `seeded-bugs`).
    #[cfg(feature = "seeded-bugs")]
    Bugs(bugs::Bugs),
    /// Show that mistakes in the core are noticed (needs the feature `seeded-bugs`).
    #[cfg(not(feature = "seeded-bugs"))]
    Bugs {
        /// What it would be asked.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
        rest: Vec<String>,
    },
}

impl Args {
    /// Does what was asked. `false` if a promise was broken.
    pub(crate) fn run(self) -> Result<bool> {
        match self.command {
            What::Run(run) => run.run(),
            What::Replay(replay) => replay.run(),
            What::Scenario(play) => play.run(),
            What::Step(step) => step.run(),
            #[cfg(feature = "seeded-bugs")]
            What::Bugs(bugs) => bugs.run(),
            #[cfg(not(feature = "seeded-bugs"))]
            What::Bugs { .. } => Err(anyhow!(
                "there are no bugs in this build: cargo run --profile sim -p bellwether-sim --features seeded-bugs -- bugs"
            )),
        }
    }
}

/// A mistake that the core makes in all worlds of this process.
#[derive(Debug, Default, clap::Args)]
struct Planted {
    /// Have the core make this mistake, one of those of `bugs`.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_parser = bugs::named)]
    bug: Option<bellwether_core::bugs::Bug>,
}

impl Planted {
    /// From now on.
    fn plant(&self) {
        #[cfg(feature = "seeded-bugs")]
        bellwether_core::bugs::plant(self.bug);
    }
}

/// As it is given on a command line, with a space before it.
impl std::fmt::Display for Planted {
    #[cfg(feature = "seeded-bugs")]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bug.map_or(Ok(()), |bug| write!(f, " --bug {}", bug.name()))
    }

    #[cfg(not(feature = "seeded-bugs"))]
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

/// Which world: what `replay` and `step` have in common.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// The seed.
    seed: u64,
    /// The kind of world; the one that `run` plays for this seed if none is named.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// How the coordinators agree: `vote` or `raft`.
    #[arg(long, value_parser = coordination, default_value = "vote")]
    coordination: Coordination,
    /// Entries of the plan to leave out, by the numbers that `replay` prints before them, with commas between.
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    #[command(flatten)]
    planted: Planted,
}

impl Chosen {
    fn profile(&self) -> Profile {
        self.profile.unwrap_or_else(|| Profile::of_turn(self.seed))
    }

    /// The world, and the entries of its plan that are not left out, with their numbers.
    fn world(&self) -> Result<(Setup, Vec<(usize, Planned)>)> {
        let (setup, plan) = Setup::of(self.seed, self.profile(), self.coordination);
        if let Some(n) = self.without.iter().find(|n| **n >= plan.len()) {
            bail!(
                "the plan has no entry {n} to leave out: there are {}, from 0 on",
                plan.len()
            );
        }
        let kept = plan.into_iter().enumerate();
        Ok((setup, kept.filter(|(n, _)| !self.without.contains(n)).collect()))
    }
}

fn profile(word: &str) -> Result<Profile> {
    Profile::from_name(word).ok_or_else(|| {
        let known: Vec<_> = Profile::ALL.iter().map(|profile| profile.name()).collect();
        anyhow!("no profile {word:?}; there are {}", known.join(", "))
    })
}

fn coordination(word: &str) -> Result<Coordination> {
    Coordination::from_name(word).ok_or_else(|| anyhow!("no coordination {word:?}; there are vote and raft"))
}

/// One world: what a seed is played in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    profile: Profile,
    coordination: Coordination,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.profile.name())?;
        match self.coordination {
            Coordination::Vote => Ok(()),
            Coordination::Raft => write!(f, " --coordination {}", self.coordination.name()),
        }
    }
}

/// More threads than any machine has use for: beyond it a number is a mistake, and would take all memory.
const MAX_THREADS: usize = 1_024;

fn threads(word: &str) -> Result<usize> {
    let threads = word.parse()?;
    ensure!(
        (1..=MAX_THREADS).contains(&threads),
        "{word} is no number from 1 to {MAX_THREADS}"
    );
    Ok(threads)
}

/// Seconds with up to three digits behind the point.
fn time(word: &str) -> Result<Time> {
    let seconds: f64 = word.parse()?;
    ensure!(
        seconds.is_finite() && (0.0..1e9).contains(&seconds),
        "{word} is no time in seconds"
    );
    Ok(Time::ZERO + std::time::Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_left_out_by_number_and_what_is_none_is_refused() {
        let without = |without| Chosen {
            seed: 17,
            profile: Some(Profile::Disk),
            coordination: Coordination::Vote,
            without,
            planted: Planted::default(),
        };
        let numbers = |chosen: Chosen| {
            let (_, plan) = chosen.world().map_err(|error| error.to_string())?;
            Ok::<_, String>(plan.into_iter().map(|(n, _)| n).collect::<Vec<_>>())
        };
        let all = numbers(without(Vec::new())).unwrap_or_default();
        assert!(all.len() > 2);
        assert_eq!(all, (0..all.len()).collect::<Vec<_>>());
        assert_eq!(numbers(without(vec![1])), Ok([&all[..1], &all[2..]].concat()));
        let beyond = numbers(without(vec![all.len()]));
        assert!(beyond.is_err_and(|error| error.contains(&format!("no entry {}", all.len()))));
    }
}
