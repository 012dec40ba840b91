//! What a sentinel told about its groups, as data.
//!
//! Owns the reading of the flat field maps that sentinels answer with. A field that is missing or odd becomes
//! "not known"; nothing here fails.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{connect::HostPort, log::Log};

/// One instance as `SENTINEL MASTERS`, `REPLICAS` and `SENTINELS` describe it.
pub(super) type Fields = BTreeMap<String, String>;

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The sentinel that was asked.
    pub(super) sentinel: String,
    /// What is wrong with the sentinel itself, in words. Only ours tells.
    pub(super) trouble: Vec<String>,
    /// The log that it shares with others, if it does.
    pub(super) log: Option<Log>,
    pub(super) groups: Vec<Group>,
}

/// How many foreign sentinels are named. One that watches thousands of groups is one trouble, not thousands.
const MAX_FOREIGN_NAMED: usize = 3;

/// What the `sentinel` section of INFO says is wrong.
pub(super) fn trouble(info: &str) -> Vec<String> {
    let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    let (mut trouble, mut held) = (Vec::new(), Vec::new());
    for (name, value) in lines {
        match name {
            "bellwether_save_failed" => {
                trouble.push(format!("the state cannot be saved, so no vote is given: {value}"));
            }
            "bellwether_id_taken_seconds_ago" => trouble.push(format!(
                "another coordinator goes by the same id ({value} s ago): stop one of the two"
            )),
            "bellwether_foreign_sentinel" => held.push(value),
            "sentinel_tilt" if value == "1" => {
                trouble.push("it is in TILT mode and starts no failover".to_owned());
            }
            _ => {}
        }
    }
    trouble.extend(held.iter().take(MAX_FOREIGN_NAMED).map(|value| foreign(value)));
    if let Some(more @ 1..) = held.len().checked_sub(MAX_FOREIGN_NAMED) {
        trouble.push(format!(
            "{more} more such sentinels: see bellwether_foreign_sentinel in INFO"
        ));
    }
    trouble
}

/// What it means that a sentinel watches a group and does not share the log: `group=…,id=…,address=…`.
fn foreign(value: &str) -> String {
    let fields: BTreeMap<_, _> = value
        .split(',')
        .filter_map(|field| field.split_once('='))
        .collect();
    let [group, id, address] = ["group", "id", "address"].map(|name| *fields.get(name).unwrap_or(&"?"));
    format!(
        "group {group}: nothing is failed over by itself, because a sentinel at {address} watches it that shares no log: \
         stop that one, or accept it with `bellwether members accept {group} {id}`"
    )
}

impl Report {
    pub(super) fn has(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known.name == group)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) state: GroupState,
    /// How many sentinels must agree that the primary is down.
    pub(super) quorum: Option<u64>,
    /// How many sentinels are known, the one asked included.
    pub(super) sentinels: u64,
    pub(super) config_epoch: Option<u64>,
    /// The phase of a running failover.
    pub(super) failover: Option<String>,
    /// The primary first, then replicas, then sentinels other than the one asked.
    pub(super) members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GroupState {
    Up,
    /// The sentinel asked holds the primary to be down.
    SubjectivelyDown,
    /// A quorum does.
    ObjectivelyDown,
    FailoverInProgress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Primary,
    Replica,
    Sentinel,
}

#[derive(Debug, Serialize)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) host: String,
    pub(super) port: u16,
    /// The run id, or a sentinel's own id.
    pub(super) id: Option<String>,
    /// As the sentinel gives them, its own words.
    pub(super) flags: Vec<String>,
    /// Whether the sentinel holds it to be down.
    pub(super) down: bool,
    pub(super) down_for_ms: Option<u64>,
    /// A replica's priority: the lowest is promoted first, and one of 0 never.
    pub(super) priority: Option<u64>,
    /// Whether a replica's own link to its primary is up.
    pub(super) link_up: Option<bool>,
    /// Replication offset; a primary's only if it could be asked.
    pub(super) offset: Option<u64>,
    /// By how many bytes a replica is behind the best replica.
    pub(super) behind_best_bytes: Option<u64>,
    /// By how many bytes a replica is behind its primary, as the primary says.
    pub(super) lag_bytes: Option<u64>,
    /// How long ago the primary last heard from the replica, in seconds.
    pub(super) lag_s: Option<u64>,
}

impl Group {
    pub(super) fn new(primary: &Fields, replicas: &[Fields], sentinels: &[Fields]) -> Self {
        let mut members = vec![Member::new(Role::Primary, primary)];
        members.extend(replicas.iter().map(|fields| Member::new(Role::Replica, fields)));
        members.extend(sentinels.iter().map(|fields| Member::new(Role::Sentinel, fields)));
        let best = members
            .iter()
            .filter(|member| member.role == Role::Replica)
            .filter_map(|m| m.offset)
            .max();
        for member in members.iter_mut().filter(|member| member.role == Role::Replica) {
            member.behind_best_bytes = best.zip(member.offset).map(|(best, own)| best - own);
        }
        Self {
            name: primary.get("name").cloned().unwrap_or_default(),
            state: GroupState::of(&members[0].flags),
            quorum: number(primary, "quorum"),
            sentinels: number(primary, "num-other-sentinels").unwrap_or_default() + 1,
            config_epoch: number(primary, "config-epoch"),
            failover: primary
                .get("failover-state")
                .filter(|state| *state != "none")
                .cloned(),
            members,
        }
    }

    pub(super) fn primary(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.role == Role::Primary)
    }
}

impl GroupState {
    fn of(flags: &[String]) -> Self {
        let has = |flag: &str| flags.iter().any(|known| known == flag);
        if has("failover_in_progress") {
            Self::FailoverInProgress
        } else if has("o_down") {
            Self::ObjectivelyDown
        } else if has("s_down") {
            Self::SubjectivelyDown
        } else {
            Self::Up
        }
    }
}

impl Member {
    fn new(role: Role, fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
        let flags: Vec<String> = text("flags")
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect();
        Self {
            role,
            host: text("ip").unwrap_or_else(|| "?".to_owned()),
            port: number(fields, "port")
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or_default(),
            id: text("runid"),
            down: flags.iter().any(|flag| flag == "s_down" || flag == "o_down"),
            flags,
            down_for_ms: number(fields, "s-down-time").or_else(|| number(fields, "o-down-time")),
            priority: number(fields, "slave-priority"),
            link_up: text("master-link-status").map(|status| status == "ok"),
            offset: number(fields, "slave-repl-offset"),
            behind_best_bytes: None,
            lag_bytes: None,
            lag_s: None,
        }
    }

    pub(super) fn at(&self) -> HostPort {
        HostPort::new(&self.host, self.port)
    }
}

/// What a primary says about replication: its own offset, and each replica's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) offset: Option<u64>,
    pub(super) replicas: Vec<ReplicaLine>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReplicaLine {
    host: String,
    port: u16,
    offset: u64,
    lag_s: Option<u64>,
}

impl Replication {
    /// Reads the replication section of INFO. `None` if it is not that of a primary.
    pub(super) fn parse(info: &str) -> Option<Self> {
        let mut replication = Self::default();
        let mut is_primary = false;
        for (key, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match key {
                "role" => is_primary = value == "master",
                "master_repl_offset" => replication.offset = value.parse().ok(),
                _ if is_replica_key(key) => replication.replicas.extend(ReplicaLine::parse(value)),
                _ => {}
            }
        }
        is_primary.then_some(replication)
    }

    /// Writes what is known into the members of a group.
    pub(super) fn apply(&self, group: &mut Group) {
        for member in &mut group.members {
            match member.role {
                Role::Primary => member.offset = self.offset,
                Role::Replica => {
                    let line = self
                        .replicas
                        .iter()
                        .find(|line| line.host == member.host && line.port == member.port);
                    member.lag_s = line.and_then(|line| line.lag_s);
                    member.lag_bytes = line
                        .zip(self.offset)
                        .map(|(line, offset)| offset.saturating_sub(line.offset));
                }
                Role::Sentinel => {}
            }
        }
    }
}

impl ReplicaLine {
    fn parse(value: &str) -> Option<Self> {
        let fields: BTreeMap<_, _> = value
            .split(',')
            .filter_map(|field| field.split_once('='))
            .collect();
        Some(Self {
            host: (*fields.get("ip")?).to_owned(),
            port: fields.get("port")?.parse().ok()?,
            offset: fields.get("offset")?.parse().ok()?,
            lag_s: fields.get("lag").and_then(|lag| lag.parse().ok()),
        })
    }
}

fn is_replica_key(key: &str) -> bool {
    key.strip_prefix("slave")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn number(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    pub(in super::super) fn group() -> Group {
        Group::new(
            &fields(&[
                ("name", "cache"),
                ("ip", "10.0.0.1"),
                ("port", "6379"),
                ("flags", "master,s_down,o_down"),
                ("s-down-time", "61500"),
                ("quorum", "2"),
                ("num-other-sentinels", "2"),
                ("config-epoch", "7"),
            ]),
            &[
                fields(&[
                    ("ip", "10.0.0.2"),
                    ("port", "6379"),
                    ("flags", "slave"),
                    ("slave-priority", "0"),
                    ("slave-repl-offset", "900"),
                    ("master-link-status", "err"),
                ]),
                fields(&[
                    ("ip", "10.0.0.3"),
                    ("port", "6379"),
                    ("flags", "slave"),
                    ("slave-repl-offset", "1000"),
                ]),
            ],
            &[fields(&[
                ("ip", "10.0.0.4"),
                ("port", "26379"),
                ("flags", "sentinel,master_down"),
                ("runid", "abc"),
            ])],
        )
    }

    #[test]
    fn a_group_is_read_from_field_maps() {
        let group = group();
        assert_eq!(group.state, GroupState::ObjectivelyDown);
        assert_eq!(
            (group.quorum, group.sentinels, group.config_epoch),
            (Some(2), 3, Some(7))
        );
        let primary = group.primary().unwrap();
        assert_eq!((primary.down, primary.down_for_ms), (true, Some(61_500)));
        let behind: Vec<_> = group
            .members
            .iter()
            .map(|member| member.behind_best_bytes)
            .collect();
        assert_eq!(behind, [None, Some(100), Some(0), None]);
        assert_eq!(group.members[1].link_up, Some(false));
        assert_eq!(group.members[1].priority, Some(0));
    }

    #[test]
    fn nothing_known_is_not_an_error() {
        let group = Group::new(&Fields::new(), &[Fields::new()], &[]);
        assert_eq!(group.members.len(), 2);
        assert_eq!(group.members[1].offset, None);
    }

    #[test]
    fn the_true_lag_comes_from_the_primary() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=1\r\n\
                    slave1:ip=10.0.0.3,port=6379,state=online,offset=1010,lag=0\r\n\
                    slave_read_only:1\r\nmaster_repl_offset:1010\r\n";
        let mut group = group();
        Replication::parse(info).unwrap().apply(&mut group);
        let lags: Vec<_> = group
            .members
            .iter()
            .map(|member| (member.offset, member.lag_bytes, member.lag_s))
            .collect();
        assert_eq!(lags[0], (Some(1010), None, None));
        assert_eq!(lags[1], (Some(900), Some(110), Some(1)));
        assert_eq!(lags[2], (Some(1000), Some(0), Some(0)));
    }

    #[test]
    fn a_replica_says_nothing_about_lag() {
        assert_eq!(Replication::parse("role:slave\r\nmaster_repl_offset:5\r\n"), None);
        assert_eq!(Replication::parse(""), None);
    }
}
