//! Who may come in: the password of the one user, `default`.
//!
//! Never logs a password. Users of their own (`ACL SETUSER`) are not known here.

use bellwether_core::Secret;
use subtle::ConstantTimeEq as _;

/// The name of the only user.
pub(crate) const DEFAULT_USER: &str = "default";

/// What a client must know.
#[derive(Clone, Debug, Default)]
pub struct Access {
    password: Option<Secret>,
}

impl Access {
    /// With the password of `requirepass`; without one, or with an empty one, everyone is in from the start.
    #[must_use]
    pub fn new(requirepass: Option<Secret>) -> Self {
        Self {
            password: requirepass.filter(|password| !password.expose().is_empty()),
        }
    }

    /// Whether clients must authenticate.
    #[must_use]
    pub const fn needs_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether this is the user and its password. Takes as long for a wrong password as for the right one of
    /// the same length.
    #[must_use]
    pub fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let known = user == DEFAULT_USER.as_bytes();
        let right = self
            .password
            .as_ref()
            .is_none_or(|secret| bool::from(secret.expose().as_bytes().ct_eq(password)));
        known && right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_user_with_its_password_is_admitted() {
        let access = Access::new(Some(Secret::new("secret")));
        assert!(access.needs_password());
        assert!(access.admits(b"default", b"secret"));
        assert!(!access.admits(b"default", b"secreT"));
        assert!(!access.admits(b"default", b"secret2"));
        assert!(!access.admits(b"default", b""));
        assert!(!access.admits(b"bob", b"secret"));
    }

    #[test]
    fn without_a_password_any_will_do() {
        for access in [Access::default(), Access::new(Some(Secret::new("")))] {
            assert!(!access.needs_password());
            assert!(access.admits(b"default", b"anything"));
            assert!(!access.admits(b"bob", b"anything"));
        }
    }
}
