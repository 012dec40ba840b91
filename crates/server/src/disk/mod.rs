//! Durable state in one file that is replaced as a whole.
//!
//! Owns the path, the replacing and the one write that may be under way. Knows no file format: what is
//! written comes from a [`Render`]. After a crash at any moment either the whole old or the whole new file is
//! there.

mod copy;
mod lock;
mod log_store;
mod log_writer;
pub(crate) mod replace;

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bellwether_core::{PersistSeq, Registry};
use tokio::task::JoinHandle;

pub(crate) use self::copy::StateCopy;
pub use self::lock::{LockError, StateLock};
pub use self::log_store::{LOG_FILE, LogStore, LogStoreError};
pub(crate) use self::log_writer::{LogWriter, Written, log_write_ended};
use crate::small_file;

/// Longest file of state that is read, in bytes: as much as a configuration may have, which is enough for 60,000 groups.
pub const MAX_STATE_BYTES: u64 = 64 << 20;

/// Turns durable state into the text of a file, given the text that is there now.
pub(crate) type Render = Box<dyn Fn(&str, &Registry) -> Result<String, String> + Send + Sync>;

/// Where durable state goes.
pub(crate) struct Store {
    path: PathBuf,
    render: Render,
    lock: Mutex<StateLock>,
}

/// Why a save came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// The old file is intact, and so is the process.
    #[error("{0}")]
    Refused(String),
    /// Nobody knows what is on disk now, so nothing may be built upon it.
    #[error("cannot sync {what}")]
    Sync { what: PathBuf, source: io::Error },
}

impl Store {
    /// A store at `path`. A symbolic link is followed, so that the file behind it is replaced. Unlike
    /// Sentinel, which puts a plain file in the link's place and leaves the real one to grow old.
    pub(crate) fn new(path: PathBuf, render: Render, lock: StateLock) -> Self {
        let path = path.canonicalize().unwrap_or(path);
        let lock = Mutex::new(lock);
        Self { path, render, lock }
    }

    /// Removes what earlier processes have left beside the file when they were killed. The lock says that none of them
    /// lives.
    pub(crate) fn sweep(&self) {
        replace::sweep(&self.path);
    }

    /// Writes `registry` and comes back when it is durable. Blocks.
    pub(crate) fn save(&self, registry: &Registry) -> Result<(), SaveError> {
        let refused = |what: &str, error: &dyn std::fmt::Display| {
            SaveError::Refused(format!("cannot {what} {}: {error}", self.path.display()))
        };
        // One write at a time; what a panic would leave behind is a lock that still holds.
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep_lock(&mut lock)
            .map_err(|error| SaveError::Refused(error.to_string()))?;
        let current = match small_file::read_small_text(&self.path, MAX_STATE_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(refused("read", &error)),
        };
        let text = (self.render)(&current, registry).map_err(|error| refused("rewrite", &error))?;
        replace::replace(&self.path, text.as_bytes(), Some(&mut lock))
    }

    /// Who deletes the place of the state and makes it again takes our lock away, and a second coordinator could have
    /// begun there. Then nothing may be written any more.
    fn keep_lock(&self, lock: &mut StateLock) -> Result<(), LockError> {
        let place = match lock.moves() {
            true => Some(&*self.path),
            false => self.path.parent(),
        };
        if let Some(place) = place
            && lock.renew(place)?
        {
            tracing::warn!(
                "{} was replaced while this coordinator ran on it: it is locked anew, and the state is written there whole",
                place.display()
            );
        }
        Ok(())
    }
}

/// The store and the write that is under way.
pub(crate) struct Disk {
    store: Arc<Store>,
    writing: Option<JoinHandle<Saved>>,
}

/// How one write ended.
pub(crate) struct Saved {
    pub(crate) seq: PersistSeq,
    pub(crate) took: Duration,
    pub(crate) result: Result<(), SaveError>,
}

impl Disk {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store: Arc::new(store),
            writing: None,
        }
    }

    /// Begins to write, off the loop. The core never asks for a second write before the first has ended.
    pub(crate) fn begin(&mut self, seq: PersistSeq, registry: Registry) {
        debug_assert!(self.writing.is_none(), "one write at a time");
        let store = Arc::clone(&self.store);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let result = store.save(&registry);
            Saved {
                seq,
                took: begun.elapsed(),
                result,
            }
        }));
    }

    /// The end of the write that is under way; never if there is none. Loses nothing if it is dropped.
    pub(crate) async fn ended(&mut self) -> Result<Saved, tokio::task::JoinError> {
        let Some(writing) = &mut self.writing else {
            return pending().await;
        };
        let saved = writing.await;
        self.writing = None;
        saved
    }

    /// Lets the write that is under way come to its end, so that no temporary file is left behind, and writes `last` if
    /// there is something that nobody has waited for.
    pub(crate) async fn finish(mut self, last: Option<Registry>) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
        let Some(registry) = last else { return };
        let store = self.store;
        match tokio::task::spawn_blocking(move || store.save(&registry)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the state file is not up to date: {error}"),
            Err(error) => tracing::warn!("the state file is not up to date: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
