//! The log of decisions of one member, in one file of the state directory.
//!
//! Owns the file, its format and the one database in it. One [`Write`] is one commit, durable before [`LogStore::write`]
//! comes back. Never judges what is in the log: `bellwether_raft` does so when a member is started from it.
//!
//! A crash at any moment leaves the last acknowledged write, or the one that was under way, whole. A file that is
//! damaged is refused and never mended by going back to something older: what was promised after that would be
//! forgotten, and two leaders of one term could be the end of it. For this every commit is made in two phases, each with a
//! sync of its own, because after a commit in one the database cannot tell damage from a write that never ended.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bellwether_raft::{Entry, Restored, Snapshot, Write};
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
use rustix::fs::OFlags;

use self::format::{BadRow, CHUNK, Head, SnapshotHead};
use super::replace;
use crate::small_file;

mod format;

/// The name of the file in the state directory.
pub const LOG_FILE: &str = "raft.redb";

/// Only the owner: decisions name what clients must not see, such as passwords.
const FILE_MODE: u32 = 0o600;

/// What the file of any database of this kind begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// How much of the file the database may keep in memory. The log is read once, at the start, and kept by raft.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// From which size on a file is worth being made smaller at the start.
const COMPACT_FROM: u64 = 8 * 1024 * 1024;

/// How many times its contents such a file must have. A snapshot is written beside the one it replaces, and blocks are
/// powers of two, so up to three times is what it is used to.
const COMPACT_TIMES: u64 = 4;

const HEAD: TableDefinition<'_, (), &[u8]> = TableDefinition::new("bellwether-head");
const SNAPSHOT: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("bellwether-snapshot");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bellwether-entries");

/// The log of decisions of one member. Its calls block, so it belongs on a thread of its own.
#[derive(Debug)]
pub struct LogStore {
    path: PathBuf,
    /// Device and number of the file that is open.
    file: (u64, u64),
    /// `None` after a write has failed.
    database: Option<Database>,
    head: Head,
}

/// Why the log cannot be had or written.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// The system refuses something. After a failed write it is not known whether what was to be written is there.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Something else has made it.
    #[error("{} is no log of decisions: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        problem: String,
    },
    /// A later version has written it.
    #[error("{} was written by a later version: its format is {found}, this version knows those up to {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
        /// The latest version that is known here.
        known: u32,
    },
    /// It is not as it was written.
    #[error("{} is damaged: {problem}; a member that has lost its log may only come back under a new member id, with an empty state-dir", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        problem: String,
    },
    /// Another file, or none, is in its place since it was opened: what would be written now would not be found again.
    #[error("{} was removed or replaced while it was in use", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write has failed.
    #[error("an earlier write to {} has failed, it must be opened again", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// What was to be written does not fit what is there. Nothing was written.
    #[error("write {seq} does not fit the log in {}: {problem}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The number of the write.
        seq: u64,
        /// In what way.
        problem: String,
    },
}

impl LogStore {
    /// Opens the log in a state directory, and makes an empty one if there is no file. Who calls this holds the
    /// [`StateLock`](crate::StateLock) of the directory; the file itself is locked besides, as long as it is open.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or made, is in use, or is not as the last completed write left it.
    pub fn open(directory: &Path) -> Result<(Self, Restored), LogStoreError> {
        let path = directory.join(LOG_FILE);
        replace::sweep(&path);
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(directory, &path)?,
            Err(source) => return Err(failed("open", &path, source)),
        }
        let (mut database, file) = open_database(&path)?;
        // The checksums of all pages. They would not be looked at where the database was closed in good order.
        guarded("check", &path, || Ok(database.check_integrity()?))?;
        let (head, restored, used) = guarded("read", &path, || load(&database, &path))?;
        if file.len() > COMPACT_FROM && file.len() / COMPACT_TIMES > used {
            database = compact(database, &path)?;
        }
        let store = Self {
            file: identity(&file),
            database: Some(database),
            head,
            path,
        };
        Ok((store, restored))
    }

    /// Carries out a write, all of it or nothing. When it comes back, it is durable. Blocks.
    ///
    /// # Errors
    ///
    /// If it does not fit what is there ([`LogStoreError::Unfit`]): then nothing has happened. After any other error it is
    /// not known whether it is there, every later write is refused, and the log must be [opened](Self::open) again.
    pub fn write(&mut self, write: &Write) -> Result<(), LogStoreError> {
        let path = &self.path;
        let Some(database) = &self.database else {
            return Err(LogStoreError::Closed { path: path.clone() });
        };
        let head = self.head.after(write).map_err(|problem| {
            let (path, seq) = (path.clone(), write.seq);
            LogStoreError::Unfit { path, seq, problem }
        })?;
        let outcome = check_place(path, self.file)
            .and_then(|()| guarded("write", path, || commit(database, &head, write)));
        match outcome {
            Ok(()) => self.head = head,
            Err(_) => self.database = None,
        }
        outcome
    }
}

/// What went wrong in the middle of something.
enum Failure {
    Database(redb::Error),
    Known(LogStoreError),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// Runs something that may find the file damaged in any way. The database has assertions about what it reads, and a
/// damaged file can fail one; that too is then an error like others.
fn guarded<T>(
    what: &'static str,
    path: &Path,
    run: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, LogStoreError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure::Known(error))) => Err(error),
        Ok(Err(Failure::Database(error))) => Err(name(what, path, error)),
        Err(_) => Err(damaged(path, "the database cannot make sense of it")),
    }
}

fn name(what: &'static str, path: &Path, error: redb::Error) -> LogStoreError {
    use redb::Error;
    match error {
        // The file ends before something that it is said to hold.
        Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "it is cut short")
        }
        Error::Io(source) => failed(what, path, source),
        Error::DatabaseAlreadyOpen => LogStoreError::InUse {
            path: path.to_owned(),
        },
        Error::TableDoesNotExist(table) => foreign(path, &format!("it has no table {table}")),
        Error::UpgradeRequired(version) => foreign(path, &format!("its database is of version {version}")),
        error @ (Error::TableTypeMismatch { .. } | Error::TableIsMultimap(_)) => {
            foreign(path, &error.to_string())
        }
        Error::Corrupted(problem) => damaged(path, &problem),
        error => damaged(path, &error.to_string()),
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> LogStoreError {
    let path = path.to_owned();
    LogStoreError::Io { what, path, source }
}

fn damaged(path: &Path, problem: &str) -> LogStoreError {
    let (path, problem) = (path.to_owned(), problem.to_owned());
    LogStoreError::Damaged { path, problem }
}

fn foreign(path: &Path, problem: &str) -> LogStoreError {
    let (path, problem) = (path.to_owned(), problem.to_owned());
    LogStoreError::Foreign { path, problem }
}

/// Makes an empty log under another name first: what has its own name is complete, so that an empty or unfinished file
/// there is known as damage.
fn create(directory: &Path, path: &Path) -> Result<(), LogStoreError> {
    let what = "make";
    let io = |source| failed(what, path, source);
    let prefix = replace::temporary_prefix(path);
    let temporary = replace::builder(&prefix)
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(directory)
        .map_err(io)?;
    let file = temporary.reopen().map_err(io)?;
    guarded(what, path, || {
        let database = builder().create_file(file)?;
        commit(&database, &Head::default(), &Write::default())
    })?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary
        .persist_noclobber(path)
        .map_err(|error| io(error.error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Opens what has the form of a database.
fn open_database(path: &Path) -> Result<(Database, Metadata), LogStoreError> {
    let what = "open";
    let io = |source| failed(what, path, source);
    small_file::check_regular(&fs::metadata(path).map_err(io)?).map_err(io)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    small_file::check_regular(&metadata).map_err(io)?;
    let mut magic = [0; MAGIC.len()];
    let len = usize::try_from(metadata.len())
        .unwrap_or(usize::MAX)
        .min(MAGIC.len());
    let start = magic.get_mut(..len).unwrap_or_default();
    std::os::unix::fs::FileExt::read_exact_at(&file, start, 0).map_err(io)?;
    if start != MAGIC.get(..len).unwrap_or_default() {
        return Err(foreign(path, "it is no database"));
    }
    // The database would take an empty file for a new one.
    if len < MAGIC.len() {
        return Err(damaged(path, "it is cut short"));
    }
    let database = guarded(what, path, || Ok(builder().create_file(file)?))?;
    Ok((database, metadata))
}

/// Reads everything. Gives how many bytes of the file that needs, too.
fn load(database: &Database, path: &Path) -> Result<(Head, Restored, u64), Failure> {
    let damaged = |problem: String| Failure::Known(damaged(path, &problem));
    let read = database.begin_read()?;
    let row = read.open_table(HEAD)?.get(())?;
    let row = row.ok_or_else(|| damaged("its head is missing".to_owned()))?;
    let head = Head::decode(row.value()).map_err(|bad| match bad {
        BadRow::Version(found) => {
            let (path, known) = (path.to_owned(), format::VERSION);
            Failure::Known(LogStoreError::Version { path, found, known })
        }
        BadRow::Damaged => damaged("its head is not as it was written".to_owned()),
    })?;
    let table = read.open_table(SNAPSHOT)?;
    let mut used = table.stats()?.stored_bytes();
    let snapshot = match head.snapshot {
        Some(head) => Some(
            load_snapshot(&table, head)?
                .ok_or_else(|| damaged(format!("the snapshot at {} is not as it was written", head.index)))?,
        ),
        None => None,
    };
    let table = read.open_table(ENTRIES)?;
    used += table.stats()?.stored_bytes();
    if table.len()? != head.count() {
        return Err(damaged(format!(
            "it has {} entries of {}",
            table.len()?,
            head.count()
        )));
    }
    let mut entries = Vec::new();
    for (index, row) in (head.first..head.end).zip(table.iter()?) {
        let (key, row) = row?;
        let entry = match key.value() == index {
            true => format::decode_entry(index, row.value()).ok(),
            false => None,
        };
        entries.push(entry.ok_or_else(|| damaged(format!("entry {index} is not as it was written")))?);
    }
    let restored = Restored {
        identity: head.identity,
        hard: head.hard,
        snapshot,
        entries,
        applied: 0,
    };
    Ok((head, restored, used))
}

/// `None` if it is not as its head tells.
fn load_snapshot(
    table: &redb::ReadOnlyTable<u32, &'static [u8]>,
    head: SnapshotHead,
) -> Result<Option<Snapshot>, Failure> {
    let mut bytes = Vec::new();
    for row in table.iter()? {
        let (_, row) = row?;
        bytes.extend_from_slice(row.value());
        if bytes.len() as u64 > head.len {
            return Ok(None);
        }
    }
    let SnapshotHead { index, term, .. } = head;
    Ok((SnapshotHead::of(index, term, &bytes) == head).then_some(Snapshot { index, term, bytes }))
}

/// Writes what is to be written, and the head as it is then.
fn commit(database: &Database, head: &Head, write: &Write) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        if write.reset {
            entries.retain(|_, _| false)?;
        } else if write.drop_to > 0 {
            entries.retain_in(..=write.drop_to, |_, _| false)?;
        }
        if let Some(Entry { index, .. }) = write.entries.first() {
            entries.retain_in(*index.., |_, _| false)?;
        }
        for entry in &write.entries {
            entries.insert(entry.index, format::encode_entry(entry).as_slice())?;
        }
    }
    {
        let mut chunks = transaction.open_table(SNAPSHOT)?;
        if let Some(snapshot) = &write.snapshot {
            chunks.retain(|_, _| false)?;
            for (number, chunk) in (0..).zip(snapshot.bytes.chunks(CHUNK)) {
                chunks.insert(number, chunk)?;
            }
        }
    }
    transaction
        .open_table(HEAD)?
        .insert((), head.encode().as_slice())?;
    transaction.commit()?;
    Ok(())
}

/// Makes the file smaller. That it cannot be made so, for want of room, is no reason not to start.
fn compact(mut database: Database, path: &Path) -> Result<Database, LogStoreError> {
    match guarded("compact", path, || Ok(database.compact()?)) {
        Ok(_) => Ok(database),
        Err(error) => {
            tracing::warn!("{error}; it stays as large as it is");
            drop(database);
            open_database(path).map(|(database, _)| database)
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Makes sure that what is about to be written will be found again at the next start.
fn check_place(path: &Path, file: (u64, u64)) -> Result<(), LogStoreError> {
    match fs::metadata(path) {
        Ok(there) if identity(&there) == file => Ok(()),
        Ok(_) => Err(LogStoreError::Replaced {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LogStoreError::Replaced {
            path: path.to_owned(),
        }),
        Err(source) => Err(failed("find", path, source)),
    }
}

#[cfg(test)]
mod tests;
