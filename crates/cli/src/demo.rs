//! `bellwether demo`: a failover on this machine, from the first ping to the old primary's return, with its
//! time line.
//!
//! Owns every process and file that it makes, and removes them however it ends. What it shows is measured from
//! outside, by what the coordinators publish and what a writing client sees; it has no inside knowledge of the
//! daemon, and so can play the same piece with any other sentinel.

mod checks;
mod coordinator;
mod events;
mod play;
mod ports;
mod process;
mod server;
mod stage;
mod timeline;
mod wait;
mod writer;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{ValueEnum, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::Output;
use stage::Stage;

/// How large and how fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many coordinators watch.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(1..=9), value_name = "N")]
    coordinators: u8,
    /// How many replicas the primary has.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u8).range(1..=9), value_name = "N")]
    replicas: u8,
    /// After how many milliseconds of silence an instance counts as down.
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(100..=60_000), value_name = "MS")]
    down_after: u32,
    /// How the coordinators agree.
    #[arg(long, value_enum, default_value_t = Coordination::Vote, conflicts_with = "coordinator_binary", value_name = "HOW")]
    coordination: Coordination,
    /// Leave logs and configuration files where they are, and say where.
    #[arg(long)]
    keep_logs: bool,
    /// Use the built-in stand-in even where redis-server or valkey-server is installed.
    #[arg(long)]
    stand_in: bool,
    /// Another sentinel in place of our own daemon.
    #[arg(long, hide = true, value_name = "PATH")]
    coordinator_binary: Option<PathBuf>,
}

/// How coordinators agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Coordination {
    /// By votes, as Redis Sentinel does.
    Vote,
    /// By a log that they share.
    Raft,
}

/// How the piece ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    AsItShould,
    /// Some check failed; which one is already printed.
    Otherwise,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let out = Output::new();
    let mut stage = Stage::set(options, out)?;
    let played = tokio::select! {
        played = play::play(&mut stage) => Some(played),
        interrupted = interruption() => { interrupted?; None }
    };
    stage.stop_all().await;
    let ending = conclude(&mut stage, played);
    // Whatever went wrong, printing included: nothing stays behind.
    stage.clear()?;
    ending
}

/// Prints what there is to say about the end. `None` is an interruption.
fn conclude(stage: &mut Stage, played: Option<anyhow::Result<Ending>>) -> anyhow::Result<ExitCode> {
    let Some(played) = played else {
        stage.tell.out.line("\ninterrupted; everything is stopped")?;
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if matches!(played, Ok(Ending::AsItShould)) {
        return Ok(ExitCode::SUCCESS);
    }
    stage.show_logs()?;
    played.map(|_| ExitCode::FAILURE)
}

/// Waits for a person or a supervisor that wants an end.
async fn interruption() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listening for SIGINT"),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

/// What shells expect of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;
