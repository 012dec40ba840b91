//! Names and numbers that must not be mixed up: who, which, and in what order.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest id of a sentinel that is taken in. Real ones have 40 characters.
const MAX_SENTINEL_ID_LEN: usize = 64;

/// Longest name of a group. Events are cut at 1023 bytes, and two names must fit into one.
const MAX_GROUP_NAME_LEN: usize = 255;

/// Any epoch up to this is taken from outside. No fleet gets near it, and from here it is still as far to the end
/// of what Sentinels can count as it was from 0.
const MAX_FOREIGN_EPOCH: u64 = 1 << 62;

/// How far beyond ours an epoch above that may lie: elections go on after somebody has pushed us there, but nobody
/// can use up the rest.
const MAX_EPOCH_LEAP: u64 = 1 << 32;

/// The number of an election, one counter for all groups. It only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next election.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether `other` may be adopted when it comes from outside. Unlike Sentinel, an epoch far beyond ours
    /// is refused, because one such message would end all elections for ever.
    #[must_use]
    pub const fn may_leap_to(self, other: Self) -> bool {
        other.0 <= MAX_FOREIGN_EPOCH || other.0 <= self.0.saturating_add(MAX_EPOCH_LEAP)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a group's primary address: the epoch of the failover that installed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ConfigEpoch(pub u64);

impl From<Epoch> for ConfigEpoch {
    fn from(epoch: Epoch) -> Self {
        Self(epoch.0)
    }
}

impl From<ConfigEpoch> for Epoch {
    fn from(epoch: ConfigEpoch) -> Self {
        Self(epoch.0)
    }
}

impl fmt::Display for ConfigEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadId {
    /// It has no characters.
    Empty,
    /// It has more than this many bytes.
    TooLong(usize),
    /// It holds this character, which would break a file, a message or an event.
    Character(char),
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty"),
            Self::TooLong(max) => write!(f, "it is longer than {max} bytes"),
            Self::Character(c) => write!(f, "the character {c:?} is not allowed in it"),
        }
    }
}

impl std::error::Error for BadId {}

/// The id of a sentinel: 40 hexadecimal characters when we make it, any plain word when others do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SentinelId(Arc<str>);

impl SentinelId {
    /// Takes an id from outside.
    ///
    /// # Errors
    /// If it is empty, longer than 64 bytes, or holds blanks, commas, quotes or anything that is not visible ASCII.
    pub fn new(text: &str) -> Result<Self, BadId> {
        check(text, MAX_SENTINEL_ID_LEN, |c| {
            c.is_ascii_graphic() && !matches!(c, ',' | '"' | '\'' | '\\')
        })?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first characters, as connection names carry them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for SentinelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a monitored group, as clients ask for it. Compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Takes a name from outside.
    ///
    /// Unlike Sentinel, names with blanks, commas, quotes or control characters are refused, because they
    /// break the file, the hello messages and the events.
    ///
    /// # Errors
    /// If it is empty, longer than 255 bytes, or holds such a character.
    pub fn new(text: &str) -> Result<Self, BadId> {
        check(text, MAX_GROUP_NAME_LEN, |c| {
            !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '"' | '\'' | '\\')
        })?;
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for GroupName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(text: &str, max_len: usize, allowed: impl Fn(char) -> bool) -> Result<(), BadId> {
    if text.is_empty() {
        return Err(BadId::Empty);
    }
    if text.len() > max_len {
        return Err(BadId::TooLong(max_len));
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(BadId::Character(c)),
        None => Ok(()),
    }
}

/// One attempt to hold a connection. A reconnect has a new id, so late news of the old one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One command on a link; its reply carries the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One request of a client, chosen by the driver; the answer carries the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientToken(pub u64);

/// One request to make the registry durable. A later number covers everything that an earlier one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PersistSeq(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_message_are_refused() {
        assert!(GroupName::new("my-master.1_x").is_ok());
        assert_eq!(GroupName::new("a b"), Err(BadId::Character(' ')));
        assert_eq!(GroupName::new("a,b"), Err(BadId::Character(',')));
        assert_eq!(GroupName::new("a\nsentinel"), Err(BadId::Character('\n')));
        assert_eq!(GroupName::new(""), Err(BadId::Empty));
        assert!(SentinelId::new(&"a".repeat(64)).is_ok());
        assert_eq!(SentinelId::new(&"a".repeat(65)), Err(BadId::TooLong(64)));
    }

    #[test]
    fn an_epoch_cannot_be_pushed_to_its_end() {
        assert!(
            Epoch(5).may_leap_to(Epoch(1 << 62)),
            "whoever was away must be able to follow the others"
        );
        assert!(Epoch(1 << 62).may_leap_to(Epoch((1 << 62) + 1)));
        assert!(!Epoch(5).may_leap_to(Epoch(u64::MAX)));
        assert!(!Epoch(5).may_leap_to(Epoch(1 << 63)));
    }

    #[test]
    fn the_short_form_of_an_id_is_its_beginning() {
        let short = |text: &str| SentinelId::new(text).map(|id| id.short().to_owned());
        assert_eq!(short("0123456789abcdef"), Ok("01234567".to_owned()));
        assert_eq!(short("me"), Ok("me".to_owned()));
    }
}
