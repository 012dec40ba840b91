//! A real `redis-sentinel` to compare with. That all commands answer the same is shown by the tests of the whole
//! daemon; here are only comparisons that need a view from within.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::support::{Client, DEADLINE};

/// Makes equal what differs by nature: the claimed version and the numbers of connections.
pub(crate) fn level(replies: String) -> String {
    let replies = replies.replace(r"$6\r\n7.0.15", r"$5\r\n7.2.6");
    match replies.split_once(r"$2\r\nid\r\n:") {
        None => replies,
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}$2\\r\\nid\\r\\n:<id>{rest}")
        }
    }
}

/// One request and its reply, with numbers of connections and versions made equal.
pub(crate) async fn exchange(client: &mut Client, request: &str) -> String {
    const MARK: &str = "ERR unknown command 'MARK', with args beginning with: \r\n";
    client.send(format!("{request}\r\nMARK\r\n")).await;
    let reply = client.read_until(MARK).await;
    level(reply.escape_ascii().to_string())
}

pub(crate) struct Reference {
    pub(crate) addr: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Reference {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With further lines of configuration.
    pub(crate) async fn start_with(lines: &str) -> Self {
        let port = free_port().await;
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("sentinel.conf");
        std::fs::write(&config, format!("port {port}\nbind 127.0.0.1\n{lines}")).expect("a file");
        let child = Command::new("redis-sentinel")
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-sentinel (Debian package redis-sentinel) is installed");
        let started = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
            _dir: dir,
        };
        let up = async {
            while TcpStream::connect(started.addr).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, up)
            .await
            .expect("redis-sentinel listens");
        started
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port below the range from which the kernel gives ports to connections, so that none takes it before the
/// server has bound it.
async fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    for port in start..32_000 {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
