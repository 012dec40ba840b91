//! `bellwether-sim`: plays seeds of the simulated world, shows what happens in one, and makes failing ones shorter.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A panic in the core is one way for a run to fail: its words come with the report, not in between.
    std::panic::set_hook(Box::new(|_| {}));
    match cli::Args::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bellwether-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
