use std::time::Duration;

use super::*;
use crate::LogLevel;
use crate::options::LogFormat;

fn good(text: &str) -> Config {
    let config = parse_yaml(&Source::new("f.yaml", text), &[]);
    config.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The errors as `line:column: message`, and the hints.
fn bad(text: &str) -> Vec<String> {
    let problems = parse_yaml(&Source::new("f.yaml", text), &[]).expect_err("errors");
    problems
        .iter()
        .map(|problem| {
            let hint = problem.hint.as_deref().map(|hint| format!(" [{hint}]"));
            let line = format!("{problem}{}", hint.unwrap_or_default());
            line.trim_start_matches("f.yaml:").to_owned()
        })
        .collect()
}

fn one_bad(text: &str, expected: &str) {
    assert_eq!(bad(&format!("state-dir: /s\n{text}")), [expected], "{text}");
}

/// The sample of the module's documentation.
fn sample() -> String {
    let source = include_str!("../yaml.rs");
    let inside = source
        .split("//! ```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("//! ```").next());
    inside
        .expect("a sample")
        .lines()
        .map(|line| {
            line.trim_start_matches("//!")
                .trim_start_matches("//! ")
                .to_owned()
                + "\n"
        })
        .collect()
}

#[test]
fn the_sample_says_everything() {
    let config = good(&sample());
    assert_eq!(config.warnings, []);
    assert_eq!(config.daemon.bind.len(), 2);
    assert_eq!(config.daemon.loglevel, LogLevel::Notice);
    assert_eq!(config.daemon.log_format, LogFormat::Json);
    assert_eq!(config.sentinel.announce_port, Some(26379));
    let record = &config.groups["mymaster"];
    assert_eq!(record.primary.to_string(), "redis-1:6379");
    assert_eq!(record.options.down_after, Duration::from_secs(5));
    assert_eq!(record.options.failover_timeout, Duration::from_secs(180));
    assert_eq!(record.options.auth_user.as_deref(), Some("sentinel"));
    let sample = sample();
    // A password stands in one place or the other.
    let is_elsewhere = |key: &&str| ["requirepass-file", "sentinel-pass-file"].contains(key);
    for key in schema::tests::root_keys().filter(|key| !is_elsewhere(key)) {
        assert!(sample.contains(&format!("{key}:")), "{key} is not in the sample");
    }
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    assert_eq!(
        bad(
            "port: x\nbind: [127.0.0.1, 'a b']\ngroups:\n  m:\n    primary: 10.0.0.1:99999\n    quorum: 0\n    \
             down-after: 5 weeks\n  n: {quorum: 1}\nprot: 1\nport: 2\n"
        ),
        [
            "1:1: 'state-dir' must be given, because a YAML file is never rewritten [add for example 'state-dir: \
             /var/lib/bellwether']",
            "1:7: argument couldn't be parsed into an integer ['x' was given]",
            "2:19: 'a b' is neither an IP address nor a host name",
            "5:14: Invalid port number.",
            "6:13: Quorum must be 1 or greater.",
            "7:17: '5 weeks' is not a time [write for example 5s, 500ms, 3m, 1h, or a number of milliseconds]",
            "8:3: the group 'n' has no 'primary'",
            "9:1: 'prot' is not a known key [did you mean 'port'?]",
            "10:1: 'port' is given twice",
        ]
    );
}

#[test]
fn groups_may_not_be_given_twice() {
    let group = "{primary: '[::1]:6379', quorum: 1}";
    one_bad(
        &format!("groups:\n  m: {group}\n  m: {group}\n"),
        "4:3: Duplicate master name.",
    );
    one_bad(
        &format!("groups: {{ 1: {group} }}"),
        "2:11: the name of a group must be text [put it in quotes]",
    );
}

#[test]
fn primaries_are_written_in_two_ways() {
    let config = good(
        "state-dir: /s\ngroups:\n  a: {primary: '[::1]:1', quorum: 1}\n  b: {primary: {host: '::1', port: 1}, quorum: 1}\n",
    );
    assert_eq!(config.groups["a"], config.groups["b"]);
    one_bad(
        "groups: {m: {primary: '::1:6379', quorum: 1}}",
        "2:23: '::1:6379' is not a host and a port [write host:port, or [address]:port for IPv6]",
    );
    one_bad(
        "groups: {m: {primary: redis-1:6379, quorum: 1}}",
        "2:23: Can't resolve instance hostname. ['redis-1' is a host name: add the line 'resolve-hostnames: true', \
         or write its IP address]",
    );
}

#[test]
fn passwords_must_be_text_and_are_not_shown() {
    one_bad(
        "requirepass: 12345",
        "2:14: 'requirepass' must be text [put it in quotes]",
    );
    let text = "state-dir: /s\ngroups: {m: {primary: '::1', quorum: 1, auth-pass: hunter2}}";
    for problem in parse_yaml(&Source::new("f.yaml", text), &[]).expect_err("errors") {
        assert!(!problem.report().contains("hunter2"), "{}", problem.report());
    }
}

#[test]
fn what_is_no_yaml_has_a_place_too() {
    let problems = bad("port: 1\n  bind: [");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("2:7: "), "{}", problems[0]);
    assert_eq!(
        bad(""),
        [
            "1:1: the configuration must be a map of keys and values",
            STATE_DIR
        ]
    );
    assert_eq!(
        bad("- a"),
        [
            "1:1: the configuration must be a map of keys and values",
            STATE_DIR
        ]
    );
    assert_eq!(bad(&" ".repeat(MAX_YAML_LEN + 1)).len(), 1);
}

const STATE_DIR: &str = "1:1: 'state-dir' must be given, because a YAML file is never rewritten [add for example \
                         'state-dir: /var/lib/bellwether']";

#[test]
fn bombs_are_refused() {
    let nested = "[".repeat(20_000);
    assert_eq!(bad(&nested).len(), 1);
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let alias = format!("*a{}", n - 1);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    assert_eq!(bad(&laughs).len(), 1);
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        vec!["*a"; 1000].join(", ")
    );
    assert_eq!(bad(&long).len(), 1);
}

#[test]
fn the_command_line_overrides() {
    let line = crate::overrides_from_args(&["--bellwether state-dir /s", "--port", "7"]).expect("arguments");
    let config = parse_yaml(&Source::new("f.yaml", "port: 1"), &[line]).expect("good");
    assert_eq!(config.daemon.port, 7);
    let wrong = crate::overrides_from_args(&["--port", "x"]).expect("arguments");
    let problems = parse_yaml(&Source::new("f.yaml", "state-dir: /s"), &[wrong]).expect_err("error");
    assert_eq!(
        problems[0].to_string(),
        "command line:1:6: argument couldn't be parsed into an integer"
    );
}

#[test]
fn the_extension_chooses() {
    assert!(is_yaml("/etc/a.YAML") && is_yaml("b.yml"));
    assert!(!is_yaml("sentinel.conf") && !is_yaml("yaml"));
}

#[test]
fn users_are_a_list_of_names_and_rules() {
    let config = good(
        "state-dir: /s\nusers:\n  - { name: a, rules: 'on  >x (+ping ~a) \"#b c\"' }\n  - name: b\n    rules: [on, \">x y\"]\n  \
         - { name: c }\n",
    );
    let users = config.daemon.users.iter();
    let said: Vec<_> = users
        .map(|user| (user.name.as_str(), user.rules.join("|")))
        .collect();
    let expected = [("a", "on|>x|(+ping|~a)|#b c"), ("b", "on|>x y"), ("c", "")];
    assert_eq!(said, expected.map(|(name, rules)| (name, rules.to_owned())));
    assert_eq!(config.daemon.users[0].text(), "user a on >x (+ping ~a) \"#b c\"");
    assert_eq!(good("state-dir: /s\nusers:\n").daemon.users, []);
}

#[test]
fn a_way_to_agree_that_is_no_map_gets_an_example() {
    let source = Source::new("f.yaml", "state-dir: /s\ncoordination: raft");
    let problems = parse_yaml(&source, &[]).expect_err("errors");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        problems[0].hint.as_deref(),
        Some("write: { mode: raft, member-id: …, members: […] }, or { mode: vote }")
    );
}

#[test]
fn wrong_users_are_named_and_not_shown() {
    for (text, expected) in [
        (
            "users: a",
            "2:8: 'users' must be a list [write for each: - { name: …, rules: \"…\" }]",
        ),
        ("users: [a]", "2:9: a user must be a map of keys and values"),
        ("users: [{rules: 'on >hush'}]", "2:9: the user has no 'name'"),
        (
            "users: [{name: a, rules: {on: hush}}]",
            "2:26: 'rules' must be text or a list of texts [put them in quotes]",
        ),
        (
            "users: [{name: a, rules: [on, 5, hush]}]",
            "2:31: a rule must be text [put it in quotes]",
        ),
        (
            "users: [{name: a, rules: 'on \">hush'}]",
            "2:26: Unbalanced quotes in the rules [or write the rules as a list]",
        ),
        (
            "users: [{name: a, pass: hush}]",
            "2:19: 'pass' is not a known key [known are: name, rules]",
        ),
        (
            "users: [{name: a b, rules: hush}]",
            "2:16: Spaces not allowed in ACL usernames",
        ),
        (
            "users: [{name: a}, {name: a, rules: hush}]",
            "2:27: Duplicate user found. A user can only be defined once in config files",
        ),
        (
            "aclfile: f\nusers: [{name: a, rules: hush}]",
            "3:9: 'user' and 'aclfile' exclude each other: only one of the two can hold [move the users into the ACL file, or \
             remove 'aclfile']",
        ),
    ] {
        one_bad(text, expected);
        let source = Source::new("f.yaml", format!("state-dir: /s\n{text}"));
        for problem in parse_yaml(&source, &[]).expect_err("errors") {
            assert!(!problem.report().contains("hush"), "{}", problem.report());
        }
    }
}

#[test]
fn a_mistake_at_the_end_has_a_place_in_the_text() {
    for text in ["a: 1\nn", "a: 1\nb\n", "a: 1\u{85}b\u{85}c"] {
        let problems = parse_yaml(&Source::new("f.yaml", text), &[]).expect_err("an error");
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&problems[0].line), "{text:?}: {problems:?}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let config = good("\u{feff}state-dir: /s\r\nport: 1\r\n");
    assert_eq!(config.daemon.port, 1);
}

#[test]
fn passwords_behind_a_slip_are_not_shown() {
    for (text, shown) in [
        ("requirepas: hush", "requirepas: ******"),
        ("'requirepas': [hush]", "'requirepas': ******"),
        (
            "groups: { g: { primary: h:1, quorum: 1, auth-pas: hush } }",
            "groups: { g: { primary: h:1, quorum: 1, auth-pas: ******",
        ),
        ("usrs: [hush]", "usrs: ******"),
        ("user: { name: a, rules: hush }", "user: { name: a, rules: ******"),
        // No YAML.
        ("requirepas: {hush", ""),
        ("users:\n  - >hush\n :", ""),
        ("port: 1 # no password: hush\nport: ]", ""),
        // Nothing to hide.
        ("port: many", "port: many"),
        ("prot: 5", "prot: ******"),
        ("bind: [a, 'b c']", "bind: [a, 'b c']"),
    ] {
        let source = Source::new("f.yaml", format!("state-dir: /s\n{text}\n"));
        let problems = parse_yaml(&source, &[]).expect_err(text);
        let report = problems[0].report();
        if !shown.is_empty() {
            assert_eq!(problems[0].directive, shown, "{report}");
        }
        assert!(!report.contains("hush"), "{report}");
    }
}

/// Without the limit this takes hours.
#[test]
fn deep_brackets_are_refused_at_once() {
    let text = format!("users: {}", "[".repeat(MAX_YAML_LEN - 100));
    let problems = parse_yaml(&Source::new("f.yaml", text), &[]).expect_err("too deep");
    assert_eq!(
        problems[0].to_string(),
        "f.yaml:1:136: more than 128 brackets are open"
    );
}

/// Levels without brackets cost nothing more.
#[test]
fn deep_lists_and_maps_are_refused() {
    for unit in ["- ", "? "] {
        let text = format!("users:\n  {}", unit.repeat(MAX_YAML_LEN / 4));
        let problems = parse_yaml(&Source::new("f.yaml", text), &[]).expect_err("too deep");
        assert!(problems[0].message.contains("recursion limit"), "{problems:?}");
    }
}
