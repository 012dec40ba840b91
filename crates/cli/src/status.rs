//! `bellwether status`: groups and their members as one sentinel sees them, as a table or as JSON.
//!
//! Owns what is asked and how it is shown. Works on any sentinel of Redis, Valkey or our own, since it asks
//! only what all of them answer; it never changes anything.

mod fetch;
mod report;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;

use crate::{
    connect::{Credentials, HostPort, explain},
    output::Output,
};

/// Whom to ask and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The sentinel to ask.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:26379")]
    sentinel: HostPort,
    /// Show this group only. May be given more than once.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Log in as this user.
    #[arg(long)]
    user: Option<String>,
    /// A file with the sentinel's password. Without it, the variable BELLWETHER_PASSWORD is used if set.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let credentials = Credentials::from_file_or_environment(options.user, options.password_file)?;
    let mut report = fetch::fetch(&options.sentinel, &credentials, &options.group)
        .await
        .map_err(|error| anyhow!(explain(&options.sentinel, &error)))?;
    if let Some(missing) = options.group.iter().find(|name| !report.has(name)) {
        return Err(anyhow!("{} does not watch a group {missing}", options.sentinel));
    }
    fetch::add_true_lag(&mut report).await;
    let out = Output::new();
    if options.json {
        out.line(serde_json::to_string_pretty(&report)?)?;
    } else {
        for line in table::lines(&report, out) {
            out.line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
