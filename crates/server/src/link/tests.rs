//! Links against real servers, and against sockets that say what a test tells them to.

mod misbehaving;
mod real;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::{
    Command, Credentials, GroupName, Host, Input, LinkId, LinkKind, Pong, Reply, RequestId, Secret,
    SentinelId,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::*;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The links of one coordinator and what they report.
struct Bench {
    links: Links,
    reports: mpsc::Receiver<Arrived>,
    last_link: u64,
    last_request: u64,
}

impl Bench {
    fn new() -> Self {
        let (reporter, reports) = mpsc::channel(64);
        let settings = LinkSettings {
            label: "01234567".to_owned(),
            source: None,
            tls: None,
        };
        Self {
            links: Links::new(settings, Clock::start(), reporter, TaskTracker::new()),
            reports,
            last_link: 0,
            last_request: 0,
        }
    }

    fn connect(&mut self, to: SocketAddr, credentials: Option<Credentials>) -> LinkId {
        let group = GroupName::new("m").expect("a name");
        let host = Host::Ip(to.ip());
        self.connect_as(
            to,
            LinkKind::Instance {
                group,
                host,
                credentials,
                renamed: BTreeMap::new(),
            },
        )
    }

    fn connect_peer(&mut self, to: SocketAddr, credentials: Option<Credentials>) -> LinkId {
        let id = SentinelId::new("peer").expect("an id");
        let host = Host::Ip(to.ip());
        self.connect_as(
            to,
            LinkKind::Peer {
                id,
                host,
                credentials,
            },
        )
    }

    fn connect_as(&mut self, to: SocketAddr, kind: LinkKind) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.links.connect(link, to, kind);
        link
    }

    fn send(&mut self, link: LinkId, command: Command) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.links
            .send(link, vec![(request, command)], None)
            .expect("the link takes it");
        request
    }

    /// The next report.
    async fn next(&mut self) -> Input {
        let report = timeout(PATIENCE, self.reports.recv()).await;
        report.expect("a report in time").expect("links report").1
    }

    /// The next report that is no hello: those come when they come.
    async fn next_but_hello(&mut self) -> Input {
        loop {
            match self.next().await {
                Input::Hello { .. } => {}
                other => return other,
            }
        }
    }

    async fn up(&mut self, link: LinkId) {
        match self.next_but_hello().await {
            Input::LinkUp { link: up, local } if up == link => assert!(local.is_loopback()),
            other => panic!("instead of LinkUp: {other:?}"),
        }
    }

    async fn down(&mut self, link: LinkId) -> String {
        match self.next_but_hello().await {
            Input::LinkDown { link: down, reason } if down == link => reason,
            other => panic!("instead of LinkDown: {other:?}"),
        }
    }

    async fn reply(&mut self, link: LinkId, request: RequestId) -> Reply {
        match self.next_but_hello().await {
            Input::Reply {
                link: l,
                request: r,
                reply,
            } if (l, r) == (link, request) => reply,
            other => panic!("instead of the reply to {request:?}: {other:?}"),
        }
    }

    async fn ask(&mut self, link: LinkId, command: Command) -> Reply {
        let request = self.send(link, command);
        self.reply(link, request).await
    }

    /// Publishes hellos until one comes back: the subscription stands some time after the link.
    async fn hear_own_hello(&mut self, link: LinkId, message: &str) {
        let hello = || Command::Hello {
            message: message.to_owned(),
        };
        let heard = async {
            self.send(link, hello());
            loop {
                match self.next().await {
                    Input::Hello {
                        link: from,
                        message: heard,
                    } if from == link && heard == message => return,
                    Input::Reply {
                        reply: Reply::Done, ..
                    } => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        self.send(link, hello());
                    }
                    Input::Hello { .. } => {}
                    other => panic!("while waiting for a hello: {other:?}"),
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("a hello in time");
    }
}

fn password(user: Option<&str>, password: &str) -> Option<Credentials> {
    Some(Credentials {
        user: user.map(str::to_owned),
        password: Secret::new(password),
    })
}

const fn pong() -> Reply {
    Reply::Ping(Pong::Pong)
}
