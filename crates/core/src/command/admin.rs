//! Orders of operators about the set of groups and their options.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::addr::{Addr, Host};
use crate::context::Context;
use crate::decision::{Decision, GroupChange};
use crate::glob;
use crate::group::Group;
use crate::id::{ClientToken, GroupName, SentinelId};
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
            Lookup::Unknown if cx.look_up(host) => return Ok(None),
            Lookup::Unknown => return Err(Refusal::BadHost),
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
        options: GroupOptions {
            down_after: cx.tunables.default_down_after,
            failover_timeout: cx.tunables.default_failover_timeout,
            ..GroupOptions::new(quorum)
        },
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
    (words, not_executable): (&[String], &[usize]),
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
    let mut at = 0;
    while at < words.len() {
        let option = Change {
            words: &words[at..],
            denied: cx.settings.deny_scripts_reconfig,
            executable: !not_executable.contains(&(at + 1)),
        };
        match option.parse() {
            Ok((change, taken)) => {
                changes.push(change);
                at += taken;
            }
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

/// One option of `SET` at the head of the words that are left.
struct Change<'a> {
    words: &'a [String],
    /// Scripts may not be changed.
    denied: bool,
    /// The value, taken for a path, can be run.
    executable: bool,
}

impl Change<'_> {
    /// The change, and how many words it took.
    fn parse(&self) -> Result<(GroupChange, usize), Refusal> {
        let option = self.words.first().map(String::as_str).unwrap_or_default();
        let unknown = || Refusal::UnknownSetOption(option.to_owned());
        let value = self.words.get(1).ok_or_else(unknown)?;
        let bad = || Refusal::BadSetValue {
            value: value.clone(),
            option: option.to_owned(),
        };
        let number = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
        let millis = |least: u64| {
            let millis = value
                .parse::<u64>()
                .ok()
                .filter(|n| (least..=MAX_PERIOD_MS).contains(n));
            millis.map(Duration::from_millis).ok_or_else(bad)
        };
        let text = || (!value.is_empty()).then(|| value.clone());
        let change = match option.to_ascii_lowercase().as_str() {
            "down-after-milliseconds" => GroupChange::DownAfter(millis(1)?),
            "failover-timeout" => GroupChange::FailoverTimeout(millis(1)?),
            "parallel-syncs" => GroupChange::ParallelSyncs(number()?),
            "quorum" => GroupChange::Quorum(number()?),
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                GroupChange::RebootDownAfter(millis(0)?)
            }
            "auth-user" => GroupChange::AuthUser(text()),
            "auth-pass" => GroupChange::AuthPass(text().as_deref().map(Secret::new)),
            "notification-script" => {
                self.check_script(value, Refusal::BadNotificationScript)?;
                GroupChange::NotificationScript(text())
            }
            "client-reconfig-script" => {
                self.check_script(value, Refusal::BadClientReconfigScript)?;
                GroupChange::ClientReconfigScript(text())
            }
            "rename-command" => {
                let renamed = self.words.get(2).ok_or_else(unknown)?;
                if value.is_empty() || renamed.is_empty() {
                    let value = if value.is_empty() { value } else { renamed };
                    return Err(Refusal::BadSetValue {
                        value: value.clone(),
                        option: option.to_owned(),
                    });
                }
                let renamed = (!value.eq_ignore_ascii_case(renamed)).then(|| renamed.clone());
                return Ok((
                    GroupChange::RenameCommand {
                        command: value.clone(),
                        renamed,
                    },
                    3,
                ));
            }
            _ => return Err(unknown()),
        };
        Ok((change, 2))
    }

    fn check_script(&self, path: &str, refusal: Refusal) -> Result<(), Refusal> {
        if self.denied {
            return Err(Refusal::ScriptsDenied);
        }
        if path.is_empty() || self.executable {
            Ok(())
        } else {
            Err(refusal)
        }
    }
}

/// `SENTINEL FORGET`. Not in the reference, where only a reset of the whole group forgets anybody.
pub(super) fn forget(
    groups: &BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    name: &str,
    (host, port): (&str, &str),
) {
    match find_member(groups, cx, name, host, port) {
        Ok(decision) => cx.agreement.propose(decision, Some(token)),
        Err(refusal) => cx.answer_now(token, Answer::Refused(refusal)),
    }
}

fn find_member(
    groups: &BTreeMap<GroupName, Group>,
    cx: &Context,
    name: &str,
    host: &str,
    port: &str,
) -> Result<Decision, Refusal> {
    let group = groups.get(name).ok_or(Refusal::NoSuchGroup)?;
    let port: i64 = port.parse().map_err(|_| Refusal::BadPort)?;
    let port = u16::try_from(port).map_err(|_| Refusal::PortOutOfRange)?;
    let addr = Addr::parse(host, port).ok_or(Refusal::BadHost)?;
    if cx.names.same(&addr, &group.primary) {
        return Err(Refusal::IsPrimary);
    }
    if let Some(addr) = group.find_instance(cx, &addr).cloned() {
        return Ok(Decision::ReplicaForgotten {
            group: group.name.clone(),
            addr,
        });
    }
    let at_addr = |id: &&SentinelId| {
        cx.peers
            .get(*id)
            .is_some_and(|peer| cx.names.same(&peer.addr, &addr))
    };
    let id = group.views.keys().find(at_addr).ok_or(Refusal::NoSuchMember)?;
    if !cx.agreement.is_by_vote() {
        return Err(Refusal::IsMember);
    }
    Ok(Decision::SentinelForgotten {
        group: group.name.clone(),
        id: id.clone(),
    })
}

/// The longest period that can be set: about 24 days, the largest number that every implementation takes.
pub(super) const MAX_PERIOD_MS: u64 = i32::MAX as u64;

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
        .filter(|name| glob::matches(pattern.as_bytes(), name.as_str().as_bytes()))
        .cloned()
        .collect();
    let count = i64::try_from(matching.len()).unwrap_or(i64::MAX);
    cx.out.changed();
    let Some((last, others)) = matching.split_last() else {
        return cx.answer(token, Answer::Integer(0));
    };
    cx.promise(token, Answer::Integer(count));
    for group in others.iter().cloned() {
        cx.agreement.propose(Decision::Reset { group }, None);
    }
    let group = last.clone();
    cx.agreement.propose(Decision::Reset { group }, Some(token));
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
        GroupChange::AuthPass(_) | GroupChange::RenewedAuthPass(_) => ("auth-pass", "******".to_owned()),
        GroupChange::NotificationScript(path) => ("notification-script", path.clone().unwrap_or_default()),
        GroupChange::ClientReconfigScript(path) => {
            ("client-reconfig-script", path.clone().unwrap_or_default())
        }
        GroupChange::RenameCommand { command, renamed } => {
            let renamed = renamed.as_ref().unwrap_or(command);
            ("rename-command", format!("{command} {renamed}"))
        }
        GroupChange::RebootDownAfter(duration) => ("master-reboot-down-after-period", millis(duration)),
    };
    format!("{primary} {option} {value}")
}

pub(super) fn refuse_control(word: &str, index: usize, command: &'static str) -> Result<(), Refusal> {
    if word.chars().any(char::is_control) {
        return Err(Refusal::ControlCharacters { index, command });
    }
    Ok(())
}
