//! `step`: one seed by hand, to look into a run at any point.

use std::io::{BufRead, Write};

use anyhow::Result;
use bellwether_sim::World;

use super::{Chosen, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Step {
    #[command(flatten)]
    chosen: Chosen,
}

const HELP: &str = "\
  RETURN or n    the next thing that leaves a line
  s [COUNT]      so many steps, shown or not
  u SECONDS      up to this time
  h              all heals
  w              the world: coordinators and servers as they are
  q              stop";

impl Step {
    pub(crate) fn run(self) -> Result<bool> {
        let (setup, plan) = self.chosen.world();
        for entry in &plan {
            println!("  {entry}");
        }
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
            let goes_on = match word {
                "" | "n" => until_line(&mut world),
                "s" => (0..rest.parse().unwrap_or(1_u64)).all(|_| world.step()),
                "u" => match time(rest) {
                    Ok(at) => world.advance(at),
                    Err(error) => {
                        println!("{error}");
                        true
                    }
                },
                "h" => {
                    world.heal();
                    true
                }
                "w" => {
                    println!("{}", world.portrait());
                    true
                }
                "q" => break,
                _ => {
                    println!("{HELP}");
                    true
                }
            };
            for line in world.trace().take_lines() {
                println!("{line}");
            }
            if let Some(violation) = world.violation() {
                println!("{violation}");
            }
            if !goes_on {
                break;
            }
        }
        Ok(world.violation().is_none())
    }
}

fn until_line(world: &mut World) -> bool {
    loop {
        if !world.step() {
            return false;
        }
        if world.trace().has_lines() {
            return true;
        }
    }
}
