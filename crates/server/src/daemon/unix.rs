//! The file by which clients of this machine come in (`unixsocket`).
//!
//! Owns making it, with its permissions, and removing it. Never takes away what somebody else needs.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use tracing::{info, warn};

use crate::listener::UnixEntrance;

/// Listens on a file that only those may use whom `permissions` let; without any the process's umask decides.
///
/// # Errors
/// If the file cannot be made, or there is one that is not left over from a process that has ended.
pub(super) fn listen(path: &Path, permissions: Option<u32>, backlog: i32) -> io::Result<UnixEntrance> {
    remove_leftover(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = File::made(path)?;
    if let Some(mode) = permissions {
        // Before anyone can connect, which is only possible after `listen`.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())?;
    Ok(UnixEntrance {
        listener,
        path: Arc::from(path),
        _file: Box::new(file),
    })
}

/// Removes the file of a process that was killed. Unlike Sentinel, which removes whatever has the name, a socket that
/// somebody serves and a file that is no socket stay, and end the start: the other process would never learn that
/// nobody finds it any more.
fn remove_leftover(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let problem = "there is a file of this name that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A server that is too busy to accept would otherwise hold up the start.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process serves it",
        )),
    }
}

/// The file as it was made. It is removed in the end, unless another one has taken its place.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Device and number on it.
    identity: (u64, u64),
}

impl File {
    fn made(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            // Should the working directory change.
            path: std::path::absolute(path)?,
            identity: (metadata.dev(), metadata.ino()),
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if !is_ours {
            return;
        }
        info!("Removing the unix socket file.");
        if let Err(error) = fs::remove_file(&self.path) {
            warn!("cannot remove the unix socket {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("the file").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_file_has_its_permissions_and_goes_with_the_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        let entrance = listen(&path, Some(0o640), 5).expect("a socket");
        assert_eq!(mode(&path), 0o640);
        drop(entrance);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        let entrance = listen(&path, None, 5).expect("the name is free");
        let client = tokio::net::UnixStream::connect(&path).await;
        assert!(client.is_ok(), "{client:?}");
        drop(entrance);
    }

    #[tokio::test]
    async fn what_others_need_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let (served, file) = (directory.path().join("s.sock"), directory.path().join("file"));
        let other = std::os::unix::net::UnixListener::bind(&served).expect("a socket");
        let error = listen(&served, None, 5).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        fs::write(&file, "precious").expect("a file");
        let error = listen(&file, None, 5).expect_err("no socket");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).expect("still there"), "precious");
        drop(other);
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        let entrance = listen(&path, None, 5).expect("a socket");
        fs::rename(&path, directory.path().join("old")).expect("moved away");
        let successor = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        drop(entrance);
        assert!(path.exists());
        drop(successor);
    }
}
