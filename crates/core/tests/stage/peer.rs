//! Another sentinel, as far as a script plays it.

use std::net::SocketAddr;

use bellwether_core::{Command, Epoch, Pong, Reply, SentinelId, Verdict};

use super::Outcome;
use super::words::id;
use crate::world::Mood;

/// For whom a scripted peer votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ballot {
    Asker,
    Nobody,
    For(SentinelId),
}

/// Another sentinel, as far as a script plays it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) mood: Mood,
    pub(super) says_down: bool,
    pub(super) ballot: Ballot,
    /// The epoch of the vote that it tells, if it is another than it was asked about.
    pub(super) vote_epoch: Option<Epoch>,
}

impl Peer {
    pub(super) fn answer(&self, command: &Command) -> Reply {
        match command {
            Command::Ping => Reply::Ping(Pong::Pong),
            Command::AskDown { epoch, candidate, .. } => {
                let leader = match &self.ballot {
                    Ballot::Asker => candidate.clone(),
                    Ballot::For(id) => candidate.is_some().then(|| id.clone()),
                    Ballot::Nobody => None,
                };
                Reply::Verdict(Verdict {
                    down: self.says_down,
                    leader_epoch: match leader {
                        Some(_) => self.vote_epoch.unwrap_or(*epoch),
                        None => Epoch(0),
                    },
                    leader,
                })
            }
            _ => Reply::Done,
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Outcome {
        match (key, value) {
            ("down", _) => self.says_down = value == "yes",
            ("votes", "asker") => self.ballot = Ballot::Asker,
            ("votes", "nobody") => self.ballot = Ballot::Nobody,
            ("votes", name) => self.ballot = Ballot::For(id(name)?),
            ("vote-epoch", epoch) => {
                self.vote_epoch = Some(Epoch(epoch.parse().map_err(|_| "a bad epoch")?));
            }
            ("at", addr) => self.addr = addr.parse().map_err(|_| "a bad address")?,
            _ => return Err(format!("a sentinel has no {key}")),
        }
        Ok(())
    }
}
