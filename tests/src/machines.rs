//! A deployment as many have it: on each of three machines a server and a coordinator, and the coordinators share a log.
//! Machines can be cut off from each other, see [`crate::network`]. Needs root.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redis::Value;
use tempfile::TempDir;

use crate::journal::Journal;
use crate::network::Network;
use crate::process::{self, Process};
use crate::redis_server::Role;
use crate::shared_log::{Receipt, failovers_at};
use crate::wait::wait_for;
use crate::{GROUP, client, program};

/// The port of each server; machines have addresses of their own.
pub const SERVER_PORT: u16 = 6_379;
const COORDINATOR_PORT: u16 = 26_379;
const HTTP_PORT: u16 = 8_379;
/// Machines.
pub const MACHINES: usize = 3;
/// Detection, an election and a failover, and servers that have to find each other again.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);
/// Lines of each log shown when a test fails.
const TAIL_LINES: usize = 30;

/// The machines and what runs on them.
pub struct Machines {
    servers: Vec<Program>,
    coordinators: Vec<Program>,
    /// Declared behind the processes, so that these are dead before their machines go.
    pub network: Network,
    /// The events of all coordinators.
    pub journal: Journal,
    finished: bool,
    _dir: TempDir,
}

struct Program {
    name: String,
    host: String,
    path: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Machines {
    /// Starts everything, with the primary on the first machine, and waits until all agree. The calling thread is on
    /// this network from now on, beside the machines; no cut concerns it.
    ///
    /// # Errors
    /// When a program is missing, this is not root, or all do not come to agree.
    pub fn start(down_after: Duration) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bellwether-machines-")
            .tempdir()
            .context("a directory")?;
        let addresses: Vec<Ipv4Addr> = (1..).take(MACHINES).map(|n| Ipv4Addr::new(10, 0, 1, n)).collect();
        let network = Network::enter(&addresses)?;
        let (mut servers, mut coordinators) = (Vec::new(), Vec::new());
        for (index, host) in addresses.iter().enumerate() {
            let follow = (index > 0).then(|| format!("replicaof {} {SERVER_PORT}\n", addresses[0]));
            let config = format!(
                "port {SERVER_PORT}\nappendonly yes\nsave \"\"\nrepl-diskless-sync-delay 0\nrepl-timeout 10\n{}",
                follow.unwrap_or_default()
            );
            let path = program::redis_server()?;
            servers.push(Program::prepare(
                dir.path(),
                &format!("server-{index}"),
                *host,
                path,
                &config,
            )?);
            let config = coordinator_config(index, &addresses, down_after);
            let path = program::bellwether()?;
            coordinators.push(Program::prepare(
                dir.path(),
                &format!("sentinel-{index}"),
                *host,
                path,
                &config,
            )?);
        }
        let mut machines = Self {
            servers,
            coordinators,
            network,
            journal: Journal::default(),
            finished: false,
            _dir: dir,
        };
        for index in 0..MACHINES {
            machines.start_server(index)?;
        }
        wait_for("the replicas to be in sync", SETTLE_LIMIT, || {
            machines.check_roles(0)
        })?;
        for index in 0..MACHINES {
            machines.start_coordinator(index)?;
        }
        machines.wait_settled()?;
        Ok(machines)
    }

    /// The address of a machine.
    pub fn host(&self, machine: usize) -> &str {
        &self.servers[machine].host
    }

    /// Starts the server of a machine, with the data it had.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start_server(&mut self, machine: usize) -> Result<()> {
        self.servers[machine].spawn(&self.network, machine)
    }

    /// SIGSTOP for the coordinator of a machine.
    ///
    /// # Errors
    /// When it is dead.
    pub fn pause_coordinator(&mut self, machine: usize) -> Result<Instant> {
        self.coordinators[machine].process()?.pause()
    }

    /// SIGCONT for the coordinator of a machine.
    ///
    /// # Errors
    /// When it is dead.
    pub fn resume_coordinator(&mut self, machine: usize) -> Result<()> {
        self.coordinators[machine].process()?.resume()
    }

    /// SIGKILL for the server of a machine.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill_server(&mut self, machine: usize) -> Result<Instant> {
        self.servers[machine].process()?.kill()
    }

    /// Starts the coordinator of a machine and follows its events.
    ///
    /// # Errors
    /// When it runs already or does not come up.
    pub fn start_coordinator(&mut self, machine: usize) -> Result<()> {
        let coordinator = &mut self.coordinators[machine];
        coordinator.spawn(&self.network, machine)?;
        let (journal, host) = (&self.journal, &coordinator.host);
        wait_for("a coordinator to answer", SETTLE_LIMIT, || {
            journal.follow_at(machine, host, COORDINATOR_PORT)
        })
    }

    /// SIGKILL for the coordinator of a machine.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill_coordinator(&mut self, machine: usize) -> Result<Instant> {
        self.coordinators[machine].process()?.kill()
    }

    /// Asks the coordinator of a machine.
    ///
    /// # Errors
    /// When it does not answer, or with an error or another shape.
    pub fn ask<T: redis::FromRedisValue>(&self, machine: usize, words: &[&str]) -> Result<T> {
        client::ask_at(&self.coordinators[machine].host, COORDINATOR_PORT, words)
    }

    /// Asks the server of a machine.
    ///
    /// # Errors
    /// When it does not answer, or with an error or another shape.
    pub fn ask_server<T: redis::FromRedisValue>(&self, machine: usize, words: &[&str]) -> Result<T> {
        client::ask_at(&self.servers[machine].host, SERVER_PORT, words)
    }

    /// The machine whose server this coordinator names as the primary.
    ///
    /// # Errors
    /// When it does not answer, or names none.
    pub fn named_by(&self, machine: usize) -> Result<usize> {
        let address: Option<(String, u16)> =
            self.ask(machine, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        let (host, _) = address.with_context(|| format!("sentinel-{machine} does not know {GROUP}"))?;
        let found = self.servers.iter().position(|server| server.host == host);
        found.with_context(|| format!("sentinel-{machine} names {host}"))
    }

    /// The machine of the coordinator that these ones say leads.
    ///
    /// # Errors
    /// When they differ, or nobody leads.
    pub fn leader(&self, asked: &[usize]) -> Result<usize> {
        let mut named = BTreeSet::new();
        for machine in asked {
            named.insert(self.log_field(*machine, "raft_leader")?);
        }
        ensure!(named.len() == 1, "they name {named:?}");
        let id: usize = named.first().context("nobody was asked")?.parse()?;
        id.checked_sub(1).context("nobody leads")
    }

    /// Has the coordinator of this machine lead.
    ///
    /// # Errors
    /// When it does not come to lead.
    pub fn lead(&mut self, machine: usize) -> Result<()> {
        let all: Vec<usize> = (0..MACHINES).collect();
        let id = (machine + 1).to_string();
        wait_for("the lead to be handed over", SETTLE_LIMIT, || {
            let leader = self.leader(&all)?;
            if leader != machine {
                self.ask::<()>(leader, &["SENTINEL", "RAFT", "TRANSFER", &id])?;
                bail!("sentinel-{leader} leads");
            }
            Ok(())
        })
    }

    /// A field of the section `raft` of INFO.
    ///
    /// # Errors
    /// When the coordinator does not answer, or has no such field.
    pub fn log_field(&self, machine: usize, name: &str) -> Result<String> {
        let text: String = self.ask(machine, &["INFO", "raft"])?;
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(key, _)| *key == name);
        Ok(found
            .with_context(|| format!("no {name} in {text}"))?
            .1
            .to_owned())
    }

    /// Waits until all coordinators that run name one primary, in one config epoch, and all servers that run follow it.
    /// Gives its machine.
    ///
    /// # Errors
    /// At the deadline; names what was still missing.
    pub fn wait_settled(&mut self) -> Result<usize> {
        wait_for("agreement on one primary", SETTLE_LIMIT, || self.settled())
    }

    /// Waits until all coordinators follow one leader, remember the same failovers, and none is under way.
    ///
    /// # Errors
    /// At the deadline: says what differs.
    pub fn wait_same_history(&mut self) -> Result<Vec<Receipt>> {
        let all: Vec<usize> = (0..MACHINES).collect();
        wait_for("the same history on all coordinators", SETTLE_LIMIT, || {
            self.leader(&all)?;
            let mut applied = BTreeSet::new();
            let mut told = Vec::new();
            for machine in 0..MACHINES {
                applied.insert(self.log_field(machine, "raft_applied")?);
                applied.insert(self.log_field(machine, "raft_last")?);
                let (receipts, state) = failovers_at(&self.coordinators[machine].host, HTTP_PORT)?;
                ensure!(state.is_none(), "sentinel-{machine} is in {state:?}");
                told.push(receipts);
            }
            ensure!(applied.len() == 1, "applied and there is {applied:?}");
            ensure!(told.iter().all(|each| *each == told[0]), "they tell {told:#?}");
            told.pop().context("nobody was asked")
        })
    }

    fn settled(&mut self) -> Result<usize> {
        let mut views = BTreeSet::new();
        for machine in 0..MACHINES {
            if !self.coordinators[machine].is_running() {
                continue;
            }
            let fields: HashMap<String, String> = self.ask(machine, &["SENTINEL", "MASTER", GROUP])?;
            let epoch = fields.get("config-epoch").cloned();
            ensure!(
                fields.get("flags").map(String::as_str) == Some("master"),
                "{fields:?}"
            );
            for (key, wanted) in [
                ("num-slaves", MACHINES - 1),
                ("num-other-sentinels", MACHINES - 1),
            ] {
                let known = fields.get(key).map(String::as_str);
                ensure!(
                    known == Some(&wanted.to_string()),
                    "sentinel-{machine} has {key} {known:?}"
                );
            }
            views.insert((self.named_by(machine)?, epoch));
        }
        ensure!(views.len() == 1, "the coordinators hold {views:?}");
        let primary = views.first().map_or(0, |view| view.0);
        self.check_roles(primary)?;
        Ok(primary)
    }

    fn check_roles(&mut self, primary: usize) -> Result<()> {
        for machine in 0..MACHINES {
            if !self.servers[machine].is_running() {
                ensure!(machine != primary, "server-{primary} is named and is down");
                continue;
            }
            let role = self.role(machine)?;
            let wanted = if machine == primary {
                (Role::Primary, None)
            } else {
                let role = Role::Replica {
                    of: SERVER_PORT,
                    connected: true,
                };
                (role, Some(self.host(primary).to_owned()))
            };
            ensure!(role == wanted, "server-{machine} is {role:?}, not {wanted:?}");
        }
        Ok(())
    }

    /// What ROLE says, and whom a replica follows.
    ///
    /// # Errors
    /// When the server does not answer, or in an unknown form.
    pub fn role(&self, machine: usize) -> Result<(Role, Option<String>)> {
        let reply: Vec<Value> = self.ask_server(machine, &["ROLE"])?;
        let text = |at: usize| -> Result<String> {
            let value = reply.get(at).context("ROLE gives too few values")?;
            Ok(redis::from_redis_value(value.clone())?)
        };
        match text(0)?.as_str() {
            "master" => Ok((Role::Primary, None)),
            "slave" => {
                let connected = text(3)? == "connected";
                Ok((
                    Role::Replica {
                        of: text(2)?.parse()?,
                        connected,
                    },
                    Some(text(1)?),
                ))
            }
            other => bail!("ROLE gives {other}"),
        }
    }

    /// All ways between a machine and the others, for [`Network::cut`].
    pub fn ways_of(&self, machine: usize) -> Vec<(usize, usize)> {
        let others = (0..MACHINES).filter(|other| *other != machine);
        others
            .flat_map(|other| [(machine, other), (other, machine)])
            .collect()
    }

    /// Ends a test that went well: nobody panicked or ended by itself.
    ///
    /// # Errors
    /// Names what was wrong after all.
    pub fn finish(mut self) -> Result<()> {
        for coordinator in &mut self.coordinators {
            let log = fs::read(&coordinator.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            ensure!(!log.contains("panicked at"), "{} panicked", coordinator.name);
            ensure!(coordinator.is_running(), "{} has ended", coordinator.name);
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for Machines {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test has no other way to show what it saw"
    )]
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        eprintln!("\n=== events ===\n{}", self.journal.timeline());
        for program in self.coordinators.iter().chain(&self.servers) {
            let tail = process::tail(&program.log, TAIL_LINES);
            eprintln!("\n=== the end of the log of {} ===\n{tail}", program.name);
        }
    }
}

impl Program {
    fn prepare(parent: &Path, name: &str, host: Ipv4Addr, path: PathBuf, config: &str) -> Result<Self> {
        let dir = parent.join(name);
        fs::create_dir_all(dir.join("state")).with_context(|| format!("creating {}", dir.display()))?;
        let head = format!("bind 0.0.0.0\nprotected-mode no\ndir {}\n", dir.display());
        fs::write(dir.join("conf"), head + config)
            .with_context(|| format!("writing in {}", dir.display()))?;
        Ok(Self {
            name: name.to_owned(),
            host: host.to_string(),
            path,
            log: parent.join(format!("{name}.log")),
            dir,
            process: None,
        })
    }

    fn spawn(&mut self, network: &Network, machine: usize) -> Result<()> {
        ensure!(!self.is_running(), "{} is still running", self.name);
        let mut command = network.machine(machine).command(&self.path);
        command.arg(self.dir.join("conf")).current_dir(&self.dir);
        self.process = Some(Process::spawn(&self.name, &mut command, &self.log)?);
        Ok(())
    }

    fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("never started")
    }
}

fn coordinator_config(index: usize, addresses: &[Ipv4Addr], down_after: Duration) -> String {
    let mut config = format!(
        "port {COORDINATOR_PORT}\nbellwether state-dir state\nbellwether coordination raft\nbellwether member-id {}\n",
        index + 1
    );
    for (id, host) in (1..).zip(addresses) {
        config.push_str(&format!("bellwether member {id} {host} {COORDINATOR_PORT}\n"));
    }
    config.push_str(&format!(
        "bellwether http-bind {}:{HTTP_PORT}\n",
        addresses[index]
    ));
    config.push_str(&format!(
        "sentinel monitor {GROUP} {} {SERVER_PORT} 2\nsentinel down-after-milliseconds {GROUP} {}\n\
         sentinel failover-timeout {GROUP} 10000\n",
        addresses[0],
        down_after.as_millis()
    ));
    config
}
