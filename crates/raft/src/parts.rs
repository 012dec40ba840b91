//! A snapshot on its way to a member, in parts: one that goes out in one piece would hold up heartbeats and pings behind
//! it on the same connection, for a second on a slow line, and its receiver would be taken for dead and drop its leader.
//!
//! The next part leaves when the receiver has told that it has the one before, so that there is never more than one on
//! the way. Nothing is asked for again: if a part gets lost the sender sees no progress and begins anew.

use std::collections::BTreeMap;

use bellwether_core::Instant;

use crate::codec::{CodecError, Reader, put_bytes, put_len};
use crate::settings::{MAX_SNAPSHOT_BODY, MAX_SNAPSHOT_PART};

/// Which transfer of all: the sender's run, and a number that counts up in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransferId {
    pub(crate) session: u64,
    pub(crate) number: u64,
}

/// One part of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartBody<'a> {
    pub(crate) transfer: TransferId,
    /// How long the whole is.
    pub(crate) whole: usize,
    /// Where this part begins in it.
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> PartBody<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let body = Self {
            transfer: TransferId::read(&mut reader)?,
            whole: reader.len("length of a snapshot", MAX_SNAPSHOT_BODY)?,
            at: reader.len("place of a part", MAX_SNAPSHOT_BODY)?,
            bytes: reader.bytes("part of a snapshot", MAX_SNAPSHOT_PART)?,
        };
        reader.end("part of a snapshot")?;
        if body.bytes.is_empty() || body.at + body.bytes.len() > body.whole {
            return Err(CodecError::Value {
                what: "end of a part",
                value: (body.at + body.bytes.len()) as u64,
            });
        }
        Ok(body)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 28);
        self.transfer.write(&mut out);
        put_len(&mut out, self.whole);
        put_len(&mut out, self.at);
        put_bytes(&mut out, self.bytes);
        out
    }
}

/// How much of a snapshot its receiver has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenBody {
    pub(crate) transfer: TransferId,
    pub(crate) upto: usize,
}

impl TakenBody {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let body = Self {
            transfer: TransferId::read(&mut reader)?,
            upto: reader.len("what was taken of a snapshot", MAX_SNAPSHOT_BODY)?,
        };
        reader.end("what was taken of a snapshot")?;
        Ok(body)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        self.transfer.write(&mut out);
        put_len(&mut out, self.upto);
        out
    }
}

impl TransferId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            session: reader.u64("session of a transfer")?,
            number: reader.u64("number of a transfer")?,
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
    }
}

/// The snapshots that are under way from here, by receiver.
#[derive(Debug)]
pub(crate) struct Outgoing {
    session: u64,
    last_number: u64,
    part: usize,
    transfers: BTreeMap<u64, Transfer>,
}

#[derive(Debug)]
struct Transfer {
    number: u64,
    whole: Vec<u8>,
    /// How much of it the receiver has.
    taken: usize,
    /// When it last had more than before.
    progress: Instant,
}

impl Outgoing {
    /// `part` is how long a part may be.
    pub(crate) fn new(session: u64, part: usize) -> Self {
        Self {
            session,
            last_number: 0,
            part: part.clamp(1, MAX_SNAPSHOT_PART),
            transfers: BTreeMap::new(),
        }
    }

    /// Begins to send this; whatever was under way to the same member is given up. Gives the first part; `None` if it is
    /// all of it, so that it can be sent as it is.
    pub(crate) fn begin(&mut self, to: u64, whole: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.last_number += 1;
        let is_long = whole.len() > self.part;
        let transfer = Transfer {
            number: self.last_number,
            whole: if is_long { whole.to_vec() } else { Vec::new() },
            taken: 0,
            progress: now,
        };
        let first = is_long.then(|| transfer.next_part(self.session, self.part));
        self.transfers.insert(to, transfer);
        first
    }

    /// The receiver has told how much it has: gives the next part, and whether it is the last one.
    pub(crate) fn taken(&mut self, to: u64, body: &TakenBody, now: Instant) -> Option<(Vec<u8>, bool)> {
        let transfer = self.transfers.get_mut(&to)?;
        let id = TransferId {
            session: self.session,
            number: transfer.number,
        };
        if body.transfer != id || body.upto <= transfer.taken || body.upto >= transfer.whole.len() {
            return None;
        }
        transfer.taken = body.upto;
        transfer.progress = now;
        let is_last = transfer.whole.len() - transfer.taken <= self.part;
        Some((transfer.next_part(self.session, self.part), is_last))
    }

    /// It has arrived, or is given up. Gives whether anything was under way.
    pub(crate) fn end(&mut self, to: u64) -> bool {
        self.transfers.remove(&to).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.transfers.clear();
    }

    /// When the oldest progress was made.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.transfers.values().map(|transfer| transfer.progress).min()
    }

    /// Gives up what has made no progress since `before`, or at that moment; gives to whom that was under way.
    pub(crate) fn give_up(&mut self, is_late: impl Fn(Instant) -> bool) -> Vec<u64> {
        let late = self
            .transfers
            .extract_if(.., |_, transfer| is_late(transfer.progress));
        late.map(|(to, _)| to).collect()
    }
}

impl Transfer {
    fn next_part(&self, session: u64, part: usize) -> Vec<u8> {
        let end = (self.taken + part).min(self.whole.len());
        PartBody {
            transfer: TransferId {
                session,
                number: self.number,
            },
            whole: self.whole.len(),
            at: self.taken,
            bytes: &self.whole[self.taken..end],
        }
        .encode()
    }
}

/// The snapshot that is coming in: there is one at most, because one leads.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    from: u64,
    transfer: TransferId,
    bytes: Vec<u8>,
}

/// What a part has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// So much of the whole is there.
    Upto(usize),
    /// The whole is there.
    Whole(Vec<u8>),
    /// Nothing: what comes before it is not there.
    Gap,
}

impl Incoming {
    /// Takes in a part of member `from`. The first one of a transfer takes the place of whatever came in before.
    pub(crate) fn take(&mut self, from: u64, part: &PartBody<'_>) -> Came {
        let is_known = self.from == from && self.transfer == part.transfer;
        if part.at == 0 && !is_known {
            *self = Self {
                from,
                transfer: part.transfer,
                bytes: Vec::new(),
            };
        } else if !is_known || part.at > self.bytes.len() {
            return Came::Gap;
        }
        if part.at == self.bytes.len() {
            self.bytes.extend_from_slice(part.bytes);
        }
        if self.bytes.len() < part.whole {
            return Came::Upto(self.bytes.len());
        }
        Came::Whole(std::mem::take(self).bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn decode(bytes: &[u8]) -> PartBody<'_> {
        PartBody::decode(bytes).expect("a part")
    }

    fn taken(part: &PartBody<'_>, upto: usize) -> TakenBody {
        let transfer = part.transfer;
        let bytes = TakenBody { transfer, upto }.encode();
        TakenBody::decode(&bytes).expect("as written")
    }

    #[test]
    fn a_long_one_goes_part_by_part() {
        let mut outgoing = Outgoing::new(7, 4);
        let mut incoming = Incoming::default();
        let mut bytes = outgoing
            .begin(2, b"0123456789", NOW)
            .expect("too long for one part");
        let mut told = Vec::new();
        let whole = loop {
            let part = decode(&bytes);
            match incoming.take(1, &part) {
                Came::Whole(whole) => break whole,
                Came::Upto(upto) => {
                    // What is told twice brings no second part.
                    let body = taken(&part, upto);
                    let next = outgoing.taken(2, &body, NOW).expect("there is more");
                    assert_eq!(outgoing.taken(2, &body, NOW), None);
                    told.push((upto, next.1));
                    bytes = next.0;
                }
                Came::Gap => panic!("none is missing"),
            }
        };
        assert_eq!(whole, b"0123456789");
        assert_eq!(told, [(4, false), (8, true)]);
        assert!(incoming.bytes.is_empty());
        // It may have got lost behind the last part all the same.
        assert!(outgoing.end(2) && !outgoing.end(2));
    }

    #[test]
    fn a_short_one_needs_no_parts() {
        let mut outgoing = Outgoing::new(7, 4);
        assert_eq!(outgoing.begin(2, b"0123", NOW), None);
        assert_eq!(outgoing.oldest(), Some(NOW));
        let later = Instant::from_millis(9);
        assert_eq!(outgoing.begin(3, b"0", later), None);
        assert_eq!(outgoing.give_up(|progress| progress < later), [2]);
        assert_eq!(outgoing.oldest(), Some(later));
    }

    #[test]
    fn parts_that_do_not_follow_are_nothing() {
        let (mut outgoing, mut incoming) = (Outgoing::new(7, 4), Incoming::default());
        let first = outgoing.begin(2, b"0123456789", NOW).expect("parts");
        let body = taken(&decode(&first), 4);
        let (second, _) = outgoing.taken(2, &body, NOW).expect("the second");
        assert_eq!(incoming.take(1, &decode(&second)), Came::Gap);
        assert_eq!(incoming.take(1, &decode(&first)), Came::Upto(4));
        // Twice is as once; of another sender, or of another transfer, it is nothing.
        assert_eq!(incoming.take(1, &decode(&first)), Came::Upto(4));
        assert_eq!(incoming.take(3, &decode(&second)), Came::Gap);
        let again = outgoing.begin(2, b"abcdefghij", NOW).expect("parts");
        assert_eq!(outgoing.taken(2, &body, NOW), None);
        assert_eq!(incoming.take(1, &decode(&again)), Came::Upto(4));
        assert_eq!(incoming.take(1, &decode(&second)), Came::Gap);
    }

    #[test]
    fn what_cannot_be_a_part_is_refused() {
        let part = |whole, at, bytes| {
            let transfer = TransferId::default();
            let part = PartBody {
                transfer,
                whole,
                at,
                bytes,
            };
            PartBody::decode(&part.encode()).map(|part| part.at)
        };
        assert_eq!(part(4, 2, b"ab"), Ok(2));
        for (whole, at, bytes) in [
            (4, 3, &b"ab"[..]),
            (4, 4, b""),
            (MAX_SNAPSHOT_BODY + 1, 0, b"a"),
            (4, MAX_SNAPSHOT_BODY + 1, b"a"),
            (MAX_SNAPSHOT_BODY, 0, &vec![0; MAX_SNAPSHOT_PART + 1]),
        ] {
            assert!(part(whole, at, bytes).is_err(), "{whole} {at}");
        }
    }
}
