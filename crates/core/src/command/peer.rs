//! The one question that sentinels ask each other: is this primary down, and do I get your vote?

use std::collections::BTreeMap;

use crate::addr::Addr;
use crate::context::Context;
use crate::group::Group;
use crate::id::{ClientToken, Epoch, GroupName, SentinelId};
use crate::request::{Answer, Refusal};

/// Answers `SENTINEL IS-MASTER-DOWN-BY-ADDR`. The group is found by the address of its primary alone.
pub(crate) fn is_primary_down(
    groups: &mut BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    host: &str,
    port: &str,
    (epoch, candidate): (&str, &str),
) {
    let (Ok(port), Ok(epoch)) = (port.parse::<i64>(), epoch.parse::<i64>()) else {
        return cx.answer_now(token, Answer::Refused(Refusal::NotAnInteger));
    };
    // Unlike Sentinel, a negative epoch is not taken for a very large one, and a very large one is refused.
    let epoch = u64::try_from(epoch).ok().map(Epoch);
    let Some(epoch) = epoch.filter(|epoch| cx.registry.current_epoch.may_leap_to(*epoch)) else {
        return cx.answer_now(token, Answer::Refused(Refusal::BadEpoch));
    };
    let addr = u16::try_from(port).ok().and_then(|port| Addr::parse(host, port));
    let found = addr.and_then(|addr| {
        groups
            .values_mut()
            .find(|group| cx.names.same(&group.primary, &addr))
    });
    let Some(group) = found else {
        let answer = Answer::Verdict {
            down: false,
            leader: "*".to_owned(),
            leader_epoch: 0,
        };
        return cx.answer_now(token, answer);
    };
    if group.primary_is_sdown() {
        // Whoever asks sees it down, too: those who did not when we asked them may have changed their mind.
        group.recheck_verdicts();
        cx.touch(&group.name);
    }
    if candidate == "*" {
        let answer = verdict_answer(group, cx, None);
        return cx.answer_now(token, answer);
    }
    let candidate = match SentinelId::new(candidate) {
        Ok(candidate) => candidate,
        Err(why) => return cx.answer_now(token, Answer::Refused(Refusal::BadCandidate(why.to_string()))),
    };
    let Context {
        agreement, registry, ..
    } = cx;
    if agreement.asked(registry, &group.name, epoch, &candidate, token) {
        return;
    }
    let vote = cx
        .registry
        .groups
        .get(&group.name)
        .map(|record| record.vote.clone())
        .unwrap_or_default();
    let answer = verdict_answer(group, cx, Some((vote.candidate.as_ref(), vote.epoch)));
    cx.answer(token, answer);
}

/// The answer: whether we see the primary down, and our vote if one was asked for.
pub(crate) fn verdict_answer(
    group: &Group,
    cx: &Context,
    vote: Option<(Option<&SentinelId>, Epoch)>,
) -> Answer {
    let (leader, epoch) = vote.unwrap_or_default();
    Answer::Verdict {
        down: group.primary_is_sdown() && !cx.tilt.is_on(),
        leader: leader.map_or("*", SentinelId::as_str).to_owned(),
        leader_epoch: epoch.0,
    }
}

/// `SENTINEL RAFT VIEW`: how one of our primaries looks from another member. What it is about and is not ours is passed
/// over: it may know more than we do, or less.
pub(crate) fn view_told(
    groups: &mut BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    (from, group): (&str, &str),
    (host, port): (&str, &str),
    down: &str,
) {
    let down = match down.to_ascii_lowercase().as_str() {
        "down" => true,
        "up" => false,
        _ => return cx.answer_now(token, Answer::Refused(Refusal::BadView)),
    };
    if cx.agreement.is_by_vote() {
        return cx.answer_now(token, Answer::Refused(Refusal::NoLog));
    }
    let addr = port.parse().ok().and_then(|port| Addr::parse(host, port));
    let id = SentinelId::new(from).ok();
    if let (Some(group), Some(addr), Some(id)) = (groups.get_mut(group), addr, id)
        && cx.names.same(&group.primary, &addr)
    {
        group.view_came(&id, down, cx);
    }
    cx.answer_now(token, Answer::Ok);
}
