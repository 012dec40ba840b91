//! Passwords that were read anew while the process runs. No client can ask for this.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::decided::reconnect_peers;
use crate::decision::{Decision, GlobalChange, GroupChange};
use crate::group::Group;
use crate::id::{ClientToken, GroupName};
use crate::instance::health::Health;
use crate::request::{Answer, RenewedPasswords};

/// Has them count from the next connections on. Groups that are gone are passed over.
pub(super) fn renew(
    groups: &BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    renewed: RenewedPasswords,
) {
    if let Some(password) = renewed.own {
        cx.settings.own_password = Some(password);
        if cx.registry.globals.sentinel_pass.is_none() {
            reconnect_peers(cx, Health::is_refused);
        }
    }
    if let Some(password) = renewed.peers {
        let changes = vec![GlobalChange::RenewedSentinelPass(password)];
        cx.agreement.propose(Decision::SetGlobals { changes }, None);
    }
    for (group, password) in renewed.groups {
        if groups.contains_key(&group) {
            let change = GroupChange::RenewedAuthPass(password);
            cx.agreement.propose(Decision::Set { group, change }, None);
        }
    }
    cx.answer_now(token, Answer::Ok);
}
