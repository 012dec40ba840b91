//! `COMMAND` and the `HELP` of every container: the table, shown to clients.
//!
//! As in the reference, a command that was renamed is asked for by its new name and shown by that of the table.

use bellwether_core::glob;
use bellwether_resp::Encoder;

use super::spec::{Categories, Command};
use super::{Flow, Names, table, usage};
use crate::client::session::Call;

/// All commands of the reference with their subcommands, those that are switched off too.
pub(super) fn every() -> impl Iterator<Item = &'static Command> {
    with_subcommands(table::COMMANDS.iter().filter(|command| !command.hidden))
}

fn with_subcommands(
    commands: impl Iterator<Item = &'static Command>,
) -> impl Iterator<Item = &'static Command> {
    commands.flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

/// `COMMAND`
pub(super) fn all(call: &mut Call<'_>) -> Flow {
    let commands: Vec<&Command> = call.session.server.names.shown().collect();
    let mut to = call.reply();
    to.array(commands.len());
    commands.iter().for_each(|command| describe(&mut to, command));
    Flow::Done
}

pub(super) fn count(call: &mut Call<'_>) -> Flow {
    let count = call.session.server.names.shown().count();
    call.reply().integer(i64::try_from(count).unwrap_or(i64::MAX));
    Flow::Done
}

/// `COMMAND INFO [<name> …]`
pub(super) fn info(call: &mut Call<'_>) -> Flow {
    if call.words.len() == 2 {
        return all(call);
    }
    let names = &call.session.server.names;
    let commands: Vec<_> = call
        .words
        .args()
        .skip(2)
        .map(|word| by_full_name(names, word))
        .collect();
    let mut to = call.reply();
    to.array(commands.len());
    for command in commands {
        match command {
            Some(command) => describe(&mut to, command),
            None => to.null(),
        }
    }
    Flow::Done
}

/// `COMMAND DOCS [<name> …]`
pub(super) fn docs(call: &mut Call<'_>) -> Flow {
    let names = &call.session.server.names;
    let asked_for = call.words.args().skip(2);
    let commands: Vec<&Command> = match call.words.len() {
        2 => names.shown().collect(),
        _ => asked_for.filter_map(|word| by_full_name(names, word)).collect(),
    };
    document(&mut call.reply(), &commands);
    Flow::Done
}

/// `COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN <word>]`
pub(super) fn list(call: &mut Call<'_>) -> Flow {
    let word = call.words.arg(4).unwrap_or_default();
    let filtered = call.words.len() == 5 && call.words.arg_is(2, "FILTERBY");
    let keep: &dyn Fn(&Command) -> bool = if call.words.len() == 2 {
        &|_| true
    } else if filtered && call.words.arg_is(3, "MODULE") {
        &|_| false
    } else if filtered && call.words.arg_is(3, "ACLCAT") {
        &|command| Categories::named(word).is_some_and(|category| command.categories.has(category))
    } else if filtered && call.words.arg_is(3, "PATTERN") {
        &|command| glob::matches_ignoring_case(word, command.name.as_bytes())
    } else {
        return call.syntax_error();
    };
    let names: Vec<&str> = with_subcommands(call.session.server.names.shown())
        .filter(|command| keep(command))
        .map(|command| command.name)
        .collect();
    call.reply().bulks(&names);
    Flow::Done
}

/// `COMMAND GETKEYS`, `COMMAND GETKEYSANDFLAGS`: no command has keys.
pub(super) fn getkeys(call: &mut Call<'_>) -> Flow {
    let known = call
        .session
        .server
        .names
        .find(call.word(2))
        .is_some_and(|command| {
            let subcommand = call.words.arg(3).filter(|_| !command.subcommands.is_empty());
            subcommand.is_none_or(|word| command.subcommand(word).is_some())
        });
    call.error(match known {
        true => "ERR The command has no key arguments",
        false => "ERR Invalid command specified",
    })
}

/// `HELP` of the container that was called.
pub(super) fn help(call: &mut Call<'_>) -> Flow {
    let Some(container) = call.session.server.names.find(call.words.name()) else {
        return call.error("ERR internal error: help of an unknown command");
    };
    let mut lines = Vec::new();
    let name = call.text(0).to_ascii_uppercase();
    lines.push(format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    let own = container.run.is_some().then_some(container);
    for command in own.into_iter().chain(container.subcommands) {
        let is_container = std::ptr::eq(command, container);
        let word = if is_container {
            "(no subcommand)".to_owned()
        } else {
            command.own_name().to_ascii_uppercase()
        };
        lines.push(format!("{word} {}", command.doc.usage).trim_end().to_owned());
        lines.push(format!("    {}", command.doc.summary));
    }
    let mut to = call.reply();
    to.array(lines.len());
    lines.iter().for_each(|line| to.simple(line));
    Flow::Done
}

/// The command of a name such as `ping` or `client|list`.
fn by_full_name(names: &Names, name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => names.find(name).filter(|command| !command.hidden),
        Some(at) => names.find(name.get(..at)?)?.subcommand(name.get(at + 1..)?),
    }
}

/// The ten elements of `COMMAND INFO`.
fn describe(to: &mut Encoder<'_>, command: &Command) {
    to.array(10);
    to.bulk(command.name);
    to.integer(i64::from(command.arity));
    let flags = command.flags.texts();
    to.set(flags.len());
    flags.iter().for_each(|flag| to.simple(flag));
    // No command has keys: first, last and step.
    (0..3).for_each(|_| to.integer(0));
    let categories = command.categories.texts();
    to.set(categories.len());
    categories.iter().for_each(|category| to.simple(category));
    to.set(command.tips.len());
    command.tips.iter().for_each(|tip| to.bulk(tip));
    // Key specifications.
    to.set(0);
    // As Sentinel: a set only while it is empty.
    match command.subcommands.len() {
        0 => to.set(0),
        len => to.array(len),
    }
    command
        .subcommands
        .iter()
        .for_each(|subcommand| describe(to, subcommand));
}

fn document(to: &mut Encoder<'_>, commands: &[&Command]) {
    to.map(commands.len());
    for command in commands {
        let subcommands: Vec<&Command> = command.subcommands.iter().collect();
        let arguments = usage::parse(command.doc.usage);
        to.bulk(command.name);
        to.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
        to.bulk("summary");
        to.bulk(command.doc.summary);
        to.bulk("since");
        to.bulk(command.doc.since);
        to.bulk("group");
        to.bulk(command.doc.group);
        if !arguments.is_empty() {
            to.bulk("arguments");
            usage::write(to, &arguments);
        }
        if !subcommands.is_empty() {
            to.bulk("subcommands");
            document(to, &subcommands);
        }
    }
}
