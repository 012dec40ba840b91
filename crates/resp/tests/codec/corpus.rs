//! The kept inputs: real ones, and odd ones worth keeping. A fuzzer's finding becomes a file here.

use std::{fs, path::Path};

/// The files under `testdata/corpus/<direction>`, by name.
pub(crate) fn load(direction: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/corpus")
        .join(direction);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{} has lost its files", dir.display());
    files
}
