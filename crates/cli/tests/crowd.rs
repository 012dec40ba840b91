//! As many connections as the machine allows, each with garbage or half a request: they cost bounded memory, and the
//! coordinator watches, answers and fails over as if they were not there.

mod support;

use std::{collections::HashMap, fs, io::Write, net::TcpStream, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Running, ask, bellwether, ports, until, write};

/// How many are wanted, and with how few the test would show nothing.
const WANTED: u64 = 20_000;
const LEAST: u64 = 10_000;

/// Files that both processes need for other things.
const RESERVED: u64 = 300;

/// What one connection may cost: its task, what it has sent, and what the allocator rounds up.
const MAX_BYTES_EACH: u64 = 8 * 1024;

/// The addresses to connect to. The kernel takes long to find a free port where most for one address are taken.
const DOORS: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];

/// What is sent by whom, in turn. None of it is a whole request that has an answer.
const GARBAGE: [&[u8]; 9] = [
    b"",
    b"*3\r\n$8\r\nSENTINEL\r\n$6\r\nmas",
    b"*1024000\r\n$4\r\nPING\r\n$",
    b"*2\r\n$4\r\nPING\r\n$536870000\r\nthe beginning of half a gigabyte",
    b"SENTINEL get-master-addr-by-name without an end",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"*-7\r\n*0\r\n\r\n\r\n",
    b"$5\r\n:1\r\n+OK\r\n",
    b"*99999999999999999999\r\n",
];

/// As many as the limit on open files lets both sides have.
fn crowd_size() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // The daemon does the same for itself.
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .expect("within what is allowed");
    let size = limit
        .maximum
        .map_or(WANTED, |most| WANTED.min(most.saturating_sub(RESERVED)));
    assert!(
        size >= LEAST,
        "the limit on open files is too low for this test: {size}"
    );
    size
}

fn resident_bytes(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the line");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

fn connections(port: u16) -> Result<u64, String> {
    let info: String = ask(port, &["INFO", "stats"])?;
    let count = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    count.and_then(|count| count.parse().ok()).ok_or(info)
}

fn primary_port(port: u16) -> Result<u16, String> {
    let (_, primary): (String, u16) = ask(port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"])?;
    Ok(primary)
}

#[test]
fn a_crowd_with_garbage_costs_bounded_memory_and_no_failover() {
    let size = crowd_size();
    let [port, primary, replica] = ports();
    let server = |port: u16, more: &[&str]| {
        let port = port.to_string();
        Running::start(bellwether().args(["stand-in", "--port", &port]).args(more))
    };
    let first = server(primary, &[]);
    until("the primary answers", || ask::<String>(primary, &["PING"]));
    let _second = server(replica, &["--replicaof", &format!("127.0.0.1:{primary}")]);
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "port {port}\nbind {}\nmaxclients 30000\nsentinel monitor m 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds m 3000\n",
        DOORS.join(" ")
    );
    let file = write(dir.path(), "s.conf", &text);
    let daemon = Running::start(bellwether().arg(&file));
    until("the replica is linked", || {
        let replicas: Vec<HashMap<String, String>> = ask(port, &["SENTINEL", "REPLICAS", "m"])?;
        match replicas
            .first()
            .and_then(|replica| replica.get("master-link-status"))
        {
            Some(status) if status == "ok" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let (memory_before, came_before) = (resident_bytes(&daemon), connections(port).unwrap());

    let mut crowd = Vec::new();
    let doors = DOORS.iter().cycle();
    for (garbage, door) in GARBAGE.iter().cycle().zip(doors).take(size as usize) {
        let mut stream = TcpStream::connect((*door, port)).expect("a connection");
        // Who is closed for what it sent before is no news.
        let _ = stream.write_all(garbage);
        crowd.push(stream);
    }
    until("all are accepted", || {
        let came = connections(port)? - came_before;
        if came > size {
            Ok(())
        } else {
            Err(format!("{came} of {size}"))
        }
    });

    let cost = resident_bytes(&daemon).saturating_sub(memory_before);
    assert!(
        cost < size * MAX_BYTES_EACH,
        "{size} connections cost {} bytes each",
        cost / size
    );
    // Nothing was taken for down meanwhile, or the replica would be the primary.
    assert_eq!(primary_port(port), Ok(primary));
    assert_eq!(ask::<String>(port, &["PING"]).as_deref(), Ok("PONG"));
    drop(first);
    until("the replica is promoted", || match primary_port(port)? {
        other if other == replica => Ok(()),
        other => Err(format!("it is {other}")),
    });
    // They were there all the time: those that sent nothing wrong still are.
    let silent = crowd.first().expect("one");
    silent.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut byte = [0];
    let kind = silent
        .peek(&mut byte)
        .expect_err("neither the end nor an answer")
        .kind();
    assert!(
        matches!(
            kind,
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{kind}"
    );
    drop(crowd);
    assert_eq!(ask::<String>(port, &["PING"]).as_deref(), Ok("PONG"));
}
