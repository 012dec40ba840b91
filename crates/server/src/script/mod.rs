//! The scripts of operators: one queue, a few running at a time, tried again when they ask for it.
//!
//! Owns the queue and the processes. [`Runner::enqueue`] never waits, and starting a process happens on a thread
//! of its own, so that neither a slow disk nor a script ever holds up the coordinator. Nothing here knows what a
//! script is for, and nothing is kept over a restart.
//!
//! Rules, as Sentinel: exit code 0 is done; 1, or an end by a signal, means try again later; anything else means give
//! up. Who runs for too long is killed, which is an end by a signal.

mod process;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::{Event, EventKind};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use process::{Ended, News, Report};
use queue::Queue;

/// How many scripts may run at the same time. As Sentinel.
const MAX_RUNNING: usize = 16;

/// After how long a start is tried again when the machine has no process to spare. The reference tries at each of
/// its ticks, ten times a second, and says each time that it failed; a machine in need is better left alone.
const NO_PROCESS_PAUSE: Duration = Duration::from_secs(1);

/// How many reports of processes may wait: a start and an end of each that runs, so that none has to wait.
const MAX_WAITING_REPORTS: usize = 2 * MAX_RUNNING;

/// What can be set about running scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptSettings {
    /// After how long a script is killed (`SENTINEL DEBUG script-max-runtime`).
    pub max_runtime: Duration,
    /// How long after its end a script is started again; twice as long after each further try
    /// (`SENTINEL DEBUG script-retry-delay`).
    pub retry_delay: Duration,
    /// How often one job is started at most.
    pub max_starts: u32,
}

impl Default for ScriptSettings {
    /// Those of the reference.
    fn default() -> Self {
        Self {
            max_runtime: Duration::from_secs(60),
            retry_delay: Duration::from_secs(30),
            max_starts: 10,
        }
    }
}

/// One job as `SENTINEL PENDING-SCRIPTS` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingScript {
    /// The path, and what the script is given.
    pub argv: Vec<String>,
    /// What it does now.
    pub state: ScriptState,
    /// How often it was started.
    pub starts: u32,
}

/// What a job does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptState {
    /// It runs.
    Running {
        /// Its process; 0 while that is being made.
        pid: u32,
        /// For how long.
        since_ms: u64,
    },
    /// It waits.
    Scheduled {
        /// For how much longer; 0 means for a free place.
        due_in_ms: u64,
    },
}

/// Takes scripts to run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Runner {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when there is something new to do.
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    settings: ScriptSettings,
}

impl Runner {
    /// With these settings. Nothing is started before it runs.
    #[must_use]
    pub fn new(settings: ScriptSettings) -> Self {
        let runner = Self::default();
        runner.lock().settings = settings;
        runner
    }

    /// Puts a script at the end of the queue. If that is full, the oldest one that does not run is dropped, without a
    /// word as in Sentinel: who has 256 scripts waiting has been told of worse.
    pub fn enqueue(&self, path: String, args: Vec<String>) {
        self.lock().queue.push(path, args, Instant::now());
        self.shared.bell.notify_one();
    }

    /// All jobs, in the order in which they came.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingScript> {
        self.lock().queue.describe(Instant::now())
    }

    /// How many scripts run, and how many jobs there are with those that run.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.queue.running(), state.queue.len())
    }

    /// The settings as they are.
    #[must_use]
    pub fn settings(&self) -> ScriptSettings {
        self.lock().settings
    }

    /// Changes the settings, for those that run already too.
    pub fn change_settings(&self, change: impl FnOnce(&mut ScriptSettings)) {
        change(&mut self.lock().settings);
        self.shared.bell.notify_one();
    }

    /// Starts, collects and kills scripts until `stop` is cancelled. What runs then is left alone, as in Sentinel.
    pub(crate) async fn run(self, announcer: Announcer, stop: CancellationToken) {
        let (reports, mut news) = mpsc::channel(MAX_WAITING_REPORTS);
        loop {
            let now = Instant::now();
            self.start_due(now, &reports);
            let next = self.kill_overdue(now, &announcer);
            let timer = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Never closed: one sender is ours.
                Some(report) = news.recv() => self.take(report, &announcer),
                () = self.shared.bell.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Starts the jobs that are due, from the head of the queue, as far as there are free places.
    fn start_due(&self, now: Instant, reports: &mpsc::Sender<Report>) {
        let mut state = self.lock();
        let free = MAX_RUNNING.saturating_sub(state.queue.running());
        for job in state.queue.due(now).take(free) {
            let kill = job.start(now);
            process::spawn(job.id, job.argv.clone(), kill, reports.clone());
        }
    }

    /// Kills those that have run for too long, and gives when to look again.
    fn kill_overdue(&self, now: Instant, announcer: &Announcer) -> Option<Instant> {
        let mut state = self.lock();
        let State { queue, settings } = &mut *state;
        let mut killed = Vec::new();
        for job in queue.overdue(now, settings.max_runtime) {
            killed.push(format!("{} {}", job.path(), job.pid()));
            job.kill();
        }
        let full = queue.running() >= MAX_RUNNING;
        let next = queue.next_deadline(settings.max_runtime, full);
        drop(state);
        for payload in killed {
            tell(announcer, EventKind::ScriptTimeout, payload);
        }
        next
    }

    /// Takes in what became of a process.
    fn take(&self, Report { id, news }: Report, announcer: &Announcer) {
        let mut state = self.lock();
        let settings = state.settings;
        let Some(job) = state.queue.find(id) else {
            return;
        };
        let path = job.path().to_owned();
        let now = Instant::now();
        let mut events = Vec::new();
        match news {
            News::Started { pid } => {
                job.began(pid, now);
                events.push((EventKind::ScriptStarted, pid.to_string()));
            }
            News::NoProcess => {
                job.rest(now + NO_PROCESS_PAUSE);
                events.push((EventKind::ScriptError, format!("{path} 99 0")));
            }
            News::Ended(ended) => {
                let Ended { code, signal } = ended;
                // What could not be executed at all never was a process of its own here.
                if job.pid() != 0 {
                    events.push((EventKind::ScriptEnded, format!("{} {code} {signal}", job.pid())));
                }
                if ended.asks_again() && job.starts < settings.max_starts {
                    let delay = retry_delay(settings.retry_delay, job.starts);
                    job.rest(now + delay);
                } else {
                    state.queue.remove(id);
                    if !ended.is_success() {
                        events.push((EventKind::ScriptError, format!("{path} {signal} {code}")));
                    }
                }
            }
        }
        drop(state);
        for (kind, payload) in events {
            tell(announcer, kind, payload);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after the end of start number `starts`: twice as long each time.
fn retry_delay(first: Duration, starts: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(starts.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// An event about a script. It concerns no group, so that no script runs for it.
fn tell(announcer: &Announcer, kind: EventKind, payload: String) {
    announcer.announce(&Event {
        kind,
        group: None,
        payload,
        reason: None,
    });
}
