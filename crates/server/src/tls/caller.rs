//! TLS for a command that asks a server or sentinel once and ends.
//!
//! Owns what such a command trusts and shows, given as options and not as directives, and the connection as a stream
//! that other libraries can use. Never takes up changed files: nothing here lives long enough.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bellwether_conf::KeyFiles;
use bellwether_core::Host;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::material::{self, CallerNames};
use super::stream::Stream;
use super::{TlsError, files};

/// The options, under the names that clients of Redis and Valkey have for them.
const NAMES: CallerNames = CallerNames {
    ca: "--cacert",
    cert: "--cert",
    key: "--key",
};

/// What a command trusts, and what it shows of itself.
#[derive(Clone, Debug, Default)]
pub struct CallerFiles {
    /// Who may have signed. Needed unless `insecure`.
    pub ca: Option<PathBuf>,
    /// Our own certificate and key, for those who ask for one.
    pub own: KeyFiles,
    /// Whether any certificate will do.
    pub insecure: bool,
}

/// Speaks TLS to whomever a command calls.
#[derive(Clone, Debug)]
pub struct Caller(Arc<ClientConfig>);

impl Caller {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be used; says which.
    pub fn load(options: &CallerFiles) -> Result<Self, TlsError> {
        let roots = match (&options.ca, options.insecure) {
            (_, true) => None,
            (Some(path), _) => Some(files::certificates(NAMES.ca, path)?),
            // Unlike clients of Redis, not whom the system trusts: names are not looked at, so that anybody who
            // has any certificate of the public web could pose as a sentinel.
            (None, _) => {
                let (directive, reason) = (NAMES.ca, "with --tls, or else --insecure");
                return Err(TlsError::Missing { directive, reason });
            }
        };
        material::caller(roots, &options.own, &NAMES).map(|config| Self(Arc::new(config)))
    }

    /// Agrees with the other side of `tcp`, which was reached by the name `host`. As the clients of Redis, it looks at
    /// who signed and not at the name. Not bounded in time: the caller is.
    ///
    /// # Errors
    /// If the connection fails, or one side does not trust the other.
    pub async fn secure(&self, tcp: TcpStream, host: &str) -> io::Result<SecureStream> {
        let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "it is no host name");
        let host = Host::parse(host).ok_or_else(unfit)?;
        let mut stream = Stream::calling(tcp, &host, Arc::clone(&self.0))?;
        stream.handshake().await?;
        Ok(SecureStream(stream))
    }
}

/// A connection with TLS, for reading and writing.
#[derive(Debug)]
pub struct SecureStream(Stream);

impl AsyncRead for SecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.try_read(into.initialize_unfilled()) {
                Ok(count) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_writable(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.0.try_flush()?;
            if !self.0.has_unsent() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.0.poll_writable(cx))?;
        }
    }

    /// The end is said when the stream is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
