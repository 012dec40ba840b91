//! The table against what the reference documents, and against itself.

use std::collections::BTreeSet;

use bellwether_conf::CommandNames;
use bellwether_resp::Request;

use super::spec::Command;
use super::{Lookup, Names, lookup, quoted, table};

fn every() -> impl Iterator<Item = &'static Command> {
    table::COMMANDS
        .iter()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

#[test]
fn names_are_unique_lower_case_and_belong_to_their_container() {
    let names: BTreeSet<&str> = every().map(|command| command.name).collect();
    assert_eq!(names.len(), every().count());
    for container in table::COMMANDS {
        for command in container.subcommands {
            assert_eq!(command.name, format!("{}|{}", container.name, command.own_name()));
        }
    }
    assert!(
        names
            .iter()
            .all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase()))
    );
}

#[test]
fn every_row_can_run_and_is_explained() {
    for command in every() {
        assert!(
            command.run.is_some() || !command.subcommands.is_empty(),
            "{} does nothing",
            command.name
        );
        assert!(!command.doc.summary.is_empty(), "{} has no summary", command.name);
        assert!(!command.doc.since.is_empty() && !command.doc.group.is_empty());
        let least = command.name.split('|').count();
        assert!(
            command.arity.unsigned_abs() as usize >= least,
            "{}: arity counts the name's words",
            command.name
        );
    }
}

#[test]
fn flags_and_categories_are_those_of_the_reference() {
    let check = |name: &str, flags: &str, categories: &str| {
        let command = every().find(|command| command.name == name).expect(name);
        assert_eq!(command.flags.texts().join(" "), flags, "{name}");
        assert_eq!(command.categories.texts().join(" "), categories, "{name}");
    };
    check(
        "auth",
        "noscript loading stale fast no_auth allow_busy",
        "@fast @connection",
    );
    check("client", "", "@slow");
    check(
        "client|list",
        "admin noscript loading stale",
        "@admin @slow @dangerous @connection",
    );
    check("client|help", "loading stale", "@slow @connection");
    check("info", "loading stale", "@slow @dangerous");
    check("ping", "fast", "@fast @connection");
    check("publish", "pubsub loading stale fast", "@pubsub @fast");
    check("subscribe", "pubsub noscript loading stale", "@pubsub @slow");
    check("role", "noscript loading stale fast", "@admin @fast @dangerous");
    check("sentinel|masters", "admin", "@admin @slow @dangerous");
    check("sentinel|help", "loading stale", "@slow");
    check(
        "shutdown",
        "admin noscript loading stale no_multi allow_busy",
        "@admin @slow @dangerous",
    );
}

#[test]
fn lookup_ignores_case_and_tells_what_is_unknown() {
    let names = Names::new(&CommandNames::default());
    let look = |words: &[&str]| lookup(&names, &Request::from_args(words).expect("words"), 0);
    assert!(matches!(look(&["PiNg"]), Lookup::Found(command) if command.name == "ping"));
    assert!(
        matches!(look(&["Sentinel", "MASTERS"]), Lookup::Found(command) if command.name == "sentinel|masters")
    );
    assert!(matches!(look(&["sentinel"]), Lookup::Found(command) if command.name == "sentinel"));
    assert!(matches!(look(&["ping", "help"]), Lookup::Found(command) if command.name == "ping"));
    assert!(matches!(look(&["sentinel", "nope"]), Lookup::UnknownSubcommand));
    assert!(matches!(look(&["get", "x"]), Lookup::UnknownCommand));
}

#[test]
fn quoted_words_are_cut_and_end_at_a_nul() {
    assert_eq!(quoted(b"abc", 128), b"abc");
    assert_eq!(quoted(b"abc", 2), b"ab");
    assert_eq!(quoted(b"a\0c", 128), b"a");
    assert_eq!(quoted(b"", 128), b"");
}

#[test]
fn the_commands_that_can_be_renamed_are_those_that_there_are() {
    let default = CommandNames::default();
    let renamable: Vec<&str> = default.iter().map(|(_, command)| command).collect();
    let shown = table::COMMANDS.iter().filter(|command| !command.hidden);
    assert_eq!(renamable, shown.map(|command| command.name).collect::<Vec<_>>());
    // Those that are not shown are there all the same.
    assert!(Names::new(&default).find(b"Quit").is_some());
}
