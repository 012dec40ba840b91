//! The I/O of one connection: read, run what came in order, write, once per batch.
//!
//! Owns the socket and both buffers. While it waits with nothing half read it holds no buffer at all, so that
//! idle connections cost only their task. Never reads while replies wait to be written.

use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bellwether_core::Answer;
use bellwether_resp::{Encoder, Request, RequestDecoder, RequestError};
use bytes::{Buf as _, BytesMut};
use tokio::sync::oneshot;

use super::Client;
use super::session::{Replies, Session};
use crate::command::{Flow, Question, Render, Work, is_of_peers};
use crate::handle::Stopped;
use crate::listener::Server;
use crate::tls::Stream;

/// How much is asked for in the first read: several ordinary commands.
const FIRST_READ_BYTES: usize = 512;

/// How much is asked for at most, by clients that fill what they are given.
const MAX_READ_BYTES: usize = 64 * 1024;

/// Replies beyond this are written before the next request is run, so that a batch of small requests with large
/// replies does not pile up.
const WRITE_AT_BYTES: usize = 64 * 1024;

/// How many questions of a peer may be without an answer before the first is waited for: one for each group that a
/// large fleet can lose at once.
const MAX_QUESTIONS: usize = 1024;

/// What a connection's buffers may hold unaccounted, so that ordinary traffic touches no shared counter.
const UNACCOUNTED_BYTES: usize = 8 * 1024;

/// How long a client may take for the TLS handshake. A few round trips, for clients on the other side of the world
/// with loss on the way.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client in its TLS handshake can make us hold: the longest message of a handshake. Accounted while it
/// lasts; afterwards it is one record of 16 KiB at most, as long as the client has sent half of one.
const HANDSHAKE_BYTES: usize = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    decoder: RequestDecoder,
    input: BytesMut,
    output: BytesMut,
    /// How much the next read asks for.
    read_bytes: usize,
    /// What the server has accounted for us.
    accounted: usize,
    /// Questions of a peer that the driver has, in order.
    questions: VecDeque<Waiting>,
}

/// A question that the driver has.
struct Waiting {
    request: Request,
    render: Render,
    answer: oneshot::Receiver<Answer>,
    /// Its command, and when it came, for the figures.
    name: Option<&'static str>,
    started: Instant,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("name", &self.name)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

/// Why the connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client left")]
    Left,
    #[error("closed from here")]
    Closed,
    #[error("its user may not do what it does any more")]
    Forbidden,
    #[error("it reads published messages too slowly")]
    TooSlow,
    #[error("more replies wait for it than client-output-buffer-limit allows")]
    Unread,
    #[error("all connections together buffer too much")]
    NoRoom,
    #[error("the connection failed")]
    Io(#[source] io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
}

impl Connection {
    pub(crate) fn new(stream: Stream, server: Arc<Server>, client: Arc<Client>) -> Self {
        let decoder = RequestDecoder::new(server.context.limits.requests);
        Self {
            stream,
            session: Session::new(server, client),
            decoder,
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_bytes: FIRST_READ_BYTES,
            accounted: 0,
            questions: VecDeque::new(),
        }
    }

    /// Serves the client until one side has enough.
    pub(crate) async fn run(mut self) {
        let Err(end) = self.serve().await;
        let Client { id, peer, .. } = &*self.session.client;
        match end {
            End::TooSlow | End::Unread | End::NoRoom | End::Forbidden => {
                tracing::warn!(client = id, %peer, reason = %end, "connection cut off")
            }
            End::Io(error) => tracing::debug!(client = id, %peer, %error, "connection failed"),
            // Mostly a certificate that one side lacks, which somebody will look for in this log.
            End::Handshake(error) => {
                let server = &self.session.server;
                server.context.telemetry.client_refused("tls");
                if server.may_tell_of_handshake() {
                    tracing::info!(client = id, %peer, "the TLS handshake of a client failed: {error}");
                } else {
                    tracing::debug!(client = id, %peer, %error, "TLS handshake failed");
                }
            }
            End::Left | End::Closed => tracing::trace!(client = id, %peer, reason = %end, "connection ended"),
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        if self.stream.is_tls() {
            self.handshake().await?;
        }
        loop {
            self.wait().await?;
            self.read()?;
            self.run_requests().await?;
            self.deliver().await?;
            self.flush().await?;
            if self.session.closing {
                return Err(End::Closed);
            }
        }
    }

    async fn handshake(&mut self) -> Result<(), End> {
        let server = Arc::clone(&self.session.server);
        self.accounted = HANDSHAKE_BYTES;
        if !server.account(0, HANDSHAKE_BYTES) {
            return Err(End::NoRoom);
        }
        let client = Arc::clone(&self.session.client);
        let done = tokio::select! {
            biased;
            () = client.closed() => return Err(End::Closed),
            done = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.stream.handshake()) => done,
        };
        done.map_err(|_| End::Handshake(io::ErrorKind::TimedOut.into()))?
            .map_err(End::Handshake)
    }

    /// Waits for bytes or messages.
    async fn wait(&mut self) -> Result<(), End> {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output = BytesMut::new();
        self.account()?;
        let messages = async {
            match &self.session.subscriber {
                Some(subscriber) => subscriber.ready().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            is_review = self.session.client.called() => match is_review {
                true => self.review(),
                false => Err(End::Closed),
            },
            () = messages => Ok(()),
            ready = self.stream.readable() => ready.map_err(End::Io),
        }
    }

    /// Looks again at what the user may do. As Sentinel, who listens to what it may not any more is cut off.
    fn review(&mut self) -> Result<(), End> {
        match self.session.refresh() && self.session.may_listen() {
            true => Ok(()),
            false => Err(End::Forbidden),
        }
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), End> {
        self.input.reserve(self.read_bytes);
        let room = self.input.capacity() - self.input.len();
        let count = match self.stream.read_now(&mut self.input) {
            None => return Ok(()),
            Some(Ok(0)) => return Err(End::Left),
            Some(Ok(count)) => count,
            Some(Err(error)) => return Err(End::Io(error)),
        };
        self.read_bytes = match count {
            _ if count == room => (self.read_bytes * 2).min(MAX_READ_BYTES),
            _ if count < self.read_bytes / 4 => (self.read_bytes / 2).max(FIRST_READ_BYTES),
            _ => self.read_bytes,
        };
        let stats = &self.session.server.stats;
        stats.input_bytes.add(count as u64);
        stats.reads.add(1);
        self.session
            .client
            .last_seen_ms
            .store(self.session.now_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// Runs all complete requests, in order.
    async fn run_requests(&mut self) -> Result<(), End> {
        // Replies are mostly as long as their requests: one allocation for a batch, not several that grow.
        self.output.reserve(self.input.len().min(WRITE_AT_BYTES));
        let mut started = Instant::now();
        while !self.session.closing {
            self.decoder.set_authenticated(!self.session.must_log_in());
            match self.decoder.decode(&mut self.input) {
                // A peer that asks for the votes of many groups gets them all with one write of the disk.
                Ok(Some(request)) if self.may_take(&request) => self.take_question(request, started).await?,
                Ok(Some(request)) => {
                    self.answer_questions().await?;
                    started = self.run_request(&request, started).await?;
                }
                Ok(None) => break,
                Err(error) => self.refuse(error),
            }
            if self.output.len() >= WRITE_AT_BYTES {
                self.flush().await?;
                // A client that sends without end must not keep others from this thread.
                tokio::task::consume_budget().await;
            }
            if self.session.client.is_closing() {
                return Err(End::Closed);
            }
        }
        self.answer_questions().await
    }

    /// Whether the request may be handed over before those ahead of it are answered. Not while replies are skipped:
    /// which one is, is decided when the next request is run.
    fn may_take(&self, request: &Request) -> bool {
        self.session.replies == Replies::On
            && self.questions.len() < MAX_QUESTIONS
            && is_of_peers(&self.session.server.names, request)
    }

    /// Hands a question of a peer to the driver, behind those that it has already.
    async fn take_question(&mut self, request: Request, started: Instant) -> Result<(), End> {
        let before = self.output.len();
        match self.session.run(&request, &mut self.output) {
            Flow::Ask(question) => {
                let Question { ask, render } = *question;
                if let Ok(answer) = self.session.server.context.handle.submit(ask).await {
                    let name = self.session.current;
                    self.questions.push_back(Waiting {
                        request,
                        render,
                        answer,
                        name,
                        started,
                    });
                    return Ok(());
                }
                self.stopped();
            }
            Flow::Done => {
                // Answered at once, but not before those that came first.
                let answer = self.output.split_off(before);
                self.answer_questions().await?;
                self.output.extend_from_slice(&answer);
            }
            flow @ (Flow::Work(_) | Flow::Held) => {
                self.answer_questions().await?;
                self.go_on(&request, flow, started).await?;
            }
        }
        Ok(())
    }

    /// Waits for the answers to all questions that the driver has, and writes them.
    async fn answer_questions(&mut self) -> Result<(), End> {
        if self.questions.is_empty() {
            return Ok(());
        }
        // What was answered before goes out first, since this may take as long as the disk.
        self.try_flush()?;
        while let Some(Waiting {
            request,
            render,
            answer,
            name,
            started,
        }) = self.questions.pop_front()
        {
            let answer = tokio::select! {
                biased;
                () = self.session.client.closed() => return Err(End::Closed),
                answer = answer => answer,
            };
            match answer {
                Ok(answer) => self.session.answer(&request, answer, render, &mut self.output),
                Err(_) => self.stopped(),
            }
            self.count(name, started, Instant::now());
        }
        Ok(())
    }

    /// There is no driver any more.
    fn stopped(&mut self) {
        Encoder::new(self.session.protocol, &mut self.output).error(format!("ERR {Stopped}"));
        self.session.closing = true;
    }

    /// Runs one request that came, or was reached, at `started`. Gives when it was answered.
    async fn run_request(&mut self, request: &Request, started: Instant) -> Result<Instant, End> {
        let flow = self.session.run(request, &mut self.output);
        self.go_on(request, flow, started).await
    }

    /// Does what is left to do for a request that was run. Only one that was held is run again.
    async fn go_on(&mut self, request: &Request, mut flow: Flow, started: Instant) -> Result<Instant, End> {
        loop {
            match flow {
                Flow::Done => break,
                Flow::Ask(question) => break self.ask(request, question).await?,
                Flow::Work(work) => break self.work(request, work).await?,
                Flow::Held => {
                    self.hold().await?;
                    flow = self.session.run(request, &mut self.output);
                }
            }
        }
        let now = Instant::now();
        self.count(self.session.current, started, now);
        Ok(now)
    }

    /// Tells how long a command took from its arrival to its answer.
    fn count(&self, name: Option<&'static str>, started: Instant, answered: Instant) {
        if let Some(name) = name {
            let took = answered.saturating_duration_since(started);
            self.session.server.context.telemetry.command(name, took);
        }
    }

    /// Waits until clients are paused no more. Messages go on to subscribers.
    async fn hold(&mut self) -> Result<(), End> {
        self.session.client.is_held.store(true, Ordering::Relaxed);
        loop {
            self.deliver().await?;
            self.flush().await?;
            let session = &self.session;
            let messages = async {
                match &session.subscriber {
                    Some(subscriber) => subscriber.ready().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = session.client.closed() => return Err(End::Closed),
                () = session.server.pause.over(|| session.now_ms()) => break,
                () = messages => {}
            }
        }
        self.session.client.is_held.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Asks the driver and writes its answer. What was answered before goes out first, since this may take as long
    /// as the disk.
    async fn ask(&mut self, request: &Request, question: Box<Question>) -> Result<(), End> {
        self.try_flush()?;
        let Question { ask, render } = *question;
        let answer = tokio::select! {
            biased;
            () = self.session.client.closed() => return Err(End::Closed),
            answer = self.session.server.context.handle.ask(ask) => answer,
        };
        match answer {
            Ok(answer) => self.session.answer(request, answer, render, &mut self.output),
            Err(Stopped) => self.stopped(),
        }
        Ok(())
    }

    /// Has something done that blocks, and writes what came of it.
    async fn work(&mut self, request: &Request, work: Work) -> Result<(), End> {
        self.try_flush()?;
        let result = match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(failed) => Err(format!("internal error: {failed}")),
        };
        self.session.finish(request, result, &mut self.output);
        self.session.refresh();
        Ok(())
    }

    /// Answers input that is no request, and closes.
    fn refuse(&mut self, error: RequestError) {
        let Client { id, peer, .. } = &*self.session.client;
        match error.reply_text() {
            Some(text) => {
                tracing::debug!(client = id, %peer, %error, "protocol error");
                Encoder::new(self.session.protocol, &mut self.output).error(text);
            }
            None if self.session.server.may_warn() => {
                tracing::warn!(client = id, %peer, %error, "connection closed");
            }
            None => {}
        }
        self.session.server.stats.errors.add(1);
        self.session.closing = true;
    }

    /// Writes the published messages that wait.
    async fn deliver(&mut self) -> Result<(), End> {
        loop {
            let Some(subscriber) = &self.session.subscriber else {
                return Ok(());
            };
            if subscriber.is_cut_off() {
                return Err(End::TooSlow);
            }
            let Some(delivery) = subscriber.take() else {
                return Ok(());
            };
            self.session.deliver(&delivery, &mut self.output);
            if self.output.len() >= WRITE_AT_BYTES {
                self.flush().await?;
            }
        }
    }

    /// Writes until nothing is left.
    async fn flush(&mut self) -> Result<(), End> {
        self.try_flush()?;
        if self.is_flushed() {
            return Ok(());
        }
        self.account()?;
        self.session
            .client
            .stalled_ms
            .store(self.session.now_ms(), Ordering::Relaxed);
        let limit = self.session.server.context.limits.replies;
        let is_over = |output: &BytesMut, most: u64| most > 0 && output.len() as u64 > most;
        // What one that subscribes has waiting is bounded by its mailbox.
        let is_normal = !self.session.client.is_subscriber();
        if is_normal && is_over(&self.output, limit.hard_bytes) {
            return Err(End::Unread);
        }
        let patience = tokio::time::sleep(limit.soft_time);
        tokio::pin!(patience);
        while !self.is_flushed() {
            let is_strained = is_normal && is_over(&self.output, limit.soft_bytes);
            let cut_off = async {
                match &self.session.subscriber {
                    Some(subscriber) => subscriber.cut_off().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.session.client.closed() => return Err(End::Closed),
                () = cut_off => return Err(End::TooSlow),
                () = &mut patience, if is_strained => return Err(End::Unread),
                ready = self.stream.writable() => ready.map_err(End::Io)?,
            }
            self.try_flush()?;
        }
        self.session.client.stalled_ms.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether everything is with the kernel.
    fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.stream.has_unsent()
    }

    /// Writes what the socket takes at once.
    fn try_flush(&mut self) -> Result<(), End> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(0) => return Err(End::Left),
                Ok(count) => {
                    self.output.advance(count);
                    let stats = &self.session.server.stats;
                    stats.output_bytes.add(count as u64);
                    stats.writes.add(1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(End::Io(error)),
            }
        }
        self.stream.try_flush().map_err(End::Io)
    }

    /// Accounts what the buffers hold.
    fn account(&mut self) -> Result<(), End> {
        let held = (self.input.capacity() + self.output.capacity()).saturating_sub(UNACCOUNTED_BYTES);
        let before = std::mem::replace(&mut self.accounted, held);
        if held != before && !self.session.server.account(before, held) {
            return Err(End::NoRoom);
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let server = &self.session.server;
        server.account(self.accounted, 0);
        server.clients.leave(self.session.client.id);
        server.context.telemetry.client_disconnected();
    }
}
