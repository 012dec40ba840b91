//! A real `redis-server` for one test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running server; killed on drop.
pub(super) struct Server {
    child: Child,
    pub(super) addr: SocketAddr,
    directories: Vec<tempfile::TempDir>,
}

impl Server {
    /// Starts one on a free port, with these further options.
    pub(super) fn start(options: &[&str]) -> Self {
        Self::run(&["--save", ""], options)
    }

    /// Starts it as a sentinel, which needs a file of its own.
    pub(super) fn start_sentinel(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, "").expect("written");
        let mut server = Self::run(&[&file.to_string_lossy(), "--sentinel"], options);
        server.directories.push(directory);
        server
    }

    fn run(first: &[&str], options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // The port may be taken between finding and using it; then the next one is tried.
        for _ in 0..10 {
            let addr = free_address();
            let mut child = Command::new("redis-server")
                .args(first)
                .args(["--port", &addr.port().to_string(), "--bind", "127.0.0.1"])
                .args(["--dir", &directory.path().to_string_lossy()])
                .args(options)
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server must be installed for this test (Debian: redis-server)");
            if listens(&mut child, addr) {
                return Self {
                    child,
                    addr,
                    directories: vec![directory],
                };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("redis-server {options:?} does not start");
    }

    /// Sends one line and gives what comes back first.
    pub(super) fn order(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).expect("the server listens");
        stream.write_all(format!("{line}\r\n").as_bytes()).expect("sent");
        let mut answer = [0; 16 * 1024];
        let length = stream.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(child: &mut Child, addr: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        if TcpStream::connect(addr).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// An address below the range from which the kernel takes ports for outgoing connections. Tests that run at
/// the same time begin at different places.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (std::process::id() * 17 + step) % 15_000;
        let port = u16::try_from(port).expect("below 30,000");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("an address");
        }
    }
}
