//! What the table says of each command.
//!
//! Owns the sets of flags and categories, in the order in which `COMMAND INFO` shows them.

use super::Flow;
use crate::client::session::Call;

/// One row of the table: a command, or a subcommand of one.
pub(crate) struct Command {
    /// The full name in lower case: `ping`, `client|list`.
    pub(crate) name: &'static str,
    /// Words with the name: exactly so many, or if negative at least so many.
    pub(crate) arity: i32,
    pub(crate) flags: Flags,
    pub(crate) categories: Categories,
    pub(crate) tips: &'static [&'static str],
    pub(crate) doc: Doc,
    pub(crate) subcommands: &'static [Self],
    /// Whether it is answered but not told of.
    pub(crate) hidden: bool,
    /// `None` for a pure container.
    pub(crate) run: Option<Run>,
}

/// Runs a command whose words were checked.
pub(crate) type Run = fn(&mut Call<'_>) -> Flow;

/// What `HELP` and `COMMAND DOCS` tell.
#[derive(Clone, Copy, Default)]
pub(crate) struct Doc {
    /// The words behind the name.
    pub(crate) usage: &'static str,
    pub(crate) summary: &'static str,
    /// The first Redis version that had it.
    pub(crate) since: &'static str,
    pub(crate) group: &'static str,
}

macro_rules! sets {
    ($(#[$doc:meta])* $set:ident { $($name:ident = $bit:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $set(u16);

        impl $set {
            $(pub(crate) const $name: Self = Self(1 << $bit);)+

            const TEXTS: &[(Self, &str)] = &[$((Self::$name, $text),)+];

            pub(crate) const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            pub(crate) const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The texts of those in the set, in the order of the reference.
            pub(crate) fn texts(self) -> Vec<&'static str> {
                Self::TEXTS.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, text)| *text).collect()
            }
        }
    };
}

sets! {
    /// Properties of a command.
    Flags {
        ADMIN = 0, "admin";
        PUBSUB = 1, "pubsub";
        NOSCRIPT = 2, "noscript";
        LOADING = 3, "loading";
        STALE = 4, "stale";
        FAST = 5, "fast";
        NO_AUTH = 6, "no_auth";
        NO_MULTI = 7, "no_multi";
        ALLOW_BUSY = 8, "allow_busy";
    }
}

sets! {
    /// Classes of commands, by which access is granted.
    Categories {
        PUBSUB = 0, "@pubsub";
        ADMIN = 1, "@admin";
        FAST = 2, "@fast";
        SLOW = 3, "@slow";
        DANGEROUS = 4, "@dangerous";
        CONNECTION = 5, "@connection";
    }
}

impl Flags {
    pub(crate) const NONE: Self = Self(0);
}

impl Categories {
    /// The category of this name, without the `@`.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let named = |text: &str| {
            text.as_bytes()
                .get(1..)
                .is_some_and(|text| text.eq_ignore_ascii_case(name))
        };
        Self::TEXTS
            .iter()
            .find(|(_, text)| named(text))
            .map(|(bit, _)| *bit)
    }
}

impl Command {
    /// A row with what every command has. The category of speed follows from the flags, as do those that go with
    /// `admin` and `pubsub`.
    pub(crate) const fn new(name: &'static str, arity: i32, flags: Flags, doc: Doc) -> Self {
        let mut categories = if flags.has(Flags::FAST) {
            Categories::FAST
        } else {
            Categories::SLOW
        };
        if flags.has(Flags::ADMIN) {
            categories = categories.and(Categories::ADMIN).and(Categories::DANGEROUS);
        }
        if flags.has(Flags::PUBSUB) {
            categories = categories.and(Categories::PUBSUB);
        }
        Self {
            name,
            arity,
            flags,
            categories,
            tips: &[],
            doc,
            subcommands: &[],
            hidden: false,
            run: None,
        }
    }

    pub(crate) const fn run(mut self, run: Run) -> Self {
        self.run = Some(run);
        self
    }

    /// Leaves it out of `COMMAND`.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn also(mut self, categories: Categories) -> Self {
        self.categories = self.categories.and(categories);
        self
    }

    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(crate) const fn with(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Whether a request of so many words is well-formed.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            words >= arity
        } else {
            words == arity
        }
    }

    pub(crate) const fn needs_no_authentication(&self) -> bool {
        self.flags.has(Flags::NO_AUTH)
    }

    /// Whether a RESP2 connection may send it while it is subscribed.
    pub(crate) fn is_for_subscribers(&self) -> bool {
        matches!(
            self.name,
            "ping" | "quit" | "reset" | "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe"
        )
    }

    /// The subcommand of this name.
    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<&'static Self> {
        self.subcommands
            .iter()
            .find(|command| command.own_name().as_bytes().eq_ignore_ascii_case(word))
    }

    /// The name without that of the container.
    pub(crate) fn own_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, own)| own)
    }
}
