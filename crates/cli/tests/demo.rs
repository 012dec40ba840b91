//! The demo from beginning to end, and its tidiness when it is interrupted.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use support::{bellwether, stderr, stdout};

/// Of the addresses that `text` names, those where still something listens.
fn alive(text: &str) -> Vec<&str> {
    let words = text.split(|char: char| !char.is_ascii_digit() && !['.', ':'].contains(&char));
    let addresses = words
        .filter(|word| word.starts_with("127.0.0.1:"))
        .map(|word| word.trim_end_matches(['.', ':']));
    addresses
        .filter(|address| TcpStream::connect(address).is_ok())
        .collect()
}

#[test]
fn with_stand_ins_everything_is_as_it_should() {
    let text = plays_well(&["demo", "--stand-in"]);
    assert!(!text.contains("shared log"), "{text}");
}

#[test]
fn so_it_is_with_a_shared_log() {
    let text = plays_well(&["demo", "--stand-in", "--coordination", "raft"]);
    assert!(text.starts_with("3 coordinators with a shared log"), "{text}");
}

/// Plays the demo to a good end, and gives what it printed.
fn plays_well(args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = bellwether()
        .args(args)
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for part in [
        "stand-in",
        "+sdown",
        "+odown",
        "elected",
        "promoted",
        "+switch-master",
        "first write",
        "follows",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("    ok  ").count(), 4, "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    assert_eq!(alive(&text), Vec::<&str>::new());
    text
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = bellwether()
        .args(["demo", "--stand-in"])
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let started = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("replicas in sync"))
        .expect("the servers start");
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(demo.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("everything is stopped")),
        "{rest:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    assert_eq!(alive(&started), Vec::<&str>::new());
}

#[test]
fn coordinators_that_do_not_run_end_the_demo_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = bellwether();
    demo.args(["demo", "--stand-in", "--coordinator-binary", "/bin/false"])
        .env("TMPDIR", dir.path());
    let output = demo.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("c1 has ended"), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("last lines of server-"),
        "{}",
        stdout(&output)
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    assert_eq!(alive(&stdout(&output)), Vec::<&str>::new());
}
