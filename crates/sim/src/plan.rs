//! What a seed stands for: how large the world is, how it is set up, and what goes wrong in it when.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bellwether_core::EventKind;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::fault::{CoordinatorPick, Data, Fault, MachinePick, Order, Planned, ServerPick, Stranger, When};
use crate::network::Quality;
use crate::redis::ServerSpec;
use crate::shared_log::{Coordination, LogSetup};
use crate::time::Time;

/// For how long nothing goes wrong at first, so that all find each other.
const WARM_UP_MS: u64 = 4_000;
/// How much longer than the others the worlds of [`Profile::Handover`] live: what is stuck has to stay so for long.
const HAND_OVER_MORE: Duration = Duration::from_secs(60);
/// How long a replica that fails at a hand-over is gone, in milliseconds.
const TARGET_GONE_MS: std::ops::Range<u64> = 200..60_000;
/// The longest time without a write in [`Profile::Handover`]: the coordinator that led is gone. The others look at the
/// primary every 10 s, and free it after 11 s at most, or, if the hand-over comes off without its leader, take it for
/// down some 5 s later.
const HAND_OVER_GAP: Duration = Duration::from_secs(30);
/// Sets apart the second generator of a seed, from which come what was added to worlds and plans that were there before:
/// so that seeds which are kept mean what they meant. Of those in `seeds.txt` it changes nothing.
const SECOND_STREAM: u64 = 0x5eed_e38e;
/// How much of what it handed over last a process that is killed takes with it, in microseconds: each connection is
/// written by a task of its own, which may not have had its turn.
const UNSENT_MICROS: u64 = 1_000;
/// How much later a stranger comes up at an address that is free, in milliseconds: as soon as a container, as late as
/// another machine.
const STRANGER_AFTER_MS: [u64; 4] = [20, 300, 2_000, 8_000];
/// One in eight seeds, by this draw, loses a leader at the shortest states of a failover.
const LOSES_LEADER: u32 = 0;
/// Events at which faults strike: those that begin and end the short states of a failover.
const TRIGGERS: &[EventKind] = &[
    EventKind::SubjectivelyDown,
    EventKind::ObjectivelyDown,
    EventKind::TryFailover,
    EventKind::VoteForLeader,
    EventKind::ElectedLeader,
    EventKind::SelectedReplica,
    EventKind::StateSendPromotion,
    EventKind::StateWaitPromotion,
    EventKind::Promoted,
    EventKind::StateReconfigure,
    EventKind::ReconfigureSent,
    EventKind::SwitchPrimary,
    EventKind::ConfigUpdateFrom,
    EventKind::FailoverEnd,
    EventKind::ConvertToReplica,
];

/// A kind of world: which faults are in it. Each tests its own list of promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Everything, a different part of it for each seed.
    Swarm,
    /// Processes and machines die and come back.
    Crash,
    /// The network is cut, slow and lossy.
    Network,
    /// Five coordinators, two of which are a quorum, and the network falls apart.
    Split,
    /// The way is long, and at times longer than some patience lasts; processes pause with answers under way.
    Slow,
    /// Disks fill up, stall and break, and processes die meanwhile.
    Disk,
    /// Processes pause, clocks leap.
    Pause,
    /// Operators switch primaries by plan, while coordinators and connections fail but no server does: no acknowledged
    /// write may be lost.
    Planned,
    /// Operators switch primaries by plan, and the replica freezes, dies or is cut off when the role is handed to it, for
    /// long: clients must be able to write again long before it is back.
    Handover,
    /// The same while any server fails, for a shorter time: hand-overs are refused, given up and lost.
    Refused,
}

impl Profile {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Swarm,
        Self::Crash,
        Self::Network,
        Self::Split,
        Self::Slow,
        Self::Disk,
        Self::Pause,
        Self::Planned,
        Self::Handover,
        Self::Refused,
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Crash => "crash",
            Self::Network => "network",
            Self::Split => "split",
            Self::Slow => "slow",
            Self::Disk => "disk",
            Self::Pause => "pause",
            Self::Planned => "planned",
            Self::Handover => "handover",
            Self::Refused => "refused",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|profile| profile.name() == name)
    }

    /// The one whose turn it is when each seed takes the next.
    #[must_use]
    pub fn of_turn(seed: u64) -> Self {
        let turn = seed % Self::ALL.len() as u64;
        Self::ALL[usize::try_from(turn).unwrap_or(0)]
    }

    /// The kinds of faults that it has.
    #[must_use]
    pub fn kinds(self) -> Vec<&'static str> {
        let mut kinds = self.passing_kinds();
        if self.has_strangers() {
            kinds.extend(Fault::LASTING_KINDS);
        }
        kinds
    }

    /// Whether some of its servers are gone for good, and strangers come up at their addresses. Not where it is measured
    /// for how long nobody could write, or what was lost.
    const fn has_strangers(self) -> bool {
        !matches!(self, Self::Planned | Self::Handover | Self::Refused)
    }

    /// Whether coordinators die in it, besides those that an entry of its own concerns.
    const fn loses_coordinators(self) -> bool {
        matches!(self, Self::Swarm | Self::Crash | Self::Slow | Self::Disk)
    }

    /// The kinds that pass, of which its plans are made.
    fn passing_kinds(self) -> Vec<&'static str> {
        let some: &[&str] = match self {
            Self::Swarm => return Fault::KINDS.to_vec(),
            Self::Crash => &[
                "crash-server",
                "empty-server",
                "crash-coordinator",
                "crash-machine",
                "reset-connections",
            ],
            Self::Network => &[
                "crash-server",
                "isolate",
                "cut-one-way",
                "cut-pair",
                "slow-network",
                "loss",
                "reset-connections",
            ],
            Self::Split => &["crash-server", "split", "isolate", "cut-pair", "order-failover"],
            Self::Slow => &[
                "crash-server",
                "crash-coordinator",
                "slow-network",
                "loss",
                "pause-coordinator",
                "pause-coordinator",
            ],
            Self::Disk => &[
                "crash-server",
                "pause-server",
                "crash-coordinator",
                "full-disk",
                "slow-disk",
                "broken-sync",
                "read-only-config",
                "order-failover",
            ],
            Self::Pause => &[
                "crash-server",
                "pause-server",
                "pause-coordinator",
                "leap-clock",
                "busy-server",
            ],
            Self::Planned => &[
                "order-coordinated",
                "crash-coordinator",
                "reset-connections",
                "slow-disk",
            ],
            Self::Handover => &[
                "order-coordinated",
                "pause-server",
                "crash-server",
                "busy-server",
                "isolate",
                "cut-pair",
                "reset-connections",
                "crash-coordinator",
                "pause-coordinator",
            ],
            Self::Refused => &[
                "order-coordinated",
                "crash-server",
                "empty-server",
                "pause-server",
                "cut-pair",
                "crash-coordinator",
            ],
        };
        some.to_vec()
    }
}

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// The log that the coordinators share; `None` where they vote.
    pub log: Option<LogSetup>,
    /// How many coordinators.
    pub coordinators: usize,
    /// The rank of each coordinator's id among all ids.
    pub ranks: Vec<usize>,
    /// A process that was stopped reads its connections in any order when it goes on, as real ones do; else in the
    /// order of what came.
    pub any_order: bool,
    /// How much of what it handed over last a process may take with it when it is killed.
    pub unsent: Duration,
    /// How many groups they watch.
    pub groups: usize,
    /// How many servers each group has, the primary included.
    pub servers: usize,
    /// Coordinators run on the machines of the servers.
    pub colocated: bool,
    /// The coordinators know each other and all replicas from the start.
    pub introduced: bool,
    /// How many of them must see a primary down.
    pub quorum: u32,
    /// `down-after-milliseconds`
    pub down_after: Duration,
    /// `failover-timeout`
    pub failover_timeout: Duration,
    /// `parallel-syncs`
    pub parallel_syncs: u32,
    /// Which server of each group must never be promoted.
    pub no_priority: Option<usize>,
    /// How many clients write.
    pub writers: usize,
    /// How long each waits between two writes.
    pub write_every: Duration,
    /// How servers are, but for address, role and priority.
    pub server: ServerSpec,
    /// How the network carries when nothing is wrong with it.
    pub quality: Quality,
    /// Until when things go wrong.
    pub faults_end: Time,
    /// By when, counted from that, all must be well.
    pub bound: Duration,
    /// Whether no acknowledged write may be lost.
    pub loses_nothing: bool,
    /// The longest time in which a client may be unable to write, faults or not, while a majority of the coordinators is
    /// there.
    pub longest_gap: Option<Duration>,
}

impl Setup {
    /// What a seed stands for in a profile, with the plan of what goes wrong. But for what concerns the log it is the same
    /// world however the coordinators agree.
    #[must_use]
    pub fn of(seed: u64, profile: Profile, coordination: Coordination) -> (Self, Vec<Planned>) {
        let (mut setup, mut plan) = Self::drawn(seed, profile);
        if coordination == Coordination::Raft {
            setup.share_a_log(profile, &mut plan);
        }
        (setup, plan)
    }

    fn drawn(seed: u64, profile: Profile) -> (Self, Vec<Planned>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ (profile as u64) << 56);
        let split = profile == Profile::Split;
        let coordinators = [3, 3, 3, 4, 5][rng.random_range(0..5)];
        let coordinators = if split { 5 } else { coordinators };
        let groups = [1, 1, 1, 1, 2][rng.random_range(0..5)];
        let servers = rng.random_range(2..=4);
        let length_ms = rng.random_range(8_000..30_000);
        let down_after = Duration::from_millis([500, 1_000, 1_000, 2_000][rng.random_range(0..4)]);
        let failover_timeout = Duration::from_millis([5_000, 10_000][rng.random_range(0..2)]);
        let majority = u32::try_from(coordinators / 2 + 1).unwrap_or(u32::MAX);
        // Between continents there is always something on the way.
        let distance = if profile == Profile::Slow { 50 } else { 1 };
        let mut setup = Self {
            seed,
            log: None,
            coordinators,
            ranks: (0..coordinators).collect(),
            any_order: false,
            unsent: Duration::ZERO,
            groups,
            servers,
            colocated: rng.random_range(0..2) == 0,
            introduced: rng.random_range(0..4) > 0,
            quorum: if rng.random_range(0..4) == 0 || split {
                2
            } else {
                majority
            },
            down_after,
            failover_timeout,
            parallel_syncs: rng.random_range(1..=2),
            no_priority: (servers > 2 && rng.random_range(0..4) == 0).then_some(servers - 1),
            writers: rng.random_range(0..=2),
            write_every: Duration::from_millis(rng.random_range(20..100)),
            server: server_spec(&mut rng),
            quality: Quality {
                latency: Duration::from_micros(rng.random_range(50..2_000) * distance),
                jitter: Duration::from_micros(rng.random_range(10..3_000)),
                loss_permille: 0,
            },
            faults_end: Time::from_millis(WARM_UP_MS + length_ms),
            bound: failover_timeout * 4 + Duration::from_secs(40),
            loses_nothing: profile == Profile::Planned,
            longest_gap: None,
        };
        let mut plan = if profile == Profile::Handover {
            setup.faults_end = setup.faults_end + HAND_OVER_MORE;
            setup.longest_gap = Some(HAND_OVER_GAP);
            // A cut between two servers leaves the coordinators their majority.
            setup.colocated = false;
            setup.writers = setup.writers.max(1);
            setup.server.has_failover = true;
            draw_hand_overs(&setup, &mut rng)
        } else {
            draw_plan(&setup, profile, &mut rng)
        };
        let mut more = Xoshiro256PlusPlus::seed_from_u64(seed ^ (profile as u64) << 56 ^ SECOND_STREAM);
        setup.any_order = more.random_range(0..2) == 0;
        if more.random_range(0..2) == 0 {
            setup.unsent = Duration::from_micros(UNSENT_MICROS);
        }
        if profile.has_strangers() && more.random_range(0..3) == 0 {
            draw_strangers(&setup, &mut more, &mut plan);
        }
        // Which of the eight it is leaves the kept seeds alone.
        if profile.loses_coordinators() && more.random_range(0..8) == LOSES_LEADER {
            draw_lost_leader(&setup, &mut more, &mut plan);
        }
        (setup, plan)
    }
}

fn server_spec(rng: &mut Xoshiro256PlusPlus) -> ServerSpec {
    ServerSpec {
        addr: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        run_seed: 0,
        follows: None,
        priority: 100,
        announced: true,
        repl_timeout: Duration::from_secs(10),
        ping_period: Duration::from_secs(1),
        backlog: rng.random_range(50..2_000),
        full_sync_time: Duration::from_millis(rng.random_range(20..1_500)),
        has_failover: rng.random_range(0..8) > 0,
        min_replicas_to_write: 0,
        min_replicas_max_lag: Duration::from_secs(10),
        serves_stale: rng.random_range(0..4) > 0,
        config_writable: true,
    }
}

fn draw_plan(setup: &Setup, profile: Profile, rng: &mut Xoshiro256PlusPlus) -> Vec<Planned> {
    let mut kinds = profile.passing_kinds();
    if profile == Profile::Swarm {
        // A part of the kinds for each seed: what all of them together would hide shows in some part.
        let share = rng.random_range(1..=4);
        kinds.retain(|_| rng.random_range(0..5) < share);
        if !kinds.iter().any(|kind| {
            matches!(
                *kind,
                "crash-server" | "pause-server" | "crash-machine" | "isolate"
            )
        }) {
            kinds.push("crash-server");
        }
    }
    let count = rng.random_range(2..=10);
    let mut plan = Vec::with_capacity(count);
    for n in 0..count {
        // The first, and each third after it, makes a failover likely: the others meet it.
        let leads = n % 3 == 0;
        let kind = if leads {
            if matches!(profile, Profile::Planned | Profile::Refused) {
                "order-coordinated"
            } else {
                "crash-server"
            }
        } else {
            kinds[rng.random_range(0..kinds.len())]
        };
        let from = Time::from_millis(rng.random_range(WARM_UP_MS..setup.faults_end.millis() - 2_000));
        let when = if !leads && rng.random_range(0..2) == 0 {
            let kind = TRIGGERS[rng.random_range(0..TRIGGERS.len())];
            let delay = Duration::from_micros(rng.random_range(0..20_000));
            When::After(Time::from_millis(from.millis() / 2), kind, delay)
        } else {
            When::At(from)
        };
        let fault = draw_fault(kind, leads, setup, rng);
        plan.push(Planned { when, fault });
    }
    plan
}

/// A leader that dies while it chooses, or has chosen and not ordered yet: that lasts for a millisecond or two.
fn draw_lost_leader(setup: &Setup, rng: &mut Xoshiro256PlusPlus, plan: &mut Vec<Planned>) {
    let event = [EventKind::ElectedLeader, EventKind::SelectedReplica][rng.random_range(0..2)];
    let delay = Duration::from_micros(rng.random_range(0..2_000));
    let group = rng.random_range(0..setup.groups);
    let back = Duration::from_millis(rng.random_range(200..5_000));
    plan.push(Planned {
        when: When::After(Time::from_millis(WARM_UP_MS), event, delay),
        fault: Fault::CrashCoordinator(CoordinatorPick::Leader(group), back),
    });
}

/// One or two that are gone for good, and who comes up in their place.
fn draw_strangers(setup: &Setup, rng: &mut Xoshiro256PlusPlus, plan: &mut Vec<Planned>) {
    for _ in 0..rng.random_range(1..=2) {
        let from = Time::from_millis(rng.random_range(WARM_UP_MS..setup.faults_end.millis() - 2_000));
        let when = if rng.random_range(0..2) == 0 {
            let kind = TRIGGERS[rng.random_range(0..TRIGGERS.len())];
            let delay = Duration::from_micros(rng.random_range(0..20_000));
            When::After(Time::from_millis(from.millis() / 2), kind, delay)
        } else {
            When::At(from)
        };
        let group = rng.random_range(0..setup.groups);
        let server = match rng.random_range(0..4) {
            0 | 1 => ServerPick::Primary(group),
            2 => ServerPick::Candidate(group),
            _ => ServerPick::Replica(group, rng.random_range(0..setup.servers)),
        };
        let base = STRANGER_AFTER_MS[rng.random_range(0..STRANGER_AFTER_MS.len())];
        let after = Duration::from_millis(rng.random_range(base / 2..base * 2));
        let stranger = match rng.random_range(0..8) {
            0 | 1 => Stranger::Primary,
            2 => Stranger::PrimaryThatRefuses,
            3 | 4 => Stranger::OfOtherGroup,
            5 => Stranger::AnswersErrors,
            6 => Stranger::AnswersOddly,
            _ => Stranger::HangsUp,
        };
        let moves = rng.random_range(0..2) == 0;
        let fault = match rng.random_range(0..6) {
            0 => Fault::GoneForGood(server),
            1 => {
                let coordinator = CoordinatorPick::Nth(rng.random_range(0..setup.coordinators));
                Fault::ReplacedCoordinator(coordinator, after)
            }
            _ => Fault::Replaced(server, moves, stranger, after),
        };
        plan.push(Planned { when, fault });
    }
}

/// Hand-overs, one after the other, and what meets each when the order is out.
fn draw_hand_overs(setup: &Setup, rng: &mut Xoshiro256PlusPlus) -> Vec<Planned> {
    let mut plan = Vec::new();
    let count = rng.random_range(1..=3);
    for n in 0..count {
        let share = (setup.faults_end.millis() - WARM_UP_MS) / count;
        let at = Time::from_millis(WARM_UP_MS + n * share + rng.random_range(0..share / 4));
        let group = rng.random_range(0..setup.groups);
        let target = ServerPick::Candidate(group);
        let machine = MachinePick::Of(target);
        let primary = MachinePick::Of(ServerPick::Primary(group));
        let leader = CoordinatorPick::Leader(group);
        let gone = Duration::from_millis(rng.random_range(TARGET_GONE_MS));
        let short = Duration::from_millis(rng.random_range(50..3_000));
        let kind = rng.random_range(0..4);
        let orderer = CoordinatorPick::Nth(rng.random_range(0..setup.coordinators));
        plan.push(Planned {
            when: When::At(at),
            fault: Fault::Operator(Order::Coordinated, orderer, group),
        });
        let mut meets = |fault| {
            // The order is on its way at the event. What is late by this much finds it done more often than not.
            let delay = Duration::from_micros(rng.random_range(0..8_000));
            let when = When::After(at, EventKind::StateWaitPromotion, delay);
            plan.push(Planned { when, fault });
            rng.random_range(0..12)
        };
        let fails = match kind {
            0 => Fault::Isolate(machine, short),
            1 => Fault::CutPair(machine, primary, gone),
            2 => Fault::PauseServer(target, gone),
            _ => Fault::CrashServer(target, Data::Kept, gone),
        };
        match meets(fails) {
            0 | 1 => meets(Fault::CrashCoordinator(leader, gone)),
            2 => meets(Fault::PauseCoordinator(leader, short)),
            3 => meets(Fault::ResetConnections(primary)),
            4 => meets(Fault::ResetConnections(MachinePick::With(leader))),
            5 => meets(Fault::BusyServer(target, short)),
            6 => meets(Fault::CutPair(primary, MachinePick::With(leader), short)),
            _ => 0,
        };
    }
    plan
}

fn draw_fault(kind: &str, primary: bool, setup: &Setup, rng: &mut Xoshiro256PlusPlus) -> Fault {
    let group = rng.random_range(0..setup.groups);
    let server = match rng.random_range(0..4) {
        _ if primary => ServerPick::Primary(group),
        0 | 1 => ServerPick::Primary(group),
        2 => ServerPick::Candidate(group),
        _ => ServerPick::Replica(group, rng.random_range(0..setup.servers)),
    };
    let replica = ServerPick::Replica(group, rng.random_range(0..setup.servers));
    let coordinator = if rng.random_range(0..2) == 0 {
        CoordinatorPick::Leader(group)
    } else {
        CoordinatorPick::Nth(rng.random_range(0..setup.coordinators))
    };
    let other = CoordinatorPick::Nth(rng.random_range(0..setup.coordinators));
    let machine = if rng.random_range(0..2) == 0 {
        MachinePick::Of(server)
    } else {
        MachinePick::With(coordinator)
    };
    // Short and long in equal measure: what lasts a tenth of a second meets other code than what lasts ten.
    let base = [50, 500, 2_000, 8_000][rng.random_range(0..4)];
    let lasts = Duration::from_millis(rng.random_range(base / 2..base * 2));
    match kind {
        "crash-server" => {
            let data = if rng.random_range(0..3) == 0 {
                Data::Stale
            } else {
                Data::Kept
            };
            Fault::CrashServer(server, data, lasts)
        }
        "empty-server" => Fault::CrashServer(replica, Data::Lost, lasts / 4),
        "pause-server" => Fault::PauseServer(server, lasts),
        "busy-server" => Fault::BusyServer(server, lasts),
        "read-only-config" => Fault::ReadOnlyConfig(server, lasts),
        "refuses-orders" => Fault::RefusesOrders(server, lasts),
        "no-priority" => Fault::NoPriority(replica, lasts),
        "move-server" => Fault::MoveServer(replica),
        "crash-coordinator" => Fault::CrashCoordinator(coordinator, lasts),
        "pause-coordinator" => Fault::PauseCoordinator(coordinator, lasts),
        "leap-clock" => Fault::LeapClock(coordinator, lasts),
        "full-disk" => Fault::FullDisk(coordinator, lasts),
        "slow-disk" => Fault::SlowDisk(coordinator, Duration::from_millis(rng.random_range(5..800))),
        "broken-sync" => Fault::BrokenSync(coordinator, lasts),
        "crash-machine" => Fault::CrashMachine(machine, lasts),
        "isolate" => Fault::Isolate(machine, lasts),
        "cut-one-way" => match rng.random_range(0..2) {
            0 => Fault::CutOneWay(machine, MachinePick::With(other), lasts),
            _ => Fault::CutOneWay(MachinePick::With(other), machine, lasts),
        },
        "cut-pair" => Fault::CutPair(machine, MachinePick::With(other), lasts),
        "split" => Fault::Split(rng.random_range(0..u64::MAX), lasts),
        "slow-network" => {
            let by = rng.random_range(2..350);
            Fault::SlowNetwork(Duration::from_millis(by), lasts)
        }
        "loss" => Fault::Loss(rng.random_range(5..200), lasts),
        "reset-connections" => Fault::ResetConnections(machine),
        "order-failover" => Fault::Operator(Order::Failover, coordinator, group),
        "order-coordinated" => Fault::Operator(Order::Coordinated, coordinator, group),
        _ => Fault::Operator(Order::Reset, coordinator, group),
    }
}
