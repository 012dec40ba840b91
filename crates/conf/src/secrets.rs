//! Passwords that stand in files of their own. Says which file holds which; reads none of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bellwether_core::GroupName;

use crate::diagnostic::{Fault, Problems};
use crate::options::Config;
use crate::source::Statement;
use crate::suggest::did_you_mean;

/// Where passwords come from that do not stand in the configuration. They never get into it: whatever is rewritten
/// leaves them out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// `bellwether requirepass-file`
    pub requirepass: Option<PathBuf>,
    /// `bellwether sentinel-pass-file`
    pub sentinel_pass: Option<PathBuf>,
    /// `bellwether auth-pass-file`, for each group.
    pub auth_pass: BTreeMap<GroupName, PathBuf>,
}

/// The directives behind the word `bellwether`, with their arguments.
pub(crate) const DIRECTIVES: &[(&str, &str)] = &[
    ("auth-pass-file", "<group> <path>"),
    ("requirepass-file", "<path>"),
    ("sentinel-pass-file", "<path>"),
];

/// Whether a statement names a file with a password. Those are carried out last, when the groups are known.
pub(crate) fn is_secret_file(statement: &Statement) -> bool {
    let name = statement.text(1);
    statement.text(0).eq_ignore_ascii_case("bellwether")
        && DIRECTIVES
            .iter()
            .any(|(known, _)| name.eq_ignore_ascii_case(known))
}

/// The group that a statement gives a password file to.
pub(crate) fn group_of(statement: &Statement) -> Option<&str> {
    let is_of_group = is_secret_file(statement) && statement.text(1).eq_ignore_ascii_case("auth-pass-file");
    is_of_group.then(|| statement.text(2))
}

/// Whether the number of words is right.
pub(crate) fn check_shape(statement: &Statement) -> Result<(), Fault> {
    let name = statement.text(1);
    let known = DIRECTIVES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known));
    let usage = known.map_or("", |(_, usage)| usage);
    if statement.args(2).len() == usage.split(' ').count() {
        return Ok(());
    }
    let hint = format!("usage: bellwether {} {usage}", name.to_ascii_lowercase());
    Err(Fault::new(1, "wrong number of arguments").hint(hint))
}

/// Carries out all of them.
pub(crate) fn run(config: &mut Config, statements: &[Statement], problems: &mut Problems) {
    for statement in statements {
        if let Err(fault) = take(config, statement) {
            problems.error(statement, fault);
        }
    }
}

fn take(config: &mut Config, statement: &Statement) -> Result<(), Fault> {
    check_shape(statement)?;
    let last = statement.words.len() - 1;
    let path = Some(statement.text(last)).filter(|path| !path.is_empty());
    let path = path.map(PathBuf::from);
    let twice = |directive: &str| {
        let message = format!("the password stands in the configuration already, behind '{directive}'");
        Fault::new(1, message).hint(format!(
            "remove the '{directive}' line, and the copy of it in version control"
        ))
    };
    let files = &mut config.secret_files;
    match statement.text(1).to_ascii_lowercase().as_str() {
        "requirepass-file" if path.is_some() && config.daemon.requirepass.is_some() => {
            Err(twice("requirepass"))
        }
        "requirepass-file" => {
            files.requirepass = path;
            Ok(())
        }
        "sentinel-pass-file" if path.is_some() && config.sentinel.sentinel_pass.is_some() => {
            Err(twice("sentinel sentinel-pass"))
        }
        "sentinel-pass-file" => {
            files.sentinel_pass = path;
            Ok(())
        }
        _ => {
            let name = statement.text(2);
            let Some((group, record)) = config.groups.get_key_value(name) else {
                let hint = did_you_mean(name, config.groups.keys().map(GroupName::as_str))
                    .unwrap_or_else(|| format!("there is no line 'sentinel monitor {name} …'"));
                return Err(Fault::new(2, "No such master with specified name.").hint(hint));
            };
            let Some(path) = path else {
                files.auth_pass.remove(name);
                return Ok(());
            };
            if record.options.auth_pass.is_some() {
                return Err(twice("sentinel auth-pass"));
            }
            files.auth_pass.insert(group.clone(), path);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bellwether_core::{GroupName, Secret, SentinelId};

    use crate::{Config, Diagnostic, Source, parse, render_state, rewrite};

    const FILE: &str = "bellwether auth-pass-file m m.pass\nsentinel monitor m 10.0.0.1 6379 2\n\
        bellwether requirepass-file /run/own\nbellwether sentinel-pass-file peers\n";

    fn load(text: &str) -> Result<Config, Vec<Diagnostic>> {
        parse(&Source::new("f", text), &[], &mut |_: &str| Ok(Vec::new()))
    }

    #[test]
    fn files_are_named_before_or_after_the_group() {
        let files = load(FILE).expect("good").secret_files;
        assert_eq!(files.requirepass, Some(PathBuf::from("/run/own")));
        assert_eq!(files.sentinel_pass, Some(PathBuf::from("peers")));
        let group = GroupName::new("m").expect("a name");
        assert_eq!(files.auth_pass, [(group, PathBuf::from("m.pass"))].into());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("bellwether auth-pass-file m x", "No such master"),
            ("bellwether auth-pass-file m", "wrong number"),
            ("bellwether requirepass-file a b", "wrong number"),
            (
                "bellwether requirepass-file a\nrequirepass x",
                "behind 'requirepass'",
            ),
            (
                "bellwether sentinel-pass-file a\nsentinel sentinel-pass x",
                "behind 'sentinel sentinel-pass'",
            ),
            (
                "sentinel monitor m 10.0.0.1 1 1\nsentinel auth-pass m x\nbellwether auth-pass-file m y",
                "behind 'sentinel auth-pass'",
            ),
        ] {
            let problems = load(text).expect_err(text);
            assert!(problems[0].message.contains(message), "{text}: {problems:?}");
        }
    }

    #[test]
    fn what_came_from_a_file_is_never_written() {
        let config = load(FILE).expect("good");
        let id = SentinelId::new(&"a".repeat(40)).expect("an id");
        let mut registry = config.registry(|| id);
        for record in registry.groups.values_mut() {
            record.options.auth_pass = Some(Secret::new("hush"));
        }
        registry.globals.sentinel_pass = Some(Secret::new("hush"));
        let rewritten = rewrite(FILE, &config, &registry);
        assert!(!rewritten.contains("hush"), "{rewritten}");
        assert!(rewritten.starts_with(FILE), "{rewritten}");
        let state = render_state(&registry, &config.secret_files, &[]);
        assert!(!state.contains("hush"), "{state}");
        // Without its file the password belongs to the state.
        assert!(render_state(&registry, &Default::default(), &[]).contains("hush"));
    }

    #[test]
    fn the_file_of_a_removed_group_is_forgotten_with_it() {
        let config = load(FILE).expect("good");
        let id = SentinelId::new(&"a".repeat(40)).expect("an id");
        let mut registry = config.registry(|| id);
        registry.groups.clear();
        let rewritten = rewrite(FILE, &config, &registry);
        assert!(!rewritten.contains("auth-pass-file"), "{rewritten}");
        load(&rewritten).expect("it loads");
    }
}
