//! What tests draw from a seed, so that they can draw it again.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};

/// The number that an environment variable holds, if it is set.
///
/// # Errors
/// When it holds something else.
pub fn from_env<T: FromStr>(variable: &str) -> Result<Option<T>> {
    match env::var(variable) {
        Ok(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("{variable} is {text}, which is no number"),
        },
        Err(_) => Ok(None),
    }
}

/// The seed in `BELLWETHER_SEED`, or another one each time.
///
/// # Errors
/// When the variable holds no number.
pub fn seed() -> Result<u64> {
    let drawn = || RandomState::new().build_hasher().finish();
    Ok(from_env("BELLWETHER_SEED")?.unwrap_or_else(drawn))
}

/// Numbers from a seed: SplitMix64.
pub struct Chance(u64);

impl Chance {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `limit` - 1.
    pub fn below(&mut self, limit: usize) -> usize {
        // The remainder's bias is nothing beside 2^64.
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// At least `from` milliseconds and less than `to`.
    pub fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis(u64::try_from(from + self.below(to - from)).unwrap_or(0))
    }
}
