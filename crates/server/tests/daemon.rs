//! A whole daemon in this process: starting, what it refuses to start with, stopping.

use std::fs;
use std::io;
use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwether_conf::{Config, Source, parse};
use bellwether_server::{Daemon, DaemonError, NoTelemetry, Start, StateLock, Supervisor};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    directory: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            port: free_port(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn conf(&self) -> PathBuf {
        self.path("sentinel.conf")
    }

    /// Writes a configuration with these lines besides the port.
    fn write(&self, lines: &str) {
        let text = format!("port {}\nbind 127.0.0.1\n{lines}", self.port);
        fs::write(self.conf(), text).expect("written");
    }

    async fn prepare(&self) -> Result<Daemon, DaemonError> {
        let config = read(&self.conf());
        let lock = StateLock::take(&config, &self.conf()).expect("nobody else has it");
        Daemon::prepare(Start {
            config,
            config_file: self.conf(),
            lock,
            telemetry: Arc::new(NoTelemetry),
            supervisor: Supervisor::None,
            log: None,
        })
        .await
    }

    /// Starts, asks for the id, and stops.
    async fn id_of_one_run(&self) -> String {
        let daemon = self.prepare().await.expect("it starts");
        let handle = daemon.handle().clone();
        let running = tokio::spawn(daemon.run());
        assert_eq!(order(self.port, "PING").await, "+PONG");
        handle.shutdown();
        let ended = timeout(PATIENCE, running).await.expect("it stops in time");
        ended.expect("no panic").expect("an orderly end");
        saved_id(&fs::read_to_string(self.saved()).expect("the saved state"))
    }

    fn saved(&self) -> PathBuf {
        match self.path("state").is_dir() {
            true => self.path("state").join(bellwether_conf::STATE_FILE),
            false => self.conf(),
        }
    }
}

/// One command and the first line of its answer.
async fn order(port: u16, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    stream
        .write_all(format!("{line}\r\n").as_bytes())
        .await
        .expect("sent");
    let mut answer = String::new();
    let mut stream = BufReader::new(stream);
    let reading = stream.read_line(&mut answer);
    timeout(PATIENCE, reading)
        .await
        .expect("in time")
        .expect("an answer");
    answer.trim_end().to_owned()
}

/// A port below the range from which the kernel takes ports for outgoing connections. Tests that run at the
/// same time, in this process or another, begin at different places.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (std::process::id() * 23 + step) % 15_000;
        let port = u16::try_from(port).expect("below 30,000");
        if StdListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn read(path: &Path) -> Config {
    let text = fs::read_to_string(path).expect("the configuration");
    let source = Source::new(path.display().to_string(), text);
    parse(&source, &[], &mut |name| Err(format!("no include here: {name}"))).expect("a good configuration")
}

fn saved_id(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("sentinel myid "));
    line.expect("an id is saved").trim_matches('"').to_owned()
}

#[tokio::test]
async fn the_id_is_made_once_and_kept() {
    let place = Place::new();
    place.write("# ours\n");
    let first = place.id_of_one_run().await;
    assert_eq!(first.len(), 40);
    assert_eq!(place.id_of_one_run().await, first);
    assert!(
        fs::read_to_string(place.conf())
            .expect("the file")
            .contains("# ours\n")
    );
}

#[tokio::test]
async fn with_a_state_directory_the_configuration_is_never_written() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).expect("a directory");
    place.write(&format!("bellwether state-dir {}\n", state.display()));
    let before = fs::read_to_string(place.conf()).expect("the file");
    let first = place.id_of_one_run().await;
    assert_eq!(place.id_of_one_run().await, first);
    assert_eq!(fs::read_to_string(place.conf()).expect("the file"), before);
    fs::write(place.saved(), "not a state").expect("written");
    let error = place.prepare().await.expect_err("a damaged state");
    assert!(matches!(error, DaemonError::State { .. }), "{error:?}");
}

#[tokio::test]
async fn a_busy_port_stops_the_start_before_anything_is_saved() {
    let place = Place::new();
    place.write("");
    let _taken = StdListener::bind(("127.0.0.1", place.port)).expect("the port");
    let error = place.prepare().await.expect_err("the port is busy");
    let DaemonError::Listen { address, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (address.port(), source.kind()),
        (place.port, io::ErrorKind::AddrInUse)
    );
    assert!(read(&place.conf()).my_id.is_none());
}

#[tokio::test]
async fn an_id_that_cannot_be_saved_stops_the_start() {
    let place = Place::new();
    place.write("");
    // A file that is there when it is read, and whose directory is not there any more when it is saved.
    let config = read(&place.conf());
    let config_file = place.path("gone/sentinel.conf");
    let telemetry = Arc::new(NoTelemetry);
    let lock = StateLock::take(&config, &place.conf()).expect("nobody else has it");
    let start = Start {
        config,
        config_file,
        lock,
        telemetry,
        supervisor: Supervisor::None,
        log: None,
    };
    let error = Daemon::prepare(start).await.expect_err("no such file");
    assert!(matches!(error, DaemonError::NotWritable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused_until_it_can() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).expect("a directory");
    place.write(&format!("bellwether state-dir {}\n", state.display()));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    assert_eq!(order(place.port, "SENTINEL FLUSHCONFIG").await, "+OK");
    fs::remove_dir_all(&state).expect("the disk goes");
    let refused = order(place.port, "SENTINEL FLUSHCONFIG").await;
    assert!(refused.starts_with("-ERR"), "{refused}");
    fs::create_dir(&state).expect("the disk comes back");
    let saved = async {
        while order(place.port, "SENTINEL FLUSHCONFIG").await != "+OK" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, saved).await.expect("it is saved again");
    assert!(place.saved().is_file());
    handle.shutdown();
    let ended = timeout(PATIENCE, running).await.expect("it stops in time");
    ended.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn a_state_directory_that_another_one_took_is_not_written() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).expect("a directory");
    place.write(&format!("bellwether state-dir {}\n", state.display()));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    assert_eq!(order(place.port, "SENTINEL FLUSHCONFIG").await, "+OK");
    fs::rename(&state, place.path("away")).expect("moved");
    fs::create_dir(&state).expect("made again");
    let other = StateLock::take(&read(&place.conf()), &place.conf()).expect("nobody has the new one");
    let refused = order(place.port, "SENTINEL FLUSHCONFIG").await;
    assert!(refused.starts_with("-ERR"), "{refused}");
    assert!(!place.saved().exists());
    drop(other);
    let saved = async {
        while order(place.port, "SENTINEL FLUSHCONFIG").await != "+OK" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, saved).await.expect("it is saved again");
    // It has the lock of the new one.
    StateLock::take(&read(&place.conf()), &place.conf()).expect_err("in use");
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn a_group_is_monitored_across_a_restart() {
    let place = Place::new();
    place.write("");
    let start = async || {
        let daemon = place.prepare().await.expect("it starts");
        let handle = daemon.handle().clone();
        (handle, tokio::spawn(daemon.run()))
    };
    let (handle, running) = start().await;
    // Nobody listens there; that is no reason not to watch it.
    assert_eq!(order(place.port, "SENTINEL MONITOR m 127.0.0.1 1 2").await, "+OK");
    assert_eq!(handle.addresses().len(), 1);
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
    let (handle, running) = start().await;
    assert_eq!(
        order(place.port, "SENTINEL GET-MASTER-ADDR-BY-NAME m").await,
        "*2"
    );
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}

/// A daemon runs while these commands are given, one connection for each; gives the first line of each answer.
async fn orders(place: &Place, lines: &[&str]) -> Vec<String> {
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    let mut answers = Vec::new();
    for line in lines {
        answers.push(order(place.port, line).await);
    }
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
    answers
}

#[tokio::test]
async fn users_changed_while_it_runs_are_kept_in_the_state() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).expect("a directory");
    let lines = format!("bellwether state-dir {}\n", state.display());
    place.write(&format!("{lines}user named on >old +@all\n"));
    let changes = [
        "ACL SETUSER made on >pw +@all",
        "ACL SETUSER unmade on >pw +@all",
        "ACL SETUSER named resetpass >new",
        "ACL DELUSER unmade nobody",
        "ACL DELUSER nobody",
    ];
    let answers = orders(&place, &changes).await;
    assert_eq!(answers, ["+OK", "+OK", "+OK", ":1", ":0"]);
    let saved = fs::read_to_string(place.saved()).expect("the state");
    assert!(
        saved.contains("user made on") && !saved.contains(">pw"),
        "{saved}"
    );
    assert!(
        !saved.contains("unmade") && !saved.contains("user named"),
        "{saved}"
    );

    // A second restart shows that the state keeps what it has; what the configuration names is as it says.
    for _ in 0..2 {
        let logins = [
            "AUTH made pw",
            "AUTH unmade pw",
            "AUTH named old",
            "AUTH named new",
        ];
        let answers = orders(&place, &logins).await;
        let is_in: Vec<bool> = answers.iter().map(|answer| answer == "+OK").collect();
        assert_eq!(is_in, [true, false, true, false], "{answers:?}");
    }

    // Rights of the default user come from the state, its password from the configuration.
    let answers = orders(&place, &["ACL SETUSER default >first -ping"]).await;
    assert_eq!(answers, ["+OK"]);
    place.write(&format!("{lines}requirepass second\n"));
    let answers = orders(&place, &["AUTH first", "AUTH second", "PING"]).await;
    assert!(
        answers[0].starts_with("-WRONGPASS") && answers[1] == "+OK",
        "{answers:?}"
    );
    assert!(answers[2].starts_with("-NOAUTH"), "{answers:?}");
}

#[tokio::test]
async fn a_user_that_cannot_be_saved_is_told_so() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).expect("a directory");
    place.write(&format!("bellwether state-dir {}\n", state.display()));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    assert_eq!(order(place.port, "SENTINEL FLUSHCONFIG").await, "+OK");
    fs::remove_dir_all(&state).expect("the disk goes");
    for line in ["ACL SETUSER made on", "ACL DELUSER made"] {
        let refused = order(place.port, line).await;
        assert!(refused.starts_with("-ERR"), "{refused}");
    }
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn a_file_lets_clients_of_this_machine_in() {
    let place = Place::new();
    let socket = place.path("s.sock");
    place.write(&format!(
        "protected-mode yes\nunixsocket {}\nunixsocketperm 700\nsentinel monitor m 127.0.0.1 1 1\n",
        socket.display()
    ));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    let mut stream = BufReader::new(UnixStream::connect(&socket).await.expect("a connection"));
    let mut ask = async |line: &str, start: &str| {
        stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .expect("sent");
        let mut got = String::new();
        while !got.starts_with(start) {
            got.clear();
            let read = timeout(PATIENCE, stream.read_line(&mut got))
                .await
                .expect("an answer");
            assert!(read.expect("readable") > 0, "no {start:?}");
        }
        got.trim_end().to_owned()
    };
    let shown = socket.display();
    let client = ask("CLIENT INFO", "id=").await;
    assert!(
        client.contains(&format!(" addr={shown}:0 laddr={shown}:0 ")),
        "{client}"
    );
    assert!(client.contains(" flags=U "), "{client}");
    let listener = ask("INFO server", "listener1:").await;
    assert_eq!(listener, format!("listener1:name=unix,bind={shown}"));
    assert_eq!(
        ask(&format!("CLIENT KILL ADDR {shown}:0 SKIPME yes"), ":").await,
        ":0"
    );
    assert_eq!(
        ask("SENTINEL CKQUORUM m", "+").await,
        "+OK 1 usable Sentinels. Quorum and failover authorization can be reached"
    );
    handle.shutdown();
    let ended = timeout(PATIENCE, running).await.expect("it stops in time");
    ended.expect("no panic").expect("an orderly end");
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_file_that_cannot_be_listened_on_is_named() {
    let place = Place::new();
    let socket = place.path("taken");
    fs::write(&socket, "").expect("a file");
    place.write(&format!("unixsocket {}\n", socket.display()));
    let error = place.prepare().await.expect_err("no socket");
    let expected = format!("Failed opening Unix socket {}", socket.display());
    assert_eq!(error.to_string(), expected);
    // Nothing was begun.
    assert!(
        !fs::read_to_string(place.conf())
            .expect("the file")
            .contains("myid")
    );
}

#[tokio::test]
async fn a_changed_password_file_counts_after_a_hang_up() {
    let place = Place::new();
    let file = place.path("own");
    fs::write(&file, "old\n").expect("written");
    place.write(&format!("bellwether requirepass-file {}\n", file.display()));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    // It is in before the change, and stays in.
    let stream = TcpStream::connect(("127.0.0.1", place.port))
        .await
        .expect("it listens");
    let mut stream = BufReader::new(stream);
    let mut say = async |line: &str| {
        stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .expect("sent");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("an answer");
        answer
    };
    assert_eq!(say("AUTH old").await, "+OK\r\n");
    let hang_up = || {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::HUP).expect("sent");
    };
    fs::write(&file, "new\n").expect("written");
    hang_up();
    let renewed = async {
        while order(place.port, "AUTH new").await != "+OK" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("the new password counts");
    assert!(order(place.port, "AUTH old").await.starts_with("-WRONGPASS"));
    assert_eq!(say("PING").await, "+PONG\r\n");

    // A file that is gone, then one that is good again: what was good counts in between.
    fs::remove_file(&file).expect("removed");
    hang_up();
    assert_eq!(order(place.port, "AUTH new").await, "+OK");
    fs::write(&file, "newest").expect("written");
    hang_up();
    let renewed = async {
        while order(place.port, "AUTH newest").await != "+OK" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, renewed)
        .await
        .expect("the newest password counts");
    let saved = fs::read_to_string(place.conf()).expect("the file");
    assert!(!saved.contains("new"), "{saved}");
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn a_member_alone_goes_on_from_its_log() {
    let place = Place::new();
    fs::create_dir(place.path("state")).expect("a directory");
    let state = format!("bellwether state-dir {}\n", place.path("state").display());
    let raft = |port: u16| {
        format!(
            "{state}bellwether coordination raft\nbellwether member-id 1\nbellwether member 1 127.0.0.1 {port}\n"
        )
    };
    place.write(&raft(place.port));
    place.write(&(raft(place.port) + "sentinel monitor c 127.0.0.1 2 1\n"));
    let daemon = place.prepare().await.expect("it starts");
    let handle = daemon.handle().clone();
    let running = tokio::spawn(daemon.run());
    // What the configuration says is in the log soon.
    let founded = async {
        while order(place.port, "SENTINEL GET-MASTER-ADDR-BY-NAME c").await != "*2" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, founded).await.expect("the log begins");
    for (line, answer) in [
        ("SENTINEL MONITOR m 127.0.0.1 1 1", "+OK"),
        ("SENTINEL REMOVE c", "+OK"),
        ("SENTINEL RAFT SNAPSHOT", "+OK"),
        ("SENTINEL RAFT STATUS", "*34"),
    ] {
        assert_eq!(order(place.port, line).await, answer, "{line}");
    }
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
    let saved = fs::read_to_string(place.saved()).expect("a copy of the state");
    assert!(saved.contains("sentinel monitor m 127.0.0.1 1 1"), "{saved}");
    assert!(!saved.contains("127.0.0.1 2"), "{saved}");
    let id = saved_id(&saved);

    // It is the log of another cluster.
    place.write(&(raft(place.port) + "bellwether cluster another\n"));
    let error = place.prepare().await.expect_err("another cluster");
    assert!(matches!(error, DaemonError::StartLog { .. }), "{error}");
    let words = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
    assert!(
        words.contains("raft.redb") && words.contains("cluster"),
        "{words}"
    );

    // A member may have moved since the configuration was written.
    place.write(&raft(place.port - 1));
    assert_eq!(orders(&place, &["PING"]).await, ["+PONG"]);

    // Nothing is lost by a start, however short.
    place.write(&raft(place.port));
    assert_eq!(orders(&place, &["PING"]).await, ["+PONG"]);
    let saved = fs::read_to_string(place.saved()).expect("a copy of the state");
    assert!(saved.contains("sentinel monitor m 127.0.0.1 1 1"), "{saved}");
    let address = "SENTINEL GET-MASTER-ADDR-BY-NAME m";

    // By votes it goes on from the copy.
    place.write(&state);
    assert_eq!(orders(&place, &[address, "SENTINEL RAFT STATUS"]).await[0], "*2");
    let saved = fs::read_to_string(place.saved()).expect("the state");
    assert_eq!(saved_id(&saved), id);
}
