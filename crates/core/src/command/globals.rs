//! Orders about the whole process: `CONFIG`, `DEBUG`, `SIMULATE-FAILURE`.

use std::time::Duration;

use crate::addr::Host;
use crate::context::{Context, CrashPoints};
use crate::decision::{Decision, GlobalChange};
use crate::glob;
use crate::id::ClientToken;
use crate::registry::{LogLevel, Secret};
use crate::request::{Answer, Refusal};

/// `SENTINEL CONFIG GET`: each setting at most once, by pattern, in the order of the reference.
pub(super) fn config_get(cx: &mut Context, token: ClientToken, patterns: &[String]) {
    let mut listed = listed(cx);
    let mut found = Vec::new();
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        let (matching, rest) = listed
            .into_iter()
            .partition(|(name, _)| glob::matches(pattern.as_bytes(), name.as_bytes()));
        listed = rest;
        found.extend::<Vec<_>>(matching);
    }
    cx.answer_read(token, Answer::Settings(found));
}

fn listed(cx: &Context) -> Vec<(String, String)> {
    let globals = &cx.registry.globals;
    let flag = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let password = globals
        .sentinel_pass
        .as_ref()
        .map(|secret| secret.expose().to_owned());
    let settings = [
        ("resolve-hostnames", flag(globals.resolve_hostnames)),
        ("announce-hostnames", flag(globals.announce_hostnames)),
        ("announce-ip", globals.announce_ip.clone().unwrap_or_default()),
        ("announce-port", globals.announce_port.to_string()),
        ("sentinel-user", globals.sentinel_user.clone().unwrap_or_default()),
        ("sentinel-pass", password.unwrap_or_default()),
        ("loglevel", globals.log_level.name().to_owned()),
    ];
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// `SENTINEL CONFIG SET`: all or nothing.
pub(super) fn config_set(cx: &mut Context, token: ClientToken, words: &[String]) {
    match parse_settings(words) {
        Ok(changes) => cx
            .agreement
            .propose(Decision::SetGlobals { changes }, Some(token)),
        Err(refusal) => cx.answer_now(token, Answer::Refused(refusal)),
    }
}

fn parse_settings(words: &[String]) -> Result<Vec<GlobalChange>, Refusal> {
    for (index, word) in words.iter().enumerate() {
        super::admin::refuse_control(word, index + 3, "CONFIG SET")?;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut changes = Vec::new();
    for pair in words.chunks(2) {
        let name = pair.first().cloned().unwrap_or_default();
        let known = name.to_ascii_lowercase();
        if !SETTINGS.contains(&known.as_str()) {
            return Err(Refusal::UnknownSetting(name));
        }
        if seen.contains(&known) {
            return Err(Refusal::DuplicateSetting(name));
        }
        let [_, value] = pair else {
            return Err(Refusal::MissingSetting(name));
        };
        let change = parse_setting(&known, value);
        changes.push(change.ok_or_else(|| Refusal::BadSetting {
            value: value.clone(),
            name,
        })?);
        seen.push(known);
    }
    Ok(changes)
}

const SETTINGS: [&str; 7] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

fn parse_setting(name: &str, value: &str) -> Option<GlobalChange> {
    let flag = || match value.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let text = (!value.is_empty()).then(|| value.to_owned());
    match name {
        "resolve-hostnames" => flag().map(GlobalChange::ResolveHostnames),
        "announce-hostnames" => flag().map(GlobalChange::AnnounceHostnames),
        // Unlike Sentinel, an empty address unsets it; and what cannot be an address is refused, because
        // peers could not use it.
        "announce-ip" if text.is_none() => Some(GlobalChange::AnnounceIp(None)),
        "announce-ip" => Host::parse(value).map(|_| GlobalChange::AnnounceIp(text)),
        "announce-port" => value.parse().ok().map(GlobalChange::AnnouncePort),
        "sentinel-user" => Some(GlobalChange::SentinelUser(text)),
        "sentinel-pass" => Some(GlobalChange::SentinelPass(text.as_deref().map(Secret::new))),
        _ => {
            let level = LogLevel::ALL
                .iter()
                .find(|level| level.name().eq_ignore_ascii_case(value));
            level.map(|level| GlobalChange::LogLevel(*level))
        }
    }
}

/// `SENTINEL DEBUG`: as Sentinel, what stands before the first mistake is done, and nothing is saved.
pub(super) fn debug(cx: &mut Context, token: ClientToken, words: &[String]) {
    if words.is_empty() {
        let listed = cx.tunables.listed();
        return cx.answer_now(token, Answer::Settings(listed));
    }
    for pair in words.chunks(2) {
        let name = pair.first().cloned().unwrap_or_default();
        let (Some(tunable), [_, value]) = (cx.tunables.find(&name), pair) else {
            return cx.answer_now(token, Answer::Refused(Refusal::UnknownDebugOption(name)));
        };
        let millis = value
            .parse::<u64>()
            .ok()
            .filter(|millis| (1..=super::admin::MAX_PERIOD_MS).contains(millis));
        let Some(millis) = millis else {
            let refusal = Refusal::BadDebugValue {
                value: value.clone(),
                name,
            };
            return cx.answer_now(token, Answer::Refused(refusal));
        };
        *tunable = Duration::from_millis(millis);
    }
    cx.answer_now(token, Answer::Ok);
}

/// `SENTINEL SIMULATE-FAILURE`
pub(super) fn simulate_failure(cx: &mut Context, token: ClientToken, words: &[String]) {
    cx.crash_points = CrashPoints::default();
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "crash-after-election" => cx.crash_points.after_election = true,
            "crash-after-promotion" => cx.crash_points.after_promotion = true,
            "help" => {
                let flags = ["crash-after-election", "crash-after-promotion"]
                    .map(str::to_owned)
                    .to_vec();
                return cx.answer_now(token, Answer::Texts(flags));
            }
            _ => return cx.answer_now(token, Answer::Refused(Refusal::UnknownSimulation)),
        }
    }
    cx.answer_now(token, Answer::Ok);
}
