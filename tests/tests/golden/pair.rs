//! A `redis-sentinel` and a `bellwether` with the same configuration, beside the same servers.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bellwether_tests::{Coordinator, Kind, RedisServer, wait_for};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The pairs that were needed so far, by name.
#[derive(Default)]
pub(crate) struct Pairs(BTreeMap<&'static str, Servers>);

impl Pairs {
    pub(crate) fn get(&mut self, name: &'static str) -> Result<&Servers> {
        if !self.0.contains_key(name) {
            self.0.insert(name, Servers::start(name)?);
        }
        self.0.get(name).context("just started")
    }

    /// What the reference says of its version.
    pub(crate) fn reference_version(&mut self) -> Result<String> {
        let info: String = self.get("plain")?.reference.ask(&["INFO", "server"])?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(format!(
            "redis-sentinel {}",
            version.unwrap_or("of unknown version")
        ))
    }
}

/// One pair and what it watches.
pub(crate) struct Servers {
    pub(crate) reference: Coordinator,
    pub(crate) bellwether: Coordinator,
    name: &'static str,
    /// Primary, replica, and a primary without replicas.
    instances: Vec<RedisServer>,
    _dir: TempDir,
}

impl Servers {
    fn start(name: &'static str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bellwether-golden-").tempdir()?;
        let mut instances = Vec::new();
        let mut directives = Vec::new();
        match name {
            "password" => directives.push("requirepass secret".to_owned()),
            "groups" => {
                let primary = RedisServer::start(dir.path(), "primary", &[])?;
                let follow = [format!("replicaof 127.0.0.1 {}", primary.port())];
                let replica = RedisServer::start(dir.path(), "replica", &follow)?;
                let alone = RedisServer::start(dir.path(), "alone", &[])?;
                directives.push(format!("sentinel monitor m 127.0.0.1 {} 2", primary.port()));
                directives.push(format!("sentinel monitor alone 127.0.0.1 {} 3", alone.port()));
                directives.push("sentinel auth-user alone default".to_owned());
                instances.extend([primary, replica, alone]);
            }
            _ => {}
        }
        let start = |index, kind| -> Result<Coordinator> {
            let mut coordinator = Coordinator::prepare(dir.path(), index, kind, &directives, false)?;
            coordinator.spawn()?;
            wait_for(kind.name(), START_LIMIT, || {
                TcpStream::connect(("127.0.0.1", coordinator.port())).context("connecting")
            })?;
            Ok(coordinator)
        };
        Ok(Self {
            reference: start(0, Kind::RedisSentinel)?,
            bellwether: start(1, Kind::Bellwether)?,
            name,
            instances,
            _dir: dir,
        })
    }

    /// Puts the ports of servers into a request.
    pub(crate) fn fill_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, server) in ["{primary}", "{replica}", "{alone}"].iter().zip(&self.instances) {
            text = text.replace(name, &server.port().to_string());
        }
        text
    }

    /// Whether a strange connection may change the protocol.
    pub(crate) fn opens_with_hello(&self) -> bool {
        self.name != "password"
    }
}
