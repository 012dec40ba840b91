//! The disk of one coordinator: what is synced survives, what is not may or may not.
//!
//! The daemon replaces its file as a whole and guards it by a checksum, so a write that is torn leaves the file that
//! was there before.

use std::time::Duration;

use bellwether_core::{LogWrite, PersistSeq, Registry};

use crate::log_store::LogStore;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is on disk.
    Synced,
    /// It failed; what was on disk before is intact.
    Full,
    /// The sync failed: nobody knows what is on disk, and the process must stop.
    SyncFailed,
}

/// What is kept over a restart.
#[derive(Debug)]
pub(crate) struct Disk {
    synced: Registry,
    /// Written and on its way to the platters.
    pending: Option<(PersistSeq, Registry)>,
    /// The log that is shared with others, as far as it is on disk for sure.
    log: LogStore,
    /// What is on its way there.
    log_pending: Option<LogWrite>,
    full: u32,
    next_sync_fails: bool,
    stall: Duration,
}

impl Disk {
    /// A disk on which this is kept.
    #[must_use]
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            synced: registry,
            pending: None,
            log: LogStore::default(),
            log_pending: None,
            full: 0,
            next_sync_fails: false,
            stall: Duration::ZERO,
        }
    }

    /// What is on disk for sure.
    #[must_use]
    pub(crate) const fn synced(&self) -> &Registry {
        &self.synced
    }

    /// Begins a write.
    pub(crate) fn begin(&mut self, seq: PersistSeq, registry: Registry) {
        self.pending = Some((seq, registry));
    }

    /// What is on disk for sure of the log that is shared with others.
    #[must_use]
    pub(crate) const fn log(&self) -> &LogStore {
        &self.log
    }

    /// Begins a write to the log.
    pub(crate) fn begin_log(&mut self, write: LogWrite) {
        self.log_pending = Some(write);
    }

    /// The write to the log with this number comes to its end. All of it is there then, or nothing.
    pub(crate) fn end_log(&mut self, seq: u64) -> Option<Written> {
        let write = self.log_pending.take_if(|pending| pending.seq == seq)?;
        if std::mem::take(&mut self.next_sync_fails) {
            self.log_pending = Some(write);
            return Some(Written::SyncFailed);
        }
        if self.full > 0 {
            return Some(Written::Full);
        }
        self.log.apply(write);
        Some(Written::Synced)
    }

    /// How much longer than usual a write takes now.
    #[must_use]
    pub(crate) const fn stall(&self) -> Duration {
        self.stall
    }

    /// Whether it takes all writes in the usual time.
    #[must_use]
    pub(crate) const fn is_well(&self) -> bool {
        self.full == 0 && self.stall.is_zero() && !self.next_sync_fails
    }

    /// Writes take this much longer from now on.
    pub(crate) const fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// The disk is full until as many [`has_room`](Self::has_room) have come.
    pub(crate) const fn fills_up(&mut self) {
        self.full += 1;
    }

    /// Ends one [`fills_up`](Self::fills_up).
    pub(crate) const fn has_room(&mut self) {
        self.full = self.full.saturating_sub(1);
    }

    /// The next sync fails.
    pub(crate) const fn break_next_sync(&mut self) {
        self.next_sync_fails = true;
    }

    /// The write with this number comes to its end.
    pub(crate) fn end(&mut self, seq: PersistSeq) -> Option<Written> {
        let (_, registry) = self.pending.take_if(|(pending, _)| *pending == seq)?;
        if std::mem::take(&mut self.next_sync_fails) {
            self.pending = Some((seq, registry));
            return Some(Written::SyncFailed);
        }
        if self.full > 0 {
            return Some(Written::Full);
        }
        self.synced = registry;
        Some(Written::Synced)
    }

    /// The process dies. A write under way is on disk afterwards if `lands`, and as if it had never been if not: cut
    /// off, torn, or never begun. Whether one was under way is told.
    pub(crate) fn crash(&mut self, lands: bool) -> bool {
        let pending = self.pending.take();
        let log_pending = self.log_pending.take();
        let was = pending.is_some() || log_pending.is_some();
        if let Some(write) = log_pending.filter(|_| lands && self.full == 0) {
            self.log.apply(write);
        }
        if let Some((_, registry)) = pending.filter(|_| lands && self.full == 0) {
            self.synced = registry;
        }
        was
    }

    /// What a new start reads: the durable text holds neither failovers under way nor receipts nor names of candidates.
    #[must_use]
    pub(crate) fn load(&self) -> Registry {
        let mut registry = self.synced.clone();
        for record in registry.groups.values_mut() {
            record.failover = None;
            record.history.clear();
            record.vote.candidate = None;
        }
        registry
    }
}
