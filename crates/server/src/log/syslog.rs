//! Lines for the system's log (`syslog-enabled`): the form of RFC 3164, in datagrams to a local socket.
//!
//! Owns that socket. Nothing here ever waits: while nobody listens, or who does is busy, lines are dropped and counted,
//! and the log on standard output or in a file goes on.

use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwether_conf::{SyslogFacility, SyslogOptions};
use jiff::Zoned;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::plain::Parts;

/// Where the system's log listens.
const SOCKET: &str = "/dev/log";

/// Longest datagram: what the usual listeners take as a line.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// How often a listener that is gone is looked for. A restart of it takes about so long, and each look costs a system
/// call per line.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// One event as one datagram.
pub(super) struct Format {
    ident: String,
    facility: SyslogFacility,
}

impl Format {
    pub(super) fn new(options: &SyslogOptions) -> Self {
        Self {
            ident: options.ident.clone(),
            facility: options.facility,
        }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let priority = self.facility.code() * 8 + severity(*event.metadata().level());
        let time = Zoned::now().strftime("%b %e %H:%M:%S").to_string();
        let (ident, pid) = (&self.ident, std::process::id());
        write!(writer, "<{priority}>{time} {ident}[{pid}]: {parts}")
    }
}

/// As Sentinel has its levels in the system's log.
const fn severity(level: Level) -> u8 {
    match level {
        Level::TRACE => 7,
        Level::DEBUG => 6,
        Level::INFO => 5,
        Level::WARN | Level::ERROR => 4,
    }
}

/// The way to the system's log.
#[derive(Debug)]
pub(super) struct Sender {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    last_try: Option<Instant>,
    /// Why the last try came to nothing, until that is told.
    refused: Option<io::Error>,
    lost: u64,
    /// Whether it was said that nobody listens.
    is_told: bool,
}

impl Default for Sender {
    fn default() -> Self {
        Self::to(SOCKET.into())
    }
}

impl Sender {
    fn to(path: PathBuf) -> Self {
        Self {
            path,
            socket: None,
            last_try: None,
            refused: None,
            lost: 0,
            is_told: false,
        }
    }

    /// Sends a line, if somebody takes it. If nobody listens, gives what is to be said of that in the other log: once, until
    /// somebody has listened again.
    #[must_use]
    pub(super) fn send(&mut self, line: &[u8]) -> Option<String> {
        let line = line.get(..MAX_LINE_BYTES).unwrap_or(line);
        let lost = format!("<45>{} lines before this one are lost", self.lost);
        let is_sent = (self.lost == 0 || self.try_send(lost.as_bytes())) && self.try_send(line);
        self.lost = if is_sent { 0 } else { self.lost.saturating_add(1) };
        if is_sent {
            self.is_told = false;
        }
        let cause = self.refused.take().filter(|_| !self.is_told)?;
        self.is_told = true;
        Some(format!(
            "syslog-enabled: lines do not reach the system's log by {}: {cause}\n",
            self.path.display()
        ))
    }

    fn try_send(&mut self, line: &[u8]) -> bool {
        if self.socket.is_none() {
            let now = Instant::now();
            if self
                .last_try
                .is_some_and(|last| now.duration_since(last) < RETRY_EVERY)
            {
                return false;
            }
            self.last_try = Some(now);
            match self.connect() {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => self.refused = Some(error),
            }
        }
        let Some(socket) = &self.socket else {
            return false;
        };
        match socket.send(line) {
            Ok(_) => true,
            // Its queue is full: it is there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.socket = None;
                false
            }
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(listener: &UnixDatagram) -> String {
        let mut line = [0; 2 * MAX_LINE_BYTES];
        let len = listener.recv(&mut line).expect("a line");
        String::from_utf8_lossy(&line[..len]).into_owned()
    }

    #[test]
    fn lines_go_to_whoever_listens_and_the_rest_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut sender = Sender::to(path.clone());
        let notice = sender.send(b"nobody").expect("a notice");
        let name = path.display();
        let expected = format!("syslog-enabled: lines do not reach the system's log by {name}: No such file");
        assert!(
            notice.starts_with(&expected) && notice.ends_with('\n'),
            "{notice}"
        );
        sender.last_try = None;
        assert_eq!(sender.send(b"is there"), None);
        let listener = UnixDatagram::bind(&path).expect("a socket");
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        // As if the time to look again had come.
        sender.last_try = None;
        assert_eq!(sender.send(b"one"), None);
        assert_eq!(receive(&listener), "<45>2 lines before this one are lost");
        assert_eq!(receive(&listener), "one");
        assert_eq!(sender.send(&[b'x'; 3 * MAX_LINE_BYTES]), None);
        assert_eq!(receive(&listener).len(), MAX_LINE_BYTES);
        // One that was started anew is found again.
        drop(listener);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(sender.send(b"lost"), None);
        let listener = UnixDatagram::bind(&path).expect("a socket");
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        sender.last_try = None;
        assert_eq!(sender.send(b"two"), None);
        assert_eq!(receive(&listener), "<45>1 lines before this one are lost");
        assert_eq!(receive(&listener), "two");
    }

    #[test]
    fn one_that_does_not_read_holds_up_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let _deaf = UnixDatagram::bind(&path).expect("a socket");
        let mut sender = Sender::to(path);
        while sender.lost < 10 {
            assert_eq!(sender.send(&[b'x'; 1024]), None);
        }
    }

    #[test]
    fn an_event_is_one_line_of_the_system_log() {
        let sink = crate::log::plain::tests::Sink::default();
        let writer = sink.clone();
        let options = SyslogOptions {
            facility: SyslogFacility::ALL[4].1,
            ..SyslogOptions::default()
        };
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Format::new(&options));
        use tracing_subscriber::layer::SubscriberExt;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(reason = "it hangs", "+sdown master m 127.0.0.1 6379");
        });
        let line = sink.text();
        // local3 is 19, a warning 4.
        assert!(line.starts_with("<156>"), "{line}");
        let end = format!(
            " redis[{}]: +sdown master m 127.0.0.1 6379 (it hangs)",
            std::process::id()
        );
        assert!(line.ends_with(&end), "{line}");
        assert_eq!(line.len(), "<156>Nov 20 13:36:34".len() + end.len(), "{line}");
    }
}
