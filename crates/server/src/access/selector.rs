//! What may be done: commands and channels, by rules of which the last that fits decides.
//!
//! Key patterns are kept and shown, because rules are shared with data servers; there are no keys here.

use std::fmt;

use bellwether_core::glob;
use bellwether_resp::Request;

use crate::command::{Categories, Command, find_command};

/// A set of permissions. A user has one, and may have more, each of which is enough by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    /// What holds for a command that no rule names.
    pub(super) all_commands: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<String>,
}

/// Allows or forbids some commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allows: bool,
    /// In lower case: `ping`, `client|list`, `ping|hello`, `@admin`.
    pub(super) name: String,
    pub(super) what: What,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A command, or a container with all its subcommands.
    Command,
    /// A command without subcommands, if its first word is this; so many bytes of the name are the command's.
    FirstWord { command_len: usize },
    /// A category; `None` if no command here belongs to it.
    Category(Option<Categories>),
}

/// A pattern of keys, and what may be done to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) pattern: String,
}

/// What is forbidden. The later variant is the one to tell of where several selectors forbid different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denied {
    /// The command.
    Command,
    /// The channel that is this word of the request.
    Channel(usize),
}

/// A command that someone wants to run.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) command: &'static Command,
    pub(crate) words: &'a Request,
    /// How many words stand before the command's name.
    pub(crate) skip: usize,
}

impl Selector {
    /// Everything, as the default user has it.
    pub(super) fn everything() -> Self {
        Self {
            all_commands: true,
            all_keys: true,
            all_channels: true,
            ..Self::default()
        }
    }

    pub(super) fn check(&self, attempt: &Attempt<'_>) -> Result<(), Denied> {
        if !attempt.command.needs_no_authentication() && !self.allows_command(attempt) {
            return Err(Denied::Command);
        }
        if self.all_channels {
            return Ok(());
        }
        for (index, is_pattern) in attempt.channels() {
            let channel = attempt.words.arg(index).unwrap_or_default();
            if !self.allows_channel(channel, is_pattern) {
                return Err(Denied::Channel(index));
            }
        }
        Ok(())
    }

    fn allows_command(&self, attempt: &Attempt<'_>) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.is_about(attempt));
        last.map_or(self.all_commands, |rule| rule.allows)
    }

    /// As Sentinel, a pattern to subscribe to must be granted in the same words: whether one pattern lies within
    /// another is not looked at.
    pub(super) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let fits = |granted: &String| match is_pattern {
            true => granted.as_bytes() == channel,
            false => glob::matches(granted.as_bytes(), channel),
        };
        self.all_channels || self.channels.iter().any(fits)
    }

    /// Adds a rule. Older ones that it makes pointless go, so that there never are more rules than commands and
    /// categories.
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.retain(|old| !covers(&rule.name, &old.name));
        self.rules.push(rule);
    }

    /// Everything, or nothing, whatever was said before.
    pub(super) fn set_all_commands(&mut self, allows: bool) {
        self.all_commands = allows;
        self.rules.clear();
    }

    /// The rules for commands, as they could be given.
    pub(super) fn commands_text(&self) -> String {
        let mut text = if self.all_commands { "+@all" } else { "-@all" }.to_owned();
        for rule in &self.rules {
            text.push_str(if rule.allows { " +" } else { " -" });
            text.push_str(&rule.name);
        }
        text
    }

    pub(super) fn keys_text(&self) -> String {
        if self.all_keys {
            return "~*".to_owned();
        }
        join(self.keys.iter())
    }

    pub(super) fn channels_text(&self) -> String {
        if self.all_channels {
            return "&*".to_owned();
        }
        join(self.channels.iter().map(|channel| format!("&{channel}")))
    }

    /// How much memory its texts take, roughly.
    pub(super) fn len(&self) -> usize {
        let rules = self.rules.iter().map(|rule| rule.name.len() + 2);
        let keys = self.keys.iter().map(|key| key.pattern.len() + 4);
        let channels = self.channels.iter().map(|channel| channel.len() + 2);
        rules.chain(keys).chain(channels).sum()
    }
}

impl fmt::Display for Selector {
    /// Rules that give the same selector again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [self.keys_text(), self.channels_part()] {
            if !part.is_empty() {
                write!(f, "{part} ")?;
            }
        }
        f.write_str(&self.commands_text())
    }
}

impl Selector {
    /// As Sentinel: what a user may not listen to is said first, because its default has changed over time.
    fn channels_part(&self) -> String {
        match self.all_channels {
            true => self.channels_text(),
            false => format!("resetchannels {}", self.channels_text())
                .trim_end()
                .to_owned(),
        }
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.reads, self.writes) {
            (true, false) => "%R~",
            (false, true) => "%W~",
            _ => "~",
        };
        write!(f, "{sign}{}", self.pattern)
    }
}

impl Rule {
    fn is_about(&self, attempt: &Attempt<'_>) -> bool {
        let name = attempt.command.name;
        match self.what {
            What::Command => covers(&self.name, name),
            What::FirstWord { command_len } => {
                self.name.get(..command_len) == Some(name)
                    && self.name.get(command_len + 1..).is_some_and(|word| {
                        let given = attempt.words.arg(attempt.skip + 1);
                        given.is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
                    })
            }
            // As Sentinel, a category that a container belongs to brings all its subcommands with it.
            What::Category(category) => category.is_some_and(|category| {
                attempt.command.categories.has(category)
                    || attempt.container().is_some_and(|it| it.categories.has(category))
            }),
        }
    }
}

impl Attempt<'_> {
    fn container(&self) -> Option<&'static Command> {
        let (container, _) = self.command.name.split_once('|')?;
        find_command(container.as_bytes())
    }

    /// The words that are channels, and whether they are patterns.
    fn channels(&self) -> impl Iterator<Item = (usize, bool)> {
        let first = self.skip + 1;
        let (last, is_pattern) = match self.command.name {
            "publish" => (first + 1, false),
            "subscribe" => (self.words.len(), false),
            "psubscribe" => (self.words.len(), true),
            _ => (first, false),
        };
        (first..last).map(move |index| (index, is_pattern))
    }
}

/// Whether a rule of the name `wide` says all that one of the name `narrow` could say: it is the same, or a
/// container and `narrow` a subcommand of it.
fn covers(wide: &str, narrow: &str) -> bool {
    narrow
        .strip_prefix(wide)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
}

fn join(parts: impl Iterator<Item = impl fmt::Display>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(" ")
}
