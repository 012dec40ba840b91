//! The sentinel that a command asks: where it is, how to come in, and what its errors mean.
//!
//! Owns the options that all such commands share, under the names that clients of Redis and Valkey have for them. Asks
//! nothing itself, except what a port speaks when its answer makes no sense.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, bail};
use bellwether_conf::{KeyFiles, Secret};
use bellwether_server::{Caller, CallerFiles};
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{net::TcpStream, time::timeout};

use crate::connect::{self, Credentials, HostPort, Limits};

/// How long a port may take to show what it speaks. It has answered already.
const LOOK: Duration = Duration::from_secs(1);

/// Where a sentinel listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a port.
    Tcp(HostPort),
    /// On a file of this machine.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected unix:PATH".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text.starts_with('/') => Ok(Self::Unix(text.into())),
            None => text.parse().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to come in.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Log in as this user.
    #[arg(long, global = true)]
    user: Option<String>,
    /// A file with the sentinel's password. Without it, the variable BELLWETHER_PASSWORD is used if set.
    #[arg(long, value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// Connect with TLS, to a tls-port.
    #[arg(long, global = true)]
    tls: bool,
    /// With --tls: the authority that signed the sentinel's certificate.
    #[arg(long, value_name = "FILE", requires = "tls", global = true)]
    cacert: Option<PathBuf>,
    /// With --tls: a certificate to show, where the sentinel wants one.
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"], global = true)]
    cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert", global = true)]
    key: Option<PathBuf>,
    /// A file with the password of that key, if it has one.
    #[arg(long, value_name = "FILE", requires = "key", global = true)]
    key_pass: Option<PathBuf>,
    /// With --tls: accept any certificate, of whomever. A password that is sent may be read by anybody then.
    #[arg(long, requires = "tls", conflicts_with = "cacert", global = true)]
    insecure: bool,
}

impl Login {
    /// Whether any option was given.
    pub(crate) const fn is_given(&self) -> bool {
        self.user.is_some() || self.password_file.is_some() || self.tls
    }

    fn caller(&mut self) -> anyhow::Result<Option<Caller>> {
        if !self.tls {
            return Ok(None);
        }
        let pass = self.key_pass.take().map(|path| {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read the password file {}", path.display()))?;
            anyhow::Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
        });
        let files = CallerFiles {
            ca: self.cacert.take(),
            own: KeyFiles {
                cert: self.cert.take(),
                key: self.key.take(),
                key_pass: pass.transpose()?,
            },
            insecure: self.insecure,
        };
        Ok(Some(Caller::load(&files)?))
    }
}

/// A sentinel to be asked.
pub(crate) struct Target {
    place: Place,
    credentials: Credentials,
    tls: Option<Caller>,
    shows_certificate: bool,
    /// What a user must be allowed to do, as ACL rules.
    rights: &'static str,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Target {
    /// Reads the files that `login` names. `rights` are those that the command needs there.
    ///
    /// # Errors
    /// If a file cannot be used, or options exclude each other.
    pub(crate) fn new(place: Place, mut login: Login, rights: &'static str) -> anyhow::Result<Self> {
        if login.tls && matches!(place, Place::Unix(_)) {
            bail!("there is no TLS on a unix socket: leave out --tls");
        }
        let shows_certificate = login.cert.is_some();
        let tls = login.caller()?;
        Ok(Self {
            place,
            credentials: Credentials::from_file_or_environment(login.user, login.password_file)?,
            tls,
            shows_certificate,
            rights,
        })
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) const fn tls(&self) -> Option<&Caller> {
        self.tls.as_ref()
    }

    /// From now on the same is asked of another one.
    pub(crate) fn go_to(&mut self, at: HostPort) {
        self.place = Place::Tcp(at);
    }

    /// Connects and logs in.
    pub(crate) async fn connect(&self, limits: Limits) -> RedisResult<MultiplexedConnection> {
        match (&self.place, &self.tls) {
            (Place::Unix(path), _) => connect::connect_unix(path, &self.credentials, limits).await,
            (Place::Tcp(at), None) => connect::connect(at, &self.credentials, limits).await,
            (Place::Tcp(at), Some(tls)) => connect_secure(at, &self.credentials, tls, limits).await,
        }
    }

    /// What an error of the sentinel means to the person who asked, with what to do about it.
    pub(crate) async fn explain(&self, error: &RedisError) -> String {
        let at = &self.place;
        if error.is_connection_refusal() {
            return format!("nothing listens at {at}: is the sentinel running, is --sentinel right?");
        }
        if error.is_timeout() {
            return format!("no answer from {at} in time: is it reachable from here, is it hanging?");
        }
        if let Some(said) = self.explain_refusal(error) {
            return said;
        }
        let text = error.to_string();
        if self.tls.is_some() {
            let advice = match () {
                () if text.contains("does not speak TLS") => "; leave out --tls",
                () if text.contains("CertificateRequired") => {
                    "; it wants a certificate: --cert FILE --key FILE"
                }
                // It hangs up right behind its refusal, which may be lost then.
                () if !self.shows_certificate && error.is_connection_dropped() => {
                    "; perhaps it wants a certificate: --cert FILE --key FILE"
                }
                () if text.contains("UnknownIssuer") => "; --cacert must name the authority that signed it",
                () => "",
            };
            return format!("{at} cannot be asked: {text}{advice}");
        }
        if let Place::Tcp(at) = at
            && speaks_tls(at).await
        {
            return format!("{at} cannot be asked: this port speaks TLS: use --tls, with --cacert FILE");
        }
        format!("{at} cannot be asked: {text}")
    }

    /// What an answer of the sentinel means by which it refuses.
    pub(crate) fn explain_refusal(&self, error: &RedisError) -> Option<String> {
        let at = &self.place;
        // Of several questions in one write, the first that was refused.
        let refused = error.clone().into_server_errors();
        let refused = refused.as_ref().and_then(|errors| errors.first());
        let (code, text) = match refused {
            Some((_, refused)) => (Some(refused.code()), refused.details()),
            None => (error.code(), error.detail()),
        };
        let text = text.unwrap_or_default();
        match code {
            Some("NOAUTH") => Some(format!(
                "{at} wants a password: --password-file FILE or {} in the environment",
                Credentials::PASSWORD_VARIABLE
            )),
            Some("WRONGPASS") => Some(format!("{at} does not accept the user or password")),
            Some("NOPERM") => Some(format!(
                "{at} does not let this user ask: {}; it needs the rights {}",
                if text.is_empty() { "NOPERM" } else { text },
                self.rights
            )),
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                Some(format!("{at} does not accept the user or password"))
            }
            _ if text.contains("unknown command") => Some(format!(
                "{at} is a data server, not a sentinel: sentinels usually listen on port 26379"
            )),
            _ => None,
        }
    }
}

/// Connects to `at` with TLS, and logs in.
pub(crate) async fn connect_secure(
    at: &HostPort,
    credentials: &Credentials,
    tls: &Caller,
    limits: Limits,
) -> RedisResult<MultiplexedConnection> {
    let settings = connect::settings(at, credentials)?;
    let secure = async {
        let tcp = TcpStream::connect((at.host.as_str(), at.port)).await?;
        tcp.set_nodelay(true)?;
        tls.secure(tcp, &at.host).await
    };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(limits.connect, secure).await.map_err(late)??;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(limits.answer));
    let login = MultiplexedConnection::new_with_config(settings.redis_settings(), stream, config);
    let (connection, driver) = timeout(limits.answer, login).await.map_err(late)??;
    // It ends with the connection.
    tokio::spawn(driver);
    Ok(connection)
}

/// Whether what is at `at` takes part in a handshake, if only to refuse us.
async fn speaks_tls(at: &HostPort) -> bool {
    let anybody = CallerFiles {
        insecure: true,
        ..CallerFiles::default()
    };
    let Ok(caller) = Caller::load(&anybody) else {
        return false;
    };
    let look = async {
        let tcp = TcpStream::connect((at.host.as_str(), at.port)).await?;
        caller.secure(tcp, &at.host).await
    };
    match timeout(LOOK, look).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.to_string().starts_with("the other side refuses"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_people_type_them() {
        let parse = |text: &str| text.parse::<Place>().map(|place| place.to_string());
        assert_eq!(parse("db-1:26379"), Ok("db-1:26379".to_owned()));
        assert_eq!(parse("unix:run/s.sock"), Ok("unix:run/s.sock".to_owned()));
        assert_eq!(parse("/run/s.sock"), Ok("unix:/run/s.sock".to_owned()));
        assert!(parse("unix:").is_err());
        assert!(parse("db-1").is_err());
    }
}
