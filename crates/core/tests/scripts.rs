//! Text scripts: one file for each situation in `testdata/`, inputs as commands, effects as text.
//!
//! A line at the margin is a command (see `stage`), a comment with `#`, or blank; the lines indented below a
//! command are what came out of the coordinator, each with its time in milliseconds. `UPDATE=1` rewrites the
//! indented lines; read the difference before keeping it.

mod seeded;
mod stage;
mod world;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use stage::Stage;

/// What starts each line of output.
const INDENT: &str = "  ";

#[test]
fn scripts_come_out_as_written() {
    seeded::plant_named_bug();
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for path in scripts() {
        let written = std::fs::read_to_string(&path).expect("a script is text");
        let actual = play(&path, &written);
        if actual == written {
            continue;
        }
        if update {
            std::fs::write(&path, &actual).expect("the script can be rewritten");
        }
        differing.push(format!(
            "{}:\n{}",
            path.display(),
            first_difference(&written, &actual)
        ));
    }
    assert!(update || differing.is_empty(), "{}", differing.join("\n"));
}

/// All scripts, or those whose name holds the text in `ONLY`.
fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let only = std::env::var_os("ONLY").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory of scripts")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| path.to_string_lossy().contains(&*only.to_string_lossy()))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no script is called {only:?}");
    paths
}

/// Plays one script; gives it back with what came out.
fn play(path: &Path, script: &str) -> String {
    let mut stage = Stage::new();
    let mut text = String::new();
    for (index, line) in script.lines().enumerate() {
        if line.starts_with(INDENT) {
            continue;
        }
        writeln!(text, "{line}").expect("writing to a string");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| stage.command(line)));
        let outcome = outcome.unwrap_or_else(|_| Err("it panicked, as told above".to_owned()));
        if let Err(problem) = outcome {
            panic!("{}:{}: {line}: {problem}", path.display(), index + 1);
        }
        for line in stage.take_output() {
            writeln!(text, "{INDENT}{line}").expect("writing to a string");
        }
    }
    text
}

fn first_difference(written: &str, actual: &str) -> String {
    let mut pairs = written.lines().zip(actual.lines()).enumerate();
    match pairs.find(|(_, (written, actual))| written != actual) {
        Some((at, (written, actual))) => format!("line {}\n- {written}\n+ {actual}", at + 1),
        None => "one is longer than the other".to_owned(),
    }
}
