//! Frames of others: who may say what. Nothing of a frame reaches raft before everything about it has been looked at.

use std::time::Duration;

use bellwether_core::Instant;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

use super::Node;
use crate::check::{Certain, TRANSFER, check};
use crate::frame::{BadFrame, Frame, Kind, ProposeBody};
use crate::member::Members;
use crate::parts::{Came, PartBody, TakenBody};
use crate::proposal::RefuseBody;
use crate::restore::FOUNDING;
use crate::settings::MAX_MEMBERS;

impl Node {
    /// Takes in a frame that came over a connection whose other end has proved to be member `from`. `now` must be read
    /// from the clock after the frame was read: a promise to a leader counts from there.
    ///
    /// # Errors
    ///
    /// The frame is not to be trusted. It has changed nothing here, and its connection is to be closed.
    pub fn receive(&mut self, now: Instant, from: u64, bytes: &[u8]) -> Result<(), BadFrame> {
        self.advance(now);
        let taken = self.take_frame(from, bytes);
        self.finish();
        taken
    }

    /// Somebody is a member though our log does not say so yet: the operator's word for it. Needed only when a member
    /// slept while others were replaced, and nobody whom it knows is left to tell it.
    pub fn introduce(&mut self, id: u64) {
        if self.introduced.len() < MAX_MEMBERS && id > self.members.highest {
            self.introduced.insert(id);
        }
    }

    /// Frames to a member were lost, or could not be sent: there is no connection.
    pub fn unreachable(&mut self, id: u64) {
        if self.is_leader() {
            self.raw.report_unreachable(id);
            if self.snapshots.end(id) {
                self.snapshot_failed(id);
            }
        }
        self.finish();
    }

    fn take_frame(&mut self, from: u64, bytes: &[u8]) -> Result<(), BadFrame> {
        let frame = Frame::decode(bytes)?;
        self.check_ends(from, &frame)?;
        match frame.kind {
            Kind::Raft | Kind::Snapshot => {
                let message = parse(frame.body)?;
                self.check_member(from, Some(message.get_msg_type()))?;
                self.take_message(message, &frame)?;
            }
            Kind::Part => {
                self.check_member(from, Some(MessageType::MsgSnapshot))?;
                self.take_part(from, &frame)?;
            }
            Kind::Taken => {
                self.check_member(from, None)?;
                let body = TakenBody::decode(frame.body)?;
                self.send_next_part(from, &body);
            }
            Kind::Propose => {
                self.check_member(from, None)?;
                let body = ProposeBody::decode(frame.body)?;
                if !body.change {
                    let read = (self.settings.readable.proposal)(body.payload);
                    read.map_err(|problem| BadFrame::Proposal { problem })?;
                }
                self.take_proposal(from, &body);
            }
            Kind::Refuse => {
                self.check_member(from, None)?;
                let body = RefuseBody::decode(frame.body)?;
                self.take_refusal(body);
            }
            Kind::Members => {
                self.check_member(from, None)?;
                let members = Members::decode(frame.body)?;
                self.take_hearsay(from, members);
            }
        }
        self.lease.heard(from, self.now);
        Ok(())
    }

    /// Takes in a part of a snapshot, and with the last one all of it.
    fn take_part(&mut self, from: u64, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let part = PartBody::decode(frame.body)?;
        match self.incoming.take(from, &part) {
            Came::Gap => Ok(()),
            Came::Upto(upto) => {
                let transfer = part.transfer;
                self.send(from, Kind::Taken, &TakenBody { transfer, upto }.encode());
                Ok(())
            }
            Came::Whole(whole) => {
                let (kind, body) = (Kind::Snapshot, &whole[..]);
                self.take_message(parse(body)?, &Frame { kind, body, ..*frame })
            }
        }
    }

    fn send_next_part(&mut self, to: u64, taken: &TakenBody) {
        let Some((part, is_last)) = self.snapshots.taken(to, taken, self.now) else {
            return;
        };
        // Only the last one makes its receiver hear of a leader.
        let round = if is_last { self.lease.speak(self.now) } else { 0 };
        self.send_in_round(to, Kind::Part, round, &part);
    }

    const fn check_ends(&self, proved: u64, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let (own, cluster) = (self.settings.id, self.settings.cluster);
        if frame.cluster.0 != cluster.0 {
            let (found, own) = (frame.cluster, cluster);
            return Err(BadFrame::Cluster { found, own });
        }
        if proved == own {
            return Err(BadFrame::OwnId { id: own });
        }
        if frame.from != proved {
            let claimed = frame.from;
            return Err(BadFrame::Sender { claimed, proved });
        }
        if frame.to != own {
            return Err(BadFrame::Receiver { to: frame.to, own });
        }
        let (theirs, ours) = (frame.log, self.members.log);
        if theirs != 0 && ours != 0 && theirs != ours {
            return Err(BadFrame::OtherLog { from: proved });
        }
        Ok(())
    }

    /// Whether it is a member, by our log or by what a member has told.
    fn check_member(&mut self, from: u64, kind: Option<MessageType>) -> Result<(), BadFrame> {
        let hearsay = self.hearsay.as_ref();
        let told = hearsay.is_some_and(|members| members.contains(from)) || self.introduced.contains(&from);
        if self.members.contains(from) || told {
            return Ok(());
        }
        if self.members.is_empty() {
            // We know nobody, and are about to be told by whoever leads.
            return match kind {
                Some(MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot) => Ok(()),
                _ => Err(BadFrame::Stranger { from }),
            };
        }
        if from > self.members.highest {
            // Perhaps we have missed something: whoever we know and knows more will answer.
            let own = self.settings.id;
            let others: Vec<u64> = self
                .members
                .addresses
                .keys()
                .copied()
                .filter(|id| *id != own)
                .collect();
            for id in others {
                self.tell_members(id);
            }
            return Err(BadFrame::Stranger { from });
        }
        self.tell_members(from);
        Err(BadFrame::Removed { from })
    }

    fn take_message(&mut self, message: Message, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let from = frame.from;
        let kind = message.get_msg_type();
        let raft = &self.raw.raft;
        let certain = Certain {
            id: self.settings.id,
            term: raft.term,
            leader: raft.leader_id,
            committed: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            log: raft.store(),
            readable: self.settings.readable,
        };
        let last = certain.last;
        check(&message, from, &certain)?;
        let (kind_is_snapshot, frame_is) = (kind == MessageType::MsgSnapshot, frame.kind == Kind::Snapshot);
        if kind_is_snapshot != frame_is {
            let problem = format!("{kind:?} in a frame of another kind");
            return Err(BadFrame::Message { problem });
        }
        let vote = matches!(kind, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if vote {
            // Whoever asks for votes has not heard of a leader: perhaps because it does not know it.
            self.tell_members(from);
            let bound = self.is_leader() || self.promise.binds(self.now);
            if bound && *message.context != *TRANSFER {
                return Ok(());
            }
            // A member with nothing but the founding may have lost its disk, and with it an entry that was committed
            // because it had it. Whoever founds with it has no more than that yet.
            if last <= FOUNDING && message.index > last {
                return Ok(());
            }
        }
        if kind == MessageType::MsgTimeoutNow && !self.disk.unsynced.is_empty() {
            // raft relies on a candidate having all of its log on disk.
            return Ok(());
        }
        let term = message.term;
        // What raft may answer is of no use here: that it knows no such member, for an answer that comes late.
        let _ = self.raw.step(message);
        self.draw_timeout();
        self.note_contact(kind, term, frame);
        Ok(())
    }

    fn note_contact(&mut self, kind: MessageType, term: u64, frame: &Frame<'_>) {
        let same_term = term == self.term();
        match kind {
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
                if same_term && self.leader() == frame.from =>
            {
                self.promise.renew(frame.from, term, frame.round, self.now);
            }
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse
                if same_term && self.is_leader() =>
            {
                let promise = Duration::from_millis(frame.promise_ms.into());
                self.lease.answered(frame.from, frame.echo, promise);
                if self
                    .raw
                    .raft
                    .prs()
                    .get(frame.from)
                    .is_none_or(|progress| progress.pending_snapshot == 0)
                {
                    self.snapshots.end(frame.from);
                }
            }
            _ => {}
        }
    }
}

fn parse(body: &[u8]) -> Result<Message, BadFrame> {
    Message::parse_from_bytes(body).map_err(|error| BadFrame::Message {
        problem: error.to_string(),
    })
}
