//! A line to a port of this machine on which bytes take their time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::port::Port;

/// How much goes on at once: what is behind it waits for no longer than this takes.
const PIECE: usize = 4 * 1024;
/// How often the line looks whether it is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A port whose connections lead to another one. The line ends when this is dropped.
pub struct SlowLine {
    port: Port,
    passed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl SlowLine {
    /// Leads to `port`, with so many bytes a second in each direction of each connection.
    ///
    /// # Errors
    /// When there is no port.
    pub fn to(port: u16, bytes_per_second: u32) -> Result<Self> {
        let own = Port::reserve()?;
        let listener = TcpListener::bind(("127.0.0.1", own.number())).context("listening for a slow line")?;
        listener.set_nonblocking(true)?;
        let line = Self {
            port: own,
            passed: Arc::default(),
            stop: Arc::default(),
        };
        let (passed, stop) = (Arc::clone(&line.passed), Arc::clone(&line.stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((near, _)) = listener.accept() else {
                    thread::sleep(LOOK_AGAIN);
                    continue;
                };
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                // Dropping both ends them if they cannot be had twice.
                let (Ok(near_out), Ok(far_out)) = (near.try_clone(), far.try_clone()) else {
                    continue;
                };
                for (from, to) in [(near, far_out), (far, near_out)] {
                    let (passed, stop) = (Arc::clone(&passed), Arc::clone(&stop));
                    thread::spawn(move || pass(from, to, bytes_per_second, &passed, &stop));
                }
            }
        });
        Ok(line)
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// How many bytes have passed, both ways.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, rate: u32, passed: &AtomicU64, stop: &AtomicBool) {
    let mut piece = [0; PIECE];
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(LOOK_AGAIN));
    let _ = to.set_nodelay(true);
    while !stop.load(Ordering::Relaxed) {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        // This is what makes it slow; nobody waits here for anything to happen.
        thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate)));
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
