//! Reading files that an operator names: passwords, certificates, users, state, included configuration.
//!
//! Owns what may be read and how much of it. A file whose reading might wait for somebody, or never end, is refused
//! before a byte of it is asked for. Never judges what is in a file.

use std::fs::{FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// A whole file, and what the system knows of it.
#[derive(Debug)]
pub(crate) struct SmallFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata: Metadata,
}

/// Reads a file of at most `max_bytes`. Symbolic links are followed.
///
/// # Errors
/// If it cannot be read, is longer, or is no regular file: nobody may ever write into a named pipe, and `/dev/zero` has no
/// end. The error says what is wrong and leaves it to the caller to name the file.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<SmallFile> {
    // Before it is opened, because opening some devices does something. A socket cannot be opened at all.
    check_regular(&path.metadata()?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    // Not waiting for the other end, should it have become a named pipe just now.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("it is longer than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(SmallFile { bytes, metadata })
}

/// Reads a text of at most `max_bytes` bytes from a regular file.
///
/// # Errors
/// If it cannot be read, is longer, is no regular file or holds no UTF-8. The caller names the file.
pub fn read_small_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    String::from_utf8(read(path, max_bytes)?.bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is not UTF-8 in line {line}"),
        )
    })
}

/// Refuses what is no regular file, and says what it is.
///
/// # Errors
/// If it is none.
pub(crate) fn check_regular(metadata: &Metadata) -> io::Result<()> {
    match kind(metadata.file_type()) {
        None => Ok(()),
        Some("a directory") => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory and no regular file",
        )),
        Some(kind) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {kind} and no regular file"),
        )),
    }
}

/// What it is; `None` for a regular file.
fn kind(file_type: FileType) -> Option<&'static str> {
    match file_type {
        _ if file_type.is_file() => None,
        _ if file_type.is_dir() => Some("a directory"),
        _ if file_type.is_fifo() => Some("a named pipe"),
        _ if file_type.is_socket() => Some("a socket"),
        _ if file_type.is_char_device() || file_type.is_block_device() => Some("a device"),
        _ => Some("something else"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    use super::*;

    /// A named pipe that nobody writes into.
    pub(crate) fn pipe(directory: &Path) -> PathBuf {
        let path = directory.join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        path
    }

    /// A device of our own that gives zeros without end; `None` where this process may not make one.
    pub(crate) fn zeros(directory: &Path) -> Option<PathBuf> {
        let path = directory.join("zeros");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(1, 5)).ok()?;
        Some(path)
    }

    #[test]
    fn a_regular_file_is_read_up_to_its_limit_also_by_a_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&path, "text").expect("written");
        symlink(&path, &link).expect("a link");
        assert_eq!(read_small_text(&link, 4).expect("a text"), "text");
        let error = read_small_text(&path, 3).expect_err("too long");
        assert_eq!(error.to_string(), "it is longer than 3 bytes");
        fs::write(&path, b"a\n\xff").expect("written");
        let error = read_small_text(&path, 4).expect_err("no text");
        assert_eq!(error.to_string(), "it is not UTF-8 in line 2");
        let error = read(&directory.path().join("none"), 1).expect_err("missing");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// Without the check the first of these never comes back.
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let check = |path: &Path, what: &str| {
            let error = read(path, 1 << 20).expect_err(what);
            assert_eq!(error.to_string(), format!("it is {what} and no regular file"));
        };
        let pipe = pipe(directory.path());
        check(&pipe, "a named pipe");
        let link = directory.path().join("link");
        symlink(&pipe, &link).expect("a link");
        check(&link, "a named pipe");
        check(directory.path(), "a directory");
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        check(&socket, "a socket");
        if let Some(zeros) = zeros(directory.path()) {
            check(&zeros, "a device");
        }
    }
}
