//! One process of a script, from its start to its end.
//!
//! Owns the child, and so its killing: nobody else can know whether its number is still its own. Decides nothing.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::io::Errno;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::secrets::REQUIREPASS;

/// The exit code of what could not be executed, as in the reference.
const NOT_EXECUTABLE: i32 = 2;

/// What became of a job.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: u64,
    pub(super) news: News,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It runs.
    Started { pid: u32 },
    /// The machine has no process to spare.
    NoProcess,
    /// It has ended, or could not be executed.
    Ended(Ended),
}

/// How a script ended: one of the two is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) signal: i32,
}

impl Ended {
    pub(super) const fn is_success(self) -> bool {
        self.code == 0 && self.signal == 0
    }

    /// Whether it is worth another try: it says so itself, or was stopped from outside.
    pub(super) const fn asks_again(self) -> bool {
        self.code == 1 || self.signal != 0
    }
}

/// Starts a process and reports what becomes of it. Returns at once.
pub(super) fn spawn(id: u64, argv: Vec<String>, kill: oneshot::Receiver<()>, reports: mpsc::Sender<Report>) {
    tokio::spawn(async move {
        let report = |news| {
            let reports = &reports;
            async move {
                // Nobody listens only when the daemon stops.
                let _ = reports.send(Report { id, news }).await;
            }
        };
        match start(argv).await {
            Ok(child) => {
                report(News::Started {
                    pid: child.id().unwrap_or_default(),
                })
                .await;
                report(News::Ended(watch(child, kill).await)).await;
            }
            Err(error) if is_shortage(&error) => {
                tracing::warn!(%error, "no process for a script");
                report(News::NoProcess).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a script cannot be executed");
                let ended = Ended {
                    code: NOT_EXECUTABLE,
                    signal: 0,
                };
                report(News::Ended(ended)).await;
            }
        }
    });
}

/// Starts the path itself: no shell, no search. Environment, directory and output are ours, and every socket and file
/// of ours closes itself in the child.
async fn start(argv: Vec<String>) -> io::Result<Child> {
    let spawn = move || {
        let (path, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        // Without a slash it would be looked for in PATH.
        let file = if path.contains('/') {
            path.clone()
        } else {
            format!("./{path}")
        };
        // What is for us alone must not be passed on.
        Command::new(file)
            .arg0(path)
            .args(args)
            .env_remove(REQUIREPASS)
            .spawn()
    };
    // Reading the program from a slow disk takes as long as it takes.
    let spawned = tokio::task::spawn_blocking(spawn).await;
    spawned.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Waits for the end, which a kill brings about.
async fn watch(mut child: Child, kill: oneshot::Receiver<()>) -> Ended {
    let status = tokio::select! {
        status = child.wait() => status,
        // The sender is dropped unused when the daemon stops.
        Ok(()) = kill => {
            if let Err(error) = child.start_kill() {
                tracing::warn!(%error, "a script cannot be killed");
            }
            child.wait().await
        }
    };
    status.map_or_else(
        |error| {
            tracing::warn!(%error, "the end of a script cannot be seen");
            Ended {
                code: NOT_EXECUTABLE,
                signal: 0,
            }
        },
        ended,
    )
}

fn ended(status: ExitStatus) -> Ended {
    Ended {
        code: status.code().unwrap_or(0),
        signal: status.signal().unwrap_or(0),
    }
}

/// Whether a start failed for want of something that may be there a moment later.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}
