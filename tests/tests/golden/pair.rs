//! A sentinel of Redis or Valkey and a `bellwether` with the same configuration, beside the same servers.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bellwether_tests::{Coordinator, Kind, RedisServer, wait_for};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The pairs that were needed so far, by name.
pub(crate) struct Pairs {
    reference: Kind,
    started: BTreeMap<&'static str, Servers>,
}

impl Pairs {
    pub(crate) fn with(reference: Kind) -> Self {
        Self {
            reference,
            started: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&mut self, name: &'static str) -> Result<&Servers> {
        if !self.started.contains_key(name) {
            self.started.insert(name, Servers::start(name, self.reference)?);
        }
        self.started.get(name).context("just started")
    }

    /// What the reference says of its version.
    pub(crate) fn reference_version(&mut self) -> Result<String> {
        let info: String = self.get("plain")?.reference.ask(&["INFO", "server"])?;
        // The other field is there too, and says to which Redis this Valkey corresponds.
        let field = match self.reference {
            Kind::ValkeySentinel => "valkey_version:",
            _ => "redis_version:",
        };
        let version = info.lines().find_map(|line| line.strip_prefix(field));
        Ok(format!(
            "{} {}",
            self.reference.name(),
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
    fn start(name: &'static str, reference: Kind) -> Result<Self> {
        let flavour = reference.servers();
        let dir = tempfile::Builder::new().prefix("bellwether-golden-").tempdir()?;
        let mut instances = Vec::new();
        let mut directives = Vec::new();
        match name {
            "password" => directives.push("requirepass secret".to_owned()),
            "groups" => {
                let primary = RedisServer::start(flavour, dir.path(), "primary", &[])?;
                let follow = [format!("replicaof 127.0.0.1 {}", primary.port())];
                let replica = RedisServer::start(flavour, dir.path(), "replica", &follow)?;
                let alone = RedisServer::start(flavour, dir.path(), "alone", &[])?;
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
            reference: start(0, reference)?,
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
