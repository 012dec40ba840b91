//! `bellwether members` and what `bellwether status` says of a log, against coordinators that are played.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bellwether_resp::Value;
use support::{ports, run, spoken::Spoken, stderr, stdout};

fn map(fields: &[(&str, Value)]) -> Value {
    let fields = fields.iter();
    Value::Map(
        fields
            .map(|(name, value)| (Value::bulk(name), value.clone()))
            .collect(),
    )
}

/// The answer of member `id` to `SENTINEL RAFT STATUS`, where member `leader` leads and member `n` listens at the
/// `n`-th of `ports`.
fn status(id: usize, leader: usize, majority_ms: i64, ports: &[u16]) -> Value {
    let number = |number: usize| Value::Integer(i64::try_from(number).expect("small"));
    let lag = |lag| Value::Integer(if id == leader { lag } else { -1 });
    let members = ports.iter().enumerate().map(|(index, port)| {
        map(&[
            ("id", number(index + 1)),
            ("sentinel", Value::bulk(format!("{:040}", index + 1))),
            ("address", Value::bulk(format!("127.0.0.1:{port}"))),
            ("voter", Value::Integer(i64::from(index < 2))),
            ("matched", lag(90)),
            ("lag", lag(10)),
            (
                "last-contact-ms",
                Value::Integer(if index + 1 == id { -1 } else { 30 }),
            ),
        ])
    });
    let role = if id == leader { "leader" } else { "follower" };
    let port = leader.checked_sub(1).map_or(0, |index| ports[index]);
    map(&[
        ("id", number(id)),
        ("cluster", Value::bulk("00ff")),
        ("role", Value::bulk(role)),
        ("term", Value::Integer(7)),
        ("leader", number(leader)),
        (
            "leader-host",
            Value::bulk(if leader == 0 { "" } else { "127.0.0.1" }),
        ),
        ("leader-port", Value::Integer(i64::from(port))),
        ("commit", Value::Integer(100)),
        ("applied", Value::Integer(100)),
        ("last", Value::Integer(100)),
        ("snapshot", Value::Integer(40)),
        ("log-bytes", Value::Integer(512)),
        ("pending", Value::Integer(0)),
        ("majority-contact-ms", Value::Integer(majority_ms)),
        ("may-act", Value::Integer(i64::from(id == leader))),
        ("problem", Value::bulk("")),
        ("members", Value::Array(members.collect())),
    ])
}

/// Words without the space that columns need.
fn squeezed(text: &str) -> Vec<String> {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(squeeze).collect()
}

#[test]
fn members_are_listed() {
    let at = ports::<3>();
    let leader = Spoken::start(at[0], move |words| {
        assert_eq!(words, "SENTINEL RAFT STATUS");
        status(1, 1, 20, &at)
    });
    let output = run(&["members", "--sentinel", &leader.at()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let row = |n: usize, rest: &str| format!("{n} 127.0.0.1:{} {rest}", at[n - 1]);
    let expected = [
        format!(
            "term 7, 100 entries decided, as member 1 at {} sees it",
            leader.at()
        ),
        "ID ADDRESS VOTE ROLE MATCHED LAG LAST CONTACT".to_owned(),
        row(1, "yes leader 90 10 asked"),
        row(2, "yes follower 90 10 30 ms ago"),
        row(3, "no learner 90 10 30 ms ago"),
    ];
    assert_eq!(squeezed(&stdout(&output)), expected);

    let output = run(&["members", "--json", "--sentinel", &leader.at()]);
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&log["role"], &log["leader"]), (&"leader".into(), &1.into()));
    assert_eq!(log["members"][2]["lag_entries"], 10);
    assert_eq!(log["members"][0]["last_contact_ms"], serde_json::Value::Null);
}

#[test]
fn an_order_goes_to_the_member_that_was_named() {
    let at = ports::<3>();
    let follower = Spoken::start(at[1], move |words| match words {
        "SENTINEL RAFT REMOVE 9" => Value::error("NOQUORUM no majority of the members is in reach"),
        _ => Value::simple("OK"),
    });
    let named = ["--sentinel".to_owned(), follower.at()];
    for (order, wire, outcome) in [
        (
            "add 4 ::1 26379 --replaces 2",
            "SENTINEL RAFT ADD 4 ::1 26379 REPLACES 2",
            "member 4 at [::1]:26379 was let in; it votes as soon as it has the log, and member 2 goes",
        ),
        (
            "remove 3",
            "SENTINEL RAFT REMOVE 3",
            "member 3 was taken out: its id must not be used again",
        ),
        (
            "move 3 db-3 26380",
            "SENTINEL RAFT MOVE 3 db-3 26380",
            "member 3 is reached at db-3:26380 now",
        ),
        ("snapshot", "SENTINEL RAFT SNAPSHOT", ""),
    ] {
        let mut args = vec!["members"];
        args.extend(order.split(' '));
        args.extend(named.iter().map(String::as_str));
        let output = run(&args);
        assert!(output.status.success(), "{order}: {}", stderr(&output));
        assert!(
            stdout(&output).starts_with(outcome),
            "{order}: {}",
            stdout(&output)
        );
        assert_eq!(follower.heard(), [wire]);
    }
    let refused = run(&["members", "remove", "9", "--sentinel", &follower.at()]);
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(1), ""));
    let words = format!(
        "bellwether: {} refuses: NOQUORUM no majority of the members is in reach\n",
        follower.at()
    );
    assert_eq!(stderr(&refused), words);
}

#[test]
fn a_sentinel_that_shares_no_log_is_accepted() {
    let [port] = ports();
    let line = |group: &str, id: &str| {
        format!("bellwether_foreign_sentinel:group={group},id={id},address=10.0.0.9:26379\r\n")
    };
    let info = [line("cache", "aa"), line("two", "bb"), line("two", "cc")].concat();
    let asked = Spoken::start(port, move |words| match words {
        "INFO sentinel" => Value::bulk(&info),
        "SENTINEL RAFT ACCEPT-FOREIGN none zz" => Value::error("ERR No such master with that name"),
        _ => Value::simple("OK"),
    });
    let accept = |words: &[&str]| {
        let output = run(&[&["members", "accept"], words, &["--sentinel", &asked.at()]].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    };
    // Only one can be meant.
    let done = |id: &str, group: &str| {
        let outcome = format!("sentinel {id} may watch {group} beside the members of the log\n");
        (Some(0), outcome, String::new())
    };
    assert_eq!(accept(&["cache"]), done("aa", "cache"));
    assert_eq!(
        asked.heard(),
        ["INFO sentinel", "SENTINEL RAFT ACCEPT-FOREIGN cache aa"]
    );
    // Whoever is named is not looked for.
    assert_eq!(accept(&["two", "cc"]), done("cc", "two"));
    assert_eq!(asked.heard(), ["SENTINEL RAFT ACCEPT-FOREIGN two cc"]);
    for (words, complaint) in [
        (
            &["two"][..],
            "say which one is meant: bb at 10.0.0.9:26379, cc at",
        ),
        (&["cach"], "no sentinel holds cach back"),
        (&["none", "zz"], "refuses: ERR No such master"),
    ] {
        let (status, told, complained) = accept(words);
        assert_eq!((status, told.as_str()), (Some(1), ""), "{words:?}");
        assert!(complained.contains(complaint), "{words:?}: {complained}");
    }
}

#[test]
fn the_lead_is_handed_over_by_whoever_has_it() {
    let at = ports::<3>();
    let leading = Arc::new(AtomicU64::new(1));
    let seen = Arc::clone(&leading);
    let leader = Spoken::start(at[0], move |words| {
        if words.starts_with("SENTINEL RAFT TRANSFER") {
            seen.store(2, Ordering::SeqCst);
            return Value::simple("OK");
        }
        let leader = usize::try_from(seen.load(Ordering::SeqCst)).expect("small");
        status(1, leader, 20, &at)
    });
    let follower = Spoken::start(at[1], move |_| status(2, 1, 20, &at));
    let output = run(&["members", "transfer", "2", "--sentinel", &follower.at()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "member 2 leads now\n");
    assert_eq!(follower.heard(), ["SENTINEL RAFT STATUS"]);
    assert_eq!(leader.heard()[0], "SENTINEL RAFT TRANSFER 2");

    // Nobody has it, or the one who is to have it.
    let output = run(&["members", "transfer", "1", "--sentinel", &follower.at()]);
    assert_eq!(stdout(&output), "member 1 leads already\n");
    let [port] = ports();
    let alone = Spoken::start(port, move |_| status(2, 0, 20_000, &at));
    let output = run(&["members", "transfer", "--sentinel", &alone.at()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no member is known to lead"),
        "{}",
        stderr(&output)
    );
    assert_eq!(alone.heard(), ["SENTINEL RAFT STATUS"]);
}

#[test]
fn whoever_shares_no_log_is_told_apart() {
    let [votes, other] = ports();
    let votes = Spoken::start(votes, |_| {
        Value::error("NORAFT This sentinel does not use `bellwether coordination raft`")
    });
    let other = Spoken::start(other, |_| {
        Value::error("ERR unknown subcommand 'RAFT'. Try SENTINEL HELP.")
    });
    for (asked, words) in [
        (
            &votes,
            "shares no log: it does not use `bellwether coordination raft`",
        ),
        (&other, "shares no log, as no sentinel but ours does"),
    ] {
        for args in [
            &["members"][..],
            &["members", "remove", "3"],
            &["members", "transfer"],
        ] {
            let output = run(&[args, &["--sentinel", &asked.at()]].concat());
            assert_eq!(output.status.code(), Some(1), "{args:?}");
            assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn status_shows_the_log_and_warns_where_it_decides_nothing() {
    let at = ports::<3>();
    let majority = Arc::new(AtomicU64::new(20));
    let seen = Arc::clone(&majority);
    let asked = Spoken::start(at[1], move |words| match words {
        "SENTINEL MASTERS" => Value::Array(vec![map(&[
            ("name", Value::bulk("cache")),
            ("ip", Value::bulk("127.0.0.1")),
            ("port", Value::bulk("1")),
            ("flags", Value::bulk("master")),
            ("quorum", Value::bulk("1")),
            ("num-other-sentinels", Value::bulk("0")),
        ])]),
        "SENTINEL RAFT STATUS" => {
            let majority = i64::try_from(seen.load(Ordering::SeqCst)).expect("small");
            status(2, 1, majority, &at)
        }
        "INFO sentinel" => Value::bulk("sentinel_masters:1\r\n"),
        _ => Value::Array(Vec::new()),
    });
    let check = || {
        let output = run(&["status", "--check", "--sentinel", &asked.at()]);
        (output.status.code(), stdout(&output))
    };
    assert_eq!(check(), (Some(0), "OK: 1 group\n".to_owned()));
    let shown = stdout(&run(&["status", "--sentinel", &asked.at()]));
    let line = format!(
        "log  follower 2, member 1 at 127.0.0.1:{} leads, term 7, 100 entries decided, members 1, 2, 3 (no vote)\n",
        at[0]
    );
    assert!(shown.starts_with(&line), "{shown}");
    let json = run(&["status", "--json", "--sentinel", &asked.at()]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["log"]["member_id"], 2);

    majority.store(9_000, Ordering::SeqCst);
    let words = "WARNING: no majority of the members of the log was in reach for 9 s, so that nothing is decided there\n";
    assert_eq!(check(), (Some(1), words.to_owned()));
}
