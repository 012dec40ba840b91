//! Shapes of the answers about groups, in both protocols.

use bellwether_core::{Answer, Refusal, Request};

use crate::support::{Setup, bulk};

fn script(request: &Request) -> Answer {
    let listing = || vec![("name", "m".to_owned()), ("port", "6379".to_owned())];
    match request {
        Request::Primaries => Answer::Instances(vec![listing(), listing()]),
        Request::Primary { name } if name == "m" => Answer::Instance(listing()),
        Request::Replicas { name } if name == "m" => Answer::Instances(vec![listing()]),
        Request::Sentinels { name } if name == "m" => Answer::Instances(vec![]),
        Request::IsPrimaryDown {
            host,
            port,
            epoch,
            candidate,
        } => match (&**host, &**port, &**epoch, &**candidate) {
            ("10.0.0.1", "6379", "7", "*") => Answer::Verdict {
                down: true,
                leader: "*".to_owned(),
                leader_epoch: 0,
            },
            ("10.0.0.1", "6379", "7", who) => Answer::Verdict {
                down: false,
                leader: who.to_owned(),
                leader_epoch: 7,
            },
            _ => Answer::Refused(Refusal::NotAnInteger),
        },
        Request::Reset { pattern } => Answer::Integer(pattern.len() as i64),
        Request::CheckQuorum { name } if name == "m" => Answer::Status("OK 3 usable Sentinels".to_owned()),
        Request::CheckQuorum { .. } => Answer::Refused(Refusal::NoQuorum("1 usable Sentinels. ".to_owned())),
        Request::Set { name, words, .. } if name == "m" && words == &["quorum", "2"] => Answer::Ok,
        Request::Set { words, .. } => Answer::Refused(Refusal::UnknownSetOption(words[0].clone())),
        Request::Monitor {
            name,
            host,
            port,
            quorum,
        } if (&**name, &**host, &**port, &**quorum) == ("n", "::1", "1", "2") => Answer::Ok,
        Request::Failover { name, .. } if name == "m" => Answer::Refused(Refusal::InProgress),
        Request::MyId => Answer::Text("a".repeat(40)),
        Request::FlushConfig => Answer::Ok,
        Request::GroupNames => Answer::Texts(vec!["m".to_owned(), "n".to_owned()]),
        Request::Hello { .. } => Answer::Ok,
        Request::InfoSection { .. } => Answer::Info {
            section: "sentinel_masters:1\r\n".to_owned(),
            log: None,
        },
        _ => Answer::Refused(Refusal::NoSuchGroup),
    }
}

#[tokio::test]
async fn questions_about_groups_in_resp2() {
    let fixture = Setup {
        answer: script,
        addresses: vec![("m", "10.0.0.1", 6379)],
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    let listing = "*4\r\n$4\r\nname\r\n$1\r\nm\r\n$4\r\nport\r\n$4\r\n6379\r\n";
    for masters in ["MASTERS", "primaries"] {
        client
            .check(
                &format!("SENTINEL {masters}"),
                &format!("*2\r\n{listing}{listing}"),
            )
            .await;
    }
    for master in ["master", "PRIMARY"] {
        client.check(&format!("sentinel {master} m"), listing).await;
    }
    for replicas in ["replicas", "slaves"] {
        client
            .check(&format!("sentinel {replicas} m"), &format!("*1\r\n{listing}"))
            .await;
    }
    client.check("sentinel sentinels m", "*0\r\n").await;
    client
        .check("sentinel master x", "-ERR No such master with that name\r\n")
        .await;
    for addr in ["get-master-addr-by-name", "GET-PRIMARY-ADDR-BY-NAME"] {
        client
            .check(
                &format!("sentinel {addr} m"),
                "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n",
            )
            .await;
        client.check(&format!("sentinel {addr} M"), "*-1\r\n").await;
        client
            .check(&format!("sentinel {addr} \"\\xff\""), "*-1\r\n")
            .await;
    }
    for down in ["is-master-down-by-addr", "is-primary-down-by-addr"] {
        client
            .check(
                &format!("sentinel {down} 10.0.0.1 6379 7 *"),
                "*3\r\n:1\r\n$1\r\n*\r\n:0\r\n",
            )
            .await;
        client
            .check(
                &format!("sentinel {down} 10.0.0.1 6379 7 me"),
                "*3\r\n:0\r\n$2\r\nme\r\n:7\r\n",
            )
            .await;
        client
            .check(
                &format!("sentinel {down} 10.0.0.1 x 7 me"),
                "-ERR value is not an integer or out of range\r\n",
            )
            .await;
    }
    client.check("sentinel reset m*", ":2\r\n").await;
    client
        .check("sentinel ckquorum m", "+OK 3 usable Sentinels\r\n")
        .await;
    client
        .check("sentinel ckquorum n", "-NOQUORUM 1 usable Sentinels. \r\n")
        .await;
    client.check("sentinel set m quorum 2", "+OK\r\n").await;
    client
        .check(
            "sentinel set m odd 2",
            "-ERR Unknown option or number of arguments for SENTINEL SET 'odd'\r\n",
        )
        .await;
    client.check("sentinel monitor n ::1 1 2", "+OK\r\n").await;
    client
        .check(
            "sentinel monitor \"\\xff\" ::1 1 2",
            "-ERR Invalid argument at index 2: it is not valid UTF-8\r\n",
        )
        .await;
    client
        .check("sentinel remove x", "-ERR No such master with that name\r\n")
        .await;
    client
        .check("sentinel failover m", "-INPROG Failover already in progress\r\n")
        .await;
    client.check("sentinel flushconfig", "+OK\r\n").await;
    client.check("sentinel myid", &bulk(&"a".repeat(40))).await;
    client
        .check("role", "*2\r\n$8\r\nsentinel\r\n*2\r\n$1\r\nm\r\n$1\r\nn\r\n")
        .await;
    client.check("publish __sentinel__:hello x", ":1\r\n").await;
    client
        .check(
            "publish other x",
            "-ERR Only HELLO messages are accepted by Sentinel instances.\r\n",
        )
        .await;
    client
        .check(
            "sentinel info-cash m",
            "-ERR unknown subcommand 'info-cash'. Try SENTINEL HELP.\r\n",
        )
        .await;
}

#[tokio::test]
async fn questions_about_groups_in_resp3() {
    let fixture = Setup {
        answer: script,
        addresses: vec![("m", "10.0.0.1", 6379)],
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    client.send("HELLO 3\r\n").await;
    client.read_until("*0\r\n").await;
    let listing = "%2\r\n$4\r\nname\r\n$1\r\nm\r\n$4\r\nport\r\n$4\r\n6379\r\n";
    client
        .check("sentinel masters", &format!("*2\r\n{listing}{listing}"))
        .await;
    client.check("sentinel master m", listing).await;
    client
        .check(
            "sentinel get-master-addr-by-name m",
            "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n",
        )
        .await;
    client.check("sentinel get-master-addr-by-name x", "_\r\n").await;
    client
        .check("role", "*2\r\n$8\r\nsentinel\r\n*2\r\n$1\r\nm\r\n$1\r\nn\r\n")
        .await;
    // A plain bulk string in RESP3 too.
    client
        .check("info sentinel", &bulk("# Sentinel\r\nsentinel_masters:1\r\n"))
        .await;
    client.check("client getname", "_\r\n").await;
}

#[tokio::test]
async fn info_has_what_clients_read() {
    let fixture = Setup {
        answer: script,
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    client.check("info nothing", "$0\r\n\r\n").await;
    client.send("info\r\n").await;
    let text = String::from_utf8(client.read_until("sentinel_masters:1\r\n\r\n").await).expect("text");
    for field in [
        "redis_version:7.2.6",
        "bellwether_version:0.0.1",
        "redis_mode:sentinel",
        "config_file:/etc/sentinel.conf",
        "connected_clients:1",
        "total_commands_processed:2",
        "sentinel_masters:1",
    ] {
        assert!(text.lines().any(|line| line == field), "{field} in {text}");
    }
    let titles: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        titles,
        ["# Server", "# Clients", "# Stats", "# CPU", "# Sentinel"]
    );
    // The order is ours whatever was asked for.
    client.send("info SENTINEL cpu\r\n").await;
    let text = String::from_utf8(client.read_until("sentinel_masters:1\r\n\r\n").await).expect("text");
    let titles: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(titles, ["# CPU", "# Sentinel"]);
}

#[tokio::test]
async fn a_stopped_driver_ends_the_connection_with_a_reason() {
    use std::sync::Arc;

    use bellwether_conf::CommandNames;
    use bellwether_server::{
        Access, Clock, Context, Handle, Hub, Identity, Limits, NoTelemetry, Runner, serve,
    };
    use tokio_util::sync::CancellationToken;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (handle, end) = Handle::new(Clock::start(), CancellationToken::new());
    drop(end);
    let context = Context {
        handle,
        hub: Hub::new(),
        access: Access::default(),
        command_names: CommandNames::default(),
        limits: Limits::default(),
        identity: Identity::default(),
        telemetry: Arc::new(NoTelemetry),
        scripts: Runner::default(),
    };
    tokio::spawn(serve(vec![listener.into()], context, CancellationToken::new()));
    let mut client = crate::support::Client::connect(addr).await;
    client
        .check("sentinel myid", "-ERR the coordinator is shutting down\r\n")
        .await;
    client.expect_end().await;
}

/// A peer that asks for the votes of many groups gets them with one write of the disk, not with one each: the
/// driver has all its questions before it answers the first. Replies keep the order of the requests all the same.
#[tokio::test]
async fn questions_of_a_peer_are_handed_over_together() {
    let fixture = Setup {
        answer: script,
        gathers: 3,
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    let ask = "SENTINEL is-master-down-by-addr 10.0.0.1 6379 7";
    let vote = |who: &str| format!("*3\r\n:0\r\n$1\r\n{who}\r\n:7\r\n");
    let lines = format!("PING\r\n{ask} a\r\n{ask} b\r\n{ask} c\r\nPING");
    let expected = format!("+PONG\r\n{}{}{}+PONG\r\n", vote("a"), vote("b"), vote("c"));
    client.check(&lines, &expected).await;
}

/// What is answered at once among such questions does not overtake them.
#[tokio::test]
async fn an_error_does_not_overtake_a_question() {
    let fixture = Setup {
        answer: script,
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    let lines = "SENTINEL is-master-down-by-addr 10.0.0.1 6379 7 a\r\nPUBLISH wrong x\r\nSENTINEL myid";
    let expected = format!(
        "*3\r\n:0\r\n$1\r\na\r\n:7\r\n-ERR Only HELLO messages are accepted by Sentinel instances.\r\n$40\r\n{}\r\n",
        "a".repeat(40)
    );
    client.check(lines, &expected).await;
}

/// A reply that is skipped is skipped among such questions too.
#[tokio::test]
async fn a_skipped_reply_is_that_of_the_next_question() {
    let fixture = Setup {
        answer: script,
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    let ask = "SENTINEL is-master-down-by-addr 10.0.0.1 6379 7";
    let lines = format!("CLIENT REPLY SKIP\r\n{ask} a\r\n{ask} b\r\nPING");
    client
        .check(&lines, "*3\r\n:0\r\n$1\r\nb\r\n:7\r\n+PONG\r\n")
        .await;
}
