//! The rules that make a user: the words behind `ACL SETUSER`, `user` and in an ACL file.
//!
//! Texts of errors are those of the reference, because tools show and match them.

use super::password::Digest;
use super::selector::{KeyPattern, Rule, Selector, What};
use super::user::User;
use crate::command::{Categories, find_command};

/// Most rules that are taken at once. The most that anyone writes by hand is some fifty; the number bounds the work of
/// comparing each with those before it.
const MAX_RULES: usize = 4096;

/// Longest text of a user's rules, which is also how long a password may be. Four times what all commands named one
/// by one come to.
pub(super) const MAX_USER_BYTES: usize = 16 * 1024;

/// Every category of the reference, in its order. Those of data have no commands here, but rules that are shared with
/// data servers name them.
pub(crate) const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RulesError {
    /// One of them cannot be followed.
    #[error("Error in ACL SETUSER modifier '{rule}': {reason}")]
    Rule {
        rule: String,
        /// Which one it is, from 1; a selector counts as one.
        number: usize,
        reason: RuleError,
    },
    /// A selector has no end.
    #[error("Unmatched parenthesis in acl selector starting at '{0}'.")]
    Unmatched(String),
    /// It is more than is kept.
    #[error("The rules of a user may be {MAX_RULES} words and {MAX_USER_BYTES} bytes long at most")]
    TooLong,
}

impl RulesError {
    /// Unlike Sentinel, which gives the reason alone, the error for files and logs, which others read than the one who made it: with the rule if it can be no password,
    /// and with its number in any case.
    pub(crate) fn in_public(&self) -> String {
        match self {
            Self::Rule { rule, number, reason } if is_public(rule) => {
                format!("{reason} (rule {number}, '{}')", rule.escape_debug())
            }
            Self::Rule { number, reason, .. } => format!("{reason} (rule {number})"),
            Self::Unmatched(_) | Self::TooLong => self.to_string(),
        }
    }
}

/// Whether a rule begins as those of commands, keys and channels do. Any other may be a password with a slip in front.
fn is_public(rule: &str) -> bool {
    let begins = |word: &str, signs: &[char]| word.starts_with(signs);
    let is_selector = rule.starts_with('(');
    let words = rule.trim_start_matches('(').split(' ');
    let signs = ['+', '-', '~', '&', '%'];
    match is_selector {
        true => words.into_iter().all(|word| begins(word, &signs)),
        false => begins(rule, &signs),
    }
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("Syntax error")]
    Syntax,
    #[error("Unknown command or category name in ACL")]
    Unknown,
    #[error("Allowing first-arg of a subcommand is not supported")]
    WordOfSubcommand,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    KeysAfterAll,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
         Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelsAfterAll,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    BadDigest,
}

/// Whether a user may be called so.
pub(crate) fn is_name(name: &[u8]) -> bool {
    // Unlike Sentinel, names and patterns are text: they go into a file that is. And a name without a character would
    // not come back from an ACL file.
    std::str::from_utf8(name).is_ok() && !name.is_empty() && !has_blanks(name)
}

/// Follows rules one after the other. On an error the user is half changed, so work on a copy.
pub(super) fn follow<'a>(
    user: &mut User,
    rules: impl IntoIterator<Item = &'a [u8]>,
    all_channels: bool,
) -> Result<(), RulesError> {
    for (rule, number) in merge_selectors(rules)?.into_iter().zip(1..) {
        // Digests are quick, but a password of megabytes would still hold up everyone else on this thread.
        if rule.len() > MAX_USER_BYTES {
            return Err(RulesError::TooLong);
        }
        follow_one(user, &rule, all_channels).map_err(|reason| RulesError::Rule {
            rule: shown(&rule),
            number,
            reason,
        })?;
    }
    match user.len() {
        ..=MAX_USER_BYTES => Ok(()),
        _ => Err(RulesError::TooLong),
    }
}

/// Joins the words of a selector that came as several, such as `(+ping` and `+info)`.
fn merge_selectors<'a>(rules: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, RulesError> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    // The selector that has not ended yet, and its first word.
    let mut open: Option<(Vec<u8>, &[u8])> = None;
    for (rule, count) in rules.into_iter().zip(0..) {
        if count == MAX_RULES {
            return Err(RulesError::TooLong);
        }
        let ends = rule.ends_with(b")");
        match open.take() {
            None if rule.starts_with(b"(") && !ends => open = Some((rule.to_vec(), rule)),
            None => merged.push(rule.to_vec()),
            Some((mut selector, first)) => {
                selector.push(b' ');
                selector.extend_from_slice(rule);
                match ends {
                    true => merged.push(selector),
                    false => open = Some((selector, first)),
                }
            }
        }
    }
    match open {
        Some((_, first)) => Err(RulesError::Unmatched(shown(first))),
        None => Ok(merged),
    }
}

/// Enough of a rule to recognise it.
fn shown(rule: &[u8]) -> String {
    const MAX_SHOWN_BYTES: usize = 128;
    String::from_utf8_lossy(rule.get(..MAX_SHOWN_BYTES).unwrap_or(rule)).into_owned()
}

fn follow_one(user: &mut User, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
    match rule.to_ascii_lowercase().as_slice() {
        b"" => {}
        b"on" => user.is_on = true,
        b"off" => user.is_on = false,
        b"nopass" => {
            user.is_open = true;
            user.passwords.clear();
        }
        b"resetpass" => {
            user.is_open = false;
            user.passwords.clear();
        }
        b"sanitize-payload" => user.sanitizes = true,
        b"skip-sanitize-payload" => user.sanitizes = false,
        b"clearselectors" => user.selectors.clear(),
        b"reset" => {
            *user = User {
                is_edited: user.is_edited,
                ..User::new(&user.name, all_channels)
            }
        }
        _ => return follow_sign(user, rule, all_channels),
    }
    Ok(())
}

/// Follows a rule that is told by its first character.
fn follow_sign(user: &mut User, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
    let digest = |text: &[u8]| Digest::parse(text).ok_or(RuleError::BadDigest);
    match rule {
        [b'>', password @ ..] => add_password(user, Digest::of(password)),
        [b'#', text @ ..] => add_password(user, digest(text)?),
        [b'<', password @ ..] => return remove_password(user, Digest::of(password)),
        [b'!', text @ ..] => return remove_password(user, digest(text)?),
        [b'(', rules @ .., b')'] => {
            let mut selector = Selector {
                all_channels,
                ..Selector::default()
            };
            let words = rules.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            for word in words {
                permit(&mut selector, word)?;
            }
            user.selectors.push(selector);
        }
        _ => return permit(&mut user.root, rule),
    }
    Ok(())
}

fn add_password(user: &mut User, digest: Digest) {
    if !user.passwords.contains(&digest) {
        user.passwords.push(digest);
    }
    user.is_open = false;
}

fn remove_password(user: &mut User, digest: Digest) -> Result<(), RuleError> {
    let before = user.passwords.len();
    user.passwords.retain(|known| *known != digest);
    match user.passwords.len() < before {
        true => Ok(()),
        false => Err(RuleError::NoSuchPassword),
    }
}

/// Follows a rule about permissions.
fn permit(selector: &mut Selector, rule: &[u8]) -> Result<(), RuleError> {
    let rule = std::str::from_utf8(rule).map_err(|_| RuleError::Syntax)?;
    match rule.to_ascii_lowercase().as_str() {
        "allkeys" | "~*" => set_keys(selector, true),
        "resetkeys" => set_keys(selector, false),
        "allchannels" | "&*" => set_channels(selector, true),
        "resetchannels" => set_channels(selector, false),
        "allcommands" | "+@all" => selector.set_all_commands(true),
        "nocommands" | "-@all" => selector.set_all_commands(false),
        _ => return permit_sign(selector, rule),
    }
    Ok(())
}

fn permit_sign(selector: &mut Selector, rule: &str) -> Result<(), RuleError> {
    let Some((sign, rest)) = rule.split_at_checked(1) else {
        return Err(RuleError::Syntax);
    };
    match (sign, rest) {
        ("+" | "-", rest) => {
            let rule = command_rule(sign == "+", rest)?;
            selector.add(rule);
            Ok(())
        }
        ("~", pattern) => add_keys(selector, true, true, pattern),
        ("%", rest) => {
            // As Sentinel, the sign between the two may be missing.
            let (access, pattern) = rest.split_once('~').unwrap_or((rest, ""));
            let access = access.to_ascii_uppercase();
            if !selector.all_keys && (access.is_empty() || access.contains(|c| !matches!(c, 'R' | 'W'))) {
                return Err(RuleError::Syntax);
            }
            add_keys(selector, access.contains('R'), access.contains('W'), pattern)
        }
        ("&", channel) => add_channel(selector, channel),
        _ => Err(RuleError::Syntax),
    }
}

fn command_rule(allows: bool, name: &str) -> Result<Rule, RuleError> {
    let name = name.to_ascii_lowercase();
    let what = match (name.strip_prefix('@'), name.rsplit_once('|')) {
        (Some(category), _) => {
            if !CATEGORIES.contains(&category) {
                return Err(RuleError::Unknown);
            }
            What::Category(Categories::named(category.as_bytes()))
        }
        (None, None) => {
            find_command(name.as_bytes()).ok_or(RuleError::Unknown)?;
            What::Command
        }
        (None, Some((command, word))) => {
            if command.contains('|') {
                return Err(match is_subcommand(command) && allows {
                    true => RuleError::WordOfSubcommand,
                    false => RuleError::Unknown,
                });
            }
            let found = find_command(command.as_bytes()).ok_or(RuleError::Unknown)?;
            if found.subcommands.is_empty() {
                first_word(allows, command, word)?
            } else if word.is_empty() && allows {
                return Err(RuleError::Syntax);
            } else {
                found.subcommand(word.as_bytes()).ok_or(RuleError::Unknown)?;
                What::Command
            }
        }
    };
    Ok(Rule { allows, name, what })
}

/// As Sentinel: a command without subcommands can be allowed with one first word only, and not be forbidden so.
fn first_word(allows: bool, command: &str, word: &str) -> Result<What, RuleError> {
    if !allows {
        return Err(RuleError::Unknown);
    }
    // Such a rule goes into a file, as the other ones do.
    if word.is_empty() || has_blanks(word.as_bytes()) {
        return Err(RuleError::Syntax);
    }
    Ok(What::FirstWord {
        command_len: command.len(),
    })
}

fn is_subcommand(name: &str) -> bool {
    let (container, own) = name.split_once('|').unwrap_or((name, ""));
    find_command(container.as_bytes()).is_some_and(|it| it.subcommand(own.as_bytes()).is_some())
}

fn set_keys(selector: &mut Selector, all: bool) {
    selector.all_keys = all;
    selector.keys.clear();
}

fn set_channels(selector: &mut Selector, all: bool) {
    selector.all_channels = all;
    selector.channels.clear();
}

fn add_keys(selector: &mut Selector, reads: bool, writes: bool, pattern: &str) -> Result<(), RuleError> {
    if selector.all_keys {
        return Err(RuleError::KeysAfterAll);
    }
    if has_blanks(pattern.as_bytes()) {
        return Err(RuleError::Syntax);
    }
    match selector.keys.iter_mut().find(|known| known.pattern == pattern) {
        Some(known) => {
            known.reads |= reads;
            known.writes |= writes;
        }
        None => selector.keys.push(KeyPattern {
            reads,
            writes,
            pattern: pattern.to_owned(),
        }),
    }
    Ok(())
}

fn add_channel(selector: &mut Selector, channel: &str) -> Result<(), RuleError> {
    if selector.all_channels {
        return Err(RuleError::ChannelsAfterAll);
    }
    if has_blanks(channel.as_bytes()) {
        return Err(RuleError::Syntax);
    }
    if !selector.channels.iter().any(|known| known == channel) {
        selector.channels.push(channel.to_owned());
    }
    Ok(())
}

/// What would break a line into other words.
fn has_blanks(text: &[u8]) -> bool {
    text.iter()
        .any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_rule_is_named_unless_it_may_be_a_password() {
        let said = |rules: &str| {
            let words = rules.split(' ').map(str::as_bytes);
            let refused = follow(&mut User::new("bob", false), words, false);
            refused.expect_err("a faulty rule").in_public()
        };
        let unknown = "Unknown command or category name in ACL";
        assert_eq!(said("on >secret +pong"), format!("{unknown} (rule 3, '+pong')"));
        assert_eq!(
            said("(+ping ~a) (+pong ~a)"),
            format!("{unknown} (rule 2, '(+pong ~a)')")
        );
        for rules in [
            "on secret",
            "on <secret",
            "on #secret",
            "on !secret",
            "on (secret)",
            "on (+ping >secret)",
        ] {
            let said = said(rules);
            assert!(said.ends_with(" (rule 2)") && !said.contains("secret"), "{said}");
        }
    }
}
