//! The commands: what sentinels send, what a demo's clients need, and little else.

use bellwether_resp::{Protocol, Request, Value};
use bytes::Bytes;

use super::{
    follow, info,
    session::Session,
    state::{Kind, Role},
};
use crate::connect::HostPort;

/// Most commands in one transaction. A sentinel sends five.
const MAX_QUEUED: usize = 64;

impl Session {
    /// Answers one request: with one value as a rule, with several or none where the protocol wants it.
    pub(super) fn handle(&mut self, request: &Request) -> Vec<Value> {
        let name = String::from_utf8_lossy(request.name()).to_ascii_uppercase();
        if let Some(queued) = &mut self.queued
            && !["EXEC", "DISCARD", "MULTI"].contains(&name.as_str())
        {
            if queued.len() >= MAX_QUEUED {
                return vec![Value::error("ERR too many commands in a transaction")];
            }
            queued.push(request.clone());
            return vec![Value::simple("QUEUED")];
        }
        match name.as_str() {
            "SUBSCRIBE" => self.subscribe(request),
            "UNSUBSCRIBE" => self.unsubscribe(request),
            follow::ACK => {
                if let Some(offset) = request.arg_i64(1).and_then(|offset| u64::try_from(offset).ok()) {
                    self.shared.lock().acknowledge(self.id, offset);
                }
                Vec::new()
            }
            "MULTI" if self.queued.is_some() => vec![Value::error("ERR MULTI calls can not be nested")],
            "MULTI" => {
                self.queued = Some(Vec::new());
                vec![ok()]
            }
            "DISCARD" if self.queued.take().is_some() => vec![ok()],
            "EXEC" => match self.queued.take() {
                Some(queued) => vec![Value::Array(
                    queued.iter().flat_map(|request| self.handle(request)).collect(),
                )],
                None => vec![Value::error("ERR EXEC without MULTI")],
            },
            _ if self.is_subscriber() && name != "PING" => {
                let name = name.to_lowercase();
                vec![Value::error(format!(
                    "ERR Can't execute '{name}': only SUBSCRIBE, UNSUBSCRIBE and PING here"
                ))]
            }
            _ => vec![self.execute(&name, request)],
        }
    }

    fn execute(&mut self, name: &str, request: &Request) -> Value {
        let arity = match name {
            "GET" | "INCR" | "ECHO" | "SELECT" => 2..=2,
            "SET" | "PUBLISH" | "SLAVEOF" | "REPLICAOF" => 3..=3,
            "MGET" | "CLIENT" | "CONFIG" | "AUTH" | "SCRIPT" | follow::SYNC => 2..=usize::MAX,
            _ => 1..=usize::MAX,
        };
        if !arity.contains(&request.len()) {
            let name = name.to_lowercase();
            return Value::error(format!("ERR wrong number of arguments for '{name}' command"));
        }
        match name {
            "PING" => self.ping(request),
            "ECHO" => request.bytes(1).map_or(Value::Null, Value::Bulk),
            "HELLO" => self.hello(request),
            "AUTH" => Value::error("ERR AUTH called, but this server has no password"),
            "SELECT" if request.arg_i64(1) == Some(0) => ok(),
            "SELECT" => Value::error("ERR DB index is out of range"),
            "COMMAND" => Value::Array(Vec::new()),
            "CLIENT" => self.client(request),
            "INFO" => {
                let section = request.arg_str(1).map(str::to_lowercase);
                let text = info::info(&self.shared.lock(), section.as_deref());
                Value::Verbatim {
                    format: *b"txt",
                    text: text.into(),
                }
            }
            "ROLE" => info::role(&self.shared.lock()),
            "GET" => self.get(request, 1),
            "MGET" => Value::Array((1..request.len()).map(|index| self.get(request, index)).collect()),
            "SET" => self.set(request.arg(1), request.arg(2)),
            "INCR" => self.incr(request),
            "DBSIZE" => integer(self.shared.lock().keys()),
            "PUBLISH" => {
                let (channel, message) = (
                    request.arg(1).unwrap_or_default(),
                    request.arg(2).unwrap_or_default(),
                );
                integer(self.shared.lock().publish(channel, message))
            }
            "SLAVEOF" | "REPLICAOF" => self.replicaof(request),
            "CONFIG" if request.arg_is(1, "REWRITE") => {
                Value::error("ERR The server is running without a config file")
            }
            "CONFIG" if request.arg_is(1, "GET") => Value::Map(Vec::new()),
            "CONFIG" if request.arg_is(1, "SET") => ok(),
            "SCRIPT" if request.arg_is(1, "KILL") => {
                Value::error("NOTBUSY No scripts in execution right now.")
            }
            follow::SYNC => {
                let port = request.arg_i64(1).and_then(|port| u16::try_from(port).ok());
                let all = port.and_then(|port| self.shared.lock().admit_replica(self.id, port));
                all.unwrap_or_else(|| Value::error("NOMASTERLINK nothing to replicate from yet"))
            }
            _ => Value::error(format!(
                "ERR unknown command '{}'",
                String::from_utf8_lossy(request.name())
            )),
        }
    }

    fn is_subscriber(&self) -> bool {
        let state = self.shared.lock();
        self.protocol == Protocol::Resp2
            && state
                .clients
                .get(&self.id)
                .is_some_and(|client| !client.channels.is_empty())
    }

    fn ping(&self, request: &Request) -> Value {
        let payload = request.bytes(1);
        if self.is_subscriber() {
            return Value::Array(vec![
                Value::bulk("pong"),
                Value::Bulk(payload.unwrap_or_default()),
            ]);
        }
        payload.map_or_else(|| Value::simple("PONG"), Value::Bulk)
    }

    /// `HELLO [2|3 [SETNAME name]]`.
    fn hello(&mut self, request: &Request) -> Value {
        self.protocol = match request.arg(1) {
            None => self.protocol,
            Some(b"2") => Protocol::Resp2,
            Some(b"3") => Protocol::Resp3,
            Some(_) => return Value::error("NOPROTO unsupported protocol version"),
        };
        let mut state = self.shared.lock();
        let role = if matches!(state.role, Role::Primary) {
            "master"
        } else {
            "replica"
        };
        if let Some(client) = state.clients.get_mut(&self.id) {
            client.protocol = self.protocol;
            if request.arg_is(2, "SETNAME") {
                client.name = request.bytes(3).map(owned).unwrap_or_default();
            }
        }
        let protocol = if self.protocol == Protocol::Resp3 { 3 } else { 2 };
        let pair = |name: &str, value| (Value::bulk(name), value);
        Value::Map(vec![
            pair("server", Value::bulk("redis")),
            pair("version", Value::bulk(env!("CARGO_PKG_VERSION"))),
            pair("proto", Value::Integer(protocol)),
            pair("id", Value::Integer(self.id.cast_signed())),
            pair("mode", Value::bulk("standalone")),
            pair("role", Value::bulk(role)),
            pair("modules", Value::Array(Vec::new())),
        ])
    }

    fn client(&mut self, request: &Request) -> Value {
        let subcommand = String::from_utf8_lossy(request.arg(1).unwrap_or_default()).to_ascii_uppercase();
        let mut state = self.shared.lock();
        match subcommand.as_str() {
            "ID" => Value::Integer(self.id.cast_signed()),
            "SETNAME" => {
                if let Some(client) = state.clients.get_mut(&self.id) {
                    client.name = request.bytes(2).map(owned).unwrap_or_default();
                }
                ok()
            }
            "GETNAME" => {
                let name = state.clients.get(&self.id).map(|client| client.name.clone());
                name.filter(|name| !name.is_empty())
                    .map_or(Value::Null, Value::Bulk)
            }
            "LIST" => {
                let lines = state.clients.iter().map(|(id, client)| {
                    let name = String::from_utf8_lossy(&client.name);
                    format!(
                        "id={id} addr={} name={name} sub={}\n",
                        client.addr,
                        client.channels.len()
                    )
                });
                Value::Verbatim {
                    format: *b"txt",
                    text: lines.collect::<String>().into(),
                }
            }
            "KILL" if request.arg_is(2, "TYPE") => {
                let kind = match request.arg_str(3).map(str::to_lowercase).as_deref() {
                    Some("normal") => Kind::Normal,
                    Some("pubsub") => Kind::Pubsub,
                    Some("replica" | "slave") => Kind::Replica,
                    _ => return Value::error("ERR Unknown client type"),
                };
                integer(state.kill(kind, self.id))
            }
            "SETINFO" | "NO-EVICT" | "NO-TOUCH" | "PAUSE" | "UNPAUSE" => ok(),
            _ => Value::error("ERR unknown subcommand or wrong arguments. Try SETNAME, LIST, KILL TYPE."),
        }
    }

    fn get(&self, request: &Request, index: usize) -> Value {
        let key = request.arg(index).unwrap_or_default();
        self.shared
            .lock()
            .get(key)
            .cloned()
            .map_or(Value::Null, Value::Bulk)
    }

    fn set(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Value {
        let mut state = self.shared.lock();
        if matches!(state.role, Role::Replica { .. }) {
            return Value::error("READONLY You can't write against a read only replica.");
        }
        if state.set(key.unwrap_or_default(), value.unwrap_or_default()) {
            ok()
        } else {
            Value::error("OOM command not allowed: the stand-in is full")
        }
    }

    fn incr(&mut self, request: &Request) -> Value {
        let key = request.arg(1).unwrap_or_default();
        let old = self
            .shared
            .lock()
            .get(key)
            .map_or(Some(0), |value| std::str::from_utf8(value).ok()?.parse().ok());
        let Some(new) = old.and_then(|old: i64| old.checked_add(1)) else {
            return Value::error("ERR value is not an integer or out of range");
        };
        match self.set(Some(key), Some(new.to_string().as_bytes())) {
            Value::Simple(_) => Value::Integer(new),
            refused => refused,
        }
    }

    fn replicaof(&mut self, request: &Request) -> Value {
        if request.arg_is(1, "NO") && request.arg_is(2, "ONE") {
            self.shared.follow(None);
            return ok();
        }
        let port = request.arg_i64(2).and_then(|port| u16::try_from(port).ok());
        let (Some(host), Some(port)) = (request.arg_str(1), port) else {
            return Value::error("ERR Invalid master port");
        };
        if self.shared.follow(Some(HostPort::new(host, port))) {
            ok()
        } else {
            Value::simple("OK Already connected to specified master")
        }
    }

    fn subscribe(&mut self, request: &Request) -> Vec<Value> {
        let mut state = self.shared.lock();
        let Some(client) = state.clients.get_mut(&self.id) else {
            return Vec::new();
        };
        let subscribed = (1..request.len())
            .filter_map(|index| request.bytes(index))
            .map(|channel| {
                client.channels.insert(owned(channel.clone()));
                change("subscribe", channel, client.channels.len())
            });
        subscribed.collect()
    }

    fn unsubscribe(&mut self, request: &Request) -> Vec<Value> {
        let mut state = self.shared.lock();
        let Some(client) = state.clients.get_mut(&self.id) else {
            return Vec::new();
        };
        let named: Vec<Bytes> = (1..request.len())
            .filter_map(|index| request.bytes(index))
            .collect();
        let channels = if named.is_empty() {
            client.channels.iter().cloned().collect()
        } else {
            named
        };
        let unsubscribed = channels.into_iter().map(|channel| {
            client.channels.remove(&channel);
            change("unsubscribe", channel, client.channels.len())
        });
        unsubscribed.collect()
    }
}

/// A copy of its own: what is kept must not keep the connection's whole input alive.
fn owned(bytes: Bytes) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}

fn change(kind: &str, channel: Bytes, count: usize) -> Value {
    Value::Push(vec![Value::bulk(kind), Value::Bulk(channel), integer(count)])
}

fn ok() -> Value {
    Value::simple("OK")
}

fn integer(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::state::{Shared, State};
    use std::sync::Arc;

    fn session() -> Session {
        let shared = Arc::new(Shared::new(State::new(1).unwrap()));
        let (id, _, _) = shared.lock().connect(([127, 0, 0, 1], 1000).into());
        Session {
            shared,
            id,
            protocol: Protocol::Resp2,
            queued: None,
        }
    }

    fn ask(session: &mut Session, line: &str) -> String {
        let values = session.handle(&Request::from_args(line.split(' ')).unwrap());
        let mut bytes = bytes::BytesMut::new();
        values
            .iter()
            .for_each(|value| value.encode(session.protocol, &mut bytes));
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn replies_are_those_of_a_server() {
        let mut session = session();
        for (line, reply) in [
            ("PING", "+PONG\r\n"),
            ("ping x", "$1\r\nx\r\n"),
            ("SET a 1", "+OK\r\n"),
            ("INCR a", ":2\r\n"),
            ("GET a", "$1\r\n2\r\n"),
            ("MGET a b", "*2\r\n$1\r\n2\r\n$-1\r\n"),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("NONSENSE", "-ERR unknown command 'NONSENSE'\r\n"),
            ("CLIENT SETNAME me", "+OK\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            ("PUBLISH __sentinel__:hello x", ":0\r\n"),
            ("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n"),
        ] {
            assert_eq!(ask(&mut session, line), reply, "{line}");
        }
    }

    #[test]
    fn a_promotion_is_one_transaction() {
        let mut session = session();
        assert_eq!(ask(&mut session, "SLAVEOF 127.0.0.1 7"), "+OK\r\n");
        assert_eq!(
            ask(&mut session, "SLAVEOF 127.0.0.1 7"),
            "+OK Already connected to specified master\r\n"
        );
        assert!(ask(&mut session, "SET a 1").starts_with("-READONLY"));
        let old_id = session.shared.lock().replication_id.clone();
        for line in [
            "MULTI",
            "SLAVEOF NO ONE",
            "CONFIG REWRITE",
            "CLIENT KILL TYPE normal",
        ] {
            assert!(ask(&mut session, line).starts_with('+'), "{line}");
        }
        let replies = ask(&mut session, "EXEC");
        assert_eq!(
            replies,
            "*3\r\n+OK\r\n-ERR The server is running without a config file\r\n:0\r\n"
        );
        assert_eq!(ask(&mut session, "ROLE"), "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        assert_ne!(session.shared.lock().replication_id, old_id);
        assert_eq!(ask(&mut session, "EXEC"), "-ERR EXEC without MULTI\r\n");
    }

    #[test]
    fn info_has_what_sentinels_read() {
        let mut session = session();
        let info = ask(&mut session, "INFO");
        for line in [
            "run_id:",
            "role:master",
            "connected_slaves:0",
            "master_repl_offset:0",
        ] {
            assert!(info.contains(&format!("\r\n{line}")), "{line} in {info}");
        }
        ask(&mut session, "REPLICAOF 10.0.0.9 6379");
        let info = ask(&mut session, "INFO replication");
        let lines = [
            "role:slave",
            "master_host:10.0.0.9",
            "master_port:6379",
            "master_link_status:down",
            "master_link_down_since_seconds:0",
            "slave_priority:100",
            "slave_repl_offset:0",
        ];
        for line in lines {
            assert!(info.contains(&format!("\r\n{line}\r\n")), "{line} in {info}");
        }
        assert!(!info.contains("run_id"));
    }

    #[test]
    fn subscribers_hear_and_are_restricted_in_resp2() {
        let mut session = session();
        assert_eq!(
            ask(&mut session, "SUBSCRIBE news"),
            "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        );
        assert!(ask(&mut session, "GET a").starts_with("-ERR Can't execute 'get'"));
        assert_eq!(ask(&mut session, "PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        assert_eq!(
            ask(&mut session, "UNSUBSCRIBE"),
            "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n"
        );
        assert!(ask(&mut session, "HELLO 3").starts_with("%7\r\n"));
        assert!(ask(&mut session, "SUBSCRIBE news").starts_with(">3\r\n"));
        assert_eq!(ask(&mut session, "PING"), "+PONG\r\n");
    }

    #[test]
    fn a_stream_of_an_earlier_role_is_not_applied() {
        let session = session();
        session.shared.follow(Some(HostPort::loopback(7)));
        let set = ["SET", "a", "1"].map(Bytes::from);
        let mut state = session.shared.lock();
        assert!(state.load(1, "id", 100, &[Value::bulk("k"), Value::bulk("v")]));
        assert!(state.apply(1, &set));
        assert_eq!(
            state.offset,
            100 + "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".len() as u64
        );
        drop(state);
        session.shared.follow(None);
        assert!(!session.shared.lock().apply(1, &set));
        assert!(!session.shared.lock().load(1, "id", 0, &[]));
        assert_eq!(session.shared.lock().get(b"k").unwrap(), "v");
    }
}
