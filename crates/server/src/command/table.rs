//! The one table of commands. Lookup, arity errors, `COMMAND`, `HELP` and `CLIENT LIST` all read it.
//!
//! Names, arities, flags and categories are those of Redis 7.2; rows that it does not have are marked.

use super::spec::{Categories, Command, Doc, Flags};
use super::{
    acl, catalog, client, connection, global, info, pause, pubsub, raft, script, sentinel, tracking,
};

/// Every command, by name.
pub(crate) static COMMANDS: &[Command] = &[
    Command::new("acl", -2, Flags::NONE, server("", "Access control.", "6.0.0")).with(ACL),
    Command::new(
        "auth",
        -2,
        OPEN,
        doc(
            "[<user>] <password>",
            "Authenticates the connection.",
            "1.0.0",
            "connection",
        ),
    )
    .also(Categories::CONNECTION)
    .run(connection::auth),
    Command::new(
        "client",
        -2,
        Flags::NONE,
        doc("", "The connections of clients.", "2.4.0", "connection"),
    )
    .with(CLIENT),
    Command::new(
        "command",
        -1,
        READY,
        server("", "Describes all commands.", "2.8.13"),
    )
    .also(Categories::CONNECTION)
    .tips(UNORDERED)
    .with(COMMAND)
    .run(catalog::all),
    Command::new(
        "hello",
        -1,
        OPEN,
        doc(
            HELLO_USAGE,
            "Chooses the protocol and introduces both sides.",
            "6.0.0",
            "connection",
        ),
    )
    .also(Categories::CONNECTION)
    .run(connection::hello),
    Command::new(
        "info",
        -1,
        READY,
        server(
            "[<section> ...]",
            "Shows the state of this process and of its groups.",
            "1.0.0",
        ),
    )
    .also(Categories::DANGEROUS)
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ])
    .run(info::info),
    Command::new(
        "ping",
        -1,
        Flags::FAST,
        doc(
            "[<message>]",
            "Answers, to show that the process does.",
            "1.0.0",
            "connection",
        ),
    )
    .also(Categories::CONNECTION)
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .run(connection::ping),
    Command::new(
        "psubscribe",
        -2,
        SUBSCRIBING,
        pub_sub(
            "<pattern> [<pattern> ...]",
            "Listens to the events that match.",
            "2.0.0",
        ),
    )
    .run(pubsub::psubscribe),
    Command::new(
        "publish",
        3,
        PUBLISHING,
        pub_sub(
            "<channel> <message>",
            "Takes the hello of another sentinel.",
            "2.0.0",
        ),
    )
    .run(pubsub::publish),
    Command::new(
        "punsubscribe",
        -1,
        SUBSCRIBING,
        pub_sub("[<pattern> ...]", "Stops listening to patterns.", "2.0.0"),
    )
    .run(pubsub::punsubscribe),
    // Not in Sentinel since 7.0, so that it does not count among the commands.
    Command::new(
        "quit",
        -1,
        OPEN,
        doc("", "Closes the connection.", "1.0.0", "connection"),
    )
    .also(Categories::CONNECTION)
    .hidden()
    .run(connection::quit),
    // As QUIT.
    Command::new(
        "reset",
        1,
        OPEN,
        doc(
            "",
            "Makes the connection as it was at the start.",
            "6.2.0",
            "connection",
        ),
    )
    .also(Categories::CONNECTION)
    .hidden()
    .run(connection::reset),
    Command::new(
        "role",
        1,
        BASIC.and(Flags::FAST),
        server("", "Names the role, and the monitored groups.", "2.8.12"),
    )
    .also(Categories::ADMIN.and(Categories::DANGEROUS))
    .run(sentinel::role),
    Command::new(
        "sentinel",
        -2,
        Flags::ADMIN,
        group("", "Questions and orders about groups.", "2.8.4"),
    )
    .with(SENTINEL),
    Command::new(
        "shutdown",
        -1,
        STOPPING,
        server(
            "[NOSAVE|SAVE] [NOW] [FORCE] | ABORT",
            "Stops this process.",
            "1.0.0",
        ),
    )
    .run(connection::shutdown),
    Command::new(
        "subscribe",
        -2,
        SUBSCRIBING,
        pub_sub("<channel> [<channel> ...]", "Listens to events.", "2.0.0"),
    )
    .run(pubsub::subscribe),
    Command::new(
        "unsubscribe",
        -1,
        SUBSCRIBING,
        pub_sub("[<channel> ...]", "Stops listening to channels.", "2.0.0"),
    )
    .run(pubsub::unsubscribe),
];

/// The command that has this name in the table, in any case. What a client calls by it is told by
/// [`Names`](super::Names).
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

static ACL: &[Command] = &[
    Command::new(
        "acl|cat",
        -2,
        BASIC,
        server(
            "[<category>]",
            "Lists the categories, or the commands of one.",
            "6.0.0",
        ),
    )
    .run(acl::cat),
    Command::new(
        "acl|deluser",
        -3,
        ADMIN,
        server(
            "<username> [<username> ...]",
            "Removes users and closes their connections.",
            "6.0.0",
        ),
    )
    .run(acl::deluser),
    Command::new(
        "acl|dryrun",
        -4,
        ADMIN,
        server(
            "<username> <command> [<arg> ...]",
            "Tells whether a user may run a command.",
            "7.0.0",
        ),
    )
    .run(acl::dryrun),
    Command::new(
        "acl|genpass",
        -2,
        BASIC,
        server("[<bits>]", "Makes a password up.", "6.0.0"),
    )
    .run(acl::genpass),
    Command::new(
        "acl|getuser",
        3,
        ADMIN,
        server("<username>", "Describes a user.", "6.0.0"),
    )
    .run(acl::getuser),
    Command::new(
        "acl|list",
        2,
        ADMIN,
        server("", "Lists the users with their rules.", "6.0.0"),
    )
    .run(acl::list),
    Command::new(
        "acl|load",
        2,
        ADMIN,
        server("", "Takes the users from the ACL file, all or none.", "6.0.0"),
    )
    .run(acl::load),
    Command::new(
        "acl|log",
        -2,
        ADMIN,
        server("[<count> | RESET]", "Shows what was refused lately.", "6.0.0"),
    )
    .run(acl::log),
    Command::new(
        "acl|save",
        2,
        ADMIN,
        server("", "Saves the users to the ACL file.", "6.0.0"),
    )
    .run(acl::save),
    Command::new(
        "acl|setuser",
        -3,
        ADMIN,
        server("<username> [<rule> ...]", "Makes or changes a user.", "6.0.0"),
    )
    .run(acl::setuser),
    Command::new(
        "acl|users",
        2,
        ADMIN,
        server("", "Lists the names of the users.", "6.0.0"),
    )
    .run(acl::users),
    Command::new(
        "acl|whoami",
        2,
        BASIC,
        server("", "Names the user of the connection.", "6.0.0"),
    )
    .run(acl::whoami),
    Command::new("acl|help", 2, READY, server("", HELP, "6.0.0")).run(acl::help),
];

static CLIENT: &[Command] = &[
    of_client(
        "client|caching",
        3,
        BASIC,
        "YES|NO",
        "Tracks the keys of the next command, or does not; there are none.",
        "6.0.0",
    )
    .run(tracking::caching),
    of_client(
        "client|getname",
        2,
        BASIC,
        "",
        "Returns the name of the connection.",
        "2.6.9",
    )
    .run(client::getname),
    of_client(
        "client|getredir",
        2,
        BASIC,
        "",
        "Returns the client that is told of changed keys instead.",
        "6.0.0",
    )
    .run(tracking::get_redirect),
    of_client(
        "client|id",
        2,
        BASIC,
        "",
        "Returns the number of the connection.",
        "5.0.0",
    )
    .run(client::id),
    of_client("client|info", 2, BASIC, "", "Describes the connection.", "6.2.0")
        .tips(&["nondeterministic_output"])
        .run(client::info),
    of_client(
        "client|kill",
        -3,
        ADMIN,
        KILL_USAGE,
        "Closes the connections that fit.",
        "2.4.0",
    )
    .run(client::kill),
    of_client(
        "client|list",
        -2,
        ADMIN,
        "[TYPE <type>] [ID <id> ...]",
        "Describes the connections.",
        "2.4.0",
    )
    .tips(&["nondeterministic_output"])
    .run(client::list),
    of_client(
        "client|no-evict",
        3,
        ADMIN,
        "ON|OFF",
        "Asks not to be evicted, which nobody is.",
        "7.0.0",
    )
    .run(tracking::no_evict),
    of_client(
        "client|pause",
        -3,
        ADMIN,
        "<milliseconds> [WRITE|ALL]",
        "Holds up the commands of all clients.",
        "3.0.0",
    )
    .run(pause::pause),
    of_client(
        "client|reply",
        3,
        BASIC,
        "ON|OFF|SKIP",
        "Says which commands are answered.",
        "3.2.0",
    )
    .run(client::reply),
    of_client(
        "client|setinfo",
        4,
        BASIC,
        "LIB-NAME|LIB-VER <value>",
        "Names the client library.",
        "7.2.0",
    )
    .run(client::setinfo),
    of_client(
        "client|setname",
        3,
        BASIC,
        "<name>",
        "Names the connection.",
        "2.6.9",
    )
    .run(client::setname),
    of_client(
        "client|tracking",
        -3,
        BASIC,
        TRACKING_USAGE,
        "Asks to be told of changed keys; there are none.",
        "6.0.0",
    )
    .run(tracking::tracking),
    of_client(
        "client|trackinginfo",
        2,
        BASIC,
        "",
        "Shows what CLIENT TRACKING set.",
        "6.2.0",
    )
    .run(tracking::tracking_info),
    of_client(
        "client|unblock",
        -3,
        ADMIN,
        "<client-id> [TIMEOUT|ERROR]",
        "Ends the waiting of a client; none ever waits.",
        "5.0.0",
    )
    .run(tracking::unblock),
    of_client(
        "client|unpause",
        2,
        ADMIN,
        "",
        "Ends the pause of all clients.",
        "6.2.0",
    )
    .run(pause::unpause),
    of_client("client|help", 2, READY, "", HELP, "5.0.0").run(client::help),
];

static COMMAND: &[Command] = &[
    of_command("command|count", 2, "", "Counts the commands.", "2.8.13").run(catalog::count),
    of_command("command|docs", -2, "[<name> ...]", "Explains commands.", "7.0.0")
        .tips(UNORDERED)
        .run(catalog::docs),
    of_command(
        "command|getkeys",
        -3,
        "<command> ...",
        "Finds the keys in a command; there never are any.",
        "2.8.13",
    )
    .run(catalog::getkeys),
    of_command(
        "command|getkeysandflags",
        -3,
        "<command> ...",
        "Finds keys and their use; there never are any.",
        "7.0.0",
    )
    .run(catalog::getkeys),
    of_command(
        "command|info",
        -2,
        "[<name> ...]",
        "Describes commands.",
        "2.8.13",
    )
    .tips(UNORDERED)
    .run(catalog::info),
    of_command(
        "command|list",
        -2,
        "[FILTERBY MODULE|ACLCAT|PATTERN <word>]",
        "Names the commands.",
        "7.0.0",
    )
    .tips(UNORDERED)
    .run(catalog::list),
    of_command("command|help", 2, "", HELP, "5.0.0").run(catalog::help),
];

static SENTINEL: &[Command] = &[
    of_sentinel(
        "sentinel|ckquorum",
        3,
        "<master-name>",
        "Tells whether quorum and majority can be reached.",
    )
    .run(sentinel::check_quorum),
    of_sentinel(
        "sentinel|config",
        -4,
        "GET <pattern> ... | SET <name> <value> ...",
        "Shows or changes settings of this sentinel.",
    )
    .run(global::config),
    of_sentinel(
        "sentinel|debug",
        -2,
        "[<name> <milliseconds> ...]",
        "Shows or changes periods, until the next start.",
    )
    .run(global::debug),
    // As Valkey 9: with the hand-over.
    of_sentinel(
        "sentinel|failover",
        -3,
        "<master-name> [COORDINATED]",
        "Starts a failover, or has the master hand over without loss.",
    )
    .run(sentinel::failover),
    of_sentinel("sentinel|flushconfig", 2, "", "Writes the state to disk.").run(sentinel::flush_config),
    // Not in the reference.
    of_sentinel(
        "sentinel|forget",
        5,
        "<master-name> <ip> <port>",
        "Forgets one replica or sentinel.",
    )
    .run(sentinel::forget),
    of_sentinel(
        "sentinel|get-master-addr-by-name",
        3,
        "<master-name>",
        "Returns the address of the master.",
    )
    .run(sentinel::primary_addr),
    // The spelling of Valkey, as with the other names with `primary` below.
    of_sentinel(
        "sentinel|get-primary-addr-by-name",
        3,
        "<master-name>",
        "As GET-MASTER-ADDR-BY-NAME.",
    )
    .run(sentinel::primary_addr),
    of_sentinel(
        "sentinel|info-cache",
        -3,
        "<master-name> ...",
        "Shows the last INFO of a master and its replicas.",
    )
    .run(global::info_cache),
    of_sentinel(
        "sentinel|is-master-down-by-addr",
        6,
        "<ip> <port> <epoch> <runid>",
        "Tells whether the master is seen down, and votes.",
    )
    .run(sentinel::is_primary_down),
    of_sentinel(
        "sentinel|is-primary-down-by-addr",
        6,
        "<ip> <port> <epoch> <runid>",
        "As IS-MASTER-DOWN-BY-ADDR.",
    )
    .run(sentinel::is_primary_down),
    of_sentinel("sentinel|master", 3, "<master-name>", "Shows one master.").run(sentinel::primary),
    of_sentinel("sentinel|masters", 2, "", "Shows all masters.").run(sentinel::primaries),
    of_sentinel(
        "sentinel|monitor",
        6,
        "<name> <ip> <port> <quorum>",
        "Begins to monitor a master.",
    )
    .run(sentinel::monitor),
    of_sentinel("sentinel|myid", 2, "", "Returns the id of this sentinel.").run(sentinel::my_id),
    of_sentinel(
        "sentinel|pending-scripts",
        2,
        "",
        "Shows the scripts that run or wait.",
    )
    .run(script::pending),
    of_sentinel("sentinel|primaries", 2, "", "As MASTERS.").run(sentinel::primaries),
    of_sentinel("sentinel|primary", 3, "<master-name>", "As MASTER.").run(sentinel::primary),
    // Not in the reference.
    of_sentinel(
        "sentinel|raft",
        -3,
        raft::USAGE,
        "Shows or changes the log that sentinels share, where they do.",
    )
    .run(raft::raft),
    of_sentinel(
        "sentinel|remove",
        3,
        "<master-name>",
        "Stops monitoring a master.",
    )
    .run(sentinel::remove),
    of_sentinel(
        "sentinel|replicas",
        3,
        "<master-name>",
        "Shows the replicas of a master.",
    )
    .run(sentinel::replicas),
    of_sentinel(
        "sentinel|reset",
        3,
        "<pattern>",
        "Forgets what was discovered of the masters that match.",
    )
    .run(sentinel::reset),
    of_sentinel(
        "sentinel|sentinels",
        3,
        "<master-name>",
        "Shows the other sentinels of a master.",
    )
    .run(sentinel::sentinels),
    of_sentinel(
        "sentinel|set",
        -5,
        "<master-name> <option> <value> ...",
        "Changes options of a master.",
    )
    .run(sentinel::set),
    of_sentinel(
        "sentinel|simulate-failure",
        -3,
        "CRASH-AFTER-ELECTION|CRASH-AFTER-PROMOTION|HELP ...",
        "Ends the process in the middle of a failover, for tests.",
    )
    .run(global::simulate_failure),
    of_sentinel("sentinel|slaves", 3, "<master-name>", "As REPLICAS.").run(sentinel::replicas),
    Command::new("sentinel|help", 2, READY, group("", HELP, "6.2.0")).run(sentinel::help),
];

const READY: Flags = Flags::LOADING.and(Flags::STALE);
const BASIC: Flags = READY.and(Flags::NOSCRIPT);
const ADMIN: Flags = BASIC.and(Flags::ADMIN);
/// Usable before authentication.
const OPEN: Flags = BASIC.and(Flags::FAST).and(Flags::NO_AUTH).and(Flags::ALLOW_BUSY);
const SUBSCRIBING: Flags = BASIC.and(Flags::PUBSUB);
const PUBLISHING: Flags = READY.and(Flags::PUBSUB).and(Flags::FAST);
const STOPPING: Flags = ADMIN.and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY);

const UNORDERED: &[&str] = &["nondeterministic_output_order"];

const HELP: &str = "Print this help.";
const HELLO_USAGE: &str = "[<protocol> [AUTH <user> <password>] [SETNAME <name>]]";
const TRACKING_USAGE: &str =
    "ON|OFF [REDIRECT <client-id>] [PREFIX <prefix> ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]";
const KILL_USAGE: &str = "<ip:port> | ID|ADDR|LADDR|TYPE|USER|SKIPME|MAXAGE <value> ...";

const fn doc(usage: &'static str, summary: &'static str, since: &'static str, group: &'static str) -> Doc {
    Doc {
        usage,
        summary,
        since,
        group,
    }
}

const fn server(usage: &'static str, summary: &'static str, since: &'static str) -> Doc {
    doc(usage, summary, since, "server")
}

const fn pub_sub(usage: &'static str, summary: &'static str, since: &'static str) -> Doc {
    doc(usage, summary, since, "pubsub")
}

const fn group(usage: &'static str, summary: &'static str, since: &'static str) -> Doc {
    doc(usage, summary, since, "sentinel")
}

const fn of_client(
    name: &'static str,
    arity: i32,
    flags: Flags,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
) -> Command {
    Command::new(name, arity, flags, doc(usage, summary, since, "connection")).also(Categories::CONNECTION)
}

const fn of_command(
    name: &'static str,
    arity: i32,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
) -> Command {
    Command::new(name, arity, READY, server(usage, summary, since)).also(Categories::CONNECTION)
}

const fn of_sentinel(name: &'static str, arity: i32, usage: &'static str, summary: &'static str) -> Command {
    Command::new(name, arity, Flags::ADMIN, group(usage, summary, "2.8.4"))
}
