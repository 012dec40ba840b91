//! Who started this process and waits to hear that it serves (`supervised`).
//!
//! Owns the messages to systemd and the stop for upstart. None of them is ever waited for: a supervisor that does not
//! listen changes nothing for those who are served.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use bellwether_conf::Supervised;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Where systemd tells its address.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// How soon systemd is told again that clients are served. It waits for 90 seconds by default, and a queue is read within
/// milliseconds once it is read at all.
const READY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What upstart sets for those that it starts.
const UPSTART_JOB: &str = "UPSTART_JOB";

/// The one who started this process.
#[derive(Debug, Default)]
pub enum Supervisor {
    /// Nobody who waits for anything.
    #[default]
    None,
    /// systemd, which is told how far we are.
    Systemd(Systemd),
    /// upstart, which waits until the process stops itself.
    Upstart,
}

/// The way to systemd.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    address: SocketAddr,
    /// `READY=1` found a full queue.
    owes_ready: Notify,
}

impl Supervisor {
    /// Finds the supervisor that the configuration speaks of. As Sentinel, one that is not there is spoken of in the log and
    /// nothing worse.
    #[must_use]
    pub fn find(wanted: Supervised) -> Self {
        let is_upstart = env::var_os(UPSTART_JOB).is_some();
        let address = env::var_os(NOTIFY_SOCKET);
        match wanted {
            Supervised::No => Self::None,
            Supervised::Auto if is_upstart => Self::Upstart,
            Supervised::Auto => address.map_or(Self::None, |address| Self::systemd(&address)),
            Supervised::Upstart if is_upstart => Self::Upstart,
            Supervised::Upstart => {
                warn!("upstart supervision requested, but UPSTART_JOB not found");
                Self::None
            }
            Supervised::Systemd => match address {
                Some(address) => Self::systemd(&address),
                None => {
                    warn!("systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found");
                    Self::None
                }
            },
        }
    }

    /// Whether somebody watches this process.
    #[must_use]
    pub fn is_there(wanted: Supervised) -> bool {
        let upstart = env::var_os(UPSTART_JOB).is_some();
        let systemd = env::var_os(NOTIFY_SOCKET).is_some();
        match wanted {
            Supervised::No => false,
            Supervised::Systemd => systemd,
            Supervised::Upstart => upstart,
            Supervised::Auto => systemd || upstart,
        }
    }

    fn systemd(address: &OsStr) -> Self {
        match Systemd::at(address) {
            Ok(systemd) => Self::Systemd(systemd),
            Err(error) => {
                warn!("cannot reach systemd by {}: {error}", address.display());
                Self::None
            }
        }
    }

    /// Its name, as `INFO` shows it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Systemd(_) => "systemd",
            Self::Upstart => "upstart",
        }
    }

    /// Clients are served from now on; `status` says so in words.
    pub(crate) fn ready(&self, status: &str) {
        match self {
            Self::None => {}
            Self::Systemd(systemd) => systemd.tell_ready(status),
            Self::Upstart => {
                info!("supervised by upstart, will stop to signal readiness");
                if let Err(error) =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)
                {
                    warn!("cannot stop for upstart: {error}");
                }
            }
        }
    }

    /// Tells systemd again that clients are served, where its queue was full: it would wait for that and then end the process.
    /// Runs until the daemon stops.
    pub(crate) async fn insist(&self, status: &str, shutdown: &CancellationToken) {
        let Self::Systemd(systemd) = self else { return };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = systemd.owes_ready.notified() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(READY_AGAIN_AFTER) => systemd.tell_ready(status),
            }
        }
    }

    /// Files are being read anew; [`ready`](Self::ready) follows when that is done.
    pub(crate) fn reloading(&self) {
        if let Self::Systemd(systemd) = self {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let now = Duration::try_from(now).unwrap_or_default();
            // systemd compares the time with that of its own order to reload.
            systemd.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", now.as_micros()));
        }
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        if let Self::Systemd(systemd) = self {
            systemd.tell("STOPPING=1\nSTATUS=Stopping\n");
        }
    }
}

impl Systemd {
    fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            // A name in the abstract space, which has no file.
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this kind of address is not known",
                ));
            }
        };
        let socket = UnixDatagram::unbound()?;
        // Messages are few, and systemd reads them; were its queue full, we should not wait for that.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            address,
            owes_ready: Notify::new(),
        })
    }

    fn tell_ready(&self, status: &str) {
        match self.send(&format!("READY=1\nSTATUS={status}\n")) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                debug!("systemd has a full queue: it is told again that clients are served");
                self.owes_ready.notify_one();
            }
            told => warn_unless_told(told),
        }
    }

    fn tell(&self, message: &str) {
        warn_unless_told(self.send(message));
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.socket
            .send_to_addr(message.as_bytes(), &self.address)
            .map(drop)
    }
}

fn warn_unless_told(told: io::Result<()>) {
    if let Err(error) = told {
        warn!("systemd was not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listener: &UnixDatagram, address: &OsStr) -> Vec<String> {
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        let supervisor = Supervisor::systemd(address);
        assert_eq!(supervisor.name(), "systemd");
        supervisor.ready("Serving");
        supervisor.reloading();
        supervisor.stopping();
        let receive = |_| {
            let mut message = [0; 512];
            let len = listener.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..len]).into_owned()
        };
        (0..3).map(receive).collect()
    }

    fn check(messages: &[String]) {
        assert_eq!(messages[0], "READY=1\nSTATUS=Serving\n");
        let time = messages[1]
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .expect(&messages[1]);
        assert!(
            time.trim().parse::<u64>().is_ok_and(|micros| micros > 0),
            "{time}"
        );
        assert_eq!(messages[2], "STOPPING=1\nSTATUS=Stopping\n");
    }

    #[test]
    fn systemd_is_told_by_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        check(&told(&listener, path.as_os_str()));
        // Whoever does not listen any more is no trouble.
        drop(listener);
        Supervisor::systemd(path.as_os_str()).ready("Serving");
    }

    #[test]
    fn systemd_is_told_by_an_abstract_name() {
        let name = format!("bellwether-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&address).expect("a socket");
        check(&told(&listener, OsStr::new(&format!("@{name}"))));
    }

    #[tokio::test]
    async fn a_full_queue_is_told_again_of_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let other = UnixDatagram::unbound().expect("a socket");
        other.set_nonblocking(true).expect("it does not wait");
        while other.send_to(b"busy", &path).is_ok() {}
        let supervisor = Supervisor::systemd(path.as_os_str());
        let shutdown = CancellationToken::new();
        supervisor.ready("Serving");
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        let reader = tokio::task::spawn_blocking(move || {
            loop {
                let mut message = [0; 512];
                let len = listener.recv(&mut message).expect("a message");
                if &message[..len] != b"busy" {
                    return String::from_utf8_lossy(&message[..len]).into_owned();
                }
            }
        });
        let insisted = supervisor.insist("Serving", &shutdown);
        let ended = async {
            let message = reader.await.expect("a message");
            shutdown.cancel();
            message
        };
        let ((), message) = tokio::join!(insisted, ended);
        assert_eq!(message, "READY=1\nSTATUS=Serving\n");
    }

    #[test]
    fn an_address_of_another_kind_is_none() {
        assert_eq!(Supervisor::systemd(OsStr::new("vsock:2:1")).name(), "no");
        assert_eq!(Supervisor::find(Supervised::No).name(), "no");
    }
}
