//! The `bellwether` binary: the daemon and the operator's commands.
//!
//! Owns the command line, what is printed, and exit codes. Never decides anything about groups: the daemon is
//! `bellwether-server`, and the other commands are clients like any other.

mod args;
mod check;
mod connect;
mod demo;
mod export;
mod import;
mod log;
mod members;
mod named;
mod new_file;
mod output;
mod process;
mod server;
mod stand_in;
mod status;
mod target;
mod texts;

use std::process::ExitCode;

use args::Invocation;

fn main() -> ExitCode {
    match args::read(std::env::args_os()) {
        Ok(invocation) => finish(run(invocation)),
        Err(stop) => stop.print(),
    }
}

fn run(invocation: Invocation) -> anyhow::Result<ExitCode> {
    match invocation {
        Invocation::Server(args) => server::run(args),
        Invocation::Check(args) => check::run(&args),
        Invocation::Import(options) => import::run(&options),
        Invocation::Export(options) => block_on(export::run(options)),
        Invocation::Status(options) => block_on(status::run(options)),
        Invocation::Members(options) => block_on(members::run(options)),
        Invocation::Demo(options) => block_on(demo::run(options)),
        Invocation::StandIn(options) => block_on(stand_in::run(options)),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(command)
}

/// Prints the whole chain of an error once. A reader that has gone away (`bellwether status | head -1`) is
/// not an error.
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(format_args!("bellwether: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
