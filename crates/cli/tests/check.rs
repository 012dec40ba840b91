//! `bellwether check` on good and on broken files, and what the daemon says to the latter.

mod support;

use support::{run, stderr, stdout, write};

const BROKEN: &str = "\
port 26379
prot 26380
sentinel monitor cache 127.0.0.1 6379 0
  sentinel down-after-milliseconds nobody 5000
sentinel auth-pass nobody secret
";

#[test]
fn a_good_file_is_called_good() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "s.conf",
        "port 26379\nsentinel monitor cache 127.0.0.1 6379 2\n",
    );
    let output = run(&["check", &file]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(
        stdout(&output).ends_with("s.conf: good, 1 group\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn warnings_do_not_fail() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "s.conf",
        "appendonly yes\nsentinel monitor cache 127.0.0.1 6379 2\n",
    );
    let output = run(&["check", &file]);
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(
        text.starts_with("warning: ") && text.contains("s.conf:1:1"),
        "{text}"
    );
    assert!(text.ends_with("good, 1 group, 1 warning\n"), "{text}");
}

#[test]
fn every_problem_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", BROKEN);
    let output = run(&["check", &file]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for place in ["s.conf:2:1", "s.conf:3:39", "s.conf:4:36", "s.conf:5:"] {
        assert!(text.contains(place), "{place} in {text}");
    }
    assert!(text.contains("\n2 | prot 26380\n  | ^\n"), "{text}");
    assert!(text.ends_with("cannot be used, 4 errors\n"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn the_daemon_lists_the_same_and_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", BROKEN);
    for args in [
        vec![file.as_str()],
        vec!["server", &file],
        vec!["--sentinel", &file],
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = stderr(&output);
        assert!(
            ["s.conf:2:1", "s.conf:3:39", "s.conf:4:36"]
                .iter()
                .all(|place| text.contains(place)),
            "{text}"
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), BROKEN);
}

#[test]
fn directives_of_the_command_line_are_checked_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", "sentinel monitor cache 127.0.0.1 6379 2\n");
    let output = run(&[&file, "--port", "many"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("command line:1:"), "{}", stderr(&output));
}

#[test]
fn a_file_must_be_there() {
    for args in [&["check", "/no/such.conf"][..], &["/no/such.conf"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("/no/such.conf"), "{}", stderr(&output));
    }
    let output = run(&["statsu"]);
    assert!(
        stderr(&output).contains("bellwether --help"),
        "{}",
        stderr(&output)
    );
    let output = run(&["server"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("configuration file is needed"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn called_by_the_name_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("redis-sentinel");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bellwether"), &link).unwrap();
    let run = |args: &[&str]| std::process::Command::new(&link).args(args).output().unwrap();
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(
        stdout(&version).starts_with("bellwether "),
        "{}",
        stdout(&version)
    );
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(1));
    assert!(stderr(&help).contains("Usage"), "{}", stderr(&help));
    let file = write(dir.path(), "s.conf", BROKEN);
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("s.conf:2:1"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    use std::{io::Read, process::Stdio};
    let dir = tempfile::tempdir().unwrap();
    let lines = "appendonly yes\n".repeat(900);
    let file = write(
        dir.path(),
        "s.conf",
        &format!("{lines}sentinel monitor cache 127.0.0.1 6379 2\n"),
    );
    let mut child = support::bellwether()
        .args(["check", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 7];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn yaml_is_read_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let good = "state-dir: /var/lib/bellwether\ngroups:\n  cache: {primary: '127.0.0.1:6379', quorum: 2}\n";
    let output = run(&["check", &write(dir.path(), "s.yaml", good)]);
    assert!(output.status.success(), "{}", stdout(&output));
    let output = run(&[
        "check",
        &write(dir.path(), "s.yml", "groups:\n  cache: {quorum: none}\n"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("s.yml:"), "{}", stdout(&output));
}

#[test]
fn users_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "s.conf",
        "user bob on >secret +ping\nuser eve on >secret +pong\n",
    );
    let output = run(&["check", &file]);
    assert!(!output.status.success());
    let text = stdout(&output);
    assert!(
        text.contains("s.conf:2: Unknown command or category name in ACL"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}
