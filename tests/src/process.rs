//! A child process with its log: started, signalled and ended by pid. It dies with its owner, panics included.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_for;

/// How long an orderly end may take before it counts as a hang.
const TERMINATE_LIMIT: Duration = Duration::from_secs(10);

/// A running (or ended) child process.
pub struct Process {
    name: String,
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts `command`; stdout and stderr are appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let err = out.try_clone().context("sharing the log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("starting {name} ({:?})", command.get_program()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            paused: false,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it runs and is not stopped by [`Process::pause`].
    pub fn is_live(&mut self) -> bool {
        !self.paused && self.is_running()
    }

    /// How it ended, if it did.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL. Gives the moment just before the signal was sent.
    ///
    /// # Errors
    /// When the process is gone already.
    pub fn kill(&mut self) -> Result<Instant> {
        let at = self.signal(Signal::KILL)?;
        self.child
            .wait()
            .with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(at)
    }

    /// SIGSTOP: it keeps its sockets and says nothing more. Gives the moment just before.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn pause(&mut self) -> Result<Instant> {
        let at = self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(at)
    }

    /// SIGCONT after [`Process::pause`].
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// When it does not end in ten seconds.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let what = format!("{} to end after SIGTERM", self.name);
        wait_for(&what, TERMINATE_LIMIT, || {
            self.exit_status().context("still running")
        })
    }

    fn signal(&mut self, signal: Signal) -> Result<Instant> {
        // Only a child that has not been waited for still owns its pid.
        if let Some(status) = self.exit_status() {
            bail!("{} (pid {}) has ended with {status}", self.name, self.pid());
        }
        let at = Instant::now();
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("sending {signal:?} to {}", self.name))?;
        Ok(at)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the child has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last `lines` lines of a log file.
pub fn tail(log: &PathBuf, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
