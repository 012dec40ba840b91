//! One client's connection: bytes in, commands, bytes out, and what is pushed to it meanwhile.

use std::{net::SocketAddr, sync::Arc};

use bellwether_resp::{Protocol, Request, RequestDecoder, RequestLimits};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::state::{ClientId, Shared};

/// A demo's requests have some hundred bytes.
const MAX_REQUEST_BYTES: u32 = 64 * 1024;

/// One connection's own state.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ClientId,
    pub(super) protocol: Protocol,
    /// Commands since MULTI.
    pub(super) queued: Option<Vec<Request>>,
}

/// Serves a client until it leaves, breaks the protocol, or is killed.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr) {
    let (id, mut pushes, end) = shared.lock().connect(peer);
    let mut session = Session {
        shared: Arc::clone(&shared),
        id,
        protocol: Protocol::Resp2,
        queued: None,
    };
    let mut decoder = RequestDecoder::new(RequestLimits {
        max_request_bytes: MAX_REQUEST_BYTES,
        ..RequestLimits::default()
    });
    decoder.set_authenticated(true);
    // Without it answers may wait for an acknowledgement; with an error here the connection is lost anyway.
    let _ = stream.set_nodelay(true);
    let mut input = BytesMut::new();
    loop {
        let mut output = BytesMut::new();
        let open = tokio::select! {
            () = end.cancelled() => break,
            Some(pushed) = pushes.recv() => { output.extend_from_slice(&pushed); true }
            read = stream.read_buf(&mut input) => {
                read.is_ok_and(|read| read > 0) && session.answer(&mut decoder, &mut input, &mut output)
            }
        };
        let written = tokio::select! {
            () = end.cancelled() => break,
            written = stream.write_all(&output) => written,
        };
        if !open || written.is_err() {
            break;
        }
    }
    shared.lock().clients.remove(&id);
}

impl Session {
    /// Answers every complete request of `input`. `false` if the connection is to be closed.
    fn answer(&mut self, decoder: &mut RequestDecoder, input: &mut BytesMut, output: &mut BytesMut) -> bool {
        loop {
            match decoder.decode(input) {
                Ok(Some(request)) => {
                    for value in self.handle(&request) {
                        value.encode(self.protocol, output);
                    }
                }
                Ok(None) => return true,
                Err(error) => {
                    if let Some(text) = error.reply_text() {
                        bellwether_resp::Value::error(text).encode(self.protocol, output);
                    }
                    return false;
                }
            }
        }
    }
}
