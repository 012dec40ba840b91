//! Connections of the operator's commands: to sentinels and, where a command looks closer, to servers.
//!
//! Owns addresses as people type them, credentials and time limits. Every connection attempt and every answer
//! has a limit; nothing is retried here.

use std::{
    fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisResult, aio::MultiplexedConnection, io::tcp::TcpSettings,
};

/// How long a connection may take, and how long an answer may be awaited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) answer: Duration,
}

/// Where something listens, as people type it: `HOST:PORT`, `[V6]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl HostPort {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    pub(crate) fn loopback(port: u16) -> Self {
        Self::new("127.0.0.1", port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("an IPv6 address goes in brackets: [ADDRESS]:PORT".to_owned());
        }
        let host = bare.unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0);
        match (host, port) {
            ("", _) => Err("the host is missing".to_owned()),
            (_, None) => Err("the port must be a number from 1 to 65535".to_owned()),
            (host, Some(port)) => Ok(Self::new(host, port)),
        }
    }
}

/// What to log in with, if anything.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl Credentials {
    /// The variable that holds a password where no file is given.
    pub(crate) const PASSWORD_VARIABLE: &str = "BELLWETHER_PASSWORD";

    /// Takes the password from `file`, or else from the environment. It is never an argument of its own,
    /// because every user of a machine can read the arguments of its processes.
    pub(crate) fn from_file_or_environment(
        user: Option<String>,
        file: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let password = match file {
            Some(path) => {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read the password file {}", path.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => std::env::var(Self::PASSWORD_VARIABLE).ok(),
        };
        let password = password.filter(|password| !password.is_empty());
        if user.is_some() && password.is_none() {
            bail!(
                "a user needs a password: --password-file FILE or {}",
                Self::PASSWORD_VARIABLE
            );
        }
        Ok(Self { user, password })
    }
}

/// A client for `at`: RESP2, which every server and sentinel speaks, and no commands beyond those asked for.
pub(crate) fn client(at: &HostPort, credentials: &Credentials) -> RedisResult<Client> {
    Client::open(settings(at, credentials)?)
}

/// What [`client`] connects with.
pub(crate) fn settings(at: &HostPort, credentials: &Credentials) -> RedisResult<ConnectionInfo> {
    let info = (at.host.as_str(), at.port).into_connection_info()?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Ok(with_credentials(info, credentials))
}

fn with_credentials(info: ConnectionInfo, credentials: &Credentials) -> ConnectionInfo {
    let mut settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    if let Some(user) = &credentials.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &credentials.password {
        settings = settings.set_password(password);
    }
    info.set_redis_settings(settings)
}

/// Connects to `at`.
pub(crate) async fn connect(
    at: &HostPort,
    credentials: &Credentials,
    limits: Limits,
) -> RedisResult<MultiplexedConnection> {
    open(&client(at, credentials)?, limits).await
}

/// Connects to the unix socket at `path`.
pub(crate) async fn connect_unix(
    path: &Path,
    credentials: &Credentials,
    limits: Limits,
) -> RedisResult<MultiplexedConnection> {
    let info = ConnectionAddr::Unix(path.to_owned()).into_connection_info()?;
    open(&Client::open(with_credentials(info, credentials))?, limits).await
}

async fn open(client: &Client, limits: Limits) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limits.connect))
        .set_response_timeout(Some(limits.answer));
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        let parse = |text: &str| {
            text.parse::<HostPort>()
                .map(|at| (at.host.clone(), at.port, at.to_string()))
        };
        let expected = |host: &str, port, text: &str| Ok((host.to_owned(), port, text.to_owned()));
        assert_eq!(parse("db-1:26379"), expected("db-1", 26379, "db-1:26379"));
        assert_eq!(parse("[::1]:26379"), expected("::1", 26379, "[::1]:26379"));
        for bad in [
            "",
            "db-1",
            "db-1:",
            ":26379",
            "db-1:0",
            "db-1:65536",
            "::1:26379",
            "db-1:x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_file_may_end_with_a_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "se cret\n").unwrap();
        let credentials = Credentials::from_file_or_environment(None, Some(file.path().into())).unwrap();
        assert_eq!(credentials.password.as_deref(), Some("se cret"));
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let error = Credentials::from_file_or_environment(None, Some("/no/such/file".into()))
            .err()
            .unwrap();
        assert!(format!("{error:#}").contains("/no/such/file"));
    }
}
