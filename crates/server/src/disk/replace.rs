//! Replacing a file so that a crash leaves the old or the new one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tracing::{info, warn};

use super::SaveError;
use super::lock::StateLock;
use crate::small_file;

/// The mode of a file that is new: the state has passwords in it. Unlike Sentinel, which leaves it to the umask.
const NEW_FILE_MODE: u32 = 0o600;

/// What the name of a new file ends with, so that no pattern of an `include` hits it.
const SUFFIX: &str = ".tmp";

/// How many letters tell new files apart.
const RANDOM_LEN: usize = 6;

/// Writes next to `path`, syncs, renames over it, syncs the directory. A lock, if there is one,
/// goes from the old file to the new one.
pub(crate) fn replace(path: &Path, content: &[u8], lock: Option<&mut StateLock>) -> Result<(), SaveError> {
    let refused = |what: &str, error: io::Error| {
        // Without the name of the temporary file, which is another one each time: the same failure has to look
        // the same.
        let error = error.to_string();
        let why = error.split_once(" at path ").map_or(&*error, |(why, _)| why);
        SaveError::Refused(format!("cannot {what} {}: {why}", path.display()))
    };
    // As root it could put a file in the place of a device, which the whole machine needs.
    if let Ok(metadata) = fs::metadata(path) {
        small_file::check_regular(&metadata).map_err(|error| refused("replace", error))?;
    }
    let directory = directory_of(path);
    // Dropped on every early return, which removes it.
    let prefix = temporary_prefix(path);
    let mut temporary = builder(&prefix)
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(directory)
        .map_err(|error| refused("write a new file beside", error))?;
    // Tells `sweep` of another process that somebody is at work on it. Where there are no locks nothing is swept.
    let _ = flock(temporary.as_file(), FlockOperation::NonBlockingLockExclusive);
    // Unlike Sentinel, which makes the file readable for all again after an operator has closed it, and gives it to
    // whoever runs the daemon: after a trial as root, the usual user could not start on it any more.
    if let Ok(metadata) = fs::metadata(path) {
        if metadata.uid() != rustix::process::geteuid().as_raw()
            || metadata.gid() != rustix::process::getegid().as_raw()
        {
            // Only root may; for anybody else the file changes hands as with the reference.
            let _ =
                std::os::unix::fs::fchown(temporary.as_file(), Some(metadata.uid()), Some(metadata.gid()));
        }
        let mode = Permissions::from_mode(metadata.permissions().mode() & 0o777);
        temporary
            .as_file()
            .set_permissions(mode)
            .map_err(|error| refused("keep the mode of", error))?;
    }
    temporary
        .write_all(content)
        .map_err(|error| refused("write a new file beside", error))?;
    temporary
        .as_file()
        .sync_all()
        .map_err(|error| sync_failed(path, error))?;
    if let Some(lock) = &lock {
        lock.extend_to(temporary.as_file());
    }
    let replaced = temporary
        .persist(path)
        .map_err(|error| refused("replace", error.error))?;
    if let Some(lock) = lock {
        lock.move_to(replaced);
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| SaveError::Sync {
            what: directory.to_owned(),
            source,
        })
}

/// Removes what processes that were killed during [`replace`] have left beside `path`. Those of a process that is still at work
/// are locked and stay, and so does everything that has another name: copies that operators have made are theirs.
pub(crate) fn sweep(path: &Path) {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A directory that cannot be listed can still do for the file.
    let Ok(entries) = fs::read_dir(directory_of(&path)) else {
        return;
    };
    let prefix = temporary_prefix(&path);
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
        if !is_file || !is_temporary(&entry.file_name(), &prefix) {
            continue;
        }
        let leftover = entry.path();
        let Ok(file) = File::open(&leftover) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match fs::remove_file(&leftover) {
            Ok(()) => info!(
                "removed {}, which a process that was killed has left",
                leftover.display()
            ),
            Err(error) => warn!(
                "cannot remove {}, which a process that was killed has left: {error}",
                leftover.display()
            ),
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What the names of new files for `path` begin with.
pub(super) fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".bellwether-");
    prefix
}

/// Makes new files with names that [`is_temporary`] knows.
pub(super) fn builder(prefix: &OsStr) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM_LEN).suffix(SUFFIX);
    builder
}

pub(super) fn is_temporary(name: &OsStr, prefix: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.strip_prefix(prefix.as_encoded_bytes())
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()))
        .is_some_and(|random| random.len() == RANDOM_LEN && random.iter().all(u8::is_ascii_alphanumeric))
}

/// Some file systems find only now that there is no room. Nothing was renamed, so the old file is intact and
/// this is no different from a write that failed. Any other failure means a disk that loses data.
fn sync_failed(path: &Path, source: io::Error) -> SaveError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SaveError::Refused(format!(
                "cannot write a new file beside {}: {source}",
                path.display()
            ))
        }
        _ => SaveError::Sync {
            what: path.to_owned(),
            source,
        },
    }
}
