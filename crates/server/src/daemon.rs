//! From a configuration to a running coordinator, and to its end.
//!
//! Owns the order of starting and stopping. Whatever can be wrong is found before anything is visible to
//! others: ports are bound and our id is on disk before the first connection is made.

mod agreement;
mod bind;
mod files;
mod pid;
mod random;
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_conf::{
    Config, Coordination, DaemonOptions, STATE_FILE, StateError, apply_state, render_state, rewrite,
};
use bellwether_core::{Coordinator, Registry, SentinelId, Settings};
use bellwether_raft::{MAX_FRAME_LEN, StartError};
use bellwether_resp::RequestLimits;
use rustix::fs::{Access as Mode, access};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::access::{Access, AccessError};
use crate::announce::Announcer;
use crate::clock::Clock;
use crate::disk::{Disk, LogStoreError, MAX_STATE_BYTES, StateLock, Store, replace};
use crate::driver::{Driver, DriverError, MAX_WAITING_REPORTS, SaveFailure};
use crate::handle::Handle;
use crate::hub::Hub;
use crate::link::{LinkSettings, Links};
use crate::listener::{self, Context, Entrance, Identity, Limits};
use crate::log::Log;
use crate::resolver::Resolver;
use crate::script::{Runner, ScriptSettings};
use crate::secrets::{self, Renewal, SecretError};
use crate::signal::Signals;
use crate::small_file;
use crate::supervisor::Supervisor;
use crate::telemetry::Telemetry;
use crate::tls::{Tls, TlsError};

/// How long clients and connections get to end by themselves once the driver has stopped.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a daemon is started with.
pub struct Start {
    /// The settings.
    pub config: Config,
    /// The file that they were read from, as an absolute path; it is rewritten unless there is a state
    /// directory.
    pub config_file: PathBuf,
    /// The right to the state of this configuration.
    pub lock: StateLock,
    /// Who counts.
    pub telemetry: Arc<dyn Telemetry>,
    /// Who waits to hear that we serve.
    pub supervisor: Supervisor,
    /// The log, to be opened anew at SIGHUP. It ends when its last holder drops it, so who still has
    /// something to say after the daemon keeps a copy.
    pub log: Option<Arc<Log>>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("config_file", &self.config_file)
            .finish_non_exhaustive()
    }
}

/// Why a daemon does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// `dir` cannot be entered.
    #[error("cannot change into the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configuration file, which is where the state is kept, must be writable.
    #[error("Sentinel config file {} is not writable", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The state file is there and cannot be read.
    #[error("cannot read the state file {}", path.display())]
    ReadState {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The state file is not what was written.
    #[error("the state file {} cannot be used", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// In which way.
        source: StateError,
    },
    /// The users cannot be used.
    #[error("the ACL users cannot be loaded")]
    Users(#[source] AccessError),
    /// A name behind `bind` has no address.
    #[error("cannot resolve the name {host} to listen on")]
    BindName {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// A port cannot be listened on.
    #[error("Failed listening on port {} (TCP) of {}, aborting", address.port(), address.ip())]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The unix socket cannot be listened on.
    #[error("Failed opening Unix socket {}", path.display())]
    ListenUnix {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate, a key or an authority cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A password cannot be read from its file.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// All addresses are optional, and this machine has none of them.
    #[error("none of the addresses behind `bind` exists on this machine")]
    NoAddress,
    /// There is no source of randomness.
    #[error("the operating system gives no random numbers")]
    Random(#[source] io::Error),
    /// The id of this coordinator must be on disk before anyone learns it.
    #[error("cannot save the id of this coordinator")]
    SaveId(#[source] SaveFailure),
    /// The log of decisions cannot be opened.
    #[error(transparent)]
    LogStore(#[from] LogStoreError),
    /// The log of decisions is there, but is not one to go on from with this configuration.
    #[error("this member of the log cannot start from {}", path.display())]
    StartLog {
        /// Where the log is.
        path: PathBuf,
        /// Why not.
        source: StartError,
    },
    /// The system gives no thread.
    #[error("cannot start a thread for the log of decisions")]
    Thread(#[source] io::Error),
    /// The log must have a place of its own.
    #[error("coordination by raft needs `bellwether state-dir`")]
    NoStateDirectory,
    /// Signals cannot be received.
    #[error("cannot install the handlers of signals")]
    Signals(#[source] io::Error),
    /// The driver cannot go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A part that must run as long as the daemon does has panicked or come to an end.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
}

/// Enters `dir`, if there is one. Later relative paths begin there, so this comes before the log is opened.
///
/// # Errors
/// If it cannot be entered.
pub fn enter_directory(options: &DaemonOptions) -> Result<(), DaemonError> {
    let Some(path) = &options.dir else {
        return Ok(());
    };
    std::env::set_current_dir(path).map_err(|source| DaemonError::Directory {
        path: path.clone(),
        source,
    })
}

/// A daemon whose ports are bound and whose state is sound. It does nothing before [`run`](Self::run).
pub struct Daemon {
    driver: Driver,
    entrances: Vec<Entrance>,
    tls: Option<Arc<Tls>>,
    renewal: Renewal,
    context: Context,
    signals: Signals,
    /// Cancelled when somebody wants the end.
    shutdown: CancellationToken,
    /// Cancelled when the driver can do without all others. Cancels `shutdown` as well.
    stop: CancellationToken,
    tasks: TaskTracker,
    supervisor: Arc<Supervisor>,
    log: Option<Arc<Log>>,
    pidfile: Option<PathBuf>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// Does all that may fail: checks that the state can be saved, reads it, binds the ports, makes and saves
    /// an id at the first start.
    ///
    /// # Errors
    /// If any of it fails; nothing is left behind then.
    pub async fn prepare(start: Start) -> Result<Self, DaemonError> {
        let Start {
            mut config,
            config_file,
            lock,
            telemetry,
            supervisor,
            log,
        } = start;
        files::raise_limit(config.daemon.maxclients);
        for command in config.daemon.command_names.hidden_from_peers() {
            warn!(
                "{command} is renamed, so that other sentinels cannot call it and will see this one as down"
            );
        }
        read_state(&mut config)?;
        secrets::read_own(&mut config)?;
        let access = Access::load(&config.daemon).map_err(DaemonError::Users)?;
        if !lock.is_held() {
            warn!("the file system of the state has no locks: nothing would stop a second coordinator on it");
        }
        let store = open_store(&config, config_file.clone(), &access, lock)?;
        store.sweep();
        if let Some(users) = &config.daemon.aclfile {
            replace::sweep(users);
        }
        secrets::read_groups(&mut config)?;
        let renewal = Renewal::new(&config);
        let tls = Tls::load(&config.daemon.tls)?;
        let entrances = bind::entrances(&config.daemon, tls.as_ref()).await?;
        let is_new = config.my_id.is_none();
        let fresh_id = random::sentinel_id().map_err(DaemonError::Random)?;
        let mut registry = config.registry(|| fresh_id);
        let clock = Clock::start();
        let member = match &config.daemon.coordination {
            Coordination::Vote => None,
            Coordination::Raft(raft) => {
                let directory = config.daemon.state_dir.as_deref();
                let directory = directory.ok_or(DaemonError::NoStateDirectory)?;
                let member = agreement::open(raft, directory, registry.clone(), clock.now())?;
                registry = member.agreement.first_registry();
                Some(member)
            }
        };
        if let Some(log) = &log {
            // The state may know another level than the configuration that the log began with.
            log.set_level(registry.globals.log_level);
        }
        if is_new {
            let copied = member.as_ref().map(|member| member.copy.of(&registry, false));
            store
                .save(copied.as_ref().unwrap_or(&registry))
                .map_err(|error| DaemonError::SaveId(error.into()))?;
        }
        let signals = Signals::install().map_err(DaemonError::Signals)?;
        let stop = CancellationToken::new();
        let shutdown = stop.child_token();
        let (handle, end) = Handle::new(clock, shutdown.clone());
        let hub = Hub::with_limit(config.daemon.output_limits.pubsub);
        let tasks = TaskTracker::new();
        let (reporter, reports) = mpsc::channel(MAX_WAITING_REPORTS);
        let link_settings = LinkSettings {
            label: link_label(&config.daemon.coordination, &registry.my_id),
            source: config.daemon.bind_source_addr,
            tls: tls.clone().filter(|_| config.daemon.tls.replication),
        };
        let seed = random::seed().map_err(DaemonError::Random)?;
        let scripts = Runner::new(ScriptSettings::default());
        let settings = settings(&config, seed);
        let (coordinator, log_writer, copy) = match member {
            None => (Coordinator::new(settings, registry, clock.now()), None, None),
            Some(member) => {
                let agreement = Box::new(member.agreement);
                let coordinator = Coordinator::with_agreement(settings, registry, clock.now(), agreement);
                (coordinator, Some(member.writer), Some(member.copy))
            }
        };
        let driver = Driver {
            clock,
            scripts: scripts.clone(),
            log: log.clone(),
            coordinator,
            reports,
            end,
            stop: stop.clone(),
            links: Links::new(link_settings, clock, reporter.clone(), tasks.clone()),
            resolver: Resolver::new(clock, reporter, tasks.clone()),
            disk: Disk::new(store),
            log_writer,
            copy,
            announcer: Announcer::new(Arc::clone(&hub), Arc::clone(&telemetry)),
            telemetry: Arc::clone(&telemetry),
        };
        let context = Context {
            handle,
            hub,
            access,
            command_names: config.daemon.command_names.clone(),
            limits: limits(&config.daemon),
            identity: Identity {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                run_id: random::run_id().map_err(DaemonError::Random)?,
                port: listening_port(&config.daemon),
                listeners: entrances.iter().filter_map(Entrance::address).collect(),
                supervised: supervisor.name(),
                config_file: config_file.display().to_string(),
                executable: std::env::current_exe()
                    .map_or_else(|_| String::new(), |path| path.display().to_string()),
            },
            telemetry,
            scripts,
        };
        Ok(Self {
            driver,
            entrances,
            tls,
            renewal,
            context,
            signals,
            shutdown,
            stop,
            tasks,
            supervisor: Arc::new(supervisor),
            log,
            pidfile: config.daemon.pidfile.clone(),
        })
    }

    /// The way to the driver, for whoever serves clients beside the listener.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.context.handle
    }

    /// The published events.
    #[must_use]
    pub const fn hub(&self) -> &Arc<Hub> {
        &self.context.hub
    }

    /// Runs until a signal, a client or a [`Handle`] ends it.
    ///
    /// # Errors
    /// If it ended because it cannot go on.
    pub async fn run(self) -> Result<(), DaemonError> {
        let Self {
            driver,
            entrances,
            tls,
            renewal,
            context,
            signals,
            shutdown,
            stop,
            tasks,
            supervisor,
            log,
            pidfile,
        } = self;
        let identity = &context.identity;
        info!(
            "Bellwether {}, process {}, port {}, configuration {}",
            identity.version,
            std::process::id(),
            identity.port,
            identity.config_file
        );
        info!("Sentinel ID is {}", driver.coordinator.registry().my_id);
        let groups = driver.coordinator.registry().groups.len();
        let noun = if groups == 1 { "group" } else { "groups" };
        let status = format!(
            "Serving on port {}, with {groups} {noun} at the start",
            identity.port
        );
        let pidfile = pidfile.filter(|path| pid::write(path));
        let scripts = context.scripts.clone();
        tasks.spawn(scripts.run(driver.announcer.clone(), stop.clone()));
        if let Some(tls) = &tls {
            tasks.spawn(Arc::clone(tls).watch(Arc::clone(&context.telemetry), stop.clone()));
        }
        let passwords = renewal.trigger();
        let (access, handle) = (context.access.clone(), context.handle.clone());
        tasks.spawn(renewal.watch(access, handle, stop.clone()));
        let driver = tokio::spawn(driver.run());
        let listener = tokio::spawn(listener::serve(entrances, context, stop.clone()));
        let reopen = {
            let (log, supervisor, status) = (log.clone(), Arc::clone(&supervisor), status.clone());
            move || {
                supervisor.reloading();
                match log.as_ref().is_some_and(|log| log.reopen()) {
                    true => info!("Received SIGHUP, the log file was opened anew"),
                    false => info!("Received SIGHUP, there is no log file to be opened anew"),
                }
                tls.iter().for_each(|tls| tls.hang_up());
                passwords.notify_one();
                supervisor.ready(&status);
            }
        };
        tasks.spawn(signals.watch(shutdown.clone(), stop.clone(), reopen));
        supervisor.ready(&status);
        let (insisting, ending) = (Arc::clone(&supervisor), shutdown.clone());
        tasks.spawn(async move { insisting.insist(&status, &ending).await });
        let ending = shutdown.clone();
        tasks.spawn(async move {
            ending.cancelled().await;
            supervisor.stopping();
        });
        let result = supervise(driver, listener, &stop).await;
        if let Err(error) = &result {
            error!(reason = chain(error), "the coordinator cannot go on");
        }
        tasks.close();
        if tokio::time::timeout(FAREWELL, tasks.wait()).await.is_err() {
            warn!("some tasks did not end in time");
        }
        if let Some(path) = &pidfile {
            info!("Removing the pid file.");
            let _ = std::fs::remove_file(path);
        }
        if result.is_ok() {
            info!("Sentinel is now ready to exit, bye bye...");
        }
        result
    }
}

type Running<T> = tokio::task::JoinHandle<T>;

/// Waits for the end of the two parts that make a coordinator. If one ends by itself the other has to end too.
async fn supervise(
    mut driver: Running<Result<(), DriverError>>,
    mut listener: Running<()>,
    stop: &CancellationToken,
) -> Result<(), DaemonError> {
    let drive = |ended: Result<Result<(), DriverError>, tokio::task::JoinError>| match ended {
        Ok(result) => result.map_err(DaemonError::Driver),
        Err(_) => Err(DaemonError::Ended("the driver")),
    };
    tokio::select! {
        ended = &mut driver => {
            stop.cancel();
            let _ = tokio::time::timeout(FAREWELL, listener).await;
            drive(ended)
        }
        ended = &mut listener => {
            let was_asked = stop.is_cancelled() && ended.is_ok();
            stop.cancel();
            let result = drive(driver.await);
            if was_asked { result } else { result.and(Err(DaemonError::Ended("the listener"))) }
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Takes what is in the state directory, if there is one, into `config`.
fn read_state(config: &mut Config) -> Result<(), DaemonError> {
    let Some(directory) = &config.daemon.state_dir else {
        return Ok(());
    };
    let path = directory.join(STATE_FILE);
    match small_file::read_small_text(&path, MAX_STATE_BYTES) {
        Ok(text) => apply_state(config, &text).map_err(|source| DaemonError::State { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DaemonError::ReadState { path, source }),
    }
}

/// Where the state goes.
fn open_store(
    config: &Config,
    config_file: PathBuf,
    access: &Access,
    lock: StateLock,
) -> Result<Store, DaemonError> {
    let Some(directory) = &config.daemon.state_dir else {
        check_writable(&config_file)?;
        let loaded = config.clone();
        let access = access.clone();
        let render = move |current: &str, registry: &Registry| {
            let mut now = loaded.clone();
            now.daemon.users = access.lines(&loaded.daemon.users);
            Ok(rewrite(current, &now, registry))
        };
        return Ok(Store::new(config_file, Box::new(render), lock));
    };
    let path = directory.join(STATE_FILE);
    let secret_files = config.secret_files.clone();
    let (loaded, access) = (config.daemon.users.clone(), access.clone());
    let render = move |_: &str, registry: &Registry| {
        Ok(render_state(registry, &secret_files, &access.for_state(&loaded)))
    };
    Ok(Store::new(path, Box::new(render), lock))
}

/// As Sentinel, a file that cannot be written is no place for state. Unlike Sentinel, a directory that does
/// not allow replacing the file is spoken of at once and not at the first vote.
fn check_writable(path: &Path) -> Result<(), DaemonError> {
    access(path, Mode::WRITE_OK).map_err(|error| DaemonError::NotWritable {
        path: path.to_owned(),
        source: error.into(),
    })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    if let Err(error) = access(directory, Mode::WRITE_OK) {
        warn!(
            "the directory {} is not writable ({error}), so no state can be saved and no vote can be given",
            directory.display()
        );
    }
    Ok(())
}

fn settings(config: &Config, seed: u64) -> Settings {
    Settings {
        listen_port: announced_port(&config.daemon),
        own_password: config.daemon.requirepass.clone(),
        deny_scripts_reconfig: config.sentinel.deny_scripts_reconfig,
        forget_sentinels_after: config.sentinel.forget_sentinels_after,
        forget_replicas_after: config.sentinel.forget_replicas_after,
        seed,
    }
}

/// Eight characters, as Sentinel. The ids of all members of one log begin alike, and end with the number of the member.
fn link_label(coordination: &Coordination, id: &SentinelId) -> String {
    let short = id.short();
    match coordination {
        Coordination::Vote => short.to_string(),
        Coordination::Raft(raft) => {
            let cluster: String = short.to_string().chars().take(4).collect();
            format!("{cluster}{:04x}", raft.member_id % (1 << 16))
        }
    }
}

/// As Sentinel: whoever encrypts its own links is reached by the port that does so.
const fn announced_port(options: &DaemonOptions) -> u16 {
    match options.tls.replication && options.tls.port != 0 {
        true => options.tls.port,
        false => options.port,
    }
}

/// The port that `INFO` tells.
const fn listening_port(options: &DaemonOptions) -> u16 {
    match options.port {
        0 => options.tls.port,
        port => port,
    }
}

/// A frame of another member may be longer than anything that clients send.
fn request_limits(coordination: &Coordination) -> RequestLimits {
    let mut limits = RequestLimits::default();
    if let Coordination::Raft(_) = coordination {
        limits.max_request_bytes += MAX_FRAME_LEN as u32;
    }
    limits
}

fn limits(options: &DaemonOptions) -> Limits {
    let unless_zero = |duration: Duration| (!duration.is_zero()).then_some(duration);
    Limits {
        max_clients: options.maxclients as usize,
        idle_timeout: unless_zero(options.timeout),
        keepalive: unless_zero(options.tcp_keepalive),
        protected_mode: options.protected_mode,
        replies: options.output_limits.normal,
        requests: request_limits(&options.coordination),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bellwether_conf::RaftSettings;
    use bellwether_raft::{cluster_id, sentinel_id};

    use super::*;

    #[test]
    fn connections_of_members_are_told_apart() {
        let raft = |member_id| {
            Coordination::Raft(RaftSettings {
                cluster: "c".to_owned(),
                member_id,
                members: BTreeMap::new(),
                stale_reads: true,
            })
        };
        let label = |member| link_label(&raft(member), &sentinel_id(cluster_id("c"), member));
        assert_eq!((label(1).len(), label(300).len()), (8, 8));
        assert!(label(300).ends_with("012c"), "{}", label(300));
        assert_ne!(label(1), label(2));
        let id = SentinelId::new("0123456789abcdef").expect("an id");
        assert_eq!(link_label(&Coordination::Vote, &id), "01234567");
    }
}
