//! Where the programs under test are. A missing one is an error that says how to get it, never a skipped test.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// `redis-server`, or what `BELLWETHER_REDIS_SERVER` names.
///
/// # Errors
/// When it is not installed.
pub fn redis_server() -> Result<PathBuf> {
    installed("BELLWETHER_REDIS_SERVER", "redis-server")
}

/// `redis-sentinel`, or what `BELLWETHER_REDIS_SENTINEL` names.
///
/// # Errors
/// When it is not installed.
pub fn redis_sentinel() -> Result<PathBuf> {
    installed("BELLWETHER_REDIS_SENTINEL", "redis-sentinel")
}

/// `valkey-server`, or what `BELLWETHER_VALKEY_SERVER` names.
///
/// # Errors
/// When it is not installed.
pub fn valkey_server() -> Result<PathBuf> {
    installed("BELLWETHER_VALKEY_SERVER", "valkey-server")
}

/// `valkey-sentinel`, or what `BELLWETHER_VALKEY_SENTINEL` names.
///
/// # Errors
/// When it is not installed.
pub fn valkey_sentinel() -> Result<PathBuf> {
    installed("BELLWETHER_VALKEY_SENTINEL", "valkey-sentinel")
}

/// The binary under test: `BELLWETHER_BIN`, or `bellwether` in the profile directory of the running executable.
///
/// # Errors
/// When there is none.
pub fn bellwether() -> Result<PathBuf> {
    if let Some(path) = env::var_os("BELLWETHER_BIN") {
        // Daemons run in directories of their own, so a relative path must be fixed here. Links stay: a program may
        // behave by the name it is called by.
        let path = std::path::absolute(PathBuf::from(path)).context("the path in BELLWETHER_BIN")?;
        ensure!(
            path.is_file(),
            "BELLWETHER_BIN names {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    let profile_dir = profile_dir()?;
    let path = profile_dir.join("bellwether");
    if !path.is_file() {
        bail!(
            "{} does not exist: build it first with `cargo build` (the same profile and target directory), \
             or name another binary in BELLWETHER_BIN",
            path.display()
        );
    }
    Ok(path)
}

/// Where `scripts/install-test-clients.sh` puts the client libraries.
///
/// # Errors
/// When the directory cannot be told.
pub fn test_clients_dir() -> Result<PathBuf> {
    if let Some(path) = env::var_os("BELLWETHER_TEST_CLIENTS") {
        return Ok(PathBuf::from(path));
    }
    let profile_dir = profile_dir()?;
    let target = profile_dir
        .parent()
        .context("the profile directory has no parent")?;
    Ok(target.join("test-clients"))
}

/// A program that this package builds beside its tests.
///
/// # Errors
/// When it is not built.
pub fn of_this_package(name: &str) -> Result<PathBuf> {
    let path = profile_dir()?.join(name);
    ensure!(
        path.is_file(),
        "{} does not exist: build it with `cargo build -p bellwether-tests`",
        path.display()
    );
    Ok(path)
}

/// `target/<profile>`: test executables lie in its `deps`, programs directly in it.
fn profile_dir() -> Result<PathBuf> {
    let exe = env::current_exe().context("finding the running executable")?;
    let dir = exe.parent().context("the running executable has no directory")?;
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_owned())
}

fn installed(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Ok(PathBuf::from(path));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    match env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
    {
        Some(file) => Ok(file),
        None => bail!(
            "{name} is not in PATH: install the Debian package {name}, or run scripts/install-test-servers.sh; \
             {variable} can name another program"
        ),
    }
}

fn is_executable(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}
