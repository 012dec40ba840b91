//! What happened, as log, subscribers and metrics are told: one table of names and levels.

use std::fmt;

use crate::id::GroupName;

/// Longest payload, in bytes. As Sentinel.
pub const MAX_PAYLOAD_LEN: usize = 1023;

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the log only: not published.
    Debug,
    /// Published, hidden in the log by default.
    Verbose,
    /// Published and logged.
    Notice,
    /// Published, logged, and given to notification scripts.
    Warning,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The group that it concerns, if one.
    pub group: Option<GroupName>,
    /// The words that subscribers get, in the order that they parse.
    pub payload: String,
    /// Why, in one sentence for people; it goes to the log, never to subscribers.
    pub reason: Option<String>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.payload)
    }
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $level:ident;)+) => {
        /// The kinds of events. Names and levels are those of the reference; what it does not have is marked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind { $($(#[$doc])* $kind,)+ }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The channel on which it is published.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// How loud it is.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$kind => Level::$level,)+ }
            }
        }
    };
}

event_kinds! {
    /// A group is monitored.
    Monitor = "+monitor", Warning;
    /// A group is monitored no more.
    Unmonitor = "-monitor", Warning;
    /// An option was changed.
    Set = "+set", Warning;
    /// What was discovered of a group was forgotten.
    Reset = "+reset-master", Warning;
    /// A replica was found.
    Replica = "+slave", Notice;
    /// A sentinel was found.
    Sentinel = "+sentinel", Notice;
    /// A known sentinel has another address.
    SentinelAddressSwitch = "+sentinel-address-switch", Notice;
    /// The same sentinel was updated for other groups.
    SentinelAddressUpdate = "+sentinel-address-update", Notice;
    /// A sentinel's address now belongs to another.
    SentinelInvalidAddr = "+sentinel-invalid-addr", Notice;
    /// A replica was forgotten. Not in the reference.
    ReplicaForgotten = "-slave", Notice;
    /// A sentinel was forgotten. Not in the reference.
    SentinelForgotten = "-sentinel", Notice;
    /// A sentinel that does not share our log watches one of our groups. Not in the reference.
    ForeignSentinel = "+foreign-sentinel", Warning;
    /// An instance has another run id.
    Reboot = "+reboot", Notice;
    /// An instance reports the role that we expect.
    RoleAsExpected = "+role-change", Verbose;
    /// An instance reports a role that we do not expect.
    RoleUnexpected = "-role-change", Verbose;
    /// Subjectively down.
    SubjectivelyDown = "+sdown", Warning;
    /// No longer subjectively down.
    SubjectivelyUp = "-sdown", Warning;
    /// Objectively down.
    ObjectivelyDown = "+odown", Warning;
    /// No longer objectively down.
    ObjectivelyUp = "-odown", Warning;
    /// This process did not run for a while.
    Tilt = "+tilt", Warning;
    /// Observations can be trusted again.
    TiltEnd = "-tilt", Warning;
    /// The epoch was raised.
    NewEpoch = "+new-epoch", Warning;
    /// A vote was given here.
    VoteForLeader = "+vote-for-leader", Warning;
    /// A failover is sought.
    TryFailover = "+try-failover", Warning;
    /// This coordinator leads the failover.
    ElectedLeader = "+elected-leader", Warning;
    /// It does not.
    AbortNotElected = "-failover-abort-not-elected", Warning;
    /// A replica is being chosen.
    StateSelectReplica = "+failover-state-select-slave", Warning;
    /// None may be promoted.
    AbortNoGoodReplica = "-failover-abort-no-good-slave", Warning;
    /// A replica was chosen.
    SelectedReplica = "+selected-slave", Warning;
    /// It is about to be promoted.
    StateSendPromotion = "+failover-state-send-slaveof-noone", Notice;
    /// It did not become a primary.
    AbortCandidateTimeout = "-failover-abort-slave-timeout", Warning;
    /// The primary could not be asked to hand over in time.
    AbortPrimaryTimeout = "-failover-abort-master-timeout", Warning;
    /// The promotion was sent.
    StateWaitPromotion = "+failover-state-wait-promotion", Notice;
    /// The replica is a primary.
    Promoted = "+promoted-slave", Warning;
    /// The other replicas are pointed at it.
    StateReconfigure = "+failover-state-reconf-slaves", Warning;
    /// A replica was told to follow the new primary.
    ReconfigureSent = "+slave-reconf-sent", Notice;
    /// It reports the new primary.
    ReconfigureInProgress = "+slave-reconf-inprog", Notice;
    /// It is in sync with it.
    ReconfigureDone = "+slave-reconf-done", Notice;
    /// It did not react.
    ReconfigureTimeout = "-slave-reconf-sent-timeout", Notice;
    /// Some replicas did not follow in time.
    FailoverEndForTimeout = "+failover-end-for-timeout", Warning;
    /// The failover has ended.
    FailoverEnd = "+failover-end", Warning;
    /// A last try to make a replica follow.
    ReconfigureSentBestEffort = "+slave-reconf-sent-be", Notice;
    /// The address of a primary has changed.
    SwitchPrimary = "+switch-master", Warning;
    /// It changed because this sentinel said so.
    ConfigUpdateFrom = "+config-update-from", Warning;
    /// A primary that should be a replica was made one.
    ConvertToReplica = "+convert-to-slave", Notice;
    /// A replica of the wrong primary was pointed at the right one.
    FixReplica = "+fix-slave-config", Notice;
    /// A server refused to be promoted or repointed; its words follow. Not in the reference.
    ReconfigureRefused = "-reconf-refused", Warning;
    /// A connection broke or could not be set up. The reference has it for commands only, not for both.
    LinkReconnection = "-cmd-link-reconnection", Debug;
    /// A script was started.
    ScriptStarted = "+script-child", Debug;
    /// A script has ended.
    ScriptEnded = "-script-child", Debug;
    /// A script is given up.
    ScriptError = "-script-error", Warning;
    /// A script ran for too long and was killed.
    ScriptTimeout = "-script-timeout", Warning;
    /// Another coordinator goes by our id. Not in the reference.
    IdTaken = "-id-taken", Warning;
    /// A member of the log and this one refuse what they tell each other of it. Not in the reference.
    MemberRefused = "-member-refused", Warning;
    /// Another member leads the log, or one does again. Not in the reference.
    LogLeader = "+log-leader", Notice;
    /// No member has led the log for a while. Not in the reference.
    LogLeaderLost = "-log-leader", Warning;
    /// Something odd came in and was not used. Not in the reference.
    Odd = "-odd-input", Debug;
    /// The configuration could not be saved, so nothing that depends on it is done. Not in the reference.
    SaveFailed = "-save-failed", Warning;
    /// It could be saved again. Not in the reference.
    SaveRecovered = "+save-recovered", Warning;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        assert!(names.iter().all(|name| name.starts_with(['+', '-'])));
    }
}
