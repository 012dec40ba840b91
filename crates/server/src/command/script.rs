//! `SENTINEL PENDING-SCRIPTS`: the scripts that run or wait.

use super::Flow;
use crate::client::session::Call;
use crate::script::ScriptState;

/// `SENTINEL PENDING-SCRIPTS`. All but the words of a script are bulk strings, numbers included.
pub(super) fn pending(call: &mut Call<'_>) -> Flow {
    let scripts = call.session.server.context.scripts.pending();
    let mut to = call.reply();
    to.array(scripts.len());
    for script in scripts {
        let (state, pid, time_field, time_ms) = match script.state {
            ScriptState::Running { pid, since_ms } => ("running", pid, "run-time", since_ms),
            ScriptState::Scheduled { due_in_ms } => ("scheduled", 0, "run-delay", due_in_ms),
        };
        to.map(5);
        to.bulk("argv");
        to.bulks(&script.argv);
        let fields = [
            ("flags", state.to_owned()),
            ("pid", pid.to_string()),
            (time_field, time_ms.to_string()),
            ("retry-num", script.starts.to_string()),
        ];
        for (field, value) in fields {
            to.bulk(field);
            to.bulk(value);
        }
    }
    Flow::Done
}
