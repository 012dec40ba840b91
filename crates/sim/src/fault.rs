//! What can go wrong, and when. A plan is a list of these, drawn from the seed before the run begins, so that a
//! failing run can be made shorter by leaving some out.

use std::fmt;
use std::time::Duration;

use bellwether_core::EventKind;

use crate::time::Time;

/// A server, by what it is when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPick {
    /// The primary of a group, as most coordinators see it.
    Primary(usize),
    /// A replica of a group, counted round.
    Replica(usize, usize),
    /// The replica that is being promoted, or any if none is.
    Candidate(usize),
    /// The server with this number, whatever it is.
    Nth(usize),
}

/// A coordinator, by what it is when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorPick {
    /// The one that leads or seeks to lead a failover of a group; any if there is none.
    Leader(usize),
    /// The one with this number, counted round.
    Nth(usize),
}

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachinePick {
    /// That of a server.
    Of(ServerPick),
    /// That of a coordinator.
    With(CoordinatorPick),
}

/// What is left of a server's data when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// All of it: it was saved when it stopped.
    Kept,
    /// What was saved some time before.
    Stale,
    /// Nothing: another disk, or a server that never saves.
    Lost,
}

/// An operator's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `SENTINEL FAILOVER`
    Failover,
    /// `SENTINEL FAILOVER … COORDINATED`
    Coordinated,
    /// `SENTINEL RESET`
    Reset,
    /// `SENTINEL RAFT TRANSFER`
    TransferLead,
}

/// Who comes up at an address that a server has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// A standalone primary with data of its own, which does what it is told.
    Primary,
    /// The same, and whoever comes without its password is refused.
    PrimaryThatRefuses,
    /// A replica of the other group; a standalone primary where there is one group only.
    OfOtherGroup,
    /// Something that answers everything with an error.
    AnswersErrors,
    /// Something that speaks the protocol and makes no sense.
    AnswersOddly,
    /// Something that speaks another protocol: the connection ends at the first answer.
    HangsUp,
}

/// One thing that goes wrong, or that an operator does. Those with a duration end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A server's process dies and is started again later.
    CrashServer(ServerPick, Data, Duration),
    /// A server hangs: it takes what comes and answers nothing.
    PauseServer(ServerPick, Duration),
    /// A script keeps a server busy.
    BusyServer(ServerPick, Duration),
    /// A server cannot write its configuration file.
    ReadOnlyConfig(ServerPick, Duration),
    /// A server refuses to be reconfigured.
    RefusesOrders(ServerPick, Duration),
    /// A server must not be promoted.
    NoPriority(ServerPick, Duration),
    /// A server is found at another address from now on, and nothing at the old one.
    MoveServer(ServerPick),
    /// A server dies and never comes back.
    GoneForGood(ServerPick),
    /// A server gives its address up, because it moves (`true`; replicas only) or is gone for good, and this much later a
    /// stranger comes up there.
    Replaced(ServerPick, bool, Stranger, Duration),
    /// A coordinator moves to another machine, and this much later one of another fleet comes up at its old address.
    ReplacedCoordinator(CoordinatorPick, Duration),
    /// A coordinator's process dies and is started again later.
    CrashCoordinator(CoordinatorPick, Duration),
    /// A member of the log dies with its disk for good. This much later an operator has a new one take its place: at the same
    /// address (`true`), or on a machine of its own.
    ReplaceMember(CoordinatorPick, bool, Duration),
    /// An operator has a new member take the place of one that runs. The process of that one is ended this much later.
    RelieveMember(CoordinatorPick, Duration),
    /// An operator adds a member to the log.
    AddMember,
    /// An operator removes a member from the log; its process is ended this much later.
    RemoveMember(CoordinatorPick, Duration),
    /// A member of the log moves to another machine with its disk, and an operator tells the log so: this much later, or
    /// before (`true`).
    MoveMember(CoordinatorPick, bool, Duration),
    /// All coordinators that run die at once, and are started again later.
    CrashCoordinators(Duration),
    /// A coordinator does not run for a while.
    PauseCoordinator(CoordinatorPick, Duration),
    /// A coordinator's clock leaps ahead.
    LeapClock(CoordinatorPick, Duration),
    /// A coordinator's disk is full for a while.
    FullDisk(CoordinatorPick, Duration),
    /// Each write of a coordinator takes this much longer, for ten times as long.
    SlowDisk(CoordinatorPick, Duration),
    /// The next sync of a coordinator fails; it stops, and is started again after this.
    BrokenSync(CoordinatorPick, Duration),
    /// A machine loses power, with all that runs there, and comes back later.
    CrashMachine(MachinePick, Duration),
    /// A machine is cut off from all others.
    Isolate(MachinePick, Duration),
    /// What one machine sends does not reach the other; the other way works.
    CutOneWay(MachinePick, MachinePick, Duration),
    /// Two machines do not reach each other.
    CutPair(MachinePick, MachinePick, Duration),
    /// The machines fall apart into two halves, by the bits of the number, that do not reach each other.
    Split(u64, Duration),
    /// The network is slow by this, for so long.
    SlowNetwork(Duration, Duration),
    /// So many of a thousand segments are lost, for a while.
    Loss(u32, Duration),
    /// All connections of a machine are reset.
    ResetConnections(MachinePick),
    /// An operator orders something of a coordinator, for a group.
    Operator(Order, CoordinatorPick, usize),
}

impl Fault {
    /// The kinds that end for good what the others let come back, by their words.
    pub const LASTING_KINDS: &'static [&'static str] = &[
        "gone-for-good",
        "replaced-by-primary",
        "replaced-by-other-group",
        "replaced-by-no-redis",
        "replaced-coordinator",
    ];

    /// Every other kind, by its word.
    pub const KINDS: &'static [&'static str] = &[
        "crash-server",
        "empty-server",
        "pause-server",
        "busy-server",
        "read-only-config",
        "refuses-orders",
        "no-priority",
        "move-server",
        "crash-coordinator",
        "pause-coordinator",
        "leap-clock",
        "full-disk",
        "slow-disk",
        "broken-sync",
        "crash-machine",
        "isolate",
        "cut-one-way",
        "cut-pair",
        "split",
        "slow-network",
        "loss",
        "reset-connections",
        "order-failover",
        "order-coordinated",
        "order-reset",
    ];

    /// The kinds that only meet coordinators that share a log, which they do in any profile but `handover`.
    pub const OF_A_LOG: &'static [&'static str] = &[
        "crash-coordinators",
        "transfer-lead",
        "replace-member",
        "relieve-member",
        "add-member",
        "remove-member",
        "move-member",
    ];

    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CrashServer(_, Data::Lost, _) => "empty-server",
            Self::CrashServer(..) => "crash-server",
            Self::PauseServer(..) => "pause-server",
            Self::BusyServer(..) => "busy-server",
            Self::ReadOnlyConfig(..) => "read-only-config",
            Self::RefusesOrders(..) => "refuses-orders",
            Self::NoPriority(..) => "no-priority",
            Self::MoveServer(..) => "move-server",
            Self::GoneForGood(..) => "gone-for-good",
            Self::Replaced(_, _, Stranger::Primary | Stranger::PrimaryThatRefuses, _) => {
                "replaced-by-primary"
            }
            Self::Replaced(_, _, Stranger::OfOtherGroup, _) => "replaced-by-other-group",
            Self::Replaced(..) => "replaced-by-no-redis",
            Self::ReplacedCoordinator(..) => "replaced-coordinator",
            Self::CrashCoordinator(..) => "crash-coordinator",
            Self::ReplaceMember(..) => "replace-member",
            Self::RelieveMember(..) => "relieve-member",
            Self::AddMember => "add-member",
            Self::RemoveMember(..) => "remove-member",
            Self::MoveMember(..) => "move-member",
            Self::CrashCoordinators(..) => "crash-coordinators",
            Self::PauseCoordinator(..) => "pause-coordinator",
            Self::LeapClock(..) => "leap-clock",
            Self::FullDisk(..) => "full-disk",
            Self::SlowDisk(..) => "slow-disk",
            Self::BrokenSync(..) => "broken-sync",
            Self::CrashMachine(..) => "crash-machine",
            Self::Isolate(..) => "isolate",
            Self::CutOneWay(..) => "cut-one-way",
            Self::CutPair(..) => "cut-pair",
            Self::Split(..) => "split",
            Self::SlowNetwork(..) => "slow-network",
            Self::Loss(..) => "loss",
            Self::ResetConnections(..) => "reset-connections",
            Self::Operator(Order::Failover, ..) => "order-failover",
            Self::Operator(Order::Coordinated, ..) => "order-coordinated",
            Self::Operator(Order::Reset, ..) => "order-reset",
            Self::Operator(Order::TransferLead, ..) => "transfer-lead",
        }
    }
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At a time.
    At(Time),
    /// The first time, from a time on, that a coordinator tells of an event of this kind, and this much later: so that
    /// faults meet the short states of a failover, which chance would miss.
    After(Time, EventKind, Duration),
}

/// One entry of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::At(time) => write!(f, "at {time}: {:?}", self.fault),
            When::After(time, kind, delay) => {
                write!(
                    f,
                    "{} us after {} from {time}: {:?}",
                    delay.as_micros(),
                    kind.name(),
                    self.fault
                )
            }
        }
    }
}
