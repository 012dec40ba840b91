//! A connection with or without TLS, read and written without waiting.
//!
//! Owns the socket and the TLS state between it and the caller. The TLS library does no I/O of its own here: bytes
//! are moved when the socket is ready, exactly as without TLS, so that nothing is lost when a wait is given up.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_core::Host;
use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, InvalidMessage, ServerConfig, ServerConnection,
};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::socket::Socket;

/// How much may wait encrypted for the kernel. One record is enough: whoever has more keeps it until this is gone.
const MAX_ENCRYPTED_BYTES: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    tls: Option<Box<Session>>,
}

#[derive(Debug)]
struct Session {
    state: Connection,
    /// How much was decrypted and not read yet.
    decrypted: usize,
}

impl Stream {
    /// Without TLS.
    pub(crate) fn plain(socket: impl Into<Socket>) -> Self {
        Self {
            socket: socket.into(),
            tls: None,
        }
    }

    /// With TLS, as the side that was called. [`handshake`](Self::handshake) must follow.
    ///
    /// # Errors
    /// If the TLS library refuses its settings.
    pub(crate) fn called(socket: impl Into<Socket>, config: Arc<ServerConfig>) -> io::Result<Self> {
        let state = ServerConnection::new(config).map_err(failed)?;
        Ok(Self::over(socket.into(), state.into()))
    }

    /// With TLS, as the side that calls the `host`, whose name may be checked. [`handshake`](Self::handshake) must
    /// follow.
    ///
    /// # Errors
    /// If the TLS library refuses its settings, or the name can stand in no certificate.
    pub(crate) fn calling(tcp: TcpStream, host: &Host, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = server_name(host)?;
        let state = ClientConnection::new(config, name).map_err(failed)?;
        Ok(Self::over(tcp.into(), state.into()))
    }

    fn over(socket: Socket, mut state: Connection) -> Self {
        state.set_buffer_limit(Some(MAX_ENCRYPTED_BYTES));
        let session = Session { state, decrypted: 0 };
        Self {
            socket,
            tls: Some(Box::new(session)),
        }
    }

    /// Our own address on this connection.
    ///
    /// # Errors
    /// If it is not one of TCP, or is gone.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.local_addr(),
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether a handshake has to come before anything else.
    pub(crate) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Agrees on keys and checks certificates; at once without TLS. Not bounded in time: the caller is.
    ///
    /// # Errors
    /// If the connection fails, or one side does not trust the other.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.tls else {
            return Ok(());
        };
        loop {
            session.send(&self.socket)?;
            if session.state.wants_write() {
                self.socket.writable().await?;
                continue;
            }
            if !session.state.is_handshaking() {
                return Ok(());
            }
            match session.receive(&self.socket)? {
                Received::Bytes => {}
                Received::Nothing => self.socket.readable().await?,
                Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.ready(false).await
    }

    /// Waits until more may be written.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Ready if the socket may have something to read; what was decrypted before is not asked about.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_readable(cx)
    }

    /// Ready if more may be written.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    /// Waits until there may be something to read, or, if `to_write`, until more may be written.
    pub(crate) async fn ready(&self, to_write: bool) -> io::Result<()> {
        if self.tls.as_ref().is_some_and(|session| session.decrypted > 0) {
            // The socket does not stop a client that sends without end here, so something else must.
            tokio::task::consume_budget().await;
            return Ok(());
        }
        let interest = match to_write || self.has_unsent() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        self.socket.ready(interest).await.map(drop)
    }

    /// Whether something that was taken by [`try_write`](Self::try_write) still waits for the kernel.
    pub(crate) fn has_unsent(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|session| session.state.wants_write())
    }

    /// Reads what is there: 0 at the end of the connection, [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing
    /// came.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.try_read(into),
            Some(session) => session.read(&self.socket, into),
        }
    }

    /// The same into the room that a buffer has; `None` if nothing came.
    pub(crate) fn read_now(&mut self, into: &mut BytesMut) -> Option<io::Result<usize>> {
        let Some(session) = &mut self.tls else {
            return self.socket.read_now(into);
        };
        let start = into.len();
        into.resize(into.capacity(), 0);
        let result = session.read(&self.socket, &mut into[start..]);
        into.truncate(start + result.as_ref().map_or(0, |count| *count));
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            result => Some(result),
        }
    }

    /// Writes as much as is taken at once; [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.tls else {
            return self.socket.try_write(bytes);
        };
        session.send(&self.socket)?;
        if session.state.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = session.state.writer().write(bytes)?;
        session.send(&self.socket)?;
        Ok(taken)
    }

    /// Gives the kernel what it takes of that which was taken before.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(session) => session.send(&self.socket),
        }
    }
}

/// The host as certificates name it.
fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Ip(ip) => Ok(ServerName::IpAddress(ip.to_canonical().into())),
        Host::Name(name) => {
            // A dot at the end says that a name is whole; in certificates all are.
            let name = name.as_str().trim_end_matches('.').to_owned();
            let unfit = |_| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "no certificate can bear this host name",
                )
            };
            ServerName::try_from(name).map_err(unfit)
        }
    }
}

impl Drop for Stream {
    /// Says that this is the end and no cut. If the other side does not take it, it sees the cut.
    fn drop(&mut self) {
        if let Some(session) = &mut self.tls {
            session.state.send_close_notify();
            let _ = session.send(&self.socket);
        }
    }
}

/// What a look at the socket brought.
enum Received {
    Bytes,
    Nothing,
    End,
}

/// How often the socket is read for one read of the caller. What comes may be records without content, and others
/// wait for this thread.
const MAX_READS: usize = 8;

impl Session {
    fn read(&mut self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_READS {
            match self.state.reader().read(into) {
                Ok(count) => {
                    self.decrypted = self.decrypted.saturating_sub(count);
                    return Ok(count);
                }
                // A cut is as good as an end: requests and replies tell by themselves whether they are whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.decrypted = 0;
            if let Received::Nothing = self.receive(socket)? {
                break;
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Reads from the socket once.
    fn receive(&mut self, socket: &Socket) -> io::Result<Received> {
        match self.state.read_tls(&mut Raw(socket)) {
            Ok(0) => return Ok(Received::End),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) => return Err(error),
        }
        match self.state.process_new_packets() {
            Ok(state) => {
                self.decrypted = state.plaintext_bytes_to_read();
                Ok(Received::Bytes)
            }
            Err(error) => {
                // The other side should learn why; if it cannot, our own error says enough.
                let _ = self.send(socket);
                Err(failed(error))
            }
        }
    }

    /// Gives the kernel what it takes.
    fn send(&mut self, socket: &Socket) -> io::Result<()> {
        while self.state.wants_write() {
            match self.state.write_tls(&mut Raw(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The socket as the TLS library wants it.
struct Raw<'a>(&'a Socket);

impl io::Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of the TLS library, in words for those who set up the other side.
fn failed(error: Error) -> io::Error {
    let text = match &error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the other side does not speak TLS".to_owned()
        }
        Error::NoCertificatesPresented => "the other side shows no certificate".to_owned(),
        Error::InvalidCertificate(problem) => {
            format!("the certificate of the other side is refused: {problem}")
        }
        Error::AlertReceived(alert) => format!("the other side refuses, for the reason {alert:?}"),
        _ => error.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}
