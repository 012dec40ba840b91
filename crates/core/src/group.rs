//! What this coordinator knows of one group right now, and the turn in which it acts on it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::addr::Addr;
use crate::agreement::Duty;
use crate::context::{Context, LinkOwner};
use crate::failover::Run;
use crate::foreign::Foreign;
use crate::id::{ConfigEpoch, Epoch, GroupName, SentinelId};
use crate::instance::Instance;
use crate::instance::info::Role;
use crate::registry::{GroupOptions, GroupRecord};
use crate::time::Instant;

/// The options that matter at every turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) quorum: u32,
    pub(crate) down_after: Duration,
    pub(crate) failover_timeout: Duration,
    pub(crate) parallel_syncs: u32,
    pub(crate) reboot_down_after: Duration,
}

impl From<&GroupOptions> for Rules {
    fn from(options: &GroupOptions) -> Self {
        Self {
            quorum: options.quorum,
            down_after: options.down_after,
            failover_timeout: options.failover_timeout,
            parallel_syncs: options.parallel_syncs,
            reboot_down_after: options.reboot_down_after,
        }
    }
}

/// Another sentinel, as far as this group is concerned.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) sdown_since: Option<Instant>,
    /// It said that it sees the primary down.
    pub(crate) says_down: bool,
    pub(crate) asked_at: Option<Instant>,
    pub(crate) answered_at: Option<Instant>,
    /// Ask it as soon as possible.
    pub(crate) ask_now: bool,
    /// Whom it voted for, as it last told.
    pub(crate) vote: Option<(SentinelId, Epoch)>,
    pub(crate) hello_sent_at: Option<Instant>,
    /// Its last hello, or its creation before the first.
    pub(crate) hello_at: Instant,
    /// It was heard of since the group was last reset.
    pub(crate) confirmed: bool,
    /// The configuration that its last hello named.
    pub(crate) told_config: Option<ToldConfig>,
    /// Where a log is shared: whether it was told that the primary is down, and when.
    pub(crate) told_view: Option<(bool, Instant)>,
}

impl View {
    const fn new(now: Instant) -> Self {
        Self {
            sdown_since: None,
            says_down: false,
            asked_at: None,
            answered_at: None,
            ask_now: true,
            vote: None,
            hello_sent_at: None,
            hello_at: now,
            told_config: None,
            told_view: None,
            confirmed: true,
        }
    }
}

/// A configuration as a peer holds it.
#[derive(Clone, Debug)]
pub(crate) struct ToldConfig {
    pub(crate) epoch: ConfigEpoch,
    pub(crate) primary: Addr,
    /// When it said so.
    pub(crate) at: Instant,
    /// It has been down since: it may hold another by now.
    pub(crate) was_down: bool,
}

/// A leader that got our vote, and whose failover we wait for.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) leader: SentinelId,
    pub(crate) since: Instant,
}

/// One monitored group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: GroupName,
    pub(crate) rules: Rules,
    /// Which of the instances is the primary.
    pub(crate) primary: Addr,
    pub(crate) instances: BTreeMap<Addr, Instance>,
    pub(crate) views: BTreeMap<SentinelId, View>,
    pub(crate) odown_since: Option<Instant>,
    /// The failover that is led here.
    pub(crate) run: Option<Run>,
    pub(crate) followed: Option<Followed>,
    /// When this coordinator stands for election, its rank considered.
    pub(crate) stands_at: Option<Instant>,
    /// When a failover that an operator ordered is tried again, and how often it was.
    pub(crate) order_again_at: Option<Instant>,
    pub(crate) order_tries: u32,
    /// No automatic failover before this.
    pub(crate) retry_at: Instant,
    /// The last attempt found no replica to promote: the next waits for one.
    pub(crate) lacks_replica: bool,
    /// The server that another coordinator may have told to hand over, and until when.
    pub(crate) hushed: Option<(Addr, Instant)>,
    /// Attempts that failed since the primary went down.
    pub(crate) failed_attempts: u32,
    /// Who installed the present configuration, if that is known and it has been there since.
    pub(crate) config_from: Option<SentinelId>,
    pub(crate) config_changed_at: Instant,
    /// When the group was reset, while it is not clear yet who is still there.
    pub(crate) reset_at: Option<Instant>,
    /// Since when others see the primary down, but not this coordinator, which leads.
    pub(crate) blind_since: Option<Instant>,
    /// Sentinels that watch the same primary and do not share our log.
    pub(crate) foreign: BTreeMap<SentinelId, Foreign>,
}

impl Group {
    /// A group as the registry has it, with nothing observed yet.
    pub(crate) fn new(name: GroupName, record: &GroupRecord, cx: &mut Context) -> Self {
        let now = cx.now;
        let mut instances = BTreeMap::from([(record.primary.clone(), Instance::new(now, Role::Primary))]);
        for replica in &record.replicas {
            instances.insert(replica.clone(), Instance::new(now, Role::Replica));
        }
        let mut group = Self {
            name,
            rules: (&record.options).into(),
            primary: record.primary.clone(),
            instances,
            views: BTreeMap::new(),
            odown_since: None,
            run: None,
            followed: None,
            stands_at: None,
            order_again_at: None,
            order_tries: 0,
            retry_at: now,
            lacks_replica: false,
            hushed: None,
            failed_attempts: 0,
            config_from: None,
            config_changed_at: now,
            reset_at: None,
            blind_since: None,
            foreign: BTreeMap::new(),
        };
        for (id, addr) in &record.sentinels {
            group.add_view(id, addr, cx);
        }
        group
    }

    /// Knows another sentinel from now on.
    pub(crate) fn add_view(&mut self, id: &SentinelId, addr: &Addr, cx: &mut Context) {
        let down_after = self.rules.down_after;
        let now = cx.now;
        let peer = cx
            .peers
            .entry(id.clone())
            .or_insert_with(|| crate::peer::Peer::new(now, addr.clone(), down_after));
        peer.shortest_down_after = peer.shortest_down_after.min(down_after);
        if self.views.insert(id.clone(), View::new(now)).is_none() {
            peer.owners += 1;
        }
    }

    /// Forgets a sentinel; its link goes with the last group that knew it.
    pub(crate) fn remove_view(&mut self, id: &SentinelId, cx: &mut Context) {
        if self.views.remove(id).is_none() {
            return;
        }
        let Some(peer) = cx.peers.get_mut(id) else { return };
        peer.owners = peer.owners.saturating_sub(1);
        if peer.owners == 0
            && let Some(peer) = cx.peers.remove(id)
        {
            cx.close_link(&peer.link);
        }
    }

    /// Forgets an instance, its link included.
    pub(crate) fn remove_instance(&mut self, addr: &Addr, cx: &mut Context) {
        if let Some(instance) = self.instances.remove(addr) {
            cx.close_link(&instance.link);
        }
    }

    /// Decides and acts on all facts at hand. Gives the time of the next turn.
    pub(crate) fn evaluate(&mut self, cx: &mut Context) -> Option<Instant> {
        cx.take_alarm();
        self.keep_links(cx);
        if !cx.tilt.is_on() {
            self.judge_instances(cx);
            self.judge_sentinels(cx);
            self.judge_primary(cx);
            self.do_duty(cx);
        }
        self.ask_peers(cx);
        self.talk(cx);
        cx.take_alarm()
    }

    /// Does what falls to this coordinator.
    fn do_duty(&mut self, cx: &mut Context) {
        match cx.agreement.duty(cx.now, &self.name) {
            Duty::Act => {
                self.resume_failover(cx);
                if self.follows_newer_config(cx) {
                    return;
                }
                self.drive_failover(cx);
                self.repair(cx);
                self.forget_absent(cx);
                self.yield_if_blind(cx);
            }
            Duty::Wait => {}
            Duty::Rest => self.stand_back(cx),
        }
    }

    fn keep_links(&mut self, cx: &mut Context) {
        for (addr, instance) in &mut self.instances {
            let owner = || LinkOwner::Instance(self.name.clone(), addr.clone());
            cx.keep_link(&mut instance.link, addr, owner);
        }
    }

    /// The role that we hold an instance in.
    pub(crate) fn role_of(&self, addr: &Addr) -> Role {
        if *addr == self.primary {
            Role::Primary
        } else {
            Role::Replica
        }
    }

    /// The words by which events name an instance.
    pub(crate) fn describe(&self, cx: &Context, addr: &Addr) -> String {
        cx.describe(&self.name, &self.primary, addr, self.role_of(addr))
    }

    /// The words by which events name the primary.
    pub(crate) fn describe_primary(&self, cx: &Context) -> String {
        cx.describe(&self.name, &self.primary, &self.primary, Role::Primary)
    }

    pub(crate) fn primary_instance(&self) -> Option<&Instance> {
        self.instances.get(&self.primary)
    }

    pub(crate) fn primary_is_sdown(&self) -> bool {
        self.primary_instance().is_some_and(Instance::is_sdown)
    }

    /// All instances but the primary.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = (&Addr, &Instance)> {
        self.instances.iter().filter(|(addr, _)| **addr != self.primary)
    }

    /// The instance at this place, whatever the address is written like.
    pub(crate) fn find_instance(&self, cx: &Context, addr: &Addr) -> Option<&Addr> {
        if let Some((known, _)) = self.instances.get_key_value(addr) {
            return Some(known);
        }
        self.instances.keys().find(|known| cx.names.same(known, addr))
    }
}
