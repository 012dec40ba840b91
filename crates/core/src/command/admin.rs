//! Orders of operators about the set of groups and their options.

use std::collections::BTreeMap;
use std::time::Duration;

use super::glob;
use crate::addr::{Addr, Host};
use crate::context::Context;
use crate::decision::{Decision, GroupChange};
use crate::group::Group;
use crate::id::{ClientToken, GroupName};
use crate::names::Lookup;
use crate::registry::{GroupOptions, Secret};
use crate::request::{Answer, Refusal, Request};

/// `SENTINEL MONITOR`. Gives the request back while the host is being looked up.
pub(super) fn monitor(cx: &mut Context, token: ClientToken, request: Request) -> Option<Request> {
    let Request::Monitor {
        name,
        host,
        port,
        quorum,
    } = &request
    else {
        return None;
    };
    match check_monitor(cx, name, host, port, quorum) {
        Ok(Some(decision)) => cx.agreement.propose(decision, Some(token)),
        Ok(None) => return Some(request),
        Err(refusal) => cx.answer_now(token, Answer::Refused(refusal)),
    }
    None
}

/// The checks in the order of the reference. `Ok(None)` while the host is being looked up.
fn check_monitor(
    cx: &mut Context,
    name: &str,
    host: &str,
    port: &str,
    quorum: &str,
) -> Result<Option<Decision>, Refusal> {
    for (index, word) in [name, host, port, quorum].into_iter().enumerate() {
        refuse_control(word, index + 2, "MONITOR")?;
    }
    let quorum: i64 = quorum.parse().map_err(|_| Refusal::BadQuorum)?;
    let port: i64 = port.parse().map_err(|_| Refusal::BadPort)?;
    let quorum = u32::try_from(quorum)
        .ok()
        .filter(|quorum| *quorum >= 1)
        .ok_or(Refusal::QuorumTooSmall)?;
    // The host comes before the port in the reference, so a bad port must not hide a bad host.
    let probe = cx
        .names
        .parse(host, u16::try_from(port).unwrap_or(0))
        .ok_or(Refusal::BadHost)?;
    if let Host::Name(host) = &probe.host {
        match cx.names.state(host) {
            Lookup::Known => {}
            Lookup::Failed => {
                cx.names.forget_failure(host);
                return Err(Refusal::BadHost);
            }
            Lookup::Waiting => return Ok(None),
            Lookup::Unknown => {
                cx.look_up(host);
                return Ok(None);
            }
        }
    }
    let port = u16::try_from(port).map_err(|_| Refusal::PortOutOfRange)?;
    let group = GroupName::new(name).map_err(|why| Refusal::BadGroupName(why.to_string()))?;
    if cx.registry.groups.contains_key(&group) {
        return Err(Refusal::DuplicateGroup);
    }
    let primary = Addr {
        host: probe.host,
        port,
    };
    Ok(Some(Decision::Monitor {
        group,
        primary,
        options: GroupOptions::new(quorum),
    }))
}

/// `SENTINEL REMOVE`
pub(super) fn remove(groups: &BTreeMap<GroupName, Group>, cx: &mut Context, token: ClientToken, name: &str) {
    match groups.get(name) {
        Some(group) => {
            let group = group.name.clone();
            cx.agreement.propose(Decision::Remove { group }, Some(token));
        }
        None => cx.answer_now(token, Answer::Refused(Refusal::NoSuchGroup)),
    }
}

/// `SENTINEL SET`. As Sentinel, options count one by one: what stands before the first mistake is done.
pub(super) fn set(
    groups: &BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    name: &str,
    words: &[String],
) {
    let Some(group) = groups.get(name).map(|group| group.name.clone()) else {
        return cx.answer_now(token, Answer::Refused(Refusal::NoSuchGroup));
    };
    for (index, word) in words.iter().enumerate() {
        if let Err(refusal) = refuse_control(word, index + 3, "SET") {
            return cx.answer_now(token, Answer::Refused(refusal));
        }
    }
    let mut changes = Vec::new();
    let mut refusal = None;
    for pair in words.chunks(2) {
        match parse_change(pair) {
            Ok(change) => changes.push(change),
            Err(why) => {
                refusal = Some(why);
                break;
            }
        }
    }
    if !changes.is_empty() {
        cx.out.changed();
    }
    let last = changes.len().saturating_sub(1);
    for (index, change) in changes.into_iter().enumerate() {
        let origin = (refusal.is_none() && index == last).then_some(token);
        cx.agreement.propose(
            Decision::Set {
                group: group.clone(),
                change,
            },
            origin,
        );
    }
    if let Some(refusal) = refusal {
        cx.answer(token, Answer::Refused(refusal));
    }
}

fn parse_change(pair: &[String]) -> Result<GroupChange, Refusal> {
    let option = pair.first().map(String::as_str).unwrap_or_default();
    let [_, value] = pair else {
        return Err(Refusal::UnknownSetOption(option.to_owned()));
    };
    let bad = || Refusal::BadSetValue {
        value: value.clone(),
        option: option.to_owned(),
    };
    let number = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
    let millis = || {
        let millis = value
            .parse::<u64>()
            .ok()
            .filter(|n| *n > 0 && *n <= MAX_PERIOD_MS);
        millis.map(Duration::from_millis).ok_or_else(bad)
    };
    let text = || (!value.is_empty()).then_some(value.as_str());
    match option.to_ascii_lowercase().as_str() {
        "down-after-milliseconds" => millis().map(GroupChange::DownAfter),
        "failover-timeout" => millis().map(GroupChange::FailoverTimeout),
        "parallel-syncs" => number().map(GroupChange::ParallelSyncs),
        "quorum" => number().map(GroupChange::Quorum),
        "auth-user" => Ok(GroupChange::AuthUser(text().map(str::to_owned))),
        "auth-pass" => Ok(GroupChange::AuthPass(text().map(Secret::new))),
        _ => Err(Refusal::UnknownSetOption(option.to_owned())),
    }
}

/// The longest period that can be set: about 24 days, the largest number that every implementation takes.
const MAX_PERIOD_MS: u64 = i32::MAX as u64;

/// `SENTINEL RESET`. As Sentinel, the number of groups that matched is the answer. Unlike it, the forgetting
/// is saved.
pub(super) fn reset(
    groups: &BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    pattern: &str,
) {
    let matching: Vec<GroupName> = groups
        .keys()
        .filter(|name| glob::matches(pattern, name.as_str()))
        .cloned()
        .collect();
    let count = i64::try_from(matching.len()).unwrap_or(i64::MAX);
    for group in matching {
        cx.propose(Decision::Reset { group });
    }
    cx.out.changed();
    cx.answer(token, Answer::Integer(count));
}

/// The payload of `+set`.
pub(crate) fn set_event(primary: &str, change: &GroupChange) -> String {
    let millis = |duration: &Duration| crate::time::whole_millis(*duration).to_string();
    let (option, value) = match change {
        GroupChange::Quorum(quorum) => ("quorum", quorum.to_string()),
        GroupChange::DownAfter(duration) => ("down-after-milliseconds", millis(duration)),
        GroupChange::FailoverTimeout(duration) => ("failover-timeout", millis(duration)),
        GroupChange::ParallelSyncs(count) => ("parallel-syncs", count.to_string()),
        GroupChange::AuthUser(user) => ("auth-user", user.clone().unwrap_or_default()),
        GroupChange::AuthPass(_) => ("auth-pass", "******".to_owned()),
    };
    format!("{primary} {option} {value}")
}

fn refuse_control(word: &str, index: usize, command: &'static str) -> Result<(), Refusal> {
    if word.chars().any(char::is_control) {
        return Err(Refusal::ControlCharacters { index, command });
    }
    Ok(())
}
