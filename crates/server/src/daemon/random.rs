//! Randomness from the operating system, for ids and seeds. Everything that decides uses a generator seeded
//! from here, so that it can be repeated.

use std::io;

use bellwether_core::SentinelId;
use rand::TryRng;
use rand::rngs::SysRng;

/// How many random bytes an id has, as in the reference: 40 hexadecimal characters.
const ID_BYTES: usize = 20;

/// An id for a new coordinator.
pub(super) fn sentinel_id() -> io::Result<SentinelId> {
    SentinelId::new(&run_id()?).map_err(io::Error::other)
}

/// An id for one run.
pub(super) fn run_id() -> io::Result<String> {
    let mut bytes = [0; ID_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A seed for the coordinator's own randomness.
pub(super) fn seed() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_forty_characters_and_never_the_same() {
        let (one, two) = (run_id().expect("random"), run_id().expect("random"));
        assert_eq!(one.len(), 40);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
        assert_ne!(sentinel_id().expect("random"), sentinel_id().expect("random"));
        assert_ne!(seed().expect("random"), seed().expect("random"));
    }
}
