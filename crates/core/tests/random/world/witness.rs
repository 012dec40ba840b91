//! What has been on disk at any time, and whether what leaves was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bellwether_core::{
    Answer, Command, ConfigEpoch, Effect, Epoch, EventKind, GroupName, LinkId, LinkKind, Registry, SentinelId,
};

type Place = (String, u16);

/// Facts about one group that a reader of the disk could have seen at some time.
#[derive(Debug, Default)]
struct Known {
    configs: BTreeSet<(ConfigEpoch, Place)>,
    votes: BTreeSet<(Epoch, Option<SentinelId>)>,
    candidates: BTreeSet<Place>,
}

/// Remembers, and complains.
#[derive(Debug, Default)]
pub(super) struct Witness {
    disk: BTreeMap<GroupName, Known>,
    disk_epoch: Epoch,
    /// What each group's configuration was in memory, in this order.
    memory: BTreeMap<GroupName, Vec<(ConfigEpoch, Place)>>,
    last: Option<Registry>,
    /// Groups that were removed: what is told of them after that may never have been written.
    removed: BTreeSet<GroupName>,
    pub(super) writes: usize,
}

fn place(addr: &bellwether_core::Addr) -> Place {
    bellwether_core::wire_addr(addr)
}

impl Witness {
    /// This is on disk now.
    pub(super) fn durable(&mut self, registry: &Registry) {
        self.writes += 1;
        assert!(
            registry.current_epoch >= self.disk_epoch,
            "the epoch on disk went back"
        );
        self.disk_epoch = registry.current_epoch;
        for (name, record) in &registry.groups {
            let known = self.disk.entry(name.clone()).or_default();
            known
                .configs
                .insert((record.config_epoch, place(&record.primary)));
            known
                .votes
                .insert((record.vote.epoch, record.vote.candidate.clone()));
            let candidate = record
                .failover
                .as_ref()
                .and_then(|failover| failover.candidate.as_ref());
            known.candidates.extend(candidate.map(place));
        }
    }

    /// This is in memory now: nothing in it goes back.
    pub(super) fn registry(&mut self, now: &Registry) {
        if let Some(before) = &self.last {
            assert!(now.current_epoch >= before.current_epoch, "the epoch went back");
            for (name, old) in &before.groups {
                let Some(new) = now.groups.get(name) else {
                    self.removed.insert(name.clone());
                    continue;
                };
                assert!(
                    new.config_epoch >= old.config_epoch,
                    "{name}: the config epoch went back"
                );
                assert!(
                    new.vote.epoch >= old.vote.epoch,
                    "{name}: the epoch of the vote went back"
                );
                let same = new.vote.epoch == old.vote.epoch && new.vote.candidate.is_some();
                assert!(
                    !same || new.vote.candidate == old.vote.candidate,
                    "{name}: two votes in one epoch"
                );
            }
        }
        for (name, record) in &now.groups {
            let configs = self.memory.entry(name.clone()).or_default();
            let config = (record.config_epoch, place(&record.primary));
            if configs.last() != Some(&config) {
                configs.push(config);
            }
        }
        self.last = Some(now.clone());
    }

    /// This leaves now: what it tells of must be on disk.
    pub(super) fn visible(&self, effect: &Effect, links: &BTreeMap<LinkId, (LinkKind, SocketAddr)>) {
        match effect {
            Effect::Send { link, batch, .. } => {
                for (_, command) in batch {
                    self.sent(command, links.get(link));
                }
            }
            Effect::Answer {
                answer: Answer::Verdict {
                    leader, leader_epoch, ..
                },
                ..
            } if *leader_epoch > 0 => {
                let leader = SentinelId::new(leader).ok().filter(|_| leader != "*");
                assert!(
                    self.rules_out_another_vote(Epoch(*leader_epoch), leader.as_ref()),
                    "a vote for {leader:?} in {leader_epoch} is told that is not on disk"
                );
            }
            Effect::Event(event) if event.kind == EventKind::SwitchPrimary => {
                let words: Vec<&str> = event.payload.split(' ').collect();
                let [group, _, _, host, port] = words[..] else {
                    panic!("{event} has not five words");
                };
                self.is_primary(group, host, port.parse().expect("a port"), None);
            }
            Effect::Event(event) if event.kind == EventKind::NewEpoch => {
                let epoch = event.payload.parse().expect("an epoch");
                assert!(Epoch(epoch) <= self.disk_epoch, "{event} is not on disk");
            }
            Effect::Addresses(book) => {
                for (group, (host, port)) in &**book {
                    self.is_primary(group.as_str(), host, *port, None);
                }
            }
            _ => {}
        }
    }

    fn sent(&self, command: &Command, link: Option<&(LinkKind, SocketAddr)>) {
        match command {
            Command::Reconfigure { follow: None } => {
                let (kind, to) = link.expect("an order goes to a connection");
                let group = kind.group().expect("an order goes to a server");
                let disk = &self.disk[group];
                let mut configured = disk.configs.iter().map(|(_, primary)| primary);
                assert!(
                    disk.candidates.iter().any(|(_, port)| *port == to.port())
                        // After a hand-over that came to nothing.
                        || configured.any(|(_, port)| *port == to.port()),
                    "{to} is promoted, a choice that is not on disk"
                );
            }
            Command::Reconfigure {
                follow: Some((host, port)),
            } => {
                let group = link
                    .and_then(|(kind, _)| kind.group())
                    .expect("an order goes to a server");
                self.is_primary(group.as_str(), host, *port, None);
            }
            Command::Hello { message } => {
                let fields: Vec<&str> = message.split(',').collect();
                assert_eq!(fields.len(), 8, "{message}");
                let number = |at: usize| fields[at].parse::<u64>().expect("a number");
                assert!(Epoch(number(3)) <= self.disk_epoch, "{message} is not on disk");
                let port = u16::try_from(number(6)).expect("a port");
                self.is_primary(fields[4], fields[5], port, Some(ConfigEpoch(number(7))));
            }
            Command::AskDown { epoch, candidate, .. } => {
                assert!(
                    *epoch <= self.disk_epoch,
                    "epoch {epoch} is asked in and not on disk"
                );
                assert!(
                    candidate.is_none() || self.rules_out_another_vote(*epoch, candidate.as_ref()),
                    "votes are asked for a candidacy in {epoch} that is not on disk"
                );
            }
            Command::HandOver { to, .. } => {
                let (kind, _) = link.expect("an order goes to a connection");
                let group = kind.group().expect("an order goes to a server");
                assert!(
                    self.disk[group].candidates.iter().any(|(_, port)| *port == to.1),
                    "the role goes to {to:?}, a choice that is not on disk"
                );
            }
            Command::Frame { .. } | Command::TellView { .. } => panic!("nobody shares a log here"),
            Command::Ping
            | Command::Info
            | Command::InfoAndAck
            | Command::ScriptKill
            | Command::Release
            | Command::Unpause
            | Command::AbortHandOver => {}
        }
    }

    /// Whether no restart could lead to another vote in this epoch: it is on disk, with the candidate or with
    /// nobody after a reset, or a later one is, or the group is gone and new ones do not vote in old epochs.
    fn rules_out_another_vote(&self, epoch: Epoch, candidate: Option<&SentinelId>) -> bool {
        let mut votes = self.disk.values().flat_map(|known| &known.votes);
        let on_disk = votes.any(|(of, voted)| {
            let same = voted.is_none() || candidate.is_none() || voted.as_ref() == candidate;
            *of > epoch || (*of == epoch && same)
        });
        on_disk || (!self.removed.is_empty() && self.disk_epoch >= epoch)
    }

    /// Complains unless this was a group's primary on disk. Names and the addresses behind them differ, so it is
    /// the port that tells the servers apart.
    fn is_primary(&self, group: &str, host: &str, port: u16, epoch: Option<ConfigEpoch>) {
        if self.removed.contains(group) {
            return;
        }
        let (Some(disk), Some(memory)) = (self.disk.get(group), self.memory.get(group)) else {
            panic!("{group} is told of and not on disk");
        };
        let meant = |(of, (_, known)): &(ConfigEpoch, Place)| {
            *known == port && epoch.is_none_or(|epoch| epoch == *of)
        };
        // One that another replaced before it was written is as good as written with that one.
        let first = memory.iter().position(meant);
        let was =
            first.is_some_and(|first| memory[first..].iter().any(|config| disk.configs.contains(config)));
        assert!(
            was,
            "{host}:{port} is told as the primary of {group} ({epoch:?}), and is not on disk"
        );
    }
}
