//! The network: connections between processes on machines, with latency, loss and partitions.
//!
//! A connection is a TCP stream: what is sent arrives in order or not at all. A lost segment shows as delay, a cut as
//! silence; what was on its way when a cut began arrives when it heals, as retransmission would have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::message::{ConnId, Message};
use crate::time::Time;

/// How long a lost segment delays what it carried: the least retransmission time of common systems.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// How many times the same segment is lost at most; after so many the network counts as cut and not as lossy.
const MAX_LOSSES: u32 = 5;
/// Between processes of one machine.
const LOOPBACK: Duration = Duration::from_micros(30);

/// A machine with an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine(pub u16);

impl Machine {
    /// Its address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        let [high, low] = self.0.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
    }

    /// The machine at an address.
    #[must_use]
    pub fn at(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(v4) => match v4.octets() {
                [10, 0, high, low] => Some(Self(u16::from_be_bytes([high, low]))),
                _ => None,
            },
            IpAddr::V6(_) => None,
        }
    }
}

/// A process that speaks on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A coordinator, by its number.
    Coordinator(usize),
    /// A server, by its number.
    Server(usize),
    /// A client, by its number.
    Client(usize),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The one that connected.
    Dialer,
    /// The one that was connected to.
    Acceptor,
}

impl End {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Acceptor => 1,
        }
    }
}

/// What moves on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The wish to connect.
    Open,
    /// The other side listens: the connection stands.
    Opened,
    /// Nobody listens there.
    Refused,
    /// Data.
    Data(Message),
    /// The sender has closed the connection, or knows nothing of it.
    Closed,
}

/// A packet that reaches its end at the time it is scheduled for.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The connection.
    pub conn: ConnId,
    /// The end that gets it.
    pub to: End,
    /// What it is.
    pub packet: Packet,
    /// When it was handed over to be sent.
    pub handed_over: Time,
}

#[derive(Debug)]
struct Side {
    /// Nobody yet, until the connection is taken.
    actor: Option<Actor>,
    /// The start of the process it belongs to: a later one knows nothing of the connection.
    life: u32,
    machine: Machine,
    /// This end still holds the connection open.
    open: bool,
    /// When the last packet towards this end arrives: nothing overtakes it.
    last_due: Time,
    /// What waits for a cut towards this end to heal.
    stalled: VecDeque<Packet>,
}

#[derive(Debug)]
struct Conn {
    to: SocketAddr,
    /// The wish to connect has reached a process that listens, though it may not have looked at it yet.
    reached: bool,
    sides: [Side; 2],
}

/// How fast and how well the network carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// The shortest time between two machines.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
    /// How many of a thousand segments are lost.
    pub loss_permille: u32,
}

impl Quality {
    /// How long a segment takes.
    fn delay(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        let mut delay = self.latency + Duration::from_micros(rng.random_range(0..=jitter));
        if self.loss_permille > 0 {
            for attempt in 0..MAX_LOSSES {
                if rng.random_range(0..1_000) >= self.loss_permille {
                    break;
                }
                delay += RETRANSMIT * (1 << attempt);
            }
        }
        delay
    }
}

/// All connections, and what stands between machines.
#[derive(Debug)]
pub struct Network {
    rng: Xoshiro256PlusPlus,
    quality: Quality,
    cuts: BTreeMap<(Machine, Machine), u32>,
    conns: Conns,
}

/// All connections by their numbers, which count from 1 on. Each packet asks several times for one.
#[derive(Debug, Default)]
struct Conns(Vec<Option<Conn>>);

impl Conns {
    fn push(&mut self, conn: Conn) -> ConnId {
        self.0.push(Some(conn));
        ConnId(self.0.len() as u64)
    }

    fn index(ConnId(id): ConnId) -> Option<usize> {
        usize::try_from(id).ok()?.checked_sub(1)
    }

    fn get(&self, id: ConnId) -> Option<&Conn> {
        self.0.get(Self::index(id)?)?.as_ref()
    }

    fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.0.get_mut(Self::index(id)?)?.as_mut()
    }

    fn remove(&mut self, id: ConnId) {
        if let Some(conn) = Self::index(id).and_then(|at| self.0.get_mut(at)) {
            *conn = None;
        }
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (ConnId, &mut Conn)> {
        let all = (1..).map(ConnId).zip(&mut self.0);
        all.filter_map(|(id, conn)| Some((id, conn.as_mut()?)))
    }

    fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        let all = (1..).map(ConnId).zip(&self.0);
        all.filter_map(|(id, conn)| Some((id, conn.as_ref()?)))
    }
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub const fn new(rng: Xoshiro256PlusPlus, quality: Quality) -> Self {
        Self {
            rng,
            quality,
            cuts: BTreeMap::new(),
            conns: Conns(Vec::new()),
        }
    }

    /// How it carries now.
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }

    /// Changes how it carries from now on.
    pub const fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// Begins a connection; the wish is to be sent as [`Packet::Open`].
    pub fn begin(&mut self, dialer: Actor, life: u32, machine: Machine, to: SocketAddr) -> ConnId {
        let side = |actor: Option<Actor>, machine| Side {
            open: actor.is_some(),
            actor,
            life,
            machine,
            last_due: Time::ZERO,
            stalled: VecDeque::new(),
        };
        // An address that no machine has leads nowhere, like a machine that is off.
        let far = Machine::at(to.ip()).unwrap_or(Machine(u16::MAX));
        let sides = [side(Some(dialer), machine), side(None, far)];
        self.conns.push(Conn {
            to,
            reached: false,
            sides,
        })
    }

    /// Where a connection was meant to go.
    #[must_use]
    pub fn target(&self, conn: ConnId) -> Option<SocketAddr> {
        self.conns.get(conn).map(|conn| conn.to)
    }

    /// Who is at an end of a connection that this end still holds open, and in which life.
    #[must_use]
    pub fn holder(&self, conn: ConnId, end: End) -> Option<(Actor, u32)> {
        let side = &self.conns.get(conn)?.sides[end.index()];
        side.actor.filter(|_| side.open).map(|actor| (actor, side.life))
    }

    /// Who is or was at an end.
    #[must_use]
    pub fn actor(&self, conn: ConnId, end: End) -> Option<Actor> {
        self.conns.get(conn)?.sides[end.index()].actor
    }

    /// The wish to connect has come to a process that listens.
    pub fn reach(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.reached = true;
        }
    }

    /// Whether it has.
    #[must_use]
    pub fn has_reached(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|conn| conn.reached)
    }

    /// A process has taken the connection, in this life.
    pub fn accept(&mut self, conn: ConnId, actor: Actor, life: u32) {
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.reached = true;
            let side = &mut conn.sides[End::Acceptor.index()];
            side.open = true;
            side.actor = Some(actor);
            side.life = life;
        }
    }

    /// One end gives the connection up. The other learns of it by a packet, if one gets through.
    pub fn close(&mut self, conn: ConnId, end: End) {
        let gone = self.conns.get_mut(conn).is_some_and(|conn| {
            conn.sides[end.index()].open = false;
            conn.sides.iter().all(|side| !side.open)
        });
        if gone {
            self.conns.remove(conn);
        }
    }

    /// Every end that a process holds open.
    #[must_use]
    pub fn ends_of(&self, actor: Actor) -> Vec<(ConnId, End)> {
        let mut ends = Vec::new();
        for (id, conn) in self.conns.iter() {
            for end in [End::Dialer, End::Acceptor] {
                let side = &conn.sides[end.index()];
                if side.open && side.actor == Some(actor) {
                    ends.push((id, end));
                }
            }
        }
        ends
    }

    /// When a packet sent now arrives; `None` if the connection is gone.
    pub fn carry(&mut self, now: Time, conn: ConnId, to: End) -> Option<Time> {
        let sides = &mut self.conns.get_mut(conn)?.sides;
        let local = sides[0].machine == sides[1].machine;
        let delay = if local {
            LOOPBACK
        } else {
            self.quality.delay(&mut self.rng)
        };
        let side = &mut sides[to.index()];
        side.last_due = side.last_due.max(now + delay);
        Some(side.last_due)
    }

    /// A packet has come to the end of its way: it is given back if it gets through, else it waits for the heal.
    pub fn arrive(&mut self, flight: Flight) -> Option<Flight> {
        let conn = self.conns.get_mut(flight.conn)?;
        let from = conn.sides[flight.to.other().index()].machine;
        let side = &mut conn.sides[flight.to.index()];
        if self.cuts.contains_key(&(from, side.machine)) || !side.stalled.is_empty() {
            side.stalled.push_back(flight.packet);
            return None;
        }
        Some(flight)
    }

    /// What waits for a cut to heal.
    pub fn stalled(&self) -> impl Iterator<Item = &Packet> {
        let sides = self.conns.iter().flat_map(|(_, conn)| &conn.sides);
        sides.flat_map(|side| &side.stalled)
    }

    /// Cuts the way from one machine to another, that way only. Cuts count: each is healed by itself.
    pub fn cut(&mut self, from: Machine, to: Machine) {
        if from != to {
            *self.cuts.entry((from, to)).or_default() += 1;
        }
    }

    /// Takes one cut away, and gives what waited for it, each with the time after now at which it arrives.
    pub fn heal(&mut self, from: Machine, to: Machine) -> Vec<(Duration, Flight)> {
        match self.cuts.get_mut(&(from, to)) {
            None => return Vec::new(),
            Some(count) if *count > 1 => {
                *count -= 1;
                return Vec::new();
            }
            Some(_) => {
                self.cuts.remove(&(from, to));
            }
        }
        let mut freed = Vec::new();
        for (conn, state) in self.conns.iter_mut() {
            for end in [End::Dialer, End::Acceptor] {
                if state.sides[end.other().index()].machine != from || state.sides[end.index()].machine != to
                {
                    continue;
                }
                // All of a connection come together, with the next retransmission.
                let wait = Duration::from_millis(self.rng.random_range(0..200));
                for packet in std::mem::take(&mut state.sides[end.index()].stalled) {
                    freed.push((
                        wait,
                        Flight {
                            conn,
                            to: end,
                            packet,
                            handed_over: Time::ZERO,
                        },
                    ));
                }
            }
        }
        freed
    }

    /// Whether packets get from one machine to another.
    #[must_use]
    pub fn is_cut(&self, from: Machine, to: Machine) -> bool {
        self.cuts.contains_key(&(from, to))
    }

    /// All that are cut off from each other now.
    #[must_use]
    pub fn cuts(&self) -> BTreeSet<(Machine, Machine)> {
        self.cuts.keys().copied().collect()
    }
}
