//! A real `redis-server` or `valkey-server` in a directory of its own, with a config file that `CONFIG REWRITE` can write.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redis::{Connection, FromRedisValue, Value};

use crate::client;
use crate::port::Port;
use crate::process::Process;
use crate::program;
use crate::wait::wait_for;

/// An empty server is ready in milliseconds; a loaded machine may need seconds.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Whose server it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// `redis-server`.
    #[default]
    Redis,
    /// `valkey-server`.
    Valkey,
}

impl Flavour {
    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Redis => program::redis_server(),
            Self::Valkey => program::valkey_server(),
        }
    }
}

/// What ROLE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// Follows another server.
    Replica {
        /// The port it replicates from.
        of: u16,
        /// Whether replication is established (`connected`).
        connected: bool,
    },
}

/// One server, alive or dead. Killed on drop.
pub struct RedisServer {
    name: String,
    flavour: Flavour,
    process: Option<Process>,
    port: Port,
    dir: PathBuf,
    log: PathBuf,
    password: Option<String>,
}

impl RedisServer {
    /// Starts a server in `parent/name` with the usual settings and `extra` config lines, and waits until it answers.
    ///
    /// # Errors
    /// When the program is missing or does not come up.
    pub fn start(flavour: Flavour, parent: &Path, name: &str, extra: &[String]) -> Result<Self> {
        let dir = parent.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let port = Port::reserve()?;
        let mut config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsave \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n",
            dir.display()
        );
        for line in extra {
            config.push_str(line);
            config.push('\n');
        }
        let file = dir.join("redis.conf");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        let log = parent.join(format!("{name}.log"));
        let mut server = Self {
            name: name.to_owned(),
            flavour,
            process: None,
            port,
            dir,
            log,
            password: client::password_in(extra),
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again from its config file and data as they are now, and waits until it answers.
    ///
    /// # Errors
    /// When it still runs, or does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts it again without waiting.
    ///
    /// # Errors
    /// When it still runs, or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.name);
        let mut command = Command::new(self.flavour.program()?);
        command.arg(self.dir.join("redis.conf")).current_dir(&self.dir);
        self.process = Some(Process::spawn(&self.name, &mut command, &self.log)?);
        Ok(())
    }

    /// Waits until it answers PING.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let what = format!("{} to answer PING", self.name);
        wait_for(&what, START_LIMIT, || {
            let pong: String = self.ask(&["PING"])?;
            ensure!(pong == "PONG", "PING gives {pong}");
            Ok(())
        })
    }

    /// Starts it again with an empty data set.
    ///
    /// # Errors
    /// When it still runs, its data cannot be removed, or it does not come up.
    pub fn restart_empty(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.name);
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if path
                .extension()
                .is_some_and(|kind| kind == "rdb" || kind == "aof")
            {
                fs::remove_file(&path)?;
            }
        }
        self.restart()
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its port on 127.0.0.1; the same for its whole life.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its output goes.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// The process, for signals.
    ///
    /// # Errors
    /// When it was never started.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("never started")
    }

    /// SIGKILL; gives the moment of the fault.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill(&mut self) -> Result<Instant> {
        self.process()?.kill()
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

    /// Whether the process exists (stopped or not).
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Whether it runs and is not stopped.
    pub fn is_live(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_live)
    }

    /// Connects, with the usual deadlines and the password if it wants one.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self) -> Result<Connection> {
        client::connect_with(self.port(), self.password.as_deref())
    }

    /// Sends a command and converts the reply.
    ///
    /// # Errors
    /// When it does not answer, or with an error or another shape.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        client::ask_on(&mut self.connect()?, words).with_context(|| self.name.clone())
    }

    /// What ROLE says.
    ///
    /// # Errors
    /// When it does not answer, or in an unknown form.
    pub fn role(&self) -> Result<Role> {
        let reply: Vec<Value> = self.ask(&["ROLE"])?;
        let text = |at: usize| -> Result<String> {
            let value = reply
                .get(at)
                .with_context(|| format!("ROLE gives only {} values", reply.len()))?;
            Ok(redis::from_redis_value(value.clone())?)
        };
        match text(0)?.as_str() {
            "master" => Ok(Role::Primary),
            "slave" => Ok(Role::Replica {
                of: text(2)?.parse()?,
                connected: text(3)? == "connected",
            }),
            other => bail!("ROLE gives {other}"),
        }
    }

    /// The fields of INFO, sections thrown together.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn info(&self) -> Result<HashMap<String, String>> {
        let text: String = self.ask(&["INFO"])?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect())
    }
}
