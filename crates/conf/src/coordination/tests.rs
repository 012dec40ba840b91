use super::*;
use crate::diagnostic::Severity;
use crate::source::Source;
use crate::{Config, Diagnostic, parse, parse_yaml, rewrite};

fn load(text: &str) -> Result<Config, Vec<Diagnostic>> {
    load_with(text, &[Source::new("args", "sentinel resolve-hostnames yes")])
}

fn load_with(text: &str, overrides: &[Source]) -> Result<Config, Vec<Diagnostic>> {
    parse(&Source::new("f", text), overrides, &mut |_: &str| Ok(Vec::new()))
}

fn coordination(text: &str) -> Coordination {
    let config = load(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(config.warnings, [], "{text}");
    config.daemon.coordination
}

fn raft(text: &str) -> RaftSettings {
    match coordination(text) {
        Coordination::Raft(settings) => settings,
        Coordination::Vote => panic!("by vote: {text}"),
    }
}

/// Everything that has to be there, after which a test says more.
const RAFT: &str = "bellwether state-dir /s\nbellwether coordination raft\nbellwether member-id 1\nbellwether member 1 h 1\n";

/// Errors and warnings as `line:column: message`.
fn problems(text: &str, severity: Severity) -> Vec<String> {
    let all = load(text).map_or_else(|problems| problems, |config| config.warnings);
    let wanted = all.iter().filter(|problem| problem.severity == severity);
    wanted
        .map(|problem| problem.to_string().replacen("f:", "", 1))
        .collect()
}

fn check_bad(line: &str, expected: &str) {
    let text = format!("{RAFT}{line}");
    assert_eq!(problems(&text, Severity::Error), [expected], "{line}");
}

fn members(list: &[(u64, &str, u16)]) -> BTreeMap<u64, (String, u16)> {
    list.iter()
        .map(|(id, host, port)| (*id, ((*host).to_owned(), *port)))
        .collect()
}

#[test]
fn the_default_is_by_vote() {
    assert_eq!(coordination(""), Coordination::Vote);
    assert_eq!(coordination("bellwether coordination vote"), Coordination::Vote);
}

#[test]
fn a_member_is_told_everything() {
    let text = "Bellwether Coordination RAFT\nbellwether member 2 redis-2.Example 7001\nbellwether STALE-READS no\n\
                bellwether member-id 2\nbellwether member 1 0:0:0:0:0:0:0:1 7000\nbellwether cluster a-B_c.9\n\
                bellwether member 1152921504606846976 10.0.0.7 65535\nbellwether state-dir /s";
    let expected = RaftSettings {
        cluster: "a-B_c.9".to_owned(),
        member_id: 2,
        members: members(&[
            (1, "::1", 7000),
            (2, "redis-2.Example", 7001),
            (MAX_RAFT_MEMBER_ID, "10.0.0.7", 65535),
        ]),
        stale_reads: false,
    };
    assert_eq!(raft(text), expected);
}

#[test]
fn what_is_not_given_has_its_default() {
    let settings = raft(RAFT);
    assert_eq!(
        (settings.cluster.as_str(), settings.stale_reads),
        ("bellwether", true)
    );
}

#[test]
fn the_last_line_counts_save_for_members() {
    let text = format!(
        "bellwether coordination vote\nbellwether cluster a\n{RAFT}bellwether cluster b\nbellwether member-id 7\n\
         bellwether stale-reads no\nbellwether stale-reads yes\nbellwether member 2 h 2"
    );
    let settings = raft(&text);
    assert_eq!((settings.cluster.as_str(), settings.stale_reads), ("b", true));
    // One that joins is not among those that begin.
    assert_eq!(
        (settings.member_id, settings.members),
        (7, members(&[(1, "h", 1), (2, "h", 2)]))
    );
    let text = format!("{RAFT}bellwether coordination vote");
    let config = load(&text).expect("loads");
    assert_eq!(config.daemon.coordination, Coordination::Vote);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let long = "x".repeat(65);
    let cluster = "the name of a cluster is made of 1 to 64 letters, digits, and '-', '_', '.'";
    for name in ["''", "\"a b\"", "ä", &long] {
        check_bad(&format!("bellwether cluster {name}"), &format!("5:20: {cluster}"));
    }
    let largest = "x".repeat(64);
    assert_eq!(
        raft(&format!("{RAFT}bellwether cluster {largest}")).cluster,
        largest
    );
    check_bad(
        "bellwether coordination paxos",
        "5:25: argument(s) must be one of the following: vote, raft",
    );
    check_bad(
        "bellwether stale-reads maybe",
        "5:24: argument must be 'yes' or 'no'",
    );
    check_bad("bellwether member-id 0", "5:22: '0' is not the id of a member");
    check_bad("bellwether member-id -1", "5:22: '-1' is not the id of a member");
    check_bad(
        "bellwether member-id 1152921504606846977",
        "5:22: '1152921504606846977' is not the id of a member",
    );
    check_bad("bellwether member 0 h 2", "5:19: '0' is not the id of a member");
    check_bad("bellwether member x h 2", "5:19: 'x' is not the id of a member");
    check_bad("bellwether member 1 i 2", "5:19: member 1 is given twice");
    check_bad("bellwether member 2 H 1", "5:21: member 1 has the same address");
    check_bad(
        "bellwether member 2 h 0",
        "5:23: a member cannot be reached at port 0",
    );
    check_bad("bellwether member 2 h 65536", "5:23: Invalid port number.");
    check_bad("bellwether member 2 'a b' 2", "5:21: 'a b' is not a host");
    check_bad("bellwether member 2 h:2", "5:1: wrong number of arguments");
    check_bad(
        "bellwether member 2 '::' 2",
        "5:21: by '::' the other members cannot reach it",
    );
    for line in [
        "coordination",
        "cluster a b",
        "member-id 1 2",
        "member 2 h 2 2",
        "stale-reads",
    ] {
        check_bad(&format!("bellwether {line}"), "5:1: wrong number of arguments");
    }
}

#[test]
fn there_are_not_too_many_members() {
    let lines = |count| {
        (2..=count)
            .map(|id| format!("bellwether member {id} h {id}\n"))
            .collect::<String>()
    };
    let most = MAX_RAFT_MEMBERS as u64;
    assert_eq!(
        raft(&format!("{RAFT}{}", lines(most))).members.len(),
        MAX_RAFT_MEMBERS
    );
    check_bad(&lines(most + 1), "13:12: more than 9 members are given");
}

#[test]
fn the_log_needs_a_place_an_id_and_members() {
    let errors = |text: &str| problems(text, Severity::Error);
    let id = "1:25: with 'raft', 'member-id' must be given";
    let none = "1:25: with 'raft', the members must be given";
    let place = "1:25: with 'raft', 'state-dir' must be given, because the log is kept there";
    let mut text = "bellwether coordination raft\n".to_owned();
    assert_eq!(errors(&text), [id, none, place]);
    text.push_str("bellwether member-id 1\n");
    assert_eq!(errors(&text), [none, place]);
    text.push_str("bellwether member 1 h 1\n");
    assert_eq!(errors(&text), [place]);
    text.push_str("bellwether state-dir /s\n");
    assert_eq!(errors(&text), [""; 0]);
}

#[test]
fn what_only_the_log_uses_is_a_warning_without_it() {
    let text = "bellwether member 1 h 1\nbellwether member-id 1\nbellwether cluster c\nbellwether stale-reads yes\n\
                bellwether coordination vote\n";
    let expected = ["member", "member-id", "cluster", "stale-reads"]
        .iter()
        .zip(1..)
        .map(|(name, line)| {
            format!("{line}:12: '{name}' has no effect here: it is for coordination by raft")
        });
    assert_eq!(problems(text, Severity::Warning), expected.collect::<Vec<_>>());
    assert_eq!(problems(text, Severity::Error), [""; 0]);
}

#[test]
fn a_slip_of_the_pen_gets_a_hint() {
    for (line, hint) in [
        ("bellwether cordination raft", "did you mean 'coordination'?"),
        ("bellwether stale-read no", "did you mean 'stale-reads'?"),
        ("member-id 3", "did you mean 'bellwether member-id …'?"),
        (
            "bellwether member 1 h",
            "usage: bellwether member <id> <host> <port>",
        ),
    ] {
        let found = load(line).expect_err(line);
        assert_eq!(found[0].hint.as_deref(), Some(hint), "{line}");
    }
}

/// The rest of the file is not ours to change.
#[test]
fn the_lines_survive_rewriting() {
    let text = format!("# who\n{RAFT}  bellwether member  2 h 2 \nsentinel monitor m 10.0.0.1 6379 2\n");
    let config = load(&text).expect("loads");
    let registry = config.registry(|| bellwether_core::SentinelId::new(&"a".repeat(40)).expect("an id"));
    let written = rewrite(&text, &config, &registry);
    assert!(written.starts_with(&text), "{written}");
    let again = load(&written).expect("loads");
    assert_eq!(again.daemon.coordination, config.daemon.coordination);
}

#[test]
fn each_line_has_a_place() {
    let text = format!("{RAFT}bellwether member 2 i 2");
    let main = Source::new("f", text.as_str());
    let config = load(&text).expect("loads");
    let problem = |directive: &str| crate::Problem {
        severity: Severity::Error,
        directive: directive.to_owned(),
        message: "x".to_owned(),
        hint: None,
    };
    let asked = [
        "bellwether member 2",
        "bellwether member-id",
        "bellwether coordination",
    ];
    let placed = config.place(&main, asked.map(problem).into());
    let places: Vec<String> = placed.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["f:5:21: x", "f:3:22: x", "f:2:25: x"]);
}

fn yaml(text: &str) -> Result<Config, Vec<String>> {
    let names = Source::new("args", "sentinel resolve-hostnames yes");
    parse_yaml(&Source::new("f.yaml", text), &[names]).map_err(|problems| {
        problems
            .iter()
            .map(|problem| problem.to_string().replacen("f.yaml:", "", 1))
            .collect()
    })
}

#[test]
fn yaml_says_the_same() {
    let text = "state-dir: /s\ncoordination: {mode: raft, cluster: name, member-id: 2, members: [{id: 1, host: h, \
                port: 1}, {id: 2, host: '::1', port: 2}], stale-reads: no}\n";
    let settings = RaftSettings {
        cluster: "name".to_owned(),
        member_id: 2,
        members: members(&[(1, "h", 1), (2, "::1", 2)]),
        stale_reads: false,
    };
    let config = yaml(text).expect("loads");
    assert_eq!(config.daemon.coordination, Coordination::Raft(settings));
    let config = yaml("state-dir: /s\ncoordination: {mode: vote}").expect("loads");
    assert_eq!(config.daemon.coordination, Coordination::Vote);
}

#[test]
fn yaml_has_the_same_errors() {
    let start = "state-dir: /s\ncoordination:\n  mode: raft\n  member-id: 1\n  members:\n    - {id: 1, host: h, port: 1}\n";
    for (more, expected) in [
        ("    - {id: 1, host: i, port: 2}", "7:12: member 1 is given twice"),
        (
            "    - {id: 2, host: h, port: 1}",
            "7:21: member 1 has the same address",
        ),
        (
            "    - {id: 2, host: i, port: 0}",
            "7:30: a member cannot be reached at port 0",
        ),
        ("    - {id: 2, host: i}", "7:7: the member has no 'port'"),
        (
            "    - {id: 2, host: [i], port: 1}",
            "7:21: a single value is needed here",
        ),
        (
            "    - {id: 2, hots: i, host: i, port: 2}",
            "7:15: 'hots' is not a known key",
        ),
        ("    - 2", "7:7: a member must be a map of keys and values"),
        (
            "  cluster: 'a b'",
            "7:12: the name of a cluster is made of 1 to 64 letters, digits, and '-', '_', '.'",
        ),
        ("  clutser: a", "7:3: 'clutser' is not a known key"),
        ("  stale-reads: never", "7:16: argument must be 'yes' or 'no'"),
    ] {
        assert_eq!(
            yaml(&format!("{start}{more}\n")).expect_err(more),
            [expected],
            "{more}"
        );
    }
    let missing =
        yaml("state-dir: /s\ncoordination:\n  mode: raft\n  member-id: 1\n").expect_err("no members");
    assert_eq!(missing, ["3:9: with 'raft', the members must be given"]);
    let wrong =
        yaml("state-dir: /s\ncoordination: {mode: raft, member-id: 1, members: 1}").expect_err("no list");
    assert_eq!(wrong[0], "2:22: with 'raft', the members must be given");
    assert_eq!(wrong[1], "2:51: 'members' must be a list");
}

#[test]
fn members_with_names_need_names_to_be_resolved() {
    let problems = load_with(RAFT, &[]).expect_err("a host name");
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["f:4:21: 'h' is a host name, which is not resolved"]);
    let hint = problems.first().and_then(|problem| problem.hint.clone());
    assert!(hint.is_some_and(|hint| hint.contains("resolve-hostnames yes")));
    assert!(load_with(&RAFT.replace(" h ", " ::1 "), &[]).is_ok());
    assert!(load_with(&format!("{RAFT}sentinel resolve-hostnames yes\n"), &[]).is_ok());
    // By votes nobody goes by these lines.
    assert!(load_with(&RAFT.replace("raft", "vote"), &[]).is_ok());
}
