//! The words of a script's lines.

use std::collections::BTreeMap;

use bellwether_core::{GroupName, RenewedPasswords, Secret, SentinelId};

pub(super) fn id(text: &str) -> Result<SentinelId, String> {
    SentinelId::new(text).map_err(|e| e.to_string())
}

/// `key=value` words. An underscore stands for a blank.
pub(super) fn options<'a>(words: &[&'a str]) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let pairs = words.iter().map(|word| word.split_once('='));
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "expected key=value".into())
}

/// `250ms` or `2s`, in milliseconds.
pub(super) fn span(words: &[&str]) -> Result<u64, String> {
    let [word] = words else {
        return Err("how long?".into());
    };
    let (number, factor) = match (word.strip_suffix("ms"), word.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        _ => return Err("250ms or 2s".into()),
    };
    let number: u64 = number.parse().map_err(|_| "250ms or 2s")?;
    Ok(number * factor)
}

/// `own=x`, `peers=x`, and `<group>=x` for all others.
pub(super) fn renewed(words: &[&str]) -> Result<RenewedPasswords, String> {
    let mut renewed = RenewedPasswords::default();
    for word in words {
        let (name, password) = word.split_once('=').ok_or("a name, = and a password")?;
        let password = Secret::new(password);
        match name {
            "own" => renewed.own = Some(password),
            "peers" => renewed.peers = Some(password),
            name => {
                let group = GroupName::new(name).map_err(|error| error.to_string())?;
                renewed.groups.insert(group, password);
            }
        }
    }
    Ok(renewed)
}
