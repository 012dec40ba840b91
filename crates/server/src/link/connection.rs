//! The task of one link: connect, greet, then commands out and replies in until the end.
//!
//! Owns its socket and whatever belongs to it. Reports everything to the driver and remembers nothing beyond
//! its own connection.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{Host, Input, LinkId, LinkKind};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tracing::{debug, info};

use super::pubsub::{Account, PubSub};
use super::replies::{Meaning, Replies, ReplyError, greeting_refusal};
use super::socket::{Socket, SocketError};
use super::wire::{Renamed, Writer};
use super::{CONNECT_TIMEOUT, Context, GREETING_TIMEOUT, Outgoing};

/// When a refused subscription is tried again: the permission, or a server that was busy with a script, may
/// have changed. The pause doubles up to the second figure.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);
const RESUBSCRIBE_AFTER_MOST: Duration = Duration::from_secs(60);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error("no connection within {} ms", CONNECT_TIMEOUT.as_millis())]
    ConnectTimeout,
    #[error("no answer to the greeting within {} ms", GREETING_TIMEOUT.as_millis())]
    GreetingTimeout,
    #[error("an order was held back until somebody else might have given another")]
    Late,
    #[error("the driver has gone")]
    Driver,
}

/// Holds a connection from its beginning to its end, and reports that unless the driver drops the link.
pub(super) async fn run(
    link: LinkId,
    to: SocketAddr,
    kind: LinkKind,
    queue: mpsc::Receiver<Outgoing>,
    context: Context,
) {
    let result = hold(link, to, &kind, queue, &context).await;
    let reason = match result {
        Ok(()) | Err(LinkError::Driver) => return,
        Err(error) => error.to_string(),
    };
    debug!(%to, "link ended: {reason}");
    context
        .report(context.clock.now(), Input::LinkDown { link, reason })
        .await;
}

/// Ends with `Ok` when the driver has dropped the link.
async fn hold(
    link: LinkId,
    to: SocketAddr,
    kind: &LinkKind,
    queue: mpsc::Receiver<Outgoing>,
    context: &Context,
) -> Result<(), LinkError> {
    let settings = &context.settings;
    let connecting = Socket::connect(to, host_of(kind), settings);
    let socket = time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| LinkError::ConnectTimeout)??;
    let mut connection = Connection {
        link,
        to,
        host: host_of(kind).clone(),
        local: socket.local_ip()?,
        socket,
        replies: Replies::default(),
        resubscribe: None,
        resubscribe_pause: RESUBSCRIBE_AFTER,
        told_of_refusal: false,
        leave_by: None,
        renamed: match kind {
            LinkKind::Instance { renamed, .. } => renamed.clone(),
            LinkKind::Peer { .. } => Renamed::new(),
        },
        context,
        _pubsub: None,
    };
    time::timeout(GREETING_TIMEOUT, connection.greet(kind))
        .await
        .map_err(|_| LinkError::GreetingTimeout)??;
    let up = Input::LinkUp {
        link,
        local: connection.local,
    };
    connection.report(up).await?;
    let result = connection.serve(queue).await;
    if let Err(LinkError::Socket(SocketError::Write(_))) = result {
        // What the server said before it closed is worth having.
        while connection.receive().await? {}
    }
    result
}

/// The host that a link goes to, as the core knows it.
const fn host_of(kind: &LinkKind) -> &Host {
    match kind {
        LinkKind::Instance { host, .. } | LinkKind::Peer { host, .. } => host,
    }
}

struct Connection<'a> {
    link: LinkId,
    to: SocketAddr,
    /// The same as the core knows it.
    host: Host,
    local: std::net::IpAddr,
    socket: Socket,
    replies: Replies,
    /// When to try a refused subscription again.
    resubscribe: Option<Instant>,
    resubscribe_pause: Duration,
    /// Refusals that recur are logged once.
    told_of_refusal: bool,
    /// By when what the kernel has not taken yet must have left.
    leave_by: Option<bellwether_core::Instant>,
    /// What the server calls commands.
    renamed: Renamed,
    context: &'a Context,
    /// The other half, where one connection cannot do both; it ends with this one.
    _pubsub: Option<PubSub>,
}

impl Connection<'_> {
    /// Introduces us. Refusals do not end the link: whatever is wrong shows in the answers to PING, from
    /// which the core takes it. As Sentinel.
    async fn greet(&mut self, kind: &LinkKind) -> Result<(), LinkError> {
        self.socket.handshake().await?;
        let name = self.context.client_name("cmd");
        let (LinkKind::Instance { credentials, .. } | LinkKind::Peer { credentials, .. }) = kind;
        if matches!(kind, LinkKind::Peer { .. }) {
            // Not HELLO: between sentinels there is nothing to push.
            let missing = self.writer().greeting(credentials.as_ref(), &name);
            for _ in 0..missing {
                if let Some(refusal) = greeting_refusal(&self.socket.next().await?) {
                    self.told(&refusal);
                }
            }
            return Ok(());
        }
        let credentials = credentials.as_ref();
        self.writer().hello(credentials, &name);
        let answer = self.socket.next().await?;
        let Some(refusal) = greeting_refusal(&answer) else {
            self.subscribe()?;
            return Ok(());
        };
        // An older server, one with HELLO renamed away, or a wrong password. The words of RESP2 bring as much
        // as can be had, and a subscription then needs a connection of its own.
        debug!(to = %self.to, "no RESP3: {refusal}");
        for _ in 0..self.writer().greeting(credentials, &name) {
            self.replies.await_greeting();
        }
        self.socket.flush()?;
        let name = self.context.client_name("pubsub");
        let account = Account {
            host: self.host.clone(),
            credentials: credentials.cloned(),
            name,
            renamed: self.renamed.clone(),
        };
        let half = PubSub::new(self.link, self.to, account, self.context);
        self._pubsub = Some(half);
        Ok(())
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.socket.output(), &self.renamed)
    }

    async fn serve(&mut self, mut queue: mpsc::Receiver<Outgoing>) -> Result<(), LinkError> {
        // What the greeting's last read brought beyond the greeting.
        self.deliver().await?;
        loop {
            let resubscribe = self.resubscribe;
            tokio::select! {
                biased;
                ready = self.socket.ready() => {
                    ready?;
                    self.receive().await?;
                    self.flush()?;
                }
                batch = queue.recv(), if !self.socket.is_backed_up() => match batch {
                    Some(batch) => self.send(&batch)?,
                    None => return Ok(()),
                },
                () = sleep_until(resubscribe) => self.subscribe()?,
            }
        }
    }

    fn send(&mut self, (batch, until): &Outgoing) -> Result<(), LinkError> {
        for (request, command) in batch {
            self.replies.await_command(*request, command)?;
            self.writer().command(command);
        }
        self.leave_by = self.leave_by.into_iter().chain(*until).min();
        self.flush()
    }

    /// Gives the kernel what waits, unless some of it is an order that has waited for too long. Without an answer to it
    /// the coordinator would wait, so this is the end of the link.
    fn flush(&mut self) -> Result<(), LinkError> {
        if self.leave_by.is_some_and(|by| self.context.clock.now() >= by) {
            return Err(LinkError::Late);
        }
        self.socket.flush()?;
        if self.socket.is_flushed() {
            self.leave_by = None;
        }
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), LinkError> {
        self.resubscribe = None;
        self.replies.await_subscribe();
        self.writer().subscribe();
        Ok(self.socket.flush()?)
    }

    /// Reads once and hands over what that completed, all with the time of the reading. `false`: nothing came.
    async fn receive(&mut self) -> Result<bool, LinkError> {
        let came = self.socket.read()?;
        if came {
            self.deliver().await?;
        }
        Ok(came)
    }

    async fn deliver(&mut self) -> Result<(), LinkError> {
        let arrived = self.context.clock.now();
        let link = self.link;
        while let Some(value) = self.socket.decode()? {
            let input = match self.replies.take(value)? {
                Meaning::Reply(request, reply) => Input::Reply { link, request, reply },
                Meaning::Hello(message) => Input::Hello { link, message },
                Meaning::SubscribeRefused(text) => {
                    self.told(&format!("the subscription was refused: {text}"));
                    self.resubscribe = Some(Instant::now() + self.resubscribe_pause);
                    self.resubscribe_pause = (self.resubscribe_pause * 2).min(RESUBSCRIBE_AFTER_MOST);
                    continue;
                }
                Meaning::GreetingRefused(text) => {
                    self.told(&text);
                    continue;
                }
                Meaning::Subscribed | Meaning::Nothing => continue,
            };
            if !self.context.report(arrived, input).await {
                return Err(LinkError::Driver);
            }
        }
        Ok(())
    }

    async fn report(&self, input: Input) -> Result<(), LinkError> {
        match self.context.report(self.context.clock.now(), input).await {
            true => Ok(()),
            false => Err(LinkError::Driver),
        }
    }

    fn told(&mut self, text: &str) {
        if !std::mem::replace(&mut self.told_of_refusal, true) {
            info!(to = %self.to, "the server refused part of the greeting, going on without: {text}");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
