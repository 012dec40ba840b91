//! The file with the number of this process. Owns what may become one; its removal is the daemon's.

use std::fs;
use std::path::Path;

use tracing::warn;

use crate::small_file;

/// Writes the number of this process. Whether the file is ours now, to be removed at the end.
///
/// As Sentinel, a failure is only logged. Unlike Sentinel, which under root removes a device at its end, it leaves alone what is no
/// regular file.
pub(super) fn write(path: &Path) -> bool {
    let is_fit = match fs::metadata(path) {
        Ok(metadata) => small_file::check_regular(&metadata),
        Err(_) => Ok(()),
    };
    let written = is_fit.and_then(|()| fs::write(path, format!("{}\n", std::process::id())));
    if let Err(error) = &written {
        warn!("cannot write the pid file {}: {error}", path.display());
    }
    written.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_regular_file_or_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        for _ in 0..2 {
            assert!(write(&path));
            let text = fs::read_to_string(&path).expect("the file");
            assert_eq!(text, format!("{}\n", std::process::id()));
        }
        assert!(!write(&directory.path().join("none/pid")));
        // Nobody reads from this pipe: to write into it would take for ever.
        assert!(!write(&small_file::tests::pipe(directory.path())));
        if let Some(zeros) = small_file::tests::zeros(directory.path()) {
            assert!(!write(&zeros));
        }
    }
}
