//! `replay`: one seed, line by line.

use anyhow::Result;
use bellwether_sim::{Time, run_plan};

use super::{Chosen, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    chosen: Chosen,
    /// Stop at this time, in seconds.
    #[arg(long, value_parser = time)]
    until: Option<Time>,
    /// Print the plan and the end, not what happens between.
    #[arg(long)]
    quiet: bool,
}

impl Replay {
    pub(crate) fn run(self) -> Result<bool> {
        self.chosen.planted.plant();
        let (setup, plan) = self.chosen.world()?;
        println!(
            "seed {} profile {} coordination {}: {} coordinators, quorum {}, {} groups of {} servers, {}",
            setup.seed,
            self.chosen.profile().name(),
            self.chosen.coordination.name(),
            setup.coordinators,
            setup.quorum,
            setup.groups,
            setup.servers,
            if setup.colocated {
                "on the same machines"
            } else {
                "on machines of their own"
            },
        );
        for (n, entry) in &plan {
            println!("  {n}: {entry}");
        }
        let plan = plan.into_iter().map(|(_, entry)| entry).collect();
        let report = run_plan(&setup, plan, !self.quiet, self.until);
        for line in &report.lines {
            println!("{line}");
        }
        println!("hash {:016x}", report.hash);
        match (&report.violation, report.settled_after) {
            (Some(violation), _) => println!("{violation}"),
            (None, Some(after)) => println!("all was well {:.1} s after the last fault", after.as_secs_f64()),
            (None, None) => println!("stopped before the end"),
        }
        Ok(report.violation.is_none())
    }
}
