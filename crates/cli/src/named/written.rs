//! The files that the daemon makes or writes: whether this user could do so. Makes none of them.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use bellwether_conf::{Config, Problem};
use rustix::fs::{Access as Mode, access};

use super::{MAKE_IT, beside, enterable, found, hint, warning};

/// Where service managers make directories for a service at its start (`LogsDirectory=`, `RuntimeDirectory=`).
const SERVICE_PLACES: [&str; 3] = ["/run", "/var/run", "/var/log"];

/// All that is wrong with the files that the daemon writes, for the configuration in `file`.
pub(super) fn problems(config: &Config, file: &Path) -> Vec<Problem> {
    let daemon = &config.daemon;
    let place = |path: &Option<PathBuf>| path.as_ref().map(|path| beside(config, path));
    let log = place(&daemon.logfile).and_then(|path| {
        let error = writable(&path).err()?;
        Some(refused(
            "logfile",
            &path,
            format!("cannot log to {}: {error}", path.display()),
            &error,
        ))
    });
    let socket = place(&daemon.unixsocket).and_then(|path| {
        let error = bindable(&path).err()?;
        let message = format!("cannot listen on {}: {error}", path.display());
        Some(refused("unixsocket", &path, message, &error))
    });
    // As at the start, no reason to end.
    let pid = place(&daemon.pidfile).and_then(|path| {
        let error = writable(&path).err()?;
        let message = format!("cannot write the process id to {}: {error}", path.display());
        let hint = match error.kind() {
            io::ErrorKind::NotFound => Some(MAKE_IT),
            kind => hint(kind),
        };
        Some(warning("pidfile", message, hint))
    });
    let own = match daemon.state_dir {
        Some(_) => None,
        None => own_file(config, file),
    };
    [log, socket, pid, own].into_iter().flatten().collect()
}

/// The configuration itself, which holds the state.
fn own_file(config: &Config, file: &Path) -> Option<Problem> {
    // That it is not named is the reason to look.
    const DIRECTIVE: &str = "bellwether state-dir";
    let shown = file.display();
    if let Err(error) = access(file, Mode::WRITE_OK) {
        let error = io::Error::from(error);
        let message = format!("the state is saved in {shown}, which cannot be written: {error}");
        return Some(found(DIRECTIVE, message, hint(error.kind())));
    }
    let directory = parent(file);
    let error = io::Error::from(access(directory, Mode::WRITE_OK).err()?);
    let message = format!(
        "the state is saved in {shown}, which cannot be replaced: its directory {} is not writable: {error}",
        directory.display()
    );
    let hint = hint(error.kind());
    // Without an id there is something to be saved at the start.
    Some(match config.my_id {
        None => found(DIRECTIVE, message, hint),
        Some(_) => warning(DIRECTIVE, message, hint),
    })
}

/// A file that cannot be made, at the directive that names it.
fn refused(directive: &str, path: &Path, message: String, error: &io::Error) -> Problem {
    if error.kind() != io::ErrorKind::NotFound {
        return found(directive, message, hint(error.kind()));
    }
    let is_of_service = SERVICE_PLACES.iter().any(|place| path.starts_with(place));
    match is_of_service {
        true => warning(directive, message, Some(MAKE_IT)),
        false => found(
            directive,
            message,
            Some("its directory must be there: the daemon does not make it"),
        ),
    }
}

/// Whether a file can be written, or made if it is not there.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Mode::WRITE_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => takes_files(parent(path)),
        Err(error) => Err(error),
    }
}

/// Whether a socket can be made, in place of one that may be left over.
fn bindable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            let problem = "there is a file of this name that is no socket";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, problem))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => takes_files(parent(path)),
    }
}

fn takes_files(directory: &Path) -> io::Result<()> {
    enterable(directory)?;
    Ok(access(directory, Mode::WRITE_OK)?)
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}
