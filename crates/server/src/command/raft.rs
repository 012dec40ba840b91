//! `SENTINEL RAFT`: the log that coordinators share, where they do. Not in Sentinel.
//!
//! Two of its forms are for the other members and come many times a second: a frame of the log, and how a primary looks
//! from there. The others are for operators. Never looks into a frame.

use bellwether_core::{Addr, Answer, LogMember, LogOrder, LogStatus, Refusal, Request as Ask, whole_millis};
use bellwether_resp::{Encoder, Request};

use super::{Flow, answer, sentinel, unknown_form};
use crate::client::session::Call;

/// The words of `SENTINEL RAFT`.
pub(super) const USAGE: &str = "STATUS | ADD <id> <ip> <port> [REPLACES <old-id>] | REMOVE <id> | MOVE <id> <ip> <port> | \
    TRANSFER [<id>] | SNAPSHOT | ACCEPT-FOREIGN <master-name> <runid> | FRAME <id> <frame> | \
    VIEW <runid> <master-name> <ip> <port> <state>";

/// Whether a call of `SENTINEL RAFT` is from another member.
pub(super) fn is_of_members(words: &Request) -> bool {
    name_of_members(words).is_some()
}

/// By what name a call of another member is counted and shown: there are many, among which those of people must not
/// get lost.
pub(super) fn name_of_members(words: &Request) -> Option<&'static str> {
    if words.arg_is(2, "FRAME") {
        Some("sentinel|raft|frame")
    } else if words.arg_is(2, "VIEW") {
        Some("sentinel|raft|view")
    } else {
        None
    }
}

/// `SENTINEL RAFT <form>`
pub(super) fn raft(call: &mut Call<'_>) -> Flow {
    let form = |name: &str, words: &[usize]| call.words.arg_is(2, name) && words.contains(&call.words.len());
    if form("FRAME", &[5]) {
        frame(call)
    } else if form("VIEW", &[8]) {
        view(call)
    } else if form("STATUS", &[3]) {
        Flow::ask_then(Ask::LogStatus, |call, answered| match answered {
            Answer::Log(log) => status(&mut call.reply(), &log),
            other => answer::write(call, other),
        })
    } else if form("ADD", &[6, 8]) {
        add(call)
    } else if form("REMOVE", &[4]) {
        match id(call, 3) {
            Ok(id) => order(LogOrder::Remove { id }),
            Err(refused) => refused,
        }
    } else if form("MOVE", &[6]) {
        match id(call, 3).and_then(|id| Ok((id, address(call, 4)?))) {
            Ok((id, Addr { host, port })) => {
                let host = host.to_string();
                order(LogOrder::Move { id, host, port })
            }
            Err(refused) => refused,
        }
    } else if form("TRANSFER", &[3]) {
        order(LogOrder::Transfer { to: None })
    } else if form("TRANSFER", &[4]) {
        match id(call, 3) {
            Ok(id) => order(LogOrder::Transfer { to: Some(id) }),
            Err(refused) => refused,
        }
    } else if form("SNAPSHOT", &[3]) {
        order(LogOrder::Snapshot)
    } else if form("ACCEPT-FOREIGN", &[5]) {
        if let Some(refused) = sentinel::refuse_binary(call) {
            return refused;
        }
        Flow::ask(Ask::AcceptForeign {
            name: call.text(3),
            id: call.text(4),
        })
    } else {
        unknown_form(call)
    }
}

fn order(order: LogOrder) -> Flow {
    Flow::ask(Ask::Log(order))
}

/// `FRAME <id> <frame>`. Who sends what no member sends is told so and sent off.
fn frame(call: &mut Call<'_>) -> Flow {
    let from = match id(call, 3) {
        Ok(from) => from,
        Err(refused) => return refused,
    };
    let bytes = call.word(4).to_vec();
    Flow::ask_then(Ask::Frame { from, bytes }, |call, answered| {
        let is_bad = matches!(&answered, Answer::Refused(Refusal::BadFrame(_)));
        answer::write(call, answered);
        call.session.closing |= is_bad;
    })
}

/// `VIEW <sentinel> <group> <host> <port> up|down`
fn view(call: &mut Call<'_>) -> Flow {
    Flow::ask(Ask::View {
        from: call.text(3),
        group: call.text(4),
        host: call.text(5),
        port: call.text(6),
        down: call.text(7),
    })
}

/// `ADD <id> <host> <port> [REPLACES <old>]`
fn add(call: &mut Call<'_>) -> Flow {
    let replaces = match call.words.len() {
        8 if !call.words.arg_is(6, "REPLACES") => return call.syntax_error(),
        8 => Some(id(call, 7)).transpose(),
        _ => Ok(None),
    };
    let read = id(call, 3).and_then(|id| Ok((id, address(call, 4)?, replaces?)));
    match read {
        Ok((id, Addr { host, port }, replaces)) => order(LogOrder::Add {
            id,
            host: host.to_string(),
            port,
            replaces,
        }),
        Err(refused) => refused,
    }
}

/// Word `index` as the id of a member, or the refusal.
fn id(call: &mut Call<'_>, index: usize) -> Result<u64, Flow> {
    let id = call.words.arg_i64(index).and_then(|id| u64::try_from(id).ok());
    id.filter(|id| *id > 0)
        .ok_or_else(|| call.error("ERR the id of a member is a number from 1 on"))
}

/// The words from `index` on as host and port, or the refusal.
fn address(call: &mut Call<'_>, index: usize) -> Result<Addr, Flow> {
    let port = call
        .words
        .arg_i64(index + 1)
        .and_then(|port| u16::try_from(port).ok());
    let Some(port) = port.filter(|port| *port > 0) else {
        return Err(call.error("ERR Invalid port number."));
    };
    call.words
        .arg_str(index)
        .and_then(|host| Addr::parse(host, port))
        .ok_or_else(|| call.error("ERR Invalid IP address or hostname specified"))
}

/// How long ago, in milliseconds; -1 for never.
fn ago(contact: Option<std::time::Duration>) -> i64 {
    contact.map_or(-1, |ago| i64::try_from(whole_millis(ago)).unwrap_or(i64::MAX))
}

/// Host and port of an address, which is made of both.
fn parts(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (host.trim_matches(['[', ']']), port)
}

fn leader(log: &LogStatus) -> Option<&LogMember> {
    log.members.iter().find(|member| Some(member.id) == log.leader)
}

/// A value; a number stays one on the wire.
enum Field<'a> {
    Text(&'a str),
    Number(i64),
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Field<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Field<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Option<u64>> for Field<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Number(-1), Self::from)
    }
}

impl From<bool> for Field<'_> {
    fn from(yes: bool) -> Self {
        Self::Number(i64::from(yes))
    }
}

fn status(to: &mut Encoder<'_>, log: &LogStatus) {
    let (host, port) = leader(log).map_or(("", "0"), |leader| parts(&leader.address));
    // The list of members comes last, so that its entries follow the fields.
    let fields: &[(&str, Field<'_>)] = &[
        ("id", log.id.into()),
        ("cluster", (&log.cluster).into()),
        ("role", log.role.name().into()),
        ("term", log.term.into()),
        ("leader", log.leader.unwrap_or(0).into()),
        ("leader-host", host.into()),
        ("leader-port", port.parse::<i64>().unwrap_or(0).into()),
        ("commit", log.commit.into()),
        ("applied", log.applied.into()),
        ("last", log.last.into()),
        ("snapshot", log.snapshot.into()),
        ("log-bytes", log.log_bytes.into()),
        ("pending", (log.pending as u64).into()),
        ("majority-contact-ms", ago(log.majority_contact).into()),
        ("may-act", log.may_act.into()),
        ("problem", log.problem.as_deref().unwrap_or("").into()),
    ];
    to.map(fields.len() + 1);
    write_fields(to, fields);
    to.bulk("members");
    to.array(log.members.len());
    for member in &log.members {
        let fields: &[(&str, Field<'_>)] = &[
            ("id", member.id.into()),
            ("sentinel", member.sentinel.as_str().into()),
            ("address", (&member.address).into()),
            ("voter", member.voter.into()),
            ("matched", member.matched.into()),
            ("lag", member.lag.into()),
            ("last-contact-ms", ago(member.last_contact).into()),
        ];
        to.map(fields.len());
        write_fields(to, fields);
    }
}

fn write_fields(to: &mut Encoder<'_>, fields: &[(&str, Field<'_>)]) {
    for (name, value) in fields {
        to.bulk(name);
        match value {
            Field::Text(text) => to.bulk(text),
            Field::Number(number) => to.integer(*number),
        }
    }
}

/// The lines of the `# Raft` section of `INFO`, without its title.
pub(super) fn info(log: &LogStatus) -> String {
    let mut lines = vec![
        format!("raft_id:{}", log.id),
        format!("raft_role:{}", log.role.name()),
        format!("raft_term:{}", log.term),
        format!("raft_leader:{}", log.leader.unwrap_or(0)),
        format!("raft_commit:{}", log.commit),
        format!("raft_applied:{}", log.applied),
        format!("raft_last:{}", log.last),
        format!("raft_majority_contact_ms:{}", ago(log.majority_contact)),
        format!("raft_members:{}", log.members.len()),
    ];
    // Only while there is trouble, as with what cannot be saved.
    if let Some(problem) = &log.problem {
        lines.push(format!("raft_problem:{}", problem.replace(['\r', '\n'], " ")));
    }
    for (number, member) in log.members.iter().enumerate() {
        let LogMember {
            id, address, voter, ..
        } = member;
        let lag = member.lag.map_or_else(|| "-1".to_owned(), |lag| lag.to_string());
        let contact = ago(member.last_contact);
        lines.push(format!(
            "raft_member{number}:id={id},address={address},voter={},lag={lag},last_contact_ms={contact}",
            u8::from(*voter)
        ));
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwether_core::{LogRole, SentinelId};
    use bellwether_resp::Protocol;
    use bytes::BytesMut;

    use super::*;

    fn log() -> LogStatus {
        let member = |id: u64, lag, heard| LogMember {
            id,
            sentinel: SentinelId::new(&format!("{id:040x}")).expect("an id"),
            address: format!("10.0.0.{id}:26379"),
            voter: id < 3,
            matched: lag,
            lag,
            last_contact: heard,
        };
        LogStatus {
            id: 1,
            cluster: "00ff".to_owned(),
            role: LogRole::Leader,
            term: 4,
            leader: Some(2),
            commit: 10,
            applied: 9,
            last: 11,
            snapshot: 5,
            log_bytes: 77,
            pending: 3,
            majority_contact: Some(Duration::from_millis(12)),
            may_act: true,
            problem: None,
            members: vec![
                member(1, Some(0), None),
                member(2, None, Some(Duration::from_millis(7))),
            ],
        }
    }

    #[test]
    fn info_tells_of_each_member() {
        let text = info(&log());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["raft_id:1", "raft_role:leader"]);
        assert!(lines.contains(&"raft_majority_contact_ms:12"), "{text}");
        assert_eq!(
            lines[lines.len() - 2..],
            [
                "raft_member0:id=1,address=10.0.0.1:26379,voter=1,lag=0,last_contact_ms=-1",
                "raft_member1:id=2,address=10.0.0.2:26379,voter=1,lag=-1,last_contact_ms=7"
            ]
        );
        assert!(!text.contains("raft_problem"));
    }

    #[test]
    fn status_is_a_map_with_a_list_of_maps() {
        let mut out = BytesMut::new();
        status(&mut Encoder::new(Protocol::Resp3, &mut out), &log());
        let text = String::from_utf8(out.to_vec()).expect("text");
        assert!(text.starts_with("%17\r\n$2\r\nid\r\n:1\r\n"), "{text}");
        assert!(
            text.contains("$11\r\nleader-host\r\n$8\r\n10.0.0.2\r\n$11\r\nleader-port\r\n:26379\r\n"),
            "{text}"
        );
        assert!(
            text.contains("$7\r\nmembers\r\n*2\r\n%7\r\n$2\r\nid\r\n:1\r\n"),
            "{text}"
        );
        let mut out = BytesMut::new();
        status(&mut Encoder::new(Protocol::Resp2, &mut out), &log());
        assert!(out.starts_with(b"*34\r\n"));
    }
}
