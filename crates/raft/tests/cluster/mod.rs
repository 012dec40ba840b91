//! Members of one group around a clock, a network and disks of our own. Everything follows from the commands and a
//! seed. What is said here about the members holds in every test: see `invariants`.

mod disk;
mod invariants;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bellwether_core::{Instant, whole_millis};
use bellwether_raft::{ClusterId, Committed, DropReason, FRAME_HEADER_LEN, Node, Settings, Status};

pub(crate) use disk::Disk;
pub(crate) use invariants::Invariants;

/// What a frame has besides a part of a snapshot: its own header, that of the part and the checksum.
const PART_OVERHEAD: usize = FRAME_HEADER_LEN + 28 + 4;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xb311);

/// What runs, or ran, as one member.
pub(crate) struct Member {
    pub(crate) node: Option<Node>,
    pub(crate) disk: Disk,
    /// When it was started, and how many of its milliseconds pass in a thousand.
    boot: u64,
    pub(crate) rate: u64,
    /// The index of the last thing it was given.
    upto: u64,
    /// Everything it applied as text, for snapshots.
    pub(crate) state: Vec<String>,
    shown: Option<String>,
}

/// The whole group.
pub(crate) struct Cluster {
    pub(crate) now: u64,
    pub(crate) members: BTreeMap<u64, Member>,
    founders: BTreeMap<u64, String>,
    seed: u64,
    random: u64,
    starts: u64,
    /// Frames by the time of their arrival.
    under_way: BTreeMap<(u64, u64), (u64, u64, Vec<u8>)>,
    sent: u64,
    /// Connections that lose everything, by sender and receiver.
    cut: BTreeSet<(u64, u64)>,
    /// How many frames in a hundred are lost, and between which bounds the others are delayed.
    pub(crate) loss: u64,
    pub(crate) delay: (u64, u64),
    pub(crate) settings: Settings,
    pub(crate) invariants: Invariants,
    /// Whether members keep what they have applied over a crash, and say so when they start.
    pub(crate) keeps_state: bool,
    /// Whether the members can be expected to agree.
    pub(crate) checked: bool,
    output: Vec<String>,
    pub(crate) outcomes: BTreeMap<u64, String>,
    /// The last frame from each to each.
    pub(crate) last_frames: BTreeMap<(u64, u64), Vec<u8>>,
    /// Frames that were refused although nobody forged any.
    pub(crate) refused: u64,
    /// How many parts of snapshots were sent.
    pub(crate) parts: u64,
}

impl Member {
    fn local(&self, now: u64) -> Instant {
        Instant::from_millis(now.saturating_sub(self.boot) * self.rate / 1000)
    }

    fn global(&self, local: Instant) -> u64 {
        self.boot + (whole_millis(local.since_start()) * 1000).div_ceil(self.rate) + 1
    }

    pub(crate) fn status(&self, now: u64) -> Option<Status> {
        let local = self.local(now);
        self.node.as_ref().map(|node| node.status(local))
    }

    pub(crate) fn may_act(&self, now: u64) -> bool {
        let local = self.local(now);
        self.node.as_ref().is_some_and(|node| node.may_act(local))
    }
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            members: BTreeMap::new(),
            founders: BTreeMap::new(),
            seed,
            random: seed | 1,
            starts: 0,
            under_way: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            loss: 0,
            delay: (1, 1),
            settings: Settings::new(1, CLUSTER, 0),
            invariants: Invariants::default(),
            keeps_state: false,
            checked: true,
            output: Vec::new(),
            outcomes: BTreeMap::new(),
            last_frames: BTreeMap::new(),
            refused: 0,
            parts: 0,
        }
    }

    /// A random number below `bound`.
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn settings(&mut self, id: u64) -> Settings {
        self.starts += 1;
        Settings {
            id,
            seed: self.seed.wrapping_mul(1000) + self.starts,
            ..self.settings.clone()
        }
    }

    /// Whom those that are started from now on with an empty disk take for the founders.
    pub(crate) fn name_founders(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.founders = ids.into_iter().map(|id| (id, format!("host{id}:1"))).collect();
    }

    pub(crate) fn found(&mut self, count: u64) {
        self.name_founders(1..=count);
        for id in 1..=count {
            self.start(id).expect("founders can start");
        }
    }

    /// Starts a member, with whatever is on its disk.
    pub(crate) fn start(&mut self, id: u64) -> Result<(), String> {
        let before = self.members.remove(&id);
        let (disk, mut state, mut upto) = match before {
            Some(before) => (before.disk, before.state, before.upto),
            None => (Disk::new(), Vec::new(), 0),
        };
        if !self.keeps_state || disk.lost {
            (state, upto) = (Vec::new(), 0);
            self.invariants.forgot(id);
        }
        let settings = self.settings(id);
        let mut restored = disk.restored();
        // A founder that died before its first write has said nothing yet, and begins again.
        let founds = restored.is_empty() && self.founders.contains_key(&id) && !disk.lost;
        restored.applied = if founds { 0 } else { upto };
        let node = match founds {
            true => Node::found(settings, &self.founders, b"", &restored, Instant::ZERO),
            false => Node::new(settings, restored, Instant::ZERO),
        };
        let node = node.map_err(|error| error.to_string())?;
        self.run_member(id, disk, node, (state, upto));
        Ok(())
    }

    fn run_member(&mut self, id: u64, disk: Disk, node: Node, (state, upto): (Vec<String>, u64)) {
        let member = Member {
            node: Some(node),
            disk,
            boot: self.now,
            rate: 1000,
            upto,
            state,
            shown: None,
        };
        self.members.insert(id, member);
        self.drain(id);
    }

    pub(crate) fn crash(&mut self, id: u64, kept: bool) {
        let member = self.members.get_mut(&id).expect("a member");
        member.node = None;
        member.shown = None;
        member.disk.crash(kept);
    }

    pub(crate) fn cut(&mut self, from: u64, to: u64) {
        self.cut.extend([(from, to), (to, from)]);
    }

    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Calls a member's node, then carries out what it wants.
    pub(crate) fn call<T>(&mut self, id: u64, call: impl FnOnce(&mut Node, Instant) -> T) -> Option<T> {
        let member = self.members.get_mut(&id)?;
        let local = member.local(self.now);
        let node = member.node.as_mut()?;
        node.handle_time(local);
        let result = call(node, local);
        self.drain(id);
        Some(result)
    }

    /// Delivers a frame, forged or not.
    pub(crate) fn deliver(&mut self, from: u64, to: u64, frame: &[u8]) -> Option<Result<(), String>> {
        let member = self.members.get_mut(&to)?;
        let local = member.local(self.now);
        let taken = member.node.as_mut()?.receive(local, from, frame);
        self.drain(to);
        Some(taken.map_err(|error| chain(&error)))
    }

    /// Lets `millis` pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    fn next_event(&self) -> Option<u64> {
        let frame = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let write = self
            .members
            .values()
            .filter_map(|member| member.disk.under_way.as_ref());
        let deadline = self.members.values().filter_map(|member| {
            let deadline = member.node.as_ref()?.poll_deadline()?;
            Some(member.global(deadline))
        });
        let write = write.map(|(at, _)| *at).min();
        [frame, write, deadline.min()].into_iter().flatten().min()
    }

    fn turn(&mut self) {
        while let Some(first) = self
            .under_way
            .first_entry()
            .filter(|first| first.key().0 <= self.now)
        {
            let (from, to, frame) = first.remove();
            if !self.members.contains_key(&from) || self.cut.contains(&(from, to)) {
                continue;
            }
            if let Some(Err(problem)) = self.deliver(from, to, &frame) {
                // Whoever was removed is the last to hear of it, and whoever slept knows no newcomers.
                let is_plain = problem.ends_with("was removed") || problem.ends_with("is not known here");
                self.refused += u64::from(!is_plain);
                self.say(&format!("n{to} refuses n{from}: {problem}"));
            }
        }
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("a member");
            if member
                .disk
                .under_way
                .as_ref()
                .is_some_and(|(at, _)| *at <= self.now)
            {
                let seq = member.disk.sync();
                member.node.as_mut().expect("a disk at work").written(seq);
                self.drain(id);
            }
            self.call(id, |_, _| ());
        }
        if self.checked {
            self.check();
        }
    }

    /// Carries out what a member wants.
    fn drain(&mut self, id: u64) {
        let Some(mut node) = self.members.get_mut(&id).and_then(|member| member.node.take()) else {
            return;
        };
        while let Some((to, frame)) = node.poll_frame() {
            if self.checked {
                Invariants::sent(id, &frame, &self.members[&id].disk);
            }
            if matches!(frame[5], 2 | 6) {
                let longest = self.settings.snapshot_part + PART_OVERHEAD;
                assert!(frame.len() <= longest, "{} bytes in one frame", frame.len());
                self.parts += u64::from(frame[5] == 6);
            }
            self.last_frames.insert((id, to), frame.clone());
            self.send(id, to, frame);
        }
        while let Some(committed) = node.poll_committed() {
            self.take_committed(id, committed);
        }
        while let Some(dropped) = node.poll_dropped() {
            let maybe = if dropped.reason == DropReason::Unknown {
                ""
            } else {
                "dropped: "
            };
            self.outcome(id, dropped.token, &format!("{maybe}{}", dropped.reason));
        }
        let now = self.now;
        let member = self.members.get_mut(&id).expect("a member");
        if let Some(write) = node.poll_write() {
            assert!(member.disk.under_way.is_none(), "two writes at once");
            member.disk.under_way = Some((now + member.disk.takes, write));
        }
        member.node = Some(node);
        self.show(id);
    }

    fn send(&mut self, from: u64, to: u64, frame: Vec<u8>) {
        let lost = self.random(100) < self.loss || self.cut.contains(&(from, to));
        let (least, most) = self.delay;
        let delay = least + self.random(most - least + 1);
        if !lost {
            self.sent += 1;
            self.under_way
                .insert((self.now + delay, self.sent), (from, to, frame));
        }
    }

    fn take_committed(&mut self, id: u64, committed: Committed) {
        let member = self.members.get_mut(&id).expect("a member");
        match committed {
            Committed::Entry {
                index,
                term,
                payload,
                token,
            } => {
                let text = String::from_utf8(payload).expect("a text was proposed");
                member.upto = index;
                member.state.push(text.clone());
                if self.checked {
                    self.invariants.committed(id, index, term, &text);
                }
                if let Some(token) = token {
                    self.outcome(id, token, &format!("committed at {index}"));
                }
            }
            Committed::Snapshot { index, data, .. } => {
                let text = String::from_utf8(data).expect("a text was snapshotted");
                member.state = text.split_terminator('\n').map(str::to_owned).collect();
                member.upto = index;
                let entries = member.state.len();
                if self.checked {
                    self.invariants.installed(id, index, &member.state);
                }
                if index > 1 {
                    self.say(&format!(
                        "n{id} begins with a snapshot at {index} of {entries} entries"
                    ));
                }
            }
            Committed::Members {
                index,
                members,
                token,
            } => {
                member.upto = index;
                let mut text = format!("n{id} sees voters {:?}", members.voters);
                for (name, set) in [("leaving", &members.outgoing), ("learners", &members.learners)] {
                    if !set.is_empty() {
                        write!(text, ", {name} {set:?}").expect("writing to a string");
                    }
                }
                self.say(&text);
                if let Some(token) = token {
                    self.outcome(id, token, "the members are changed");
                }
            }
        }
    }

    fn outcome(&mut self, id: u64, token: u64, outcome: &str) {
        let again = self.outcomes.insert(token, outcome.to_owned());
        assert_eq!(again, None, "proposal {token} has two outcomes, now {outcome}");
        self.say(&format!("n{id} proposal {token}: {outcome}"));
    }

    /// Has a member make a snapshot of all that it has applied.
    pub(crate) fn snapshot(&mut self, id: u64) -> Result<(), String> {
        let member = &self.members[&id];
        let upto = member.upto;
        let state: String = member.state.iter().map(|text| format!("{text}\n")).collect();
        let taken = self.call(id, |node, _| node.snapshot(upto, state.as_bytes()));
        taken.expect("it runs").map_err(|error| error.to_string())
    }

    /// Shows role, term and leader of a member when they have changed.
    fn show(&mut self, id: u64) {
        let member = self.members.get_mut(&id).expect("a member");
        let Some(status) = member.status(self.now) else {
            return;
        };
        let mut shown = format!("n{id} {:?} in term {}", status.role, status.term).to_lowercase();
        if status.leader != 0 && status.leader != id {
            write!(shown, " of n{}", status.leader).expect("writing to a string");
        }
        if member.shown.as_ref() != Some(&shown) {
            member.shown = Some(shown.clone());
            self.say(&shown);
        }
    }

    fn check(&mut self) {
        let now = self.now;
        for (id, member) in &self.members {
            if let Some(status) = member.status(now) {
                self.invariants.role(*id, &status);
            }
        }
        let acting: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.may_act(now))
            .collect();
        assert!(
            acting.len() <= 1,
            "at {now} these may act: {:?}",
            acting.iter().map(|(id, _)| id).collect::<Vec<_>>()
        );
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        self.members
            .iter()
            .find(|(_, member)| member.may_act(self.now))
            .map(|(id, _)| *id)
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.output.push(format!("{} {text}", self.now));
    }

    pub(crate) fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }
}

/// An error with all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a string");
        cause = error.source();
    }
    text
}
