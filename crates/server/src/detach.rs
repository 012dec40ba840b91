//! Running in the background (`daemonize yes`).
//!
//! Owns the second start of the program. Nothing is forked half way: the program starts itself anew, in a
//! session of its own, and the first process waits until the second one serves, so that its exit status says
//! whether the daemon runs.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Marks the second start.
const MARK: &str = "BELLWETHER_DETACHED";

/// The line by which the second process says that it serves. No log line looks like it.
const READY: &str = "\u{1}ready";

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Detached {
    /// The first: the daemon runs, or has failed with this status.
    Parent(ExitCode),
    /// The second: it goes on to be the daemon.
    Daemon(Readiness),
}

/// What the second process owes the first.
#[derive(Debug)]
#[must_use = "the first process waits for it"]
pub struct Readiness(());

/// Starts the program a second time, with the same arguments, or recognises that this is the second time.
/// To be called before there is any thread or file.
///
/// # Errors
/// If the program cannot be started or cannot have a session of its own.
pub fn detach() -> io::Result<Detached> {
    if env::var_os(MARK).is_some() {
        rustix::process::setsid()?;
        return Ok(Detached::Daemon(Readiness(())));
    }
    let mut args = env::args_os();
    let mut command = Command::new(env::current_exe()?);
    if let Some(name) = args.next() {
        // It may say as what we were called.
        command.arg0(name);
    }
    let mut child = command
        .args(args)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = child.stdout.take().map(BufReader::new);
    let mut stdout = io::stdout().lock();
    for line in lines.into_iter().flat_map(BufRead::lines) {
        match line? {
            line if line == READY => return Ok(Detached::Parent(ExitCode::SUCCESS)),
            line => writeln!(stdout, "{line}")?,
        }
    }
    let status = child.wait()?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(Detached::Parent(ExitCode::from(code)))
}

impl Readiness {
    /// Lets the first process end, and leaves its terminal: from now on standard output and error go nowhere.
    ///
    /// # Errors
    /// If there is nothing like `/dev/null`.
    pub fn tell(self) -> io::Result<()> {
        // If the first process is gone there is nobody to tell, and nothing wrong.
        let _ = io::stdout().write_all(format!("{READY}\n").as_bytes());
        let _ = io::stdout().flush();
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        rustix::stdio::dup2_stderr(&nowhere)?;
        Ok(())
    }
}
