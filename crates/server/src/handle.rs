//! The way to the driver for everyone who serves clients.
//!
//! Owns the queue of questions and the published address book. Never touches the coordinator itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bellwether_core::{AddressBook, Answer, Instant, Request};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How many questions may wait for the driver. It takes all that wait in one turn, in far less than a
/// millisecond; who asks beyond this waits in [`Handle::ask`], and so does the client behind it.
pub const MAX_WAITING_ASKS: usize = 1024;

/// The driver has stopped, so there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is shutting down")]
pub struct Stopped;

/// Asks the driver, reads what it has published, and stops it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    addresses: Arc<ArcSwap<AddressBook>>,
    shutdown: CancellationToken,
    clock: Clock,
}

impl Handle {
    /// A handle and the end that the driver holds.
    #[must_use]
    pub fn new(clock: Clock, shutdown: CancellationToken) -> (Self, HandleEnd) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_ASKS);
        let addresses = Arc::new(ArcSwap::default());
        let end = HandleEnd {
            asks: receiver,
            addresses: Arc::clone(&addresses),
            shutdown: shutdown.clone(),
        };
        let handle = Self {
            asks: sender,
            addresses,
            shutdown,
            clock,
        };
        (handle, end)
    }

    /// Asks the coordinator. The answer comes when it may be seen: an order that changes durable state is
    /// answered after that state is on disk.
    ///
    /// # Errors
    /// If the driver stopped before it answered.
    pub async fn ask(&self, request: Request) -> Result<Answer, Stopped> {
        self.submit(request).await?.await.map_err(|_| Stopped)
    }

    /// Hands a question over without waiting for its answer, so that others can follow it.
    ///
    /// # Errors
    /// If the driver has stopped. If it stops later, the receiver ends without an answer.
    pub async fn submit(&self, request: Request) -> Result<oneshot::Receiver<Answer>, Stopped> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            arrived: self.clock.now(),
            request,
            answer,
        };
        self.asks.send(ask).await.map_err(|_| Stopped)?;
        Ok(answered)
    }

    /// Where each group's primary is, without asking the driver.
    #[must_use]
    pub fn addresses(&self) -> Arc<AddressBook> {
        self.addresses.load_full()
    }

    /// Begins an orderly stop of the whole daemon. Returns at once.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Cancelled when a stop has begun, by whomever. Cancelling it stops nothing else.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.shutdown.child_token()
    }

    /// Ends when a stop has begun, by whomever.
    pub async fn stopping(&self) {
        self.shutdown.cancelled().await;
    }

    /// The clock of this run.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}

/// One question on its way.
#[derive(Debug)]
pub struct Ask {
    /// When it came.
    pub arrived: Instant,
    /// The question.
    pub request: Request,
    /// Where the answer goes; the asker may have left.
    pub answer: oneshot::Sender<Answer>,
}

/// What answers a [`Handle`]: the driver, or a test in its place.
#[derive(Debug)]
pub struct HandleEnd {
    /// The questions.
    pub asks: mpsc::Receiver<Ask>,
    addresses: Arc<ArcSwap<AddressBook>>,
    shutdown: CancellationToken,
}

impl HandleEnd {
    /// What [`Handle::addresses`] gives from now on.
    pub fn publish(&self, addresses: Arc<AddressBook>) {
        self.addresses.store(addresses);
    }

    /// Cancelled when the daemon is to stop.
    #[must_use]
    pub const fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_answered() {
        let (handle, mut end) = Handle::new(Clock::start(), CancellationToken::new());
        let asker = tokio::spawn(async move { handle.ask(Request::MyId).await });
        let ask = end.asks.recv().await.expect("a question");
        assert_eq!(ask.request, Request::MyId);
        ask.answer.send(Answer::Ok).expect("the asker waits");
        assert_eq!(asker.await.expect("no panic"), Ok(Answer::Ok));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_driver_that_is_gone() {
        let (handle, mut end) = Handle::new(Clock::start(), CancellationToken::new());
        let asker = tokio::spawn({
            let handle = handle.clone();
            async move { handle.ask(Request::MyId).await }
        });
        drop(end.asks.recv().await);
        assert_eq!(asker.await.expect("no panic"), Err(Stopped));
        drop(end);
        assert_eq!(handle.ask(Request::MyId).await, Err(Stopped));
    }

    #[test]
    fn the_published_addresses_are_seen() {
        let (handle, end) = Handle::new(Clock::start(), CancellationToken::new());
        assert!(handle.addresses().is_empty());
        let name = bellwether_core::GroupName::new("m").expect("a name");
        end.publish(Arc::new([(name.clone(), ("10.0.0.1".to_owned(), 6379))].into()));
        assert_eq!(handle.addresses()[&name].1, 6379);
    }
}
