//! What the demo makes on this machine: a directory, servers, coordinators; and the removal of all of it.

use std::{fmt::Display, io, time::Instant};

use anyhow::Context;
use tempfile::TempDir;

use super::{
    Options,
    coordinator::{Binary, Coordinator},
    process::Process,
    server::{Program, Server},
};
use crate::output::{Output, Style};

/// How many lines of each log are shown when something went wrong.
const TAIL_LINES: usize = 12;

pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) tell: Teller,
    pub(super) program: Program,
    pub(super) binary: Binary,
    pub(super) dir: TempDir,
    /// The first one begins as the primary.
    pub(super) servers: Vec<Server>,
    pub(super) coordinators: Vec<Coordinator>,
}

impl Stage {
    /// Finds the programs and makes the directory; starts nothing.
    pub(super) fn set(options: Options, out: Output) -> anyhow::Result<Self> {
        let program = if options.stand_in {
            Program::StandIn
        } else {
            Program::find()?
        };
        let binary = Binary::choose(options.coordinator_binary.clone())?;
        let dir = tempfile::Builder::new().prefix("bellwether-demo-").tempdir();
        let dir = dir.context("cannot make a temporary directory")?;
        let tell = Teller {
            out,
            start: Instant::now(),
        };
        Ok(Self {
            options,
            tell,
            program,
            binary,
            dir,
            servers: Vec::new(),
            coordinators: Vec::new(),
        })
    }

    /// Kills every child, coordinators first so that they do not react to the end of the servers.
    pub(super) async fn stop_all(&mut self) {
        for process in self.processes() {
            if let Err(error) = process.kill().await {
                crate::output::complain(format_args!("bellwether demo: {error:#}"));
            }
        }
    }

    /// Removes the directory, or says where it is if it is to be kept. All children must have been stopped.
    pub(super) fn clear(self) -> anyhow::Result<()> {
        if self.options.keep_logs {
            let path = self.dir.keep();
            self.tell
                .out
                .line(format_args!("\nlogs and configuration files: {}", path.display()))?;
            return Ok(());
        }
        self.dir.close().context("cannot remove the temporary directory")
    }

    /// Prints the ends of all logs.
    pub(super) fn show_logs(&mut self) -> io::Result<()> {
        let out = self.tell.out;
        for process in self.processes() {
            out.line(format_args!(
                "\n{}",
                out.paint(Style::Bold, format_args!("last lines of {}:", process.name))
            ))?;
            for line in process
                .tail(TAIL_LINES)
                .unwrap_or_else(|error| vec![error.to_string()])
            {
                out.line(format_args!("  {line}"))?;
            }
        }
        Ok(())
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let coordinators = self
            .coordinators
            .iter_mut()
            .map(|coordinator| &mut coordinator.process);
        coordinators.chain(self.servers.iter_mut().map(|server| &mut server.process))
    }
}

/// Tells what happens, with the seconds since the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller {
    pub(super) out: Output,
    start: Instant,
}

impl Teller {
    /// A step of the piece.
    pub(super) fn step(self, text: impl Display) -> io::Result<()> {
        self.out.line(format_args!("{}  {text}", self.clock()))
    }

    /// Something beside it.
    pub(super) fn aside(self, text: impl Display) -> io::Result<()> {
        self.out.line(format_args!(
            "{}  {}",
            self.clock(),
            self.out.paint(Style::Dim, text)
        ))
    }

    fn clock(self) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        self.out.paint(Style::Dim, format_args!("{seconds:5.1} s"))
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            out: Output::plain(),
            start: Instant::now(),
        }
    }
}
