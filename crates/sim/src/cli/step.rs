//! `step`: one seed by hand, to look into a run at any point.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::{Context, Result};
use bellwether_sim::{Invariant, Violation, World, words_of};

use super::{Chosen, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Step {
    #[command(flatten)]
    chosen: Chosen,
}

/// After how long without a line `n` gives up waiting for one.
const QUIET: Duration = Duration::from_secs(60);

const HELP: &str = "\
  RETURN or n    the next thing that leaves a line, if there is one within 60 s
  s [COUNT]      so many steps, shown or not
  u SECONDS      up to this time
  h              all heals
  w              the world: coordinators and servers as they are
  q              stop";

impl Step {
    pub(crate) fn run(self) -> Result<bool> {
        self.chosen.planted.plant();
        let (setup, plan) = self.chosen.world()?;
        for (n, entry) in &plan {
            println!("  {n}: {entry}");
        }
        let plan = plan.into_iter().map(|(_, entry)| entry).collect();
        println!("{HELP}");
        let mut world = World::new(&setup, plan, true);
        let mut input = std::io::stdin().lock().lines();
        loop {
            print!("{} > ", world.now());
            std::io::stdout().flush()?;
            let Some(line) = input.next().transpose()? else {
                break;
            };
            let line = line.trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word == "q" {
                break;
            }
            // A panic in the core is a broken promise like any other; what led to it is shown before.
            let mut told = Vec::new();
            let goes_on = catch_unwind(AssertUnwindSafe(|| obey(&mut world, word, rest, &mut told)));
            for line in world.trace().take_lines().into_iter().chain(told) {
                println!("{line}");
            }
            if let Some(violation) = world.violation() {
                println!("{violation}");
            }
            match goes_on {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) => {
                    let what = words_of(panic.as_ref()).to_owned();
                    let invariant = Invariant::NeverCrashes;
                    let at = world.now();
                    println!("{}", Violation { at, invariant, what });
                    return Ok(false);
                }
            }
        }
        Ok(world.violation().is_none())
    }
}

/// Does what a line asks for, and adds what is to be told besides the trace. `false` if the world has come to its end.
fn obey(world: &mut World, word: &str, rest: &str, told: &mut Vec<String>) -> bool {
    match word {
        "" | "n" => return until_line(world, told),
        "s" => match steps(rest) {
            Ok(count) => return (0..count).all(|_| world.step()),
            Err(error) => told.push(format!("{error:#}")),
        },
        "u" => match time(rest) {
            Ok(at) => return world.advance(at),
            Err(error) => told.push(error.to_string()),
        },
        "h" => world.heal(),
        "w" => told.push(world.portrait()),
        _ => told.push(HELP.to_owned()),
    }
    true
}

/// How many steps: one if nothing is said.
fn steps(rest: &str) -> Result<u64> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(1);
    }
    rest.parse()
        .with_context(|| format!("{rest:?} is no number of steps"))
}

/// Plays until something leaves a line, or for [`QUIET`] in vain: in a world where all is well nothing may ever again.
fn until_line(world: &mut World, told: &mut Vec<String>) -> bool {
    let end = world.now() + QUIET;
    while world.step() {
        if world.trace().has_lines() {
            return true;
        }
        if world.now() >= end {
            told.push(format!("nothing for {} s", QUIET.as_secs()));
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use bellwether_sim::{Coordination, Profile, Setup};

    use super::*;

    #[test]
    fn a_number_of_steps_is_one_or_what_is_said() {
        assert_eq!(steps("").ok(), Some(1));
        assert_eq!(steps(" 12 ").ok(), Some(12));
        for word in ["x", "-1", "99999999999999999999"] {
            assert!(steps(word).is_err(), "{word}");
        }
    }

    #[test]
    fn where_nothing_happens_any_more_the_next_line_is_not_waited_for_for_ever() {
        let (setup, _) = Setup::of(17, Profile::Disk, Coordination::Vote);
        let mut world = World::new(&setup, Vec::new(), true);
        let mut before = world.now();
        let mut told = Vec::new();
        loop {
            assert!(until_line(&mut world, &mut told));
            if world.trace().take_lines().is_empty() {
                break;
            }
            before = world.now();
        }
        assert!(world.now().since(before) >= QUIET);
        assert_eq!(told, ["nothing for 60 s"]);
    }
}
