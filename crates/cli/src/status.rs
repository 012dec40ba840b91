//! `bellwether status`: groups and their members as one sentinel sees them, as a table or as JSON, or as a verdict for
//! monitoring.
//!
//! Owns what is asked and how it is shown. Works on any sentinel of Redis, Valkey or our own, since it asks
//! only what all of them answer; it never changes anything.

mod fetch;
mod report;
mod table;
mod verdict;

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use verdict::Verdict;

use crate::{
    output::Output,
    target::{Login, Place, Target},
};

/// What a user of the sentinel must be allowed to do.
const RIGHTS: &str = "+sentinel|masters +sentinel|replicas +sentinel|sentinels +info";

/// Whom to ask and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The sentinel to ask: HOST:PORT, or unix:PATH.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:26379")]
    sentinel: Place,
    /// Ask it by its unix socket instead.
    #[arg(long, value_name = "PATH", conflicts_with = "sentinel")]
    unix_socket: Option<PathBuf>,
    /// Show this group only. May be given more than once.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    #[command(flatten)]
    login: Login,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// For monitoring: print a verdict, and exit with 0 if all is well, 1 if no failover could be carried out, 2 if a
    /// group has no primary in sight, 3 if the sentinel cannot be asked.
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let check = options.check;
    match report(options).await {
        Err(error) if check => {
            Output::new().line(format_args!("UNKNOWN: {error:#}"))?;
            Ok(ExitCode::from(verdict::UNKNOWN))
        }
        result => result,
    }
}

async fn report(options: Options) -> anyhow::Result<ExitCode> {
    let place = options.unix_socket.map_or(options.sentinel, Place::Unix);
    let target = Target::new(place, options.login, RIGHTS)?;
    let mut report = match fetch::fetch(&target, &options.group).await {
        Ok(report) => report,
        Err(error) => return Err(anyhow!(target.explain(&error).await)),
    };
    if let Some(missing) = options.group.iter().find(|name| !report.has(name)) {
        return Err(anyhow!("{target} does not watch a group {missing}"));
    }
    let verdict = Verdict::of(&report);
    let out = Output::new();
    if options.json || !options.check {
        fetch::add_true_lag(&mut report, target.tls()).await;
    }
    if options.json {
        out.line(serde_json::to_string_pretty(&report)?)?;
    } else if options.check {
        out.line(&verdict)?;
    } else {
        for line in table::lines(&report, out) {
            out.line(line)?;
        }
    }
    Ok(match options.check {
        true => ExitCode::from(verdict.status()),
        false => ExitCode::SUCCESS,
    })
}
