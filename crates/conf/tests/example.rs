//! The example at the root of the repository is right and complete.

use bellwether_conf::{Config, Source, directives, parse};

const EXAMPLE: &str = include_str!("../../../sentinel.conf.example");

fn load(text: &str) -> Config {
    let mut no_files = |_: &str| Ok(Vec::new());
    parse(&Source::new("sentinel.conf.example", text), &[], &mut no_files)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The example with every directive switched on that is switched off in it.
fn switched_on() -> String {
    let on = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
        _ => line,
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_loads_without_a_word() {
    let config = load(EXAMPLE);
    assert_eq!(config.warnings, []);
    assert_eq!(config.groups.len(), 1);
}

#[test]
fn it_says_the_defaults() {
    let config = load(EXAMPLE);
    let mut plain = load("sentinel monitor mymaster 127.0.0.1 6379 2");
    assert_eq!(config.daemon, plain.daemon);
    plain.warnings.clear();
    assert_eq!(config.groups, plain.groups);
}

#[test]
fn every_directive_is_in_it_and_can_be_switched_on() {
    let text = switched_on();
    // A password stands either in the configuration or in a file of its own.
    let is_in_file = |line: &&str| {
        line.starts_with("bellwether ") && line.contains("-pass-file")
            || line.starts_with("bellwether requirepass-file")
    };
    let lines = |in_file: bool| {
        let of_kind = text.lines().filter(|line| is_in_file(line) == in_file);
        of_kind.collect::<Vec<_>>().join("\n")
    };
    let config = load(&lines(false));
    assert_eq!(config.warnings, []);
    for directive in directives() {
        let is_there = text
            .lines()
            .any(|line| line.starts_with(&format!("{directive} ")));
        assert!(is_there, "'{directive}' is not in the example");
    }
}

#[test]
fn passwords_can_be_moved_to_files() {
    let text = switched_on();
    let is_password = |line: &&str| {
        ["requirepass ", "sentinel sentinel-pass ", "sentinel auth-pass "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines: Vec<_> = text.lines().filter(|line| !is_password(line)).collect();
    let files = load(&lines.join("\n")).secret_files;
    assert!(files.requirepass.is_some() && files.sentinel_pass.is_some());
    assert_eq!(files.auth_pass.len(), 1);
}
