//! The same bytes to a real `redis-sentinel` and to us: the replies must be the same bytes.
//!
//! Only what does not depend on state. Where we differ on purpose, the case is not here but in the other files;
//! replies with versions and numbers are compared after those are made equal.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::support::{Client, DEADLINE, Setup};

/// The reply to a last `PING marked`, by which the end of the replies is seen.
const MARK: &str = "$6\r\nmarked\r\n";

/// Requests after which the connection stays open.
const OPEN: &[&str] = &[
    "PING",
    "ping x",
    "PING x y",
    "*1\r\n$4\r\nPING",
    "*2\r\n$4\r\nPING\r\n$4\r\na\r\nb",
    "*0",
    "*-1",
    "",
    "\n\nPING\n",
    "PING \"a b\\x41\\n\"",
    "PING 'it\\'s'",
    "  PING   x  ",
    "GET x",
    "get",
    "NOPE a b c",
    "*3\r\n$4\r\nNOPE\r\n$3\r\na\rb\r\n$0\r\n",
    "FOO \"a\\x00b\" c",
    "CONFIG GET *",
    "MULTI",
    "SENTINEL",
    "SENTINEL foo",
    "sentinel FOO bar",
    "SENTINEL master",
    "SENTINEL MASTERS x",
    "SENTINEL SET m",
    "SENTINEL set m quorum",
    "SENTINEL reset",
    "SENTINEL monitor a b c",
    "SENTINEL get-master-addr-by-name",
    "SENTINEL is-master-down-by-addr 1 2 3",
    "SENTINEL get-master-addr-by-name nobody",
    "CLIENT",
    "CLIENT foo",
    "CLIENT kill",
    "CLIENT getname",
    "CLIENT setname \"a b\"",
    "CLIENT setname abc\r\nCLIENT getname",
    "CLIENT kill 1.2.3.4:5",
    "CLIENT kill id 0",
    "CLIENT kill id x",
    "CLIENT kill type foo",
    "CLIENT kill user nobody",
    "CLIENT kill id 1 skipme maybe",
    "CLIENT kill foo bar",
    "CLIENT kill id 999999",
    "CLIENT list type foo",
    "CLIENT list type master",
    "CLIENT list id x",
    "CLIENT list foo",
    "CLIENT no-evict on",
    "CLIENT no-evict foo",
    "CLIENT reply foo",
    "CLIENT reply skip\r\nPING\r\nPING a",
    "CLIENT reply off\r\nPING\r\nCLIENT reply on",
    "COMMAND count",
    "CLIENT PAUSE x",
    "CLIENT PAUSE -1",
    "CLIENT PAUSE 1 foo",
    "CLIENT PAUSE 1 write x",
    "CLIENT PAUSE 1 all",
    "CLIENT UNPAUSE",
    "CLIENT TRACKING",
    "CLIENT TRACKING foo",
    "CLIENT TRACKING on foo",
    "CLIENT TRACKING on bcast",
    "CLIENT TRACKING on",
    "CLIENT TRACKINGINFO",
    "CLIENT TRACKING on optin\r\nCLIENT TRACKINGINFO\r\nCLIENT CACHING yes\r\nCLIENT CACHING no\r\nCLIENT TRACKINGINFO\r\nCLIENT CACHING foo\r\nCLIENT GETREDIR\r\nCLIENT TRACKING off\r\nCLIENT GETREDIR\r\nCLIENT TRACKINGINFO",
    "HELLO 3\r\nCLIENT TRACKING on optin\r\nCLIENT TRACKINGINFO\r\nCLIENT CACHING yes\r\nCLIENT CACHING no\r\nCLIENT TRACKINGINFO\r\nCLIENT CACHING foo\r\nCLIENT GETREDIR\r\nCLIENT TRACKING off\r\nCLIENT GETREDIR\r\nCLIENT TRACKINGINFO",
    "HELLO 3\r\nCLIENT TRACKING on optout\r\nCLIENT TRACKINGINFO\r\nCLIENT CACHING no\r\nCLIENT CACHING yes\r\nCLIENT TRACKINGINFO\r\nCLIENT TRACKING on optin\r\nCLIENT TRACKING on bcast",
    "HELLO 3\r\nCLIENT TRACKING on bcast prefix foo prefix bar noloop\r\nCLIENT TRACKINGINFO\r\nCLIENT TRACKING on bcast prefix baz\r\nCLIENT TRACKINGINFO\r\nCLIENT TRACKING on bcast prefix fo\r\nCLIENT TRACKING on\r\nCLIENT CACHING yes",
    "HELLO 3\r\nCLIENT TRACKING on prefix foo",
    "HELLO 3\r\nCLIENT TRACKING on optin optout",
    "HELLO 3\r\nCLIENT TRACKING on bcast optin",
    "HELLO 3\r\nCLIENT TRACKING on redirect 99999",
    "HELLO 3\r\nCLIENT TRACKING on redirect x",
    "HELLO 3\r\nCLIENT TRACKING on redirect",
    "HELLO 3\r\nCLIENT TRACKING off optin",
    "HELLO 3\r\nCLIENT TRACKING on bcast prefix aa prefix aab",
    "HELLO 3\r\nCLIENT TRACKING on redirect 1 redirect 2",
    "CLIENT CACHING yes",
    "CLIENT CACHING foo",
    "CLIENT GETREDIR",
    "CLIENT UNBLOCK x",
    "CLIENT UNBLOCK 1",
    "CLIENT UNBLOCK 1 foo",
    "CLIENT UNBLOCK 1 timeout",
    "CLIENT UNBLOCK 1 error x",
    "COMMAND foo",
    "COMMAND count x",
    "COMMAND getkeys",
    "COMMAND getkeys ping a b",
    "COMMAND getkeys get x y",
    "COMMAND info nope",
    "COMMAND info role auth publish psubscribe",
    "COMMAND info client|list sentinel|masters sentinel|help",
    "COMMAND info hello info ping punsubscribe shutdown subscribe unsubscribe",
    "COMMAND info client|id client|kill client|info client|reply client|setname client|no-evict client|help",
    "COMMAND info command|docs command|info command|list command|count command|help acl|whoami acl|help",
    "COMMAND docs nope",
    "COMMAND list filterby module foo",
    "COMMAND list filterby aclcat nope",
    "COMMAND list filterby foo bar",
    "COMMAND list foo",
    "AUTH",
    "AUTH x",
    "AUTH a b c",
    "AUTH default x",
    "AUTH bob x",
    "ACL",
    "ACL whoami",
    "ACL foo",
    "HELLO x",
    "HELLO 1",
    "HELLO 4",
    "HELLO 3 foo",
    "HELLO 3 AUTH a",
    "HELLO 3 SETNAME",
    "HELLO 3 SETNAME \"a b\"",
    "HELLO 3 AUTH bob x",
    "HELLO",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 AUTH default x SETNAME me\r\nCLIENT getname",
    "HELLO 3\r\nCLIENT getname",
    "HELLO 3\r\nSENTINEL get-master-addr-by-name nobody",
    "HELLO 3\r\nCOMMAND info ping role",
    "HELLO 3\r\nCOMMAND info nope",
    "HELLO 3\r\nCOMMAND docs nope",
    "HELLO 3\r\nSUBSCRIBE a b\r\nPING\r\nPING x\r\nROLE\r\nUNSUBSCRIBE a\r\nUNSUBSCRIBE\r\nUNSUBSCRIBE",
    "HELLO 3\r\nPUNSUBSCRIBE",
    "INFO nothing",
    "PUBLISH a b",
    "PUBLISH a",
    "ROLE",
    "ROLE x",
    "SUBSCRIBE",
    "SUBSCRIBE a\r\nSUBSCRIBE a b\r\nPING\r\nPING x\r\nPING x y",
    "PSUBSCRIBE a*\r\nSUBSCRIBE a\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE",
    "SUBSCRIBE a\r\nSENTINEL masters\r\nSENTINEL foo\r\nGET x\r\nHELLO 3\r\nCLIENT id\r\nINFO",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE x",
    "PUNSUBSCRIBE x",
    "SHUTDOWN ABORT",
    "SHUTDOWN foo",
    "SHUTDOWN SAVE NOSAVE",
];

/// Requests after which the connection is closed.
const CLOSED: &[&str] = &[
    "PING \"a",
    "PING 'a'b",
    "*x",
    "*2147483648",
    "*1\r\n+PING",
    "*1\r\n$x",
    "*1\r\n$-1",
    "*1\r\n$536870913",
    "PING\r\n*1\r\n:4",
    "POST / HTTP/1.1",
    "Host: x",
    "SUBSCRIBE a\r\n*z",
];

#[tokio::test]
async fn replies_are_the_same_bytes_as_those_of_redis_sentinel() {
    let reference = Reference::start().await;
    let fixture = Setup {
        answer: |request| match request {
            bellwether_core::Request::GroupNames => bellwether_core::Answer::Texts(Vec::new()),
            other => panic!("{other:?} depends on state"),
        },
        ..Setup::default()
    }
    .start()
    .await;
    let long = [
        format!("NOPE {} {} {}", "a".repeat(100), "b".repeat(100), "c"),
        format!("NOPE {}", "a".repeat(300)),
        format!("{} x", "n".repeat(300)),
        format!("SENTINEL {}", "n".repeat(300)),
    ];
    let long_closed = [
        "x".repeat(70_000),
        format!("*{}", "1".repeat(70_000)),
        format!("*1\r\n${}", "1".repeat(70_000)),
    ];
    let mut differences = Vec::new();
    for (request, closes) in OPEN
        .iter()
        .map(|request| (*request, false))
        .chain(long.iter().map(|request| (&**request, false)))
        .chain(CLOSED.iter().map(|request| (*request, true)))
        .chain(long_closed.iter().map(|request| (&**request, true)))
    {
        let theirs = exchange(reference.addr, request, closes).await;
        let ours = exchange(fixture.addr, request, closes).await;
        if theirs != ours {
            let request: String = request.chars().take(80).collect();
            differences.push(format!("{request:?}\n  reference: {theirs}\n  here:      {ours}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} replies differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

async fn exchange(addr: SocketAddr, request: &str, closes: bool) -> String {
    let mut client = Client::connect(addr).await;
    let replies = if closes {
        // Lines that are too long are so before they end.
        let end = if request.len() < 65_536 { "\r\n" } else { "" };
        client.send(format!("{request}{end}")).await;
        client.read_to_end().await
    } else {
        client.send(format!("{request}\r\nPING marked\r\n")).await;
        client.read_until(MARK).await
    };
    level(replies.escape_ascii().to_string())
}

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

pub(crate) struct Reference {
    pub(crate) addr: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Reference {
    pub(crate) async fn start() -> Self {
        let port = free_port().await;
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("sentinel.conf");
        std::fs::write(&config, format!("port {port}\nbind 127.0.0.1\n")).expect("a file");
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
