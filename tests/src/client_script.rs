//! A client library at work: a program that writes and reads through the coordinators; started, watched, ended.
//!
//! Owns the processes and what they print; what such a program takes, does and prints stands at the top of
//! `clients/loop.py`. Lines are stamped when they are read, which is when a write counts as accepted.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::fleet::{Fleet, SENTINEL_PASSWORD, SERVER_PASSWORD};
use crate::wait::wait_for;
use crate::{GROUP, program};

/// A program ends as soon as its current round is answered or has failed.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Lines shown of a client that failed: its last words.
const COMPLAINTS: usize = 100;

/// A client library that is tested.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// The library as people call it.
    pub name: &'static str,
    runtime: Runtime,
    /// The file in `clients`, or the program of this package.
    program: &'static str,
    /// The package that knows its version.
    package: &'static str,
}

/// What runs a client's program.
#[derive(Clone, Copy, Debug)]
enum Runtime {
    Python,
    Node,
    Ruby,
    Php,
    Rust,
}

/// Every library that is tested.
pub const LIBRARIES: &[Library] = &[
    library("redis-py", Runtime::Python, "redis_py.py", "redis"),
    library(
        "redis-py asyncio",
        Runtime::Python,
        "redis_py_asyncio.py",
        "redis",
    ),
    library("valkey-py", Runtime::Python, "valkey_py.py", "valkey"),
    library("coredis", Runtime::Python, "coredis_client.py", "coredis"),
    library("Celery", Runtime::Python, "celery_tasks.py", "celery"),
    library("ioredis", Runtime::Node, "ioredis.js", "ioredis"),
    library("iovalkey", Runtime::Node, "iovalkey.js", "iovalkey"),
    library("node-redis", Runtime::Node, "node_redis.js", "redis"),
    library("redis-rb", Runtime::Ruby, "redis_rb.rb", "redis"),
    library("phpredis", Runtime::Php, "phpredis.php", "redis"),
    library("redis-rs", Runtime::Rust, "redis-rs-client", "redis"),
];

const fn library(
    name: &'static str,
    runtime: Runtime,
    program: &'static str,
    package: &'static str,
) -> Library {
    Library {
        name,
        runtime,
        program,
        package,
    }
}

impl Library {
    /// The library of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = LIBRARIES.iter().find(|library| library.name == name);
        found.copied().with_context(|| {
            let names: Vec<&str> = LIBRARIES.iter().map(|library| library.name).collect();
            format!("no client library {name}; known are {}", names.join(", "))
        })
    }

    /// Its installed version.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn version(&self) -> Result<String> {
        let package = self.package;
        let mut command = match self.runtime {
            Runtime::Python => {
                let mut command = Command::new(installed("venv/bin/python")?);
                let text = format!("import importlib.metadata as m; print(m.version('{package}'))");
                command.args(["-c", &text]);
                command
            }
            Runtime::Node => {
                let file = installed("node_modules")?.join(package).join("package.json");
                let mut command = Command::new("node");
                command.args([
                    "-p",
                    &format!("require({:?}).version", file.display().to_string()),
                ]);
                command
            }
            Runtime::Ruby => {
                let mut command = Command::new("ruby");
                command.args(["-e", "require 'redis'; puts Redis::VERSION"]);
                command
            }
            Runtime::Php => {
                let mut command = Command::new("php");
                command.args(["-r", "echo phpversion('redis');"]);
                command
            }
            Runtime::Rust => {
                let mut command = Command::new(program::of_this_package(self.program)?);
                command.arg("--version");
                command
            }
        };
        let output = command
            .output()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{} is not installed (run scripts/install-test-clients.sh): {complaint}",
            self.name
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a client of `fleet` that writes `key`.
    ///
    /// # Errors
    /// When the library or its language is not installed.
    pub fn start(&self, fleet: &Fleet, key: &str) -> Result<ClientScript> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(self.program);
        let mut command = match self.runtime {
            Runtime::Python => {
                let mut command = Command::new(installed("venv/bin/python")?);
                // A byte-code cache beside the sources would be litter in the repository.
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(path);
                command
            }
            Runtime::Node => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", installed("node_modules")?).arg(path);
                command
            }
            Runtime::Ruby => script("ruby", &path),
            Runtime::Php => script("php", &path),
            Runtime::Rust => Command::new(program::of_this_package(self.program)?),
        };
        if fleet.options.has_passwords() {
            command
                .env("CLIENT_SERVER_PASSWORD", SERVER_PASSWORD)
                .env("CLIENT_SENTINEL_PASSWORD", SENTINEL_PASSWORD);
        }
        let ports = fleet.coordinators.iter().map(|each| each.port());
        let addresses: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        command.arg(addresses.join(",")).args([GROUP, key]);
        ClientScript::spawn(&mut command)
    }
}

fn script(runtime: &str, path: &Path) -> Command {
    let mut command = Command::new(runtime);
    command.arg(path);
    command
}

/// What a client went through in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experience {
    /// The longest time between two writes that were accepted.
    pub longest_gap: Duration,
    /// Rounds that failed.
    pub failures: usize,
}

type Lines = Arc<Mutex<Vec<(Instant, String)>>>;

/// A running client. Killed on drop.
pub struct ClientScript {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl ClientScript {
    fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let lines = Lines::default();
        let readers = [child.stdout.take().map(boxed), child.stderr.take().map(boxed)];
        let readers = readers
            .into_iter()
            .flatten()
            .map(|pipe| collect(pipe, Arc::clone(&lines)))
            .collect();
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            lines,
            readers,
        })
    }

    /// The number of the last accepted write.
    pub fn acknowledged(&self) -> u64 {
        let lines = self.lines();
        let mut numbers = lines.iter().rev().filter_map(|(_, line)| acknowledgement(line));
        numbers.next().unwrap_or(0)
    }

    /// Waits until `count` more writes were accepted.
    ///
    /// # Errors
    /// At the deadline, with what the client printed besides acknowledgements.
    pub fn wait_more(&mut self, count: u64, limit: Duration) -> Result<()> {
        let wanted = self.acknowledged() + count;
        wait_for("the client's writes to be accepted", limit, || {
            let done = self.acknowledged();
            ensure!(done >= wanted, "{done} of {wanted}");
            Ok(())
        })
        .map_err(|error| self.explained(&error))
    }

    /// Lets it read from a replica, and waits until that has worked.
    ///
    /// # Errors
    /// At the deadline, with what the client printed besides acknowledgements.
    pub fn read_replica(&mut self, limit: Duration) -> Result<()> {
        let done =
            |lines: &[(Instant, String)]| lines.iter().filter(|(_, line)| line == "replica ok").count();
        let before = done(&self.lines());
        let stdin = self.stdin.as_mut().context("the client was told to end")?;
        writeln!(stdin, "replica").context("asking the client for a read")?;
        wait_for("the client's read from a replica", limit, || {
            ensure!(done(&self.lines()) > before, "not yet");
            Ok(())
        })
        .map_err(|error| self.explained(&error))
    }

    /// What it went through since `start`. The gap may have begun before.
    pub fn experience(&self, start: Instant) -> Experience {
        let lines = self.lines();
        let accepted: Vec<Instant> = lines
            .iter()
            .filter(|(_, line)| acknowledgement(line).is_some())
            .map(|(at, _)| *at)
            .collect();
        let gaps = accepted.windows(2).filter(|pair| pair[1] >= start);
        Experience {
            longest_gap: gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or_default(),
            failures: lines
                .iter()
                .filter(|(at, line)| *at >= start && line.starts_with("fail "))
                .count(),
        }
    }

    /// Tells it to end and gives the number of its last accepted write.
    ///
    /// # Errors
    /// When it does not end, or not in success.
    pub fn end(mut self) -> Result<u64> {
        drop(self.stdin.take());
        let status = wait_for("the client to end", END_LIMIT, || {
            self.child.try_wait()?.context("still running")
        })?;
        for reader in self.readers.drain(..) {
            // A reader only collects lines; it has nothing to fail on.
            let _ = reader.join();
        }
        ensure!(
            status.success(),
            "the client ended with {status}; it said:\n{}",
            self.complaints()
        );
        let lines = self.lines();
        let last = lines
            .iter()
            .find_map(|(_, line)| line.strip_prefix("end ")?.parse().ok());
        last.context("the client did not say `end N`")
    }

    fn explained(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}; the client said:\n{}", self.complaints())
    }

    fn complaints(&self) -> String {
        let lines = self.lines();
        let others = lines.iter().map(|(_, line)| line.as_str());
        let others: Vec<&str> = others.filter(|line| acknowledgement(line).is_none()).collect();
        others[others.len().saturating_sub(COMPLAINTS)..].join("\n")
    }

    fn lines(&self) -> MutexGuard<'_, Vec<(Instant, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientScript {
    fn drop(&mut self) {
        // Closing its input lets it end by itself and take its own children with it.
        drop(self.stdin.take());
        let _ = wait_for("the client to end", END_LIMIT, || {
            self.child.try_wait()?.context("still running")
        });
        // Fails only if it has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn acknowledgement(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}

/// The path of a part of the installed client libraries.
///
/// # Errors
/// When it is not installed.
pub fn installed(part: &str) -> Result<PathBuf> {
    let path = program::test_clients_dir()?.join(part);
    ensure!(
        path.exists(),
        "{} does not exist: run scripts/install-test-clients.sh, or name its directory in BELLWETHER_TEST_CLIENTS",
        path.display()
    );
    Ok(path)
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

fn collect(pipe: Box<dyn Read + Send>, lines: Lines) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let at = Instant::now();
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((at, line));
        }
    })
}
