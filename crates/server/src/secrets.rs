//! Passwords that stand in files of their own, or in the environment.
//!
//! Owns where they are looked for and how a file is read. What was read is a [`Secret`], which shows itself nowhere,
//! and is never written into the configuration or the state.

mod renew;

use std::env;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bellwether_conf::Config;
use bellwether_core::Secret;
use tracing::warn;

pub(crate) use renew::Renewal;

use crate::small_file::{self, SmallFile};

/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The environment's word for `requirepass`.
pub(crate) const REQUIREPASS: &str = "BELLWETHER_REQUIREPASS";

/// Longest file. A line of a configuration may be as long.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a password cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("bellwether {directive}: cannot read {}", path.display())]
    Read {
        /// Which directive names it.
        directive: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds no password.
    #[error("bellwether {directive}: {} {reason}", path.display())]
    Content {
        /// Which directive names it.
        directive: &'static str,
        /// The file.
        path: PathBuf,
        /// In which way.
        reason: &'static str,
    },
    /// The environment holds no text.
    #[error("{REQUIREPASS} in the environment is no text")]
    Environment,
}

/// Puts into `config` the passwords of this coordinator: from their files, or from the environment where the
/// configuration is silent.
///
/// # Errors
/// If one cannot be had.
pub(crate) fn read_own(config: &mut Config) -> Result<(), SecretError> {
    let files = config.secret_files.clone();
    if let Some(path) = &files.requirepass {
        config.daemon.requirepass = Some(from_file("requirepass-file", path)?);
    }
    if let Some(path) = &files.sentinel_pass {
        config.sentinel.sentinel_pass = Some(from_file("sentinel-pass-file", path)?);
    }
    match env::var(REQUIREPASS) {
        Ok(_) if config.daemon.requirepass.is_some() => {
            warn!("{REQUIREPASS} is ignored, because the configuration has a password");
        }
        Ok(password) => {
            config.daemon.requirepass = Some(password.as_str())
                .filter(|text| !text.is_empty())
                .map(Secret::new)
        }
        Err(env::VarError::NotPresent) => {}
        Err(env::VarError::NotUnicode(_)) => return Err(SecretError::Environment),
    }
    Ok(())
}

/// Puts into `config` the passwords of the groups. After the state, whose place they take.
///
/// # Errors
/// If a file cannot be used.
pub(crate) fn read_groups(config: &mut Config) -> Result<(), SecretError> {
    for (group, path) in &config.secret_files.auth_pass {
        let secret = from_file("auth-pass-file", path)?;
        if let Some(record) = config.groups.get_mut(group) {
            record.options.auth_pass = Some(secret);
        }
    }
    Ok(())
}

/// The password in a file, as the daemon reads it. `directive` is the word behind `bellwether`.
///
/// # Errors
/// If it cannot be had.
pub fn read_secret_file(directive: &'static str, path: &Path) -> Result<Secret, SecretError> {
    from_file(directive, path)
}

/// Whether this path means a credential of a service, and no service runs this.
#[must_use]
pub fn is_absent_credential(path: &Path) -> bool {
    is_bare(path) && env::var_os(CREDENTIALS).is_none()
}

fn from_file(directive: &'static str, path: &Path) -> Result<Secret, SecretError> {
    let path = place(path, env::var_os(CREDENTIALS).map(PathBuf::from));
    let failed = |source| SecretError::Read {
        directive,
        path: path.clone(),
        source,
    };
    let refuse = |reason| SecretError::Content {
        directive,
        path: path.clone(),
        reason,
    };
    let SmallFile { bytes, metadata } = match small_file::read(&path, MAX_BYTES) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(refuse("is too long for a password"));
        }
        Err(error) => return Err(failed(error)),
    };
    if metadata.mode() & 0o007 != 0 {
        warn!(
            "bellwether {directive}: {} is open to every user of this machine",
            path.display()
        );
    }
    let text = str::from_utf8(&bytes).map_err(|_| refuse("holds no text"))?;
    // Editors and `echo` end a file with a line break; no password does.
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(refuse("is empty"));
    }
    if password.contains(['\r', '\n', '\0']) {
        return Err(refuse("holds more than one line"));
    }
    Ok(Secret::new(password))
}

/// A bare name means a credential of the service where there are any.
fn place(path: &Path, credentials: Option<PathBuf>) -> PathBuf {
    match credentials.filter(|_| is_bare(path)) {
        Some(directory) => directory.join(path),
        None => path.to_owned(),
    }
}

/// A name without any directory, not even `.`.
fn is_bare(path: &Path) -> bool {
    path.components().count() == 1 && !path.is_absolute()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bare_names_are_credentials() {
        let credentials = || Some(PathBuf::from("/run/credentials/b"));
        for (path, expected) in [
            ("pass", "/run/credentials/b/pass"),
            ("./pass", "./pass"),
            ("dir/pass", "dir/pass"),
            ("/pass", "/pass"),
        ] {
            assert_eq!(
                place(Path::new(path), credentials()),
                Path::new(expected),
                "{path}"
            );
        }
        assert_eq!(place(Path::new("pass"), None), Path::new("pass"));
    }

    #[test]
    fn a_file_holds_one_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pass");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            from_file("requirepass-file", &path)
        };
        for good in [&b"a b"[..], b"a b\n", b"a b\r\n"] {
            assert_eq!(read(good).expect("a password").expose(), "a b");
        }
        for bad in [&b""[..], b"\n", b"a\nb", b"\xff", &[b'a'; 65 * 1024]] {
            let error = read(bad).expect_err("no password").to_string();
            assert!(
                error.starts_with("bellwether requirepass-file: ") && error.contains("pass "),
                "{error}"
            );
        }
        let pipe = small_file::tests::pipe(dir.path());
        let error = from_file("requirepass-file", &pipe).expect_err("a pipe");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert_eq!(cause, "it is a named pipe and no regular file");
        let missing = from_file("requirepass-file", Path::new("/nowhere/pass")).expect_err("missing");
        assert_eq!(
            missing.to_string(),
            "bellwether requirepass-file: cannot read /nowhere/pass"
        );
    }
}
