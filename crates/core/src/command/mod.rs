//! The meaning of what clients ask. One file per group of commands.

mod admin;
mod globals;
mod listing;
mod overview;
mod passwords;
mod peer;

use std::collections::BTreeMap;

pub(crate) use admin::set_event;
pub(crate) use peer::verdict_answer;

use crate::context::Context;
use crate::discovery::hello_came;
use crate::group::Group;
use crate::id::{ClientToken, GroupName};
use crate::request::{Answer, Refusal, Request};
use crate::shared::{foreign_accepted, frame_came, log_ordered};

/// Answers a request, or gives it back if it has to wait until a name is resolved.
pub(crate) fn run(
    groups: &mut BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    request: Request,
) -> Option<Request> {
    match request {
        Request::MyId => {
            let id = cx.registry.my_id.to_string();
            cx.answer_now(token, Answer::Text(id));
        }
        Request::Overview => {
            let overview = overview::overview(groups, cx);
            cx.answer_now(token, Answer::Overview(Box::new(overview)));
        }
        Request::GroupNames => {
            let names = groups.keys().map(ToString::to_string).collect();
            cx.answer_read(token, Answer::Texts(names));
        }
        Request::InfoSection {
            running_scripts,
            queued_scripts,
        } => {
            let section = overview::info_section(groups, cx, running_scripts, queued_scripts);
            let log = cx.agreement.log().map(|log| Box::new(log.status(cx.now)));
            cx.answer_read(token, Answer::Info { section, log });
        }
        Request::Primaries => {
            let all = groups.values().map(|group| listing::primary(group, cx)).collect();
            cx.answer_read(token, Answer::Instances(all));
        }
        Request::Primary { name } => {
            show(groups, cx, token, &name, |group, cx| {
                Answer::Instance(listing::primary(group, cx))
            });
        }
        Request::Replicas { name } => {
            show(groups, cx, token, &name, |group, cx| {
                Answer::Instances(listing::replicas(group, cx))
            });
        }
        Request::Sentinels { name } => {
            show(groups, cx, token, &name, |group, cx| {
                Answer::Instances(listing::sentinels(group, cx))
            });
        }
        Request::PrimaryAddr { name } => {
            let addr = groups
                .get(name.as_str())
                .map(|group| cx.names.shown_addr(&group.primary));
            cx.answer_read(token, Answer::Addr(addr));
        }
        Request::CheckQuorum { name } => {
            show(groups, cx, token, &name, listing::check_quorum);
        }
        Request::IsPrimaryDown {
            host,
            port,
            epoch,
            candidate,
        } => {
            peer::is_primary_down(groups, cx, token, &host, &port, (&epoch, &candidate));
        }
        Request::Hello { message } => {
            hello_came(groups, &message, cx);
            cx.answer_now(token, Answer::Integer(1));
        }
        Request::Monitor { .. } => return admin::monitor(cx, token, request),
        Request::Remove { name } => admin::remove(groups, cx, token, &name),
        Request::Set {
            name,
            words,
            not_executable,
        } => {
            admin::set(groups, cx, token, &name, (&words, &not_executable));
        }
        Request::Reset { pattern } => admin::reset(groups, cx, token, &pattern),
        Request::FlushConfig => {
            cx.out.changed();
            cx.answer(token, Answer::Ok);
        }
        Request::Failover { name, option } => match groups.get_mut(name.as_str()) {
            Some(group) => group.failover_ordered(token, option.as_deref(), cx),
            None => cx.answer_now(token, Answer::Refused(Refusal::NoSuchGroup)),
        },
        Request::Forget { name, host, port } => admin::forget(groups, cx, token, &name, (&host, &port)),
        Request::ConfigGet { patterns } => globals::config_get(cx, token, &patterns),
        Request::ConfigSet { words } => globals::config_set(cx, token, &words),
        Request::RenewPasswords(renewed) => passwords::renew(groups, cx, token, renewed),
        Request::Debug { words } => globals::debug(cx, token, &words),
        Request::InfoCache { names } => {
            let cached = overview::info_cache(groups, cx, &names);
            cx.answer_read(token, Answer::InfoCache(cached));
        }
        Request::Frame { from, bytes } => frame_came(cx, token, from, &bytes),
        Request::View {
            from,
            group,
            host,
            port,
            down,
        } => peer::view_told(groups, cx, token, (&from, &group), (&host, &port), &down),
        Request::Log(order) => log_ordered(cx, token, &order),
        Request::LogStatus => {
            let now = cx.now;
            let answer = match cx.agreement.log() {
                Some(log) => Answer::Log(Box::new(log.status(now))),
                None => Answer::Refused(Refusal::NoLog),
            };
            cx.answer_now(token, answer);
        }
        Request::AcceptForeign { name, id } => foreign_accepted(cx, token, &name, &id),
        Request::SimulateFailure { words } => globals::simulate_failure(cx, token, &words),
    }
    None
}

/// Answers a question about one group.
fn show(
    groups: &BTreeMap<GroupName, Group>,
    cx: &mut Context,
    token: ClientToken,
    name: &str,
    answer: impl FnOnce(&Group, &Context) -> Answer,
) {
    match groups.get(name) {
        Some(group) => {
            let answer = answer(group, cx);
            cx.answer_read(token, answer);
        }
        None => cx.answer_now(token, Answer::Refused(Refusal::NoSuchGroup)),
    }
}
