//! `bellwether check` on good and on broken files, and what the daemon says to the latter.

mod support;

use std::{path::Path, process::Command};

use support::{certificate, run, stderr, stdout, write};

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
    assert!(text.contains("\n2 | prot ******\n  | ^\n"), "{text}");
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
    let run = |args: &[&str]| Command::new(&link).args(args).output().unwrap();
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
    let state_dir = dir.path().display();
    let good =
        format!("state-dir: {state_dir}\ngroups:\n  cache: {{primary: '127.0.0.1:6379', quorum: 2}}\n");
    let output = run(&["check", &write(dir.path(), "s.yaml", &good)]);
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
        text.contains("Unknown command or category name in ACL (rule 3, '+pong')"),
        "{text}"
    );
    assert!(text.contains("s.conf:2:6\n"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let start = run(&[&file]);
    assert!(stderr(&start).contains("s.conf:2:6\n"), "{}", stderr(&start));
}

#[test]
fn what_the_configuration_names_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(dir.path(), "own");
    let [_, other_key] = certificate(dir.path(), "other");
    let [password, empty] =
        [("good.pass", "secret\n"), ("empty.pass", "\n")].map(|(name, text)| write(dir.path(), name, text));
    let acl = write(dir.path(), "users.acl", "user bob on +ping\n");
    let bad_acl = write(dir.path(), "bad.acl", "user bob on +pong\n");
    let state = dir.path().join("state").display().to_string();
    std::fs::create_dir(&state).unwrap();
    let good = format!(
        "tls-port 26380\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {cert}\naclfile {acl}\n\
         sentinel monitor m 127.0.0.1 1 1\nsentinel notification-script m /bin/sh\n\
         bellwether auth-pass-file m {password}\nbellwether sentinel-pass-file {password}\nbellwether state-dir {state}\n"
    );
    let check = |text: &str| {
        let output = run(&["check", &write(dir.path(), "s.conf", text)]);
        (output.status.success(), stdout(&output))
    };
    let (is_good, text) = check(&good);
    assert!(is_good && text.ends_with("s.conf: good, 1 group\n"), "{text}");

    let missing = dir.path().join("missing").display().to_string();
    for (from, to, place, message) in [
        (
            cert.as_str(),
            missing.as_str(),
            "2:15",
            "tls-cert-file: cannot read",
        ),
        (&key, &acl, "3:14", "holds no private key"),
        (&key, &other_key, "3:14", "is not the key of the certificate"),
        (
            &format!("tls-ca-cert-file {cert}"),
            "",
            "1:10",
            "tls-ca-cert-file or tls-ca-cert-dir must be given",
        ),
        (
            &format!("ca-cert-file {cert}"),
            &format!("ca-cert-file {acl}"),
            "4:18",
            "holds no certificate",
        ),
        (&acl, &bad_acl, "5:9", "bad.acl:1: Unknown command"),
        (&acl, &missing, "5:9", "opening file"),
        ("/bin/sh", &missing, "7:32", "Notification script"),
        (
            &format!("m {password}"),
            &format!("m {empty}"),
            "8:29",
            "empty.pass is empty",
        ),
        (
            &format!("sentinel-pass-file {password}"),
            "sentinel-pass-file ./missing",
            "9:31",
            "cannot read ./missing",
        ),
        (&state, &acl, "10:22", "not a directory"),
    ] {
        let (is_good, text) = check(&good.replacen(from, to, 1));
        assert!(!is_good && text.contains(message), "{to}: {text}");
        assert!(text.contains(&format!("s.conf:{place}\n")), "{place}: {text}");
        assert!(text.matches("No such file").count() <= 1, "{text}");
    }

    // What the service manager may make is a warning.
    for text in [good.replace(&state, &missing), format!("{good}dir {missing}\n")] {
        let (is_good, text) = check(&text);
        assert!(
            is_good && text.contains("No such file") && text.ends_with("1 warning\n"),
            "{text}"
        );
    }

    // All at once, in the order of the lines.
    let all = good
        .replace(&state, &key)
        .replace(&format!("key-file {key}"), &format!("key-file {missing}"))
        .replace(&acl, &missing)
        .replace("/bin/sh", &missing)
        .replace(&password, &empty);
    let (_, text) = check(&all);
    let places: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("s.conf:")?.1.split_once(':'))
        .map(|it| it.0)
        .collect();
    assert_eq!(places, ["3", "5", "7", "8", "9", "10"], "{text}");
    assert!(!text.contains("secret"), "{text}");

    // A state that was edited would end the start as well.
    write(&dir.path().join("state"), "bellwether-state.conf", "edited");
    let (is_good, text) = check(&good);
    assert!(
        !is_good && text.contains("s.conf:10:22\n") && text.contains("not a state file"),
        "{text}"
    );
}

#[test]
fn a_credential_that_only_the_service_has_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "s.conf",
        "bellwether requirepass-file no-such-credential\n",
    );
    let output = run(&["check", &file]);
    let text = stdout(&output);
    assert!(output.status.success() && text.ends_with("1 warning\n"), "{text}");
    let output = support::bellwether()
        .args(["check", &file])
        .env("CREDENTIALS_DIRECTORY", dir.path())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{}", stdout(&output));
    write(dir.path(), "no-such-credential", "x");
    let output = support::bellwether()
        .args(["check", &file])
        .env("CREDENTIALS_DIRECTORY", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn the_files_that_the_daemon_writes_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    let plain = write(dir.path(), "plain", "");
    let check = |text: &str| {
        let output = run(&["check", &write(dir.path(), "s.conf", text)]);
        (output.status.success(), stdout(&output))
    };
    let good = format!(
        "dir {here}\nlogfile s.log\nunixsocket s.sock\npidfile {here}/s.pid\nlogfile \"\"\nlogfile {plain}\n"
    );
    let (is_good, text) = check(&good);
    assert!(is_good && text.ends_with("good, 0 groups\n"), "{text}");
    assert!(!dir.path().join("s.log").exists() && !dir.path().join("s.sock").exists());

    for (line, message) in [
        (format!("logfile {here}/no/s.log"), "cannot log to"),
        (format!("logfile {here}"), "is a directory"),
        (format!("unixsocket {here}/no/s.sock"), "cannot listen on"),
        (format!("unixsocket {plain}"), "is no socket"),
    ] {
        let (is_good, text) = check(&format!("port 26379\n{line}\n"));
        assert!(!is_good && text.contains(message), "{line}: {text}");
        assert!(text.contains("s.conf:2:"), "{line}: {text}");
        // The daemon says no as well.
        let start = run(&[dir.path().join("s.conf").to_str().unwrap(), "--port", "0"]);
        assert_eq!(start.status.code(), Some(1), "{line}: {}", stderr(&start));
    }
    for line in [
        format!("pidfile {here}/no/s.pid"),
        "logfile /var/log/no-such-service/s.log".to_owned(),
        "rename-command PING pong".to_owned(),
        "rename-command publish \"\"".to_owned(),
        "client-output-buffer-limit pubsub 65mb 0 0".to_owned(),
        "client-output-buffer-limit pubsub 0 0 0".to_owned(),
    ] {
        let (is_good, text) = check(&format!("port 26379\n{line}\n"));
        assert!(is_good && text.ends_with("1 warning\n"), "{line}: {text}");
        assert!(text.contains("s.conf:2:"), "{line}: {text}");
    }
}

#[test]
fn a_file_that_holds_the_state_must_be_writable() {
    let user_rights_count = !rustix::process::geteuid().is_root();
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", "sentinel monitor m 127.0.0.1 1 1\n");
    let mode = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // The superuser may write whatever the permissions are; another one has to look.
    let check = || {
        let mut command = support::bellwether();
        if !user_rights_count {
            use std::os::unix::process::CommandExt as _;
            command.uid(65_534).gid(65_534);
        }
        command.args(["check", &file]).output().unwrap()
    };
    mode(dir.path(), 0o555);
    mode(Path::new(&file), 0o444);
    let output = check();
    let text = stdout(&output);
    assert!(
        !output.status.success() && text.contains("which cannot be written"),
        "{text}"
    );
    mode(Path::new(&file), 0o666);
    let output = check();
    let text = stdout(&output);
    assert!(
        !output.status.success() && text.contains("which cannot be replaced"),
        "{text}"
    );
    mode(dir.path(), 0o777);
    assert!(check().status.success());
}

#[test]
fn a_member_of_a_log_is_looked_for_where_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let check = |ports: &str, own: u16| {
        let text = format!(
            "{ports}\nsentinel monitor cache 10.0.0.1 6379 2\nbellwether state-dir {}\nbellwether coordination raft\n\
             bellwether member-id 2\nbellwether member 1 10.0.0.8 26379\nbellwether member 2 10.0.0.9 {own}\n",
            state.display()
        );
        let output = run(&["check", &write(dir.path(), "s.conf", &text)]);
        assert!(output.status.success(), "{}", stdout(&output));
        stdout(&output)
    };
    let elsewhere = check("port 26379", 7000);
    assert!(
        elsewhere.starts_with(
            "warning: the other members will look for this one at port 7000, and its port is 26379\n"
        ),
        "{elsewhere}"
    );
    assert!(elsewhere.contains("s.conf:7:"), "{elsewhere}");
    for (ports, own) in [
        ("port 26379", 26379),
        ("port 26379\nsentinel announce-port 7000", 7000),
    ] {
        let good = check(ports, own);
        assert!(good.ends_with("s.conf: good, 1 group\n"), "{ports}: {good}");
    }
}
