//! The log that coordinators share, as `SENTINEL RAFT STATUS` tells of it.
//!
//! Owns the reading of that answer and what is wrong with a log. A field that is missing or odd becomes "not known"; an
//! answer that is no list of fields is no log.

use std::collections::BTreeMap;

use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd};
use serde::Serialize;

use crate::connect::HostPort;

/// For how long a majority, or a member, may be out of reach before it is said. Another leader is elected in less.
const IN_REACH_MS: u64 = 3_000;

/// The log as one member sees it. The names are those of the HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Log {
    /// Which member the coordinator is.
    pub(crate) member_id: u64,
    /// The name that all members share, as it goes between them.
    pub(crate) cluster: Option<String>,
    /// What it does, in its own word.
    pub(crate) role: String,
    pub(crate) term: Option<u64>,
    /// Who leads, if anybody is known to.
    pub(crate) leader: Option<u64>,
    /// Where the leader listens.
    #[serde(skip)]
    pub(crate) leader_at: Option<HostPort>,
    pub(crate) commit: Option<u64>,
    pub(crate) applied: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) snapshot: Option<u64>,
    pub(crate) log_bytes: Option<u64>,
    pub(crate) pending: Option<u64>,
    pub(crate) majority_contact_ms: Option<u64>,
    pub(crate) may_act: Option<bool>,
    /// What keeps it from taking part.
    pub(crate) problem: Option<String>,
    pub(crate) members: Vec<LogMember>,
}

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LogMember {
    pub(crate) id: u64,
    pub(crate) sentinel_id: Option<String>,
    /// As people type it.
    pub(crate) address: String,
    pub(crate) voter: bool,
    pub(crate) matched: Option<u64>,
    pub(crate) lag_entries: Option<u64>,
    pub(crate) last_contact_ms: Option<u64>,
}

/// Asks for the log. `None` if there is none: decisions are made by votes, it is another Sentinel, or this may not be
/// asked. Those who want to know which of them ask by [`require`].
///
/// # Errors
/// What came instead of an answer.
pub(crate) async fn fetch(connection: &mut MultiplexedConnection) -> RedisResult<Option<Log>> {
    match ask(connection).await {
        Ok(answer) => Ok(Log::read(&answer)),
        // Who may call SENTINEL RAFT may change the members, so a user for monitoring has INFO alone.
        Err(error) if error.code() == Some("NOPERM") => {
            let info: RedisResult<String> = cmd("INFO").arg("raft").query_async(connection).await;
            Ok(info.ok().and_then(|info| Log::read_info(&info)))
        }
        Err(error) if refusal(&error).is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks for the log where there has to be one.
///
/// # Errors
/// What came instead of an answer, refusals included; or that the answer is none.
pub(crate) async fn require(connection: &mut MultiplexedConnection) -> RedisResult<Log> {
    let answer = ask(connection).await?;
    Log::read(&answer).ok_or_else(|| {
        let kind = redis::ErrorKind::UnexpectedReturnType;
        RedisError::from((kind, "the answer to SENTINEL RAFT STATUS makes no sense"))
    })
}

async fn ask(connection: &mut MultiplexedConnection) -> RedisResult<Value> {
    cmd("SENTINEL")
        .arg("RAFT")
        .arg("STATUS")
        .query_async(connection)
        .await
}

/// The words in which a server refused something, its code included. `None` if it did not even answer.
pub(crate) fn refusal(error: &RedisError) -> Option<String> {
    let code = error.code()?;
    Some(match error.detail() {
        Some(text) => format!("{code} {text}"),
        None => code.to_owned(),
    })
}

impl Log {
    fn read(answer: &Value) -> Option<Self> {
        let fields = Fields::read(answer)?;
        let address = (fields.text("leader-host"), fields.number("leader-port"));
        let leader_at = match address {
            (Some(host), Some(port)) => u16::try_from(port).ok().map(|port| HostPort::new(host, port)),
            _ => None,
        };
        let mut members: Vec<_> = fields
            .list("members")
            .iter()
            .filter_map(LogMember::read)
            .collect();
        members.sort_by_key(|member| member.id);
        Some(Self {
            member_id: fields.number("id")?,
            cluster: fields.text("cluster"),
            role: fields.text("role").unwrap_or_default(),
            term: fields.number("term"),
            leader: fields.number("leader").filter(|id| *id != 0),
            leader_at: leader_at.filter(|at| at.port != 0),
            commit: fields.number("commit"),
            applied: fields.number("applied"),
            last: fields.number("last"),
            snapshot: fields.number("snapshot"),
            log_bytes: fields.number("log-bytes"),
            pending: fields.number("pending"),
            majority_contact_ms: fields.number("majority-contact-ms"),
            may_act: fields.number("may-act").map(|yes| yes == 1),
            problem: fields.text("problem"),
            members,
        })
    }

    /// Reads the `raft` section of INFO, which tells less.
    fn read_info(info: &str) -> Option<Self> {
        let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        let lines: BTreeMap<_, _> = lines.collect();
        let number = |name: &str| lines.get(name)?.parse::<u64>().ok();
        let members = lines.iter().filter(|(name, _)| is_numbered(name, "raft_member"));
        let mut members: Vec<_> = members
            .filter_map(|(_, value)| LogMember::read_info(value))
            .collect();
        members.sort_by_key(|member| member.id);
        let leader = number("raft_leader").filter(|id| *id != 0);
        let of_leader = members.iter().find(|member| Some(member.id) == leader);
        Some(Self {
            member_id: number("raft_id")?,
            cluster: None,
            role: (*lines.get("raft_role")?).to_owned(),
            term: number("raft_term"),
            leader,
            leader_at: of_leader.and_then(|member| member.address.parse().ok()),
            commit: number("raft_commit"),
            applied: number("raft_applied"),
            last: number("raft_last"),
            snapshot: None,
            log_bytes: None,
            pending: None,
            majority_contact_ms: number("raft_majority_contact_ms"),
            may_act: None,
            problem: lines.get("raft_problem").map(|&problem| problem.to_owned()),
            members,
        })
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader == Some(self.member_id)
    }

    /// What is wrong with the log at the coordinator that was asked, in words.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let taking_part = match (&self.problem, self.role.as_str()) {
            (Some(problem), _) => Some(format!("it takes no part in the log: {problem}")),
            (None, "removed") => Some("it was removed from the members of the log".to_owned()),
            (None, "joining") => Some("no member of the log has let it in yet".to_owned()),
            (None, _) => None,
        };
        let majority = match self.majority_contact_ms {
            Some(ms) if ms >= IN_REACH_MS => Some(format!("for {} s", ms / 1000)),
            // A leader was elected this moment: it has been answered by nobody yet, or will not lead for long.
            None if !self.leads() => Some("yet".to_owned()),
            _ => None,
        };
        let majority = majority.filter(|_| !["removed", "joining"].contains(&self.role.as_str()));
        let majority = majority.map(|since| {
            format!(
                "no majority of the members of the log was in reach {since}, so that nothing is decided there"
            )
        });
        taking_part.into_iter().chain(majority).collect()
    }

    /// The log in one line.
    pub(crate) fn line(&self) -> String {
        let id = self.member_id;
        let part = match (self.leader, &self.leader_at) {
            (Some(leader), _) if leader == id => format!("member {id} leads"),
            (Some(leader), Some(at)) => format!("{} {id}, member {leader} at {at} leads", self.role),
            (Some(leader), None) => format!("{} {id}, member {leader} leads", self.role),
            (None, _) => format!("{} {id}, nobody is known to lead", self.role),
        };
        let members: Vec<String> = self.members.iter().map(|member| self.words(member)).collect();
        format!(
            "log  {part}, term {}, {} entries decided, members {}",
            or_unknown(self.term),
            or_unknown(self.commit),
            members.join(", ")
        )
    }

    /// A member with what is worth saying about it.
    fn words(&self, member: &LogMember) -> String {
        let mut told = Vec::new();
        if !member.voter {
            told.push("no vote".to_owned());
        }
        if let Some(lag) = member.lag_entries.filter(|lag| *lag > 0) {
            told.push(format!("{lag} behind"));
        }
        match member.last_contact_ms {
            Some(ms) if ms >= IN_REACH_MS => told.push(format!("not heard for {} s", ms / 1000)),
            // Only a leader hears of all.
            None if self.leads() && member.id != self.member_id => told.push("never heard".to_owned()),
            _ => {}
        }
        if told.is_empty() {
            member.id.to_string()
        } else {
            format!("{} ({})", member.id, told.join(", "))
        }
    }
}

impl LogMember {
    fn read(answer: &Value) -> Option<Self> {
        let fields = Fields::read(answer)?;
        Some(Self {
            id: fields.number("id")?,
            sentinel_id: fields.text("sentinel"),
            address: fields
                .text("address")
                .map_or_else(|| "?".to_owned(), |kept| address(&kept)),
            voter: fields.number("voter") == Some(1),
            matched: fields.number("matched"),
            lag_entries: fields.number("lag"),
            last_contact_ms: fields.number("last-contact-ms"),
        })
    }

    fn read_info(line: &str) -> Option<Self> {
        let fields: BTreeMap<_, _> = line
            .split(',')
            .filter_map(|field| field.split_once('='))
            .collect();
        let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
        Some(Self {
            id: number("id")?,
            sentinel_id: None,
            address: fields
                .get("address")
                .map_or_else(|| "?".to_owned(), |kept| address(kept)),
            voter: number("voter") == Some(1),
            matched: None,
            lag_entries: number("lag"),
            last_contact_ms: number("last_contact_ms"),
        })
    }
}

/// Whether `name` is `word` with a number behind it.
fn is_numbered(name: &str, word: &str) -> bool {
    let number = name.strip_prefix(word);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Members keep host and port with a colon between, whatever the host.
fn address(kept: &str) -> String {
    let parts = kept.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.map_or_else(
        || kept.to_owned(),
        |(host, port)| HostPort::new(host, port).to_string(),
    )
}

pub(crate) fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

/// The fields of an answer, be it a map or names and values in turn.
struct Fields<'a>(BTreeMap<String, &'a Value>);

impl<'a> Fields<'a> {
    fn read(answer: &'a Value) -> Option<Self> {
        let pairs = answer.as_map_iter()?;
        Some(Self(
            pairs
                .filter_map(|(name, value)| Some((text(name)?, value)))
                .collect(),
        ))
    }

    /// A text that is not empty.
    fn text(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .and_then(|value| text(value))
            .filter(|text| !text.is_empty())
    }

    /// A number; -1 stands for one that is not known.
    fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            other => text(other)?.parse().ok(),
        }
    }

    fn list(&self, name: &str) -> &'a [Value] {
        match self.0.get(name) {
            Some(Value::Array(items)) => items,
            _ => &[],
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn pairs(fields: &[(&str, Value)]) -> Vec<(Value, Value)> {
        fields
            .iter()
            .map(|(name, value)| (bulk(name), value.clone()))
            .collect()
    }

    fn flat(fields: &[(&str, Value)]) -> Value {
        let pairs = pairs(fields).into_iter();
        Value::Array(pairs.flat_map(|(name, value)| [name, value]).collect())
    }

    fn member(id: i64, address: &str, voter: i64, lag: i64, contact: i64) -> Value {
        flat(&[
            ("id", Value::Int(id)),
            ("sentinel", bulk("abc")),
            ("address", bulk(address)),
            ("voter", Value::Int(voter)),
            ("matched", Value::Int(if lag < 0 { -1 } else { 108 - lag })),
            ("lag", Value::Int(lag)),
            ("last-contact-ms", Value::Int(contact)),
            ("a field of later", bulk("")),
        ])
    }

    fn fields(members: Vec<Value>) -> [(&'static str, Value); 16] {
        [
            ("id", Value::Int(2)),
            ("cluster", bulk("1f00ab")),
            ("role", bulk("follower")),
            ("term", Value::Int(4)),
            ("leader", Value::Int(1)),
            ("leader-host", bulk("::1")),
            ("leader-port", Value::Int(26379)),
            ("commit", Value::Int(108)),
            ("applied", Value::Int(107)),
            ("last", Value::Int(109)),
            ("snapshot", Value::Int(100)),
            ("log-bytes", Value::Int(2048)),
            ("pending", Value::Int(0)),
            ("majority-contact-ms", Value::Int(40)),
            ("may-act", Value::Int(0)),
            ("members", Value::Array(members)),
        ]
    }

    /// A follower's view: member 2 of three.
    pub(crate) fn log() -> Log {
        let members = vec![
            member(1, "::1:26379", 1, -1, 40),
            member(2, "10.0.0.12:26379", 1, -1, -1),
            member(3, "db-3:26379", 0, -1, 7_400),
        ];
        Log::read(&flat(&fields(members))).unwrap()
    }

    #[test]
    fn an_answer_is_read_from_a_list_and_from_a_map() {
        let log = log();
        assert_eq!((log.member_id, log.leader, log.leads()), (2, Some(1), false));
        assert_eq!(log.leader_at, Some(HostPort::new("::1", 26379)));
        assert_eq!(
            (log.term, log.commit, log.applied),
            (Some(4), Some(108), Some(107))
        );
        assert_eq!(
            (log.majority_contact_ms, log.problem.as_deref()),
            (Some(40), None)
        );
        let addresses: Vec<_> = log.members.iter().map(|member| member.address.as_str()).collect();
        assert_eq!(addresses, ["[::1]:26379", "10.0.0.12:26379", "db-3:26379"]);
        assert_eq!(log.members[0].lag_entries, None);
        assert_eq!(log.members[1].last_contact_ms, None);
        assert!(!log.members[2].voter);

        let map = Value::Map(pairs(&fields(Vec::new())));
        let expected = Log {
            members: Vec::new(),
            ..log
        };
        assert_eq!(Log::read(&map), Some(expected));
    }

    #[test]
    fn who_may_only_ask_for_info_sees_the_log_too() {
        let info = "# Raft\r\nraft_id:2\r\nraft_role:follower\r\nraft_term:4\r\nraft_leader:1\r\nraft_commit:108\r\n\
                    raft_applied:107\r\nraft_last:109\r\nraft_majority_contact_ms:40\r\nraft_members:3\r\n\
                    raft_member0:id=1,address=::1:26379,voter=1,lag=-1,last_contact_ms=40\r\n\
                    raft_member1:id=2,address=10.0.0.12:26379,voter=1,lag=-1,last_contact_ms=-1\r\n\
                    raft_member2:id=3,address=db-3:26379,voter=0,lag=-1,last_contact_ms=7400\r\n";
        let read = Log::read_info(info).unwrap();
        let full = log();
        assert_eq!(read.line(), full.line());
        assert_eq!(read.trouble(), [""; 0]);
        assert_eq!((read.leader_at, read.may_act), (full.leader_at, None));
        let broken = Log::read_info(&format!("{info}raft_problem:an odd entry\r\n")).unwrap();
        assert_eq!(broken.trouble(), ["it takes no part in the log: an odd entry"]);
        assert_eq!(Log::read_info(""), None);
        assert_eq!(Log::read_info("# Sentinel\r\nsentinel_masters:1\r\n"), None);
    }

    #[test]
    fn what_is_no_log_is_none() {
        for odd in [Value::Okay, Value::Nil, Value::Array(Vec::new()), Value::Int(3)] {
            assert_eq!(Log::read(&odd), None, "{odd:?}");
        }
        let unknown = [
            ("id", Value::Int(1)),
            ("leader", Value::Int(0)),
            ("leader-port", Value::Int(0)),
        ];
        let log = Log::read(&flat(&unknown)).unwrap();
        assert_eq!((log.leader, log.leader_at, log.commit), (None, None, None));
    }

    #[test]
    fn a_log_is_one_line() {
        let mut log = log();
        assert_eq!(
            log.line(),
            "log  follower 2, member 1 at [::1]:26379 leads, term 4, 108 entries decided, \
             members 1, 2, 3 (no vote, not heard for 7 s)"
        );
        log.leader = Some(2);
        log.members[0].lag_entries = Some(12);
        log.members[2].last_contact_ms = None;
        assert_eq!(
            log.line(),
            "log  member 2 leads, term 4, 108 entries decided, members 1 (12 behind), 2, \
             3 (no vote, never heard)"
        );
        log.leader = None;
        log.role = "candidate".to_owned();
        assert!(
            log.line()
                .contains("candidate 2, nobody is known to lead, term 4"),
            "{}",
            log.line()
        );
    }

    #[test]
    fn what_keeps_a_log_from_deciding_is_told() {
        assert_eq!(log().trouble(), [""; 0]);
        let with = |change: fn(&mut Log)| {
            let mut log = log();
            change(&mut log);
            log.trouble()
        };
        assert_eq!(
            with(|log| log.majority_contact_ms = Some(12_345)),
            ["no majority of the members of the log was in reach for 12 s, so that nothing is decided there"]
        );
        assert_eq!(with(|log| log.majority_contact_ms = None).len(), 1);
        let elected = |log: &mut Log| {
            log.leader = Some(2);
            log.majority_contact_ms = None;
        };
        assert_eq!(with(elected), [""; 0]);
        assert_eq!(
            with(|log| log.problem = Some("an entry of a newer version".to_owned())),
            ["it takes no part in the log: an entry of a newer version"]
        );
        let removed = |log: &mut Log| {
            log.role = "removed".to_owned();
            log.majority_contact_ms = Some(90_000);
        };
        assert_eq!(with(removed), ["it was removed from the members of the log"]);
    }
}
