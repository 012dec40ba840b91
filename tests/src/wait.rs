//! Waiting for conditions: every wait has a deadline and says at its end what it saw last.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// How often a condition is looked at: short beside every period involved, cheap enough for two cores.
const POLL: Duration = Duration::from_millis(10);

/// Calls `check` until it succeeds. An error from `check` means "not yet" and becomes part of the failure.
///
/// # Errors
/// When `limit` has passed without success: names `what` and the last status.
pub fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => return Ok(value),
            Err(status) if start.elapsed() >= limit => {
                return Err(anyhow!("waited {limit:?} for {what}; last status: {status:#}"));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Sees to it that `check` keeps succeeding for `window`: the way to show that something does not happen.
///
/// # Errors
/// As soon as `check` fails.
pub fn hold_for(what: &str, window: Duration, mut check: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < window {
        check().with_context(|| format!("{what} did not hold after {:?}", start.elapsed()))?;
        thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;

    #[test]
    fn a_wait_that_fails_names_the_last_status() {
        let mut seen = 0;
        let failed = wait_for::<()>("the moon", Duration::from_millis(30), || {
            seen += 1;
            bail!("looked {seen} times")
        });
        let text = format!("{:#}", failed.expect_err("nothing ever succeeds here"));
        assert!(
            text.contains("the moon") && text.contains(&format!("looked {seen} times")),
            "{text}"
        );
    }

    #[test]
    fn a_hold_fails_at_the_first_breach() {
        let mut seen = 0;
        let held = hold_for("peace", Duration::from_secs(60), || {
            seen += 1;
            ensure!(seen < 3, "broken");
            Ok(())
        });
        assert!(held.is_err());
        assert_eq!(seen, 3);
    }
}
