//! What must hold for any text. The fuzz targets include this file too, so it uses nothing but the crate and the core.

use bellwether_conf::{
    Config, DaemonOptions, Diagnostic, Source, apply_state, parse, parse_yaml, render_state, rewrite,
};
use bellwether_core::SentinelId;

/// More problems than this are never told: both kinds have their bound.
const MAX_PROBLEMS: usize = 2000;

/// Loads a text in which no `include` finds anything.
pub(crate) fn load(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let mut no_files = |_: &str| Ok(Vec::new());
    parse(&Source::new("sentinel.conf", text), &[], &mut no_files)
}

/// The text of a `sentinel.conf`: refused with sensible problems, or what becomes of it by rewriting says the same.
/// Gives whether it was loaded.
pub(crate) fn check_conf(text: &str) -> bool {
    match load(text) {
        Err(problems) => {
            check_problems(&problems, text);
            false
        }
        Ok(config) => {
            check_problems(&config.warnings, text);
            check_rewriting(text, &config);
            check_state(&config);
            true
        }
    }
}

/// As [`check_conf`] for YAML, which is never rewritten: its state stands in a file of its own.
pub(crate) fn check_yaml(text: &str) -> bool {
    match parse_yaml(&Source::new("sentinel.yaml", text), &[]) {
        Err(problems) => {
            check_problems(&problems, text);
            false
        }
        Ok(config) => {
            check_problems(&config.warnings, text);
            check_state(&config);
            // As `bellwether export` does.
            let registry = config.registry(fresh_id);
            let written = rewrite("", &config, &registry);
            let again = load(&written).unwrap_or_else(|problems| panic!("{written}\n{problems:#?}"));
            assert_eq!(again.registry(fresh_id), registry, "{written}");
            true
        }
    }
}

/// What is rewritten can be loaded, says the same, keeps all comments, and is not rewritten in another way the next time.
fn check_rewriting(text: &str, config: &Config) {
    let registry = config.registry(fresh_id);
    let written = rewrite(text, config, &registry);
    let again = load(&written).unwrap_or_else(|problems| panic!("{written}\n{problems:#?}"));
    assert_eq!(
        again.registry(|| unreachable!("it is written")),
        registry,
        "{written}"
    );
    assert_eq!(without_places(&again), without_places(config), "{written}");
    assert_eq!(again.sentinel, config.sentinel, "{written}");
    assert_eq!(again.secret_files, config.secret_files, "{written}");
    assert_eq!(rewrite(&written, &again, &registry), written);
    let mut lines = written.split('\n');
    for comment in text.split('\n').filter(|line| line.trim_start().starts_with('#')) {
        assert!(
            lines.any(|line| line == comment),
            "{comment:?} is lost\n{written}"
        );
    }
}

/// The options of the process, but for the lines on which users stand: lines before them may be gone when a directive was given twice.
fn without_places(config: &Config) -> DaemonOptions {
    let mut options = config.daemon.clone();
    for user in &mut options.users {
        user.line = 0;
    }
    options
}

/// The state of a configuration, applied to the same configuration at the next start, says the same.
fn check_state(config: &Config) {
    let registry = config.registry(fresh_id);
    let mut again = config.clone();
    // As if all of them had been changed while the daemon ran.
    let mut users = config.daemon.users.clone();
    for user in &mut users {
        user.is_edited = true;
    }
    let text = render_state(&registry, &config.secret_files, &users);
    assert_eq!(apply_state(&mut again, &text), Ok(()), "{text}");
    assert_eq!(
        again.registry(|| unreachable!("it is in the state")),
        registry,
        "{text}"
    );
}

/// Problems have a place within the text and words, and there are not too many of them.
pub(crate) fn check_problems(problems: &[Diagnostic], text: &str) {
    assert!(problems.len() <= MAX_PROBLEMS, "{} problems", problems.len());
    let lines = text.split('\n').count();
    for problem in problems {
        assert!(!problem.report().is_empty() && !problem.message.is_empty());
        assert!(problem.line <= lines, "{problem} in a text of {lines} lines");
    }
}

fn fresh_id() -> SentinelId {
    SentinelId::new(&"f".repeat(40)).expect("an id")
}
