//! `CLIENT PAUSE` and `CLIENT UNPAUSE`.

use super::{Flow, unknown_form};
use crate::client::session::Call;

/// `CLIENT PAUSE <ms> [WRITE|ALL]`. No command here writes, so that only ALL holds anyone up.
pub(super) fn pause(call: &mut Call<'_>) -> Flow {
    let all = match call.words.len() {
        3 => true,
        4 if call.words.arg_is(3, "all") => true,
        4 if call.words.arg_is(3, "write") => false,
        4 => return call.error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
        _ => return unknown_form(call),
    };
    let Some(length_ms) = super::integer(call, 2) else {
        return call.error("ERR timeout is not an integer or out of range");
    };
    let Ok(length_ms) = u64::try_from(length_ms) else {
        return call.error("ERR timeout is negative");
    };
    if all {
        let until_ms = call.session.now_ms().saturating_add(length_ms);
        call.session.server.pause.extend(until_ms);
    }
    call.ok()
}

/// `CLIENT UNPAUSE`. As in Sentinel it is itself held up while all are paused, so that only a connection that was
/// faster than the pause can end it.
pub(super) fn unpause(call: &mut Call<'_>) -> Flow {
    call.session.server.pause.end();
    call.ok()
}
