//! One-shot commands to a server or coordinator, with short deadlines.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Client, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};

const LOOPBACK: &str = "127.0.0.1";
/// Loopback connects at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Longer than any reply of a healthy process, short enough to notice a hung one.
const REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Connects with the usual deadlines, without a password.
///
/// # Errors
/// When nobody listens there, or it does not answer in time.
pub fn connect(port: u16) -> Result<Connection> {
    connect_with(port, None)
}

/// Connects with the usual deadlines and a password if there is one.
///
/// # Errors
/// When nobody listens there, it does not answer in time, or not to this password.
pub fn connect_with(port: u16, password: Option<&str>) -> Result<Connection> {
    bounded(connect_unbounded(port, password)?)
}

fn bounded(connection: Connection) -> Result<Connection> {
    connection.set_read_timeout(Some(REPLY_LIMIT))?;
    connection.set_write_timeout(Some(REPLY_LIMIT))?;
    Ok(connection)
}

/// Connects without a deadline on replies, for subscriptions.
///
/// # Errors
/// When nobody listens there, or not to this password.
pub fn connect_unbounded(port: u16, password: Option<&str>) -> Result<Connection> {
    connect_unbounded_at(LOOPBACK, port, password)
}

/// The same with a process at another address.
///
/// # Errors
/// When nobody listens there, or not to this password.
pub fn connect_unbounded_at(host: &str, port: u16, password: Option<&str>) -> Result<Connection> {
    // A library name is of no use here, and older sentinels refuse to hear it.
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let info = ConnectionAddr::Tcp(host.to_owned(), port)
        .into_connection_info()?
        .set_redis_settings(settings);
    Client::open(info)?
        .get_connection_with_timeout(CONNECT_LIMIT)
        .with_context(|| format!("connecting to {host} port {port}"))
}

/// Sends one command on a connection of its own and converts the reply.
///
/// # Errors
/// When the connection fails or the reply is an error or of another shape.
pub fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> Result<T> {
    ask_with(port, None, words)
}

/// The same with a password if there is one.
///
/// # Errors
/// As [`ask`], and when the password is refused.
pub fn ask_with<T: FromRedisValue>(port: u16, password: Option<&str>, words: &[&str]) -> Result<T> {
    ask_on(&mut connect_with(port, password)?, words).with_context(|| format!("asking port {port}"))
}

/// Sends one command to a process at another address, on a connection of its own, and converts the reply.
///
/// # Errors
/// When the connection fails or the reply is an error or of another shape.
pub fn ask_at<T: FromRedisValue>(host: &str, port: u16, words: &[&str]) -> Result<T> {
    ask_on(&mut connect_at(host, port)?, words).with_context(|| format!("asking {host} port {port}"))
}

/// Connects to a process at another address, with the usual deadlines and without a password.
///
/// # Errors
/// When nobody listens there, or it does not answer in time.
pub fn connect_at(host: &str, port: u16) -> Result<Connection> {
    bounded(connect_unbounded_at(host, port, None)?)
}

/// The password that config lines demand of clients.
pub(crate) fn password_in(lines: &[String]) -> Option<String> {
    lines
        .iter()
        .find_map(|line| line.strip_prefix("requirepass "))
        .map(str::to_owned)
}

/// Sends one command on an open connection and converts the reply.
///
/// # Errors
/// When the connection fails or the reply is an error or of another shape.
pub fn ask_on<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> Result<T> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(connection).with_context(|| words.join(" "))
}
