//! A listener with a driver that answers by script, and a client that sees every byte.
//!
//! Every read has a deadline, and a failure shows both sides with their line ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_conf::CommandNames;
use bellwether_core::{AddressBook, Answer, GroupName, Request, Secret};
use bellwether_server::{Access, Clock, Context, Handle, Hub, Identity, Limits, NoTelemetry, Runner, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far longer than any answer takes, short of a test that hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Fixture {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    pub(crate) scripts: Runner,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) password: Option<&'static str>,
    /// Users, in place of a password.
    pub(crate) access: Option<Access>,
    pub(crate) command_names: CommandNames,
    pub(crate) limits: Limits,
    /// What the driver answers.
    pub(crate) answer: fn(&Request) -> Answer,
    /// How many questions the driver gathers before it answers them, as it does while the disk is busy.
    pub(crate) gathers: usize,
    pub(crate) addresses: Vec<(&'static str, &'static str, u16)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            password: None,
            access: None,
            command_names: CommandNames::default(),
            limits: Limits::default(),
            answer: |_| Answer::Ok,
            gathers: 1,
            addresses: Vec::new(),
        }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> Fixture {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let (handle, mut end) = Handle::new(Clock::start(), stop.clone());
        let book: AddressBook = self
            .addresses
            .into_iter()
            .map(|(name, host, port)| (GroupName::new(name).expect("a name"), (host.to_owned(), port)))
            .collect();
        end.publish(Arc::new(book));
        tokio::spawn(async move {
            let mut gathered = Vec::new();
            while let Some(ask) = end.asks.recv().await {
                gathered.push(ask);
                if gathered.len() < self.gathers {
                    continue;
                }
                for ask in gathered.drain(..) {
                    // A client that left does not wait for its answer.
                    let _ = ask.answer.send((self.answer)(&ask.request));
                }
            }
        });
        let hub = Hub::new();
        let scripts = Runner::default();
        let context = Context {
            handle,
            hub: Arc::clone(&hub),
            access: self
                .access
                .unwrap_or_else(|| Access::new(self.password.map(Secret::new))),
            command_names: self.command_names,
            limits: self.limits,
            identity: Identity {
                version: "0.0.1".to_owned(),
                run_id: "f".repeat(40),
                port: addr.port(),
                listeners: vec![("tcp", addr.into())],
                supervised: "no",
                config_file: "/etc/sentinel.conf".to_owned(),
                executable: "/usr/bin/bellwether".to_owned(),
            },
            telemetry: Arc::new(NoTelemetry),
            scripts: scripts.clone(),
        };
        let served = tokio::spawn(serve(vec![listener.into()], context, stop.clone()));
        Fixture {
            addr,
            hub,
            scripts,
            stop,
            served,
        }
    }
}

impl Fixture {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(addr).await.expect("a connection"),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Sends one line and wants exactly these bytes back.
    #[track_caller]
    pub(crate) fn check<'a>(
        &'a mut self,
        line: &'a str,
        expected: &'a str,
    ) -> impl Future<Output = ()> + use<'a> {
        let caller = std::panic::Location::caller();
        async move {
            self.send(format!("{line}\r\n")).await;
            let got = self.read_up_to(expected.len()).await;
            assert_eq!(
                got.escape_ascii().to_string(),
                expected.as_bytes().escape_ascii().to_string(),
                "reply to {line:?} at {caller}"
            );
        }
    }

    /// Wants exactly these bytes.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, expected: &'a str) -> impl Future<Output = ()> + use<'a> {
        let caller = std::panic::Location::caller();
        async move {
            let got = self.read_up_to(expected.len()).await;
            assert_eq!(
                got.escape_ascii().to_string(),
                expected.as_bytes().escape_ascii().to_string(),
                "at {caller}"
            );
        }
    }

    /// Wants the end of the connection, and nothing before it.
    pub(crate) async fn expect_end(&mut self) {
        let rest = self.read_to_end().await;
        assert_eq!(rest.escape_ascii().to_string(), "");
    }

    /// Reads so many bytes, fewer if the connection ends or nothing comes.
    pub(crate) async fn read_up_to(&mut self, count: usize) -> Vec<u8> {
        let mut got = Vec::new();
        let mut chunk = vec![0; count.max(1)];
        while got.len() < count {
            let room = &mut chunk[..count - got.len()];
            match tokio::time::timeout(DEADLINE, self.stream.read(room)).await {
                Ok(Ok(0) | Err(_)) | Err(_) => break,
                Ok(Ok(n)) => got.extend_from_slice(&chunk[..n]),
            }
        }
        got
    }

    /// Reads until `end` is seen.
    pub(crate) async fn read_until(&mut self, end: &str) -> Vec<u8> {
        let mut got = Vec::new();
        let mut chunk = vec![0; 4096];
        while !got.ends_with(end.as_bytes()) {
            match tokio::time::timeout(DEADLINE, self.stream.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(n)) => got.extend_from_slice(&chunk[..n]),
                Err(_) => panic!("no {end:?} in {}", got.escape_ascii()),
            }
        }
        got
    }

    /// Reads until the connection ends, in whatever way.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        let read = tokio::time::timeout(DEADLINE, self.stream.read_to_end(&mut got)).await;
        assert!(
            read.is_ok(),
            "the connection did not end; it gave {}",
            got.escape_ascii()
        );
        got
    }
}

/// A bulk string.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
