//! The ports, and the file, that clients and other sentinels come to.
//!
//! Owns which addresses are listened on, and which of them may be missing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bellwether_conf::{Bind, DaemonOptions};
use bellwether_core::Host;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};

use super::{DaemonError, unix};
use crate::listener::Entrance;
use crate::tls::Tls;

/// Binds `port` and `tls-port` on every address of `bind`, and `unixsocket`. Without any of them nobody is served.
pub(super) async fn entrances(
    options: &DaemonOptions,
    tls: Option<&Arc<Tls>>,
) -> Result<Vec<Entrance>, DaemonError> {
    let mut entrances = Vec::new();
    for (port, tls) in [(options.port, None), (options.tls.port, tls)] {
        for listener in listen(options, port).await? {
            let tls = tls.cloned();
            entrances.push(Entrance::Tcp { listener, tls });
        }
    }
    if let Some(path) = &options.unixsocket {
        let entrance = unix::listen(path, options.unixsocketperm, backlog(options));
        let entrance = entrance.map_err(|source| DaemonError::ListenUnix {
            path: path.clone(),
            source,
        })?;
        entrances.push(Entrance::Unix(entrance));
    }
    Ok(entrances)
}

async fn listen(options: &DaemonOptions, port: u16) -> Result<Vec<TcpListener>, DaemonError> {
    if port == 0 {
        return Ok(Vec::new());
    }
    let backlog = backlog(options);
    let mut listeners = Vec::new();
    for bind in &options.bind {
        let address = SocketAddr::new(resolve(bind).await?, port);
        match open(address, backlog) {
            Ok(listener) => listeners.push(listener),
            // A default such as `-::*` is for machines that have the protocol.
            Err(error) if bind.optional && is_missing(&error) => {}
            Err(source) => return Err(DaemonError::Listen { address, source }),
        }
    }
    if listeners.is_empty() && !options.bind.is_empty() {
        return Err(DaemonError::NoAddress);
    }
    Ok(listeners)
}

/// How many connections may wait to be accepted.
fn backlog(options: &DaemonOptions) -> i32 {
    i32::try_from(options.tcp_backlog).unwrap_or(i32::MAX)
}

async fn resolve(bind: &Bind) -> Result<IpAddr, DaemonError> {
    let name = match &bind.host {
        Host::Ip(ip) => return Ok(*ip),
        Host::Name(name) => name.as_str(),
    };
    let failed = |source| DaemonError::BindName {
        host: name.to_owned(),
        source,
    };
    let first = lookup_host((name, 0)).await.map_err(failed)?.next();
    let first = first.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    Ok(first.ip())
}

fn open(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for the connections of the run before to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` is bound on its own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT];
    Errno::from_io_error(error).is_some_and(|errno| missing.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(hosts: &[(&str, bool)]) -> DaemonOptions {
        let bind = hosts.iter().map(|(host, optional)| Bind {
            host: Host::parse(host).expect("a host"),
            optional: *optional,
        });
        DaemonOptions {
            bind: bind.collect(),
            ..DaemonOptions::default()
        }
    }

    /// A port that somebody listens on.
    fn taken() -> std::net::TcpListener {
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port")
    }

    #[tokio::test]
    async fn a_busy_port_is_named() {
        let taken = taken();
        let port = taken.local_addr().expect("an address").port();
        let error = listen(&options(&[("127.0.0.1", true)]), port)
            .await
            .expect_err("busy");
        let expected = format!("Failed listening on port {port} (TCP) of 127.0.0.1, aborting");
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn optional_addresses_may_be_missing() {
        let port = taken().local_addr().expect("an address").port();
        // A documentation address, which no machine has.
        let elsewhere = "192.0.2.1";
        let some = listen(&options(&[(elsewhere, true), ("127.0.0.1", false)]), port).await;
        assert_eq!(some.expect("one is there").len(), 1);
        let none = listen(&options(&[(elsewhere, true)]), port).await;
        assert!(matches!(none, Err(DaemonError::NoAddress)), "{none:?}");
        let needed = listen(&options(&[(elsewhere, false)]), port).await;
        assert!(matches!(needed, Err(DaemonError::Listen { .. })), "{needed:?}");
    }

    #[tokio::test]
    async fn nothing_to_listen_on_is_no_error() {
        assert!(
            listen(&options(&[("127.0.0.1", false)]), 0)
                .await
                .expect("none")
                .is_empty()
        );
        assert!(listen(&options(&[]), 1).await.expect("none").is_empty());
    }
}
