//! `bellwether export`: a `sentinel.conf` that Redis and Valkey Sentinel load, from a configuration and its state, or
//! from a running sentinel.
//!
//! Owns what is left out and what is said about it. Never changes what it reads, and never writes over a file.

mod files;
mod live;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use bellwether_conf::Source;

use crate::{
    connect::{Credentials, HostPort},
    new_file,
    output::{Output, complain},
    texts,
};

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A configuration of bellwether: a sentinel.conf, or YAML. Its daemon should be stopped.
    #[arg(required_unless_present_any = ["sentinel", "state_dir"])]
    file: Option<PathBuf>,
    /// Take the state from this directory, instead of the one that FILE names.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Ask a running sentinel instead. Passwords and what concerns its process cannot be asked for.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["file", "state_dir"])]
    sentinel: Option<HostPort>,
    /// Log in as this user.
    #[arg(long, requires = "sentinel")]
    user: Option<String>,
    /// A file with the sentinel's password. Without it, the variable BELLWETHER_PASSWORD is used if set.
    #[arg(long, value_name = "FILE", requires = "sentinel")]
    password_file: Option<PathBuf>,
    /// Write to this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What was made, with what a person must know about it.
struct Export {
    text: String,
    notes: Vec<String>,
    /// The passwords in it that stood in files of their own, by their directives.
    secrets: Vec<String>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let export = match &options.sentinel {
        Some(at) => {
            let credentials = Credentials::from_file_or_environment(options.user, options.password_file)?;
            live::export(at, &credentials).await?
        }
        None => files::export(options.file.as_deref(), options.state_dir.as_deref())?,
    };
    // Whatever we write must load, and say so here rather than at three in the morning.
    let check = texts::parse_source(Source::new("the export", export.text.clone()), Vec::new());
    if let Some(problem) = check.result.as_ref().err().and_then(|problems| problems.first()) {
        bail!("the export would not load: {problem}");
    }
    for note in &export.notes {
        complain(format_args!("note: {note}"));
    }
    if !export.secrets.is_empty() {
        complain(format_args!(
            "warning: the export holds passwords, which stood in files of their own: {}; guard it like those",
            export.secrets.join(", ")
        ));
    }
    // Who may read the configuration need not be allowed to read what it only named.
    let like = options.file.as_deref().filter(|_| export.secrets.is_empty());
    match &options.output {
        Some(path) => {
            new_file::write(path, &export.text, like)?;
            complain(format_args!("written: {}", path.display()));
        }
        None => Output::new()
            .line(export.text.trim_end())
            .context("writing the export")?,
    }
    Ok(ExitCode::SUCCESS)
}
