//! By which words clients call which row of the table.
//!
//! Only what clients type is looked up here. Access rules, error texts and `COMMAND` speak of commands by the names
//! that the table gives them, as in the reference, so that rules need not follow a renaming.

use std::fmt;

use bellwether_conf::CommandNames;

use super::spec::Command;
use super::table;

/// The words, each with its command, in the order of the table.
pub(crate) struct Names {
    by_word: Vec<(Box<str>, &'static Command)>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.by_word.iter().map(|(word, command)| (word, command.name)))
            .finish()
    }
}

impl Names {
    pub(crate) fn new(names: &CommandNames) -> Self {
        let mut by_word = Vec::new();
        for command in table::COMMANDS {
            match command.hidden {
                // Not one that the reference has, so that it makes room for one that was given its name.
                true if names.iter().all(|(word, _)| word != command.name) => {
                    by_word.push((command.name.into(), command));
                }
                true => {}
                false => by_word.extend(
                    names
                        .iter()
                        .filter(|(_, called)| *called == command.name)
                        .map(|(word, _)| (word.into(), command)),
                ),
            }
        }
        Self { by_word }
    }

    /// The command that this word calls, in any case.
    pub(crate) fn find(&self, word: &[u8]) -> Option<&'static Command> {
        let named = |known: &str| known.as_bytes().eq_ignore_ascii_case(word);
        let found = self.by_word.iter().find(|(known, _)| named(known));
        found.map(|(_, command)| *command)
    }

    /// The commands that can be called and are there to know of: unless some are switched off as many as in the
    /// reference, because some ask for their number.
    pub(super) fn shown(&self) -> impl Iterator<Item = &'static Command> {
        let commands = self.by_word.iter().map(|(_, command)| *command);
        commands.filter(|command| !command.hidden)
    }
}
