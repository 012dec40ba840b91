//! Replacing a file so that a crash leaves the old or the new one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::SaveError;
use super::lock::StateLock;

/// The mode of a file that is new: the state has passwords in it. Unlike Sentinel, which leaves it to the umask.
const NEW_FILE_MODE: u32 = 0o600;

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
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    // Dropped on every early return, which removes it.
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(directory)
        .map_err(|error| refused("write a new file beside", error))?;
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
