//! The subscribing half of an instance that speaks RESP2 only.
//!
//! Owns a connection of its own and keeps it up by itself: that it is missing takes nothing from the pings
//! that say whether the server is well, so the core is not told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{Credentials, Host, Input, LinkId};
use bellwether_resp::{Value, encode_command};
use tokio::task::AbortHandle;
use tokio::time;
use tracing::debug;

use super::replies::{describe, hello};
use super::socket::{Socket, SocketError};
use super::wire::{Renamed, Writer};
use super::{CONNECT_TIMEOUT, Context, GREETING_TIMEOUT};

/// The pause before the first new attempt; it doubles up to the second figure. Every promotion drops all
/// subscribers of a server, so the first comes soon.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const RETRY_AFTER_MOST: Duration = Duration::from_secs(5);

/// After this much silence the server is asked for a sign of life. Our own hello comes by every two seconds
/// where it may be published, so there is hardly ever a reason.
const SILENCE: Duration = Duration::from_secs(10);

/// How the half introduces itself, and what the server calls commands.
#[derive(Debug)]
pub(super) struct Account {
    /// The server as the core knows it.
    pub(super) host: Host,
    pub(super) credentials: Option<Credentials>,
    pub(super) name: String,
    pub(super) renamed: Renamed,
}

/// The task of the half. Dropping this ends it.
#[derive(Debug)]
pub(super) struct PubSub {
    task: AbortHandle,
}

impl PubSub {
    pub(super) fn new(link: LinkId, to: SocketAddr, account: Account, context: &Context) -> Self {
        let half = Half {
            link,
            to,
            account,
            context: context.clone(),
        };
        let task = tokio::spawn(half.run()).abort_handle();
        Self { task }
    }
}

impl Drop for PubSub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Half {
    link: LinkId,
    to: SocketAddr,
    account: Account,
    context: Context,
}

/// Why the half has to begin anew.
#[derive(Debug, thiserror::Error)]
enum HalfError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("no answer in time")]
    Timeout(#[from] time::error::Elapsed),
    #[error("the subscription was refused: {0}")]
    Refused(String),
    #[error("the driver has gone")]
    Driver,
}

impl Half {
    async fn run(self) {
        let mut pause = RETRY_AFTER;
        loop {
            let error = match self.subscribe().await {
                Ok(socket) => {
                    pause = RETRY_AFTER;
                    match self.listen(socket).await {
                        Ok(never) => match never {},
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if let HalfError::Driver = error {
                return;
            }
            debug!(to = %self.to, "subscription ended: {error}");
            time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_AFTER_MOST);
        }
    }

    async fn subscribe(&self) -> Result<Socket, HalfError> {
        let settings = &self.context.settings;
        let connecting = Socket::connect(self.to, &self.account.host, settings);
        let mut socket = time::timeout(CONNECT_TIMEOUT, connecting).await??;
        time::timeout(GREETING_TIMEOUT, socket.handshake()).await??;
        let Account {
            credentials,
            name,
            renamed,
            host: _,
        } = &self.account;
        let mut writer = Writer::new(socket.output(), renamed);
        let greetings = writer.greeting(credentials.as_ref(), name);
        writer.subscribe();
        let subscribing = async {
            for _ in 0..greetings {
                socket.next().await?;
            }
            match socket.next().await? {
                error @ Value::Error(_) => Err(HalfError::Refused(describe(&error))),
                _ => Ok(()),
            }
        };
        time::timeout(GREETING_TIMEOUT, subscribing).await??;
        Ok(socket)
    }

    async fn listen(&self, mut socket: Socket) -> Result<Infallible, HalfError> {
        loop {
            let value = match time::timeout(SILENCE, socket.next()).await {
                Ok(value) => value?,
                Err(_) => {
                    encode_command(socket.output(), &["PING"]);
                    time::timeout(GREETING_TIMEOUT, socket.next()).await??
                }
            };
            let Some(message) = value.as_slice().and_then(hello) else {
                continue;
            };
            let input = Input::Hello {
                link: self.link,
                message,
            };
            if !self.context.report(self.context.clock.now(), input).await {
                return Err(HalfError::Driver);
            }
        }
    }
}
