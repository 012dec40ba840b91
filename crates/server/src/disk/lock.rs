//! One coordinator for one state.
//!
//! Owns the lock that keeps a second process from the same file or directory: two with one id overwrite each
//! other's votes, and a vote that is lost may be given twice. The lock is advisory and ends with the process,
//! however it ends. Programs that do not ask for it, Redis Sentinel among them, are not kept out.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bellwether_conf::Config;
use rustix::fs::{FlockOperation, flock, major, minor};

/// How often a file that was replaced while it was being locked is opened anew. Only a daemon that is alive
/// replaces it, and that one holds the lock of the new one already: a second try settles it.
const MAX_TRIES: usize = 8;

/// The right to be the one coordinator of a state, until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    /// `None` where the file system has no locks.
    held: Option<File>,
    /// The file is replaced at each save, and the lock has to go with it.
    moves: bool,
}

/// Why a state cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{} is in use by another coordinator{}, and two on one state would lose votes",
        path.display(),
        holder.map_or_else(String::new, |pid| format!(", process {pid}"))
    )]
    Taken {
        /// The file or directory.
        path: PathBuf,
        /// The process, if the system tells.
        holder: Option<u32>,
    },
    /// There is nothing to lock, or it may not be opened.
    #[error("cannot open {what} {}", path.display())]
    Open {
        /// What it is, as the operator knows it.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl StateLock {
    /// Takes the lock of the state that `config`, read from `config_file`, has: of that file, or of the state
    /// directory. To be called before `dir` is entered. Who reads the file has to do so again once it is
    /// locked, because another coordinator may have written it at its end.
    ///
    /// # Errors
    /// If another process has it, or there is nothing to lock.
    pub fn take(config: &Config, config_file: &Path) -> Result<Self, LockError> {
        let Some(directory) = &config.daemon.state_dir else {
            return Self::of(config_file, "the configuration file", true);
        };
        let base = config.daemon.dir.as_deref().unwrap_or_else(|| Path::new(""));
        Self::of(&base.join(directory), "the state-dir", false)
    }

    /// Which process has the lock of the file or directory at `path`, as far as the system tells. Takes no lock, so that
    /// nobody is kept from it.
    #[must_use]
    pub fn holder(path: &Path) -> Option<u32> {
        holder(&fs::metadata(path).ok()?)
    }

    fn of(path: &Path, what: &'static str, moves: bool) -> Result<Self, LockError> {
        let failed = |source| LockError::Open {
            what,
            path: path.to_owned(),
            source,
        };
        for _ in 0..MAX_TRIES {
            let file = File::open(path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder = file.metadata().ok().and_then(|metadata| holder(&metadata));
                    let path = path.to_owned();
                    return Err(LockError::Taken { path, holder });
                }
                // Some network file systems have no such locks, or none of directories.
                Err(_) => return Ok(Self { held: None, moves }),
            }
            let (locked, there) = (
                file.metadata().map_err(failed)?,
                fs::metadata(path).map_err(failed)?,
            );
            if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
                let held = Some(file);
                return Ok(Self { held, moves });
            }
        }
        Err(failed(io::Error::other("it is replaced all the time")))
    }

    /// Whether a second coordinator would be kept out. `false` where the file system has no locks.
    pub(crate) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// No lock at all, for tests of other things.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self {
            held: None,
            moves: false,
        }
    }

    /// Sees to it that what is at `path` now is what is locked: a directory that was deleted and made again, or a file
    /// that an editor has replaced, is another one, and the old lock keeps nobody from it. Gives whether it had to
    /// be locked anew.
    ///
    /// # Errors
    /// If another process has it by now. What is not there cannot be taken by anybody and is no error.
    pub(super) fn renew(&mut self, path: &Path) -> Result<bool, LockError> {
        let Some(held) = &self.held else {
            return Ok(false);
        };
        let (Ok(locked), Ok(there)) = (held.metadata(), fs::metadata(path)) else {
            return Ok(false);
        };
        if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
            return Ok(false);
        }
        *self = Self::of(path, "the place of the state", self.moves)?;
        Ok(true)
    }

    /// Whether it is a file that is locked, which is replaced at each save.
    pub(super) const fn moves(&self) -> bool {
        self.moves
    }

    /// Locks what is about to take the file's place, before it does.
    pub(super) fn extend_to(&self, successor: &File) {
        if self.moves && self.held.is_some() {
            // Nobody else knows the file yet, and its file system has locks.
            let _ = flock(successor, FlockOperation::NonBlockingLockExclusive);
        }
    }

    /// The file that was locked by [`extend_to`](Self::extend_to) is in place: the old one is of no meaning now.
    pub(super) fn move_to(&mut self, successor: File) {
        if self.moves && self.held.is_some() {
            self.held = Some(successor);
        }
    }
}

/// Who holds the lock of a file, as far as Linux tells: `1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF`.
fn holder(metadata: &Metadata) -> Option<u32> {
    let (dev, ino) = (metadata.dev(), metadata.ino());
    let id = format!("{:02x}:{:02x}:{ino}", major(dev), minor(dev));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&id.as_str()))?;
    // Zero or less stands for a process that cannot be seen from here.
    line.get(4)?.parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_by(path: &Path) -> Option<u32> {
        match StateLock::of(path, "the file", true) {
            Err(LockError::Taken { holder, .. }) => holder,
            other => panic!("expected that it is taken, got {other:?}"),
        }
    }

    #[test]
    fn a_locked_file_is_taken_until_the_lock_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sentinel.conf");
        fs::write(&path, "").expect("a file");
        let lock = StateLock::of(&path, "the file", true).expect("free");
        assert_eq!(taken_by(&path), Some(std::process::id()));
        drop(lock);
        StateLock::of(&path, "the file", true).expect("free again");
    }

    #[test]
    fn the_lock_goes_with_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sentinel.conf");
        fs::write(&path, "old").expect("a file");
        let mut lock = StateLock::of(&path, "the file", true).expect("free");
        let successor = tempfile::NamedTempFile::new_in(directory.path()).expect("a file");
        lock.extend_to(successor.as_file());
        let successor = successor.persist(&path).expect("replaced");
        taken_by(&path);
        lock.move_to(successor);
        taken_by(&path);
        drop(lock);
        StateLock::of(&path, "the file", true).expect("free again");
    }

    #[test]
    fn a_place_that_was_replaced_is_locked_anew_or_is_taken() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("state");
        fs::create_dir(&path).expect("made");
        let mut lock = StateLock::of(&path, "the state-dir", false).expect("free");
        assert!(!lock.renew(&path).expect("unchanged"));
        // Moved away and not deleted, so that its number is not given again.
        fs::rename(&path, parent.path().join("old")).expect("moved");
        assert!(!lock.renew(&path).expect("nothing is there"));
        fs::create_dir(&path).expect("made again");
        assert!(lock.renew(&path).expect("free"));
        taken_by(&path);

        fs::rename(&path, parent.path().join("older")).expect("moved");
        fs::create_dir(&path).expect("made again");
        let other = StateLock::of(&path, "the state-dir", false).expect("free");
        let error = lock.renew(&path).expect_err("taken").to_string();
        assert!(error.contains("in use by another coordinator"), "{error}");
        drop(other);
        assert!(lock.renew(&path).expect("free again"));
    }

    #[test]
    fn a_directory_can_be_locked_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let _lock = StateLock::of(directory.path(), "the state-dir", false).expect("free");
        taken_by(directory.path());
        let missing = directory.path().join("missing");
        let error = StateLock::of(&missing, "the state-dir", false).expect_err("missing");
        let words = format!("cannot open the state-dir {}", missing.display());
        assert_eq!(error.to_string(), words);
    }
}
