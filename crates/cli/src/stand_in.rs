//! A small stand-in for a data server, for demos on machines that have none.
//!
//! Owns a handful of commands, a simple replication between stand-ins with offsets like those of real servers,
//! and answers that a sentinel takes for real. It is no database: everything is in memory, small, and gone at
//! the end, and a stand-in cannot replicate from a real server.

mod command;
mod follow;
mod info;
mod session;
mod state;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{
    connect::HostPort,
    output::{Output, complain},
};
use state::{Shared, State};

/// Where to listen and whom to follow.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Listen on this port of the loopback.
    #[arg(long)]
    port: u16,
    /// Follow another stand-in.
    #[arg(long, value_name = "HOST:PORT")]
    replicaof: Option<HostPort>,
}

/// Most clients at a time. A demo has about five per coordinator.
const MAX_CLIENTS: usize = 1_000;

/// How often a primary says something to its replicas, so that they notice its end.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// After a failed accept (out of descriptors, as a rule), the time for things to get better.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(("127.0.0.1", options.port))
        .await
        .with_context(|| format!("cannot listen on port {}", options.port))?;
    let port = listener.local_addr().context("cannot tell the port")?.port();
    let shared = Arc::new(Shared::new(State::new(port)?));
    if let Some(primary) = options.replicaof {
        shared.follow(Some(primary));
    }
    Output::new().line(format_args!("stand-in listens on 127.0.0.1:{port}"))?;
    tokio::spawn(follow::run(Arc::clone(&shared)));
    tokio::spawn(beat(Arc::clone(&shared)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                complain(format_args!("accept: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Dropping the stream is all the answer that one client too many gets.
        if shared.lock().clients.len() < MAX_CLIENTS {
            tokio::spawn(session::serve(Arc::clone(&shared), stream, peer));
        }
    }
}

async fn beat(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        shared.lock().heartbeat();
    }
}
