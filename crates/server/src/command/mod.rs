//! The commands that clients may send: one table, and the checks in front of it.
//!
//! Order of checks, as Sentinel: the command and its subcommand exist, the number of words fits, the client has
//! authenticated, its user may do this, the subscriber context allows it, clients are not paused. Only then does it
//! run. A command either answers at once or asks the driver; none waits, reads or writes by itself.

mod acl;
mod answer;
mod catalog;
mod client;
mod connection;
mod global;
mod info;
mod names;
mod pause;
mod pubsub;
mod raft;
mod script;
mod sentinel;
mod spec;
mod table;
mod tracking;
mod usage;

use bellwether_core::{Answer, Request as Ask};
use bellwether_resp::{Protocol, Request};

use crate::access::Attempt;
use crate::client::session::Call;
pub(crate) use names::Names;
pub(crate) use spec::{Categories, Command};
pub(crate) use table::find as find_command;
pub(crate) use tracking::Tracking;

/// The Redis version that we claim where clients decide by it what they may use.
pub(crate) const COMPATIBLE_VERSION: &str = "7.2.6";

/// Most bytes of a client's words that an error quotes. As Sentinel.
const MAX_QUOTED_BYTES: usize = 128;

/// What a command came to.
pub(crate) enum Flow {
    /// It is answered.
    Done,
    /// All clients are paused; it must be run again after that.
    Held,
    /// The driver must be asked.
    Ask(Box<Question>),
    /// Something that blocks must be done first.
    Work(Work),
}

/// What blocks, such as reading a file. The answer is `+OK` or the error.
pub(crate) type Work = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// Writes the driver's answer.
pub(crate) type Render = Box<dyn FnOnce(&mut Call<'_>, Answer) + Send>;

/// A question to the driver.
pub(crate) struct Question {
    pub(crate) ask: Ask,
    pub(crate) render: Render,
}

impl Flow {
    /// Asks the driver, and has its answer written in the usual way.
    fn ask(ask: Ask) -> Self {
        Self::ask_then(ask, answer::write)
    }

    /// A `render` that captures nothing, as most do, costs no allocation.
    fn ask_then(ask: Ask, render: impl FnOnce(&mut Call<'_>, Answer) + Send + 'static) -> Self {
        let render = Box::new(render);
        Self::Ask(Box::new(Question { ask, render }))
    }
}

/// Whether it is what sentinels ask or tell each other in numbers. Such a request changes nothing about its connection, so
/// the next may be looked at before it is answered.
pub(crate) fn is_of_peers(names: &Names, words: &Request) -> bool {
    let asks = ["is-master-down-by-addr", "is-primary-down-by-addr"];
    names
        .find(words.name())
        .is_some_and(|command| match command.name {
            "publish" => true,
            "sentinel" if words.arg_is(1, "raft") => raft::is_of_members(words),
            "sentinel" => asks.iter().any(|name| words.arg_is(1, name)),
            _ => false,
        })
}

/// Checks and runs one request.
pub(crate) fn run(call: &mut Call<'_>) -> Flow {
    let command = match lookup(&call.session.server.names, call.words, 0) {
        Lookup::Found(command) => command,
        Lookup::UnknownCommand => return unknown_command(call),
        Lookup::UnknownSubcommand => return unknown_subcommand(call),
    };
    if !command.takes(call.words.len()) {
        return call.error(format!(
            "ERR wrong number of arguments for '{}' command",
            command.name
        ));
    }
    if call.session.must_log_in() && !command.needs_no_authentication() {
        return call.error("NOAUTH Authentication required.");
    }
    let attempt = Attempt {
        command,
        words: call.words,
        skip: 0,
    };
    if let Err(denied) = call.session.user().check(&attempt) {
        return acl::refuse(call, command, denied);
    }
    if call.session.protocol == Protocol::Resp2
        && call.session.subscriptions() > 0
        && !command.is_for_subscribers()
    {
        return call.error(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            command.name
        ));
    }
    // A pause of clients must not cost a member of the log its part in it.
    let of_members = (command.name == "sentinel|raft").then(|| raft::name_of_members(call.words));
    let of_members = of_members.flatten();
    if of_members.is_none() && call.session.server.pause.is_on(|| call.session.now_ms()) {
        return Flow::Held;
    }
    call.session.note_command(of_members.unwrap_or(command.name));
    call.session.server.stats.commands.add(1);
    match command.run {
        Some(run) => run(call),
        // A container takes at least one more word, and that word was found to be a subcommand.
        None => unknown_subcommand(call),
    }
}

enum Lookup {
    Found(&'static Command),
    UnknownCommand,
    UnknownSubcommand,
}

/// Finds the command that begins with word `skip`.
fn lookup(names: &Names, words: &Request, skip: usize) -> Lookup {
    let Some(command) = names.find(words.arg(skip).unwrap_or_default()) else {
        return Lookup::UnknownCommand;
    };
    let Some(word) = words.arg(skip + 1).filter(|_| !command.subcommands.is_empty()) else {
        return Lookup::Found(command);
    };
    match command.subcommand(word) {
        Some(subcommand) => Lookup::Found(subcommand),
        None => Lookup::UnknownSubcommand,
    }
}

fn unknown_command(call: &mut Call<'_>) -> Flow {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(call.words.name(), MAX_QUOTED_BYTES));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for word in call.words.args().skip(1) {
        let used = text.len() - start;
        if used >= MAX_QUOTED_BYTES {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(quoted(word, MAX_QUOTED_BYTES - used));
        text.extend_from_slice(b"' ");
    }
    call.error(text)
}

fn unknown_subcommand(call: &mut Call<'_>) -> Flow {
    try_help(call, "ERR unknown subcommand '")
}

/// Refuses a subcommand that takes one of several forms, none of which this is.
fn unknown_form(call: &mut Call<'_>) -> Flow {
    try_help(call, "ERR unknown subcommand or wrong number of arguments for '")
}

/// Refuses a subcommand. As Sentinel, the container is called as the client called it.
fn try_help(call: &mut Call<'_>, text: &str) -> Flow {
    let word = quoted(call.word(1), MAX_QUOTED_BYTES);
    let container = call.words.name().to_ascii_uppercase();
    call.error([text.as_bytes(), word, b"'. Try ", &container, b" HELP."].concat())
}

/// The start of a word. As Sentinel, a NUL ends it.
fn quoted(word: &[u8], max_bytes: usize) -> &[u8] {
    let end = word
        .iter()
        .take(max_bytes)
        .position(|byte| *byte == 0)
        .unwrap_or(max_bytes);
    word.get(..end).unwrap_or(word)
}

/// Reads word `index` as an integer in its canonical form.
fn integer(call: &Call<'_>, index: usize) -> Option<i64> {
    call.words.arg_i64(index)
}

#[cfg(test)]
mod tests;
