//! The scripts that a configuration names: whether they can be run is asked of the caller, who has files.

use std::path::Path;

use crate::diagnostic::Diagnostic;
use crate::options::Config;
use crate::source::Source;
use crate::yaml;

/// One line that names a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptLine {
    /// The path as it stands there.
    pub(crate) path: String,
    /// What is to be said if it cannot be run.
    pub(crate) refusal: Diagnostic,
}

/// An error for each script of `config`, which was read from `main`, that `is_executable` denies, in the words of the
/// reference. Relative paths come joined to `dir`.
///
/// As Sentinel: a coordinator with such a script must not start, for nobody would hear of it later.
pub fn judge_scripts(
    config: &Config,
    main: &Source,
    is_executable: &mut dyn FnMut(&Path) -> bool,
) -> Vec<Diagnostic> {
    let dir = config.daemon.dir.as_deref().unwrap_or_else(|| Path::new(""));
    let problems = config
        .scripts
        .iter()
        .filter(|script| !is_executable(&dir.join(&script.path)))
        .map(|script| script.refusal.clone())
        .collect();
    if yaml::is_yaml(&main.name) {
        yaml::placed(main, problems)
    } else {
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_cannot_be_run_are_told_with_their_place() {
        let text = "sentinel client-reconfig-script m reconfigure\nsentinel monitor m 10.0.0.1 6379 1\n\
                    sentinel notification-script m /bin/good\nSentinel Notification-Script m /bin/bad\ndir /srv\n";
        let main = Source::new("f", text);
        let config = crate::parse(&main, &[], &mut |_: &str| Ok(Vec::new())).expect("loads");
        let mut asked = Vec::new();
        let problems = judge_scripts(&config, &main, &mut |path| {
            asked.push(path.to_string_lossy().into_owned());
            path.ends_with("good")
        });
        assert_eq!(asked, ["/srv/reconfigure", "/bin/good", "/bin/bad"]);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "f:1:35: Client reconfiguration script seems non existing or non executable.",
                "f:4:32: Notification script seems non existing or non executable.",
            ]
        );
    }

    #[test]
    fn they_are_found_in_yaml_too() {
        let text = "state-dir: /s\ngroups:\n  m:\n    primary: 10.0.0.1:6379\n    quorum: 1\n    \
                    notification-script: /bin/bad\n";
        let main = Source::new("f.yaml", text);
        let config = crate::parse_yaml(&main, &[]).expect("loads");
        let problems = judge_scripts(&config, &main, &mut |_| false);
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].line, problems[0].column), (6, 26));
    }
}
