//! A client in another language that writes through the coordinators: started, counted, ended.
//!
//! Such a script gets the sentinels, the group and a key as arguments, sets the key to 1, 2, 3 … and prints `ack N` for
//! each accepted write, until its standard input is closed; then it prints `end N` with the last accepted number.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::fleet::Fleet;
use crate::wait::wait_for;
use crate::{GROUP, program};

/// A script ends as soon as its current write is answered or has failed.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A running client script. Killed on drop.
pub struct ClientScript {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl ClientScript {
    /// Starts a redis-py script of `tests/clients`.
    ///
    /// # Errors
    /// When the client libraries are not installed.
    pub fn python(script: &str, fleet: &Fleet, key: &str) -> Result<Self> {
        let python = installed("venv/bin/python")?;
        Self::start(&mut Command::new(python), script, fleet, key)
    }

    /// Starts an ioredis script of `tests/clients`.
    ///
    /// # Errors
    /// When the client libraries are not installed.
    pub fn node(script: &str, fleet: &Fleet, key: &str) -> Result<Self> {
        let modules = installed("node_modules")?;
        Self::start(Command::new("node").env("NODE_PATH", modules), script, fleet, key)
    }

    fn start(command: &mut Command, script: &str, fleet: &Fleet, key: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        let sentinels = fleet
            .coordinators
            .iter()
            .map(|each| format!("127.0.0.1:{}", each.port()));
        let mut child = command
            .arg(path)
            .arg(sentinels.collect::<Vec<_>>().join(","))
            .args([GROUP, key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?} for {script}", command.get_program()))?;
        let lines = Arc::default();
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
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("ack ")?.parse().ok())
            .unwrap_or(0)
    }

    /// Waits until `count` more writes were accepted.
    ///
    /// # Errors
    /// At the deadline, with everything the script printed that is not an acknowledgement.
    pub fn wait_more(&mut self, count: u64, limit: Duration) -> Result<()> {
        let wanted = self.acknowledged() + count;
        wait_for("the client's writes to be accepted", limit, || {
            let done = self.acknowledged();
            ensure!(done >= wanted, "{done} of {wanted}");
            Ok(())
        })
        .map_err(|error| anyhow!("{error:#}; the client said:\n{}", self.complaints()))
    }

    /// Waits until it has printed `line`.
    ///
    /// # Errors
    /// At the deadline, with everything the script printed that is not an acknowledgement.
    pub fn wait_line(&mut self, line: &str, limit: Duration) -> Result<()> {
        wait_for(&format!("the client to say {line:?}"), limit, || {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            ensure!(lines.iter().any(|said| said == line), "not yet");
            Ok(())
        })
        .map_err(|error| anyhow!("{error:#}; the client said:\n{}", self.complaints()))
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
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let last = lines
            .iter()
            .find_map(|line| line.strip_prefix("end ")?.parse().ok());
        last.context("the client did not say `end N`")
    }

    fn complaints(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter(|line| !line.starts_with("ack "))
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for ClientScript {
    fn drop(&mut self) {
        // Fails only if it has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(part: &str) -> Result<PathBuf> {
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

fn collect(pipe: Box<dyn Read + Send>, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}
