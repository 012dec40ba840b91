//! `scenario`: a script, played in the simulated world.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bellwether_sim::scenario::{Portrait, Scenario, rehearse};

#[derive(Debug, clap::Args)]
pub(crate) struct Play {
    /// The file.
    file: PathBuf,
    /// What is left to chance follows from it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the sequences that are compared with those of real servers, not the events one by one.
    #[arg(long)]
    portrait: bool,
}

impl Play {
    pub(crate) fn run(self) -> Result<bool> {
        let file = self.file.display();
        let text = std::fs::read_to_string(&self.file).with_context(|| format!("reading {file}"))?;
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let scenario = Scenario::parse(&name, &text).with_context(|| file.to_string())?;
        let play = match rehearse(&scenario, self.seed) {
            Ok(play) => play,
            Err(error) => {
                println!("{file}: {error}");
                return Ok(false);
            }
        };
        if self.portrait {
            print!("{}", Portrait::of(&scenario, &play));
            return Ok(true);
        }
        for told in play.told {
            let words = told.words.join(" ");
            println!(
                "{:8.3} s{} {} {words}",
                told.at.as_secs_f64(),
                told.by + 1,
                told.event
            );
        }
        Ok(true)
    }
}
