//! A client of redis-rs, by its own Sentinel support. See `clients/loop.py` for what it takes, does and prints.

#![allow(clippy::print_stdout, reason = "what it prints is its purpose")]

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, Result};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Commands, Connection, ConnectionAddr, RedisResult};

const TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "--version") {
        println!("{}", library_version());
        return Ok(());
    }
    let [addresses, group, key] = arguments.as_slice() else {
        anyhow::bail!("usage: redis-rs-client HOST:PORT,HOST:PORT... GROUP KEY");
    };
    let mut client = Client {
        primary: sentinel_client(addresses, group, SentinelServerType::Master)?,
        replica: sentinel_client(addresses, group, SentinelServerType::Replica)?,
        connection: None,
        key: key.clone(),
    };
    let orders = Orders::gather();
    let mut number = 1_u64;
    while !orders.ended.load(Ordering::Acquire) {
        match client.round(number, &orders) {
            Ok(()) => {
                number += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => {
                println!("fail {error}");
                // The connection may lead to a server that is no primary any more.
                client.connection = None;
                thread::sleep(PAUSE_AFTER_FAILURE);
            }
        }
    }
    println!("end {}", number - 1);
    Ok(())
}

/// The version in the lock file that this was built with: the library does not tell it itself.
fn library_version() -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    lock.split("name = \"redis\"\nversion = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("unknown")
}

struct Client {
    primary: SentinelClient,
    replica: SentinelClient,
    connection: Option<Connection>,
    key: String,
}

impl Client {
    fn round(&mut self, number: u64, orders: &Orders) -> RedisResult<()> {
        if self.connection.is_none() {
            self.connection = Some(bounded(self.primary.get_connection()?)?);
        }
        if let Some(connection) = &mut self.connection {
            let () = connection.set(&self.key, number)?;
            let _: Option<u64> = connection.get(&self.key)?;
        }
        println!("ack {number}");
        if orders.replica_reads.load(Ordering::Acquire) > 0 {
            let value: Option<u64> = bounded(self.replica.get_connection()?)?.get(&self.key)?;
            if value.is_some() {
                orders.replica_reads.fetch_sub(1, Ordering::AcqRel);
                println!("replica ok");
            }
        }
        Ok(())
    }
}

fn bounded(connection: Connection) -> RedisResult<Connection> {
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

fn sentinel_client(addresses: &str, group: &str, wanted: SentinelServerType) -> Result<SentinelClient> {
    let addresses = addresses.split(',').map(|address| {
        let (host, port) = address.rsplit_once(':').context("a port is missing")?;
        Ok(ConnectionAddr::Tcp(host.to_owned(), port.parse()?))
    });
    let mut builder = SentinelClientBuilder::new(addresses.collect::<Result<Vec<_>>>()?, group, wanted)?;
    if let Ok(password) = env::var("CLIENT_SERVER_PASSWORD") {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Ok(password) = env::var("CLIENT_SENTINEL_PASSWORD") {
        builder = builder.set_client_to_sentinel_password(password);
    }
    Ok(builder.build()?)
}

/// What standard input has asked for, gathered by a thread.
#[derive(Clone, Default)]
struct Orders {
    ended: Arc<AtomicBool>,
    replica_reads: Arc<AtomicUsize>,
}

impl Orders {
    fn gather() -> Self {
        let orders = Self::default();
        let gathered = orders.clone();
        thread::spawn(move || {
            for _ in io::stdin().lock().lines().map_while(Result::ok) {
                gathered.replica_reads.fetch_add(1, Ordering::AcqRel);
            }
            gathered.ended.store(true, Ordering::Release);
        });
        orders
    }
}
