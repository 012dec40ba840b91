//! `SENTINEL`, `ROLE`: questions and orders about groups.
//!
//! Everything but the address of a primary goes to the core, which also judges the words. Never interprets a
//! name, an address or an option here.

use bellwether_core::{Answer, Request as Ask};
use rustix::fs::{Access, access};

use super::{Flow, answer, catalog};
use crate::client::session::Call;

/// `SENTINEL GET-MASTER-ADDR-BY-NAME <name>`, from the published addresses: no hop to the driver.
pub(super) fn primary_addr(call: &mut Call<'_>) -> Flow {
    let addresses = call.session.server.context.handle.addresses();
    // A name that is not UTF-8 is that of no group.
    let addr = call.words.arg_str(2).and_then(|name| addresses.get(name));
    answer::address(&mut call.reply(), addr);
    Flow::Done
}

pub(super) fn primaries(_: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Primaries)
}

pub(super) fn primary(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Primary { name: call.text(2) })
}

pub(super) fn replicas(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Replicas { name: call.text(2) })
}

pub(super) fn sentinels(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Sentinels { name: call.text(2) })
}

/// `SENTINEL IS-MASTER-DOWN-BY-ADDR <host> <port> <epoch> <candidate>`
pub(super) fn is_primary_down(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::IsPrimaryDown {
        host: call.text(2),
        port: call.text(3),
        epoch: call.text(4),
        candidate: call.text(5),
    })
}

/// `SENTINEL MONITOR <name> <host> <port> <quorum>`
pub(super) fn monitor(call: &mut Call<'_>) -> Flow {
    if let Some(refused) = refuse_binary(call) {
        return refused;
    }
    Flow::ask(Ask::Monitor {
        name: call.text(2),
        host: call.text(3),
        port: call.text(4),
        quorum: call.text(5),
    })
}

pub(super) fn remove(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Remove { name: call.text(2) })
}

/// `SENTINEL SET <name> <option> <value> …`
pub(super) fn set(call: &mut Call<'_>) -> Flow {
    if let Some(refused) = refuse_binary(call) {
        return refused;
    }
    let words = texts(call, 3);
    Flow::ask(Ask::Set {
        name: call.text(2),
        not_executable: not_executable(&words),
        words,
    })
}

/// Which of the words behind options for scripts name no file that we may execute. The core, which knows no files,
/// judges by this if it comes to that option.
fn not_executable(words: &[String]) -> Vec<usize> {
    let is_script = |option: &str| {
        let options = ["notification-script", "client-reconfig-script"];
        options.iter().any(|name| name.eq_ignore_ascii_case(option))
    };
    let is_bad = |path: &str| !path.is_empty() && access(path, Access::EXEC_OK).is_err();
    words
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| matches!(pair, [option, path] if is_script(option) && is_bad(path)))
        .map(|(index, _)| index + 1)
        .collect()
}

/// `SENTINEL FORGET <name> <host> <port>`: one replica or sentinel. Not in Sentinel, where only RESET forgets, and
/// then everything.
pub(super) fn forget(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Forget {
        name: call.text(2),
        host: call.text(3),
        port: call.text(4),
    })
}

/// `SENTINEL FAILOVER <name> [COORDINATED]`
pub(super) fn failover(call: &mut Call<'_>) -> Flow {
    if call.words.len() > 4 {
        return call.error("ERR wrong number of arguments for 'sentinel|failover' command");
    }
    let option = (call.words.len() == 4).then(|| call.text(3));
    let name = call.text(2);
    Flow::ask(Ask::Failover { name, option })
}

pub(super) fn reset(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::Reset {
        pattern: call.text(2),
    })
}

pub(super) fn check_quorum(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::CheckQuorum { name: call.text(2) })
}

pub(super) fn flush_config(_: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::FlushConfig)
}

pub(super) fn my_id(_: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::MyId)
}

pub(super) fn help(call: &mut Call<'_>) -> Flow {
    catalog::help(call)
}

/// `ROLE`
pub(super) fn role(_: &mut Call<'_>) -> Flow {
    Flow::ask_then(Ask::GroupNames, |call, names| match names {
        Answer::Texts(names) => {
            let mut to = call.reply();
            to.array(2);
            to.bulk("sentinel");
            to.bulks(&names);
        }
        other => answer::write(call, other),
    })
}

/// The words from `first` on.
pub(super) fn texts(call: &Call<'_>, first: usize) -> Vec<String> {
    (first..call.words.len()).map(|index| call.text(index)).collect()
}

/// Refuses words that could not be kept as text. Unlike Sentinel, which stores any bytes; they could not be shown
/// or written to the file unharmed.
pub(super) fn refuse_binary(call: &mut Call<'_>) -> Option<Flow> {
    let bad = (0..call.words.len()).find(|index| call.words.arg_str(*index).is_none())?;
    Some(call.error(format!(
        "ERR Invalid argument at index {bad}: it is not valid UTF-8"
    )))
}
