//! `bellwether [server] FILE`: the daemon.
//!
//! Owns the order of reading the configuration, leaving the terminal and opening the log, and joins the HTTP
//! interface to the daemon. What the daemon does is in `bellwether-server`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bellwether_conf::{Config, Source, overrides_from_args};
use bellwether_http::Metrics;
use bellwether_server::{
    Daemon, DaemonError, Detached, DriverError, Log, Readiness, Start, StateLock, Supervisor, detach,
    enter_directory,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    args::ServerArgs,
    output::{Output, complain},
    texts,
};

/// How long the end of the process waits for work that blocks: long enough for a disk that is slow, and well below
/// what supervisors grant before they kill.
const LAST_WORK: Duration = Duration::from_secs(2);

pub(crate) fn run(args: ServerArgs) -> anyhow::Result<ExitCode> {
    let Some(file) = &args.file else {
        bail!("a configuration file is needed, because the state is saved in it: bellwether FILE");
    };
    // As Sentinel: made absolute before any `dir` counts.
    let file = std::path::absolute(file).context("the current directory is unknown")?;
    let mut overrides = Vec::new();
    if args.stdin {
        overrides.push(texts::read_stdin()?);
    }
    overrides.push(overrides_from_args(&args.directives)?);
    let Some(config) = configure(&file, &args, &overrides)? else {
        return Ok(ExitCode::FAILURE);
    };
    let mut readiness = None;
    // As Sentinel: a supervisor watches the process that it has started, and no child of it.
    if config.daemon.daemonize && !Supervisor::is_there(config.daemon.supervised) {
        if args.stdin {
            bail!(
                "daemonize and directives on standard input exclude each other: the daemon has no standard input"
            );
        }
        // Before the directory changes, because the program is started again with the same arguments.
        match detach().context("cannot go into the background")? {
            Detached::Parent(code) => return Ok(code),
            Detached::Daemon(owed) => readiness = Some(owed),
        }
    }
    let lock = StateLock::take(&config, &file)?;
    // Again, now that nobody else writes it: another coordinator may have saved its last vote in between.
    let Some(config) = configure(&file, &args, &overrides)? else {
        return Ok(ExitCode::FAILURE);
    };
    enter_directory(&config.daemon)?;
    let log = Log::start(&config.daemon)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let has_logfile = config.daemon.logfile.is_some();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, file, lock, log, readiness));
    // Dropping it would wait for a file or a name that may never come, on a network file system that hangs for instance.
    runtime.shutdown_timeout(LAST_WORK);
    if let Err(error) = &result
        && has_logfile
    {
        // Standard error, where it goes as well, may be nowhere.
        error!("{error:#}");
    }
    match result
        .as_ref()
        .err()
        .and_then(|error| error.downcast_ref::<DaemonError>())
    {
        Some(DaemonError::Driver(DriverError::Simulated { status })) => Ok(ExitCode::from(*status)),
        _ => result.map(|()| ExitCode::SUCCESS),
    }
}

/// Reads the configuration. If it cannot be used, all that is wrong goes to standard error.
fn configure(file: &Path, args: &ServerArgs, overrides: &[Source]) -> anyhow::Result<Option<Config>> {
    let parsed = texts::parse(file, overrides.to_vec())
        .map_err(|error| hint_at_commands(error, args.file.as_deref()))?;
    let parsed = parsed.with_scripts_judged();
    if parsed.result.is_err() {
        let out = Output::plain();
        for diagnostic in parsed.diagnostics() {
            complain(parsed.explain(diagnostic, out));
        }
        complain(format_args!(
            "bellwether: the configuration in {} cannot be used",
            file.display()
        ));
    }
    Ok(parsed.result.ok())
}

/// A single word that is no file may well be a command with a slip in it.
fn hint_at_commands(error: anyhow::Error, given: Option<&Path>) -> anyhow::Error {
    let is_word = given.is_some_and(|file| file.extension().is_none() && file.components().count() == 1);
    if is_word {
        anyhow!("{error:#}; if a command was meant, see bellwether --help")
    } else {
        error
    }
}

async fn serve(
    config: Config,
    config_file: PathBuf,
    lock: StateLock,
    log: Log,
    readiness: Option<Readiness>,
) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new().context("metrics")?);
    let supervisor = Supervisor::find(config.daemon.supervised);
    // Before the daemon is prepared, which saves an id at the first start: a busy port should leave no traces.
    let http = match config.daemon.http_bind {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let start = Start {
        config,
        config_file,
        lock,
        telemetry: Arc::clone(&metrics) as _,
        supervisor,
        log: Some(Arc::new(log)),
    };
    let daemon = Daemon::prepare(start).await?;
    let stop = CancellationToken::new();
    let http = http.map(|listener| {
        tokio::spawn(bellwether_http::serve(
            listener,
            daemon.handle().clone(),
            metrics,
            stop.clone(),
        ))
    });
    if let Some(readiness) = readiness {
        readiness.tell().context("cannot leave the terminal")?;
    }
    let result = daemon.run().await;
    stop.cancel();
    if let Some(http) = http
        && let Err(error) = http.await
    {
        error!("the HTTP interface has failed: {error}");
    }
    Ok(result?)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve HTTP on {address}"))?;
    info!("HTTP on {address}");
    Ok(listener)
}
