//! The data servers: a real one from this machine, or the built-in stand-in.

use std::{
    env,
    fmt::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use bellwether_conf::quote;
use redis::{RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value};
use tokio::process::Command;

use super::process::Process;
use crate::connect::{Credentials, HostPort, Limits, connect};

/// Loopback answers within a millisecond; a hanging server must not hold up the demo's polling.
pub(super) const LIMITS: Limits = Limits {
    connect: Duration::from_millis(300),
    answer: Duration::from_millis(500),
};

/// Names of the variable and of the programs that are looked for, in this order.
const VARIABLE: &str = "REDIS_SERVER";
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// What runs as a data server.
#[derive(Clone, Debug)]
pub(super) enum Program {
    Real { path: PathBuf, version: String },
    StandIn,
}

impl Program {
    /// The server that the environment names, or else one from `PATH`, or else the stand-in.
    pub(super) fn find() -> anyhow::Result<Self> {
        if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let version =
                version(&path).with_context(|| format!("{VARIABLE}={} does not run", path.display()))?;
            return Ok(Self::Real { path, version });
        }
        let dirs: Vec<_> = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        let candidates = PROGRAMS
            .iter()
            .flat_map(|program| dirs.iter().map(move |dir| dir.join(program)));
        let found = candidates
            .filter(|path| path.is_file())
            .find_map(|path| version(&path).ok().map(|version| Self::Real { path, version }));
        Ok(found.unwrap_or(Self::StandIn))
    }

    fn command(&self, port: u16, follows: Option<u16>, dir: &Path) -> anyhow::Result<Command> {
        match self {
            Self::Real { path, .. } => {
                let config = dir.join("server.conf");
                std::fs::write(&config, config_text(port, follows, dir))
                    .context("cannot write a server's configuration")?;
                let mut command = Command::new(path);
                command.arg(config);
                Ok(command)
            }
            Self::StandIn => {
                let mut command = Command::new(env::current_exe().context("cannot find this program")?);
                command.args(["stand-in", "--port", &port.to_string()]);
                if let Some(primary) = follows {
                    command.args(["--replicaof", &HostPort::loopback(primary).to_string()]);
                }
                Ok(command)
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real { path, version } => {
                write!(f, "{} {version}", path.file_name().unwrap_or_default().display())
            }
            Self::StandIn => f.write_str("the built-in stand-in"),
        }
    }
}

/// What `PROGRAM --version` says after `v=`; every Redis and Valkey has it.
fn version(path: &Path) -> anyhow::Result<String> {
    let output = std::process::Command::new(path).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.context("it does not tell a version")?.to_owned())
}

/// No files but a configuration, and a full sync that starts at once: a demo has no time to lose.
fn config_text(port: u16, follows: Option<u16>, dir: &Path) -> String {
    let mut text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsave \"\"\nappendonly no\n\
         repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n",
        quote(&dir.to_string_lossy())
    );
    if let Some(primary) = follows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "replicaof 127.0.0.1 {primary}");
    }
    text
}

/// One running server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) at: HostPort,
    pub(super) process: Process,
    program: Program,
}

impl Server {
    /// Starts a server that follows the one at port `follows`, or none.
    pub(super) fn start(
        program: &Program,
        port: u16,
        follows: Option<u16>,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let name = format!("server-{port}");
        let own_dir = dir.join(&name);
        std::fs::create_dir(&own_dir).context("cannot make a server's directory")?;
        let process = Process::start(&name, program.command(port, follows, &own_dir)?, dir)?;
        Ok(Self {
            at: HostPort::loopback(port),
            process,
            program: program.clone(),
        })
    }

    /// Starts it again as a primary, as the unit file of an old primary would.
    pub(super) fn restart(&mut self, dir: &Path) -> anyhow::Result<()> {
        let command = self
            .program
            .command(self.at.port, None, &dir.join(&self.process.name))?;
        self.process = Process::start(&self.process.name.clone(), command, dir)?;
        Ok(())
    }

    pub(super) async fn role(&self) -> anyhow::Result<Role> {
        let reply: Vec<Value> = cmd("ROLE").query_async(&mut open(&self.at).await?).await?;
        Role::parse(&reply)
    }
}

/// A connection to a server or coordinator of the demo.
pub(super) async fn open(at: &HostPort) -> RedisResult<MultiplexedConnection> {
    connect(at, &Credentials::default(), LIMITS).await
}

/// What a server says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    Primary,
    Replica { of: HostPort, in_sync: bool },
}

impl Role {
    fn parse(reply: &[Value]) -> anyhow::Result<Self> {
        let text = |index: usize| {
            reply
                .get(index)
                .and_then(|value| from_redis_value::<String>(value.clone()).ok())
        };
        match text(0).as_deref() {
            Some("master") => Ok(Self::Primary),
            Some("slave") => {
                let port = text(2).and_then(|port| port.parse().ok());
                let (Some(host), Some(port)) = (text(1), port) else {
                    bail!("an odd answer to ROLE: {reply:?}")
                };
                Ok(Self::Replica {
                    of: HostPort::new(host, port),
                    in_sync: text(3).as_deref() == Some("connected"),
                })
            }
            _ => bail!("an odd answer to ROLE: {reply:?}"),
        }
    }

    /// Whether it is a replica in sync with `primary`; if not, what it is.
    pub(super) fn follows(&self, primary: &HostPort) -> Result<(), String> {
        match self {
            Self::Primary => Err("is a primary".to_owned()),
            Self::Replica { of, .. } if of != primary => Err(format!("follows {of}")),
            Self::Replica { in_sync: false, .. } => Err("is not in sync yet".to_owned()),
            Self::Replica { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn roles_are_read() {
        let primary = [bulk("master"), Value::Int(42), Value::Array(Vec::new())];
        assert_eq!(Role::parse(&primary).unwrap(), Role::Primary);
        let replica = [
            bulk("slave"),
            bulk("127.0.0.1"),
            Value::Int(6379),
            bulk("connected"),
            Value::Int(7),
        ];
        let role = Role::parse(&replica).unwrap();
        assert_eq!(role.follows(&HostPort::loopback(6379)), Ok(()));
        assert_eq!(
            role.follows(&HostPort::loopback(1)),
            Err("follows 127.0.0.1:6379".to_owned())
        );
        assert!(Role::parse(&[bulk("sentinel")]).is_err());
        assert!(Role::parse(&[]).is_err());
    }

    #[test]
    fn directories_are_quoted_in_configurations() {
        let text = config_text(1, Some(2), Path::new("/tmp/a \"b\""));
        assert!(text.contains("dir \"/tmp/a \\\"b\\\"\"\n"), "{text}");
        assert!(text.ends_with("replicaof 127.0.0.1 2\n"), "{text}");
    }
}
