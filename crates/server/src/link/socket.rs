//! Bytes in and out of one TCP connection, with small buffers.
//!
//! Owns the socket options, the input not yet decoded and the output not yet taken by the kernel. Knows no
//! command.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bellwether_core::Host;
use bellwether_resp::{ReplyDecoder, ReplyError, ReplyLimits, Value};
use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;

use super::LinkSettings;
use crate::tls::Stream;

/// What a server may send as one reply. INFO of a server with a thousand replicas and ten thousand databases
/// stays below 1 MiB; no other reply that is asked for here has more than a few elements.
const LIMITS: ReplyLimits = ReplyLimits {
    max_reply_bytes: 2 * 1024 * 1024,
    max_line_bytes: 16 * 1024,
    max_elements: 1024,
    max_depth: 8,
};

/// How much is read before what came is decoded. Larger than INFO usually is.
const READ_BYTES: usize = 16 * 1024;

/// How much may be left for the kernel to take before further commands wait in the link's queue.
const MAX_UNSENT_BYTES: usize = 64 * 1024;

/// After this much silence the kernel asks whether the other side is still there, and then twice more. The
/// core's pings find a dead link much sooner; this is for the halves that only listen.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(15))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// One connection. Idle ones hold no buffers.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    decoder: ReplyDecoder,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("cannot connect from {from}: {source}")]
    Bind { from: IpAddr, source: io::Error },
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no TLS: {0}")]
    Handshake(io::Error),
    #[error("{0}")]
    Read(io::Error),
    #[error("cannot send: {0}")]
    Write(io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("what came is no reply: {0}")]
    Decode(#[from] ReplyError),
}

impl Socket {
    /// Connects to an address of `host`, as `settings` say. A [`handshake`](Self::handshake) must follow. Not bounded
    /// in time: the caller is.
    pub(super) async fn connect(
        to: SocketAddr,
        host: &Host,
        settings: &LinkSettings,
    ) -> Result<Self, SocketError> {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(SocketError::Connect)?;
        if let Some(from) = settings.source {
            socket
                .bind(SocketAddr::new(from, 0))
                .map_err(|source| SocketError::Bind { from, source })?;
        }
        let stream = socket.connect(to).await.map_err(SocketError::Connect)?;
        stream.set_nodelay(true).map_err(SocketError::Connect)?;
        SockRef::from(&stream)
            .set_tcp_keepalive(&KEEPALIVE)
            .map_err(SocketError::Connect)?;
        // With many links a port is reused soon; the kernel may then connect a socket to itself.
        if stream.local_addr().ok() == Some(to) {
            return Err(SocketError::Connect(io::ErrorKind::ConnectionRefused.into()));
        }
        let stream = match &settings.tls {
            None => Stream::plain(stream),
            Some(tls) => Stream::calling(stream, host, tls.client()).map_err(SocketError::Handshake)?,
        };
        Ok(Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            decoder: ReplyDecoder::new(LIMITS),
        })
    }

    /// Agrees on keys and checks certificates; at once without TLS. Not bounded in time: the caller is.
    pub(super) async fn handshake(&mut self) -> Result<(), SocketError> {
        self.stream.handshake().await.map_err(SocketError::Handshake)
    }

    /// Our own address on this connection.
    pub(super) fn local_ip(&self) -> Result<IpAddr, SocketError> {
        let local = self.stream.local_addr().map_err(SocketError::Read)?;
        Ok(local.ip().to_canonical())
    }

    /// Where commands are encoded to; [`flush`](Self::flush) follows.
    pub(super) const fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether further commands should wait.
    pub(super) fn is_backed_up(&self) -> bool {
        self.output.len() > MAX_UNSENT_BYTES
    }

    /// Whether the kernel has everything.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.stream.has_unsent()
    }

    /// Gives the kernel as much as it takes now.
    pub(super) fn flush(&mut self) -> Result<(), SocketError> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(sent) => self.output.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(SocketError::Write(error)),
            }
        }
        self.output = BytesMut::new();
        self.stream.try_flush().map_err(SocketError::Write)
    }

    /// Waits until something came or more can be sent. Then [`flush`](Self::flush) and [`read`](Self::read).
    pub(super) async fn ready(&self) -> Result<(), SocketError> {
        let to_write = !self.output.is_empty();
        self.stream.ready(to_write).await.map_err(SocketError::Read)
    }

    /// Takes in what is there. `false`: nothing, or the end after everything that came before it was read.
    ///
    /// # Errors
    /// If the connection broke or was closed; whole replies that came before are still to be decoded.
    pub(super) fn read(&mut self) -> Result<bool, SocketError> {
        // On the stack, so that an idle connection holds nothing.
        let mut chunk = [0; READ_BYTES];
        match self.stream.try_read(&mut chunk) {
            Ok(0) => Err(SocketError::Closed),
            Ok(length) => {
                self.input.extend_from_slice(&chunk[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(SocketError::Read(error)),
        }
    }

    /// The next reply or push of those that came.
    pub(super) fn decode(&mut self) -> Result<Option<Value>, SocketError> {
        let value = self.decoder.decode(&mut self.input)?;
        if value.is_none() && self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(value)
    }

    /// The next reply or push, waiting for it. For greetings; not bounded in time: the caller is.
    pub(super) async fn next(&mut self) -> Result<Value, SocketError> {
        loop {
            if let Some(value) = self.decode()? {
                return Ok(value);
            }
            self.flush()?;
            self.ready().await?;
            self.read()?;
        }
    }
}
