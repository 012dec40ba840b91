//! What must be true when a coordinator chooses a replica: judged by what the servers have told it, as it came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Addr, EventKind, GroupName, GroupRecord, LinkId, LinkKind, Pong, Reply, SentinelId};

use super::{Checks, Invariant};
use crate::time::Time;

/// A replica that has answered within this time, and has told its facts within it, is one that may be chosen. Less than
/// the five seconds of the coordinator, whose clock is another.
const FRESH: Duration = Duration::from_secs(3);

/// What one coordinator has before it of the servers. Nothing of it outlives its process.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    links: BTreeMap<LinkId, Link>,
    told: BTreeMap<SocketAddr, Told>,
    /// Those that it has told to be down, and since when.
    sdown: BTreeMap<SocketAddr, Time>,
    /// Those that it has ordered to take over, or given up before the order could leave. Such a one has its turn last.
    ordered: BTreeSet<SocketAddr>,
    chosen: BTreeMap<GroupName, Addr>,
    /// Whom it has last told to have selected. One that is given up at once is in no record.
    selected: BTreeMap<GroupName, SocketAddr>,
}

#[derive(Clone, Debug)]
struct Link {
    whose: Whose,
    to: SocketAddr,
    up: bool,
    /// When a good answer last came on it.
    answered_at: Option<Time>,
    /// Whether INFO has come on it.
    has_told: bool,
}

/// What a connection is for: no two are needed for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Instance(GroupName, SocketAddr),
    Peer(SentinelId),
}

/// What a server has told.
#[derive(Clone, Debug, Default)]
struct Told {
    answered_at: Option<Time>,
    /// Its `INFO`, of which next to nothing is ever looked at: it is read when it counts.
    info: Option<(Time, Arc<str>)>,
}

/// What counts of its `INFO`.
#[derive(Clone, Debug, Default)]
struct Facts {
    primary: bool,
    offset: u64,
    priority: u32,
    link_down_s: u64,
    replid: String,
    replid2: String,
    /// Whom it follows, as a replica.
    follows: Option<SocketAddr>,
}

impl Facts {
    /// Of fields that come twice the first one counts.
    fn of(text: &str) -> Self {
        const FIELDS: [&str; 9] = [
            "role",
            "master_repl_offset",
            "slave_repl_offset",
            "slave_priority",
            "master_link_down_since_seconds",
            "master_replid",
            "master_replid2",
            "master_host",
            "master_port",
        ];
        let mut values = [None; FIELDS.len()];
        for (field, value) in text.lines().filter_map(|line| line.split_once(':')) {
            if let Some(at) = FIELDS.iter().position(|name| *name == field) {
                values[at].get_or_insert(value);
            }
        }
        let [
            role,
            as_primary,
            as_replica,
            priority,
            link_down_s,
            replid,
            replid2,
            host,
            port,
        ] = values;
        let number = |value: Option<&str>| value.and_then(|value| value.parse::<u64>().ok());
        let primary = role == Some("master");
        Self {
            primary,
            offset: number(if primary { as_primary } else { as_replica }).unwrap_or(0),
            priority: number(priority).map_or(0, |n| u32::try_from(n).unwrap_or(0)),
            link_down_s: number(link_down_s).unwrap_or(0),
            replid: replid.unwrap_or_default().to_owned(),
            replid2: replid2.unwrap_or_default().to_owned(),
            follows: host
                .zip(port)
                .and_then(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))),
        }
    }

    fn descends_from(&self, primary: &Self) -> bool {
        !primary.replid.is_empty() && (self.replid == primary.replid || self.replid2 == primary.replid)
    }
}

impl Facts {
    /// Whether both have a history in common, which may have gone two ways since.
    fn shares_history(&self, other: &Self) -> bool {
        let ids = |facts: &Self| [facts.replid.clone(), facts.replid2.clone()];
        let known = |id: &String| id.bytes().any(|byte| byte != b'0');
        ids(self).iter().any(|id| known(id) && ids(other).contains(id))
    }
}

impl Sight {
    fn facts(&self, addr: SocketAddr) -> Option<Facts> {
        let (_, text) = self.told.get(&addr)?.info.as_ref()?;
        Some(Facts::of(text))
    }

    /// Whether nothing speaks against a replica, beyond doubt.
    fn is_fit(&self, now: Time, addr: SocketAddr, facts: &Facts, max_link_down: Duration) -> bool {
        let told = self.told.get(&addr);
        let answered = told.and_then(|told| told.answered_at);
        let told_at = told.and_then(|told| Some(told.info.as_ref()?.0));
        let fresh = |at: Option<Time>| at.is_some_and(|at| now.since(at) < FRESH);
        !facts.primary
            && facts.priority > 0
            && Duration::from_secs(facts.link_down_s) <= max_link_down
            && fresh(answered)
            && fresh(told_at)
            && !self.sdown.contains_key(&addr)
            && !self.ordered.contains(&addr)
            // What came on an earlier connection may be about another server, to which the address belonged before.
            && self.links.values().any(|link| link.up && link.to == addr && link.has_told)
    }
}

impl Checks {
    /// Whether a coordinator has heard of the data of a server since it was started.
    pub(crate) fn knows_server(&self, n: usize, addr: &Addr) -> bool {
        let sight = &self.accounts[n].sight;
        let told = socket_addr(addr).and_then(|addr| sight.told.get(&addr));
        told.is_some_and(|told| told.info.is_some())
    }

    /// A coordinator begins a connection.
    pub(crate) fn connects(&mut self, now: Time, n: usize, link: LinkId, to: SocketAddr, kind: &LinkKind) {
        let whose = match kind {
            LinkKind::Instance { group, .. } => Whose::Instance(group.clone(), to),
            LinkKind::Peer { id, .. } => Whose::Peer(id.clone()),
        };
        let links = &mut self.accounts[n].sight.links;
        let doubled = links.values().any(|link| link.whose == whose);
        let begun = Link {
            whose,
            to,
            up: false,
            answered_at: None,
            has_told: false,
        };
        links.insert(link, begun);
        if doubled {
            let what = format!(
                "s{} connects to {to}, and has not closed the connection before",
                n + 1
            );
            self.broken(now, Invariant::Bounded, what);
        }
    }

    /// A connection stands.
    pub(crate) fn connected(&mut self, n: usize, link: LinkId) {
        if let Some(link) = self.accounts[n].sight.links.get_mut(&link) {
            link.up = true;
        }
    }

    /// A connection is gone, by whomever.
    pub(crate) fn disconnected(&mut self, n: usize, link: LinkId) {
        self.accounts[n].sight.links.remove(&link);
    }

    /// A coordinator gets an answer.
    pub(crate) fn heard(&mut self, now: Time, n: usize, link: LinkId, reply: &Reply) {
        let sight = &mut self.accounts[n].sight;
        let Some(link) = sight.links.get_mut(&link) else {
            return;
        };
        let told = sight.told.entry(link.to).or_default();
        match reply {
            Reply::Ping(Pong::Pong | Pong::Loading | Pong::PrimaryDown) => {
                told.answered_at = Some(now);
                link.answered_at = Some(now);
            }
            Reply::Info(text) => {
                told.info = Some((now, text.as_str().into()));
                link.has_told = true;
            }
            _ => {}
        }
    }

    /// A coordinator tells that it sees a server up or down, or that it starts anew with a group.
    pub(super) fn sees(&mut self, now: Time, n: usize, kind: EventKind, payload: &str) {
        let sight = &mut self.accounts[n].sight;
        if kind == EventKind::Reset {
            sight.told.clear();
            return;
        }
        let Some(addr) = server_in(payload) else { return };
        if kind == EventKind::SubjectivelyDown {
            sight.sdown.entry(addr).or_insert(now);
        } else {
            sight.sdown.remove(&addr);
        }
    }

    /// A coordinator tells that it has selected a replica.
    pub(super) fn selects(&mut self, n: usize, group: &GroupName, payload: &str) {
        if let Some(addr) = server_in(payload) {
            self.accounts[n].sight.selected.insert(group.clone(), addr);
        }
    }

    /// A coordinator tells that it has given its candidate up.
    pub(super) fn gives_candidate_up(&mut self, n: usize, group: &GroupName) {
        let sight = &mut self.accounts[n].sight;
        sight.ordered.extend(sight.selected.remove(group));
    }

    /// Since when a coordinator has told that it sees a server down.
    pub(super) fn holds_down_since(&self, n: usize, addr: SocketAddr) -> Option<Time> {
        self.accounts[n].sight.sdown.get(&addr).copied()
    }

    /// Whether a coordinator has told that it sees a server down, and has not told otherwise since.
    pub(super) fn holds_down(&self, n: usize, addr: &Addr) -> bool {
        socket_addr(addr).is_some_and(|addr| self.holds_down_since(n, addr).is_some())
    }

    /// When a server has last given a good answer on the connection that stands. What came on one before proves nothing
    /// of this one: a server closes all connections when it is told to change its role, even to the one that it has, and
    /// where the way is long a new one and a ping take longer than patience lasts.
    pub(super) fn answered(&self, n: usize, addr: SocketAddr) -> Option<Time> {
        let links = self.accounts[n].sight.links.values();
        let stands = links.filter(|link| link.up && link.to == addr);
        stands.filter_map(|link| link.answered_at).max()
    }

    /// A coordinator orders a server to take over.
    pub(crate) fn takes_over(&mut self, n: usize, addr: SocketAddr) {
        self.accounts[n].sight.ordered.insert(addr);
    }

    /// Looks at the choice that a coordinator may just have made for a group. `steady` if neither its process nor its
    /// clock has stumbled lately.
    pub(super) fn chooses(
        &mut self,
        now: Time,
        n: usize,
        name: &GroupName,
        record: &GroupRecord,
        steady: bool,
    ) {
        let sight = &mut self.accounts[n].sight;
        let candidate = sight.news(name, record).filter(|_| steady);
        let better = candidate.and_then(|candidate| sight.better(now, record, candidate));
        if let Some(what) = better {
            let what = format!("s{}: {name}: {what}", n + 1);
            self.broken(now, Invariant::FitCandidate, what);
        }
    }

    /// The same where the choice had to be committed first: by then the servers may have told something else, so it is
    /// judged by what was known when one of the entries was put forward. One that fits is enough.
    pub(super) fn chose(
        &mut self,
        now: Time,
        n: usize,
        (name, record): (&GroupName, &GroupRecord),
        sights: &BTreeMap<u64, Sight>,
        steady: bool,
    ) {
        let candidate = self.accounts[n].sight.news(name, record).filter(|_| steady);
        let Some(candidate) = candidate else { return };
        let better: Option<Vec<String>> = sights
            .values()
            .map(|sight| sight.better(now, record, candidate))
            .collect();
        if let Some(what) = better.and_then(|all| all.into_iter().next()) {
            let what = format!("s{}: {name}: {what}", n + 1);
            self.broken(now, Invariant::FitCandidate, what);
        }
    }
}

impl Sight {
    /// Whom a failover has chosen, if that is news.
    fn news<'a>(&mut self, name: &GroupName, record: &'a GroupRecord) -> Option<&'a Addr> {
        let candidate = record.failover.as_ref().and_then(|run| run.candidate.as_ref());
        let Some(candidate) = candidate else {
            self.chosen.remove(name);
            return None;
        };
        let before = self.chosen.insert(name.clone(), candidate.clone());
        (before.as_ref() != Some(candidate)).then_some(candidate)
    }

    /// Why another replica than the candidate should have been chosen.
    fn better(&self, now: Time, record: &GroupRecord, candidate: &Addr) -> Option<String> {
        let facts = self.facts(socket_addr(candidate)?)?;
        if facts.primary || self.ordered.contains(&socket_addr(candidate)?) {
            return None;
        }
        let primary = self.facts(socket_addr(&record.primary)?);
        let primary = primary.as_ref();
        let descends = |facts: &Facts| primary.is_some_and(|primary| facts.descends_from(primary));
        let max_link_down = record.options.down_after.saturating_mul(10);
        let is_of_group = |addr: SocketAddr| {
            let addr = Addr::from(addr);
            addr == record.primary || record.replicas.contains(&addr)
        };
        for other in record.replicas.iter().filter(|other| *other != candidate) {
            let addr = socket_addr(other)?;
            let Some(others) = self.facts(addr) else {
                continue;
            };
            if others.priority != facts.priority || !self.is_fit(now, addr, &others, max_link_down) {
                continue;
            }
            match (descends(&facts), descends(&others)) {
                (false, true) => {
                    let what = "has the data of the primary";
                    return Some(format!("chooses {candidate}, and only {other} {what}"));
                }
                (true, false) => {}
                // Whoever has the address now may never have had anything of ours.
                _ if primary.is_some_and(|primary| !others.shares_history(primary)) => {}
                // It may be of the group of the one that it follows.
                _ if others.follows.is_some_and(|upstream| !is_of_group(upstream)) => {}
                _ if others.offset > facts.offset => {
                    return Some(format!(
                        "chooses {candidate}, and {other} has told offset {}, it {}",
                        others.offset, facts.offset
                    ));
                }
                _ => {}
            }
        }
        None
    }
}

/// Names do not resolve in the simulated world: all hosts are addresses.
pub(super) fn socket_addr(addr: &Addr) -> Option<SocketAddr> {
    let ip = addr.host.to_string().parse().ok()?;
    Some(SocketAddr::new(ip, addr.port))
}

/// The server that `master NAME HOST PORT` or `slave NAME HOST PORT @ …` names.
pub(crate) fn server_in(payload: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = payload.split(' ').collect();
    let [kind, _, host, port, ..] = words[..] else {
        return None;
    };
    let is_server = matches!(kind, "master" | "slave");
    let addr = SocketAddr::new(host.parse().ok()?, port.parse().ok()?);
    is_server.then_some(addr)
}
