//! `bellwether-sim`: plays seeds of the simulated world, shows what happens in one, and makes failing ones shorter.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A panic in the core is one way for a run to fail: its words come with the report, not in between. What panics outside
    // of runs, as printing does on a full disk or to a pipe that nobody reads, is told here.
    std::panic::set_hook(Box::new(|_| {}));
    let args = cli::Args::parse();
    match std::panic::catch_unwind(|| args.run()) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) => failed(&format!("{error:#}")),
        Err(panic) => failed(bellwether_sim::words_of(panic.as_ref())),
    }
}

/// Nothing is known about the promises: neither that they were kept nor that one was broken. Standard error may be closed too.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "bellwether-sim: {why}");
    ExitCode::from(2)
}
