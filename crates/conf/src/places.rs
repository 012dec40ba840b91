//! Where a configuration names what must be looked at elsewhere: files, directories, the rules of users. Keeps the
//! places; what is wrong there is found by the caller, who has files.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Fault, Problems, Severity};
use crate::options::Config;
use crate::source::{Source, Statement};
use crate::yaml;

/// The directives, each with the word that a problem is about. Those that name a group, a user,
/// a member or a command have one place for each.
const NOTED: &[(&str, usize)] = &[
    ("aclfile", 1),
    ("bellwether auth-pass-file", 3),
    ("bellwether cluster", 2),
    ("bellwether coordination", 2),
    ("bellwether member", 3),
    ("bellwether member-id", 2),
    ("bellwether requirepass-file", 2),
    ("bellwether sentinel-pass-file", 2),
    ("bellwether state-dir", 2),
    ("client-output-buffer-limit", 1),
    ("dir", 1),
    ("logfile", 1),
    ("pidfile", 1),
    ("rename-command", 1),
    ("tls-ca-cert-dir", 1),
    ("tls-ca-cert-file", 1),
    ("tls-cert-file", 1),
    ("tls-client-cert-file", 1),
    ("tls-client-key-file", 1),
    ("tls-key-file", 1),
    ("tls-port", 1),
    ("tls-replication", 1),
    ("unixsocket", 1),
    ("user", 1),
];

/// What is kept for each place: all of a diagnostic but what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places(BTreeMap<String, Diagnostic>);

impl Places {
    /// Keeps the place of a statement that was accepted. A later one takes the place of an earlier one, as its value does.
    pub(crate) fn note(&mut self, statement: &Statement) {
        let mut name = statement.text(0).to_ascii_lowercase();
        if name == "bellwether" {
            name = format!("{name} {}", statement.text(1).to_ascii_lowercase());
        }
        let Some((_, index)) = NOTED.iter().find(|(noted, _)| *noted == name) else {
            return;
        };
        match name.as_str() {
            "user" => name = format!("{name} {}", statement.text(1)),
            "bellwether auth-pass-file" | "bellwether member" => {
                name = format!("{name} {}", statement.text(2))
            }
            "rename-command" => name = format!("{name} {}", statement.text(1).to_ascii_lowercase()),
            _ => {}
        }
        let place = Problems::diagnostic(Severity::Error, statement, Fault::new(*index, ""));
        self.0.insert(name, place);
    }
}

impl Config {
    /// Puts problems at their places. Each has the directive that it is about, such as `tls-key-file`, `bellwether
    /// auth-pass-file <group>`, `bellwether member <id>`, `user <name>` or `rename-command <command>`; one that the configuration does not name is at its beginning.
    /// `main` is the text that the configuration was read from.
    #[must_use]
    pub fn place(&self, main: &Source, problems: Vec<Problem>) -> Vec<Diagnostic> {
        let is_yaml = yaml::is_yaml(&main.name);
        let at_start = || Diagnostic {
            severity: Severity::Error,
            file: main.name.clone(),
            // A number of a node there, which is turned into a line.
            line: usize::from(!is_yaml),
            column: 1,
            directive: String::new(),
            message: String::new(),
            hint: None,
        };
        let placed = problems.into_iter().map(|problem| Diagnostic {
            severity: problem.severity,
            message: problem.message,
            hint: problem.hint,
            ..self
                .places
                .0
                .get(&problem.directive)
                .cloned()
                .unwrap_or_else(at_start)
        });
        let placed = placed.collect();
        if is_yaml {
            yaml::placed(main, placed)
        } else {
            placed
        }
    }

    /// Whether the configuration names this, as for [`place`](Self::place).
    #[must_use]
    pub fn names(&self, directive: &str) -> bool {
        self.places.0.contains_key(directive)
    }
}

/// What is wrong with something that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The directive that names it; see [`Config::place`].
    pub directive: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(directive: &str) -> Problem {
        Problem {
            severity: Severity::Error,
            directive: directive.to_owned(),
            message: "x".to_owned(),
            hint: None,
        }
    }

    #[test]
    fn each_directive_is_found_where_it_stands() {
        let text = "TLS-Cert-File a\n tls-cert-file  b\nuser bob on >hush\nsentinel monitor m 10.0.0.1 1 1\n\
                    Bellwether Auth-Pass-File m f\naclfile \"\"\n";
        let main = Source::new("f", text.replace("aclfile \"\"\n", ""));
        let config = crate::parse(&main, &[], &mut |_: &str| Ok(Vec::new())).expect("loads");
        let asked = ["tls-cert-file", "user bob", "bellwether auth-pass-file m", "dir"];
        let placed = config.place(&main, asked.map(problem).into());
        let places: Vec<String> = placed.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["f:2:17: x", "f:3:6: x", "f:5:29: x", "f:1:1: x"]);
        assert!(!placed[1].report().contains("hush"));
    }

    #[test]
    fn yaml_has_places_too() {
        let text = "state-dir: /s\nusers:\n  - { name: bob, rules: \"on >hush\" }\n";
        let main = Source::new("f.yaml", text);
        let config = crate::parse_yaml(&main, &[]).expect("loads");
        let placed = config.place(
            &main,
            ["user bob", "bellwether state-dir", "dir"].map(problem).into(),
        );
        let places: Vec<String> = placed.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["f.yaml:1:1: x", "f.yaml:1:12: x", "f.yaml:3:13: x"]);
        assert!(placed.iter().all(|problem| !problem.report().contains("hush")));
    }
}
