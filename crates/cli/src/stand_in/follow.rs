//! The replica's side: takes all data from its primary, then follows the stream, until told otherwise.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bellwether_resp::{ReplyDecoder, Value, encode_command};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::state::Shared;
use crate::{connect::HostPort, output::complain};

/// Between two attempts to reach the primary.
const RETRY: Duration = Duration::from_millis(100);

/// A primary beats once a second; one that is silent for this long is left and looked for again.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// Follows whomever it is told to follow, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut role = shared.watch_role();
    loop {
        let (generation, primary) = role.borrow_and_update().clone();
        let follow = async {
            let Some(primary) = primary else {
                return std::future::pending().await;
            };
            loop {
                let Err(error) = stream(&shared, generation, &primary).await;
                shared.lock().lost(generation);
                complain(format_args!("following {primary}: {error:#}"));
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            () = follow => {}
            changed = role.changed() => if changed.is_err() { return },
        }
    }
}

/// One connection to the primary. It ends with an error only, or by being dropped.
async fn stream(
    shared: &Shared,
    generation: u64,
    primary: &HostPort,
) -> anyhow::Result<std::convert::Infallible> {
    let connect = TcpStream::connect((primary.host.as_str(), primary.port));
    let mut socket = timeout(SILENCE_LIMIT, connect)
        .await
        .context("connecting takes too long")??;
    socket.set_nodelay(true)?;
    let own_port = shared.lock().port.to_string();
    send(&mut socket, &[SYNC, &own_port]).await?;
    let mut decoder = ReplyDecoder::default();
    let mut buffer = BytesMut::new();
    let mut loaded = false;
    loop {
        let read = timeout(SILENCE_LIMIT, socket.read_buf(&mut buffer))
            .await
            .context("the primary is silent")??;
        if read == 0 {
            bail!("the primary closed the connection");
        }
        while let Some(value) = decoder.decode(&mut buffer)? {
            let current = if loaded {
                apply(shared, generation, value)?
            } else {
                load(shared, generation, &value)?
            };
            if !current {
                bail!("the role has changed");
            }
            loaded = true;
        }
        let offset = shared.lock().offset.to_string();
        send(&mut socket, &[ACK, &offset]).await?;
    }
}

async fn send(socket: &mut TcpStream, words: &[&str]) -> anyhow::Result<()> {
    let mut bytes = BytesMut::new();
    encode_command(&mut bytes, words);
    Ok(timeout(SILENCE_LIMIT, socket.write_all(&bytes))
        .await
        .context("the primary does not read")??)
}

fn load(shared: &Shared, generation: u64, value: &Value) -> anyhow::Result<bool> {
    if let Some(error) = value.as_error() {
        bail!("the primary refuses: {error}");
    }
    let Some([id, offset, data @ ..]) = value.as_slice() else {
        bail!("an odd answer to {SYNC}")
    };
    let id = id.as_str().context("no replication id")?;
    let offset = offset
        .as_i64()
        .and_then(|offset| u64::try_from(offset).ok())
        .context("no offset")?;
    Ok(shared.lock().load(generation, id, offset, data))
}

fn apply(shared: &Shared, generation: u64, value: Value) -> anyhow::Result<bool> {
    let words: Option<Vec<Bytes>> = value
        .into_vec()
        .and_then(|words| words.iter().map(|word| word.as_bytes().cloned()).collect());
    let words = words.context("an odd command in the stream")?;
    Ok(shared.lock().apply(generation, &words))
}

/// The commands between stand-ins. No real server has them, so that one taken for a primary refuses.
pub(super) const SYNC: &str = "STAND-IN-SYNC";
pub(super) const ACK: &str = "STAND-IN-ACK";
