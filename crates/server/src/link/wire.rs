//! The core's commands as bytes.
//!
//! Owns the words that go over the wire. Reads nothing.

use std::collections::BTreeMap;

use bellwether_core::{Command, Credentials};
use bellwether_resp::encode_command;
use bytes::BytesMut;

use super::HELLO_CHANNEL;

/// Commands that a server has under other names: in capitals, with those names.
pub(super) type Renamed = BTreeMap<String, String>;

/// Appends commands to what goes out, under the names that the server has for them.
pub(super) struct Writer<'a> {
    out: &'a mut BytesMut,
    renamed: &'a Renamed,
}

/// The shape of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many commands it has, `MULTI` and `EXEC` included, and so how many replies.
    pub(super) len: u8,
    /// Which of the commands between the two says whether it has worked, counted from 0.
    pub(super) decisive: u8,
}

/// The shape of a command that is a transaction.
pub(super) const fn transaction(command: &Command) -> Option<Shape> {
    match command {
        Command::Reconfigure { .. } => Some(Shape { len: 6, decisive: 0 }),
        Command::HandOver { .. } => Some(Shape { len: 4, decisive: 1 }),
        Command::Release => Some(Shape { len: 6, decisive: 3 }),
        Command::Ping
        | Command::Info
        | Command::InfoAndAck
        | Command::Hello { .. }
        | Command::AskDown { .. }
        | Command::Frame { .. }
        | Command::TellView { .. }
        | Command::ScriptKill
        | Command::Unpause
        | Command::AbortHandOver => None,
    }
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut BytesMut, renamed: &'a Renamed) -> Self {
        Self { out, renamed }
    }

    /// Appends one command of these words. As Sentinel, only the first one is looked up.
    fn words(&mut self, words: &[&str]) {
        match words.split_first() {
            Some((first, rest)) if !self.renamed.is_empty() => {
                let name = self.renamed.get(*first).map_or(*first, String::as_str);
                let words: Vec<&str> = std::iter::once(name).chain(rest.iter().copied()).collect();
                encode_command(self.out, &words);
            }
            _ => encode_command(self.out, words),
        }
    }

    /// Appends a command of the core.
    pub(super) fn command(&mut self, command: &Command) {
        match command {
            Command::Ping => self.words(&["PING"]),
            Command::Info => self.words(&["INFO"]),
            Command::InfoAndAck => {
                self.words(&["REPLCONF", "GETACK", "*"]);
                self.words(&["INFO"]);
            }
            Command::Hello { message } => self.words(&["PUBLISH", HELLO_CHANNEL, message]),
            Command::AskDown {
                host,
                port,
                epoch,
                candidate,
            } => {
                let (port, epoch) = (port.to_string(), epoch.to_string());
                let candidate = candidate.as_ref().map_or("*", |id| id.as_str());
                self.words(&[
                    "SENTINEL",
                    "is-master-down-by-addr",
                    host,
                    &port,
                    &epoch,
                    candidate,
                ]);
            }
            Command::Frame { from, bytes } => {
                let from = from.to_string();
                let words: [&[u8]; 5] = [b"SENTINEL", b"RAFT", b"FRAME", from.as_bytes(), bytes];
                encode_command(self.out, &words);
            }
            Command::TellView {
                from,
                group,
                host,
                port,
                down,
            } => {
                let down = if *down { "down" } else { "up" };
                let (from, group, port) = (from.as_str(), group.as_str(), port.to_string());
                self.words(&["SENTINEL", "RAFT", "VIEW", from, group, host, &port, down]);
            }
            Command::Reconfigure { follow } => self.reconfigure(follow.as_ref()),
            Command::ScriptKill => self.words(&["SCRIPT", "KILL"]),
            Command::HandOver {
                to: (host, port),
                timeout_ms,
                pause_ms,
            } => {
                let (port, timeout, pause) = (port.to_string(), timeout_ms.to_string(), pause_ms.to_string());
                self.words(&["MULTI"]);
                self.words(&["CLIENT", "PAUSE", &pause, "WRITE"]);
                self.words(&["FAILOVER", "TO", host, &port, "TIMEOUT", &timeout]);
                self.words(&["EXEC"]);
            }
            Command::Release => {
                self.words(&["MULTI"]);
                self.make_permanent();
                self.words(&["CLIENT", "UNPAUSE"]);
                self.words(&["EXEC"]);
            }
            Command::Unpause => self.words(&["CLIENT", "UNPAUSE"]),
            Command::AbortHandOver => self.words(&["FAILOVER", "ABORT"]),
        }
    }

    /// The transaction of the reference: the role, its permanence, and sending all clients off so that they look
    /// for the primary anew. `SLAVEOF`, because that is the name by which rename tables and ACLs know it.
    fn reconfigure(&mut self, follow: Option<&(String, u16)>) {
        self.words(&["MULTI"]);
        match follow {
            None => self.words(&["SLAVEOF", "NO", "ONE"]),
            Some((host, port)) => self.words(&["SLAVEOF", host, &port.to_string()]),
        }
        self.make_permanent();
        self.words(&["EXEC"]);
    }

    fn make_permanent(&mut self) {
        self.words(&["CONFIG", "REWRITE"]);
        self.words(&["CLIENT", "KILL", "TYPE", "normal"]);
        self.words(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    /// Appends the greeting that asks for RESP3 and carries name and password with it.
    pub(super) fn hello(&mut self, credentials: Option<&Credentials>, name: &str) {
        let mut words = vec!["HELLO", "3"];
        if let Some(credentials) = credentials {
            let user = credentials.user.as_deref().unwrap_or("default");
            words.extend(["AUTH", user, credentials.password.expose()]);
        }
        words.extend(["SETNAME", name]);
        self.words(&words);
    }

    /// Appends the greeting of RESP2 and gives the number of its commands.
    pub(super) fn greeting(&mut self, credentials: Option<&Credentials>, name: &str) -> u8 {
        if let Some(Credentials { user, password }) = credentials {
            match user {
                Some(user) => self.words(&["AUTH", user, password.expose()]),
                None => self.words(&["AUTH", password.expose()]),
            }
        }
        self.words(&["CLIENT", "SETNAME", name]);
        1 + u8::from(credentials.is_some())
    }

    /// Appends the subscription to hello messages.
    pub(super) fn subscribe(&mut self) {
        self.words(&["SUBSCRIBE", HELLO_CHANNEL]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_core::{Epoch, Secret, SentinelId};

    fn words(write: impl FnOnce(&mut Writer<'_>)) -> String {
        renamed_words(&Renamed::new(), write)
    }

    fn renamed_words(renamed: &Renamed, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = BytesMut::new();
        write(&mut Writer::new(&mut out, renamed));
        let text = String::from_utf8(out.to_vec()).expect("plain text");
        let words = text.split("\r\n").filter(|line| !line.starts_with('$'));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_go_out_as_the_reference_writes_them() {
        assert_eq!(words(|out| out.command(&Command::Ping)), "*1 PING ");
        let message = "1.2.3.4,26379".to_owned();
        assert_eq!(
            words(|out| out.command(&Command::Hello { message })),
            "*3 PUBLISH __sentinel__:hello 1.2.3.4,26379 "
        );
        let ask = |candidate| Command::AskDown {
            host: "10.0.0.1".to_owned(),
            port: 6379,
            epoch: Epoch(7),
            candidate,
        };
        assert_eq!(
            words(|out| out.command(&ask(None))),
            "*6 SENTINEL is-master-down-by-addr 10.0.0.1 6379 7 * "
        );
        assert_eq!(
            words(|out| out.command(&ask(SentinelId::new("abc").ok()))),
            "*6 SENTINEL is-master-down-by-addr 10.0.0.1 6379 7 abc "
        );
    }

    #[test]
    fn the_transaction_has_as_many_commands_as_replies_are_awaited() {
        let follow = Some(("10.0.0.2".to_owned(), 6380));
        let text = words(|out| out.command(&Command::Reconfigure { follow }));
        assert_eq!(
            text,
            "*1 MULTI *3 SLAVEOF 10.0.0.2 6380 *2 CONFIG REWRITE *4 CLIENT KILL TYPE normal \
             *4 CLIENT KILL TYPE pubsub *1 EXEC "
        );
        for command in [
            Command::Reconfigure { follow: None },
            Command::HandOver {
                to: ("10.0.0.2".to_owned(), 6380),
                timeout_ms: 900,
                pause_ms: 9,
            },
            Command::Release,
        ] {
            let shape = transaction(&command).expect("a transaction");
            let text = words(|out| out.command(&command));
            assert_eq!(text.matches('*').count(), usize::from(shape.len), "{text}");
        }
        let text = words(|out| out.command(&Command::Reconfigure { follow: None }));
        assert!(text.contains("*3 SLAVEOF NO ONE"));
    }

    #[test]
    fn greetings_carry_name_and_password() {
        let alone = Credentials {
            user: None,
            password: Secret::new("s3cret"),
        };
        let named = Credentials {
            user: Some("watch".to_owned()),
            ..alone.clone()
        };
        assert_eq!(words(|out| out.hello(None, "n")), "*4 HELLO 3 SETNAME n ");
        assert_eq!(
            words(|out| out.hello(Some(&alone), "n")),
            "*7 HELLO 3 AUTH default s3cret SETNAME n "
        );
        let mut count = 0;
        assert_eq!(
            words(|out| count = out.greeting(Some(&named), "n")),
            "*3 AUTH watch s3cret *3 CLIENT SETNAME n "
        );
        assert_eq!(count, 2);
        assert_eq!(
            words(|out| count = out.greeting(Some(&alone), "n")),
            "*2 AUTH s3cret *3 CLIENT SETNAME n "
        );
    }

    #[test]
    fn a_hand_over_pauses_writes_and_names_the_replica() {
        let to = ("10.0.0.2".to_owned(), 6380);
        assert_eq!(
            words(|out| out.command(&Command::HandOver {
                to,
                timeout_ms: 900,
                pause_ms: 700
            })),
            "*1 MULTI *4 CLIENT PAUSE 700 WRITE *6 FAILOVER TO 10.0.0.2 6380 TIMEOUT 900 *1 EXEC "
        );
        let text = words(|out| out.command(&Command::Release));
        assert!(text.ends_with("*2 CLIENT UNPAUSE *1 EXEC "), "{text}");
    }

    #[test]
    fn the_end_of_a_hand_over_stands_alone() {
        assert_eq!(transaction(&Command::AbortHandOver), None);
        assert_eq!(
            words(|out| out.command(&Command::AbortHandOver)),
            "*2 FAILOVER ABORT "
        );
    }

    #[test]
    fn commands_go_out_under_the_names_of_the_server() {
        let renamed = Renamed::from([
            ("CONFIG".to_owned(), "cfg".to_owned()),
            ("PING".to_owned(), "p1".to_owned()),
            ("FAILOVER".to_owned(), "fo".to_owned()),
        ]);
        assert_eq!(
            renamed_words(&renamed, |out| out.command(&Command::Ping)),
            "*1 p1 "
        );
        let text = renamed_words(&renamed, |out| {
            out.command(&Command::Reconfigure { follow: None })
        });
        assert!(text.contains("*2 cfg REWRITE *4 CLIENT KILL"), "{text}");
        assert_eq!(
            renamed_words(&renamed, |out| out.command(&Command::AbortHandOver)),
            "*2 fo ABORT "
        );
    }
}
