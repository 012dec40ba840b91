//! Processes, ports and waiting for the tests of the binary.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod spoken;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// How long any condition may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The built binary.
pub(crate) fn bellwether() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command
        .env_remove("BELLWETHER_PASSWORD")
        .env_remove("REDIS_SERVER");
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    bellwether().args(args).output().expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path of a program that the tests need. A test that left itself out without it would prove nothing.
pub(crate) fn installed(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("{program} must be installed for this test (scripts/install-test-servers.sh)")
        })
}

/// Free ports of the loopback, below those that the system gives to outgoing connections. The process id keeps
/// test processes apart, the counter the tests of one.
pub(crate) fn ports<const N: usize>() -> [u16; N] {
    static USED: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(31) % PORTS).unwrap();
    std::array::from_fn(|_| {
        let mut tries = (0..PORTS).map(|_| {
            let step = start.wrapping_add(USED.fetch_add(1, Ordering::Relaxed));
            FIRST_PORT + step % u16::try_from(PORTS).unwrap()
        });
        tries
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a free port")
    })
}

const FIRST_PORT: u16 = 12_000;
const PORTS: u32 = 8_000;

/// A child process that is killed at the end of its test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("the program starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` gives something; the test fails with its last words if it does not.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(found) => return found,
            Err(missing) if start.elapsed() > LIMIT => panic!("{what}: {missing}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// One command to a server, its answer converted.
pub(crate) fn ask<T: redis::FromRedisValue>(port: u16, words: &[&str]) -> Result<T, String> {
    let client = redis::Client::open(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let mut connection = client
        .get_connection_with_timeout(Duration::from_secs(1))
        .map_err(|error| error.to_string())?;
    connection
        .set_read_timeout(Some(Duration::from_secs(1)))
        .map_err(|error| error.to_string())?;
    redis::cmd(words[0])
        .arg(&words[1..])
        .query(&mut connection)
        .map_err(|error| error.to_string())
}

/// Writes a file into `dir`; gives its path as text.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("the file can be written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A certificate and its key, as `openssl` makes them.
pub(crate) fn certificate(dir: &Path, name: &str) -> [String; 2] {
    let path = |kind: &str| dir.join(format!("{name}.{kind}")).display().to_string();
    let [cert, key] = ["pem", "key"].map(path);
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    ];
    let output = Command::new("openssl")
        .args(args)
        .args(["-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{}", stderr(&output));
    [cert, key]
}
