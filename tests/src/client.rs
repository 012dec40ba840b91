//! One-shot commands to a server or coordinator on loopback, with short deadlines.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Client, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};

/// Loopback connects at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Longer than any reply of a healthy process, short enough to notice a hung one.
const REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Connects with the usual deadlines.
///
/// # Errors
/// When nobody listens there, or it does not answer in time.
pub fn connect(port: u16) -> Result<Connection> {
    let connection = connect_unbounded(port)?;
    connection.set_read_timeout(Some(REPLY_LIMIT))?;
    connection.set_write_timeout(Some(REPLY_LIMIT))?;
    Ok(connection)
}

/// Connects without a deadline on replies, for subscriptions.
///
/// # Errors
/// When nobody listens there.
pub fn connect_unbounded(port: u16) -> Result<Connection> {
    let info = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port)
        .into_connection_info()?
        // A library name is of no use here, and older sentinels refuse to hear it.
        .set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
    Client::open(info)?
        .get_connection_with_timeout(CONNECT_LIMIT)
        .with_context(|| format!("connecting to port {port}"))
}

/// Sends one command on a connection of its own and converts the reply.
///
/// # Errors
/// When the connection fails or the reply is an error or of another shape.
pub fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> Result<T> {
    ask_on(&mut connect(port)?, words).with_context(|| format!("asking port {port}"))
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
