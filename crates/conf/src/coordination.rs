//! How coordinators agree: by votes, as Redis Sentinel, or by a replicated log, and who the members of that are.
//!
//! Each directive is judged by itself where it stands, and all together when everything is read, because each may stand in
//! any text.

use std::collections::BTreeMap;

use bellwether_core::Host;

use crate::diagnostic::{Fault, Problems};
use crate::generic::single;
use crate::options::DaemonOptions;
use crate::source::Statement;
use crate::value::{self, Names};

/// How many members a configuration may name. The log takes no more.
pub const MAX_RAFT_MEMBERS: usize = 9;

/// The highest id of a member that the log takes.
pub const MAX_RAFT_MEMBER_ID: u64 = 1 << 60;

/// The longest name of a cluster.
const MAX_CLUSTER_LEN: usize = 64;

/// How coordinators agree on what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Coordination {
    /// By votes for each failover, with any coordinator that watches the same group, Redis Sentinel among them.
    #[default]
    Vote,
    /// By a replicated log, with an explicit set of members.
    Raft(RaftSettings),
}

/// What a member of the replicated log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// `bellwether cluster`: the name that all members share.
    pub cluster: String,
    /// `bellwether member-id`: which member this is; at least 1, at most [`MAX_RAFT_MEMBER_ID`].
    pub member_id: u64,
    /// `bellwether member`: the members that begin together, each with host (an IP address, or a host name) and port; at
    /// least one, at most [`MAX_RAFT_MEMBERS`]. One that is not among them joins a cluster that there is already.
    pub members: BTreeMap<u64, (String, u16)>,
    /// `bellwether stale-reads`: whether a member that is cut off from the others answers with what it knows.
    pub stale_reads: bool,
}

/// What one statement says.
enum Said {
    Raft(bool),
    Cluster(String),
    MemberId(u64),
    Member { id: u64, host: Host, port: u16 },
    StaleReads(bool),
}

type Read = fn(&Statement) -> Result<Said, Fault>;

/// The directives, all behind the word `bellwether`.
const DIRECTIVES: &[(&str, Read)] = &[
    ("coordination", |s| {
        single(s, 2)?;
        value::choice(s, 2, &[("vote", false), ("raft", true)]).map(Said::Raft)
    }),
    ("cluster", |s| cluster(s).map(Said::Cluster)),
    ("member-id", |s| {
        single(s, 2)?;
        member_id(s).map(Said::MemberId)
    }),
    ("member", member),
    ("stale-reads", |s| {
        single(s, 2)?;
        value::yes_no(s, 2, "argument must be 'yes' or 'no'").map(Said::StaleReads)
    }),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    DIRECTIVES.iter().map(|(name, _)| *name)
}

fn find(statement: &Statement) -> Option<Read> {
    let name = statement.text(1);
    let is_own = statement.text(0).eq_ignore_ascii_case("bellwether");
    let mut known = DIRECTIVES.iter().filter(|_| is_own);
    known
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map(|(_, read)| *read)
}

/// Whether it is one of these directives.
pub(crate) fn is_directive(statement: &Statement) -> bool {
    find(statement).is_some()
}

/// Whether it is right by itself.
pub(crate) fn check(statement: &Statement) -> Result<(), Fault> {
    find(statement).map_or(Ok(()), |read| read(statement).map(drop))
}

/// Carries out all statements together. Of what can be said once, the last one counts.
pub(crate) fn run(daemon: &mut DaemonOptions, statements: &[Statement], problems: &mut Problems) {
    let (mut raft, mut cluster, mut own, mut stale_reads) = (None, None, None, true);
    let mut members: BTreeMap<u64, (Host, u16)> = BTreeMap::new();
    for statement in statements {
        let fault = match find(statement).map(|read| read(statement)) {
            Some(Ok(said)) => match said {
                Said::Raft(yes) => {
                    raft = yes.then_some(statement);
                    None
                }
                Said::Cluster(name) => {
                    cluster = Some(name);
                    None
                }
                Said::MemberId(id) => {
                    own = Some(id);
                    None
                }
                Said::StaleReads(yes) => {
                    stale_reads = yes;
                    None
                }
                Said::Member { id, host, port } => add(&mut members, id, host, port).err(),
            },
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        if let Some(fault) = fault {
            problems.error(statement, fault);
        }
    }
    let Some(at) = raft else {
        return warn_of_idle(statements, problems);
    };
    // What is there but wrong is told already.
    let is_named = |name: &str| {
        statements
            .iter()
            .any(|said| said.text(1).eq_ignore_ascii_case(name))
    };
    let missing = [
        (
            !is_named("member-id"),
            "'member-id' must be given",
            "each member has an id of its own, from 1 on",
        ),
        (
            !is_named("member"),
            "the members must be given",
            "name all that begin together, this one among them; to join, name those that are there",
        ),
        (
            daemon.state_dir.is_none(),
            "'state-dir' must be given, because the log is kept there",
            "it must survive a restart: a member that has lost its log must not come back under its id",
        ),
    ];
    for (_, what, hint) in missing.iter().filter(|(is_missing, _, _)| *is_missing) {
        problems.error(at, Fault::new(2, format!("with 'raft', {what}")).hint(*hint));
    }
    if let Some(member_id) = own {
        let members = members.into_iter();
        daemon.coordination = Coordination::Raft(RaftSettings {
            cluster: cluster.unwrap_or_else(|| "bellwether".to_owned()),
            member_id,
            members: members
                .map(|(id, (host, port))| (id, (host.to_string(), port)))
                .collect(),
            stale_reads,
        });
    }
}

/// Refuses members that are named by host names, where these are not resolved: nobody would reach them.
pub(crate) fn judge_names(
    daemon: &DaemonOptions,
    statements: &[Statement],
    names: Names,
    problems: &mut Problems,
) {
    let Names::Refused(line) = names else { return };
    if daemon.coordination == Coordination::Vote {
        return;
    }
    for statement in statements {
        if let Some(Ok(Said::Member {
            host: Host::Name(name),
            ..
        })) = find(statement).map(|read| read(statement))
        {
            let fault = Fault::new(
                3,
                format!("'{}' is a host name, which is not resolved", name.as_str()),
            );
            problems.error(
                statement,
                fault.hint(format!("add the line '{line}', or write its IP address")),
            );
        }
    }
}

/// What only the log would use.
fn warn_of_idle(statements: &[Statement], problems: &mut Problems) {
    for statement in statements {
        let name = statement.text(1).to_ascii_lowercase();
        if name != "coordination" {
            let message = format!("'{name}' has no effect here: it is for coordination by raft");
            problems.warning(statement, Fault::new(1, message));
        }
    }
}

fn add(members: &mut BTreeMap<u64, (Host, u16)>, id: u64, host: Host, port: u16) -> Result<(), Fault> {
    if members.contains_key(&id) {
        let fault = Fault::new(2, format!("member {id} is given twice"));
        return Err(fault.hint("each member has an id of its own"));
    }
    let address = (host, port);
    if let Some((other, _)) = members.iter().find(|(_, known)| **known == address) {
        return Err(Fault::new(3, format!("member {other} has the same address")));
    }
    if members.len() == MAX_RAFT_MEMBERS {
        let fault = Fault::new(1, format!("more than {MAX_RAFT_MEMBERS} members are given"));
        return Err(fault.hint("five survive two failures; more only make it slower"));
    }
    members.insert(id, address);
    Ok(())
}

fn cluster(statement: &Statement) -> Result<String, Fault> {
    let name = single(statement, 2)?.unwrap_or_default();
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=MAX_CLUSTER_LEN).contains(&name.len()) && name.bytes().all(is_of_name) {
        return Ok(name.to_owned());
    }
    let message =
        format!("the name of a cluster is made of 1 to {MAX_CLUSTER_LEN} letters, digits, and '-', '_', '.'");
    Err(Fault::new(2, message))
}

/// The id in the first word behind the directive.
fn member_id(statement: &Statement) -> Result<u64, Fault> {
    let text = statement.text(2);
    match text.parse() {
        Ok(id @ 1..=MAX_RAFT_MEMBER_ID) => Ok(id),
        _ => {
            let message = format!("'{text}' is not the id of a member");
            Err(Fault::new(2, message).hint(format!("write a number from 1 to {MAX_RAFT_MEMBER_ID}")))
        }
    }
}

fn member(statement: &Statement) -> Result<Said, Fault> {
    if statement.args(2).len() != 3 {
        let usage = "usage: bellwether member <id> <host> <port>";
        return Err(Fault::new(0, "wrong number of arguments").hint(usage));
    }
    let id = member_id(statement)?;
    let text = statement.text(3);
    let refuse = |message| Fault::new(3, message);
    let host = Host::parse(text).ok_or_else(|| refuse(format!("'{text}' is not a host")))?;
    if matches!(&host, Host::Ip(ip) if ip.is_unspecified()) {
        let fault = refuse(format!("by '{text}' the other members cannot reach it"));
        return Err(fault.hint("write the address by which they do"));
    }
    match value::port(statement, 4)? {
        0 => Err(Fault::new(4, "a member cannot be reached at port 0")),
        port => Ok(Said::Member { id, host, port }),
    }
}

#[cfg(test)]
mod tests;
