//! The pause of all clients that `CLIENT PAUSE` sets.
//!
//! Owns when it ends. Who is held up waits in its own task; requests behind the one that is held up stay unread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Whether clients are paused, and until when, on the server's clock.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// 0 when there is none.
    until_ms: AtomicU64,
    ended: Notify,
}

impl Pause {
    /// Pauses until then, or for as long as it was going to last if that is longer.
    pub(crate) fn extend(&self, until_ms: u64) {
        self.until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// Ends the pause.
    pub(crate) fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
        self.ended.notify_waiters();
    }

    /// Whether clients are paused. Reads the clock only if they may be.
    pub(crate) fn is_on(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        until_ms != 0 && now_ms() < until_ms
    }

    /// Waits for the end.
    pub(crate) async fn over(&self, now_ms: impl Fn() -> u64) {
        loop {
            let ended = self.ended.notified();
            let (until_ms, now_ms) = (self.until_ms.load(Ordering::Acquire), now_ms());
            if now_ms >= until_ms {
                return;
            }
            let left = Duration::from_millis(until_ms - now_ms);
            // Too early by a fraction of a millisecond is found out by the next look.
            let _ = tokio::time::timeout(left, ended).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_pause_counts() {
        let pause = Pause::default();
        assert!(!pause.is_on(|| 0));
        pause.extend(10);
        pause.extend(5);
        assert!(pause.is_on(|| 9));
        assert!(!pause.is_on(|| 10));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_or_by_order() {
        let pause = Pause::default();
        let start = tokio::time::Instant::now();
        let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX) + 1;
        pause.extend(1_001);
        pause.over(now_ms).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        pause.extend(u64::MAX);
        let waiting = pause.over(now_ms);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        pause.end();
        waiting.await;
    }
}
