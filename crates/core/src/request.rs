//! What clients ask, and what they are answered. Texts and numbers, no wire format.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::agreement::{LogOrder, LogStatus};
use crate::id::GroupName;
use crate::overview::Overview;
use crate::registry::Secret;

/// A question or an order. Words come as the client sent them; the core says what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `SENTINEL MASTERS`
    Primaries,
    /// `SENTINEL MASTER <name>`
    Primary {
        /// The group.
        name: String,
    },
    /// `SENTINEL REPLICAS <name>`
    Replicas {
        /// The group.
        name: String,
    },
    /// `SENTINEL SENTINELS <name>`
    Sentinels {
        /// The group.
        name: String,
    },
    /// `SENTINEL GET-MASTER-ADDR-BY-NAME <name>`; the driver usually answers it from the address book.
    PrimaryAddr {
        /// The group.
        name: String,
    },
    /// `SENTINEL IS-MASTER-DOWN-BY-ADDR <host> <port> <epoch> <candidate>`
    IsPrimaryDown {
        /// The host of the primary.
        host: String,
        /// Its port.
        port: String,
        /// The epoch of the asker.
        epoch: String,
        /// For whom a vote is asked; `*` asks for none.
        candidate: String,
    },
    /// `SENTINEL MONITOR <name> <host> <port> <quorum>`
    Monitor {
        /// The new group.
        name: String,
        /// The host of its primary.
        host: String,
        /// The port of its primary.
        port: String,
        /// The quorum.
        quorum: String,
    },
    /// `SENTINEL REMOVE <name>`
    Remove {
        /// The group.
        name: String,
    },
    /// `SENTINEL SET <name> <option> <value> …`
    Set {
        /// The group.
        name: String,
        /// Options and values in turn.
        words: Vec<String>,
        /// Which of the words name files that cannot be run as scripts.
        not_executable: Vec<usize>,
    },
    /// `SENTINEL FAILOVER <name> [COORDINATED]`
    Failover {
        /// The group.
        name: String,
        /// The word behind the name.
        option: Option<String>,
    },
    /// `SENTINEL FORGET <name> <host> <port>`: one replica or sentinel. Not in the reference.
    Forget {
        /// The group.
        name: String,
        /// The host of the replica or sentinel.
        host: String,
        /// Its port.
        port: String,
    },
    /// `SENTINEL CONFIG GET <pattern> …`
    ConfigGet {
        /// Globs over the names of settings.
        patterns: Vec<String>,
    },
    /// `SENTINEL CONFIG SET <name> <value> …`
    ConfigSet {
        /// Names and values in turn.
        words: Vec<String>,
    },
    /// `SENTINEL DEBUG [<name> <value> …]`; without words all are listed.
    Debug {
        /// Names and values in turn.
        words: Vec<String>,
    },
    /// `SENTINEL INFO-CACHE <name> …`
    InfoCache {
        /// The groups.
        names: Vec<String>,
    },
    /// `SENTINEL SIMULATE-FAILURE <flag> …`
    SimulateFailure {
        /// The flags.
        words: Vec<String>,
    },
    /// `SENTINEL RESET <pattern>`
    Reset {
        /// A glob over group names.
        pattern: String,
    },
    /// `SENTINEL CKQUORUM <name>`
    CheckQuorum {
        /// The group.
        name: String,
    },
    /// `SENTINEL FLUSHCONFIG`
    FlushConfig,
    /// `SENTINEL MYID`
    MyId,
    /// The `# Sentinel` section of `INFO`.
    InfoSection {
        /// How many scripts run.
        running_scripts: usize,
        /// How many scripts run or wait.
        queued_scripts: usize,
    },
    /// The group names, for `ROLE`.
    GroupNames,
    /// `PUBLISH __sentinel__:hello <message>`
    Hello {
        /// The message.
        message: String,
    },
    /// Everything at once, for HTTP and metrics.
    Overview,
    /// `SENTINEL RAFT FRAME <member> <frame>`: from another member of the log.
    Frame {
        /// The id of the member that says so.
        from: u64,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// `SENTINEL RAFT VIEW <sentinel> <group> <host> <port> <up|down>`: from another member of the log.
    View {
        /// The id of the sentinel that sees it so.
        from: String,
        /// The group.
        group: String,
        /// The host of the primary that it speaks of.
        host: String,
        /// Its port.
        port: String,
        /// `up` or `down`.
        down: String,
    },
    /// `SENTINEL RAFT ADD`, `REMOVE` and the like: an order about the log itself.
    Log(LogOrder),
    /// `SENTINEL RAFT STATUS`
    LogStatus,
    /// `SENTINEL RAFT ACCEPT-FOREIGN <name> <id>`
    AcceptForeign {
        /// The group.
        name: String,
        /// The id of the foreign sentinel.
        id: String,
    },
    /// Passwords that were read anew from where they are kept.
    RenewPasswords(RenewedPasswords),
}

/// New passwords. They count from the next connections on; those that stand and answer well are not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewedPasswords {
    /// Our own, which is told to peers where no other one is set for that; `None` if it is as before.
    pub own: Option<Secret>,
    /// That of other sentinels; `None` if it is as before.
    pub peers: Option<Secret>,
    /// Those of groups' servers, where they are not as before.
    pub groups: BTreeMap<GroupName, Secret>,
}

/// One instance as `SENTINEL MASTER` and its like show it: fields and values in the order of the reference.
pub type Listing = Vec<(&'static str, String)>;

/// The age in milliseconds and the text of the last INFO of one server; 0 and `None` if none has come.
pub type CachedInfo = (u64, Option<Arc<str>>);

/// An answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Done.
    Ok,
    /// A status line.
    Status(String),
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// One instance.
    Instance(Listing),
    /// Several instances.
    Instances(Vec<Listing>),
    /// An address, or none for an unknown group.
    Addr(Option<(String, u16)>),
    /// What this sentinel thinks of a primary.
    Verdict {
        /// It sees it down.
        down: bool,
        /// Whom it voted for; `*` for nobody.
        leader: String,
        /// In which epoch.
        leader_epoch: u64,
    },
    /// The `# Sentinel` section of `INFO` without its title, and the log if one is shared.
    Info {
        /// The section.
        section: String,
        /// The log.
        log: Option<Box<LogStatus>>,
    },
    /// Names and values.
    Settings(Vec<(String, String)>),
    /// The last INFO of each server of each group: the group's name, then age in milliseconds and text.
    InfoCache(Vec<(String, Vec<CachedInfo>)>),
    /// Everything.
    Overview(Box<Overview>),
    /// The log.
    Log(Box<LogStatus>),
    /// A refusal.
    Refused(Refusal),
}

impl Eq for Answer {}

/// Why a request was refused. `Display` gives the text that goes over the wire, with its error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No group of this name.
    NoSuchGroup,
    /// A failover is under way.
    InProgress,
    /// Coordinators share no log here.
    NoLog,
    /// A frame of the log that is not to be trusted, for this reason.
    BadFrame(String),
    /// An order about the log that cannot be carried out, for this reason.
    LogOrder(String),
    /// A view that is neither `up` nor `down`.
    BadView,
    /// It is a member of the log, and not only somebody who was found.
    IsMember,
    /// No replica may be promoted.
    NoGoodReplica,
    /// No quorum, or no majority; the text says which.
    NoQuorum(String),
    /// A word is no integer.
    NotAnInteger,
    /// An epoch that is negative or far beyond ours.
    BadEpoch,
    /// The candidate of a vote cannot be one.
    BadCandidate(String),
    /// The quorum is no integer.
    BadQuorum,
    /// The port is no integer.
    BadPort,
    /// The quorum is below 1.
    QuorumTooSmall,
    /// The host does not resolve.
    BadHost,
    /// The port is outside 0..65535.
    PortOutOfRange,
    /// There is a group of this name.
    DuplicateGroup,
    /// The name cannot be one, for this reason.
    BadGroupName(String),
    /// Control characters in an argument, at this place (the command word is 0).
    ControlCharacters {
        /// The place.
        index: usize,
        /// The subcommand, in capitals.
        command: &'static str,
    },
    /// A bad value for an option of `SET`.
    BadSetValue {
        /// The value.
        value: String,
        /// The option, as the client wrote it.
        option: String,
    },
    /// An option that `SET` does not know, or without a value.
    UnknownSetOption(String),
    /// A script may not be changed.
    ScriptsDenied,
    /// A notification script that cannot be run.
    BadNotificationScript,
    /// A client reconfiguration script that cannot be run.
    BadClientReconfigScript,
    /// A word behind `FAILOVER <name>` that is none of its options.
    UnknownFailoverOption,
    /// The primary's servers cannot hand over.
    NoHandOver,
    /// Neither a replica nor a sentinel is known at the address.
    NoSuchMember,
    /// A primary cannot be forgotten.
    IsPrimary,
    /// A name that `CONFIG SET` does not know.
    UnknownSetting(String),
    /// A name that stands twice in one `CONFIG SET`.
    DuplicateSetting(String),
    /// A name without a value in `CONFIG SET`.
    MissingSetting(String),
    /// A bad value for `CONFIG SET`.
    BadSetting {
        /// The value.
        value: String,
        /// The name, as the client wrote it.
        name: String,
    },
    /// A name that `DEBUG` does not know, or without a value.
    UnknownDebugOption(String),
    /// A bad value for `DEBUG`.
    BadDebugValue {
        /// The value.
        value: String,
        /// The name, as the client wrote it.
        name: String,
    },
    /// A flag that `SIMULATE-FAILURE` does not know.
    UnknownSimulation,
    /// The change was made but could not be saved.
    SaveFailed,
    /// Too much is waiting for the disk.
    Overloaded,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup => f.write_str("ERR No such master with that name"),
            Self::InProgress => f.write_str("INPROG Failover already in progress"),
            Self::NoGoodReplica => f.write_str("NOGOODSLAVE No suitable replica to promote"),
            Self::NoQuorum(text) => write!(f, "NOQUORUM {text}"),
            Self::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::BadEpoch => f.write_str("ERR the epoch is negative or too far ahead of the known one"),
            Self::BadCandidate(why) => write!(f, "ERR the id of the candidate is unusable: {why}"),
            Self::BadQuorum => f.write_str("ERR Invalid quorum"),
            Self::BadPort => f.write_str("ERR Invalid port"),
            Self::QuorumTooSmall => f.write_str("ERR Quorum must be 1 or greater."),
            Self::BadHost => f.write_str("ERR Invalid IP address or hostname specified"),
            Self::PortOutOfRange => f.write_str("ERR Invalid port number."),
            Self::DuplicateGroup => f.write_str("ERR Duplicate master name."),
            Self::BadGroupName(why) => write!(f, "ERR Invalid master name: {why}"),
            Self::ControlCharacters { index, command } => write!(
                f,
                "ERR Invalid argument at index {index} for SENTINEL {command}: control characters are not allowed"
            ),
            Self::BadSetValue { value, option } => {
                write!(f, "ERR Invalid argument '{value}' for SENTINEL SET '{option}'")
            }
            Self::UnknownSetOption(option) => {
                write!(
                    f,
                    "ERR Unknown option or number of arguments for SENTINEL SET '{option}'"
                )
            }
            Self::ScriptsDenied => f.write_str(
                "ERR Reconfiguration of scripts path is denied for security reasons. Check the \
                 deny-scripts-reconfig configuration directive in your Sentinel configuration",
            ),
            Self::BadNotificationScript => {
                f.write_str("ERR Notification script seems non existing or non executable")
            }
            Self::BadClientReconfigScript => {
                f.write_str("ERR Client reconfiguration script seems non existing or non executable")
            }
            Self::NoLog => f.write_str("NORAFT This sentinel does not use `bellwether coordination raft`"),
            Self::BadFrame(problem) => write!(f, "BADFRAME {problem}"),
            Self::LogOrder(problem) => write!(f, "ERR {problem}"),
            Self::BadView => f.write_str("ERR A primary is seen either up or down"),
            Self::IsMember => f.write_str("ERR This is a member: it is removed by SENTINEL RAFT REMOVE"),
            Self::UnknownFailoverOption => f.write_str("ERR Unknown failover option specified"),
            Self::NoHandOver => f.write_str("NOGOODPRIMARY Primary does not support FAILOVER command"),
            Self::NoSuchMember => f.write_str("ERR No replica or sentinel of that master has this address"),
            Self::IsPrimary => f.write_str("ERR This is the address of the master itself"),
            Self::UnknownSetting(name) => write!(f, "ERR Invalid argument '{name}' to SENTINEL CONFIG SET"),
            Self::DuplicateSetting(name) => {
                write!(f, "ERR Duplicate argument '{name}' to SENTINEL CONFIG SET")
            }
            Self::MissingSetting(name) => write!(f, "ERR Missing argument '{name}' value"),
            Self::BadSetting { value, name } => {
                write!(f, "ERR Invalid value '{value}' to SENTINEL CONFIG SET '{name}'")
            }
            Self::UnknownDebugOption(name) => {
                write!(
                    f,
                    "ERR Unknown option or number of arguments for SENTINEL DEBUG '{name}'"
                )
            }
            Self::BadDebugValue { value, name } => {
                write!(f, "ERR Invalid argument '{value}' for SENTINEL DEBUG '{name}'")
            }
            Self::UnknownSimulation => f.write_str("ERR Unknown failure simulation specified"),
            Self::SaveFailed => f.write_str("ERR Failed to save config file. Check server logs."),
            Self::Overloaded => f.write_str("ERR too many requests wait for the disk"),
        }
    }
}
