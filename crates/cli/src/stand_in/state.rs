//! What a stand-in knows: its data, its role, its replicas, its clients.
//!
//! One mutex around all of it, never held across an await: the numbers are small, and a sequence of commands
//! in a transaction is then atomic of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Context;
use bellwether_resp::{Protocol, Value, encode_command};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::connect::HostPort;

/// Most bytes of keys and values. They must fit into one reply when a replica takes them all.
const MAX_DATA_BYTES: usize = 8 * 1024 * 1024;

/// What one key costs beyond its bytes, so that many tiny ones count too.
const KEY_OVERHEAD_BYTES: usize = 32;

/// Messages that may wait for one client. One that does not read is disconnected, never waited for.
pub(super) const QUEUE: usize = 4_096;

pub(super) type ClientId = u64;

/// The state, and the news of whom to follow.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Whom to follow, with the generation that this belongs to.
    follow: watch::Sender<(u64, Option<HostPort>)>,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            follow: watch::Sender::new((0, None)),
        }
    }

    /// Every method leaves the state valid, so a panic elsewhere does not spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on another role. `false` if it is the present one.
    pub(super) fn follow(&self, primary: Option<HostPort>) -> bool {
        let Some(generation) = self.lock().change_role(primary.clone()) else {
            return false;
        };
        self.follow.send_replace((generation, primary));
        true
    }

    pub(super) fn watch_role(&self) -> watch::Receiver<(u64, Option<HostPort>)> {
        self.follow.subscribe()
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) port: u16,
    pub(super) run_id: String,
    pub(super) started: Instant,
    /// Names the history of the data; a new one begins with each promotion.
    pub(super) replication_id: String,
    pub(super) offset: u64,
    pub(super) role: Role,
    /// Counts changes of the role, so that a stream from an earlier one is not applied.
    generation: u64,
    pub(super) clients: BTreeMap<ClientId, Client>,
    next_client: ClientId,
    data: BTreeMap<Bytes, Bytes>,
    data_bytes: usize,
}

#[derive(Debug)]
pub(super) enum Role {
    Primary,
    Replica { primary: HostPort, link: Link },
}

/// The link of a replica to its primary.
#[derive(Debug)]
pub(super) enum Link {
    Up { last_io: Instant },
    Down { since: Instant },
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) addr: std::net::SocketAddr,
    pub(super) name: Bytes,
    pub(super) protocol: Protocol,
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) replica: Option<Replica>,
    /// What goes to it without being asked.
    queue: mpsc::Sender<Bytes>,
    pub(super) end: CancellationToken,
}

/// What a primary knows of a replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) offset: u64,
    pub(super) heard: Instant,
}

/// The kinds by which clients are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Pubsub,
    Replica,
}

impl Client {
    pub(super) fn kind(&self) -> Kind {
        if self.replica.is_some() {
            Kind::Replica
        } else if self.channels.is_empty() {
            Kind::Normal
        } else {
            Kind::Pubsub
        }
    }

    fn send(&self, bytes: Bytes) {
        if self.queue.try_send(bytes).is_err() {
            self.end.cancel();
        }
    }
}

impl State {
    pub(super) fn new(port: u16) -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            port,
            run_id: random_id()?,
            started: now,
            replication_id: random_id()?,
            offset: 0,
            role: Role::Primary,
            generation: 0,
            clients: BTreeMap::new(),
            next_client: 1,
            data: BTreeMap::new(),
            data_bytes: 0,
        })
    }

    pub(super) fn connect(
        &mut self,
        addr: std::net::SocketAddr,
    ) -> (ClientId, mpsc::Receiver<Bytes>, CancellationToken) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let end = CancellationToken::new();
        let id = self.next_client;
        self.next_client += 1;
        let client = Client {
            addr,
            name: Bytes::new(),
            protocol: Protocol::Resp2,
            channels: BTreeSet::new(),
            replica: None,
            queue,
            end: end.clone(),
        };
        self.clients.insert(id, client);
        (id, receiver, end)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.data.get(key)
    }

    pub(super) fn keys(&self) -> usize {
        self.data.len()
    }

    /// Stores a value and passes it on. `false` if there is no room.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        if self.data_bytes + key.len() + value.len() + KEY_OVERHEAD_BYTES > MAX_DATA_BYTES {
            return false;
        }
        self.put(key, value);
        self.propagate(&[b"SET", key, value]);
        true
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.data_bytes += key.len() + value.len() + KEY_OVERHEAD_BYTES;
        let key_len = key.len();
        if let Some(old) = self.data.insert(key, value) {
            self.data_bytes -= key_len + old.len() + KEY_OVERHEAD_BYTES;
        }
    }

    /// Sends a command to all replicas. As with real servers, the offset counts the stream's bytes.
    fn propagate(&mut self, words: &[&[u8]]) {
        let mut stream = BytesMut::new();
        encode_command(&mut stream, words);
        let stream = stream.freeze();
        self.offset += stream.len() as u64;
        for client in self.clients.values().filter(|client| client.replica.is_some()) {
            client.send(stream.clone());
        }
    }

    /// Something to say where there is nothing else, by primaries only: replicas pass theirs on.
    pub(super) fn heartbeat(&mut self) {
        if matches!(self.role, Role::Primary) && self.clients.values().any(|client| client.replica.is_some())
        {
            self.propagate(&[b"PING"]);
        }
    }

    /// Gives `message` to every subscriber of `channel`; tells how many there are.
    pub(super) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let subscribers = self
            .clients
            .values()
            .filter(|client| client.channels.contains(channel));
        subscribers
            .map(|client| {
                let words = ["message".as_bytes(), channel, message].map(Value::bulk);
                let mut bytes = BytesMut::new();
                Value::Push(words.to_vec()).encode(client.protocol, &mut bytes);
                client.send(bytes.freeze());
            })
            .count()
    }

    /// `None` if the role is this one already; else the generation that begins.
    fn change_role(&mut self, primary: Option<HostPort>) -> Option<u64> {
        match (&self.role, primary) {
            (Role::Primary, None) => return None,
            (Role::Replica { primary: present, .. }, Some(primary)) if *present == primary => return None,
            (_, None) => {
                self.role = Role::Primary;
                // What follows is another history than the one of the primary that was left. Without a new id
                // the old one stays, which only costs the ability to tell the two apart.
                self.replication_id = random_id().unwrap_or_else(|_| self.replication_id.clone());
            }
            (_, Some(primary)) => {
                self.role = Role::Replica {
                    primary,
                    link: Link::Down {
                        since: Instant::now(),
                    },
                };
            }
        }
        self.generation += 1;
        Some(self.generation)
    }

    /// Takes over all of a primary's data. Own replicas must do the same, so they are sent away. `false` if the
    /// role has changed meanwhile.
    pub(super) fn load(&mut self, generation: u64, id: &str, offset: u64, data: &[Value]) -> bool {
        if generation != self.generation {
            return false;
        }
        for client in self.clients.values().filter(|client| client.replica.is_some()) {
            client.end.cancel();
        }
        self.data.clear();
        self.data_bytes = 0;
        for pair in data.chunks_exact(2) {
            if let (Some(key), Some(value)) = (pair[0].as_bytes(), pair[1].as_bytes()) {
                self.put(key, value);
            }
        }
        id.clone_into(&mut self.replication_id);
        self.offset = offset;
        self.heard(generation)
    }

    /// Applies one command of the primary's stream. `false` if the role has changed meanwhile.
    pub(super) fn apply(&mut self, generation: u64, words: &[Bytes]) -> bool {
        if !self.heard(generation) {
            return false;
        }
        if let [name, key, value] = words
            && name == "SET"
        {
            self.put(key, value);
        }
        let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        self.propagate(&words);
        true
    }

    fn heard(&mut self, generation: u64) -> bool {
        if generation != self.generation {
            return false;
        }
        if let Role::Replica { link, .. } = &mut self.role {
            *link = Link::Up {
                last_io: Instant::now(),
            };
        }
        true
    }

    /// The link of this generation broke.
    pub(super) fn lost(&mut self, generation: u64) {
        if generation == self.generation
            && let Role::Replica {
                link: link @ Link::Up { .. },
                ..
            } = &mut self.role
        {
            *link = Link::Down {
                since: Instant::now(),
            };
        }
    }

    /// Makes client `id` a replica that listens on `port`; gives all data with id and offset, which the stream
    /// that follows continues. `None` while there is nothing to give.
    pub(super) fn admit_replica(&mut self, id: ClientId, port: u16) -> Option<Value> {
        if matches!(
            self.role,
            Role::Replica {
                link: Link::Down { .. },
                ..
            }
        ) {
            return None;
        }
        let client = self.clients.get_mut(&id)?;
        client.replica = Some(Replica {
            ip: client.addr.ip(),
            port,
            offset: self.offset,
            heard: Instant::now(),
        });
        let mut all = vec![
            Value::bulk(&self.replication_id),
            Value::Integer(self.offset.cast_signed()),
        ];
        all.extend(
            self.data
                .iter()
                .flat_map(|(key, value)| [key, value].map(|bytes| Value::Bulk(bytes.clone()))),
        );
        Some(Value::Array(all))
    }

    pub(super) fn acknowledge(&mut self, id: ClientId, offset: u64) {
        if let Some(replica) = self
            .clients
            .get_mut(&id)
            .and_then(|client| client.replica.as_mut())
        {
            replica.offset = offset;
            replica.heard = Instant::now();
        }
    }

    /// Ends all clients of one kind but `me`; tells how many.
    pub(super) fn kill(&self, kind: Kind, me: ClientId) -> usize {
        let others = self
            .clients
            .iter()
            .filter(|(id, client)| **id != me && client.kind() == kind);
        others.map(|(_, client)| client.end.cancel()).count()
    }
}

/// 40 hexadecimal digits, as ids of real servers have.
fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0; 20];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no random numbers from /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
