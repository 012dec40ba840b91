//! Commands that were renamed or switched off, beside a real `redis-sentinel` with the same lines.

use bellwether_conf::{Source, parse};
use bellwether_core::{Answer, Request};

use crate::reference::{Reference, exchange};
use crate::support::{Client, Fixture, Setup};

const LINES: &str = "rename-command PING zing\nrename-command ROLE \"\"\nrename-command CLIENT klient\n\
    rename-command SENTINEL Sent\nrename-command INFO role\nrename-command COMMAND cmd\n\
    rename-command SHUTDOWN first\nrename-command first second\n";

const REQUESTS: &[&str] = &[
    "PING",
    "zing",
    "ZING x",
    "zing a b c",
    "CLIENT GETNAME",
    "klient getname",
    "klient getname x",
    "klient nope",
    "Klient",
    "KLIENT pause x 1 1 1",
    "sent",
    "sent nope",
    "SENT MASTER",
    "sentinel masters",
    "sent masters",
    "role nope",
    "info",
    "command count",
    "cmd count",
    "CMD nope",
    "cmd info ping zing role info klient|getname client|getname",
    "cmd getkeys ping x",
    "cmd getkeys zing x",
    "cmd getkeys klient getname x",
    "shutdown x",
    "first x",
    "second x",
    // Rules speak of the names that the commands always had.
    "ACL SETUSER bob on nopass sanitize-payload +ping",
    "ACL SETUSER bob +zing",
    "ACL SETUSER bob -sent|masters",
    "ACL DRYRUN bob zing",
    "ACL DRYRUN bob ping",
    "ACL SETUSER default sanitize-payload -client -role",
    "SUBSCRIBE x",
    "sent masters",
    "zing",
];

async fn start(lines: &str) -> Fixture {
    let mut no_files = |_: &str| Ok(Vec::new());
    let config = parse(&Source::new("f", lines), &[], &mut no_files).expect("good lines");
    let setup = Setup {
        command_names: config.daemon.command_names,
        answer: |request| match request {
            Request::InfoSection { .. } => Answer::Info {
                section: String::new(),
                log: None,
            },
            _ => Answer::Texts(Vec::new()),
        },
        ..Setup::default()
    };
    setup.start().await
}

#[tokio::test]
async fn replies_are_the_same_bytes_as_those_of_redis_sentinel() {
    let (reference, fixture) = (Reference::start_with(LINES).await, start(LINES).await);
    let mut theirs = Client::connect(reference.addr).await;
    let mut ours = fixture.client().await;
    for request in REQUESTS {
        let expected = exchange(&mut theirs, request).await;
        assert_eq!(exchange(&mut ours, request).await, expected, "{request}");
    }
}

/// Whoever asks for the vote under another name gets the answers in order all the same.
#[tokio::test]
async fn what_peers_ask_is_known_by_its_new_name() {
    let fixture = start("rename-command sentinel other\nrename-command publish sentinel\n").await;
    let mut client = fixture.client().await;
    client
        .send("sentinel is-master-down-by-addr x\r\nother masters\r\nPING\r\n")
        .await;
    client
        .expect("-ERR Only HELLO messages are accepted by Sentinel instances.\r\n*0\r\n+PONG\r\n")
        .await;
}

#[tokio::test]
async fn lists_leave_out_what_is_switched_off() {
    let fixture = start("rename-command ROLE \"\"\n").await;
    let mut client = fixture.client().await;
    client.check("COMMAND COUNT", ":14\r\n").await;
    client.check("COMMAND LIST FILTERBY PATTERN ro*", "*0\r\n").await;
    client
        .check(
            "ROLE",
            "-ERR unknown command 'ROLE', with args beginning with: \r\n",
        )
        .await;
}
