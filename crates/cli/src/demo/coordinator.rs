//! The coordinators: our own daemon, or another sentinel, always by its public face.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use bellwether_conf::quote;
use redis::{FromRedisValue, RedisResult, cmd};
use tokio::process::Command;

use super::{process::Process, server::open, wait::Pending};
use crate::connect::HostPort;

/// The name of the one group.
pub(super) const GROUP: &str = "demo";

/// A failover may take this long before another is tried. Short, so that a lost election does not end the demo.
const FAILOVER_TIMEOUT_MS: u32 = 10_000;

/// What runs as a coordinator.
#[derive(Debug)]
pub(super) struct Binary {
    path: PathBuf,
    is_own: bool,
}

impl Binary {
    pub(super) fn choose(other: Option<PathBuf>) -> anyhow::Result<Self> {
        match other {
            Some(path) => Ok(Self { path, is_own: false }),
            None => Ok(Self {
                path: std::env::current_exe().context("cannot find this program")?,
                is_own: true,
            }),
        }
    }

    /// What it is called where it is not our own.
    pub(super) fn foreign_name(&self) -> Option<String> {
        (!self.is_own).then(|| {
            self.path
                .file_name()
                .unwrap_or(self.path.as_os_str())
                .display()
                .to_string()
        })
    }

    fn command(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.path);
        if self.is_own {
            command.arg("server");
        }
        command.arg(config);
        command
    }
}

/// What every coordinator of the demo is told.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) primary: u16,
    pub(super) quorum: u8,
    pub(super) down_after_ms: u32,
    /// The ports of those who share a log, the first of them of member 1; none where they vote.
    pub(super) members: Vec<u16>,
}

impl Settings {
    fn text(&self, port: u16, dir: &Path) -> String {
        let Self {
            primary,
            quorum,
            down_after_ms,
            members,
        } = self;
        let dir = dir.to_string_lossy();
        let dir = quote(&dir);
        let mut text = format!(
            "port {port}\nbind 127.0.0.1\ndir {dir}\n\
             sentinel monitor {GROUP} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {GROUP} {down_after_ms}\n\
             sentinel failover-timeout {GROUP} {FAILOVER_TIMEOUT_MS}\n\
             sentinel parallel-syncs {GROUP} 1\n"
        );
        if let Some(own) = members.iter().position(|member| *member == port) {
            let lines = (1..).zip(members);
            let lines = lines.map(|(id, port)| format!("bellwether member {id} 127.0.0.1 {port}\n"));
            text.push_str(&format!(
                "bellwether state-dir {dir}\nbellwether coordination raft\nbellwether member-id {}\n",
                own + 1
            ));
            text.extend(lines);
        }
        text
    }
}

/// One running coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    /// `c1`, `c2`, … as it is called in what is printed.
    pub(super) name: String,
    pub(super) at: HostPort,
    pub(super) process: Process,
}

impl Coordinator {
    pub(super) fn start(
        binary: &Binary,
        name: String,
        port: u16,
        settings: &Settings,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let log_name = format!("coordinator-{name}");
        let own_dir = dir.join(&log_name);
        std::fs::create_dir(&own_dir).context("cannot make a coordinator's directory")?;
        let config = own_dir.join("sentinel.conf");
        std::fs::write(&config, settings.text(port, &own_dir))
            .context("cannot write a coordinator's configuration")?;
        let process = Process::start(&log_name, binary.command(&config), dir)?;
        Ok(Self {
            name,
            at: HostPort::loopback(port),
            process,
        })
    }

    /// Whether it knows `replicas` replicas, all in sync, and `peers` peers, all reachable.
    pub(super) async fn knows(&mut self, replicas: usize, peers: usize) -> Result<(), Pending> {
        if let Some(status) = self.process.ended() {
            return Err(Pending::Never(format!("{} has ended: {status}", self.name)));
        }
        let missing = |what: String| Pending::NotYet(format!("{}: {what}", self.name));
        let lists = async {
            let replicas: Vec<Fields> = self.ask(&["SENTINEL", "REPLICAS", GROUP]).await?;
            let peers: Vec<Fields> = self.ask(&["SENTINEL", "SENTINELS", GROUP]).await?;
            RedisResult::Ok((replicas, peers))
        };
        let (known_replicas, known_peers) = lists.await.map_err(|error| missing(error.to_string()))?;
        let good_replicas = known_replicas
            .iter()
            .filter(|fields| is_good_replica(fields))
            .count();
        let good_peers = known_peers
            .iter()
            .filter(|fields| has(fields, "flags", "sentinel"))
            .count();
        if (good_replicas, good_peers) == (replicas, peers) {
            return Ok(());
        }
        Err(missing(format!(
            "{good_replicas} of {replicas} replicas, {good_peers} of {peers} peers"
        )))
    }

    /// Where it says that the primary is.
    pub(super) async fn primary(&self) -> RedisResult<HostPort> {
        let (host, port): (String, u16) = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).await?;
        Ok(HostPort::new(host, port))
    }

    /// The replicas that it holds to be down.
    pub(super) async fn replicas_down(&self) -> RedisResult<Vec<String>> {
        let replicas: Vec<Fields> = self.ask(&["SENTINEL", "REPLICAS", GROUP]).await?;
        let down = |fields: &&Fields| fields.get("flags").is_some_and(|flags| flags.contains("_down"));
        Ok(replicas
            .iter()
            .filter(down)
            .filter_map(|fields| fields.get("name").cloned())
            .collect())
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let (name, args) = words.split_first().unwrap_or((&"PING", &[]));
        cmd(name).arg(args).query_async(&mut open(&self.at).await?).await
    }
}

/// One instance as a sentinel describes it.
type Fields = BTreeMap<String, String>;

fn is_good_replica(fields: &Fields) -> bool {
    has(fields, "flags", "slave") && has(fields, "master-link-status", "ok")
}

fn has(fields: &Fields, name: &str, value: &str) -> bool {
    fields.get(name).is_some_and(|known| known == value)
}
