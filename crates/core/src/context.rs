//! What every part of the core shares besides the groups themselves: time, randomness, links, the way out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::addr::{Addr, Host, HostName};
use crate::agreement::Agreement;
use crate::bugs::{self, Bug};
use crate::decision::Decision;
use crate::effect::{Command, Credentials, Effect, LinkKind};
use crate::event::{Event, EventKind, Level, MAX_PAYLOAD_LEN};
use crate::id::{ClientToken, GroupName, LinkId, RequestId, SentinelId};
use crate::instance::info::Role;
use crate::instance::link::Link;
use crate::names::Names;
use crate::outbox::{Outbox, is_order};
use crate::peer::Peer;
use crate::registry::{GroupOptions, Registry};
use crate::request::Answer;
use crate::settings::Settings;
use crate::tilt::Tilt;
use crate::time::Instant;
use crate::tunables::Tunables;

/// How many commands may be unanswered on the link to another sentinel before no more questions of groups go there. All groups
/// share it, and hundreds of them may lose their primaries at once: what the driver would not take ends the link, and with it
/// all that the log and elections need.
const MAX_QUESTIONS_PENDING: u32 = 64;

/// How many questions to peers may be without an answer: ten for each of 10,000 groups.
const MAX_QUESTIONS: usize = 100_000;

/// How many addresses of our own are remembered: more than a machine has, network interfaces that come and go
/// included.
const MAX_ANNOUNCED: usize = 64;

/// How often another coordinator with our id is spoken of. Its hellos come every two seconds on every server.
const ID_TAKEN_SPACING: Duration = Duration::from_secs(60);

/// How often it is told of one member that frames are refused: they come many times a second.
const REFUSED_SPACING: Duration = Duration::from_secs(60);

/// Of how many that is remembered. Nobody proves which member a frame is of.
const MAX_REFUSED: usize = 32;

/// Where the process ends for a drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CrashPoints {
    pub(crate) after_election: bool,
    pub(crate) after_promotion: bool,
}

impl CrashPoints {
    /// As `INFO` shows them.
    pub(crate) const fn bits(self) -> u8 {
        self.after_election as u8 | (self.after_promotion as u8) << 1
    }
}

/// Whose link it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkOwner {
    Instance(GroupName, Addr),
    Peer(SentinelId),
}

/// The shared part of a coordinator.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Instant,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) agreement: Box<dyn Agreement>,
    pub(crate) out: Outbox,
    pub(crate) rng: Xoshiro256PlusPlus,
    pub(crate) names: Names,
    pub(crate) peers: BTreeMap<SentinelId, Peer>,
    pub(crate) owners: BTreeMap<LinkId, LinkOwner>,
    pub(crate) tilt: Tilt,
    pub(crate) tunables: Tunables,
    /// What `SENTINEL SIMULATE-FAILURE` asked for.
    pub(crate) crash_points: CrashPoints,
    pub(crate) touched: BTreeSet<GroupName>,
    pub(crate) touched_peers: BTreeSet<SentinelId>,
    /// What is applied now was decided before this start, or before we were a member: nobody is told of it again.
    pub(crate) is_past: bool,
    pub(crate) odd_inputs: u64,
    pub(crate) link_failures: u64,
    next_link: u64,
    next_request: u64,
    /// Which group and which primary a question to a peer was about, while the answer is out.
    questions: BTreeMap<RequestId, (GroupName, Addr)>,
    alarm: Option<Instant>,
    /// How our hellos begin: the address, one per way into the network, and our id.
    announced: Vec<String>,
    /// When another coordinator with our id was last spoken of.
    id_taken_at: Option<Instant>,
    /// Of whom it was told that frames are refused, and when last.
    refused: BTreeMap<String, Instant>,
    /// Where the members of the log are whom all groups share, ourselves not included.
    pub(crate) members: BTreeMap<SentinelId, Addr>,
    /// What clients are answered when what they asked for is decided, if it is more than that it is.
    promised: BTreeMap<ClientToken, Answer>,
}

impl Context {
    pub(crate) fn new(
        settings: Settings,
        registry: Registry,
        agreement: Box<dyn Agreement>,
        now: Instant,
    ) -> Self {
        Self {
            now,
            names: Names::new(
                registry.globals.resolve_hostnames,
                registry.globals.announce_hostnames,
            ),
            rng: Xoshiro256PlusPlus::seed_from_u64(settings.seed),
            settings,
            out: if agreement.log().is_some() {
                Outbox::logged(registry.current_epoch)
            } else {
                Outbox::new(registry.current_epoch)
            },
            registry,
            agreement,
            peers: BTreeMap::new(),
            owners: BTreeMap::new(),
            tilt: Tilt::default(),
            tunables: Tunables::default(),
            crash_points: CrashPoints::default(),
            touched: BTreeSet::new(),
            touched_peers: BTreeSet::new(),
            questions: BTreeMap::new(),
            is_past: false,
            odd_inputs: 0,
            link_failures: 0,
            next_link: 0,
            next_request: 0,
            alarm: None,
            announced: Vec::new(),
            id_taken_at: None,
            refused: BTreeMap::new(),
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
        }
    }

    /// Whether `at` has come; if not, whoever is being evaluated is woken then.
    pub(crate) fn due(&mut self, at: Instant) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake_at(at);
        false
    }

    /// Makes sure that whoever is being evaluated is evaluated again at `at`.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |earlier| earlier.min(at)));
    }

    /// The earliest time asked for since the last call.
    pub(crate) const fn take_alarm(&mut self) -> Option<Instant> {
        self.alarm.take()
    }

    pub(crate) fn touch(&mut self, group: &GroupName) {
        if !self.touched.contains(group) {
            self.touched.insert(group.clone());
        }
    }

    /// Makes sure that the link and pings of a peer are looked at in this turn.
    pub(crate) fn wake_peer(&mut self, id: &SentinelId) {
        if !self.touched_peers.contains(id) {
            self.touched_peers.insert(id.clone());
        }
    }

    /// Remembers what a question to a peer is about.
    pub(crate) fn asked(&mut self, request: RequestId, group: &GroupName, primary: &Addr) {
        if self.questions.len() >= MAX_QUESTIONS {
            // The oldest has been without an answer for longest: its link is gone or its peer is hung.
            self.questions.pop_first();
        }
        self.questions.insert(request, (group.clone(), primary.clone()));
    }

    /// The group and the primary that an answered question was about.
    pub(crate) fn take_question(&mut self, request: RequestId) -> Option<(GroupName, Addr)> {
        self.questions.remove(&request)
    }

    /// Puts forward what follows from what was seen.
    pub(crate) fn propose(&mut self, decision: Decision) {
        self.agreement.conclude(decision);
    }

    /// Has a client answered with more than that its order was carried out, once it is.
    pub(crate) fn promise(&mut self, token: ClientToken, answer: Answer) {
        self.promised.insert(token, answer);
    }

    /// What a client is answered whose order was carried out.
    pub(crate) fn promised(&mut self, token: ClientToken) -> Answer {
        self.promised.remove(&token).unwrap_or(Answer::Ok)
    }

    /// Has another coordinator lead where one does so for all groups: this one sees less than others do.
    pub(crate) fn step_aside(&mut self, to: Option<&SentinelId>) {
        let now = self.now;
        if let Some(log) = self.agreement.log_mut() {
            log.step_aside(now, to);
        }
    }

    /// Answers a client that changed something, or learns of a vote, once everything decided so far is on disk.
    pub(crate) fn answer(&mut self, token: ClientToken, answer: Answer) {
        self.out.push_durable(Effect::Answer { token, answer });
    }

    /// Answers a client that only looks.
    pub(crate) fn answer_read(&mut self, token: ClientToken, answer: Answer) {
        self.out.push_read(Effect::Answer { token, answer });
    }

    /// Answers a client at once: nothing in the answer depends on the disk.
    pub(crate) fn answer_now(&mut self, token: ClientToken, answer: Answer) {
        self.out.push(Effect::Answer { token, answer });
    }

    /// Tells of an event. `reason` is one sentence for people.
    pub(crate) fn event(
        &mut self,
        kind: EventKind,
        group: Option<&GroupName>,
        payload: String,
        reason: Option<String>,
    ) {
        if self.is_past {
            return;
        }
        let mut payload = on_one_line(payload);
        let reason = reason.map(on_one_line);
        if payload.len() > MAX_PAYLOAD_LEN {
            let end = (0..=MAX_PAYLOAD_LEN)
                .rev()
                .find(|at| payload.is_char_boundary(*at))
                .unwrap_or(0);
            payload.truncate(end);
        }
        let script = group
            .filter(|_| kind.level() == Level::Warning)
            .and_then(|group| self.registry.groups.get(group))
            .and_then(|record| record.options.notification_script.clone());
        let run = script.map(|path| Effect::RunScript {
            path,
            args: vec![kind.name().to_owned(), payload.clone()],
        });
        self.out.event(Event {
            kind,
            group: group.cloned(),
            payload,
            reason,
        });
        if let Some(run) = run {
            self.out.push_durable(run);
        }
    }

    /// Notes the address that a hello of ours tells.
    pub(crate) fn announced(&mut self, hello: &str) {
        if self.is_own(hello) {
            return;
        }
        let Some((end, _)) = hello.match_indices(',').nth(2) else {
            return;
        };
        if self.announced.len() >= MAX_ANNOUNCED {
            self.announced.remove(0);
        }
        self.announced.push(hello[..=end].to_owned());
    }

    /// Whether a hello is one of our own that has come back.
    pub(crate) fn is_own(&self, hello: &str) -> bool {
        self.announced.iter().any(|start| hello.starts_with(start))
    }

    /// Speaks, now and then, of another coordinator that goes by our id.
    pub(crate) fn id_taken(&mut self, group: &GroupName, primary: &Addr, host: &str, port: u16) {
        let spoken = self.id_taken_at.map(|at| self.now.since(at));
        if spoken.is_some_and(|ago| ago < ID_TAKEN_SPACING) {
            return;
        }
        self.id_taken_at = Some(self.now);
        let (primary_host, primary_port) = self.names.shown_addr(primary);
        let id = &self.registry.my_id;
        let payload = format!("sentinel {id} {host} {port} @ {group} {primary_host} {primary_port}");
        let reason = "another coordinator goes by the id of this one, so that the two count as one and may vote \
                      twice: stop one, and take the line `sentinel myid` out of its configuration";
        self.event(EventKind::IdTaken, Some(group), payload, Some(reason.to_owned()));
    }

    /// How long ago another coordinator that goes by our id was last spoken of; `None` if it seems to be gone.
    pub(crate) fn id_taken_ago(&self) -> Option<Duration> {
        let ago = self.now.since(self.id_taken_at?);
        // It is spoken of again after the spacing, as long as it is there and hellos come.
        (ago < 2 * ID_TAKEN_SPACING).then_some(ago)
    }

    /// Notes that frames of a member of the log are refused here, or ours there.
    pub(crate) fn member_refused(&mut self, member: String, reason: String) {
        let now = self.now;
        self.odd_inputs += 1;
        self.refused.retain(|_, told| now.since(*told) < REFUSED_SPACING);
        if self.refused.contains_key(&member) || self.refused.len() >= MAX_REFUSED {
            return;
        }
        self.refused.insert(member.clone(), now);
        self.event(EventKind::MemberRefused, None, member, Some(reason));
    }

    /// Notes something odd that came in and is not used.
    pub(crate) fn odd(&mut self, group: Option<&GroupName>, what: String) {
        self.odd_inputs += 1;
        self.event(EventKind::Odd, group, what, None);
    }

    /// Sends commands on a link that stands, in one write. Gives the number of the first.
    pub(crate) fn send(
        &mut self,
        link: &mut Link,
        commands: Vec<Command>,
        durable: bool,
    ) -> Option<RequestId> {
        let (id, _) = link.up()?;
        if commands.is_empty() {
            return None;
        }
        link.sent(u32::try_from(commands.len()).unwrap_or(u32::MAX));
        Some(self.send_on(id, commands, durable))
    }

    /// Asks a peer about a group, or tells it something, if its link stands and has room. Gives the number.
    pub(crate) fn send_to_peer(
        &mut self,
        id: &SentinelId,
        command: Command,
        durable: bool,
    ) -> Option<RequestId> {
        self.send_within(id, command, durable, MAX_QUESTIONS_PENDING)
    }

    /// Sends one command to a peer, if its link stands and fewer than so many are unanswered there. Gives its number.
    pub(crate) fn send_within(
        &mut self,
        id: &SentinelId,
        command: Command,
        durable: bool,
        most: u32,
    ) -> Option<RequestId> {
        let peer = self.peers.get_mut(id)?;
        if peer.link.pending() >= most {
            return None;
        }
        let (link, _) = peer.link.up()?;
        peer.link.sent(1);
        Some(self.send_on(link, vec![command], durable))
    }

    fn send_on(&mut self, link: LinkId, commands: Vec<Command>, durable: bool) -> RequestId {
        let first = RequestId(self.next_request);
        let batch: Vec<_> = commands
            .into_iter()
            .map(|command| {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                (request, command)
            })
            .collect();
        let until = if is_order(&batch) {
            self.agreement.order_ends_at()
        } else {
            None
        };
        let effect = Effect::Send { link, batch, until };
        if durable {
            self.out.push_durable(effect)
        } else {
            self.out.push(effect)
        }
        first
    }

    /// Does what is due about a link that does not stand.
    pub(crate) fn keep_link(&mut self, link: &mut Link, addr: &Addr, owner: impl FnOnce() -> LinkOwner) {
        if link.is_up() || addr.port == 0 {
            return;
        }
        if link.attempt_timed_out(self.now) {
            link.is_troubled("an attempt to connect came to no end");
            self.drop_link(link);
            self.link_failures += 1;
        }
        if link.attempt_due(self.now) {
            if let Host::Name(name) = &addr.host {
                self.look_up(name);
            }
            match self.names.socket(addr) {
                Some(to) => self.connect(link, to, addr.host.clone(), owner()),
                None => {
                    link.is_troubled(&Names::why_nowhere(&addr.host));
                    link.postpone(self.now);
                }
            }
        }
        if let Some(at) = link.due_at() {
            self.wake_at(at);
        }
    }

    fn connect(&mut self, link: &mut Link, to: std::net::SocketAddr, host: Host, owner: LinkOwner) {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        link.connecting(self.now, id);
        let kind = match &owner {
            LinkOwner::Instance(group, _) => {
                let options = self.registry.groups.get(group).map(|record| &record.options);
                LinkKind::Instance {
                    group: group.clone(),
                    host,
                    credentials: options.and_then(credentials),
                    renamed: options
                        .map(|options| options.renamed_commands.clone())
                        .unwrap_or_default(),
                }
            }
            LinkOwner::Peer(peer) => LinkKind::Peer {
                id: peer.clone(),
                host,
                credentials: self.peer_credentials(),
            },
        };
        self.owners.insert(id, owner);
        self.out.push(Effect::Connect { link: id, to, kind });
    }

    /// What peers are told. As Sentinel, our own password where there is no other, because a fleet usually
    /// has one.
    fn peer_credentials(&self) -> Option<Credentials> {
        let globals = &self.registry.globals;
        match (&globals.sentinel_pass, &self.settings.own_password) {
            (Some(password), _) => Some(Credentials {
                user: globals.sentinel_user.clone(),
                password: password.clone(),
            }),
            (None, Some(password)) => Some(Credentials {
                user: None,
                password: password.clone(),
            }),
            (None, None) => None,
        }
    }

    /// Drops a link that stands or is being set up; the next attempt follows by the rules of reconnecting.
    pub(crate) fn drop_link(&mut self, link: &mut Link) {
        self.close_link(link);
        link.went_down(self.now, &mut self.rng);
    }

    /// Drops a link for good.
    pub(crate) fn close_link(&mut self, link: &Link) {
        if let Some(id) = link.id() {
            self.disown(id);
            self.out.forget_link(id);
            if bugs::has(Bug::LeakLinks) {
                return;
            }
            self.out.push(Effect::Disconnect { link: id });
        }
    }

    /// Nothing that still comes on this link counts from now on. Gives whose it was.
    pub(crate) fn disown(&mut self, link: LinkId) -> Option<LinkOwner> {
        if bugs::has(Bug::AcceptStaleReply) {
            return self.owners.get(&link).cloned();
        }
        self.owners.remove(&link)
    }

    /// Has a name looked up, unless that was done a moment ago or no more names can be remembered. Gives whether
    /// it was.
    pub(crate) fn look_up(&mut self, name: &HostName) -> bool {
        let wanted = self.names.wants_lookup(self.now, name);
        if wanted {
            self.out.push(Effect::Resolve { name: name.clone() });
        }
        wanted
    }

    /// The words by which events name an instance of a group.
    pub(crate) fn describe(&self, group: &GroupName, primary: &Addr, addr: &Addr, role: Role) -> String {
        let (primary_host, primary_port) = self.names.shown_addr(primary);
        match role {
            Role::Primary => format!("master {group} {primary_host} {primary_port}"),
            Role::Replica => {
                let (host, port) = self.names.shown_addr(addr);
                let name = self.replica_name(addr);
                format!("slave {name} {host} {port} @ {group} {primary_host} {primary_port}")
            }
        }
    }

    /// The words by which events name a sentinel of a group.
    pub(crate) fn describe_sentinel(
        &self,
        group: &GroupName,
        primary: &Addr,
        id: &SentinelId,
        addr: &Addr,
    ) -> String {
        let (host, port) = self.names.shown_addr(addr);
        let (primary_host, primary_port) = self.names.shown_addr(primary);
        format!("sentinel {id} {host} {port} @ {group} {primary_host} {primary_port}")
    }

    /// The name of a replica: its address.
    pub(crate) fn replica_name(&self, addr: &Addr) -> String {
        let shown = self.names.shown(&addr.host);
        Addr::parse(&shown, addr.port)
            .map_or_else(|| format!("{shown}:{}", addr.port), |addr| addr.to_string())
    }
}

/// How to authenticate to the servers of a group. As Sentinel, a user without a password is not used.
fn credentials(options: &GroupOptions) -> Option<Credentials> {
    let password = options.auth_pass.clone()?;
    Some(Credentials {
        user: options.auth_user.clone(),
        password,
    })
}

/// What others say goes into events, and must not look like another line of the log or another message.
fn on_one_line(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}
