//! Rules of users, and certificates with their keys: what `redis-sentinel` starts with, `bellwether check` calls good;
//! what it refuses, `check` refuses. Where that is not so, the table says why. Needs `redis-sentinel` 7.0 or later and
//! `openssl`.

mod support;

use std::{net::TcpListener, path::Path, process::Command};

use Expected::{OnlyTheirs, Refused, Taken};
use support::{certificate, run, stdout, write};

/// What is expected of a file.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Taken,
    Refused,
    /// The reference takes it and we do not; why.
    OnlyTheirs(&'static str),
}

const LATER: &str =
    "it is refused there too, but only after the ports are bound: a module might have brought the command";

/// Lines behind `user bob `.
const USERS: &[(&str, Expected)] = &[
    ("on >secret ~* &* +@all", Taken),
    ("off", Taken),
    ("on nopass resetkeys resetchannels -@all +ping", Taken),
    ("on +sentinel|masters -sentinel|reset", Taken),
    ("on +@dangerous -@admin +@read", Taken),
    (
        "on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        Taken,
    ),
    ("on %R~a %W~b %RW~c", Taken),
    ("on (+ping ~a) (+info)", Taken),
    ("on reset on >x", Taken),
    ("ON >x +PING", Taken),
    ("on #12", Refused),
    ("on +nonsense", OnlyTheirs(LATER)),
    ("on +@nonsense", OnlyTheirs(LATER)),
    ("on nonsense", Refused),
    ("on ~* ~a", Refused),
    ("on &* &a", Refused),
    ("on (+ping", Refused),
    ("on <unknown", Refused),
    ("on %X~a", Refused),
    ("on +sentinel|masters|x", Refused),
];

/// Lines for TLS; `@` stands for the directory of the files.
const TLS: &[(&str, Expected)] = &[
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/own.pem\n",
        Taken,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-auth-clients no\n",
        Taken,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/own.pem\ntls-protocols TLSv1.3\n",
        Taken,
    ),
    ("", Refused),
    ("tls-cert-file @/own.pem\ntls-ca-cert-file @/own.pem\n", Refused),
    ("tls-cert-file @/own.pem\ntls-key-file @/own.key\n", Refused),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/other.key\ntls-ca-cert-file @/own.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/none.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/own.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/none.key\ntls-ca-cert-file @/own.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/none.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.key\ntls-key-file @/own.key\ntls-ca-cert-file @/own.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.pem\ntls-ca-cert-file @/own.pem\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/own.key\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/empty\n",
        Refused,
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-dir @\n",
        OnlyTheirs("a directory without a certificate under its hash trusts nobody, which is a slip"),
    ),
    (
        "tls-cert-file @/own.pem\ntls-key-file @/own.key\ntls-ca-cert-file @/own.pem\ntls-client-cert-file @/none.pem\ntls-client-key-file @/own.key\n",
        Refused,
    ),
];

/// Starts it with a port that is taken, so that it ends either way: over the file or over the port.
fn reference(file: &str, dir: &Path, port: &str) -> Result<(), String> {
    let output = Command::new("redis-sentinel")
        .arg(file)
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            port,
            "--daemonize",
            "no",
            "--logfile",
            "",
        ])
        .current_dir(dir)
        .output()
        .expect("redis-sentinel is installed");
    let said = stdout(&output) + &support::stderr(&output);
    if said.contains("Failed listening on port") {
        Ok(())
    } else {
        Err(said)
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the comparison is for people to read")]
fn users_and_certificates_are_judged_alike() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["own", "other"] {
        certificate(dir.path(), name);
    }
    write(dir.path(), "empty", "");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let here = dir.path().display().to_string();
    let users = USERS
        .iter()
        .map(|(text, expected)| (format!("user bob {text}\n"), *expected));
    let tls = TLS
        .iter()
        .map(|(text, expected)| (format!("tls-port 1\n{}", text.replace('@', &here)), *expected));
    let mut complaints = Vec::new();
    for (text, expected) in users.chain(tls) {
        // Each on a file of its own: a sentinel may write it.
        let ours = run(&["check", &write(dir.path(), "ours.conf", &text)]);
        let theirs = reference(&write(dir.path(), "theirs.conf", &text), dir.path(), &port);
        let is_expected = match expected {
            Taken => ours.status.success() && theirs.is_ok(),
            Refused => !ours.status.success() && theirs.is_err(),
            OnlyTheirs(why) => {
                println!("{}: {why}", text.trim_end().escape_debug());
                !ours.status.success() && theirs.is_ok()
            }
        };
        if !is_expected {
            complaints.push(format!(
                "{text}expected {expected:?}\nours: {}\ntheirs: {theirs:?}\n",
                stdout(&ours)
            ));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
