//! What is in an entry, and in a snapshot.

use bellwether_core::{ClientToken, Decision, GlobalChange, Globals, GroupName, Registry, SentinelId};
use serde::{Deserialize, Serialize};

use crate::settings::Readable;

/// The version of what is written here, the first byte of everything.
const VERSION: u8 = 1;

/// How many bytes of decisions go into one entry, beyond its first. Well below what a proposal may have.
const MAX_ENTRY: usize = 96 * 1024;

/// Why bytes are no entry or snapshot of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPayload {
    /// Made by a later version.
    #[error(
        "it is of version {0}, this is version {VERSION}: the other coordinators are newer than this one"
    )]
    Version(u8),
    /// It is none.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Nobody may decide this by the log.
    #[error("it holds what is no matter of the log: {0}")]
    Foreign(&'static str),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The term in which a leader concluded this: in another it means nothing. `None` for an operator's order.
    pub(crate) term: Option<u64>,
    /// It is a part of what the first leader's configuration says, and counts while nothing is founded.
    pub(crate) founding: Option<Part>,
    /// What is decided, in order, all of it or nothing.
    pub(crate) decisions: Vec<Decision>,
}

/// A part of the founding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// More follows.
    More,
    /// The last one.
    Last,
}

/// What is the same for all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) founded: bool,
    pub(crate) registry: Registry,
}

impl Payload {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadPayload> {
        let payload: Self = decode(bytes)?;
        match payload.decisions.iter().find_map(foreign) {
            Some(what) => Err(BadPayload::Foreign(what)),
            None => Ok(payload),
        }
    }
}

/// How a member of the log tells entries and states from garbage.
pub(crate) const READABLE: Readable = Readable {
    proposal: |bytes| Payload::decode(bytes).map(drop).map_err(|bad| bad.to_string()),
    state: |bytes| Shared::decode(bytes).map(drop).map_err(|bad| bad.to_string()),
};

impl Shared {
    /// What of a registry is the same for all members.
    pub(crate) fn of(registry: &Registry, founded: bool, nobody: SentinelId) -> Self {
        let mut registry = Registry {
            my_id: nobody,
            globals: common(&registry.globals),
            ..registry.clone()
        };
        for group in registry.groups.values_mut() {
            group.sentinels.clear();
        }
        Self { founded, registry }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadPayload> {
        decode(bytes)
    }
}

/// Settings that are the same for all, the others at their defaults.
pub(crate) fn common(globals: &Globals) -> Globals {
    Globals {
        resolve_hostnames: globals.resolve_hostnames,
        announce_hostnames: globals.announce_hostnames,
        sentinel_user: globals.sentinel_user.clone(),
        sentinel_pass: globals.sentinel_pass.clone(),
        ..Globals::default()
    }
}

/// Whether a setting is each coordinator's own.
pub(crate) const fn is_own(change: &GlobalChange) -> bool {
    matches!(
        change,
        GlobalChange::AnnounceIp(_) | GlobalChange::AnnouncePort(_) | GlobalChange::LogLevel(_)
    )
}

/// What is decided elsewhere than in the log.
fn foreign(decision: &Decision) -> Option<&'static str> {
    match decision {
        Decision::Vote { .. } => Some("a vote"),
        Decision::Yield { .. } => Some("a change of camp"),
        Decision::SentinelSeen { .. } | Decision::SentinelForgotten { .. } => Some("who the sentinels are"),
        Decision::SetGlobals { changes } if changes.iter().any(is_own) => Some("a coordinator's own setting"),
        _ => None,
    }
}

/// Decisions with those who wait for them.
pub(crate) type Waiting = Vec<(Decision, Option<ClientToken>)>;

/// Cuts decisions into entries of a good size.
pub(crate) fn cut(decisions: Waiting) -> Vec<Waiting> {
    let mut entries: Vec<Waiting> = Vec::new();
    let mut room = 0;
    for (decision, origin) in decisions {
        let len = postcard::to_stdvec(&decision).map_or(MAX_ENTRY, |bytes| bytes.len());
        match entries.last_mut().filter(|_| len <= room) {
            Some(entry) => entry.push((decision, origin)),
            None => {
                room = MAX_ENTRY;
                entries.push(vec![(decision, origin)]);
            }
        }
        room = room.saturating_sub(len);
    }
    entries
}

/// The groups that decisions are about.
pub(crate) fn groups(decisions: &Waiting) -> Vec<GroupName> {
    let groups = decisions.iter().filter_map(|(decision, _)| decision.group());
    groups.cloned().collect()
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = postcard::to_extend(value, vec![VERSION]);
    // Only what has no length of its own, or a map that lies about it, cannot be written: there is none in our data.
    bytes.expect("plain data can be encoded")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadPayload> {
    let unreadable = |error: &str| BadPayload::Unreadable(error.to_owned());
    let (version, rest) = bytes.split_first().ok_or_else(|| unreadable("it is empty"))?;
    if *version != VERSION {
        return Err(BadPayload::Version(*version));
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(unreadable("something follows it")),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}
