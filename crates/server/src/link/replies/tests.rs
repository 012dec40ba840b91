use super::*;

fn after(commands: &[Command]) -> Replies {
    let mut replies = Replies::default();
    for (number, command) in commands.iter().enumerate() {
        replies
            .await_command(RequestId(number as u64), command)
            .expect("room for a few");
    }
    replies
}

fn check(command: &Command, value: Value, expected: Reply) {
    let taken = after(std::slice::from_ref(command)).take(value.clone());
    assert_eq!(taken, Ok(Meaning::Reply(RequestId(0), expected)), "{value:?}");
}

#[test]
fn replies_to_ping() {
    let cases = [
        (Value::simple("PONG"), Pong::Pong),
        (Value::error("LOADING Redis is loading"), Pong::Loading),
        (
            Value::error("MASTERDOWN Link with MASTER is down"),
            Pong::PrimaryDown,
        ),
        (Value::error("BUSY a script"), Pong::Busy),
        (
            Value::error("NOAUTH Authentication required."),
            Pong::Refused("NOAUTH Authentication required.".into()),
        ),
        (Value::simple("HELLO"), Pong::Refused("HELLO".into())),
    ];
    for (value, pong) in cases {
        check(&Command::Ping, value, Reply::Ping(pong));
    }
    check(
        &Command::Ping,
        Value::bulk("PONG"),
        Reply::Odd("the string \"PONG\"".into()),
    );
}

#[test]
fn replies_to_info() {
    check(
        &Command::Info,
        Value::bulk("role:master\r\n"),
        Reply::Info("role:master\r\n".into()),
    );
    let text = Value::bulk(b"a:\xff\r\n");
    check(&Command::Info, text, Reply::Info("a:\u{fffd}\r\n".into()));
    check(
        &Command::Info,
        Value::error("NOPERM no"),
        Reply::Refused("NOPERM no".into()),
    );
    check(
        &Command::Info,
        Value::Integer(3),
        Reply::Odd("the number 3".into()),
    );
}

#[test]
fn info_comes_behind_a_refused_replconf_or_alone() {
    let info = || Value::bulk("role:slave\r\n");
    let reply = Meaning::Reply(RequestId(0), Reply::Info("role:slave\r\n".into()));
    let mut alone = after(&[Command::InfoAndAck]);
    assert_eq!(alone.take(info()), Ok(reply));
    for refusal in [
        Value::error("NOPERM User watch has no permissions to run the 'replconf' command"),
        Value::error("ERR unknown command 'REPLCONF', with args beginning with: 'GETACK' '*' "),
        Value::simple("OK"),
    ] {
        let mut replies = after(&[Command::InfoAndAck, Command::Ping]);
        assert_eq!(replies.take(refusal), Ok(Meaning::Nothing));
        let reply = Meaning::Reply(RequestId(0), Reply::Info("role:slave\r\n".into()));
        assert_eq!(replies.take(info()), Ok(reply));
        let pong = Meaning::Reply(RequestId(1), Reply::Ping(Pong::Pong));
        assert_eq!(replies.take(Value::simple("PONG")), Ok(pong));
    }
    check(
        &Command::InfoAndAck,
        Value::error("NOPERM this user has no permissions to run the 'info' command"),
        Reply::Refused("NOPERM this user has no permissions to run the 'info' command".into()),
    );
}

#[test]
fn replies_of_peers() {
    let ask = Command::AskDown {
        host: "10.0.0.1".into(),
        port: 6379,
        epoch: Epoch(1),
        candidate: None,
    };
    let answer = |down, leader: &str, epoch| {
        Value::Array(vec![
            Value::Integer(down),
            Value::bulk(leader),
            Value::Integer(epoch),
        ])
    };
    let verdict = |down, leader: Option<&str>, epoch| {
        Reply::Verdict(Verdict {
            down,
            leader: leader.map(|id| SentinelId::new(id).expect("an id")),
            leader_epoch: Epoch(epoch),
        })
    };
    check(&ask, answer(0, "*", 0), verdict(false, None, 0));
    check(&ask, answer(1, "abc", 9), verdict(true, Some("abc"), 9));
    check(&ask, answer(1, "abc", -1), Reply::Odd("a list of 3".into()));
    check(&ask, answer(1, "a b", 1), Reply::Odd("a list of 3".into()));
    check(&ask, Value::Array(vec![]), Reply::Odd("a list of 0".into()));
    check(
        &ask,
        Value::error("NOAUTH no"),
        Reply::Refused("NOAUTH no".into()),
    );
}

/// Runs the transaction with these replies, followed by that of a PING.
fn transaction(replies: [Value; 6]) -> Reply {
    let mut awaited = after(&[Command::Reconfigure { follow: None }, Command::Ping]);
    let mut outcome = None;
    for value in replies {
        match awaited.take(value).expect("it is awaited") {
            Meaning::Reply(RequestId(0), reply) => outcome = Some(reply),
            other => assert_eq!(other, Meaning::Nothing),
        }
    }
    let pong = Meaning::Reply(RequestId(1), Reply::Ping(Pong::Pong));
    assert_eq!(awaited.take(Value::simple("PONG")), Ok(pong));
    outcome.expect("the last reply gives the outcome")
}

fn queued(exec: Value) -> [Value; 6] {
    let queued = Value::simple("QUEUED");
    [
        Value::simple("OK"),
        queued.clone(),
        queued.clone(),
        queued.clone(),
        queued,
        exec,
    ]
}

#[test]
fn a_transaction_is_one_command() {
    let results = |role, rewrite| Value::Array(vec![role, rewrite, Value::Integer(1), Value::Integer(0)]);
    let ok = || Value::simple("OK");
    assert_eq!(transaction(queued(results(ok(), ok()))), Reply::Done);
    let no_file = Value::error("ERR The server is running without a config file");
    assert_eq!(transaction(queued(results(ok(), no_file))), Reply::Done);
    let refused = Value::error("ERR REPLICAOF not allowed in cluster mode.");
    let words = "ERR REPLICAOF not allowed in cluster mode.".to_owned();
    assert_eq!(transaction(queued(results(refused, ok()))), Reply::Refused(words));
}

#[test]
fn a_transaction_that_was_not_carried_out() {
    let mut replies = queued(Value::error(
        "EXECABORT Transaction discarded because of previous errors.",
    ));
    replies[1] = Value::error("NOPERM no slaveof");
    assert_eq!(transaction(replies), Reply::Refused("NOPERM no slaveof".into()));
    let given_up = "the server gave up the transaction".to_owned();
    assert_eq!(transaction(queued(Value::NullArray)), Reply::Refused(given_up));
    assert_eq!(
        transaction(queued(Value::Integer(1))),
        Reply::Odd("the number 1".into())
    );
}

#[test]
fn a_server_without_transactions_may_change_its_role_all_the_same() {
    let replies = [
        Value::error("ERR unknown command 'MULTI'"),
        Value::simple("OK"),
        Value::simple("OK"),
        Value::Integer(0),
        Value::Integer(0),
        Value::error("ERR EXEC without MULTI"),
    ];
    assert_eq!(transaction(replies), Reply::Done);
}

#[test]
fn pushes_take_no_place_in_the_order() {
    let mut replies = after(&[Command::Ping]);
    replies.await_subscribe();
    let hello = |text| {
        Value::Push(vec![
            Value::bulk("message"),
            Value::bulk(HELLO_CHANNEL),
            Value::bulk(text),
        ])
    };
    assert_eq!(replies.take(hello("a,b")), Ok(Meaning::Hello("a,b".into())));
    let pong = Meaning::Reply(RequestId(0), Reply::Ping(Pong::Pong));
    assert_eq!(replies.take(Value::simple("PONG")), Ok(pong));
    let subscribed = vec![
        Value::bulk("subscribe"),
        Value::bulk(HELLO_CHANNEL),
        Value::Integer(1),
    ];
    assert_eq!(replies.take(Value::Push(subscribed)), Ok(Meaning::Subscribed));
    let other = vec![Value::bulk("invalidate"), Value::Null];
    assert_eq!(replies.take(Value::Push(other)), Ok(Meaning::Nothing));
    assert_eq!(replies.take(Value::simple("PONG")), Err(ReplyError::Unasked));
}

#[test]
fn a_refused_subscription_takes_its_place() {
    let mut replies = Replies::default();
    replies.await_subscribe();
    let refused = Meaning::SubscribeRefused("NOPERM no".into());
    assert_eq!(replies.take(Value::error("NOPERM no")), Ok(refused));
}

#[test]
fn missing_replies_are_bounded() {
    let mut replies = Replies::default();
    for number in 0..MAX_AWAITED {
        replies
            .await_command(RequestId(number as u64), &Command::Ping)
            .expect("room");
    }
    assert_eq!(
        replies.await_command(RequestId(0), &Command::Ping),
        Err(ReplyError::TooMany)
    );
}

#[test]
fn a_servers_words_cannot_break_the_log() {
    let long = vec![b'x'; 10_000];
    assert_eq!(cut(&long).len(), MAX_TEXT_LEN);
    assert_eq!(cut(b"a\nb\x1b[31m"), "a b [31m");
}

#[test]
fn a_password_that_the_server_repeats_is_not_repeated_here() {
    for text in [
        "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 's3cret'",
        "ERR unknown command `AUTH`, with args beginning with: `s3cret`, ",
    ] {
        let mut replies = Replies::default();
        replies.await_greeting();
        let refused = Meaning::GreetingRefused("ERR unknown command".into());
        assert_eq!(replies.take(Value::error(text)), Ok(refused));
    }
    let wrong = Value::error("WRONGPASS invalid username-password pair");
    assert_eq!(
        greeting_refusal(&wrong).as_deref(),
        Some("WRONGPASS invalid username-password pair")
    );
    assert_eq!(greeting_refusal(&Value::simple("OK")), None);
}
