//! A member that has lost its mind: it says things that look like messages, with honest headers and sums. What it
//! says may be refused or taken, but it stops nobody.

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;
#[allow(dead_code, reason = "other tests use the rest")]
mod forge;

use bellwether_raft::FRAME_HEADER_LEN;
use cluster::Cluster;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

/// How many groups are bothered, and how often each. `SEEDS=n` bothers so many.
const SEEDS: u64 = 20;
const FRAMES: u64 = 400;

#[test]
fn no_frame_stops_a_member() {
    let seeds = std::env::var_os("SEEDS").and_then(|text| text.to_str()?.parse().ok());
    for seed in 1..=seeds.unwrap_or(SEEDS) {
        let mut cluster = Cluster::new(seed);
        cluster.found(3);
        cluster.run(1000);
        cluster.call(1, |node, now| node.propose(now, b"one".to_vec(), 1));
        cluster.run(50);
        // Whoever lies about votes and acknowledgements can break the agreement; that is not the question here.
        cluster.checked = false;
        for nth in 0..FRAMES {
            let (from, to) = (1 + cluster.random(3), 1 + cluster.random(3));
            if let Some(frame) = bother(&mut cluster, from, to) {
                // Any outcome will do but a panic.
                let _ = cluster.deliver(from, to, &frame);
            }
            if nth % 4 == 0 {
                let pause = cluster.random(30);
                cluster.run(pause);
            }
        }
    }
}

/// A frame of `from` to `to`, made of the last honest one.
fn bother(cluster: &mut Cluster, from: u64, to: u64) -> Option<Vec<u8>> {
    let mut frame = cluster.last_frames.get(&(from, to))?.clone();
    if cluster.random(4) == 0 {
        // The header is honest, the body is anything.
        let end = frame.len() - 4;
        for _ in 0..=cluster.random(4) {
            let at = FRAME_HEADER_LEN + usize::try_from(cluster.random(1000)).ok()?;
            if at < end {
                frame[at] = u8::try_from(cluster.random(256)).ok()?;
            }
        }
        forge::seal(&mut frame);
        return Some(frame);
    }
    let body = &frame[FRAME_HEADER_LEN..frame.len() - 4];
    let mut message = match frame[5] {
        1 | 2 => Message::parse_from_bytes(body).ok()?,
        _ => Message::default(),
    };
    (message.from, message.to) = (from, to);
    for _ in 0..=cluster.random(4) {
        change(cluster, &mut message);
    }
    let kind = message.get_msg_type();
    Some(forge::of(&frame, message, kind))
}

/// Changes one thing about a message.
fn change(cluster: &mut Cluster, message: &mut Message) {
    const KINDS: [MessageType; 10] = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgTimeoutNow,
    ];
    let status = cluster.members[&message.to].status(cluster.now).expect("it runs");
    let near = [0, 1, 2, status.term, status.last, status.commit, 1 << 59]
        [usize::try_from(cluster.random(7)).expect("few")];
    let number = near + cluster.random(3);
    match cluster.random(11) {
        0 | 1 => message.set_msg_type(KINDS[usize::try_from(cluster.random(10)).expect("few")]),
        2 => message.term = status.term + cluster.random(2),
        3 => message.log_term = number,
        4 => message.index = number,
        5 => message.commit = number,
        6 => message.reject = !message.reject,
        7 => message.reject_hint = number,
        8 => message.commit_term = number,
        9 => message.entries.push(forge::entry(number, status.term)),
        _ => {
            let meta = message.mut_snapshot().mut_metadata();
            (meta.index, meta.term) = (number, status.term);
        }
    }
}
