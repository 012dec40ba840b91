//! `CLIENT TRACKING` and what goes with it, `CLIENT NO-EVICT`, `CLIENT UNBLOCK`.
//!
//! There is no keyspace, so that nothing is ever invalidated or evicted, and nobody ever blocks. What a client sets is
//! kept all the same, because it can be asked for.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Flow;
use crate::client::session::Call;

/// Most prefixes of one client. A coordinator has no keys that could begin with any.
const MAX_PREFIXES: usize = 64;

/// Most bytes of all prefixes of one client. They are kept as long as the connection.
const MAX_PREFIX_BYTES: usize = 4096;

/// What one client tracks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracking {
    mode: Mode,
    no_loop: bool,
    /// The client that is to be told instead; 0 for none.
    redirect: u64,
    prefixes: BTreeSet<Bytes>,
    /// What `CLIENT CACHING` said, for the next command only.
    caching: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Default,
    Broadcast,
    OptIn,
    OptOut,
}

impl Tracking {
    /// Whether `CLIENT LIST` shows it as broadcasting.
    pub(crate) fn is_broadcast(&self) -> bool {
        self.mode == Mode::Broadcast
    }

    /// The client that is to be told instead; 0 for none.
    pub(crate) const fn redirect(&self) -> u64 {
        self.redirect
    }

    /// A command other than `CLIENT` was run.
    pub(crate) fn forget_caching(&mut self) {
        self.caching = false;
    }
}

/// The words of `CLIENT TRACKING on`.
#[derive(Default)]
struct Options {
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    redirect: u64,
    prefixes: Vec<Bytes>,
}

/// `CLIENT TRACKING on|off [REDIRECT <id>] [PREFIX <prefix> …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub(super) fn tracking(call: &mut Call<'_>) -> Flow {
    let options = match Options::read(call) {
        Ok(options) => options,
        Err(refused) => return refused,
    };
    if call.words.arg_is(2, "off") {
        call.session.set_tracking(None);
        return call.ok();
    }
    if !call.words.arg_is(2, "on") {
        return call.syntax_error();
    }
    let before = call.session.tracking.take();
    let turned_on = options.turn_on(before.as_deref());
    match turned_on {
        Ok(tracking) => {
            call.session.set_tracking(Some(Box::new(tracking)));
            call.ok()
        }
        Err(text) => {
            call.session.tracking = before;
            call.error(text)
        }
    }
}

impl Options {
    /// Reads the words behind on and off, or gives what was answered instead.
    fn read(call: &mut Call<'_>) -> Result<Self, Flow> {
        let mut options = Self::default();
        let mut at = 3;
        while at < call.words.len() {
            let has_value = at + 1 < call.words.len();
            match call.word(at).to_ascii_lowercase().as_slice() {
                b"redirect" if has_value => {
                    at += 1;
                    options.redirect = redirect(call, at, options.redirect)?;
                }
                b"prefix" if has_value => {
                    at += 1;
                    options.prefixes.push(Bytes::copy_from_slice(call.word(at)));
                }
                b"bcast" => options.broadcast = true,
                b"optin" => options.opt_in = true,
                b"optout" => options.opt_out = true,
                b"noloop" => options.no_loop = true,
                _ => return Err(call.syntax_error()),
            }
            at += 1;
        }
        Ok(options)
    }

    /// The checks in the order of the reference.
    fn turn_on(self, before: Option<&Tracking>) -> Result<Tracking, Vec<u8>> {
        let refuse = |text: &str| Err(format!("ERR {text}").into_bytes());
        if !self.broadcast && !self.prefixes.is_empty() {
            return refuse("PREFIX option requires BCAST mode to be enabled");
        }
        if before.is_some_and(|before| before.is_broadcast() != self.broadcast) {
            return refuse(
                "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            );
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return refuse("OPTIN and OPTOUT are not compatible with BCAST");
        }
        if self.opt_in && self.opt_out {
            return refuse("You can't specify both OPTIN mode and OPTOUT mode");
        }
        let was = before.map(|before| before.mode);
        if (self.opt_in && was == Some(Mode::OptOut)) || (self.opt_out && was == Some(Mode::OptIn)) {
            return refuse(
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            );
        }
        let mut prefixes = before.map(|before| before.prefixes.clone()).unwrap_or_default();
        if self.broadcast {
            check_overlap(&self.prefixes, &prefixes)?;
            prefixes.extend(self.prefixes);
            if prefixes.is_empty() {
                prefixes.insert(Bytes::new());
            }
        }
        if prefixes.len() > MAX_PREFIXES || prefixes.iter().map(Bytes::len).sum::<usize>() > MAX_PREFIX_BYTES
        {
            return refuse("too many prefixes");
        }
        let mode = match () {
            () if self.broadcast => Mode::Broadcast,
            () if self.opt_in => Mode::OptIn,
            () if self.opt_out => Mode::OptOut,
            () => Mode::Default,
        };
        Ok(Tracking {
            mode,
            no_loop: self.no_loop,
            redirect: self.redirect,
            prefixes,
            caching: before.is_some_and(|before| before.caching),
        })
    }
}

fn redirect(call: &mut Call<'_>, index: usize, before: u64) -> Result<u64, Flow> {
    if before != 0 {
        return Err(call.error("ERR A client can only redirect to a single other client"));
    }
    let Some(id) = super::integer(call, index) else {
        return Err(call.error("ERR value is not an integer or out of range"));
    };
    let clients = call.session.server.clients.snapshot();
    match u64::try_from(id) {
        Ok(id) if clients.iter().any(|client| client.id == id) => Ok(id),
        _ => Err(call.error("ERR The client ID you want redirect to does not exist")),
    }
}

/// Refuses prefixes of which one begins with another: against those that are there, then against each other.
fn check_overlap(new: &[Bytes], there: &BTreeSet<Bytes>) -> Result<(), Vec<u8>> {
    let clash = |one: &Bytes, other: &Bytes| one.starts_with(other) || other.starts_with(one);
    let text = |one: &Bytes, what: &str, other: &Bytes| {
        [
            b"ERR Prefix '",
            &one[..],
            b"' overlaps with ",
            what.as_bytes(),
            b" '",
            &other[..],
            b"'. Prefixes for a single client must not overlap.",
        ]
        .concat()
    };
    for (index, prefix) in new.iter().enumerate() {
        if let Some(other) = there.iter().find(|other| clash(prefix, other)) {
            return Err(text(prefix, "an existing prefix", other));
        }
        if let Some(other) = new.iter().skip(index + 1).find(|other| clash(prefix, other)) {
            return Err(text(prefix, "another provided prefix", other));
        }
    }
    Ok(())
}

/// `CLIENT TRACKINGINFO`
pub(super) fn tracking_info(call: &mut Call<'_>) -> Flow {
    let mut flags = Vec::new();
    let (mut redirect, mut prefixes) = (-1, Vec::new());
    match call.session.tracking.as_deref() {
        None => flags.push("off"),
        Some(tracking) => {
            flags.push("on");
            match (tracking.mode, tracking.caching) {
                (Mode::Default, _) => {}
                (Mode::Broadcast, _) => flags.push("bcast"),
                (Mode::OptIn, caching) => {
                    flags.push("optin");
                    flags.extend(caching.then_some("caching-yes"));
                }
                (Mode::OptOut, caching) => {
                    flags.push("optout");
                    flags.extend(caching.then_some("caching-no"));
                }
            }
            flags.extend(tracking.no_loop.then_some("noloop"));
            flags.extend(is_redirect_broken(call, tracking).then_some("broken_redirect"));
            redirect = i64::try_from(tracking.redirect).unwrap_or(i64::MAX);
            prefixes = tracking.prefixes.iter().cloned().collect();
        }
    }
    let mut to = call.reply();
    to.map(3);
    to.bulk("flags");
    to.set(flags.len());
    flags.iter().for_each(|flag| to.bulk(flag));
    to.bulk("redirect");
    to.integer(redirect);
    to.bulk("prefixes");
    to.bulks(&prefixes);
    Flow::Done
}

/// Whether the client that is to be told instead has left.
fn is_redirect_broken(call: &Call<'_>, tracking: &Tracking) -> bool {
    let clients = &call.session.server.clients;
    tracking.redirect != 0
        && !clients
            .snapshot()
            .iter()
            .any(|client| client.id == tracking.redirect)
}

/// `CLIENT CACHING yes|no`
pub(super) fn caching(call: &mut Call<'_>) -> Flow {
    let Some(tracking) = call.session.tracking.as_deref_mut() else {
        return call.error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        );
    };
    let wanted = if call.words.arg_is(2, "yes") {
        (Mode::OptIn, "YES", "OPTIN")
    } else if call.words.arg_is(2, "no") {
        (Mode::OptOut, "NO", "OPTOUT")
    } else {
        return call.syntax_error();
    };
    let (mode, word, mode_word) = wanted;
    if tracking.mode != mode {
        return call.error(format!(
            "ERR CLIENT CACHING {word} is only valid when tracking is enabled in {mode_word} mode."
        ));
    }
    tracking.caching = true;
    call.ok()
}

/// `CLIENT GETREDIR`
pub(super) fn get_redirect(call: &mut Call<'_>) -> Flow {
    let redirect = call.session.tracking.as_deref().map(Tracking::redirect);
    let redirect = redirect.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX));
    call.reply().integer(redirect);
    Flow::Done
}

/// `CLIENT NO-EVICT on|off`: nobody is evicted, but `CLIENT LIST` shows who asked for it.
pub(super) fn no_evict(call: &mut Call<'_>) -> Flow {
    let on = call.words.arg_is(2, "on");
    if !on && !call.words.arg_is(2, "off") {
        return call.syntax_error();
    }
    call.session.client.no_evict.store(on, Ordering::Relaxed);
    call.ok()
}

/// `CLIENT UNBLOCK <id> [TIMEOUT|ERROR]`: nobody ever blocks.
pub(super) fn unblock(call: &mut Call<'_>) -> Flow {
    match call.words.len() {
        3 => {}
        4 if call.words.arg_is(3, "timeout") || call.words.arg_is(3, "error") => {}
        4 => return call.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        _ => return super::unknown_form(call),
    }
    if super::integer(call, 2).is_none() {
        return call.error("ERR value is not an integer or out of range");
    }
    call.reply().integer(0);
    Flow::Done
}
