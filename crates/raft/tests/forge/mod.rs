//! Frames that no healthy member sends, made of ones that a member has sent.

use bellwether_raft::FRAME_HEADER_LEN;
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};

use crate::cluster::Cluster;

/// Where the parts of a header lie.
const VERSION: usize = 4;
const KIND: usize = 5;
const LENGTH: usize = 8;
const CLUSTER: usize = 12;
const FROM: usize = 28;
const TO: usize = 36;

/// Delivers a forged frame to `to`, as if from one of its peers, and tells what came of it.
pub(crate) fn forge(cluster: &mut Cluster, what: &str, to: u64) -> Result<(), String> {
    let status = cluster.members[&to].status(cluster.now).ok_or("it is down")?;
    let peer = match status.leader {
        0 => return Err("nobody leads".to_owned()),
        leader if leader == to => cluster
            .members
            .keys()
            .copied()
            .find(|id| *id != to)
            .ok_or("alone")?,
        leader => leader,
    };
    let third = cluster
        .members
        .keys()
        .copied()
        .find(|id| *id != to && *id != peer)
        .unwrap_or(99);
    let mut frame = cluster
        .last_frames
        .get(&(peer, to))
        .cloned()
        .ok_or("it never spoke")?;
    let mut message = Message {
        from: peer,
        to,
        term: status.term,
        ..Message::default()
    };
    let mut proved = peer;
    let set =
        |frame: &mut Vec<u8>, at: usize, value: u64| frame[at..at + 8].copy_from_slice(&value.to_be_bytes());
    match what {
        "damaged" => {
            let last = frame.len() - 10;
            frame[last] ^= 4;
        }
        "cut-short" => frame.truncate(frame.len() - 1),
        "nonsense" => frame = b"*1\r\n$4\r\nPING\r\n".repeat(8),
        "nothing" => frame.clear(),
        "version" => {
            frame[VERSION] = 2;
            seal(&mut frame);
        }
        "kind" => {
            frame[KIND] = 9;
            seal(&mut frame);
        }
        "too-long" => frame[LENGTH..LENGTH + 4].copy_from_slice(&(1_u32 << 30).to_be_bytes()),
        "cluster" => {
            set(&mut frame, CLUSTER, 7);
            seal(&mut frame);
        }
        "other-sender" => proved = third,
        "stranger" => {
            proved = 77;
            set(&mut frame, FROM, 77);
            seal(&mut frame);
        }
        "own-id" => {
            proved = to;
            set(&mut frame, FROM, to);
            seal(&mut frame);
        }
        "other-receiver" => {
            set(&mut frame, TO, third);
            seal(&mut frame);
        }
        "no-message" => frame = wrap(&frame, b"\xff\xff\xff"),
        "empty-proposal" => frame = of(&frame, message, MessageType::MsgPropose),
        "tick" => frame = of(&frame, message, MessageType::MsgBeat),
        "no-term" => {
            message.term = 0;
            frame = of(&frame, message, MessageType::MsgHeartbeat);
        }
        "other-ends" => {
            message.from = third;
            frame = of(&frame, message, MessageType::MsgHeartbeat);
        }
        "commit-beyond-log" => {
            message.commit = status.last + 1;
            frame = of(&frame, message, MessageType::MsgHeartbeat);
        }
        "second-leader" => {
            (message.from, proved) = (third, third);
            frame = of(&frame, message, MessageType::MsgHeartbeat);
            set(&mut frame, FROM, third);
            seal(&mut frame);
        }
        "stand-for-election" => {
            (message.from, proved) = (third, third);
            frame = of(&frame, message, MessageType::MsgTimeoutNow);
            set(&mut frame, FROM, third);
            seal(&mut frame);
        }
        "overwrite" => {
            (message.index, message.log_term) = (status.commit - 1, 1);
            message.entries.push(entry(status.commit, status.term));
            message.term += 5;
            frame = of(&frame, message, MessageType::MsgAppend);
        }
        "hole" => {
            (message.index, message.log_term) = (status.last, status.term);
            message.entries.push(entry(status.last + 2, status.term));
            frame = of(&frame, message, MessageType::MsgAppend);
        }
        "overflow" => {
            message.reject = true;
            message.reject_hint = u64::MAX;
            frame = of(&frame, message, MessageType::MsgAppendResponse);
        }
        "acknowledge-beyond" => {
            message.index = status.last + 9;
            frame = of(&frame, message, MessageType::MsgAppendResponse);
        }
        "snapshot" => {
            message.mut_snapshot().mut_metadata().index = status.last + 100;
            message.mut_snapshot().mut_metadata().term = status.term;
            frame = of(&frame, message, MessageType::MsgSnapshot);
        }
        _ => return Err("no such forgery".to_owned()),
    }
    let taken = cluster.deliver(proved, to, &frame).ok_or("it is down")?;
    cluster.say(&match taken {
        Ok(()) => format!("n{to} takes it"),
        Err(problem) => format!("n{to}: {problem}"),
    });
    // Whatever it was, it has changed nothing.
    let after = cluster.members[&to].status(cluster.now).ok_or("it is down")?;
    let facts = |status: &bellwether_raft::Status| {
        (
            status.term,
            status.leader,
            status.role,
            status.last,
            status.commit,
        )
    };
    assert_eq!(facts(&after), facts(&status));
    Ok(())
}

pub(crate) fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        ..Entry::default()
    }
}

/// A frame like `model` with a message of raft in it.
pub(crate) fn of(model: &[u8], mut message: Message, kind: MessageType) -> Vec<u8> {
    message.set_msg_type(kind);
    let mut frame = wrap(model, &message.write_to_bytes().expect("it can be written"));
    frame[KIND] = if kind == MessageType::MsgSnapshot { 2 } else { 1 };
    seal(&mut frame);
    frame
}

fn wrap(model: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frame = model[..FRAME_HEADER_LEN].to_vec();
    let len = u32::try_from(body.len()).expect("it is short");
    frame[LENGTH..LENGTH + 4].copy_from_slice(&len.to_be_bytes());
    frame[KIND] = 1;
    frame.extend_from_slice(body);
    frame.extend_from_slice(&[0; 4]);
    seal(&mut frame);
    frame
}

/// Gives a frame the checksum that it would have if it were honest.
pub(crate) fn seal(frame: &mut [u8]) {
    let body = frame.len() - 4;
    let sum = crc32fast::hash(&frame[..body]);
    frame[body..].copy_from_slice(&sum.to_be_bytes());
}
