//! Users: what they may do, how that changes while they are connected, and the commands that change it.

use std::path::PathBuf;

use bellwether_conf::{DaemonOptions, UserLine};
use bellwether_server::Access;

use crate::support::{Client, Fixture, Setup, bulk};

const NO_CHANNEL: &str = "-NOPERM No permissions to access a channel\r\n";

fn no_command(user: &str, command: &str) -> String {
    format!("-NOPERM User {user} has no permissions to run the '{command}' command\r\n")
}

async fn start(options: &DaemonOptions) -> Fixture {
    let access = Access::load(options).expect("good users");
    let setup = Setup {
        access: Some(access),
        ..Setup::default()
    };
    setup.start().await
}

/// A listener with these users.
async fn with_users(users: &[(&str, &str)]) -> Fixture {
    let line = |(name, rules): &(&str, &str)| UserLine {
        rules: rules.split(' ').map(str::to_owned).collect(),
        ..UserLine::unplaced((*name).to_owned())
    };
    let options = DaemonOptions {
        users: users.iter().map(line).collect(),
        ..DaemonOptions::default()
    };
    start(&options).await
}

async fn logged_in(fixture: &Fixture, user: &str) -> Client {
    let mut client = fixture.client().await;
    client.check(&format!("AUTH {user} pw"), "+OK\r\n").await;
    client
}

#[tokio::test]
async fn a_user_does_what_it_may_and_nothing_else() {
    let fixture = with_users(&[(
        "bob",
        "on >pw +ping +client|id +sentinel|masters +subscribe &+switch-master",
    )])
    .await;
    let mut bob = logged_in(&fixture, "bob").await;
    bob.check("PING", "+PONG\r\n").await;
    bob.check("CLIENT ID", ":1\r\n").await;
    bob.check("SENTINEL masters", "+OK\r\n").await;
    for (line, name) in [
        ("ROLE", "role"),
        ("CLIENT LIST", "client|list"),
        ("SENTINEL MASTER m", "sentinel|master"),
        ("ACL WHOAMI", "acl|whoami"),
    ] {
        bob.check(line, &no_command("bob", name)).await;
    }
    // Lookup and arity come first.
    bob.check(
        "SENTINEL nope",
        "-ERR unknown subcommand 'nope'. Try SENTINEL HELP.\r\n",
    )
    .await;
    bob.check("ROLE x", "-ERR wrong number of arguments for 'role' command\r\n")
        .await;
    bob.check("SUBSCRIBE +switch-master +sdown", NO_CHANNEL).await;
    let confirmed = format!("*3\r\n{}{}:1\r\n", bulk("subscribe"), bulk("+switch-master"));
    bob.check("SUBSCRIBE +switch-master", &confirmed).await;
    // Before the subscriber context.
    bob.check("ROLE", &no_command("bob", "role")).await;
}

#[tokio::test]
async fn who_is_not_known_is_asked_first() {
    let fixture = with_users(&[("default", "off"), ("bob", "on >pw +ping +acl|whoami")]).await;
    let mut client = fixture.client().await;
    client.check("PING", "-NOAUTH Authentication required.\r\n").await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    client.check("AUTH pw", wrong).await;
    client.check("AUTH bob no", wrong).await;
    client.check("HELLO 2 AUTH bob no", wrong).await;
    client.check("AUTH bob pw", "+OK\r\n").await;
    client.check("ACL WHOAMI", &bulk("bob")).await;
    // A failed try changes nothing.
    client.check("AUTH bob no", wrong).await;
    client.check("ACL WHOAMI", &bulk("bob")).await;
    client.check("RESET", "+RESET\r\n").await;
    client.check("PING", "-NOAUTH Authentication required.\r\n").await;
}

#[tokio::test]
async fn changes_count_for_those_who_are_connected() {
    let fixture = with_users(&[("bob", "on >pw +ping")]).await;
    let mut admin = fixture.client().await;
    let mut bob = logged_in(&fixture, "bob").await;
    bob.check("ROLE", &no_command("bob", "role")).await;
    admin.check("ACL SETUSER bob -ping +acl|whoami", "+OK\r\n").await;
    bob.check("PING", &no_command("bob", "ping")).await;
    bob.check("ACL WHOAMI", &bulk("bob")).await;
    admin.check("CLIENT KILL USER bob", ":1\r\n").await;
    bob.expect_end().await;
    let mut bob = logged_in(&fixture, "bob").await;
    let mut other = fixture.client().await;
    admin.check("ACL DELUSER bob nobody", ":1\r\n").await;
    bob.expect_end().await;
    other.check("PING", "+PONG\r\n").await;
    // Who removes itself hears that it worked.
    admin.check("ACL SETUSER eve on >pw +@all", "+OK\r\n").await;
    let mut eve = logged_in(&fixture, "eve").await;
    eve.check("ACL DELUSER eve", ":1\r\n").await;
    eve.expect_end().await;
}

#[tokio::test]
async fn a_password_for_everyone_spares_who_is_in() {
    let fixture = Setup::default().start().await;
    let (mut admin, mut early) = (fixture.client().await, fixture.client().await);
    early.check("PING", "+PONG\r\n").await;
    admin.check("ACL SETUSER default >new", "+OK\r\n").await;
    early.check("PING", "+PONG\r\n").await;
    let mut late = fixture.client().await;
    late.check("PING", "-NOAUTH Authentication required.\r\n").await;
    // Limits before authentication hold from now on as well.
    late.check("*11", "-ERR Protocol error: unauthenticated multibulk length\r\n")
        .await;
    let mut late = fixture.client().await;
    late.check("AUTH new", "+OK\r\n").await;
    let mut waiting = fixture.client().await;
    waiting
        .check("PING", "-NOAUTH Authentication required.\r\n")
        .await;
    admin.check("ACL SETUSER default nopass", "+OK\r\n").await;
    waiting.check("PING", "+PONG\r\n").await;
}

#[tokio::test]
async fn who_listens_to_what_it_may_not_any_more_is_cut_off() {
    let fixture = with_users(&[("bob", "on >pw +@pubsub &a &b*"), ("eve", "on >pw +@pubsub &a")]).await;
    let mut admin = fixture.client().await;
    let (mut bob, mut eve) = (logged_in(&fixture, "bob").await, logged_in(&fixture, "eve").await);
    let confirmed =
        |kind: &str, name: &str, count: usize| format!("*3\r\n{}{}:{count}\r\n", bulk(kind), bulk(name));
    bob.check("SUBSCRIBE a", &confirmed("subscribe", "a", 1)).await;
    bob.check("PSUBSCRIBE b*", &confirmed("psubscribe", "b*", 2))
        .await;
    eve.check("SUBSCRIBE a", &confirmed("subscribe", "a", 1)).await;
    admin.check("ACL SETUSER bob &c", "+OK\r\n").await;
    fixture.hub.publish("a", "still");
    bob.expect(&format!(
        "*3\r\n{}{}{}",
        bulk("message"),
        bulk("a"),
        bulk("still")
    ))
    .await;
    admin
        .check("ACL SETUSER bob resetchannels &a &c", "+OK\r\n")
        .await;
    bob.expect_end().await;
    eve.expect(&format!(
        "*3\r\n{}{}{}",
        bulk("message"),
        bulk("a"),
        bulk("still")
    ))
    .await;
}

#[tokio::test]
async fn clients_are_listed_with_their_users() {
    let fixture = with_users(&[("bob", "on >pw +client|info")]).await;
    let mut bob = logged_in(&fixture, "bob").await;
    bob.send("CLIENT INFO\r\n").await;
    let line = String::from_utf8(bob.read_until("\n\r\n").await).expect("text");
    assert!(line.contains(" user=bob "), "{line}");
    bob.check("RESET", "+RESET\r\n").await;
    bob.send("CLIENT INFO\r\n").await;
    let line = String::from_utf8(bob.read_until("\n\r\n").await).expect("text");
    assert!(line.contains(" user=default "), "{line}");
}

#[tokio::test]
async fn refusals_are_logged() {
    let fixture = with_users(&[("bob", "on >pw +subscribe +hello")]).await;
    let mut admin = fixture.client().await;
    admin.check("ACL LOG", "*0\r\n").await;
    let mut bob = logged_in(&fixture, "bob").await;
    bob.check("ROLE", &no_command("bob", "role")).await;
    bob.check("ROLE", &no_command("bob", "role")).await;
    bob.check("SUBSCRIBE news", NO_CHANNEL).await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    bob.check("auth eve secret", wrong).await;
    admin.send("ACL LOG\r\nPING end\r\n").await;
    let log = String::from_utf8(admin.read_until("$3\r\nend\r\n").await).expect("text");
    let words: Vec<&str> = log
        .split("\r\n")
        .filter(|word| !word.starts_with(['$', '*']))
        .collect();
    let fields = |name: &str| -> Vec<&str> {
        words
            .iter()
            .zip(words.iter().skip(1))
            .filter(|(field, _)| **field == name)
            .map(|(_, value)| *value)
            .collect()
    };
    assert_eq!(fields("reason"), ["auth", "channel", "command"]);
    assert_eq!(fields("object"), ["auth", "news", "role"]);
    assert_eq!(fields("username"), ["eve", "bob", "bob"]);
    assert_eq!(fields("count"), [":1", ":1", ":2"]);
    assert_eq!(fields("entry-id"), [":2", ":1", ":0"]);
    assert_eq!(fields("context"), ["toplevel"; 3]);
    assert!(
        fields("client-info")
            .iter()
            .all(|line| line.contains(" user=bob ")),
        "{log}"
    );
    assert!(fields("client-info")[2].contains(" cmd=role "), "{log}");
    assert!(!log.contains("secret"), "{log}");
    admin.check("ACL LOG RESET", "+OK\r\n").await;
    admin.check("ACL LOG", "*0\r\n").await;
}

#[tokio::test]
async fn what_a_client_and_another_sentinel_need_is_enough() {
    let client = "on >pw +ping +hello +auth +client|setname +client|setinfo +client|id +info +role +subscribe +psubscribe \
                  +unsubscribe +punsubscribe +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters \
                  +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|ckquorum +sentinel|myid allchannels";
    let peer = "on >pw +ping +client|setname +publish +sentinel|is-master-down-by-addr &__sentinel__:hello";
    let rules = |text: &'static str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fixture = with_users(&[
        ("default", "off"),
        ("client", &rules(client)),
        ("peer", &rules(peer)),
    ])
    .await;
    let mut client = logged_in(&fixture, "client").await;
    for line in [
        "CLIENT SETNAME me",
        "CLIENT SETINFO LIB-NAME x",
        "SENTINEL master m",
        "SENTINEL masters",
        "SENTINEL replicas m",
        "SENTINEL sentinels m",
        "SENTINEL ckquorum m",
        "SENTINEL myid",
    ] {
        client.check(line, "+OK\r\n").await;
    }
    client
        .check("SENTINEL get-master-addr-by-name m", "*-1\r\n")
        .await;
    client
        .check("SENTINEL reset m", &no_command("client", "sentinel|reset"))
        .await;
    client.check("SHUTDOWN", &no_command("client", "shutdown")).await;
    let mut peer = logged_in(&fixture, "peer").await;
    peer.check("CLIENT SETNAME sentinel-01234567-cmd", "+OK\r\n")
        .await;
    peer.check("PING", "+PONG\r\n").await;
    peer.check("PUBLISH __sentinel__:hello x", ":1\r\n").await;
    peer.check("SENTINEL is-master-down-by-addr 127.0.0.1 1 0 *", "+OK\r\n")
        .await;
    peer.check("PUBLISH other x", NO_CHANNEL).await;
    peer.check("SENTINEL masters", &no_command("peer", "sentinel|masters"))
        .await;
}

struct AclFile {
    directory: tempfile::TempDir,
}

impl AclFile {
    fn new(text: &str) -> Self {
        let file = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("users.acl")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).expect("written");
    }

    async fn start(&self) -> Fixture {
        start(&DaemonOptions {
            aclfile: Some(self.path()),
            ..DaemonOptions::default()
        })
        .await
    }
}

#[tokio::test]
async fn an_acl_file_is_loaded_as_a_whole_or_not_at_all() {
    let file = AclFile::new("user bob on >pw +ping\nuser eve on >pw +ping\n");
    let fixture = file.start().await;
    let mut admin = fixture.client().await;
    let (mut bob, mut eve) = (logged_in(&fixture, "bob").await, logged_in(&fixture, "eve").await);
    file.write("user bob on >pw +role\nuser eve on +nope\n");
    let path = file.path().display().to_string();
    admin
        .check(
            "ACL LOAD",
            &format!(
                "-ERR {path}:2: Unknown command or category name in ACL (rule 2, '+nope'). WARNING: ACL errors detected, no change to the \
                 previously active ACL rules was performed\r\n"
            ),
        )
        .await;
    bob.check("PING", "+PONG\r\n").await;
    file.write("user bob on >pw +acl|whoami\n");
    admin.check("ACL LOAD", "+OK\r\n").await;
    bob.check("PING", &no_command("bob", "ping")).await;
    bob.check("ACL WHOAMI", &bulk("bob")).await;
    eve.expect_end().await;
    std::fs::remove_file(file.path()).expect("removed");
    admin.send("ACL LOAD\r\n").await;
    let refused = String::from_utf8(admin.read_until("\r\n").await).expect("text");
    assert!(
        refused.starts_with(&format!("-ERR Error loading ACLs, opening file '{path}': ")),
        "{refused}"
    );
    bob.check("ACL WHOAMI", &bulk("bob")).await;
}

#[tokio::test]
async fn an_acl_file_is_saved() {
    let file = AclFile::new("# remarks go\nuser bob on >pw +ping\n");
    let fixture = file.start().await;
    let mut admin = fixture.client().await;
    admin.check("ACL SETUSER bob -@all +role", "+OK\r\n").await;
    admin.check("ACL SAVE", "+OK\r\n").await;
    let saved = std::fs::read_to_string(file.path()).expect("the file");
    assert_eq!(
        saved,
        "user bob on sanitize-payload #30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 resetchannels \
         -@all +role\nuser default on nopass sanitize-payload ~* &* +@all\n"
    );
    admin.check("ACL LOAD", "+OK\r\n").await;
    std::fs::remove_dir_all(file.directory.path()).expect("the disk goes");
    admin
        .check(
            "ACL SAVE",
            "-ERR There was an error trying to save the ACLs. Please check the server logs for more information\r\n",
        )
        .await;
}

#[tokio::test]
async fn refusals_are_counted() {
    let fixture = with_users(&[("bob", "on >pw +subscribe")]).await;
    let mut bob = logged_in(&fixture, "bob").await;
    bob.check("ROLE", &no_command("bob", "role")).await;
    bob.check("PING", &no_command("bob", "ping")).await;
    bob.check("SUBSCRIBE x", NO_CHANNEL).await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    bob.check("AUTH bob no", wrong).await;
    let mut admin = fixture.client().await;
    admin.send("INFO stats\r\nQUIT\r\n").await;
    let info = String::from_utf8(admin.read_to_end().await).expect("text");
    for line in [
        "acl_access_denied_auth:1",
        "acl_access_denied_cmd:2",
        "acl_access_denied_key:0",
        "acl_access_denied_channel:1",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "no {line} in {info}");
    }
}
