//! Seeded bugs: mistakes that this crate can be told to make, so that the simulator can show that it notices them.
//!
//! They exist only with the feature `seeded-bugs`, which nothing that ships turns on; without it `has` is always
//! `false`, and the compiler drops every branch behind it. With it nothing changes until a bug is planted.
//! What a branch gets wrong is told here and not where it stands, so that the code around it reads as if there were
//! none. Each bug names the invariants that it ought to break:
//!
//! 1. one leader for a group and epoch, one vote of a coordinator in an epoch, restarts included;
//! 2. no epoch and no config epoch goes back;
//! 3. one config epoch names one address;
//! 4. no promotion without odown by quorum and the agreement of a majority;
//! 5. no promotion of a replica with priority 0, of foreign lineage, or outside the gates;
//! 6. nothing is visible to others that is not durable here;
//! 7. after the faults end: one address, one primary, and all replicas behind it, within a bound;
//! 8. no acknowledged write is lost by a planned switch;
//! 9. nothing grows without bound.

#![cfg_attr(
    not(feature = "seeded-bugs"),
    expect(unreachable_pub, reason = "public with the feature alone")
)]

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A mistake on purpose.
        #[cfg_attr(
            not(feature = "seeded-bugs"),
            expect(dead_code, reason = "some are made where the log is, which has its own list of them then")
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        #[cfg(feature = "seeded-bugs")]
        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its name on a command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }
        }
    };
}

bugs! {
    /// A vote is told before it is on disk; a crash in between forgets it, and the same epoch has another vote.
    /// Breaks 6, and after a crash 1.
    VoteWithoutPersisting = "vote-without-persisting",
    /// A coordinator that starts again has not voted yet, whatever is on its disk. Breaks 1.
    ForgetVoteAtRestart = "forget-vote-at-restart",
    /// Who has voted in an epoch votes for the next candidate, too. Breaks 1.
    VoteTwice = "vote-twice",
    /// A vote of an older epoch, told late, counts in the present election, and so does one of a later epoch. Breaks 4,
    /// and 1 when the voter has given this epoch to another.
    CountVoteOfAnotherEpoch = "count-vote-of-another-epoch",
    /// A candidate's own vote counts twice, so that one of three has a majority alone. Breaks 4, and 1 between two
    /// such candidates.
    CountOneVoterTwice = "count-one-voter-twice",
    /// The majority is that of the sentinels which have answered, not of those which are known. Shows where the quorum
    /// is below the majority. Breaks 4, and 1 on two sides of a partition.
    MajorityOfReachable = "majority-of-reachable",
    /// A primary that is subjectively down here is objectively down, whatever the quorum. Breaks 4.
    QuorumOfOne = "quorum-of-one",
    /// What a sentinel said of the former primary counts for the present one. Breaks 4.
    CountVerdictOnFormerPrimary = "count-verdict-on-former-primary",
    /// A stall of the process is held against everybody else: replies that wait to be read count as silence. Breaks 4,
    /// as a primary that was well throughout is replaced.
    StallNotForgiven = "stall-not-forgiven",
    /// After a failed attempt the next one uses the same epoch. Breaks 1: the registry refuses the second vote by a
    /// panic.
    SameEpochAgain = "same-epoch-again",
    /// A higher epoch in a hello or a verdict is not taken over. Breaks 7: after all is healed the coordinators differ
    /// about the epoch, and elections fail for no reason; with an operator's order in a partition also 3.
    EpochNotRaised = "epoch-not-raised",
    /// The current epoch becomes that of the last decision, even if it is lower. Breaks 2; an assertion panics once the
    /// higher one was on disk.
    EpochGoesBack = "epoch-goes-back",
    /// A hello with an older configuration installs that again. Breaks 2, and 7 if two go round in circles.
    ConfigEpochGoesBack = "config-epoch-goes-back",
    /// A leader goes on with its failover when another one's newer configuration or candidacy has come, as after a
    /// pause. Breaks 4, since the present primary is not down, and 7. Where the candidate is the present primary an
    /// assertion of debug builds panics.
    OldLeaderGoesOn = "old-leader-goes-on",
    /// An order that waits for the disk leaves although what it follows from is no longer so. Breaks 4 and 7.
    KeepSupersededOrders = "keep-superseded-orders",
    /// A replica with priority 0 may be promoted. Breaks 5.
    PromotePriorityZero = "promote-priority-zero",
    /// A replica that holds the data of another primary is as good as any. Breaks 5.
    PromoteForeignLineage = "promote-foreign-lineage",
    /// Of several replicas the one that lags most is promoted. Breaks 5, as more writes are lost than have to be.
    PromoteWorstOffset = "promote-worst-offset",
    /// Addresses, `+switch-master` and hellos tell of a switch before it is on disk. Breaks 6.
    AnnounceBeforeDurable = "announce-before-durable",
    /// A write that failed is taken for done: what waited for it goes out. Breaks 6.
    FailedPersistTakenAsDone = "failed-persist-taken-as-done",
    /// Replies and hellos of a connection that is gone count as if they came on the present one, and so does its end.
    /// Breaks 7 and 9, where the end of the old one has the new one replaced without being closed; and 4, where a
    /// verdict from before a long break completes the quorum.
    AcceptStaleReply = "accept-stale-reply",
    /// Connections that are given up are never closed. Breaks 9.
    LeakLinks = "leak-links",
    /// A former primary that comes back as a primary is left one. Breaks 7.
    SkipDemotion = "skip-demotion",
    /// Replicas are never told of the new primary. Breaks 7.
    ReplicasNotRepointed = "replicas-not-repointed",
    /// Hellos name the new primary with config epoch 0, so that nobody takes it over. Breaks 7.
    HelloWithoutConfigEpoch = "hello-without-config-epoch",
    /// In a hand-over the switch is decided as soon as the candidate has told anything, whether it is the primary yet
    /// or not. Breaks 8, and 7 if the hand-over then fails.
    HandOverBeforeRole = "hand-over-before-role",
    /// A server is never told to end a hand-over. Breaks 7: it waits without an end for a replica that has died.
    HandOverNotEnded = "hand-over-not-ended",
    /// When a hand-over is given up, the old primary's writes stay held back until the server's own limit. Breaks 7:
    /// no write is taken although all is well.
    PauseNotReleased = "pause-not-released",
    /// Of those who share a log, one that leads acts whether it has a lease or not. Two act at the same time.
    ActWithoutLease = "act-without-lease",
    /// An order of one that shares a log leaves even when its lease is over. Two act at the same time.
    OrderAtAnyTime = "order-at-any-time",
    /// What a former leader of a log concluded counts in the term of the next one. Breaks 4.
    CountConclusionOfAnyTerm = "count-conclusion-of-any-term",
}

#[cfg(feature = "seeded-bugs")]
pub use planted::{has, plant};

/// Whether the code is to make this mistake: never, without the feature.
#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
mod planted {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    /// One more than the number of the bug; 0 for none. Nothing else is ordered by it.
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    impl Bug {
        /// The one of this name.
        #[must_use]
        pub fn from_name(name: &str) -> Option<Self> {
            Self::ALL.iter().copied().find(|bug| bug.name() == name)
        }
    }

    impl Bug {
        /// Whether only those can make it who share a log.
        #[must_use]
        pub const fn is_of_a_log(self) -> bool {
            matches!(
                self,
                Self::ActWithoutLease | Self::OrderAtAnyTime | Self::CountConclusionOfAnyTerm
            )
        }
    }

    /// Makes every coordinator of this process make this mistake from now on, and no other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }

    /// Whether the code is to make this mistake.
    #[must_use]
    pub fn has(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as usize + 1
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_bug_is_found_by_its_name() {
            for bug in Bug::ALL {
                assert_eq!(Bug::from_name(bug.name()), Some(*bug));
            }
            assert_eq!(Bug::from_name("none"), None);
        }
    }
}
