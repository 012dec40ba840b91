//! The HTTP interface over real sockets, with a driver played by the test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_api::{Check, Group, GroupList, Log, Problem, Role};
use bellwether_core::{
    Addr, Answer, Cause, Epoch, FailoverReceipt, ForeignOverview, GroupOverview, InstanceOverview, LogMember,
    LogRole, LogStatus, Outcome, Overview, Phases, ReplicationOverview, Request, SentinelId,
    SentinelOverview,
};
use bellwether_http::{Limits, Metrics, serve_with};
use bellwether_server::{Clock, Handle, HandleEnd};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_str, to_value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long anything here may take before the test fails. Far more than ever needed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A served interface and the state behind it.
struct World {
    addr: SocketAddr,
    overview: Arc<Mutex<Overview>>,
    silent: Arc<AtomicBool>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    driver: JoinHandle<()>,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let (handle, end) = Handle::new(Clock::start(), CancellationToken::new());
        let overview = Arc::new(Mutex::new(sample()));
        let silent = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(answer(end, Arc::clone(&overview), Arc::clone(&silent)));
        let metrics = Arc::new(Metrics::new().expect("well-formed metrics"));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_with(listener, handle, metrics, limits, stop.clone()));
        Self {
            addr,
            overview,
            silent,
            stop,
            server,
            driver,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Overview)) {
        change(&mut self.overview.lock().expect("no panic before"));
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn send(&self, request: &str) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        Reply::parse(&rest(&mut stream).await)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("it listens")
    }
}

/// Answers as the driver would, until it is stopped.
async fn answer(mut end: HandleEnd, overview: Arc<Mutex<Overview>>, silent: Arc<AtomicBool>) {
    let mut unanswered = Vec::new();
    while let Some(ask) = end.asks.recv().await {
        if silent.load(Ordering::SeqCst) {
            unanswered.push(ask);
            continue;
        }
        let answer = match ask.request {
            Request::Overview => {
                Answer::Overview(Box::new(overview.lock().expect("no panic before").clone()))
            }
            Request::MyId => Answer::Text("f".repeat(40)),
            other => panic!("HTTP asked for {other:?}"),
        };
        // Who asked may have gone.
        let _ = ask.answer.send(answer);
    }
}

/// Everything until the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .expect("the connection ends")
        .expect("it ends well");
    String::from_utf8(text).expect("text")
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    fn problem(&self, status: u16) -> Problem {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Problem = from_str(&self.body).expect("a problem");
        assert_eq!(problem.status, status);
        problem
    }

    #[track_caller]
    fn check(&self, status: u16) -> Vec<String> {
        assert_eq!(self.status, status, "{}", self.body);
        let check: Check = from_str(&self.body).expect("a check");
        assert_eq!(check.ok, status == 200);
        check.reasons
    }
}

fn sample() -> Overview {
    Overview {
        id: "f".repeat(40),
        current_epoch: 4,
        coordination: "vote",
        groups: vec![group("mymaster"), group("a/b")],
        ..Overview::default()
    }
}

fn group(name: &str) -> GroupOverview {
    GroupOverview {
        name: name.to_owned(),
        quorum: 2,
        config_epoch: 4,
        down_after_ms: 1000,
        failover_timeout_ms: 180_000,
        parallel_syncs: 1,
        odown_ms: None,
        failover_state: None,
        primary: InstanceOverview {
            replication: None,
            role_reported: "master",
            ..replica("10.0.0.2")
        },
        replicas: vec![replica("::1")],
        sentinels: vec![SentinelOverview {
            id: "a".repeat(40),
            host: "10.0.0.8".to_owned(),
            port: 26379,
            connected: true,
            sdown_ms: Some(15),
            last_ok_ping_ms: 1015,
            last_hello_ms: 900,
        }],
        foreign: Vec::new(),
        history: vec![FailoverReceipt {
            epoch: Epoch(4),
            cause: Cause::ObjectivelyDown,
            outcome: Outcome::Completed,
            old_primary: Addr::parse("10.0.0.1", 6379).expect("an address"),
            candidate: Addr::parse("10.0.0.2", 6379),
            voters: vec![SentinelId::new(&"f".repeat(40)).expect("an id")],
            passed_over: vec![(
                Addr::parse("10.0.0.4", 6379).expect("an address"),
                "its priority is 0".to_owned(),
            )],
            phases: Phases {
                promotion: Some(Duration::from_millis(12)),
                ..Phases::default()
            },
        }],
    }
}

fn log() -> LogStatus {
    LogStatus {
        id: 1,
        cluster: "production".to_owned(),
        role: LogRole::Follower,
        term: 7,
        leader: Some(2),
        commit: 100,
        applied: 100,
        last: 101,
        snapshot: 90,
        log_bytes: 4096,
        pending: 3,
        majority_contact: Some(Duration::from_millis(40)),
        may_act: false,
        problem: None,
        members: vec![LogMember {
            id: 2,
            sentinel: SentinelId::new(&"e".repeat(40)).expect("an id"),
            address: "::1:26379".to_owned(),
            voter: true,
            matched: None,
            lag: None,
            last_contact: Some(Duration::from_millis(40)),
        }],
    }
}

fn replica(host: &str) -> InstanceOverview {
    InstanceOverview {
        host: host.to_owned(),
        port: 6379,
        connected: true,
        sdown_ms: None,
        last_ok_ping_ms: 3,
        info_age_ms: Some(100),
        role_reported: "slave",
        run_id: Some("b".repeat(40)),
        repl_offset: 1000,
        replication: Some(ReplicationOverview {
            primary_host: Some("10.0.0.2".to_owned()),
            primary_port: 6379,
            link_up: true,
            link_down_s: 0,
            priority: 100,
            lag_bytes: Some(42),
            lag_s: Some(1),
        }),
    }
}

/// Every example has exactly the fields that are served.
#[test]
fn the_documentation_shows_what_is_served() {
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned>(name: &str) {
        let documentation = include_str!("../../../docs/http-api.md");
        let (_, after) = documentation
            .split_once(&format!("<!-- {name} -->\n```json\n"))
            .expect("an example");
        let (example, _) = after.split_once("```").expect("an end");
        let read: T = from_str(example).expect("the right form");
        let shown: Value = from_str(example).expect("JSON");
        assert_eq!(to_value(read).expect("JSON"), shown, "{name}");
    }
    check::<GroupList>("GroupList");
    check::<Group>("Group");
    check::<Log>("Log");
    check::<Problem>("Problem");
    check::<Check>("Check");
}

#[tokio::test]
async fn groups_are_shown() {
    let world = World::new(Limits::default()).await;
    let reply = world.get("/api/v1/groups").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("content-type: application/json"));
    assert!(reply.head.contains("cache-control: no-store"));
    let list: GroupList = from_str(&reply.body).expect("a list");
    assert_eq!(list.status.current_epoch, 4);
    let names: Vec<_> = list.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["mymaster", "a/b"]);

    let reply = world.get("/api/v1/groups/mymaster").await;
    let group: Group = from_str(&reply.body).expect("a group");
    assert_eq!(group, list.groups[0]);
    assert_eq!(group.primary.address, "10.0.0.2:6379");
    assert_eq!(group.primary.role, Role::Primary);
    assert_eq!(group.primary.replication, None);
    assert_eq!(group.replicas[0].address, "[::1]:6379");
    let replication = group.replicas[0].replication.as_ref().expect("a replica's");
    assert_eq!(replication.primary_address.as_deref(), Some("10.0.0.2:6379"));
    assert_eq!(replication.lag_bytes, Some(42));
    assert_eq!(group.sentinels[0].sdown_for_ms, Some(15));
    assert_eq!(group.failovers[0].phases_ms.promotion, Some(12.0));
    assert_eq!(group.failovers[0].passed_over[0].reason, "its priority is 0");
}

#[tokio::test]
async fn a_shared_log_is_shown() {
    let world = World::new(Limits::default()).await;
    let list: GroupList = from_str(&world.get("/api/v1/groups").await.body).expect("a list");
    assert_eq!(list.status.log, None);
    assert!(list.groups[0].foreign_sentinels.is_empty());

    world.change(|overview| {
        overview.coordination = "raft";
        overview.log = Some(log());
        overview.groups[0].foreign.push(ForeignOverview {
            id: "c".repeat(40),
            host: "10.0.0.9".to_owned(),
            port: 26379,
            accepted: false,
        });
    });
    let list: GroupList = from_str(&world.get("/api/v1/groups").await.body).expect("a list");
    let log = list.status.log.expect("a log");
    assert_eq!(
        (log.role.as_str(), log.leader, log.term),
        ("follower", Some(2), 7)
    );
    assert_eq!((log.majority_contact_ms, log.pending), (Some(40), 3));
    let member = &log.members[0];
    assert_eq!(
        (member.address.as_str(), member.lag_entries),
        ("[::1]:26379", None)
    );
    assert_eq!(member.last_contact_ms, Some(40));
    let foreign = &list.groups[0].foreign_sentinels[0];
    assert_eq!(
        (foreign.address.as_str(), foreign.accepted),
        ("10.0.0.9:26379", false)
    );
    assert!(world.get("/readyz").await.check(200).is_empty());

    world.change(|overview| {
        let log = overview.log.as_mut().expect("a log");
        log.majority_contact = Some(Duration::from_secs(8));
    });
    assert_eq!(
        world.get("/readyz").await.check(503),
        ["no majority of the members of the log was in reach for 8 s"]
    );
    world.get("/healthz").await.check(200);
}

#[tokio::test]
async fn names_may_be_encoded() {
    let world = World::new(Limits::default()).await;
    let reply = world.get("/api/v1/groups/a%2Fb").await;
    assert_eq!(from_str::<Group>(&reply.body).expect("a group").name, "a/b");
    world.get("/api/v1/groups/%ff").await.problem(400);
}

#[tokio::test]
async fn a_group_that_vanishes_is_not_found() {
    let world = World::new(Limits::default()).await;
    assert_eq!(world.get("/api/v1/groups/mymaster").await.status, 200);
    assert!(world.get("/metrics").await.body.contains(r#"{group="mymaster"}"#));
    world.change(|overview| overview.groups.clear());
    let problem = world.get("/api/v1/groups/mymaster").await.problem(404);
    assert_eq!(problem.title, "Not Found");
    assert_eq!(problem.detail, r#"no group is named "mymaster""#);
    assert!(!world.get("/metrics").await.body.contains("mymaster"));
}

#[tokio::test]
async fn metrics_are_in_the_text_format() {
    let world = World::new(Limits::default()).await;
    let reply = world.get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("content-type: text/plain; version=0.0.4"));
    assert!(reply.body.contains("\nprocess_open_fds "));
    assert!(reply.body.contains("\nbellwether_driver_up 1\n"));
    let mut family = "";
    for line in reply.body.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            family = typed.split(' ').next().expect("a name");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(
                series.starts_with(family),
                "{line:?} is outside its family {family}"
            );
            assert!(value.parse::<f64>().is_ok(), "{line:?}");
            assert_eq!(series.contains('{'), series.ends_with('}'), "{line:?}");
        }
    }
}

#[tokio::test]
async fn a_working_coordinator_is_alive_and_ready() {
    let world = World::new(Limits::default()).await;
    assert!(world.get("/healthz").await.check(200).is_empty());
    assert!(world.get("/readyz").await.check(200).is_empty());
}

#[tokio::test]
async fn what_keeps_it_from_being_ready_is_told() {
    let world = World::new(Limits::default()).await;
    world.change(|overview| {
        overview.save_error = Some("no space left on device".to_owned());
        overview.tilt = true;
        let primary = &mut overview.groups[0].primary;
        primary.connected = false;
        primary.info_age_ms = None;
    });
    let reasons = world.get("/readyz").await.check(503);
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].contains("no space left on device"));
    assert!(reasons[2].contains("mymaster"));
    assert!(world.get("/healthz").await.check(200).is_empty());
}

#[tokio::test]
async fn a_silent_driver_is_reported_in_time() {
    let limits = Limits {
        answer_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let world = World::new(limits).await;
    world.silent.store(true, Ordering::SeqCst);
    let late = "the coordinator did not answer within 50 ms";
    assert_eq!(world.get("/healthz").await.check(503), [late]);
    assert_eq!(world.get("/readyz").await.check(503), [late]);
    assert_eq!(world.get("/api/v1/groups").await.problem(503).detail, late);
    assert_eq!(
        world.get("/api/v1/groups/mymaster").await.problem(503).detail,
        late
    );
    let metrics = world.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("\nbellwether_driver_up 0\n"));

    world.silent.store(false, Ordering::SeqCst);
    world.get("/healthz").await.check(200);
}

#[tokio::test]
async fn a_driver_that_is_gone_is_reported() {
    let world = World::new(Limits::default()).await;
    world.driver.abort();
    let gone = "the coordinator is shutting down";
    assert_eq!(world.get("/healthz").await.check(503), [gone]);
    assert_eq!(world.get("/api/v1/groups").await.problem(503).detail, gone);
}

#[tokio::test]
async fn everything_else_is_a_problem() {
    let world = World::new(Limits::default()).await;
    for path in [
        "/",
        "/metrics/",
        "/api/v1",
        "/api/v1/groups/",
        "/api/v1/groups/a/b",
    ] {
        world.get(path).await.problem(404);
    }
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/groups",
        "/api/v1/groups/mymaster",
    ] {
        let reply = world
            .send(&format!(
                "DELETE {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
            ))
            .await;
        reply.problem(405);
        assert!(reply.head.contains("allow: get,head"), "{}", reply.head);
    }
    let head = world
        .send("HEAD /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn bodies_are_refused() {
    let world = World::new(Limits::default()).await;
    // None of these bodies is ever sent: the answer must not wait for it.
    for body in [
        "content-length: 100000000",
        "content-length: 1",
        "transfer-encoding: chunked",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{body}\r\n\r\n");
        let problem = world.send(&request).await.problem(400);
        assert_eq!(problem.detail, "no request here takes a body");
    }
    let post = "POST /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 100000000\r\n\r\n";
    world.send(post).await.problem(405);
}

#[tokio::test]
async fn garbage_does_no_harm() {
    let world = World::new(Limits::default()).await;
    let long_head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let garbage: [&[u8]; 7] = [
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 4096],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        long_head.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in garbage {
        let mut stream = world.connect().await;
        // The server may hang up in the middle of it.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut reply))
            .await
            .expect("the connection ends");
        let reply = String::from_utf8_lossy(&reply);
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 4"),
            "{bytes:?}: {reply}"
        );
    }
    world.get("/healthz").await.check(200);
}

/// With one place only, whoever holds it must lose it before the next is served.
fn one_place() -> Limits {
    Limits {
        connections: 1,
        head_timeout: Duration::from_millis(100),
        connection_age: Duration::from_millis(200),
        grace: Duration::from_millis(100),
        ..Limits::default()
    }
}

#[tokio::test]
async fn who_says_nothing_loses_the_place() {
    let world = World::new(one_place()).await;
    let mut idle = world.connect().await;
    let mut half = world.connect().await;
    half.write_all(b"GET /healthz HTTP/1.1\r\nhos")
        .await
        .expect("it is taken");
    world.get("/healthz").await.check(200);
    assert_eq!(rest(&mut idle).await, "");
    rest(&mut half).await;
}

#[tokio::test]
async fn who_stays_after_an_answer_loses_the_place() {
    let world = World::new(one_place()).await;
    let mut kept = world.connect().await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .expect("it is taken");
    world.get("/healthz").await.check(200);
    Reply::parse(&rest(&mut kept).await).check(200);
}

#[tokio::test]
async fn who_does_not_read_loses_the_place() {
    let world = World::new(one_place()).await;
    // More than the socket buffers of both sides take.
    world.change(|overview| overview.save_error = Some("x".repeat(24 * 1024 * 1024)));
    let mut deaf = world.connect().await;
    deaf.write_all(b"GET /api/v1/groups HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .expect("it is taken");
    timeout(PATIENCE, deaf.readable())
        .await
        .expect("an answer begins")
        .expect("the connection stands");
    world.get("/healthz").await.check(200);
}

#[tokio::test]
async fn a_stop_ends_everything() {
    let world = World::new(Limits {
        grace: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let mut kept = world.connect().await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .expect("it is taken");
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");

    world.stop.cancel();
    timeout(PATIENCE, world.server)
        .await
        .expect("it stops")
        .expect("no panic");
    rest(&mut kept).await;
    assert!(
        TcpStream::connect(world.addr).await.is_err(),
        "nobody listens any more"
    );
}
