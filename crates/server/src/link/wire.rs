//! The core's commands as bytes.
//!
//! Owns the words that go over the wire. Reads nothing.

use bellwether_core::{Command, Credentials};
use bellwether_resp::encode_command;
use bytes::BytesMut;

use super::HELLO_CHANNEL;

/// How many commands the transaction of [`Command::Reconfigure`] has, and so how many replies.
pub(super) const RECONFIGURE_LEN: u8 = 6;

/// Appends a command.
pub(super) fn command(out: &mut BytesMut, command: &Command) {
    match command {
        Command::Ping => encode_command(out, &["PING"]),
        Command::Info => encode_command(out, &["INFO"]),
        Command::Hello { message } => encode_command(out, &["PUBLISH", HELLO_CHANNEL, message]),
        Command::AskDown {
            host,
            port,
            epoch,
            candidate,
        } => {
            let (port, epoch) = (port.to_string(), epoch.to_string());
            let candidate = candidate.as_ref().map_or("*", |id| id.as_str());
            let words = [
                "SENTINEL",
                "is-master-down-by-addr",
                host,
                &port,
                &epoch,
                candidate,
            ];
            encode_command(out, &words);
        }
        Command::Reconfigure { follow } => reconfigure(out, follow.as_ref()),
        Command::ScriptKill => encode_command(out, &["SCRIPT", "KILL"]),
    }
}

/// The transaction of the reference: the role, its permanence, and sending all clients off so that they look
/// for the primary anew. `SLAVEOF`, because that is the name by which rename tables and ACLs know it.
fn reconfigure(out: &mut BytesMut, follow: Option<&(String, u16)>) {
    encode_command(out, &["MULTI"]);
    match follow {
        None => encode_command(out, &["SLAVEOF", "NO", "ONE"]),
        Some((host, port)) => encode_command(out, &["SLAVEOF", host, &port.to_string()]),
    }
    encode_command(out, &["CONFIG", "REWRITE"]);
    encode_command(out, &["CLIENT", "KILL", "TYPE", "normal"]);
    encode_command(out, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    encode_command(out, &["EXEC"]);
}

/// Appends the greeting that asks for RESP3 and carries name and password with it.
pub(super) fn hello(out: &mut BytesMut, credentials: Option<&Credentials>, name: &str) {
    let mut words = vec!["HELLO", "3"];
    if let Some(credentials) = credentials {
        let user = credentials.user.as_deref().unwrap_or("default");
        words.extend(["AUTH", user, credentials.password.expose()]);
    }
    words.extend(["SETNAME", name]);
    encode_command(out, &words);
}

/// Appends the greeting of RESP2 and gives the number of its commands.
pub(super) fn greeting(out: &mut BytesMut, credentials: Option<&Credentials>, name: &str) -> u8 {
    let authenticates = credentials.is_some();
    if let Some(Credentials { user, password }) = credentials {
        match user {
            Some(user) => encode_command(out, &["AUTH", user, password.expose()]),
            None => encode_command(out, &["AUTH", password.expose()]),
        }
    }
    encode_command(out, &["CLIENT", "SETNAME", name]);
    1 + u8::from(authenticates)
}

/// Appends the subscription to hello messages.
pub(super) fn subscribe(out: &mut BytesMut) {
    encode_command(out, &["SUBSCRIBE", HELLO_CHANNEL]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_core::{Epoch, Secret, SentinelId};

    fn words(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        let text = String::from_utf8(out.to_vec()).expect("plain text");
        let words = text.split("\r\n").filter(|line| !line.starts_with('$'));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_go_out_as_the_reference_writes_them() {
        assert_eq!(words(|out| command(out, &Command::Ping)), "*1 PING ");
        let message = "1.2.3.4,26379".to_owned();
        assert_eq!(
            words(|out| command(out, &Command::Hello { message })),
            "*3 PUBLISH __sentinel__:hello 1.2.3.4,26379 "
        );
        let ask = |candidate| Command::AskDown {
            host: "10.0.0.1".to_owned(),
            port: 6379,
            epoch: Epoch(7),
            candidate,
        };
        assert_eq!(
            words(|out| command(out, &ask(None))),
            "*6 SENTINEL is-master-down-by-addr 10.0.0.1 6379 7 * "
        );
        assert_eq!(
            words(|out| command(out, &ask(SentinelId::new("abc").ok()))),
            "*6 SENTINEL is-master-down-by-addr 10.0.0.1 6379 7 abc "
        );
    }

    #[test]
    fn the_transaction_has_as_many_commands_as_replies_are_awaited() {
        let follow = Some(("10.0.0.2".to_owned(), 6380));
        let text = words(|out| command(out, &Command::Reconfigure { follow }));
        assert_eq!(
            text,
            "*1 MULTI *3 SLAVEOF 10.0.0.2 6380 *2 CONFIG REWRITE *4 CLIENT KILL TYPE normal \
             *4 CLIENT KILL TYPE pubsub *1 EXEC "
        );
        assert_eq!(text.matches('*').count(), usize::from(RECONFIGURE_LEN));
        let text = words(|out| command(out, &Command::Reconfigure { follow: None }));
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
        assert_eq!(words(|out| hello(out, None, "n")), "*4 HELLO 3 SETNAME n ");
        assert_eq!(
            words(|out| hello(out, Some(&alone), "n")),
            "*7 HELLO 3 AUTH default s3cret SETNAME n "
        );
        let mut count = 0;
        assert_eq!(
            words(|out| count = greeting(out, Some(&named), "n")),
            "*3 AUTH watch s3cret *3 CLIENT SETNAME n "
        );
        assert_eq!(count, 2);
        assert_eq!(
            words(|out| count = greeting(out, Some(&alone), "n")),
            "*2 AUTH s3cret *3 CLIENT SETNAME n "
        );
    }
}
