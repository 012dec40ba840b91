//! Where coordinators share a log: the log of this member, opened.

use std::path::Path;

use bellwether_conf::RaftSettings;
use std::time::Duration;

use bellwether_core::{Instant, Registry};
use bellwether_raft::{AgreementSettings, LogAgreement, Settings, cluster_id};
use tracing::warn;

use super::{DaemonError, random};
use crate::disk::{LOG_FILE, LogStore, LogWriter, StateCopy};

/// How long an order waits for a majority: for two elections, and less than the two seconds after which the first clients
/// stop waiting for an answer.
const ORDER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// What a member of the log has besides.
pub(super) struct Member {
    pub(super) agreement: LogAgreement,
    pub(super) writer: LogWriter,
    pub(super) copy: StateCopy,
}

/// Opens the log in `directory`, whose lock is held, and goes on from it. `local` is what configuration and state file
/// say.
pub(super) fn open(
    raft: &RaftSettings,
    directory: &Path,
    local: Registry,
    now: Instant,
) -> Result<Member, DaemonError> {
    let (store, restored) = LogStore::open(directory)?;
    let seed = random::seed().map_err(DaemonError::Random)?;
    let members = raft.members.iter();
    let settings = AgreementSettings {
        log: Settings {
            proposal_timeout: ORDER_TIMEOUT,
            ..Settings::new(raft.member_id, cluster_id(&raft.cluster), seed)
        },
        members: members
            .map(|(id, (host, port))| (*id, format!("{host}:{port}")))
            .collect(),
        stale_reads: raft.stale_reads,
    };
    let copy = StateCopy::new(local.clone());
    let agreement =
        LogAgreement::new(settings, restored, local, now).map_err(|source| DaemonError::StartLog {
            path: directory.join(LOG_FILE),
            source,
        })?;
    for differs in agreement.differs() {
        warn!("{differs}");
    }
    let writer = LogWriter::start(store).map_err(DaemonError::Thread)?;
    Ok(Member {
        agreement,
        writer,
        copy,
    })
}
