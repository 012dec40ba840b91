//! What is measured side by side: a program, and how its coordinators agree.

use anyhow::{Context, Result};
use bellwether_tests::{Fleet, Kind};

/// One of the rows, or columns, of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    /// Whether its coordinators share a log.
    pub(crate) raft: bool,
}

impl Contender {
    pub(crate) const REDIS_SENTINEL: Self = Self {
        kind: Kind::RedisSentinel,
        raft: false,
    };
    pub(crate) const BELLWETHER: Self = Self {
        kind: Kind::Bellwether,
        raft: false,
    };
    pub(crate) const BELLWETHER_RAFT: Self = Self {
        kind: Kind::Bellwether,
        raft: true,
    };

    /// As tables and JSON have it.
    pub(crate) fn name(self) -> &'static str {
        if self.raft {
            "bellwether-raft"
        } else {
            self.kind.name()
        }
    }

    /// The coordinator that leads before anything has happened, if there is such a one.
    pub(crate) fn leader(self, fleet: &Fleet) -> Result<Option<usize>> {
        if !self.raft {
            return Ok(None);
        }
        let text: String = fleet.coordinators[0].ask(&["INFO", "raft"])?;
        let id = text.lines().find_map(|line| line.strip_prefix("raft_leader:"));
        let id: usize = id.context("INFO raft names no leader")?.trim().parse()?;
        // Members are counted from 1 on.
        let index = id.checked_sub(1).context("nobody leads")?;
        Ok(Some(index))
    }
}
