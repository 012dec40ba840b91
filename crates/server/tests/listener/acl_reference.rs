//! The same ACL commands in the same order to a real `redis-sentinel` and to us: the same bytes, in both protocols, but
//! for a list of differences that says why.

use crate::reference::{Reference, exchange};
use crate::support::{Client, Setup};

/// Makes equal what Redis 7.0 does not do by itself and 7.2 does: a user has this flag from the start.
const FIRST: &str = "ACL SETUSER default sanitize-payload";

/// Requests of one connection, one after the other. What is shown never has two rules of commands, because 7.0 gives
/// them in an order that differs from run to run.
const REQUESTS: &[&str] = &[
    "ACL WHOAMI",
    "ACL USERS",
    "ACL LIST",
    "ACL GETUSER default",
    "ACL GETUSER nobody",
    "ACL SETUSER bob sanitize-payload",
    "ACL LIST",
    "ACL GETUSER bob",
    "ACL SETUSER bob on >pw >other #30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 <other",
    "ACL SETUSER bob ~foo* %R~x %W~x %W~y %RW~z %r~lower &a* &b &a* +client|id",
    "ACL SETUSER bob (+info ~k &x) (+role",
    "ACL SETUSER bob (+info ~k &x) (+role &y %R~z )",
    "ACL SETUSER bob ()",
    "ACL GETUSER bob",
    "ACL LIST",
    "ACL SETUSER bob clearselectors resetkeys resetchannels nopass",
    "ACL GETUSER bob",
    "ACL SETUSER bob resetpass skip-sanitize-payload",
    "ACL GETUSER bob",
    "ACL SETUSER bob reset sanitize-payload +@all -sentinel|masters allkeys allchannels",
    "ACL GETUSER bob",
    "ACL SETUSER bob -@all +@dangerous",
    "ACL GETUSER bob",
    "ACL SETUSER bob ON NoPass ALLCOMMANDS",
    "ACL GETUSER bob",
    "ACL SETUSER bob nocommands +ping|x +ping|y",
    "ACL GETUSER bob",
    "ACL DRYRUN bob ping x",
    "ACL SETUSER bob +nope",
    "ACL SETUSER bob -nope",
    "ACL SETUSER bob +",
    "ACL SETUSER bob -",
    "ACL SETUSER bob +ping|",
    "ACL SETUSER bob +|x",
    "ACL SETUSER bob +sentinel|",
    "ACL SETUSER bob +sentinel|nope",
    "ACL SETUSER bob +sentinel|masters|x",
    "ACL SETUSER bob +sentinel|nope|x",
    "ACL SETUSER bob -sentinel|masters|x",
    "ACL SETUSER bob -ping|x",
    "ACL SETUSER bob -ping|",
    "ACL SETUSER bob +@nope",
    "ACL SETUSER bob -@nope",
    "ACL SETUSER bob +@",
    "ACL SETUSER bob +@KEYSPACE -@Scripting",
    "ACL SETUSER bob foo",
    "ACL SETUSER bob \"a b\"",
    "ACL SETUSER bob #12",
    "ACL SETUSER bob !12",
    "ACL SETUSER bob #30C952FAB122C3F9759F02A6D95C3758B246B4FEE239957B2D4FEE46E26170C4",
    "ACL SETUSER bob <zz",
    "ACL SETUSER bob !30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4",
    "ACL SETUSER bob allkeys ~x",
    "ACL SETUSER bob allchannels &x",
    "ACL SETUSER bob resetkeys \"~a b\"",
    "ACL SETUSER bob resetchannels \"&a b\"",
    "ACL SETUSER bob %~x",
    "ACL SETUSER bob %Q~x",
    "ACL SETUSER bob %",
    "ACL SETUSER bob (+ping (x) )",
    "ACL SETUSER bob \"(+ping +nope)\"",
    "ACL SETUSER bob (on)",
    "ACL SETUSER bob )",
    "ACL SETUSER bob \"\"",
    "ACL SETUSER \"a b\" on",
    "ACL SETUSER \"a\\x00b\" on",
    "ACL SETUSER",
    "ACL GETUSER",
    "ACL GETUSER a b",
    "ACL DELUSER",
    "ACL DELUSER bob default",
    "ACL DELUSER nobody",
    "ACL CAT",
    "ACL CAT foo",
    "ACL CAT @fast",
    "ACL CAT keyspace",
    "ACL CAT a b",
    "ACL GENPASS 0",
    "ACL GENPASS 4097",
    "ACL GENPASS x",
    "ACL GENPASS 1 2",
    "ACL DRYRUN nobody ping",
    "ACL DRYRUN default get x",
    "ACL DRYRUN default ping a b c",
    "ACL DRYRUN default sentinel",
    "ACL DRYRUN default sentinel nope",
    "ACL DRYRUN default sentinel ckquorum",
    "ACL DRYRUN default shutdown",
    "ACL DRYRUN default",
    "ACL LOG x",
    "ACL LOG -1",
    "ACL LOG 1 2",
    "ACL LOG RESET",
    "ACL LOG",
    "ACL LOAD",
    "ACL SAVE",
    "ACL LOAD x",
    "ACL USERS x",
    "CLIENT KILL USER nobody",
    "CLIENT KILL USER bob",
    // A user and what it may do.
    "ACL SETUSER eve on >pw sanitize-payload +ping +subscribe +psubscribe +unsubscribe +publish +sentinel|masters &a* &__sentinel__:hello",
    "AUTH eve wrong",
    "AUTH eve pw",
    "PING",
    "SENTINEL masters",
    "SENTINEL nope",
    "SENTINEL master",
    "PUBLISH __sentinel__:hello x",
    "PUBLISH foo",
    "HELLO 2 AUTH eve wrong",
    "HELLO 2 AUTH eve pw SETNAME me",
    "AUTH default x",
    "ACL DRYRUN eve subscribe abc",
    "ACL DRYRUN eve psubscribe a*",
    "ACL DRYRUN eve unsubscribe x",
    "ACL DRYRUN eve auth x",
    "ACL SETUSER eve +@all -ping",
    "AUTH eve pw",
    "ACL WHOAMI",
    "ACL SETUSER eve off",
    "ACL WHOAMI",
    "AUTH eve pw",
    "AUTH default x",
    "ACL DELUSER bob eve",
    "AUTH eve pw",
    // A password for everyone who comes from now on.
    "ACL SETUSER default >secret",
    "PING",
    "AUTH wrong",
    "AUTH secret",
    "AUTH default secret",
    "ACL GETUSER default",
    "ACL SETUSER default nopass",
    "AUTH secret",
    "ACL LIST",
];

/// Requests whose replies differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "ACL SETUSER bob reset sanitize-payload +@all +client -client|kill -@slow +sentinel -@dangerous",
        "",
    ),
    (
        "ACL GETUSER bob",
        "rules are kept in their order, as since Redis 7.2; 7.0 works out the shortest ones",
    ),
    ("ACL DRYRUN bob role", "the wording of Redis 7.2 names the user"),
    ("ACL SETUSER bob resetchannels &a +subscribe", ""),
    (
        "ACL DRYRUN bob subscribe b",
        "the wording of Redis 7.2 names the user",
    ),
    (
        "ACL SETUSER \"\" on",
        "a user without a name would not come back from an ACL file",
    ),
    (
        "ACL SETUSER bob \"&\\xff\"",
        "patterns and names are UTF-8 text, because the files they go into are",
    ),
];

#[tokio::test]
async fn acl_replies_are_the_same_bytes_as_those_of_redis_sentinel() {
    let mut differences = Vec::new();
    for protocol in ["HELLO 2", "HELLO 3"] {
        let reference = Reference::start().await;
        let fixture = Setup {
            answer: |_| bellwether_core::Answer::Texts(Vec::new()),
            ..Setup::default()
        }
        .start()
        .await;
        let mut theirs = Client::connect(reference.addr).await;
        let mut ours = Client::connect(fixture.addr).await;
        for client in [&mut theirs, &mut ours] {
            exchange(client, protocol).await;
            exchange(client, FIRST).await;
        }
        for request in REQUESTS {
            let (theirs, ours) = (
                exchange(&mut theirs, request).await,
                exchange(&mut ours, request).await,
            );
            if theirs != ours {
                differences.push(format!(
                    "{protocol}: {request:?}\n  reference: {theirs}\n  here:      {ours}"
                ));
            }
        }
        for (request, reason) in DIFFERENT {
            let (theirs, ours) = (
                exchange(&mut theirs, request).await,
                exchange(&mut ours, request).await,
            );
            assert_eq!(
                theirs == ours,
                reason.is_empty(),
                "{request:?}: {reason}\n{theirs}\n{ours}"
            );
        }
    }
    assert!(
        differences.is_empty(),
        "{} replies differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
