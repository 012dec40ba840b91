//! `bellwether members`: who shares the log of the coordinators, and orders about it.
//!
//! Owns the orders of operators and what is said about their outcome. Decides nothing: whether a member may come or go
//! is the log's own matter. An order goes to the coordinator that was named, except handing over the lead, which only
//! the leader can do.

mod foreign;
mod order;
mod table;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{anyhow, bail};
use redis::RedisError;

use crate::{
    connect::Limits,
    log::{self, Log, refusal},
    output::{Output, Style},
    target::{Login, Place, Target},
};
use order::Order;

/// A person waits. An order that cannot be carried out is answered after three seconds by the coordinator itself.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    answer: Duration::from_secs(10),
};

/// What a user of the sentinel must be allowed to do.
const RIGHTS: &str = "+sentinel|raft";

/// Whom to ask, and what for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The coordinator to ask: HOST:PORT, or unix:PATH.
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:26379",
        global = true
    )]
    sentinel: Place,
    /// Ask it by its unix socket instead.
    #[arg(long, value_name = "PATH", conflicts_with = "sentinel", global = true)]
    unix_socket: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    order: Option<Order>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let place = options.unix_socket.map_or(options.sentinel, Place::Unix);
    let target = Target::new(place, options.login, RIGHTS)?;
    let out = Output::new();
    if options.json && options.order.is_some() {
        bail!("--json is for the list of members");
    }
    match &options.order {
        Some(order) => out.line(order::carry_out(order, target).await?)?,
        None => show(&status(&target).await?, &target, options.json, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(log: &Log, target: &Target, json: bool, out: Output) -> anyhow::Result<()> {
    if json {
        out.line(serde_json::to_string_pretty(log)?)?;
        return Ok(());
    }
    for words in log.trouble() {
        out.line(out.paint(Style::Bad, format_args!("{target}: {words}")))?;
    }
    for line in table::lines(log, &target.to_string(), out) {
        out.line(line)?;
    }
    Ok(())
}

/// What `target` tells of its log.
async fn status(target: &Target) -> anyhow::Result<Log> {
    let asked = async {
        let mut connection = target.connect(LIMITS).await?;
        log::require(&mut connection).await
    };
    match asked.await {
        Ok(log) => Ok(log),
        Err(error) => Err(why(target, &error).await),
    }
}

/// What an error means to the person who asked.
async fn why(target: &Target, error: &RedisError) -> anyhow::Error {
    let words = match refusal(error) {
        Some(refused) if refused.starts_with("NORAFT") => {
            format!("{target} shares no log: it does not use `bellwether coordination raft`")
        }
        Some(refused) if refused.to_ascii_lowercase().contains("unknown subcommand") => {
            format!("{target} shares no log, as no sentinel but ours does: {refused}")
        }
        Some(refused) => match target.explain_refusal(error) {
            Some(explained) => explained,
            None => format!("{target} refuses: {refused}"),
        },
        None => target.explain(error).await,
    };
    anyhow!(words)
}
