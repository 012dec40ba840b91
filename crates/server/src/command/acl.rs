//! `ACL`: the users, what each may do, and what was refused.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bellwether_core::{Answer, Request as Ask, whole_millis};
use bellwether_resp::Encoder;

use super::spec::{Categories, Command};
use super::{Flow, Lookup, answer, catalog, lookup, unknown_form};
use crate::access::{Attempt, CATEGORIES, DEFAULT_USER, Denied, LogEntry, Reason, User};
use crate::client::session::Call;
use crate::listener::Server;

/// How many entries `ACL LOG` shows when no number is given. As Sentinel.
const LOG_ENTRIES_SHOWN: usize = 10;

/// The bits of `ACL GENPASS` when no number is given, and the most. As Sentinel.
const PASSWORD_BITS: i64 = 256;
const MAX_PASSWORD_BITS: i64 = 4096;

/// Answers a command that the user may not run.
pub(super) fn refuse(call: &mut Call<'_>, command: &'static Command, denied: Denied) -> Flow {
    let user = Arc::clone(call.session.user().name());
    call.session.note_attempt(command.name);
    let object = match denied {
        Denied::Command => command.name.as_bytes().to_vec(),
        Denied::Channel(index) => call.word(index).to_vec(),
    };
    let reason = match denied {
        Denied::Command => Reason::Command,
        Denied::Channel(_) => Reason::Channel,
    };
    note(call, reason, &object, user.as_bytes());
    match denied {
        Denied::Command => call.error(format!("NOPERM {}", no_command(&user, command))),
        Denied::Channel(_) => call.error("NOPERM No permissions to access a channel"),
    }
}

/// Notes a refusal in the log.
pub(super) fn note(call: &Call<'_>, reason: Reason, object: &[u8], user: &[u8]) {
    let stats = &call.session.server.stats;
    match reason {
        Reason::Login => stats.denied_logins.add(1),
        Reason::Command => stats.denied_commands.add(1),
        Reason::Channel => stats.denied_channels.add(1),
    }
    let mut client = Vec::new();
    call.session.client.describe(call.session.now_ms(), &mut client);
    client.pop();
    let access = &call.session.server.context.access;
    access.note_refusal(reason, object, user, client, unix_ms());
}

fn no_command(user: &str, command: &Command) -> String {
    format!(
        "User {user} has no permissions to run the '{}' command",
        command.name
    )
}

pub(super) fn whoami(call: &mut Call<'_>) -> Flow {
    let name = Arc::clone(call.session.user().name());
    call.reply().bulk(&*name);
    Flow::Done
}

pub(super) fn users(call: &mut Call<'_>) -> Flow {
    let users = call.session.server.context.access.users();
    let names: Vec<&str> = users.iter().map(|user| &**user.name()).collect();
    call.reply().bulks(&names);
    Flow::Done
}

pub(super) fn list(call: &mut Call<'_>) -> Flow {
    let users = call.session.server.context.access.users();
    let lines: Vec<String> = users.iter().map(|user| user.to_string()).collect();
    call.reply().bulks(&lines);
    Flow::Done
}

/// `ACL GETUSER <user>`
pub(super) fn getuser(call: &mut Call<'_>) -> Flow {
    let users = call.session.server.context.access.users();
    let user = users.get(call.word(2));
    let mut to = call.reply();
    match user {
        Some(user) => describe(&mut to, user),
        None => to.null(),
    }
    Flow::Done
}

fn describe(to: &mut Encoder<'_>, user: &User) {
    to.map(6);
    to.bulk("flags");
    let flags = user.flags();
    to.set(flags.len());
    flags.iter().for_each(|flag| to.bulk(flag));
    to.bulk("passwords");
    to.bulks(&user.passwords());
    let mut permissions = user.permissions();
    if let Some(own) = permissions.next() {
        permit(to, &own);
    }
    to.bulk("selectors");
    let selectors: Vec<_> = permissions.collect();
    to.array(selectors.len());
    for selector in selectors {
        to.map(3);
        permit(to, &selector);
    }
}

fn permit(to: &mut Encoder<'_>, [commands, keys, channels]: &[String; 3]) {
    for (field, value) in [("commands", commands), ("keys", keys), ("channels", channels)] {
        to.bulk(field);
        to.bulk(value);
    }
}

/// `ACL SETUSER <user> [<rule> …]`
pub(super) fn setuser(call: &mut Call<'_>) -> Flow {
    let server = Arc::clone(&call.session.server);
    let rules = call.words.args().skip(3);
    if let Err(error) = server.context.access.edit(call.word(2), rules) {
        return call.error(format!("ERR {error}"));
    }
    let name = call.text(2);
    for client in server.clients.snapshot() {
        if client.is_subscriber() && client.is_of(&name) {
            client.review();
        }
    }
    tracing::info!(client = call.session.client.id, user = name, "ACL user changed");
    warn_of_loss(&server, &name);
    if server.context.access.saves_changes() {
        return Flow::ask(Ask::FlushConfig);
    }
    call.ok()
}

/// Where the configuration is never written, what it says of a user holds at every start.
fn warn_of_loss(server: &Server, name: &str) {
    if let Some(reason) = server.context.access.why_lost(name) {
        tracing::warn!(
            user = name,
            reason,
            "this change lasts until the next start, unless the configuration is changed as well"
        );
    }
}

/// `ACL DELUSER <user> …`
pub(super) fn deluser(call: &mut Call<'_>) -> Flow {
    let mut names = call.words.args().skip(2);
    if names.any(|name| name == DEFAULT_USER.as_bytes()) {
        return call.error("ERR The 'default' user cannot be removed");
    }
    let server = Arc::clone(&call.session.server);
    let removed = server.context.access.remove(call.words.args().skip(2));
    for name in &removed {
        tracing::info!(
            client = call.session.client.id,
            user = &**name,
            "ACL user removed"
        );
        warn_of_loss(&server, name);
    }
    close_strangers(&server, call.session.client.id);
    let count = i64::try_from(removed.len()).unwrap_or(i64::MAX);
    if count > 0 && server.context.access.saves_changes() {
        return Flow::ask_then(Ask::FlushConfig, move |call, answer| {
            call.session.refresh();
            match answer {
                Answer::Ok => call.reply().integer(count),
                other => answer::write(call, other),
            }
        });
    }
    call.session.refresh();
    call.reply().integer(count);
    Flow::Done
}

/// Closes the connections of users that do not exist any more, but for one that has a reply to get first.
fn close_strangers(server: &Server, spared_id: u64) {
    let users = server.context.access.users();
    for client in server.clients.snapshot() {
        let user = client.labels().user.clone();
        let is_stranger = user.is_some_and(|user| users.get(user.as_bytes()).is_none());
        if is_stranger && client.id != spared_id {
            client.close();
        }
    }
}

/// `ACL CAT [<category>]`
pub(super) fn cat(call: &mut Call<'_>) -> Flow {
    match call.words.len() {
        2 => call.reply().bulks(&CATEGORIES),
        3 => {
            let category = call.word(2).to_ascii_lowercase();
            if !CATEGORIES.iter().any(|known| known.as_bytes() == category) {
                return call.error_quoting("ERR Unknown category '", 2, "'");
            }
            let wanted = Categories::named(&category);
            let belongs = |command: &&Command| wanted.is_some_and(|it| command.categories.has(it));
            let names: Vec<&str> = catalog::every().filter(belongs).map(|it| it.name).collect();
            call.reply().bulks(&names);
        }
        _ => return unknown_form(call),
    }
    Flow::Done
}

/// `ACL GENPASS [<bits>]`
pub(super) fn genpass(call: &mut Call<'_>) -> Flow {
    let bits = match call.words.len() {
        2 => PASSWORD_BITS,
        3 => match super::integer(call, 2) {
            Some(bits) => bits,
            None => return call.error("ERR value is not an integer or out of range"),
        },
        _ => return unknown_form(call),
    };
    let digits = match usize::try_from(bits) {
        Ok(1..) if bits <= MAX_PASSWORD_BITS => (bits as usize).div_ceil(4),
        _ => {
            return call.error(
                "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
                 4096",
            );
        }
    };
    match random_digits(digits) {
        Ok(password) => call.reply().bulk(password),
        Err(error) => {
            return call.error(format!(
                "ERR the operating system gives no random numbers: {error}"
            ));
        }
    }
    Flow::Done
}

fn random_digits(count: usize) -> Result<String, rand::rngs::SysError> {
    use rand::TryRng as _;
    let mut bytes = vec![0; count.div_ceil(2)];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    let mut digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(count);
    Ok(digits)
}

/// `ACL DRYRUN <user> <command> [<arg> …]`
pub(super) fn dryrun(call: &mut Call<'_>) -> Flow {
    /// The words before the command to be tried.
    const SKIP: usize = 3;
    let users = call.session.server.context.access.users();
    let Some(user) = users.get(call.word(2)) else {
        return call.error_quoting("ERR User '", 2, "' not found");
    };
    let Lookup::Found(command) = lookup(&call.session.server.names, call.words, SKIP) else {
        return call.error_quoting("ERR Command '", SKIP, "' not found");
    };
    if !command.takes(call.words.len() - SKIP) {
        return call.error(format!(
            "ERR wrong number of arguments for '{}' command",
            command.name
        ));
    }
    let attempt = Attempt {
        command,
        words: call.words,
        skip: SKIP,
    };
    let text = match user.check(&attempt) {
        Ok(()) => return call.ok(),
        Err(Denied::Command) => no_command(user.name(), command).into_bytes(),
        Err(Denied::Channel(index)) => {
            let before = format!("User {} has no permissions to access the '", user.name());
            [before.as_bytes(), call.word(index), b"' channel"].concat()
        }
    };
    call.reply().bulk(text);
    Flow::Done
}

/// `ACL LOG [<count> | RESET]`
pub(super) fn log(call: &mut Call<'_>) -> Flow {
    let access = call.session.server.context.access.clone();
    let count = match call.words.len() {
        2 => LOG_ENTRIES_SHOWN,
        3 if call.words.arg_is(2, "RESET") => {
            access.forget_refusals();
            return call.ok();
        }
        3 => match super::integer(call, 2) {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => return call.error("ERR value is not an integer or out of range"),
        },
        _ => return unknown_form(call),
    };
    let (entries, now_ms) = (access.refusals(count), unix_ms());
    let mut to = call.reply();
    to.array(entries.len());
    entries.iter().for_each(|entry| show(&mut to, entry, now_ms));
    Flow::Done
}

fn show(to: &mut Encoder<'_>, entry: &LogEntry, now_ms: u64) {
    let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    to.map(10);
    to.bulk("count");
    to.integer(entry.count);
    to.bulk("reason");
    to.bulk(entry.reason.name());
    to.bulk("context");
    to.bulk("toplevel");
    to.bulk("object");
    to.bulk(&entry.object);
    to.bulk("username");
    to.bulk(&entry.user);
    to.bulk("age-seconds");
    to.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
    to.bulk("client-info");
    to.bulk(&entry.client);
    to.bulk("entry-id");
    to.integer(millis(entry.id));
    to.bulk("timestamp-created");
    to.integer(millis(entry.created_ms));
    to.bulk("timestamp-last-updated");
    to.integer(millis(entry.updated_ms));
}

/// `ACL LOAD`: the users of the ACL file, all or none.
pub(super) fn load(call: &mut Call<'_>) -> Flow {
    let (server, my_id) = (Arc::clone(&call.session.server), call.session.client.id);
    Flow::Work(Box::new(move || {
        server
            .context
            .access
            .reload()
            .map_err(|error| crate::daemon::chain(&error))?;
        tracing::info!(client = my_id, "ACL users loaded from the ACL file");
        close_strangers(&server, my_id);
        let clients = server.clients.snapshot();
        let subscribers = clients.iter().filter(|client| client.is_subscriber());
        subscribers.for_each(|client| client.review());
        Ok(())
    }))
}

/// `ACL SAVE`: the users to the ACL file.
pub(super) fn save(call: &mut Call<'_>) -> Flow {
    let access = call.session.server.context.access.clone();
    Flow::Work(Box::new(move || {
        access.save().map_err(|error| {
            if let Some(cause) = std::error::Error::source(&error) {
                tracing::warn!(%cause, "the ACL file cannot be saved");
            }
            error.to_string()
        })
    }))
}

pub(super) fn help(call: &mut Call<'_>) -> Flow {
    catalog::help(call)
}

/// Milliseconds of the Unix epoch.
fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, whole_millis)
}
