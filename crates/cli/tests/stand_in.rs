//! The stand-in as clients and replicas see it, through an ordinary client library.

mod support;

use std::time::Duration;

use support::{Running, ask, bellwether, ports, until};

fn start(port: u16, follows: Option<u16>) -> Running {
    let mut command = bellwether();
    command.args(["stand-in", "--port", &port.to_string()]);
    if let Some(primary) = follows {
        command.args(["--replicaof", &format!("127.0.0.1:{primary}")]);
    }
    let running = Running::start(&mut command);
    until("the stand-in answers", || ask::<String>(port, &["PING"]));
    running
}

fn field(port: u16, name: &str) -> Result<String, String> {
    let info: String = ask(port, &["INFO", "replication"])?;
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("no {name} in {info}"))?.to_owned())
}

fn in_sync(replica: u16, primary: u16) {
    until("the replica is in sync", || {
        let (there, here) = (
            field(primary, "master_repl_offset")?,
            field(replica, "slave_repl_offset")?,
        );
        let link = field(replica, "master_link_status")?;
        if there == here && link == "up" {
            Ok(())
        } else {
            Err(format!("{here} of {there}, link {link}"))
        }
    });
}

#[test]
fn data_written_before_and_after_reaches_a_replica() {
    let [primary, replica] = ports();
    let _primary = start(primary, None);
    ask::<()>(primary, &["SET", "before", "1"]).unwrap();
    let _replica = start(replica, Some(primary));
    until("the replica has a link", || {
        match field(replica, "master_link_status")?.as_str() {
            "up" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert_eq!(ask::<i64>(primary, &["INCR", "after"]), Ok(1));
    in_sync(replica, primary);
    assert_eq!(
        ask::<Vec<i64>>(replica, &["MGET", "before", "after"]),
        Ok(vec![1, 1])
    );
    assert!(
        ask::<()>(replica, &["SET", "a", "1"])
            .unwrap_err()
            .to_lowercase()
            .contains("read")
    );
    until("the primary hears of the replica", || {
        let line = field(primary, "slave0")?;
        let expected = format!(
            "ip=127.0.0.1,port={replica},state=online,offset={}",
            field(primary, "master_repl_offset")?
        );
        if line.starts_with(&expected) {
            Ok(())
        } else {
            Err(line)
        }
    });
}

#[test]
fn a_promoted_replica_takes_writes_and_gets_replicas() {
    let [old, first, second] = ports();
    let old_process = start(old, None);
    let _first = start(first, Some(old));
    let _second = start(second, Some(old));
    ask::<()>(old, &["SET", "key", "value"]).unwrap();
    in_sync(first, old);
    drop(old_process);
    until("the link is down", || {
        match field(first, "master_link_status")?.as_str() {
            "down" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    ask::<()>(first, &["REPLICAOF", "NO", "ONE"]).unwrap();
    ask::<()>(first, &["SET", "new", "1"]).unwrap();
    ask::<()>(second, &["REPLICAOF", "127.0.0.1", &first.to_string()]).unwrap();
    in_sync(second, first);
    assert_eq!(
        ask::<Vec<String>>(second, &["MGET", "key", "new"]),
        Ok(vec!["value".to_owned(), "1".to_owned()])
    );
}

#[test]
fn it_carries_hellos() {
    let [port] = ports();
    let _server = start(port, None);
    let client = redis::Client::open(("127.0.0.1", port)).unwrap();
    let mut connection = client.get_connection().unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut subscription = connection.as_pubsub();
    subscription.subscribe("__sentinel__:hello").unwrap();
    assert_eq!(
        ask::<i64>(port, &["PUBLISH", "__sentinel__:hello", "127.0.0.1,26379"]),
        Ok(1)
    );
    assert_eq!(
        subscription
            .get_message()
            .unwrap()
            .get_payload::<String>()
            .unwrap(),
        "127.0.0.1,26379"
    );
}
