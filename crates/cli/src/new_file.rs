//! Files that commands write for people: new ones only, and no more readable than what they were made from.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, anyhow};

/// The mode where there is nothing to take it from: passwords may be inside.
const PRIVATE: u32 = 0o600;

/// Writes `text` to a file that does not exist yet, with the mode of the file `like`.
///
/// # Errors
///
/// If it exists, or cannot be written.
pub(crate) fn write(path: &Path, text: &str, like: Option<&Path>) -> anyhow::Result<()> {
    let mode = like
        .and_then(|like| fs::metadata(like).ok())
        .map_or(PRIVATE, |found| found.permissions().mode() & 0o777);
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    if let Err(error) = &created
        && error.kind() == io::ErrorKind::AlreadyExists
    {
        return Err(exists(path));
    }
    let mut file = created.with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

/// Makes sure that [`write()`] would not find the file there already, before something else is written.
///
/// # Errors
/// If it is there.
pub(crate) fn must_be_new(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(exists(path)),
        Err(_) => Ok(()),
    }
}

fn exists(path: &Path) -> anyhow::Error {
    anyhow!(
        "{} is there already and is not written over: choose another name, or move it away",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_and_nothing_is_opened_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        write(&path, "one", None).unwrap();
        assert!(write(&path, "two", None).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
    }
}
