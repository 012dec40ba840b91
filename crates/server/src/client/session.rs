//! What the task of one connection knows of it.
//!
//! Owns protocol, identity, subscriptions and reply mode. No I/O: [`Session::run`] turns a request into
//! bytes or into a question for the driver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_core::Answer;
use bellwether_resp::{Encoder, Protocol, Request};
use bytes::BytesMut;

use super::{Client, NOT_TRACKING};
use crate::access::{Identity, User};
use crate::command::{self, Flow, Render, Tracking};
use crate::hub::{Delivery, Subscriber};
use crate::listener::Server;

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) server: Arc<Server>,
    pub(crate) client: Arc<Client>,
    pub(crate) protocol: Protocol,
    identity: Identity,
    /// Set when the connection is to be closed once what was written is out.
    pub(crate) closing: bool,
    pub(crate) replies: Replies,
    /// Made with the first subscription: most clients have none.
    pub(crate) subscriber: Option<Box<Subscriber>>,
    /// What `CLIENT TRACKING` set.
    pub(crate) tracking: Option<Box<Tracking>>,
    /// Whether the request being run gets no reply.
    mute: bool,
    last_command: Option<&'static str>,
    /// The command of the request being run, once it has passed all checks.
    pub(crate) current: Option<&'static str>,
}

/// What `CLIENT REPLY` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replies {
    On,
    Off,
    /// None for the next command.
    SkipNext,
}

impl Session {
    pub(crate) fn new(server: Arc<Server>, client: Arc<Client>) -> Self {
        let identity = server.context.access.newcomer();
        client.authenticated.store(identity.is_known, Ordering::Relaxed);
        Self {
            server,
            client,
            protocol: Protocol::default(),
            identity,
            closing: false,
            replies: Replies::On,
            subscriber: None,
            tracking: None,
            mute: false,
            last_command: None,
            current: None,
        }
    }

    /// Runs one request. What it answers at once is appended to `out`; otherwise the driver is to be asked,
    /// and its answer given to [`answer`](Self::answer) before the next request. One that is held is to be run again.
    pub(crate) fn run(&mut self, words: &Request, out: &mut BytesMut) -> Flow {
        let replies = self.replies;
        self.mute = self.replies == Replies::SkipNext;
        if self.mute {
            self.replies = Replies::On;
        }
        self.current = None;
        if !self.refresh() {
            return Flow::Done;
        }
        let before = out.len();
        let flow = command::run(&mut Call {
            session: self,
            words,
            out,
        });
        if matches!(flow, Flow::Held) {
            self.replies = replies;
        }
        if let (Some(tracking), Some(name)) = (&mut self.tracking, self.current)
            && !name.starts_with("client|")
        {
            tracking.forget_caching();
        }
        self.silence(before, out);
        flow
    }

    /// Writes the driver's answer to the request that was run last.
    pub(crate) fn answer(&mut self, words: &Request, answer: Answer, render: Render, out: &mut BytesMut) {
        let before = out.len();
        render(
            &mut Call {
                session: self,
                words,
                out,
            },
            answer,
        );
        self.silence(before, out);
    }

    /// Writes a published message.
    pub(crate) fn deliver(&self, delivery: &Delivery, out: &mut BytesMut) {
        let mut to = Encoder::new(self.protocol, out);
        match &delivery.pattern {
            None => {
                to.push(3);
                to.bulk("message");
            }
            Some(pattern) => {
                to.push(4);
                to.bulk("pmessage");
                to.bulk(pattern);
            }
        }
        to.bulk(delivery.message.channel.as_bytes());
        to.bulk(delivery.message.payload.as_bytes());
    }

    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client
            .resp3
            .store(protocol == Protocol::Resp3, Ordering::Relaxed);
    }

    /// From now on the connection is that user's.
    pub(crate) fn become_user(&mut self, identity: Identity) {
        self.client
            .authenticated
            .store(identity.is_known, Ordering::Relaxed);
        self.client.labels().user = Some(Arc::clone(identity.user.name()));
        self.identity = identity;
    }

    /// Takes note of changed users. `false` if ours is gone, and then the connection is to be closed.
    pub(crate) fn refresh(&mut self) -> bool {
        let exists = self.server.context.access.refresh(&mut self.identity);
        self.closing |= !exists;
        exists
    }

    /// Whether the client must authenticate before anything else.
    pub(crate) const fn must_log_in(&self) -> bool {
        self.identity.must_log_in
    }

    pub(crate) fn user(&self) -> &Arc<User> {
        &self.identity.user
    }

    /// Whether all that is subscribed to may be.
    pub(crate) fn may_listen(&self) -> bool {
        self.subscriber.as_deref().is_none_or(|subscriber| {
            let user = self.user();
            subscriber.channels().all(|name| user.may_listen(name, false))
                && subscriber.patterns().all(|name| user.may_listen(name, true))
        })
    }

    /// Writes what came of something that blocked.
    pub(crate) fn finish(&mut self, words: &Request, result: Result<(), String>, out: &mut BytesMut) {
        let before = out.len();
        let mut call = Call {
            session: self,
            words,
            out,
        };
        match result {
            Ok(()) => call.ok(),
            Err(error) => call.error(format!("ERR {error}")),
        };
        self.silence(before, out);
    }

    /// Changes what is tracked, `None` for nothing.
    pub(crate) fn set_tracking(&mut self, tracking: Option<Box<Tracking>>) {
        let redirect = tracking.as_ref().map(|tracking| tracking.redirect());
        let redirect = redirect.map_or(NOT_TRACKING, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let broadcast = tracking.as_ref().is_some_and(|tracking| tracking.is_broadcast());
        self.client.redirect.store(redirect, Ordering::Relaxed);
        self.client.broadcast.store(broadcast, Ordering::Relaxed);
        self.tracking = tracking;
    }

    /// The subscriber, made now if there was none.
    pub(crate) fn subscriber(&mut self) -> &mut Subscriber {
        let hub = &self.server.context.hub;
        self.subscriber.get_or_insert_with(|| Box::new(hub.subscriber()))
    }

    /// How many channels and patterns are subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriber.as_ref().map_or(0, |subscriber| {
            subscriber.channels().len() + subscriber.patterns().len()
        })
    }

    /// Tells the others of a changed number of subscriptions.
    pub(crate) fn note_subscriptions(&self) {
        let subscriber = self.subscriber.as_deref();
        let count = |count: Option<usize>| u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX);
        self.client
            .channels
            .store(count(subscriber.map(|s| s.channels().len())), Ordering::Relaxed);
        self.client
            .patterns
            .store(count(subscriber.map(|s| s.patterns().len())), Ordering::Relaxed);
    }

    /// Notes the command for `CLIENT LIST`.
    pub(crate) fn note_command(&mut self, name: &'static str) {
        self.current = Some(name);
        if self.last_command != Some(name) {
            self.last_command = Some(name);
            self.client.labels().command = Some(name);
        }
    }

    /// Notes a command that was not run, so that what is told of the client names it.
    pub(crate) fn note_attempt(&mut self, name: &'static str) {
        self.last_command = Some(name);
        self.client.labels().command = Some(name);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.server.now_ms()
    }

    /// Takes back what the command wrote since `before`, if `CLIENT REPLY` says so.
    fn silence(&self, before: usize, out: &mut BytesMut) {
        if self.mute || self.replies != Replies::On {
            out.truncate(before);
        }
    }
}

/// One request being answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) words: &'a Request,
    pub(crate) out: &'a mut BytesMut,
}

impl Call<'_> {
    /// Writes in the protocol of the connection as it is now.
    pub(crate) fn reply(&mut self) -> Encoder<'_> {
        Encoder::new(self.session.protocol, self.out)
    }

    pub(crate) fn ok(&mut self) -> Flow {
        self.reply().simple("OK");
        Flow::Done
    }

    /// Refuses the request; the text begins with its code.
    pub(crate) fn error(&mut self, text: impl AsRef<[u8]>) -> Flow {
        self.session.server.stats.errors.add(1);
        self.reply().error(text);
        Flow::Done
    }

    /// Word `index` as bytes; empty if there is none, which arity has ruled out.
    pub(crate) fn word(&self, index: usize) -> &[u8] {
        self.words.arg(index).unwrap_or_default()
    }

    /// Word `index` as text. What is not UTF-8 becomes U+FFFD and so names nothing that exists.
    pub(crate) fn text(&self, index: usize) -> String {
        String::from_utf8_lossy(self.word(index)).into_owned()
    }

    /// Refuses the request with word `index` quoted in the text, byte for byte.
    pub(crate) fn error_quoting(&mut self, before: &str, index: usize, after: &str) -> Flow {
        let text = [before.as_bytes(), self.word(index), after.as_bytes()].concat();
        self.error(text)
    }

    pub(crate) fn syntax_error(&mut self) -> Flow {
        self.error("ERR syntax error")
    }
}
