//! What the command tells of a broken promise can be played again, and what it could not tell is no success.

use std::process::Command;
#[cfg(feature = "seeded-bugs")]
use std::process::{Output, Stdio};

fn sim(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether-sim"));
    command.args(words);
    command
}

#[cfg(feature = "seeded-bugs")]
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn a_broken_promise_is_told_with_the_command_that_breaks_it_again() {
    let run = "run --seeds 0..10 --threads 1 --bug quorum-of-one";
    let broken = sim(&run.split(' ').collect::<Vec<_>>()).output().unwrap();
    let text = told(&broken);
    assert_eq!(broken.status.code(), Some(1), "{text}");
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("  bellwether-sim "))
        .unwrap_or_else(|| panic!("no command in {text}"));
    let (_, promise) = text.split_once(" broken: ").unwrap();
    // In the words behind it, and in its time, the shorter run may differ.
    let (promise, _) = promise.split_once(" (").unwrap();

    let words: Vec<_> = command.split(' ').collect();
    let again = sim(&words).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{command}");
    assert!(told(&again).contains(promise), "{command}: {}", told(&again));

    // The mistake alone breaks it, not the faults.
    let (without_bug, _) = command.split_once(" --bug ").unwrap();
    let words: Vec<_> = without_bug.split(' ').collect();
    let well = sim(&words).output().unwrap();
    assert_eq!(well.status.code(), Some(0), "{}", told(&well));
}

#[test]
fn an_output_that_nobody_reads_is_told_and_is_no_success() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = sim(&["replay", "17", "--profile", "disk"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(closed.status.code(), Some(2));
    let why = String::from_utf8_lossy(&closed.stderr).into_owned();
    assert!(
        why.starts_with("bellwether-sim: failed printing to stdout"),
        "{why}"
    );
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn a_crash_by_hand_is_shown_with_what_led_to_it() {
    use std::io::Write;

    let step = "step 7 --profile planned --bug same-epoch-again";
    let mut step = sim(&step.split(' ').collect::<Vec<_>>())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    step.stdin.take().unwrap().write_all(b"u 100\n").unwrap();
    let step = step.wait_with_output().unwrap();
    let text = told(&step);
    assert_eq!(step.status.code(), Some(1), "{text}");
    let (before, _) = text
        .split_once(" broken: nothing that happens outside makes a coordinator crash (")
        .unwrap_or_else(|| panic!("no crash in {text}"));
    assert!(before.contains(" +try-failover "), "{text}");
}
