//! Files that commands write for people: new ones only, and no more readable than what they were made from.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::Context;

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
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
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
