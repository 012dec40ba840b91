//! Questions to the driver, with a deadline.
//!
//! An overview of many groups costs the driver real time, so at most one is asked for at once: requests that come
//! meanwhile share the next answer. No answer is older than the request that it serves.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Answer, Overview, Request};
use bellwether_server::{Handle, Stopped};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The process is about to end.
    #[error("the coordinator is shutting down")]
    Stopping,
    /// The driver is stuck or overloaded.
    #[error("the coordinator did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// A defect on our side.
    #[error("the coordinator gave an answer of another kind")]
    Unfitting,
}

impl From<Stopped> for Unanswered {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopping
    }
}

/// The driver, as the routes see it.
pub(crate) struct Driver {
    handle: Handle,
    deadline: Duration,
    /// The latest overview and when it was asked for. Held while the next one is awaited.
    latest: Mutex<Option<(Instant, Arc<Overview>)>>,
}

impl Driver {
    pub(crate) fn new(handle: Handle, deadline: Duration) -> Self {
        Self {
            handle,
            deadline,
            latest: Mutex::new(None),
        }
    }

    /// The whole state, as it is now or a moment later.
    pub(crate) async fn overview(&self) -> Result<Arc<Overview>, Unanswered> {
        let arrived = Instant::now();
        self.in_time(async {
            let mut latest = self.latest.lock().await;
            if let Some((asked, overview)) = &*latest
                && *asked >= arrived
            {
                return Ok(Arc::clone(overview));
            }
            let asked = Instant::now();
            let Answer::Overview(overview) = self.handle.ask(Request::Overview).await? else {
                return Err(Unanswered::Unfitting);
            };
            let overview: Arc<Overview> = Arc::from(overview);
            *latest = Some((asked, Arc::clone(&overview)));
            Ok(overview)
        })
        .await
    }

    /// Whether the driver goes round. Asks for something that costs it nothing.
    pub(crate) async fn alive(&self) -> Result<(), Unanswered> {
        self.in_time(async {
            self.handle.ask(Request::MyId).await?;
            Ok(())
        })
        .await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
        timeout(self.deadline, answer)
            .await
            .unwrap_or(Err(Unanswered::Late(self.deadline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_server::{Clock, HandleEnd};
    use tokio_util::sync::CancellationToken;

    fn driver() -> (Arc<Driver>, HandleEnd) {
        let (handle, end) = Handle::new(Clock::start(), CancellationToken::new());
        (Arc::new(Driver::new(handle, Duration::from_secs(1))), end)
    }

    fn overview(epoch: u64) -> Answer {
        Answer::Overview(Box::new(Overview {
            current_epoch: epoch,
            ..Overview::default()
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_question_shares_the_next() {
        let (driver, mut end) = driver();
        let ask = |driver: &Arc<Driver>| {
            let driver = Arc::clone(driver);
            tokio::spawn(async move { driver.overview().await.map(|overview| overview.current_epoch) })
        };
        let first = ask(&driver);
        let question = end.asks.recv().await.expect("a question");
        tokio::time::advance(Duration::from_millis(1)).await;
        let others: Vec<_> = (0..3).map(|_| ask(&driver)).collect();
        tokio::time::advance(Duration::from_millis(1)).await;
        question.answer.send(overview(1)).expect("the asker waits");
        assert_eq!(first.await.expect("no panic"), Ok(1));

        let question = end.asks.recv().await.expect("one question for all three");
        question.answer.send(overview(2)).expect("the asker waits");
        for other in others {
            assert_eq!(other.await.expect("no panic"), Ok(2));
        }
        assert!(end.asks.try_recv().is_err(), "nobody asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_driver_is_not_waited_for() {
        let (driver, end) = driver();
        let late = Unanswered::Late(Duration::from_secs(1));
        assert_eq!(driver.overview().await, Err(late));
        assert_eq!(driver.alive().await, Err(late));
        drop(end);
        assert_eq!(driver.overview().await, Err(Unanswered::Stopping));
        assert_eq!(driver.alive().await, Err(Unanswered::Stopping));
    }
}
