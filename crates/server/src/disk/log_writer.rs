//! The thread that writes the log of decisions.
//!
//! Owns the store and the one write that may be under way. A write that fails is the last one: what is on disk then is
//! not known, and whoever started this must end the process.

use std::future::pending;
use std::io;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bellwether_raft::Write;
use tokio::sync::mpsc;

use super::{LogStore, LogStoreError};

/// Writes to the log, one after the other, off the loop.
#[derive(Debug)]
pub(crate) struct LogWriter {
    /// `None` when no more are to come.
    writes: Option<std_mpsc::SyncSender<Box<Write>>>,
    ended: mpsc::Receiver<Written>,
}

/// How one write ended.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    pub(crate) took: Duration,
    /// How many entries it had, and how many bytes with its snapshot.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) result: Result<(), LogStoreError>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(mut store: LogStore) -> io::Result<Self> {
        // There is never more than one write, and one report of its end.
        let (writes, queue) = std_mpsc::sync_channel::<Box<Write>>(1);
        let (report, ended) = mpsc::channel(1);
        thread::Builder::new()
            .name("log-of-decisions".to_owned())
            .spawn(move || {
                while let Ok(write) = queue.recv() {
                    let (entries, bytes) = size(&write);
                    let begun = Instant::now();
                    let result = store.write(&write);
                    let failed = result.is_err();
                    let written = Written {
                        seq: write.seq,
                        took: begun.elapsed(),
                        entries,
                        bytes,
                        result,
                    };
                    if report.blocking_send(written).is_err() || failed {
                        break;
                    }
                }
                // The file is closed before anybody hears that this thread is gone.
                drop(store);
                drop(report);
            })?;
        let writes = Some(writes);
        Ok(Self { writes, ended })
    }

    /// Begins to write. The core never asks for a second write before the first has ended.
    pub(crate) fn begin(&mut self, write: Box<Write>) {
        let Some(writes) = &self.writes else { return };
        // A thread that is gone shows where its report is awaited.
        let refused = writes.try_send(write);
        debug_assert!(
            !matches!(refused, Err(std_mpsc::TrySendError::Full(_))),
            "one write at a time"
        );
    }

    /// The end of the write that is under way. `None` if the thread has ended. Loses nothing if it is dropped.
    async fn ended(&mut self) -> Option<Written> {
        self.ended.recv().await
    }

    /// Lets the write that is under way come to its end, and closes the file.
    pub(crate) async fn finish(mut self) {
        self.writes = None;
        while self.ended.recv().await.is_some() {}
    }
}

/// How many entries a write has, and how many bytes with its snapshot.
fn size(write: &Write) -> (u64, u64) {
    let entries = write.entries.iter().map(|entry| entry.bytes.len());
    let snapshot = write.snapshot.iter().map(|snapshot| snapshot.bytes.len());
    let bytes: usize = entries.chain(snapshot).sum();
    (write.entries.len() as u64, bytes as u64)
}

/// The end of the write that is under way; never if there is no log.
pub(crate) async fn log_write_ended(writer: &mut Option<LogWriter>) -> Option<Written> {
    match writer {
        Some(writer) => writer.ended().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use bellwether_raft::{ClusterId, Entry, Identity};

    use super::*;

    fn write(seq: u64, index: u64) -> Box<Write> {
        let identity = (seq == 1).then_some(Identity {
            cluster: ClusterId(7),
            id: 1,
        });
        Box::new(Write {
            seq,
            identity,
            entries: vec![Entry {
                index,
                term: 1,
                bytes: vec![1, 2, 3],
            }],
            ..Write::default()
        })
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_the_thread_has_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, restored) = LogStore::open(directory.path()).expect("a new log");
        assert!(restored.is_empty());
        let mut writer = Some(LogWriter::start(store).expect("a thread"));
        for seq in 1..=3 {
            writer.as_mut().expect("a writer").begin(write(seq, seq));
            let written = log_write_ended(&mut writer).await.expect("an end");
            assert_eq!((written.seq, written.entries, written.bytes), (seq, 1, 3));
            written.result.expect("written");
        }
        writer.take().expect("a writer").finish().await;
        let (_, restored) = LogStore::open(directory.path()).expect("nobody has it open any more");
        assert_eq!(restored.entries.len(), 3);
    }

    #[tokio::test]
    async fn a_failed_write_is_the_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = LogStore::open(directory.path()).expect("a new log");
        let mut writer = Some(LogWriter::start(store).expect("a thread"));
        std::fs::remove_file(directory.path().join(super::super::LOG_FILE)).expect("removed");
        writer.as_mut().expect("a writer").begin(write(1, 1));
        let written = log_write_ended(&mut writer).await.expect("an end");
        let error = written.result.expect_err("the file is gone").to_string();
        assert!(error.contains(super::super::LOG_FILE), "{error}");
        writer.as_mut().expect("a writer").begin(write(2, 2));
        assert!(log_write_ended(&mut writer).await.is_none());
    }
}
