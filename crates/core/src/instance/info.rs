//! What `INFO` says. Field names keep the old words in every server version.

use std::sync::Arc;

use crate::registry::MAX_REPLICAS;

/// The role that a server reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Replica,
}

impl Role {
    /// The word on the wire.
    pub(crate) const fn wire(self) -> &'static str {
        match self {
            Self::Primary => "master",
            Self::Replica => "slave",
        }
    }
}

/// One `slaveN` line of a primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaLine {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) offset: Option<u64>,
    pub(crate) lag_s: Option<u64>,
}

/// How far a server is in handing its role over: `master_failover_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum HandOver {
    /// Nothing of the kind.
    #[default]
    None,
    /// Writes wait until the replica has everything. The time that the order gives ends it.
    Waiting,
    /// It follows the replica already and waits for it to take over: without an end, if that one has died.
    InProgress,
}

/// The part of an `INFO` text that matters here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Info {
    pub(crate) run_id: Option<Arc<str>>,
    pub(crate) role: Option<Role>,
    pub(crate) replicas: Vec<ReplicaLine>,
    /// Of a replica: whom it follows.
    pub(crate) primary_host: Option<String>,
    pub(crate) primary_port: u16,
    pub(crate) link_up: bool,
    /// Seconds since the link to its primary went down; -1 if it never was up.
    pub(crate) link_down_s: i64,
    pub(crate) priority: Option<u32>,
    /// The offset as a replica.
    pub(crate) replica_offset: Option<u64>,
    /// The offset as a primary.
    pub(crate) primary_offset: Option<u64>,
    pub(crate) announced: Option<bool>,
    /// It has the command `FAILOVER`.
    pub(crate) can_hand_over: bool,
    pub(crate) hand_over: HandOver,
    pub(crate) replid: Option<Arc<str>>,
    pub(crate) replid2: Option<Arc<str>>,
}

impl Info {
    /// Reads a whole text. Lines that make no sense are passed over: a server of another version or make may
    /// well have them.
    pub(crate) fn parse(text: &str) -> Self {
        let mut info = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = cut(rest, b'\n').unwrap_or((rest, ""));
            if let Some((field, value)) = cut(line, b':') {
                info.field(field, value.trim_end());
            }
            rest = after;
        }
        info
    }

    /// The replication offset, whatever the role.
    pub(crate) fn offset(&self) -> u64 {
        let (first, second) = match self.role {
            Some(Role::Primary) => (self.primary_offset, self.replica_offset),
            _ => (self.replica_offset, self.primary_offset),
        };
        first.or(second).unwrap_or(0)
    }

    /// Whether it is known which history its data belong to.
    pub(crate) const fn has_lineage(&self) -> bool {
        self.replid.is_some() || self.replid2.is_some()
    }

    /// Whether the data of both come from the same history, or did before they went apart.
    pub(crate) fn shares_lineage(&self, other: &Self) -> bool {
        let ids = || [&self.replid, &self.replid2].into_iter().flatten();
        let others = [&other.replid, &other.replid2];
        ids().any(|id| others.iter().any(|other| other.as_ref() == Some(id)))
    }

    fn field(&mut self, field: &str, value: &str) {
        let as_replica = self.role == Some(Role::Replica);
        match field {
            "run_id" => self.run_id = Some(value.into()),
            "role" => {
                self.role = match value {
                    "master" => Some(Role::Primary),
                    "slave" => Some(Role::Replica),
                    _ => self.role,
                }
            }
            "master_host" if as_replica => self.primary_host = Some(value.to_owned()),
            "master_port" if as_replica => self.primary_port = value.parse().unwrap_or(0),
            "master_link_status" if as_replica => self.link_up = value == "up",
            "master_link_down_since_seconds" if as_replica => self.link_down_s = value.parse().unwrap_or(0),
            "slave_priority" if as_replica => self.priority = value.parse().ok(),
            "slave_repl_offset" if as_replica => self.replica_offset = value.parse().ok(),
            "replica_announced" if as_replica => self.announced = Some(value != "0"),
            "master_repl_offset" => self.primary_offset = value.parse().ok(),
            "master_failover_state" => {
                self.can_hand_over = true;
                self.hand_over = HandOver::parse(value);
            }
            "master_replid" => self.replid = known_replid(value),
            "master_replid2" => self.replid2 = known_replid(value),
            _ => self.replica_line(field, value),
        }
    }

    fn replica_line(&mut self, field: &str, value: &str) {
        let numbered = field
            .strip_prefix("slave")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if numbered && self.replicas.len() < MAX_REPLICAS {
            self.replicas.extend(ReplicaLine::parse(value));
        }
    }
}

impl HandOver {
    fn parse(value: &str) -> Self {
        match value {
            "no-failover" => Self::None,
            "failover-in-progress" => Self::InProgress,
            _ => Self::Waiting,
        }
    }

    /// Whether writes and messages to subscribers are held back, and another primary is refused.
    pub(crate) const fn is_under_way(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl ReplicaLine {
    /// `ip=…,port=…,state=…,offset=…,lag=…` in any order, or the form before 2.8: `ip,port,state`.
    fn parse(value: &str) -> Option<Self> {
        let mut line = Self {
            host: String::new(),
            port: 0,
            offset: None,
            lag_s: None,
        };
        if !value.contains('=') {
            let mut words = value.split(',');
            line.host = words.next()?.to_owned();
            line.port = words.next()?.parse().ok()?;
        }
        for (key, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ip" => line.host = value.to_owned(),
                "port" => line.port = value.parse().ok()?,
                "offset" => line.offset = value.parse().ok(),
                "lag" => line.lag_s = value.parse().ok(),
                _ => {}
            }
        }
        (!line.host.is_empty() && line.port != 0).then_some(line)
    }
}

/// What is before the first `mark`, an ASCII character, and what is behind it. As `split_once`, in a fraction of its time
/// for the short lines that an `INFO` has a hundred of.
fn cut(text: &str, mark: u8) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| byte == mark)?;
    Some((&text[..end], &text[end + 1..]))
}

/// An id of a replication history; all zeros stand for none.
fn known_replid(value: &str) -> Option<Arc<str>> {
    (!value.is_empty() && value.bytes().any(|b| b != b'0')).then(|| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_names_its_replicas() {
        let info = Info::parse(
            "# Server\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
             slave0:ip=127.0.0.1,port=6380,state=online,offset=120,lag=1\r\n\
             slave1:10.0.0.2,6381,online\r\nslave2:garbage\r\nmaster_repl_offset:130\r\n",
        );
        assert_eq!(info.role, Some(Role::Primary));
        assert_eq!(info.run_id.as_deref(), Some("abc"));
        assert_eq!(info.replicas.len(), 2);
        assert_eq!(info.replicas[0].offset, Some(120));
        assert_eq!(
            (info.replicas[1].host.as_str(), info.replicas[1].port),
            ("10.0.0.2", 6381)
        );
        assert_eq!(info.offset(), 130);
    }

    #[test]
    fn a_replica_tells_whom_it_follows() {
        let info = Info::parse(
            "role:slave\r\nmaster_host:redis-1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
             master_link_down_since_seconds:-1\r\nslave_repl_offset:7\r\nslave_priority:0\r\n\
             master_replid2:0000000000000000000000000000000000000000\r\nreplica_announced:0\r\n",
        );
        assert_eq!(info.primary_host.as_deref(), Some("redis-1"));
        assert_eq!(
            (info.link_up, info.link_down_s, info.priority),
            (false, -1, Some(0))
        );
        assert_eq!(
            (info.offset(), info.replid2, info.announced),
            (7, None, Some(false))
        );
    }

    #[test]
    fn a_server_tells_how_far_its_hand_over_is() {
        let state = |text| Info::parse(text).hand_over;
        assert_eq!(state("role:master\r\n"), HandOver::None);
        assert_eq!(state("master_failover_state:no-failover\r\n"), HandOver::None);
        assert_eq!(
            state("master_failover_state:waiting-for-sync\r\n"),
            HandOver::Waiting
        );
        assert_eq!(
            state("role:slave\r\nmaster_failover_state:failover-in-progress\r\n"),
            HandOver::InProgress
        );
    }

    #[test]
    fn fields_of_a_replica_count_only_after_its_role() {
        let fields = "master_host:x\nmaster_port:1\nmaster_link_status:up\nmaster_link_down_since_seconds:1\n\
                      slave_priority:0\nslave_repl_offset:7\nreplica_announced:0\n";
        let primary = Info::parse(&format!("{fields}role:master\n{fields}"));
        let expected = Info {
            role: Some(Role::Primary),
            ..Info::default()
        };
        assert_eq!(primary, expected);
        let replica = Info::parse(&format!("role:slave\n{fields}"));
        let expected = Info {
            role: Some(Role::Replica),
            primary_host: Some("x".to_owned()),
            primary_port: 1,
            link_up: true,
            link_down_s: 1,
            priority: Some(0),
            replica_offset: Some(7),
            announced: Some(false),
            ..Info::default()
        };
        assert_eq!(replica, expected);
    }

    #[test]
    fn lines_of_replicas_have_a_number_and_a_whole_address() {
        let found = |line: &str| Info::parse(line).replicas;
        let line = ReplicaLine {
            host: "h".to_owned(),
            port: 1,
            offset: Some(2),
            lag_s: Some(3),
        };
        assert_eq!(found("slave0:lag=3,offset=2,state=online,port=1,ip=h"), [line]);
        for nonsense in [
            "slave:ip=h,port=1",
            "slavex:ip=h,port=1",
            "slave1x:ip=h,port=1",
            "x1:ip=h,port=1",
        ] {
            assert_eq!(found(nonsense), [], "{nonsense}");
        }
        for address in [
            "ip=h",
            "port=1",
            "ip=h,port=0",
            "ip=,port=1",
            "ip=h,port=x",
            "h",
            "h,x",
        ] {
            assert_eq!(found(&format!("slave0:{address}")), [], "{address}");
        }
        let many: String = (0..=MAX_REPLICAS)
            .map(|n| format!("slave{n}:h,1,online\n"))
            .collect();
        assert_eq!(found(&many).len(), MAX_REPLICAS);
    }

    #[test]
    fn the_offset_is_that_of_the_role() {
        let offset = |role: &str| Info::parse(&format!("{role}master_repl_offset:2\n")).offset();
        assert_eq!(offset("role:slave\nslave_repl_offset:1\n"), 1);
        assert_eq!(offset("role:slave\n"), 2, "what there is is better than nothing");
        assert_eq!(offset("role:master\n"), 2);
        let turned = "role:slave\nslave_repl_offset:1\nrole:master\n";
        assert_eq!(offset(turned), 2);
        assert_eq!(Info::parse(turned).offset(), 1);
    }

    #[test]
    fn an_id_of_zeros_is_none() {
        let ids = |text| {
            let info = Info::parse(text);
            (info.replid, info.replid2)
        };
        assert_eq!(
            ids("master_replid:0a0\nmaster_replid2:b\n"),
            (Some("0a0".into()), Some("b".into()))
        );
        assert_eq!(ids("master_replid:000\nmaster_replid2:\n"), (None, None));
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert_eq!(
            Info::parse("\u{0}:::\r\nslave99999999999999999999:ip=,port=\r\nrole:king"),
            Info::default()
        );
    }
}
