//! The commands that ask a sentinel, by TLS and by a unix socket; and what they say to who comes in by the wrong way.

mod support;

use std::{fs, path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use support::{Running, bellwether, installed, ports, run, stderr, stdout, until, write};

/// Makes `ca.pem`, and `own.pem` with `own.key`, signed by it.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let params = CertificateParams::new(["elsewhere.test".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    fs::write(
        dir.join("own.pem"),
        params.signed_by(&key, &issuer).unwrap().pem(),
    )
    .unwrap();
    fs::write(dir.join("own.key"), key.serialize_pem()).unwrap();
}

/// A configuration with TLS only.
fn config(dir: &Path, port: u16, primary: u16) -> String {
    let dir = dir.display();
    format!(
        "port 0\ntls-port {port}\nbind 127.0.0.1\ndir {dir}\ntls-cert-file {dir}/own.pem\ntls-key-file {dir}/own.key\n\
         tls-ca-cert-file {dir}/ca.pem\nunixsocket {dir}/s.sock\nsentinel monitor cache 127.0.0.1 {primary} 1\n"
    )
}

/// The commands against a sentinel that is being started in `dir` on `port`.
fn by_every_way(dir: &Path, port: u16) {
    let path = |name: &str| dir.join(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("own.pem"), path("own.key"));
    let at = format!("127.0.0.1:{port}");
    let with_certificate = ["--cert", &cert, "--key", &key];
    let args = |command: &'static str, rest: &[&str]| {
        let mut all = vec![command, "--sentinel", &at];
        all.extend(rest);
        run(&all)
    };
    let status = |rest: &[&str]| args("status", rest);
    let tls = |rest: &[&str]| status(&[&["--tls"], rest, &with_certificate].concat());

    let text = until("the sentinel answers by TLS", || {
        let output = tls(&["--cacert", &ca]);
        output
            .status
            .success()
            .then(|| stdout(&output))
            .ok_or_else(|| stderr(&output))
    });
    assert!(
        text.contains("cache") && text.contains(&format!("as {at} sees it")),
        "{text}"
    );
    let insecure = tls(&["--insecure"]);
    assert!(insecure.status.success(), "{}", stderr(&insecure));

    let plain = status(&[]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(
        stderr(&plain).contains("this port speaks TLS: use --tls"),
        "{}",
        stderr(&plain)
    );
    let stranger = tls(&["--cacert", &cert]);
    assert!(
        stderr(&stranger).contains("--cacert must name"),
        "{}",
        stderr(&stranger)
    );
    let nameless = status(&["--tls", "--cacert", &ca]);
    assert!(
        stderr(&nameless).contains("--cert FILE --key FILE"),
        "{}",
        stderr(&nameless)
    );
    let trusting = status(&["--tls"]);
    assert!(
        stderr(&trusting).contains("--cacert must be given"),
        "{}",
        stderr(&trusting)
    );
    let missing = tls(&["--cacert", "/no/such"]);
    assert!(
        stderr(&missing).contains("--cacert: cannot read /no/such"),
        "{}",
        stderr(&missing)
    );

    let export = args(
        "export",
        &[&["--tls", "--cacert", &ca][..], &with_certificate].concat(),
    );
    let text = stdout(&export);
    assert!(export.status.success(), "{}", stderr(&export));
    assert!(text.contains(&format!("port 0\ntls-port {port}\n")), "{text}");
    assert!(text.contains("sentinel monitor cache "), "{text}");

    let socket = path("s.sock");
    for way in [
        ["status", "--unix-socket", &socket],
        ["status", "--sentinel", &format!("unix:{socket}")],
        ["export", "--unix-socket", &socket],
    ] {
        let output = run(&way);
        assert!(output.status.success(), "{way:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("cache"), "{way:?}: {}", stdout(&output));
    }
}

#[test]
fn a_redis_sentinel_with_tls_and_a_unix_socket_is_asked() {
    let [port, primary] = ports();
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = write(dir.path(), "s.conf", &config(dir.path(), port, primary));
    let _sentinel = Running::start(Command::new(installed("redis-sentinel")).arg(file));
    by_every_way(dir.path(), port);
}

#[test]
fn a_coordinator_with_tls_and_a_unix_socket_is_asked() {
    let [port, primary] = ports();
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = write(dir.path(), "s.conf", &config(dir.path(), port, primary));
    let _coordinator = Running::start(bellwether().arg(file));
    by_every_way(dir.path(), port);
}

#[test]
fn a_port_without_tls_says_so() {
    let [port] = ports();
    let _server = Running::start(bellwether().args(["stand-in", "--port", &port.to_string()]));
    until("the server answers", || support::ask::<String>(port, &["PING"]));
    let output = run(&[
        "status",
        "--sentinel",
        &format!("127.0.0.1:{port}"),
        "--tls",
        "--insecure",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("leave out --tls"), "{}", stderr(&output));
}

#[test]
fn a_missing_socket_is_named() {
    let output = run(&["status", "--unix-socket", "/no/such.sock"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("unix:/no/such.sock") && text.contains("nothing listens"),
        "{text}"
    );
    let output = run(&["status", "--sentinel", "unix:/s", "--tls", "--insecure"]);
    assert!(
        stderr(&output).contains("no TLS on a unix socket"),
        "{}",
        stderr(&output)
    );
}
