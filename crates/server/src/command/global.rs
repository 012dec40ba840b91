//! `SENTINEL CONFIG`, `DEBUG`, `SIMULATE-FAILURE`, `INFO-CACHE`: about the whole process.
//!
//! The core judges all words. The two periods of `DEBUG` that concern scripts are passed on to who runs them.

use std::time::Duration;

use bellwether_core::{Answer, Refusal, Request as Ask};

use super::{Flow, answer, sentinel};
use crate::client::session::Call;

/// `SENTINEL CONFIG GET <pattern> …`, `SENTINEL CONFIG SET <name> <value> …`
pub(super) fn config(call: &mut Call<'_>) -> Flow {
    if let Some(refused) = sentinel::refuse_binary(call) {
        return refused;
    }
    let words = sentinel::texts(call, 3);
    if call.words.arg_is(2, "get") {
        Flow::ask(Ask::ConfigGet { patterns: words })
    } else if call.words.arg_is(2, "set") && words.len() >= 2 {
        Flow::ask(Ask::ConfigSet { words })
    } else {
        call.error(
            "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are \
             supported.",
        )
    }
}

/// `SENTINEL DEBUG [<name> <value> …]`
pub(super) fn debug(call: &mut Call<'_>) -> Flow {
    let words = sentinel::texts(call, 2);
    Flow::ask_then(Ask::Debug { words }, |call, answer| {
        set_script_periods(call, &answer);
        answer::write(call, answer);
    })
}

/// Tells the runner of scripts what was set, up to the first mistake, as the core does.
fn set_script_periods(call: &Call<'_>, answer: &Answer) {
    let words = sentinel::texts(call, 2);
    for pair in words.chunks_exact(2) {
        let [name, value] = pair else { return };
        let is_mistake = match answer {
            Answer::Refused(Refusal::BadDebugValue {
                name: bad,
                value: bad_value,
            }) => bad == name && bad_value == value,
            Answer::Refused(Refusal::UnknownDebugOption(bad)) => bad == name,
            Answer::Ok => false,
            _ => true,
        };
        let Some(period) = value
            .parse()
            .ok()
            .map(Duration::from_millis)
            .filter(|_| !is_mistake)
        else {
            return;
        };
        call.session.server.context.scripts.change_settings(|settings| {
            match name.to_ascii_lowercase().as_str() {
                "script-max-runtime" => settings.max_runtime = period,
                "script-retry-delay" => settings.retry_delay = period,
                _ => {}
            }
        });
    }
}

/// `SENTINEL SIMULATE-FAILURE <flag> …`
pub(super) fn simulate_failure(call: &mut Call<'_>) -> Flow {
    let words = sentinel::texts(call, 2);
    Flow::ask(Ask::SimulateFailure { words })
}

/// `SENTINEL INFO-CACHE <name> …`
pub(super) fn info_cache(call: &mut Call<'_>) -> Flow {
    let names = sentinel::texts(call, 2);
    Flow::ask(Ask::InfoCache { names })
}
