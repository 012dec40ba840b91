//! One user: who it is by password, and what it may do.

use std::fmt;
use std::sync::Arc;

use super::DEFAULT_USER;
use super::password::{self, Digest};
use super::selector::{Attempt, Denied, Selector};

/// A user. Never changes: a change makes another one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(super) name: Arc<str>,
    pub(super) is_on: bool,
    /// Any password will do.
    pub(super) is_open: bool,
    /// About the payload of RESTORE, which does not exist here. Kept because rules are shared with data servers.
    pub(super) sanitizes: bool,
    pub(super) passwords: Vec<Digest>,
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
    /// Whether it was changed since it was loaded, so that what the configuration says of it is outdated.
    pub(super) is_edited: bool,
}

impl User {
    /// A user as it is before any rule: it is off and may do nothing.
    pub(super) fn new(name: &str, all_channels: bool) -> Self {
        Self {
            name: name.into(),
            is_on: false,
            is_open: false,
            sanitizes: true,
            passwords: Vec::new(),
            root: Selector {
                all_channels,
                ..Selector::default()
            },
            selectors: Vec::new(),
            is_edited: false,
        }
    }

    /// The default user when nothing is said about it: everyone, with all permissions.
    pub(super) fn everyone() -> Self {
        Self {
            is_on: true,
            is_open: true,
            root: Selector::everything(),
            ..Self::new(DEFAULT_USER, true)
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether nobody has to authenticate, if this is the default user.
    pub(super) const fn admits_all(&self) -> bool {
        self.is_on && self.is_open
    }

    /// Whether who gives this password is this user. Takes as long if it is not, or is off.
    pub(super) fn admits(&self, password: &[u8]) -> bool {
        let fits = password::fits(&self.passwords, password);
        self.is_on && (fits || self.is_open)
    }

    /// Whether it may do that. It needs one selector that allows all of it.
    pub(crate) fn check(&self, attempt: &Attempt<'_>) -> Result<(), Denied> {
        let Err(mut denied) = self.root.check(attempt) else {
            return Ok(());
        };
        for selector in &self.selectors {
            match selector.check(attempt) {
                Ok(()) => return Ok(()),
                Err(reason) => denied = denied.max(reason),
            }
        }
        Err(denied)
    }

    /// Whether it may be subscribed to that channel or pattern.
    pub(crate) fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        let mut all = std::iter::once(&self.root).chain(&self.selectors);
        all.any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// The words that stand for its state, as rules and as flags of `ACL GETUSER`.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.is_on { "on" } else { "off" }];
        if self.is_open {
            flags.push("nopass");
        }
        flags.push(match self.sanitizes {
            true => "sanitize-payload",
            false => "skip-sanitize-payload",
        });
        flags
    }

    /// The digests of its passwords.
    pub(crate) fn passwords(&self) -> Vec<String> {
        self.passwords.iter().map(Digest::to_string).collect()
    }

    /// Each set of permissions as commands, keys and channels; the user's own first.
    pub(crate) fn permissions(&self) -> impl Iterator<Item = [String; 3]> {
        std::iter::once(&self.root)
            .chain(&self.selectors)
            .map(|it| [it.commands_text(), it.keys_text(), it.channels_text()])
    }

    /// Rules that make the same user out of a new one, a selector being one of them.
    pub(crate) fn rules(&self) -> Vec<String> {
        let flags = self.flags().into_iter().map(str::to_owned);
        let passwords = self.passwords.iter().map(|digest| format!("#{digest}"));
        let root = self.root.to_string();
        // No pattern holds a blank.
        let root = root.split(' ').map(str::to_owned);
        let selectors = self.selectors.iter().map(|selector| format!("({selector})"));
        flags.chain(passwords).chain(root).chain(selectors).collect()
    }

    /// How much memory its texts take, roughly.
    pub(super) fn len(&self) -> usize {
        let selectors = self.selectors.iter().map(|selector| selector.len() + 64);
        self.name.len() + 65 * self.passwords.len() + self.root.len() + selectors.sum::<usize>()
    }
}

impl fmt::Display for User {
    /// The line that stands for it in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} {}", self.name, self.rules().join(" "))
    }
}
