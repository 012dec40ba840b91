//! Real servers and coordinators, each on a machine of its own, as a stage.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bellwether_sim::scenario::{Act, Cast, Names, Role, Stage, Told, View, Who};
use bellwether_tests::network::Network;
use bellwether_tests::process::{self, Process};
use bellwether_tests::{GROUP, Journal, client, program, wait_for};
use redis::Value;
use tempfile::TempDir;

const SERVER_PORT: u16 = 6_379;
const COORDINATOR_PORT: u16 = 26_379;
/// An empty process is ready in milliseconds; a loaded machine may need seconds.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long nothing may be told before the player looks again.
const SLICE: Duration = Duration::from_millis(20);
/// Lines of each log shown when a play fails.
const TAIL_LINES: usize = 25;

/// A cast of processes.
pub(crate) struct Real {
    cast: Cast,
    /// Servers first, then coordinators: the order of the machines.
    members: Vec<Member>,
    /// Declared behind the processes, so that these are dead before their machines go.
    network: Network,
    journal: Journal,
    told: Vec<Told>,
    names: Names,
    started: Instant,
    _dir: TempDir,
}

struct Member {
    who: Who,
    host: String,
    dir: PathBuf,
    log: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

impl Real {
    /// Starts the cast. The calling thread is on their network from now on.
    ///
    /// # Errors
    /// When a program is missing, this is not root, or a process does not come up.
    pub(crate) fn start(cast: Cast) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bellwether-scenario-")
            .tempdir()
            .context("a directory")?;
        let mut all = Vec::new();
        for n in 0..cast.servers {
            all.push((Who::Server(n), Ipv4Addr::new(10, 0, 1, u8::try_from(n + 1)?)));
        }
        for n in 0..cast.coordinators {
            all.push((Who::Coordinator(n), Ipv4Addr::new(10, 0, 2, u8::try_from(n + 1)?)));
        }
        let addresses: Vec<Ipv4Addr> = all.iter().map(|(_, ip)| *ip).collect();
        let network = Network::enter(&addresses)?;
        let mut members = Vec::new();
        for (who, ip) in &all {
            members.push(Member::prepare(dir.path(), *who, *ip, cast, addresses[0])?);
        }
        let mut real = Self {
            cast,
            members,
            network,
            journal: Journal::default(),
            told: Vec::new(),
            names: Names {
                group: GROUP.to_owned(),
                of: all.iter().map(|(who, ip)| (ip.to_string(), *who)).collect(),
            },
            started: Instant::now(),
            _dir: dir,
        };
        for index in 0..real.members.len() {
            real.spawn(index)?;
            if index + 1 == cast.servers {
                real.wait_for_replicas()?;
            }
        }
        for n in 0..cast.coordinators {
            real.follow(n)?;
        }
        Ok(real)
    }

    /// Coordinators learn the replicas from the primary's first INFO: it should name them all.
    fn wait_for_replicas(&mut self) -> Result<()> {
        wait_for("the replicas to be in sync", START_LIMIT, || {
            for n in 1..self.cast.servers {
                let role = self.role(n)?;
                ensure!(role == Role::Replica(Some(0), true), "r{} is {role:?}", n + 1);
            }
            Ok(())
        })
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        let mut command = self.network.machine(index).command(&member.program);
        command.arg(member.dir.join("conf")).current_dir(&member.dir);
        let name = member.who.to_string();
        member.process = Some(Process::spawn(&name, &mut command, &member.log)?);
        Ok(())
    }

    /// Waits until a coordinator answers and follows its events.
    fn follow(&mut self, n: usize) -> Result<()> {
        let index = self.cast.servers + n;
        let host = self.members[index].host.clone();
        wait_for(&format!("s{} to answer", n + 1), START_LIMIT, || {
            self.journal.follow_at(n, &host, COORDINATOR_PORT)
        })?;
        let id: String = client::ask_at(&host, COORDINATOR_PORT, &["SENTINEL", "MYID"])?;
        self.names.of.push((id, Who::Coordinator(n)));
        Ok(())
    }

    fn index(&self, who: Who) -> Result<usize> {
        match who {
            Who::Server(n) => Ok(n),
            Who::Coordinator(n) => Ok(self.cast.servers + n),
            Who::Leader => bail!("the leader has no name here"),
        }
    }

    fn process(&mut self, who: Who) -> Result<&mut Process> {
        let index = self.index(who)?;
        let process = self.members[index].process.as_mut();
        process.with_context(|| format!("{who} was never started"))
    }

    fn restart(&mut self, who: Who, empty: bool) -> Result<()> {
        let index = self.index(who)?;
        if empty {
            let data = self.members[index].dir.join("appendonlydir");
            fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
        }
        self.spawn(index)?;
        match who {
            Who::Coordinator(n) => self.follow(n),
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, act: &Act) -> Result<()> {
        match act {
            Act::Crash(who) => self.process(*who)?.kill().map(drop),
            Act::Restart(who, empty) => self.restart(*who, *empty),
            Act::Pause(who) => self.process(*who)?.pause().map(drop),
            Act::Resume(who) => self.process(*who)?.resume(),
            Act::Cut(pairs) => {
                let ways = pairs
                    .iter()
                    .map(|(from, to)| Ok((self.index(*from)?, self.index(*to)?)));
                let ways = ways.collect::<Result<Vec<_>>>()?;
                self.network.cut(&ways)
            }
            Act::Heal => self.network.heal(),
            Act::Failover(who, coordinated) => {
                let host = self.members[self.index(*who)?].host.clone();
                let mut words = vec!["SENTINEL", "FAILOVER", GROUP];
                if *coordinated {
                    words.push("COORDINATED");
                }
                client::ask_at::<()>(&host, COORDINATOR_PORT, &words)
            }
        }
    }

    fn listen(&mut self) {
        let events = self.journal.events().into_iter().skip(self.told.len());
        let told = events.map(|event| Told {
            at: event.at.saturating_duration_since(self.started),
            by: event.source,
            event: event.name,
            words: self.names.translate(&event.payload),
        });
        self.told.extend(told.collect::<Vec<_>>());
    }

    fn server_at(&self, host: &str) -> Option<usize> {
        let found = self.names.of.iter().find(|(text, _)| text == host);
        match found {
            Some((_, Who::Server(n))) => Some(*n),
            _ => None,
        }
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            let tail = process::tail(&member.log, TAIL_LINES);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "--- the end of the log of {}\n{tail}", member.who);
        }
        text
    }

    /// Errors if a coordinator has panicked.
    pub(crate) fn check_logs(&self) -> Result<()> {
        for member in &self.members {
            let log = fs::read(&member.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            ensure!(!log.contains("panicked at"), "{} panicked", member.who);
        }
        Ok(())
    }
}

impl Member {
    fn prepare(parent: &Path, who: Who, ip: Ipv4Addr, cast: Cast, primary: Ipv4Addr) -> Result<Self> {
        let dir = parent.join(who.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut config = format!("bind 0.0.0.0\nprotected-mode no\ndir {}\n", dir.display());
        let program = if let Who::Server(n) = who {
            config.push_str("appendonly yes\nsave \"\"\nrepl-diskless-sync-delay 0\n");
            writeln!(config, "port {SERVER_PORT}")?;
            if n > 0 {
                writeln!(config, "replicaof {primary} {SERVER_PORT}")?;
            }
            program::redis_server()?
        } else {
            let quorum = cast.quorum;
            writeln!(config, "port {COORDINATOR_PORT}")?;
            writeln!(
                config,
                "sentinel monitor {GROUP} {primary} {SERVER_PORT} {quorum}"
            )?;
            let times = [
                ("down-after-milliseconds", cast.down_after),
                ("failover-timeout", cast.failover_timeout),
            ];
            for (directive, time) in times {
                writeln!(config, "sentinel {directive} {GROUP} {}", time.as_millis())?;
            }
            program::bellwether()?
        };
        let file = dir.join("conf");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        Ok(Self {
            who,
            host: ip.to_string(),
            log: parent.join(format!("{who}.log")),
            dir,
            program,
            process: None,
        })
    }
}

impl Stage for Real {
    type Error = anyhow::Error;

    fn act(&mut self, act: &Act) -> Result<()> {
        let done = self.carry_out(act);
        self.listen();
        done
    }

    fn pass(&mut self) -> Result<()> {
        self.journal.wait_growth(self.told.len(), SLICE);
        self.listen();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn told(&self) -> &[Told] {
        &self.told
    }

    fn role(&mut self, server: usize) -> Result<Role> {
        let reply: Vec<Value> = client::ask_at(&self.members[server].host, SERVER_PORT, &["ROLE"])?;
        let text = |at: usize| -> Result<String> {
            let value = reply.get(at).context("ROLE gives too few values")?;
            Ok(redis::from_redis_value(value.clone())?)
        };
        match text(0)?.as_str() {
            "master" => Ok(Role::Primary),
            "slave" => Ok(Role::Replica(self.server_at(&text(1)?), text(3)? == "connected")),
            other => bail!("ROLE gives {other}"),
        }
    }

    fn view(&mut self, coordinator: usize) -> Result<View> {
        let host = &self.members[self.cast.servers + coordinator].host;
        let ask = |command: &str| -> Result<HashMap<String, String>> {
            client::ask_at(host, COORDINATOR_PORT, &["SENTINEL", command, GROUP])
        };
        let fields = ask("MASTER")?;
        let number = |key: &str| -> Result<usize> {
            let text = fields
                .get(key)
                .with_context(|| format!("SENTINEL MASTER has no {key}"))?;
            text.parse().with_context(|| format!("{key} is {text}"))
        };
        Ok(View {
            primary: fields.get("ip").and_then(|ip| self.server_at(ip)),
            replicas: number("num-slaves")?,
            peers: number("num-other-sentinels")?,
        })
    }
}
