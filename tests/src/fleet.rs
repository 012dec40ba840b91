//! A whole deployment: one primary, its replicas, the coordinators beside them, and what they all say.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::coordinator::{Coordinator, Kind};
use crate::journal::Journal;
use crate::redis_server::{Flavour, RedisServer, Role};
use crate::wait::{hold_for, wait_for};
use crate::{GROUP, client, invariants, process};

/// A fleet finds itself within a few hello periods (2 s each).
const STABLE_LIMIT: Duration = Duration::from_secs(40);
/// Lines of each log shown when a test fails.
const TAIL_LINES: usize = 60;

/// What servers want from their clients in a fleet with passwords.
pub const SERVER_PASSWORD: &str = "server-secret";
/// What coordinators want from theirs.
pub const SENTINEL_PASSWORD: &str = "sentinel-secret";

/// The shape of a fleet. Take [`Options::from_env`] and change what matters to the test.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which program coordinates.
    pub kind: Kind,
    /// Which program each coordinator is, by index; where this ends, `kind` holds.
    pub kinds: Vec<Kind>,
    /// Whose servers they watch.
    pub flavour: Flavour,
    /// Replicas beside the one primary.
    pub replicas: usize,
    /// Coordinators.
    pub coordinators: usize,
    /// Quorum of the group.
    pub quorum: usize,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// `failover-timeout`.
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`.
    pub parallel_syncs: u32,
    /// Further config lines of every server.
    pub server_config: Vec<String>,
    /// Further config lines of the replicas only.
    pub replica_config: Vec<String>,
    /// Further config lines of every coordinator.
    pub coordinator_config: Vec<String>,
    /// Whether the coordinators share a log.
    pub raft: bool,
    /// The coordinator whose directory lies on a small disk of its own.
    pub small_disk_on: Option<usize>,
}

impl Options {
    /// Three coordinators with quorum 2, two replicas, short times, and the kind the environment asks for.
    ///
    /// # Errors
    /// When the environment asks for an unknown kind.
    pub fn from_env() -> Result<Self> {
        Ok(Self::of(Kind::from_env()?))
    }

    /// The defaults of Bellwether whose coordinators share a log.
    pub fn sharing_log() -> Self {
        Self {
            raft: true,
            ..Self::of(Kind::Bellwether)
        }
    }

    /// The same for a given kind.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            kinds: Vec::new(),
            flavour: Flavour::Redis,
            replicas: 2,
            coordinators: 3,
            quorum: 2,
            // The reference reconnects once a second at most, so below that it takes the servers whose clients were
            // killed at a promotion for dead.
            down_after_ms: kind.pick(700, 1500),
            failover_timeout_ms: 6000,
            parallel_syncs: 1,
            server_config: Vec::new(),
            replica_config: Vec::new(),
            coordinator_config: Vec::new(),
            raft: false,
            small_disk_on: None,
        }
    }

    /// A mixed fleet, with the times of the slower kind.
    pub fn mixed(kinds: &[Kind]) -> Self {
        let slower = kinds.iter().copied().max().unwrap_or(Kind::Bellwether);
        Self {
            kinds: kinds.to_vec(),
            coordinators: kinds.len(),
            ..Self::of(slower)
        }
    }

    /// The same fleet with a password on everything.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        self.server_config.extend([
            format!("requirepass {SERVER_PASSWORD}"),
            format!("masterauth {SERVER_PASSWORD}"),
        ]);
        self.coordinator_config.extend([
            format!("requirepass {SENTINEL_PASSWORD}"),
            format!("sentinel auth-pass {GROUP} {SERVER_PASSWORD}"),
        ]);
        self
    }

    /// Whether clients need the passwords.
    pub fn has_passwords(&self) -> bool {
        client::password_in(&self.server_config).is_some()
    }

    /// down-after as a duration.
    pub fn down_after(&self) -> Duration {
        Duration::from_millis(self.down_after_ms)
    }

    /// Long enough for any failover this fleet can need, retries of the reference included (twice failover-timeout
    /// each). A bound against hanging, not a measure of speed.
    pub fn failover_limit(&self) -> Duration {
        Duration::from_secs(20) + 10 * self.down_after() + 4 * Duration::from_millis(self.failover_timeout_ms)
    }

    /// What every coordinator is told of the group whose primary listens on `primary_port`.
    pub fn directives(&self, primary_port: u16) -> Vec<String> {
        let mut lines = vec![
            format!(
                "sentinel monitor {GROUP} 127.0.0.1 {primary_port} {}",
                self.quorum
            ),
            format!("sentinel down-after-milliseconds {GROUP} {}", self.down_after_ms),
            format!("sentinel failover-timeout {GROUP} {}", self.failover_timeout_ms),
            format!("sentinel parallel-syncs {GROUP} {}", self.parallel_syncs),
        ];
        lines.extend_from_slice(&self.coordinator_config);
        lines
    }
}

/// A running fleet. Everything it started ends with it; unless [`Fleet::finish`] was reached, it shows what it saw.
pub struct Fleet {
    /// The options it was started with.
    pub options: Options,
    /// All servers; the first one was the primary at the start.
    pub servers: Vec<RedisServer>,
    /// All coordinators.
    pub coordinators: Vec<Coordinator>,
    /// The events of all coordinators.
    pub journal: Journal,
    started: Instant,
    finished: bool,
    dir: Option<TempDir>,
}

impl Fleet {
    /// Starts everything and waits until it is stable.
    ///
    /// # Errors
    /// When a program is missing or the fleet does not become stable.
    pub fn start(options: Options) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bellwether-test-")
            .tempdir()
            .context("a directory")?;
        let mut fleet = Self {
            options,
            servers: Vec::new(),
            coordinators: Vec::new(),
            journal: Journal::default(),
            started: Instant::now(),
            finished: false,
            dir: Some(dir),
        };
        fleet.start_servers()?;
        fleet.start_coordinators()?;
        fleet.wait_stable()?;
        Ok(fleet)
    }

    fn start_servers(&mut self) -> Result<()> {
        let dir = self.dir.as_ref().context("the directory is gone")?.path();
        let start = |name: &str, lines: &[String]| RedisServer::start(self.options.flavour, dir, name, lines);
        let primary = start("server-0", &self.options.server_config)?;
        let mut lines = self.options.server_config.clone();
        lines.extend_from_slice(&self.options.replica_config);
        lines.push(format!("replicaof 127.0.0.1 {}", primary.port()));
        self.servers.push(primary);
        for index in 1..=self.options.replicas {
            self.servers.push(start(&format!("server-{index}"), &lines)?);
        }
        // Coordinators learn the replicas from the primary's first INFO: it should name them all.
        wait_for("the replicas to be in sync", STABLE_LIMIT, || {
            self.check_servers(0)
        })
    }

    fn start_coordinators(&mut self) -> Result<()> {
        let dir = self.dir.as_ref().context("the directory is gone")?.path();
        let directives = self.options.directives(self.servers[0].port());
        for index in 0..self.options.coordinators {
            let small = self.options.small_disk_on == Some(index);
            let kind = self
                .options
                .kinds
                .get(index)
                .copied()
                .unwrap_or(self.options.kind);
            let mut coordinator = Coordinator::prepare(dir, index, kind, &directives, small)?;
            coordinator.record_in(&self.journal);
            self.coordinators.push(coordinator);
        }
        if self.options.raft {
            let members: Vec<String> = (1..)
                .zip(&self.coordinators)
                .map(|(id, coordinator)| coordinator.member_line(id))
                .collect();
            for (id, coordinator) in (1..).zip(&mut self.coordinators) {
                coordinator.share_log(id, &members)?;
            }
        }
        self.coordinators.iter_mut().try_for_each(Coordinator::spawn)?;
        self.coordinators.iter_mut().try_for_each(Coordinator::wait_ready)
    }

    /// Lays out one more coordinator, which watches what the others watch; does not start it.
    ///
    /// # Errors
    /// When it cannot be laid out.
    pub fn prepare_coordinator(&mut self, kind: Kind, directives: &[String]) -> Result<&mut Coordinator> {
        let dir = self.dir.as_ref().context("the directory is gone")?.path();
        let index = self.coordinators.len();
        let mut coordinator = Coordinator::prepare(dir, index, kind, directives, false)?;
        coordinator.record_in(&self.journal);
        self.coordinators.push(coordinator);
        self.coordinators.last_mut().context("just pushed")
    }

    /// Waits until every live coordinator knows every server and every other coordinator, finds all live ones well,
    /// and all agree on one primary that everyone follows.
    ///
    /// # Errors
    /// At the deadline; names what was still missing.
    pub fn wait_stable(&mut self) -> Result<usize> {
        wait_for("a stable fleet", STABLE_LIMIT, || self.stable())
    }

    /// Waits for agreement on one primary that every live server follows. Gives its index.
    ///
    /// # Errors
    /// At the deadline; names what was still missing.
    pub fn wait_settled(&mut self, limit: Duration) -> Result<usize> {
        wait_for("agreement on one primary", limit, || self.settled())
    }

    /// Waits for agreement on another primary than `old`. Gives its index.
    ///
    /// # Errors
    /// At the deadline; names what was still missing.
    pub fn wait_moved_from(&mut self, old: usize) -> Result<usize> {
        let limit = self.options.failover_limit();
        wait_for("agreement on another primary", limit, || {
            let primary = self.settled()?;
            ensure!(primary != old, "server-{old} is still the primary");
            Ok(primary)
        })
    }

    /// Shows that for `window` no coordinator names another primary than `primary` and no other server becomes one.
    ///
    /// # Errors
    /// As soon as one does.
    pub fn hold_primary(&mut self, primary: usize, window: Duration) -> Result<()> {
        let port = self.servers[primary].port();
        hold_for(&format!("server-{primary} as the only primary"), window, || {
            for coordinator in self.coordinators.iter_mut().filter_map(live_coordinator) {
                let named = coordinator.primary_port()?;
                ensure!(named == port, "{} names {named}", coordinator.name());
            }
            for (index, server) in self.servers.iter_mut().enumerate() {
                if index != primary && server.is_live() {
                    ensure!(
                        server.role()? != Role::Primary,
                        "{} accepts writes",
                        server.name()
                    );
                }
            }
            Ok(())
        })
    }

    /// The index of the primary all live coordinators and servers agree on right now.
    ///
    /// # Errors
    /// Says who disagrees.
    pub fn settled(&mut self) -> Result<usize> {
        let mut views = BTreeSet::new();
        for coordinator in self.coordinators.iter_mut().filter_map(live_coordinator) {
            let fields = coordinator.primary()?;
            let field = |key: &str| -> Result<u64> {
                let text = fields
                    .get(key)
                    .with_context(|| format!("SENTINEL MASTER has no {key}"))?;
                text.parse().with_context(|| format!("{key} is {text}"))
            };
            let port = u64::from(coordinator.primary_port()?);
            ensure!(
                field("port")? == port,
                "{} is in the middle of a switch to {port}",
                coordinator.name()
            );
            views.insert((port, field("config-epoch")?));
        }
        ensure!(
            views.len() == 1,
            "the coordinators hold these (port, config epoch): {views:?}"
        );
        let port = views.first().map_or(0, |view| view.0);
        let primary = self
            .servers
            .iter()
            .position(|server| u64::from(server.port()) == port)
            .with_context(|| format!("the coordinators name {port}, which is no server of ours"))?;
        self.check_servers(primary)?;
        Ok(primary)
    }

    fn check_servers(&mut self, primary: usize) -> Result<()> {
        let port = self.servers[primary].port();
        ensure!(
            self.servers[primary].is_live(),
            "server-{primary} is named the primary and is down"
        );
        for (index, server) in self.servers.iter_mut().enumerate() {
            if !server.is_live() {
                continue;
            }
            let role = server.role()?;
            let wanted = if index == primary {
                Role::Primary
            } else {
                Role::Replica {
                    of: port,
                    connected: true,
                }
            };
            ensure!(role == wanted, "{} is {role:?}, not {wanted:?}", server.name());
        }
        Ok(())
    }

    fn stable(&mut self) -> Result<usize> {
        let primary = self.settled()?;
        let mut others: BTreeSet<String> = BTreeSet::new();
        for (index, server) in self.servers.iter_mut().enumerate() {
            if index != primary && server.is_live() {
                others.insert(server.port().to_string());
            }
        }
        let ids: Vec<String> = self
            .coordinators
            .iter()
            .map(|coordinator| coordinator.id().to_owned())
            .collect();
        let live: Vec<bool> = self.coordinators.iter_mut().map(Coordinator::is_live).collect();
        for (index, coordinator) in self
            .coordinators
            .iter()
            .enumerate()
            .filter(|(index, _)| live[*index])
        {
            let peers = (0..ids.len()).filter(|peer| *peer != index && live[*peer]);
            let peers: BTreeSet<String> = peers.map(|peer| ids[peer].clone()).collect();
            check_view(coordinator, &others, &peers)?;
        }
        Ok(primary)
    }

    /// Writes `value` under `key` on the primary and waits until all its live replicas have it.
    ///
    /// # Errors
    /// When the write is refused or not acknowledged by all in time.
    pub fn write(&mut self, key: &str, value: &str) -> Result<()> {
        let primary = self.settled()?;
        let replicas = self.servers.iter_mut().filter_map(live_server).count() - 1;
        let mut connection = self.servers[primary].connect()?;
        client::ask_on::<()>(&mut connection, &["SET", key, value])?;
        let count: usize = client::ask_on(&mut connection, &["WAIT", &replicas.to_string(), "1500"])?;
        ensure!(count >= replicas, "{count} of {replicas} replicas acknowledged");
        Ok(())
    }

    /// Reads `key` from the agreed primary.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub fn read(&mut self, key: &str) -> Result<Option<String>> {
        let primary = self.settled()?;
        self.servers[primary].ask(&["GET", key])
    }

    /// Ends a test that went well: no coordinator crashed, none broke the voting rules. Consumes the fleet.
    ///
    /// # Errors
    /// Names what was wrong after all.
    pub fn finish(mut self) -> Result<()> {
        for coordinator in &mut self.coordinators {
            if let Some(status) = coordinator.crash() {
                bail!("{} ended by itself with {status}", coordinator.name());
            }
            let log = coordinator.log_text();
            ensure!(!log.contains("panicked at"), "{} panicked", coordinator.name());
        }
        let ids: Vec<&str> = self.coordinators.iter().map(Coordinator::id).collect();
        invariants::check(&self.journal.events(), &ids)?;
        self.finished = true;
        Ok(())
    }

    /// What everyone says at this moment.
    pub fn status(&mut self) -> String {
        let mut text = String::new();
        for server in &mut self.servers {
            let state = match (server.is_running(), server.is_live()) {
                (false, _) => "dead".to_owned(),
                (true, false) => "paused".to_owned(),
                (true, true) => format!("{:?}", server.role()),
            };
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{} ({}): {state}", server.name(), server.port());
        }
        for coordinator in &mut self.coordinators {
            let state = if coordinator.is_live() {
                format!(
                    "names {:?}, flags {:?}",
                    coordinator.primary_port(),
                    flags(coordinator)
                )
            } else {
                "dead or paused".to_owned()
            };
            let _ = writeln!(
                text,
                "{} ({}, {}): {state}",
                coordinator.name(),
                coordinator.port(),
                coordinator.id()
            );
        }
        text
    }

    fn report(&mut self) -> String {
        let mut text = format!(
            "\n=== the fleet ({}) after {:?} ===\n{}\n=== events ===\n{}",
            self.options.kind.name(),
            self.started.elapsed(),
            self.status(),
            self.journal.timeline()
        );
        let logs = self.coordinators.iter().map(|each| (each.name(), each.log()));
        let logs = logs.chain(
            self.servers
                .iter()
                .map(|each| (each.name().to_owned(), each.log())),
        );
        for (name, log) in logs {
            let _ = writeln!(
                text,
                "\n=== the end of the log of {name} ===\n{}",
                process::tail(log, TAIL_LINES)
            );
        }
        text
    }
}

impl Drop for Fleet {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test has no other way to show what it saw"
    )]
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        eprintln!("{}", self.report());
        if env::var_os("BELLWETHER_TESTS_KEEP").is_some()
            && let Some(dir) = self.dir.take()
        {
            let kept = dir.keep();
            // A small disk would be unmounted with its coordinator: keep what was on it.
            if let Some(index) = self.options.small_disk_on {
                let file = kept.join(format!("sentinel-{index}/sentinel.conf"));
                let _ = fs::copy(&file, kept.join(format!("sentinel-{index}.conf")));
            }
            eprintln!("kept {}", kept.display());
        }
    }
}

/// What member `id` of a shared log is told of it.
#[must_use]
pub fn raft_directives(id: usize, members: &[String]) -> Vec<String> {
    let mut lines = vec![
        "bellwether state-dir state".to_owned(),
        "bellwether coordination raft".to_owned(),
        format!("bellwether member-id {id}"),
    ];
    lines.extend_from_slice(members);
    lines
}

fn check_view(
    coordinator: &Coordinator,
    replicas: &BTreeSet<String>,
    peers: &BTreeSet<String>,
) -> Result<()> {
    let name = coordinator.name();
    let seen = flags(coordinator)?;
    ensure!(seen == "master", "{name} flags the primary {seen}");
    let mut left = replicas.clone();
    for fields in coordinator.replicas()? {
        let field = |key: &str| fields.get(key).map_or("?", String::as_str);
        if left.remove(field("port")) {
            ensure!(
                field("flags") == "slave",
                "{name} flags replica {} {}",
                field("port"),
                field("flags")
            );
            let link = field("master-link-status");
            ensure!(
                link == "ok",
                "{name} sees the link of replica {} {link}",
                field("port")
            );
        }
    }
    ensure!(left.is_empty(), "{name} does not know the replicas {left:?}");
    let mut left = peers.clone();
    for fields in coordinator.sentinels()? {
        let field = |key: &str| fields.get(key).map_or("?", String::as_str);
        if left.remove(field("runid")) {
            ensure!(
                field("flags") == "sentinel",
                "{name} flags sentinel {} {}",
                field("port"),
                field("flags")
            );
        }
    }
    ensure!(left.is_empty(), "{name} does not know the sentinels {left:?}");
    Ok(())
}

fn flags(coordinator: &Coordinator) -> Result<String> {
    coordinator
        .primary()?
        .remove("flags")
        .context("SENTINEL MASTER has no flags")
}

fn live_coordinator(coordinator: &mut Coordinator) -> Option<&Coordinator> {
    coordinator.is_live().then_some(coordinator)
}

fn live_server(server: &mut RedisServer) -> Option<&RedisServer> {
    server.is_live().then_some(server)
}
