//! By which names clients call the commands of this coordinator: what `rename-command` says.
//!
//! Knows the names of the commands, and nothing else of them.

use std::collections::BTreeMap;

use crate::diagnostic::Fault;
use crate::source::Statement;

/// The commands that a Sentinel has.
const COMMANDS: [&str; 15] = [
    "acl",
    "auth",
    "client",
    "command",
    "hello",
    "info",
    "ping",
    "psubscribe",
    "publish",
    "punsubscribe",
    "role",
    "sentinel",
    "shutdown",
    "subscribe",
    "unsubscribe",
];

/// The commands that other sentinels call. They know no other names for them.
const OF_PEERS: [&str; 3] = ["ping", "publish", "sentinel"];

/// Which word, in any case, calls which command. A command that nothing calls is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandNames {
    by_word: BTreeMap<String, &'static str>,
}

impl Default for CommandNames {
    /// Each by its own name.
    fn default() -> Self {
        Self {
            by_word: COMMANDS.iter().map(|name| ((*name).to_owned(), *name)).collect(),
        }
    }
}

impl CommandNames {
    /// The words in lower case, each with the command that it calls.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.by_word.iter().map(|(word, command)| (&**word, *command))
    }

    /// The commands that other sentinels cannot call any more, so that they will see this one as down.
    pub fn hidden_from_peers(&self) -> impl Iterator<Item = &'static str> {
        let reachable = |name: &str| self.by_word.get(name).copied() == Some(name);
        OF_PEERS.into_iter().filter(move |name| !reachable(name))
    }

    /// The renamed commands with their words, an empty one where the command is switched off: in an order in which
    /// `rename-command` takes them. Commands that swapped their names in a circle have no such order and come last.
    #[must_use]
    pub fn changes(&self) -> Vec<(&'static str, &str)> {
        let word_of = |name: &str| self.iter().find(|(_, command)| *command == name);
        let words = COMMANDS.map(|name| (name, word_of(name).map_or("", |(word, _)| word)));
        let mut left: Vec<_> = words.into_iter().filter(|(name, word)| name != word).collect();
        let mut ordered = Vec::new();
        // A word is free once the command whose own name it is has been renamed itself.
        while let Some(next) = left
            .iter()
            .position(|(_, word)| !left.iter().any(|(name, _)| name == word))
        {
            ordered.push(left.remove(next));
        }
        ordered.extend(left);
        ordered
    }

    /// `rename-command <word> <new word>`. As Sentinel, lines are followed one after the other, so that the word may be
    /// one that an earlier line gave.
    pub(crate) fn rename(&mut self, statement: &Statement) -> Result<(), Fault> {
        let [_, _, _] = &statement.words[..] else {
            return Err(Fault::new(0, "Bad directive or wrong number of arguments"));
        };
        let [from, to] = [1, 2].map(|word| statement.text(word).to_ascii_lowercase());
        let Some(command) = self.by_word.get(&from).copied() else {
            let words: Vec<&str> = self.by_word.keys().map(String::as_str).collect();
            let fault = Fault::new(1, "No such command in rename-command");
            return Err(fault.hint(format!("commands of a sentinel are: {}", words.join(", "))));
        };
        if to != from && self.by_word.contains_key(&to) {
            return Err(Fault::new(2, "Target command name already exists"));
        }
        self.by_word.remove(&from);
        if !to.is_empty() {
            self.by_word.insert(to, command);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(renamed: &[(&str, &str)]) -> CommandNames {
        let mut names = CommandNames::default();
        for (from, to) in renamed {
            let text = format!("rename-command {from} {}", crate::quote(to));
            let words = crate::lex::split(&text, 1).expect("words");
            let statement = Statement {
                file: "f".into(),
                source: Statement::MAIN,
                line: 1,
                words,
                raw: text,
            };
            names.rename(&statement).expect("can be renamed");
        }
        names
    }

    fn command(names: &CommandNames, word: &str) -> Option<&'static str> {
        names
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, command)| command)
    }

    #[test]
    fn lines_follow_one_another() {
        let names = names(&[("PING", "x"), ("X", "y"), ("role", ""), ("Info", "role")]);
        assert_eq!(command(&names, "y"), Some("ping"));
        assert_eq!(command(&names, "role"), Some("info"));
        assert_eq!([command(&names, "ping"), command(&names, "x")], [None, None]);
        assert_eq!(names.changes(), [("ping", "y"), ("role", ""), ("info", "role")]);
        assert_eq!(names.hidden_from_peers().collect::<Vec<_>>(), ["ping"]);
    }

    #[test]
    fn what_was_renamed_can_be_said_again() {
        let shifted = names(&[("role", ""), ("ping", "role"), ("info", "ping"), ("acl", "a b")]);
        assert_eq!(names(&shifted.changes()), shifted);
        assert!(CommandNames::default().changes().is_empty());
        // To give a command the name that it has changes nothing.
        assert_eq!(names(&[("ping", "PING")]), CommandNames::default());
    }
}
