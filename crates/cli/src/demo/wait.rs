//! Waiting for conditions: polled, bounded, and never silent for long.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::stage::Teller;

/// How often a condition is looked at. It costs a few loopback connections each time.
const POLL: Duration = Duration::from_millis(25);

/// How long a wait may be silent.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why a condition does not hold.
#[derive(Debug)]
pub(super) enum Pending {
    /// It may still come; what is missing.
    NotYet(String),
    /// It never will.
    Never(String),
}

impl Pending {
    pub(super) fn not_yet(missing: impl ToString) -> Self {
        Self::NotYet(missing.to_string())
    }
}

/// Waits until `condition` gives something. After `limit` the error names what was last missing.
pub(super) async fn until<T>(
    tell: Teller,
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, Pending>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut told = start;
    loop {
        let missing = match condition().await {
            Ok(found) => return Ok(found),
            Err(Pending::Never(why)) => bail!("{what}: {why}"),
            Err(Pending::NotYet(missing)) => missing,
        };
        if start.elapsed() > limit {
            bail!("{what}: not within {} s: {missing}", limit.as_secs());
        }
        if told.elapsed() > PATIENCE {
            told = Instant::now();
            tell.aside(format_args!("waiting: {what}: {missing}"))?;
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_what_was_found_or_what_was_missing() {
        let tell = Teller::for_tests();
        let mut calls = 0;
        let found = until(tell, "counting", Duration::from_secs(60), async || {
            calls += 1;
            if calls == 3 {
                Ok(calls)
            } else {
                Err(Pending::not_yet("more"))
            }
        });
        assert_eq!(found.await.unwrap(), 3);
        let late = until(tell, "counting", Duration::ZERO, async || {
            Err::<(), _>(Pending::not_yet("all of it"))
        });
        assert!(late.await.unwrap_err().to_string().contains("all of it"));
        let never = until(tell, "counting", Duration::MAX, async || {
            Err::<(), _>(Pending::Never("gone".to_owned()))
        });
        assert_eq!(never.await.unwrap_err().to_string(), "counting: gone");
    }
}
