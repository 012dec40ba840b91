//! One coordinator process: `bellwether`, or `redis-sentinel` or `valkey-sentinel` started from the same config file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use redis::FromRedisValue;

use crate::disk::SmallDisk;
use crate::journal::Journal;
use crate::port::Port;
use crate::process::{self, Process};
use crate::redis_server::Flavour;
use crate::wait::wait_for;
use crate::{GROUP, client, program};

/// A coordinator listens within milliseconds; a loaded machine may need seconds.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Which program coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The program under test.
    Bellwether,
    /// The reference, to compare with and to check the tests themselves.
    RedisSentinel,
    /// The same of Valkey.
    ValkeySentinel,
}

impl Kind {
    /// What `BELLWETHER_TESTS_KIND` says; Bellwether if unset.
    ///
    /// # Errors
    /// When the variable holds something else.
    pub fn from_env() -> Result<Self> {
        match env::var("BELLWETHER_TESTS_KIND").as_deref() {
            Err(_) | Ok("" | "bellwether") => Ok(Self::Bellwether),
            Ok("redis-sentinel") => Ok(Self::RedisSentinel),
            Ok("valkey-sentinel") => Ok(Self::ValkeySentinel),
            Ok(other) => bail!(
                "BELLWETHER_TESTS_KIND is {other}: it must be bellwether, redis-sentinel or valkey-sentinel"
            ),
        }
    }

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bellwether => "bellwether",
            Self::RedisSentinel => "redis-sentinel",
            Self::ValkeySentinel => "valkey-sentinel",
        }
    }

    /// The servers that come with it.
    pub fn servers(self) -> Flavour {
        match self {
            Self::Bellwether | Self::RedisSentinel => Flavour::Redis,
            Self::ValkeySentinel => Flavour::Valkey,
        }
    }

    /// A value that has to differ because the reference, Redis' or Valkey's, is slower.
    pub fn pick<T>(self, bellwether: T, reference: T) -> T {
        match self {
            Self::Bellwether => bellwether,
            Self::RedisSentinel | Self::ValkeySentinel => reference,
        }
    }

    /// Where its program is.
    ///
    /// # Errors
    /// When it is not installed or built.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::Bellwether => program::bellwether(),
            Self::RedisSentinel => program::redis_sentinel(),
            Self::ValkeySentinel => program::valkey_sentinel(),
        }
    }
}

/// One coordinator, alive or dead. Killed on drop.
pub struct Coordinator {
    kind: Kind,
    index: usize,
    id: String,
    /// Declared before the disk, so that it is dropped, and the process dead, before the disk is unmounted.
    process: Option<Process>,
    ended_by_us: bool,
    disk: Option<SmallDisk>,
    port: Port,
    dir: PathBuf,
    log: PathBuf,
    journal: Journal,
    pub(crate) password: Option<String>,
    http: Option<Port>,
}

impl Coordinator {
    /// Lays out directory, port and config file of coordinator `index` below `parent`; does not start it.
    /// `directives` are the lines after port, bind and dir.
    ///
    /// # Errors
    /// When these cannot be created.
    pub fn prepare(
        parent: &Path,
        index: usize,
        kind: Kind,
        directives: &[String],
        small_disk: bool,
    ) -> Result<Self> {
        let dir = parent.join(format!("sentinel-{index}"));
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let disk = if small_disk {
            Some(SmallDisk::mount(&dir)?)
        } else {
            None
        };
        let port = Port::reserve()?;
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n{}\n",
            dir.display(),
            directives.join("\n")
        );
        let file = dir.join("sentinel.conf");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        let log = parent.join(format!("sentinel-{index}.log"));
        Ok(Self {
            kind,
            index,
            id: String::new(),
            process: None,
            ended_by_us: false,
            disk,
            port,
            dir,
            log,
            journal: Journal::default(),
            password: client::password_in(directives),
            http: None,
        })
    }

    /// Lets its events go into `journal` from the next start on.
    pub fn record_in(&mut self, journal: &Journal) {
        self.journal = journal.clone();
    }

    /// Adds lines to its config file, for the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_directives(&self, lines: &[String]) -> Result<()> {
        let file = self.dir.join("sentinel.conf");
        let text = self.config_text()? + &lines.join("\n") + "\n";
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Takes the lines that begin like this out of its config file, for the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove_directives(&self, start: &str) -> Result<()> {
        let file = self.dir.join("sentinel.conf");
        let text = self.config_text()?;
        let kept = text.lines().filter(|line| !line.starts_with(start));
        let text: String = kept.map(|line| format!("{line}\n")).collect();
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Gives it another port, from its next start on. Gives the old one, which nobody else gets before it is dropped.
    ///
    /// # Errors
    /// When there is no port, or the config file cannot be written.
    pub fn change_port(&mut self) -> Result<Port> {
        let new = Port::reserve()?;
        let old = std::mem::replace(&mut self.port, new);
        self.remove_directives(&format!("port {old}"))?;
        self.add_directives(&[format!("port {}", self.port)])?;
        Ok(old)
    }

    /// Lets it serve HTTP, from the next start on.
    ///
    /// # Errors
    /// When there is no port, or the config file cannot be written.
    pub fn serve_http(&mut self) -> Result<()> {
        let port = Port::reserve()?;
        self.add_directives(&[format!("bellwether http-bind 127.0.0.1:{port}")])?;
        self.http = Some(port);
        Ok(())
    }

    /// Where it serves HTTP, if it does.
    pub fn http_port(&self) -> Option<u16> {
        self.http.as_ref().map(Port::number)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the process without waiting.
    ///
    /// # Errors
    /// When it still runs, or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.name());
        let mut command = Command::new(self.kind.program()?);
        command.arg(self.dir.join("sentinel.conf")).current_dir(&self.dir);
        self.process = Some(Process::spawn(&self.name(), &mut command, &self.log)?);
        self.ended_by_us = false;
        Ok(())
    }

    /// Waits until it answers, then follows its events.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let what = format!("{} to answer PING", self.name());
        let ready = wait_for(&what, START_LIMIT, || {
            // An ended process will never answer: give this up at once, as a success of the wait.
            if let Some(status) = self.process.as_mut().and_then(Process::exit_status) {
                return Ok(Err(status));
            }
            let pong: String = self.ask(&["PING"])?;
            ensure!(pong == "PONG", "PING gives {pong}");
            Ok(Ok(()))
        })?;
        if let Err(status) = ready {
            bail!(
                "{} ended at its start with {status}:\n{}",
                self.name(),
                process::tail(&self.log, 20)
            );
        }
        self.id = self.ask(&["SENTINEL", "MYID"])?;
        self.journal
            .follow(self.index, self.port(), self.password.as_deref())
    }

    /// Starts it again from its config file as it is now.
    ///
    /// # Errors
    /// When it still runs, or does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Which program it is, or was until it ended.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lets another program take over its file, port and log at the next start.
    ///
    /// # Errors
    /// When it still runs.
    pub fn become_kind(&mut self, kind: Kind) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.name());
        self.kind = kind;
        Ok(())
    }

    /// Its place in the fleet, which is also the source of its events.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `sentinel-<index>`.
    pub fn name(&self) -> String {
        format!("sentinel-{}", self.index)
    }

    /// The id it gave at its last start.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its port on 127.0.0.1; the same for its whole life.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its output goes.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// All of its output.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its config file as it is on disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config_text(&self) -> Result<String> {
        let file = self.dir.join("sentinel.conf");
        fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
    }

    /// The small disk under its directory.
    ///
    /// # Errors
    /// When it was prepared without one.
    pub fn disk(&self) -> Result<&SmallDisk> {
        self.disk
            .as_ref()
            .context("this coordinator has no disk of its own")
    }

    /// SIGKILL; gives the moment of the fault.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill(&mut self) -> Result<Instant> {
        self.ended_by_us = true;
        self.process()?.kill()
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it is dead already, or does not end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.ended_by_us = true;
        self.process()?.terminate()
    }

    /// SIGSTOP; gives the moment of the fault.
    ///
    /// # Errors
    /// When it is dead.
    pub fn pause(&mut self) -> Result<Instant> {
        self.process()?.pause()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it is dead.
    pub fn resume(&mut self) -> Result<()> {
        self.process()?.resume()
    }

    /// Declares an end of its own accord to be right in this test.
    pub fn may_end(&mut self) {
        self.ended_by_us = true;
    }

    /// Whether the process exists (stopped or not).
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Whether it runs and is not stopped.
    pub fn is_live(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_live)
    }

    /// How it ended, if it ended without being told to.
    pub fn crash(&mut self) -> Option<ExitStatus> {
        if self.ended_by_us {
            None
        } else {
            self.process.as_mut().and_then(Process::exit_status)
        }
    }

    /// Sends one command and converts the reply.
    ///
    /// # Errors
    /// When it does not answer, or with an error, or in another shape.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        client::ask_with(self.port(), self.password.as_deref(), words).with_context(|| self.name())
    }

    /// The port GET-MASTER-ADDR-BY-NAME gives for the group.
    ///
    /// # Errors
    /// When it does not answer, or does not know the group.
    pub fn primary_port(&self) -> Result<u16> {
        let address: Option<(String, u16)> = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        Ok(address
            .with_context(|| format!("{} does not know {GROUP}", self.name()))?
            .1)
    }

    /// The fields of SENTINEL MASTER.
    ///
    /// # Errors
    /// When it does not answer, or does not know the group.
    pub fn primary(&self) -> Result<HashMap<String, String>> {
        self.ask(&["SENTINEL", "MASTER", GROUP])
    }

    /// The fields of SENTINEL REPLICAS.
    ///
    /// # Errors
    /// When it does not answer, or does not know the group.
    pub fn replicas(&self) -> Result<Vec<HashMap<String, String>>> {
        self.ask(&["SENTINEL", "REPLICAS", GROUP])
    }

    /// The fields of SENTINEL SENTINELS.
    ///
    /// # Errors
    /// When it does not answer, or does not know the group.
    pub fn sentinels(&self) -> Result<Vec<HashMap<String, String>>> {
        self.ask(&["SENTINEL", "SENTINELS", GROUP])
    }

    /// Asks for its view of the primary at `port`, and for its vote if `candidate` is not `*`:
    /// (down, leader, leader epoch).
    ///
    /// # Errors
    /// When it does not answer.
    pub fn is_down(&self, port: u16, epoch: u64, candidate: &str) -> Result<(bool, String, u64)> {
        let (port, epoch) = (port.to_string(), epoch.to_string());
        self.ask(&[
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            &port,
            &epoch,
            candidate,
        ])
    }

    /// Orders a failover of the group (SENTINEL FAILOVER).
    ///
    /// # Errors
    /// When it refuses.
    pub fn fail_over(&self) -> Result<()> {
        self.ask(&["SENTINEL", "FAILOVER", GROUP])
    }

    /// Changes an option of the group here, and only here (SENTINEL SET).
    ///
    /// # Errors
    /// When it refuses.
    pub fn set(&self, option: &str, value: &str) -> Result<()> {
        self.ask(&["SENTINEL", "SET", GROUP, option, value])
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("never started")
    }
}
