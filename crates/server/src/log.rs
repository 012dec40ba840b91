//! Where log lines go and what they look like.
//!
//! Owns the thread that writes them: nobody who logs ever waits for a full pipe or a slow disk. Decides
//! nothing about what is logged; that is done with `tracing` wherever something happens.

mod plain;
mod syslog;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bellwether_conf::{DaemonOptions, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

/// How many lines may wait for the writer: some megabytes, and minutes of the busiest log. Beyond this lines
/// are dropped and counted, and the count is written as soon as writing works again.
const MAX_WAITING_LINES: usize = 16 * 1024;

/// How long the end of the process waits for the last lines, should whoever reads standard output be stuck.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The running log. Dropping it writes what is left.
pub struct Log {
    lines: Lines,
    reopen: Arc<AtomicBool>,
    has_file: bool,
    thread: Option<JoinHandle<()>>,
    change_filter: Option<ChangeFilter>,
}

/// Puts another filter in place.
type ChangeFilter = Box<dyn Fn(Targets) + Send + Sync>;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened for appending.
    #[error("Can't open the log file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// This process has a log already.
    #[error("there is a log already")]
    Twice,
}

impl Log {
    /// Opens the log that the options ask for and makes it the one of this process.
    ///
    /// # Errors
    /// If the file cannot be opened, or there is a log already.
    pub fn start(options: &DaemonOptions) -> Result<Self, LogError> {
        let mut log = Self::open(options.logfile.as_deref())?;
        // As Sentinel, beside the file or standard output and not in their place.
        let syslog = options.syslog.enabled.then(|| {
            tracing_subscriber::fmt::layer()
                .with_writer(log.lines.for_system())
                .event_format(syslog::Format::new(&options.syslog))
                .boxed()
        });
        let (filter, changer) = reload::Layer::new(filter(options.loglevel));
        let format = tracing_subscriber::fmt::layer().with_writer(log.lines.clone());
        let layer = match options.log_format {
            LogFormat::Json => format.json().flatten_event(true).boxed(),
            LogFormat::Plain => format.event_format(plain::Plain).boxed(),
        };
        let layers: Vec<_> = std::iter::once(layer).chain(syslog).collect();
        tracing::subscriber::set_global_default(Registry::default().with(layers.with_filter(filter)))
            .map_err(|_| LogError::Twice)?;
        log.change_filter = Some(Box::new(move |targets| {
            // It fails only where the subscriber is gone, and then there is nothing to change.
            let _ = changer.reload(targets);
        }));
        Ok(log)
    }

    fn open(path: Option<&Path>) -> Result<Self, LogError> {
        let target = match path {
            None => Target::Stdout,
            Some(path) => Target::File(open(path)?, path.to_owned()),
        };
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING_LINES);
        let reopen = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            target,
            reopen: Arc::clone(&reopen),
            lost: Arc::clone(&lost),
            system: syslog::Sender::default(),
        };
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(LogError::Thread)?;
        let lines = Lines {
            sender,
            lost,
            wrap: Message::Line,
        };
        Ok(Self {
            lines,
            reopen,
            has_file: path.is_some(),
            thread: Some(thread),
            change_filter: None,
        })
    }

    /// Logs from this importance on.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(change) = &self.change_filter {
            change(filter(level));
        }
    }

    /// Opens the log file anew under its name, after it was rotated. Until that works the old one goes on. Gives
    /// whether there is a file.
    pub fn reopen(&self) -> bool {
        self.reopen.store(true, Ordering::Relaxed);
        // Only to wake the writer; if the queue is full it is awake.
        let _ = self.lines.sender.try_send(Message::Wake);
        self.has_file
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = Instant::now() + LAST_LINES;
        let mut asked = false;
        while !thread.is_finished() && Instant::now() < deadline {
            asked = asked || self.lines.sender.try_send(Message::Stop).is_ok();
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn open(path: &Path) -> Result<File, LogError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| LogError::Open {
        path: path.to_owned(),
        source,
    })
}

fn filter(log_level: LogLevel) -> Targets {
    Targets::new()
        // What other crates have to say in detail concerns those who work on them.
        .with_default(level(log_level).min(LevelFilter::INFO))
        .with_target("bellwether", level(log_level))
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// For the system's log.
    System(Vec<u8>),
    Wake,
    Stop,
}

/// The way of a line to the writer.
#[derive(Clone, Debug)]
struct Lines {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    wrap: fn(Vec<u8>) -> Message,
}

impl Lines {
    /// The way of lines to the system's log.
    fn for_system(&self) -> Self {
        Self {
            wrap: Message::System,
            ..self.clone()
        }
    }
}

impl Write for Lines {
    /// Takes the whole line, which is how the formatter hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.sender.try_send((self.wrap)(line.to_vec())) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

enum Target {
    Stdout,
    File(File, PathBuf),
}

/// The writing thread. Lines that cannot be written are gone: there is nobody left to tell.
struct Writer {
    target: Target,
    reopen: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    system: syslog::Sender,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            if self.reopen.swap(false, Ordering::Relaxed) {
                self.reopen_file();
            }
            match message {
                Message::Line(line) => self.write(&line),
                Message::System(line) => {
                    if let Some(notice) = self.system.send(&line) {
                        self.write(notice.as_bytes());
                    }
                }
                Message::Wake => {}
                Message::Stop => return,
            }
            match self.lost.swap(0, Ordering::Relaxed) {
                0 => {}
                lost => {
                    self.write(format!("{lost} lines were not written in time and are lost\n").as_bytes())
                }
            }
        }
    }

    fn reopen_file(&mut self) {
        let Target::File(file, path) = &mut self.target else {
            return;
        };
        match open(path) {
            Ok(reopened) => *file = reopened,
            Err(error) => self.write(format!("{error}; the old one goes on\n").as_bytes()),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = match &mut self.target {
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Target::File(file, _) => file.write_all(bytes),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, rotated) = (directory.path().join("log"), directory.path().join("log.1"));
        let log = Log::open(Some(&path)).expect("a log");
        let mut lines = log.lines.clone();
        lines.write_all(b"one\n").expect("taken");
        while fs::read_to_string(&path).expect("the file").is_empty() {
            thread::yield_now();
        }
        fs::rename(&path, &rotated).expect("rotated");
        log.reopen();
        lines.write_all(b"two\n").expect("taken");
        drop(log);
        assert_eq!(fs::read_to_string(&rotated).expect("the old file"), "one\n");
        assert_eq!(fs::read_to_string(&path).expect("the new file"), "two\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Log::open(Some(Path::new("/nonexistent/log"))).expect_err("no such directory");
        assert_eq!(error.to_string(), "Can't open the log file /nonexistent/log");
    }
}
