//! Worlds whose coordinators share a log: how that log is set up, and what goes wrong with it besides.

use std::time::Duration;

use bellwether_core::EventKind;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::fault::{CoordinatorPick, Fault, Order, Planned, When};
use crate::plan::{Profile, Setup};
use crate::time::Time;

/// What makes the draws of this file differ from those of the plan, which are the same in both worlds.
const OTHER_STREAM: u64 = 0x7261_6674_7261_6674;

/// The same for what was added later: changes of the members. Of the seeds in `seeds.txt` it changes nothing.
const MEMBERS_STREAM: u64 = 0x6d65_6d62_6572_0005;
/// When the first member may change: all have begun, and the log is founded.
const FIRST_CHANGE_MS: u64 = 4_000;

/// How the coordinators of a world agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coordination {
    /// By votes.
    #[default]
    Vote,
    /// By a log that all of them share.
    Raft,
}

impl Coordination {
    /// Both of them.
    pub const ALL: &[Self] = &[Self::Vote, Self::Raft];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Raft => "raft",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }
}

/// How the log is set up, the same at each coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSetup {
    /// How many bytes of log ask for a snapshot.
    pub log_bytes: u64,
    /// How many entries stay before a snapshot.
    pub keep_entries: u64,
    /// By how much all times are longer than usual.
    pub slowness: u32,
}

impl Setup {
    /// The same world with coordinators that share a log, and a plan with what only meets those.
    pub(crate) fn share_a_log(&mut self, profile: Profile, plan: &mut Vec<Planned>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ (profile as u64) << 56 ^ OTHER_STREAM);
        // Little is said in a run, so snapshots come with small logs alone.
        let small = rng.random_range(0..2) == 0;
        self.log = Some(LogSetup {
            log_bytes: if small {
                rng.random_range(300..3_000)
            } else {
                1 << 20
            },
            keep_entries: if small { rng.random_range(0..6) } else { 256 },
            slowness: [1, 1, 3][rng.random_range(0..3)],
        });
        // Where a member is the log says, and nobody moves by himself.
        plan.retain(|entry| !matches!(entry.fault, Fault::ReplacedCoordinator(..)));
        if profile == Profile::Handover {
            // Its plan is about what a client feels, which more would blur.
            return;
        }
        for _ in 0..rng.random_range(0..=2) {
            plan.push(draw(self, &mut rng));
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ (profile as u64) << 56 ^ MEMBERS_STREAM);
        if rng.random_range(0..3) == 0 {
            for _ in 0..rng.random_range(1..=3) {
                plan.push(draw_change(self, &mut rng));
            }
        }
    }
}

/// A change of the members, while other things go wrong.
fn draw_change(setup: &Setup, rng: &mut Xoshiro256PlusPlus) -> Planned {
    let end = setup.faults_end.millis();
    let at = Time::from_millis(rng.random_range(FIRST_CHANGE_MS..end - 1_000));
    let pick = match rng.random_range(0..3) {
        0 => CoordinatorPick::Leader(0),
        _ => CoordinatorPick::Nth(rng.random_range(0..setup.coordinators)),
    };
    let soon = Duration::from_millis(rng.random_range(0..2_000));
    let either = rng.random_range(0..2) == 0;
    let fault = match rng.random_range(0..6) {
        0 | 1 => Fault::ReplaceMember(pick, either, soon),
        2 => Fault::RelieveMember(pick, soon),
        3 => Fault::AddMember,
        4 => Fault::RemoveMember(pick, soon),
        _ => Fault::MoveMember(pick, either, soon),
    };
    Planned {
        when: draw_moment(at, rng),
        fault,
    }
}

fn draw(setup: &Setup, rng: &mut Xoshiro256PlusPlus) -> Planned {
    let end = setup.faults_end.millis();
    let at = Time::from_millis(rng.random_range(2_000..end - 1_000));
    let any = CoordinatorPick::Nth(rng.random_range(0..setup.coordinators));
    let leader = CoordinatorPick::Leader(0);
    let fault = match rng.random_range(0..5) {
        0 => Fault::CrashCoordinators(Duration::from_millis(rng.random_range(10..4_000))),
        // It misses so much that it needs a snapshot, where logs are short.
        1 => Fault::CrashCoordinator(any, Duration::from_millis(end)),
        // About as long as a lease lasts.
        2 => Fault::PauseCoordinator(leader, Duration::from_millis(rng.random_range(100..900))),
        3 => Fault::CrashCoordinator(leader, Duration::from_millis(rng.random_range(50..5_000))),
        _ => Fault::Operator(Order::TransferLead, any, 0),
    };
    Planned {
        when: draw_moment(at, rng),
        fault,
    }
}

/// This time, or a step of a failover.
fn draw_moment(at: Time, rng: &mut Xoshiro256PlusPlus) -> When {
    const MOMENTS: &[EventKind] = &[
        EventKind::ObjectivelyDown,
        EventKind::TryFailover,
        EventKind::SelectedReplica,
        EventKind::StateWaitPromotion,
        EventKind::SwitchPrimary,
    ];
    if rng.random_range(0..2) == 0 {
        let moment = MOMENTS[rng.random_range(0..MOMENTS.len())];
        let delay = Duration::from_micros(rng.random_range(0..10_000));
        When::After(Time::from_millis(at.millis() / 2), moment, delay)
    } else {
        When::At(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_seed_means_for_votes_is_no_other_for_it() {
        for seed in 0..50 {
            for profile in Profile::ALL {
                let (vote, plan) = Setup::of(seed, *profile, Coordination::Vote);
                let (raft, more) = Setup::of(seed, *profile, Coordination::Raft);
                let moves = |entry: &Planned| matches!(entry.fault, Fault::ReplacedCoordinator(..));
                let stays: Vec<Planned> = plan.into_iter().filter(|entry| !moves(entry)).collect();
                assert_eq!(more[..stays.len()], stays[..], "seed {seed} {}", profile.name());
                assert_eq!((vote.log, vote.faults_end), (None, raft.faults_end));
                assert!(raft.log.is_some());
            }
        }
    }
}
