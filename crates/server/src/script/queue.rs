//! The jobs, in the order in which they came.
//!
//! Owns what is known of each job. Starts no process and reads no clock.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_core::whole_millis;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{PendingScript, ScriptState};

/// How many jobs there may be, with those that run. As Sentinel.
const MAX_JOBS: usize = 256;

/// All jobs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    last_id: u64,
}

/// One script to be run, until it has succeeded or is given up.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    /// The path, then the arguments.
    pub(super) argv: Vec<String>,
    /// How often it was started.
    pub(super) starts: u32,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting {
        due: Instant,
    },
    Running {
        /// 0 until the process is there.
        pid: u32,
        since: Instant,
        /// Gone once the order was given.
        kill: Option<oneshot::Sender<()>>,
    },
}

impl Queue {
    /// Adds a job at the tail, and makes room for it at the head.
    pub(super) fn push(&mut self, path: String, args: Vec<String>, now: Instant) {
        self.last_id += 1;
        self.jobs.push_back(Job {
            id: self.last_id,
            argv: std::iter::once(path).chain(args).collect(),
            starts: 0,
            phase: Phase::Waiting { due: now },
        });
        // There are far fewer running ones than places, so one is found.
        let oldest = self.jobs.iter().position(|job| !job.is_running());
        if let Some(oldest) = oldest.filter(|_| self.jobs.len() > MAX_JOBS) {
            self.jobs.remove(oldest);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.jobs.retain(|job| job.id != id);
    }

    /// The jobs that should run by now and do not.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = &mut Job> {
        let is_due = move |job: &&mut Job| matches!(job.phase, Phase::Waiting { due } if due <= now);
        self.jobs.iter_mut().filter(is_due)
    }

    /// The jobs that have run for longer than `limit` and were not killed yet.
    pub(super) fn overdue(&mut self, now: Instant, limit: Duration) -> impl Iterator<Item = &mut Job> {
        let is_over = move |job: &&mut Job| job.kill_at(limit).is_some_and(|at| at <= now);
        self.jobs.iter_mut().filter(is_over)
    }

    /// The job, unless it was dropped.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// When something becomes due. A job that waits for a free place is not waited for: one that ends is news.
    pub(super) fn next_deadline(&self, limit: Duration, full: bool) -> Option<Instant> {
        let deadline = |job: &Job| match job.phase {
            Phase::Waiting { due } => (!full).then_some(due),
            Phase::Running { .. } => job.kill_at(limit),
        };
        self.jobs.iter().filter_map(deadline).min()
    }

    pub(super) fn running(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_running()).count()
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn describe(&self, now: Instant) -> Vec<PendingScript> {
        let state = |job: &Job| match job.phase {
            Phase::Waiting { due } => ScriptState::Scheduled {
                due_in_ms: whole_millis(due.saturating_duration_since(now)),
            },
            Phase::Running { pid, since, .. } => ScriptState::Running {
                pid,
                since_ms: whole_millis(now.saturating_duration_since(since)),
            },
        };
        let describe = |job: &Job| PendingScript {
            argv: job.argv.clone(),
            state: state(job),
            starts: job.starts,
        };
        self.jobs.iter().map(describe).collect()
    }
}

impl Job {
    /// Counts a start and gives what will tell that the process is to be killed.
    pub(super) fn start(&mut self, now: Instant) -> oneshot::Receiver<()> {
        let (kill, killed) = oneshot::channel();
        self.starts += 1;
        self.phase = Phase::Running {
            pid: 0,
            since: now,
            kill: Some(kill),
        };
        killed
    }

    /// Its process is there; it has run since now.
    pub(super) fn began(&mut self, process: u32, now: Instant) {
        if let Phase::Running { pid, since, .. } = &mut self.phase {
            *pid = process;
            *since = now;
        }
    }

    /// It does not run, and is not started again before `due`.
    pub(super) fn rest(&mut self, due: Instant) {
        self.phase = Phase::Waiting { due };
    }

    /// Has its process killed.
    pub(super) fn kill(&mut self) {
        if let Phase::Running { kill, .. } = &mut self.phase
            && let Some(kill) = kill.take()
        {
            // It may have ended this very moment.
            let _ = kill.send(());
        }
    }

    pub(super) fn path(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Its process; 0 if there is none.
    pub(super) const fn pid(&self) -> u32 {
        match self.phase {
            Phase::Running { pid, .. } => pid,
            Phase::Waiting { .. } => 0,
        }
    }

    const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// When it will have run for too long; `None` if there is nothing to kill, or nothing any more.
    fn kill_at(&self, limit: Duration) -> Option<Instant> {
        match &self.phase {
            Phase::Running {
                pid,
                since,
                kill: Some(_),
            } if *pid != 0 => since.checked_add(limit),
            _ => None,
        }
    }
}
