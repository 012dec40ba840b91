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
    new_file,
    output::{Output, complain},
    target::{Login, Place, Target},
    texts,
};

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A configuration of bellwether: a sentinel.conf, or YAML. Its daemon should be stopped.
    #[arg(required_unless_present_any = ["sentinel", "unix_socket", "state_dir"])]
    file: Option<PathBuf>,
    /// Take the state from this directory, instead of the one that FILE names.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Ask a running sentinel instead: HOST:PORT, or unix:PATH. Passwords and what concerns its process cannot be
    /// asked for.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["file", "state_dir"])]
    sentinel: Option<Place>,
    /// The same by its unix socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["file", "state_dir", "sentinel"])]
    unix_socket: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
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
    let place = options.unix_socket.map(Place::Unix).or(options.sentinel);
    let export = match place {
        Some(place) => live::export(&Target::new(place, options.login, live::RIGHTS)?).await?,
        None if options.login.is_given() => {
            bail!("a user, a password file and TLS are for a running sentinel, which --sentinel names")
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
