//! The changes of durable state, one variant each. What is not here does not survive a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::Addr;
use crate::failover::{FailoverReceipt, FailoverRecord};
use crate::id::{ConfigEpoch, Epoch, GroupName, SentinelId};
use crate::registry::{GroupOptions, LogLevel, Secret};

/// One change of the [`Registry`](crate::Registry). [`Agreement`](crate::Agreement) says when it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// A new group is monitored.
    Monitor {
        /// Its name.
        group: GroupName,
        /// Where its primary is now.
        primary: Addr,
        /// What the operator set.
        options: GroupOptions,
    },
    /// A group is monitored no more.
    Remove {
        /// Its name.
        group: GroupName,
    },
    /// An operator changed an option.
    Set {
        /// The group.
        group: GroupName,
        /// The change.
        change: GroupChange,
    },
    /// A replica was found.
    ReplicaSeen {
        /// The group.
        group: GroupName,
        /// Where it is.
        addr: Addr,
    },
    /// A replica is no longer part of the group.
    ReplicaForgotten {
        /// The group.
        group: GroupName,
        /// Where it was.
        addr: Addr,
    },
    /// Another sentinel was found, or has a new address.
    SentinelSeen {
        /// The group.
        group: GroupName,
        /// Its id.
        id: SentinelId,
        /// Where it listens.
        addr: Addr,
    },
    /// A sentinel gave its address to another.
    SentinelForgotten {
        /// The group.
        group: GroupName,
        /// Its id.
        id: SentinelId,
    },
    /// A sentinel that does not share our log may watch the group, an operator says.
    AcceptForeign {
        /// The group.
        group: GroupName,
        /// Its id.
        id: SentinelId,
    },
    /// An operator asked to forget what was discovered.
    Reset {
        /// The group.
        group: GroupName,
    },
    /// An operator changed what concerns the whole process.
    SetGlobals {
        /// The changes, which count together.
        changes: Vec<GlobalChange>,
    },
    /// A higher epoch was seen or begun.
    AdvanceEpoch {
        /// The epoch.
        epoch: Epoch,
        /// The group in whose affairs it was seen or begun.
        group: GroupName,
    },
    /// Our vote.
    Vote {
        /// The group.
        group: GroupName,
        /// The election.
        epoch: Epoch,
        /// Who gets it.
        candidate: SentinelId,
    },
    /// This coordinator sets out to lead a failover.
    FailoverBegun {
        /// The group.
        group: GroupName,
        /// The failover.
        record: FailoverRecord,
    },
    /// The replica to promote was chosen.
    CandidateChosen {
        /// The group.
        group: GroupName,
        /// Where it is.
        candidate: Addr,
    },
    /// The group has another primary.
    Switch {
        /// The group.
        group: GroupName,
        /// The version of the new address.
        config_epoch: ConfigEpoch,
        /// The new primary.
        primary: Addr,
        /// The sentinel that installed it, or from which we have it.
        from: SentinelId,
    },
    /// Another primary is taken over for the same config epoch, because a stronger camp holds it.
    Yield {
        /// The group.
        group: GroupName,
        /// The primary of the stronger camp.
        primary: Addr,
        /// The sentinel from which we have it.
        from: SentinelId,
    },
    /// A failover led here has ended, well or not.
    FailoverEnded {
        /// The group.
        group: GroupName,
        /// What happened.
        receipt: Box<FailoverReceipt>,
    },
}

impl Decision {
    /// The group that it is about.
    #[must_use]
    pub const fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Monitor { group, .. }
            | Self::Remove { group }
            | Self::Set { group, .. }
            | Self::ReplicaSeen { group, .. }
            | Self::ReplicaForgotten { group, .. }
            | Self::SentinelSeen { group, .. }
            | Self::SentinelForgotten { group, .. }
            | Self::AcceptForeign { group, .. }
            | Self::Reset { group }
            | Self::Vote { group, .. }
            | Self::FailoverBegun { group, .. }
            | Self::CandidateChosen { group, .. }
            | Self::Switch { group, .. }
            | Self::Yield { group, .. }
            | Self::FailoverEnded { group, .. }
            | Self::AdvanceEpoch { group, .. } => Some(group),
            Self::SetGlobals { .. } => None,
        }
    }

    /// Whether clients may be told another address from now on.
    pub(crate) const fn changes_addresses(&self) -> bool {
        matches!(
            self,
            Self::SetGlobals { .. }
                | Self::Monitor { .. }
                | Self::Remove { .. }
                | Self::Switch { .. }
                | Self::Yield { .. }
        )
    }

    /// The group that is gone from now on.
    pub(crate) const fn removes_group(&self) -> Option<&GroupName> {
        match self {
            Self::Remove { group } => Some(group),
            _ => None,
        }
    }
}

/// One option of a group with its new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupChange {
    /// `quorum`
    Quorum(u32),
    /// `down-after-milliseconds`
    DownAfter(Duration),
    /// `failover-timeout`
    FailoverTimeout(Duration),
    /// `parallel-syncs`
    ParallelSyncs(u32),
    /// `auth-user`; `None` unsets it.
    AuthUser(Option<String>),
    /// `auth-pass`; `None` unsets it.
    AuthPass(Option<Secret>),
    /// `auth-pass`, read anew from where it is kept. It counts from the next connection on: those that stand and
    /// answer well are not touched.
    RenewedAuthPass(Secret),
    /// `notification-script`; `None` unsets it.
    NotificationScript(Option<String>),
    /// `client-reconfig-script`; `None` unsets it.
    ClientReconfigScript(Option<String>),
    /// `rename-command`
    RenameCommand {
        /// The command as everybody knows it.
        command: String,
        /// Its name on the group's servers; `None` for the usual one.
        renamed: Option<String>,
    },
    /// `master-reboot-down-after-period`; zero switches it off.
    RebootDownAfter(Duration),
}

/// One setting of the process with its new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlobalChange {
    /// `announce-ip`; `None` unsets it.
    AnnounceIp(Option<String>),
    /// `announce-port`; 0 unsets it.
    AnnouncePort(u16),
    /// `resolve-hostnames`
    ResolveHostnames(bool),
    /// `announce-hostnames`
    AnnounceHostnames(bool),
    /// `sentinel-user`; `None` unsets it.
    SentinelUser(Option<String>),
    /// `sentinel-pass`; `None` unsets it.
    SentinelPass(Option<Secret>),
    /// `sentinel-pass`, read anew from where it is kept. It counts from the next connection on.
    RenewedSentinelPass(Secret),
    /// `loglevel`
    LogLevel(LogLevel),
}
