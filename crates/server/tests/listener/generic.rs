//! Commands that know nothing of groups: connection, authentication, clients, the catalogue.

use bellwether_core::{Answer, Refusal, Request};

use crate::support::{Setup, bulk};

const HELLO_2: &str = "*12\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.6\r\n$5\r\nproto\r\n:2\r\n\
    $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n";

const HELLO_3: &str = "%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.6\r\n$5\r\nproto\r\n:3\r\n\
    $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n";

#[tokio::test]
async fn hello_and_reset() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client.check("HELLO", HELLO_2).await;
    client.check("HELLO 3 SETNAME me", HELLO_3).await;
    client.check("client getname", "$2\r\nme\r\n").await;
    client.check("HELLO", HELLO_3).await;
    client.check("RESET", "+RESET\r\n").await;
    client.check("client getname", "$-1\r\n").await;
    client
        .check("HELLO 4", "-NOPROTO unsupported protocol version\r\n")
        .await;
    client
        .check(
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range\r\n",
        )
        .await;
    client
        .check(
            "HELLO 2 AUTH default",
            "-ERR Syntax error in HELLO option 'AUTH'\r\n",
        )
        .await;
    client.check("QUIT", "+OK\r\n").await;
    client.expect_end().await;
}

#[tokio::test]
async fn nothing_but_the_right_password_opens_the_door() {
    let fixture = Setup {
        password: Some("secret"),
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    client.check("PING", "-NOAUTH Authentication required.\r\n").await;
    client
        .check("SENTINEL MASTERS", "-NOAUTH Authentication required.\r\n")
        .await;
    // Existence and arity come first, as in the reference.
    client
        .check(
            "NOPE",
            "-ERR unknown command 'NOPE', with args beginning with: \r\n",
        )
        .await;
    client
        .check(
            "SENTINEL master",
            "-ERR wrong number of arguments for 'sentinel|master' command\r\n",
        )
        .await;
    let noauth = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
        AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
        same time\r\n";
    client.check("HELLO 3", noauth).await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for attempt in [
        "AUTH nope",
        "AUTH bob secret",
        "AUTH default nope",
        "HELLO 3 AUTH default nope",
    ] {
        client.check(attempt, wrong).await;
    }
    client.check("AUTH a b c", "-ERR syntax error\r\n").await;
    client.check("PING", "-NOAUTH Authentication required.\r\n").await;
    client.check("AUTH secret", "+OK\r\n").await;
    client.check("AUTH nope", wrong).await;
    client.check("PING", "+PONG\r\n").await;
    client.check("RESET", "+RESET\r\n").await;
    client.check("PING", "-NOAUTH Authentication required.\r\n").await;
    client.check("HELLO 3 AUTH default secret", HELLO_3).await;
    client.check("acl whoami", "$7\r\ndefault\r\n").await;
}

#[tokio::test]
async fn strangers_get_no_large_requests_through() {
    let fixture = Setup {
        password: Some("secret"),
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    client
        .check("*11", "-ERR Protocol error: unauthenticated multibulk length\r\n")
        .await;
    client.expect_end().await;
    let mut client = fixture.client().await;
    client
        .check(
            "*1\r\n$16385",
            "-ERR Protocol error: unauthenticated bulk length\r\n",
        )
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn clients_name_themselves_and_are_listed() {
    let fixture = Setup::default().start().await;
    let mut first = fixture.client().await;
    first.check("client id", ":1\r\n").await;
    let mut second = fixture.client().await;
    second.check("client id", ":2\r\n").await;
    second.check("client setname bob", "+OK\r\n").await;
    second
        .check(
            "client setname \"b b\"",
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
        )
        .await;
    second.check("client setinfo lib-name lib", "+OK\r\n").await;
    second.check("client setinfo LIB-VER 1.2", "+OK\r\n").await;
    second
        .check("client setinfo x y", "-ERR Unrecognized option 'x'\r\n")
        .await;
    second
        .check(
            "client setinfo lib-name \"a b\"",
            "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n",
        )
        .await;
    first.send("client list id 2\r\nping\r\n").await;
    let line = String::from_utf8(first.read_until("+PONG\r\n").await).expect("text");
    assert!(line.contains("id=2 addr=127.0.0.1:"), "{line}");
    assert!(
        line.contains(" name=bob ") && line.contains(" cmd=client|setinfo "),
        "{line}"
    );
    assert!(
        line.ends_with("lib-name=lib lib-ver=1.2\n\r\n+PONG\r\n"),
        "{line}"
    );
    first.check("client list type replica", "$0\r\n\r\n").await;
    first
        .check("client list type foo", "-ERR Unknown client type 'foo'\r\n")
        .await;
    first
        .check("client list id x", "-ERR Invalid client ID\r\n")
        .await;
    first.check("client list foo", "-ERR syntax error\r\n").await;
    first.check("client no-evict on", "+OK\r\n").await;
    first
        .check(
            "client no-touch on",
            "-ERR unknown subcommand 'no-touch'. Try CLIENT HELP.\r\n",
        )
        .await;
}

#[tokio::test]
async fn clients_are_killed_by_address_and_by_filter() {
    let fixture = Setup::default().start().await;
    let mut killer = fixture.client().await;
    killer.check("client id", ":1\r\n").await;
    let mut by_addr = fixture.client().await;
    by_addr.check("client id", ":2\r\n").await;
    let addr = by_addr.stream.local_addr().expect("an address");
    killer.check(&format!("client kill {addr}"), "+OK\r\n").await;
    by_addr.expect_end().await;
    let mut by_id = fixture.client().await;
    by_id.check("client id", ":3\r\n").await;
    killer.check("client kill id 3", ":1\r\n").await;
    by_id.expect_end().await;
    killer
        .check("client kill 1.2.3.4:5", "-ERR No such client\r\n")
        .await;
    killer
        .check("client kill id 0", "-ERR client-id should be greater than 0\r\n")
        .await;
    killer
        .check("client kill type foo", "-ERR Unknown client type 'foo'\r\n")
        .await;
    killer
        .check("client kill user x", "-ERR No such user 'x'\r\n")
        .await;
    killer
        .check("client kill id 1 skipme", "-ERR syntax error\r\n")
        .await;
    killer.check("client kill type normal", ":0\r\n").await;
    killer.check("client kill id 1 skipme no", ":1\r\n").await;
    killer.expect_end().await;
}

#[tokio::test]
async fn replies_can_be_turned_off() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client
        .send("client reply skip\r\nping skipped\r\nping one\r\n")
        .await;
    client.expect("$3\r\none\r\n").await;
    client
        .send("client reply skip\r\nsentinel myid\r\nping two\r\n")
        .await;
    client.expect("$3\r\ntwo\r\n").await;
    client.send("client reply off\r\nping\r\nnope\r\nclient reply skip\r\nping\r\nclient reply on\r\nping three\r\n").await;
    client.expect("+OK\r\n$5\r\nthree\r\n").await;
}

#[tokio::test]
async fn a_pause_holds_up_all_but_errors() {
    let fixture = Setup::default().start().await;
    let (mut first, mut second) = (fixture.client().await, fixture.client().await);
    second
        .check(
            "subscribe +sdown",
            "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n",
        )
        .await;
    first.check("client pause 3600000 write", "+OK\r\n").await;
    first.check("ping", "+PONG\r\n").await;
    // The end of a pause only comes through when it was sent before the pause began.
    first.send("client pause 100\r\nclient getname\r\nnope\r\n").await;
    first.expect("+OK\r\n").await;
    second
        .check(
            "nope",
            "-ERR unknown command 'nope', with args beginning with: \r\n",
        )
        .await;
    second.send("ping\r\n").await;
    fixture.hub.publish("+sdown", "x");
    second
        .expect("*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1\r\nx\r\n")
        .await;
    second.expect("*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    first
        .expect("$-1\r\n-ERR unknown command 'nope', with args beginning with: \r\n")
        .await;
}

#[tokio::test]
async fn what_a_client_tracks_is_listed() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client.check("client tracking on bcast", "+OK\r\n").await;
    client.check("client no-evict on", "+OK\r\n").await;
    client.send("client list\r\nping\r\n").await;
    let list = String::from_utf8(client.read_until("+PONG\r\n").await).expect("text");
    assert!(
        list.contains(" flags=tBe ") && list.contains(" redir=0 "),
        "{list}"
    );
    client.check("reset", "+RESET\r\n").await;
    client.send("client list\r\nping\r\n").await;
    let list = String::from_utf8(client.read_until("+PONG\r\n").await).expect("text");
    assert!(
        list.contains(" flags=N ") && list.contains(" redir=-1 "),
        "{list}"
    );
}

#[tokio::test]
async fn scripts_that_wait_are_shown() {
    let fixture = Setup::default().start().await;
    // Nobody runs them here.
    fixture
        .scripts
        .enqueue("/bin/notify".to_owned(), vec!["+sdown".to_owned()]);
    let mut client = fixture.client().await;
    let words = |words: &[&str]| words.iter().map(|word| bulk(word)).collect::<String>();
    let fields = words(&[
        "flags",
        "scheduled",
        "pid",
        "0",
        "run-delay",
        "0",
        "retry-num",
        "0",
    ]);
    let argv = format!("{}*2\r\n{}", bulk("argv"), words(&["/bin/notify", "+sdown"]));
    client
        .check(
            "sentinel pending-scripts",
            &format!("*1\r\n*10\r\n{argv}{fields}"),
        )
        .await;
}

#[tokio::test]
async fn the_periods_of_scripts_can_be_set() {
    let fixture = Setup {
        answer: |request| match request {
            Request::Debug { words } if words.iter().any(|word| word == "nope") => {
                Answer::Refused(Refusal::UnknownDebugOption("nope".to_owned()))
            }
            _ => Answer::Ok,
        },
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = fixture.client().await;
    client
        .check("sentinel debug Script-Max-Runtime 5 ping-period 1", "+OK\r\n")
        .await;
    let refused = "-ERR Unknown option or number of arguments for SENTINEL DEBUG 'nope'\r\n";
    client
        .check(
            "sentinel debug script-retry-delay 6 nope 1 script-max-runtime 7",
            refused,
        )
        .await;
    let settings = fixture.scripts.settings();
    assert_eq!(settings.max_runtime.as_millis(), 5);
    // As in the core: what stands before the mistake is done, nothing behind it.
    assert_eq!(settings.retry_delay.as_millis(), 6);
}

#[tokio::test]
async fn the_catalogue_is_the_table() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    client.check("command count", ":15\r\n").await;
    // Answered, but as the reference does not have it, not told of.
    client.check("command info quit", "*1\r\n$-1\r\n").await;
    let ping = "*10\r\n$4\r\nping\r\n:-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@fast\r\n+@connection\r\n\
        *2\r\n$25\r\nrequest_policy:all_shards\r\n";
    client
        .check(
            "command info ping nope",
            &format!("*2\r\n{ping}$29\r\nresponse_policy:all_succeeded\r\n*0\r\n*0\r\n$-1\r\n"),
        )
        .await;
    client
        .check(
            "command list filterby pattern *ADDR-BY-NAME",
            &format!(
                "*2\r\n{}{}",
                bulk("sentinel|get-master-addr-by-name"),
                bulk("sentinel|get-primary-addr-by-name")
            ),
        )
        .await;
    client.check("command list filterby module x", "*0\r\n").await;
    client
        .check("command list filterby x y", "-ERR syntax error\r\n")
        .await;
    client
        .check(
            "command getkeys sentinel masters",
            "-ERR The command has no key arguments\r\n",
        )
        .await;
    client
        .check("command getkeys get x", "-ERR Invalid command specified\r\n")
        .await;
    client.check("command docs nope", "*0\r\n").await;
    let words = |words: &[&str]| words.iter().map(|word| bulk(word)).collect::<String>();
    let docs = [
        "*2\r\n".to_owned(),
        words(&["client|no-evict"]),
        "*8\r\n".to_owned(),
        words(&["summary", "Asks not to be evicted, which nobody is."]),
        words(&["since", "7.0.0", "group", "connection", "arguments"]),
        "*1\r\n*6\r\n".to_owned(),
        words(&["name", "form", "type", "oneof", "arguments"]),
        "*2\r\n*8\r\n".to_owned(),
        words(&[
            "name",
            "on",
            "type",
            "pure-token",
            "display_text",
            "on",
            "token",
            "ON",
        ]),
        "*8\r\n".to_owned(),
        words(&[
            "name",
            "off",
            "type",
            "pure-token",
            "display_text",
            "off",
            "token",
            "OFF",
        ]),
    ];
    client.check("command docs client|no-evict", &docs.concat()).await;
    client
        .check(
            "command nope",
            "-ERR unknown subcommand 'nope'. Try COMMAND HELP.\r\n",
        )
        .await;
    client.send("sentinel help\r\nping\r\n").await;
    let help = String::from_utf8(client.read_until("+PONG\r\n").await).expect("text");
    assert!(
        help.contains("\r\n+HELP\r\n+    Print this help.\r\n+PONG\r\n"),
        "{help}"
    );
    let announced: usize = help[1..]
        .split("\r\n")
        .next()
        .expect("a line")
        .parse()
        .expect("a number");
    assert_eq!(
        help.lines().filter(|line| line.starts_with('+')).count(),
        announced + 1
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    // Some are answered at once, some by the driver.
    let request = "PING a\r\nSENTINEL FLUSHCONFIG\r\nnope\r\n";
    let reply = "$1\r\na\r\n+OK\r\n-ERR unknown command 'nope', with args beginning with: \r\n";
    client.send(request.repeat(200)).await;
    client.expect(&reply.repeat(200)).await;
}

#[tokio::test]
async fn shutdown_stops_everything_without_a_reply() {
    let mut fixture = Setup::default().start().await;
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    other.check("PING", "+PONG\r\n").await;
    client
        .check("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n")
        .await;
    client
        .check("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n")
        .await;
    client.check("SHUTDOWN ABORT NOW", "-ERR syntax error\r\n").await;
    client.check("SHUTDOWN later", "-ERR syntax error\r\n").await;
    client.send("SHUTDOWN NOSAVE\r\n").await;
    client.expect_end().await;
    other.expect_end().await;
    let served = tokio::time::timeout(crate::support::DEADLINE, &mut fixture.served).await;
    served.expect("serve returns").expect("no panic");
}
