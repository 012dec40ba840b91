//! What goes between members: a header of our own around each message, with everything needed to refuse it before
//! anything is made of it.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `BWRF` |
//! | 1 | version |
//! | 1 | kind |
//! | 2 | how long its sender promises, in milliseconds: see the lease |
//! | 4 | length of the body |
//! | 16 | cluster id |
//! | 8, 8 | sender, receiver |
//! | 8, 8 | round, echo: see the lease |
//! | 8 | which log, by those with whom it began; 0 from one that does not know yet |
//! | … | body |
//! | 4 | CRC-32 of everything before it |
//!
//! TCP's checksum lets one damaged segment in some ten million through, and a damaged message can stop a member for
//! good; hence the sum at the end. It is no protection against forgery: that is the connection's task.

use crate::check::Unsound;
use crate::codec::{CodecError, Reader, put_bytes};
use crate::settings::{ClusterId, MAX_PAYLOAD_LEN, MAX_SNAPSHOT_PART};

const MAGIC: [u8; 4] = *b"BWRF";

/// The version of frames and of what is in them. A member refuses frames of any other.
pub const FRAME_VERSION: u8 = 1;

/// How many bytes come before the body: all that [`frame_len`] needs.
pub const FRAME_HEADER_LEN: usize = 68;

const CRC_LEN: usize = 4;

/// The largest body that is no snapshot: entries for one message, and as much again for the last of them.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// A snapshot that is longer goes in parts.
const MAX_SNAPSHOT_FRAME_BODY: usize = MAX_SNAPSHOT_PART + 1024;

/// The largest frame of all.
pub const MAX_FRAME_LEN: usize = FRAME_HEADER_LEN + MAX_BODY + CRC_LEN;

/// Why a frame was refused. It changed nothing; its connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It is no frame of ours.
    #[error("not a frame: it begins with {found:02x?}")]
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// It is of another version.
    #[error("frame of version {found}, this is version {FRAME_VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// It is of a kind that this version does not have.
    #[error("frame of unknown kind {found}")]
    Kind {
        /// The kind.
        found: u8,
    },
    /// It is longer than frames of its kind may be.
    #[error("frame of {len} bytes, at most {max} are taken")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// It does not have the length that it claims.
    #[error("frame of {found} bytes that claims to have {claimed}")]
    Length {
        /// What it has.
        found: usize,
        /// What it claims.
        claimed: usize,
    },
    /// It was damaged on its way.
    #[error("frame with a wrong checksum")]
    Checksum,
    /// It belongs to another group of members.
    #[error("frame of cluster {found}, this member belongs to {own}")]
    Cluster {
        /// Its cluster.
        found: ClusterId,
        /// Ours.
        own: ClusterId,
    },
    /// Its sender has a log that began with other members than ours, so what it holds there is none of ours.
    #[error(
        "the log of member {from} began with other members, or with some at other addresses: those that begin together \
         must all name the same 'member' lines, and one that joins must not name itself"
    )]
    OtherLog {
        /// The sender.
        from: u64,
    },
    /// It claims another sender than its connection has proved.
    #[error("frame of member {claimed} over the connection of member {proved}")]
    Sender {
        /// The id in the frame.
        claimed: u64,
        /// The id of the connection.
        proved: u64,
    },
    /// It is meant for another member.
    #[error("frame for member {to}, this is member {own}")]
    Receiver {
        /// For whom it is.
        to: u64,
        /// Who we are.
        own: u64,
    },
    /// Its sender has our id: two daemons run as one member.
    #[error("another daemon runs as member {id} too")]
    OwnId {
        /// The id.
        id: u64,
    },
    /// Its sender never was a member, as far as we know.
    #[error("member {from} is not known here")]
    Stranger {
        /// The sender.
        from: u64,
    },
    /// Its sender was removed from the group.
    #[error("member {from} was removed")]
    Removed {
        /// The sender.
        from: u64,
    },
    /// Its body cannot be read.
    #[error("unreadable frame")]
    Body(#[from] CodecError),
    /// It proposes what nobody could make sense of.
    #[error("unreadable proposal: {problem}")]
    Proposal {
        /// What is wrong.
        problem: String,
    },
    /// Its body is no message of raft.
    #[error("unreadable raft message: {problem}")]
    Message {
        /// What the decoder says.
        problem: String,
    },
    /// The message contradicts itself, or what is known for certain.
    #[error("unsound message")]
    Unsound(#[from] Unsound),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of raft.
    Raft = 1,
    /// The same with a snapshot, which may be far larger.
    Snapshot = 2,
    /// A proposal for the leader.
    Propose = 3,
    /// The leader's refusal of it.
    Refuse = 4,
    /// Who the members are, for one that may have missed it.
    Members = 5,
    /// A part of a snapshot that is too long for one frame.
    Part = 6,
    /// How much of such a snapshot has been taken.
    Taken = 7,
}

impl Kind {
    const fn of(byte: u8) -> Result<Self, BadFrame> {
        Ok(match byte {
            1 => Self::Raft,
            2 => Self::Snapshot,
            3 => Self::Propose,
            4 => Self::Refuse,
            5 => Self::Members,
            6 => Self::Part,
            7 => Self::Taken,
            found => return Err(BadFrame::Kind { found }),
        })
    }

    const fn max_body(self) -> usize {
        match self {
            Self::Snapshot | Self::Part => MAX_SNAPSHOT_FRAME_BODY,
            Self::Raft | Self::Propose | Self::Refuse | Self::Members | Self::Taken => MAX_BODY,
        }
    }
}

/// A frame whose header is in order.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) promise_ms: u16,
    pub(crate) cluster: ClusterId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) round: u64,
    pub(crate) echo: u64,
    pub(crate) log: u64,
    pub(crate) body: &'a [u8],
}

/// The length of the frame that begins with `bytes`; `None` as long as its header is not there. What is refused here
/// would be refused by [`Node::receive`](crate::Node::receive), after having been read in vain.
///
/// # Errors
///
/// No frame of ours begins like that, or it is too long.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, BadFrame> {
    let Some((header, _)) = bytes.split_first_chunk::<FRAME_HEADER_LEN>() else {
        return Ok(None);
    };
    let mut header = Reader::new(header);
    let magic = header.array("magic")?;
    if magic != MAGIC {
        return Err(BadFrame::Magic { found: magic });
    }
    let version = header.u8("version")?;
    if version != FRAME_VERSION {
        return Err(BadFrame::Version { found: version });
    }
    let kind = Kind::of(header.u8("kind")?)?;
    let [_, _] = header.array("promise")?;
    let body = header.u32("length")? as usize;
    let around = FRAME_HEADER_LEN + CRC_LEN;
    if body > kind.max_body() {
        return Err(BadFrame::TooLong {
            len: body.saturating_add(around),
            max: kind.max_body() + around,
        });
    }
    Ok(Some(body + around))
}

impl<'a> Frame<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadFrame> {
        let found = bytes.len();
        let claimed = frame_len(bytes)?.ok_or(BadFrame::Length {
            found,
            claimed: FRAME_HEADER_LEN + CRC_LEN,
        })?;
        if claimed != found {
            return Err(BadFrame::Length { found, claimed });
        }
        let (summed, sum) = bytes.split_at(found - CRC_LEN);
        if crc32fast::hash(summed).to_be_bytes() != *sum {
            return Err(BadFrame::Checksum);
        }
        let mut reader = Reader::new(summed);
        let [_, _, _, _, _, kind, high, low, ..] = reader.array::<12>("header")?;
        Ok(Self {
            kind: Kind::of(kind)?,
            promise_ms: u16::from_be_bytes([high, low]),
            cluster: ClusterId(u128::from_be_bytes(reader.array("cluster id")?)),
            from: reader.u64("sender")?,
            to: reader.u64("receiver")?,
            round: reader.u64("round")?,
            echo: reader.u64("echo")?,
            log: reader.u64("mark of the log")?,
            body: reader.rest(),
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER_LEN + self.body.len() + CRC_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FRAME_VERSION, self.kind as u8]);
        out.extend_from_slice(&self.promise_ms.to_be_bytes());
        crate::codec::put_len(&mut out, self.body.len());
        out.extend_from_slice(&self.cluster.0.to_be_bytes());
        for number in [self.from, self.to, self.round, self.echo, self.log] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.body);
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }
}

/// A proposal on its way to the leader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProposeBody<'a> {
    /// The term in which it is meant to be appended; a leader of another term says nothing to it.
    pub(crate) term: u64,
    pub(crate) session: u64,
    pub(crate) number: u64,
    /// Whether it changes the members.
    pub(crate) change: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> ProposeBody<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let body = Self {
            term: reader.u64("term")?,
            session: reader.u64("session")?,
            number: reader.u64("number of a proposal")?,
            change: match reader.u8("kind of proposal")? {
                0 => false,
                1 => true,
                value => {
                    return Err(CodecError::Value {
                        what: "kind of proposal",
                        value: value.into(),
                    });
                }
            },
            payload: reader.bytes("proposal", MAX_PAYLOAD_LEN)?,
        };
        reader.end("proposal")?;
        Ok(body)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 32);
        for number in [self.term, self.session, self.number] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(u8::from(self.change));
        put_bytes(&mut out, self.payload);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        Frame {
            kind: Kind::Raft,
            promise_ms: 300,
            cluster: ClusterId(5),
            from: 1,
            to: 2,
            round: 3,
            echo: 4,
            log: 5,
            body: b"body",
        }
        .encode()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = frame();
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!(
            (frame.kind, frame.promise_ms, frame.cluster),
            (Kind::Raft, 300, ClusterId(5))
        );
        assert_eq!((frame.from, frame.to, frame.round, frame.echo), (1, 2, 3, 4));
        assert_eq!(frame.log, 5);
        assert_eq!(frame.body, b"body");
        assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())));
        assert_eq!(frame_len(&bytes[..FRAME_HEADER_LEN - 1]), Ok(None));
    }

    #[test]
    fn any_single_damage_is_noticed() {
        let bytes = frame();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Frame::decode(&damaged).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Frame::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn length_is_judged_by_kind() {
        let mut bytes = frame();
        bytes[8..12].copy_from_slice(&(1024 * 1024_u32).to_be_bytes());
        assert!(matches!(frame_len(&bytes), Ok(Some(_))));
        bytes[5] = Kind::Part as u8;
        assert!(matches!(frame_len(&bytes), Err(BadFrame::TooLong { .. })));
        bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(frame_len(&bytes), Err(BadFrame::TooLong { .. })));
    }

    #[test]
    fn a_proposal_comes_through() {
        let body = ProposeBody {
            term: 1,
            session: 2,
            number: 3,
            change: true,
            payload: b"payload",
        };
        let mut bytes = body.encode();
        assert_eq!(ProposeBody::decode(&bytes), Ok(body));
        bytes.push(0);
        assert!(matches!(
            ProposeBody::decode(&bytes),
            Err(CodecError::Long { left: 1, .. })
        ));
    }
}
