//! Passwords as digests. The password itself is not kept anywhere here.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

const DIGEST_BYTES: usize = 32;

/// The SHA-256 of a password, which is what a user's rules show of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    pub(super) fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// Reads what [`Display`](fmt::Display) writes: 64 digits, letters in lower case only.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digest = [0; DIGEST_BYTES];
        if text.len() != 2 * DIGEST_BYTES {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = digits else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(digest))
    }
}

/// Whether one of `digests` is that of `password`. Takes as long for a wrong password as for a right one, and looks
/// at every digest whichever fits.
pub(super) fn fits(digests: &[Digest], password: &[u8]) -> bool {
    let given = Digest::of(password);
    let hit = digests
        .iter()
        .fold(Choice::from(0), |hit, digest| hit | digest.0.ct_eq(&given.0));
    hit.into()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    /// A weak password can be guessed from its digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_PW: &str = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        assert_eq!(Digest::of(b"pw").to_string(), OF_PW);
        assert_eq!(Digest::parse(OF_PW.as_bytes()), Some(Digest::of(b"pw")));
        for bad in ["", &OF_PW[1..], &OF_PW.to_uppercase(), &OF_PW.replace('3', "g")] {
            assert_eq!(Digest::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn any_of_several_passwords_fits() {
        let digests = [Digest::of(b"a"), Digest::of(b"b")];
        assert!(fits(&digests, b"a") && fits(&digests, b"b"));
        assert!(!fits(&digests, b"c") && !fits(&digests, b"") && !fits(&[], b"a"));
    }
}
