//! What we write, Redis Sentinel and Valkey Sentinel load; what they write, we load. Needs the programs `redis-sentinel`
//! and `valkey-sentinel`.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bellwether_conf::{Config, Source, parse, rewrite};
use bellwether_core::{
    Addr, Decision, GlobalChange, GroupChange, GroupName, LogLevel, Registry, Secret, SentinelId,
};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const ID: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER_ID: &str = "89abcdef0123456789abcdef0123456789abcdef";

const REDIS: &str = "redis-sentinel";
const VALKEY: &str = "valkey-sentinel";

/// A running sentinel with a file of its own.
struct Sentinel {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sentinel {
    /// Starts this program with this file, in which `PORT` stands for a free port; panics with its output if it does not start.
    fn start(program: &str, text: &str) -> Self {
        let port = free_port();
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("sentinel.conf");
        let text = text.replace("PORT", &port.to_string());
        fs::write(&file, &text).expect("written");
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let child = Command::new(program)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} must be installed (scripts/install-test-servers.sh): {error}")
            });
        let mut sentinel = Self { child, port, dir };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = sentinel.child.try_wait().expect("a status").is_some();
            let log = fs::read_to_string(sentinel.dir.path().join("log")).unwrap_or_default();
            assert!(
                !ended && start.elapsed() < PATIENCE,
                "it does not start:\n{text}\n-----\n{log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        sentinel
    }

    /// Sends commands and returns the raw replies up to that of a last PING.
    fn ask(&self, commands: &str) -> String {
        let mut link = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        link.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        link.write_all(format!("{commands}\r\nPING\r\n").as_bytes())
            .expect("sent");
        let mut replies = Vec::new();
        while !replies.ends_with(b"+PONG\r\n") {
            let mut buffer = [0; 4096];
            let count = link.read(&mut buffer).expect("a reply");
            assert_ne!(count, 0, "cut off after {}", String::from_utf8_lossy(&replies));
            replies.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&replies).into_owned()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("sentinel.conf")
    }

    /// The file after it was written anew.
    fn flushed(&self, login: &str) -> String {
        let reply = self.ask(&format!("{login}SENTINEL FLUSHCONFIG"));
        assert!(reply.contains("+OK"), "{reply}");
        fs::read_to_string(self.file()).expect("the file")
    }
}

/// A port that nobody listens on now, below the range that outgoing connections take. Tests run at the same time,
/// in threads or in processes, and must not be given the same one.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 500 * 20).expect("fits");
    (20_000 + offset..32_000)
        .skip_while(|port| *port < NEXT.load(Ordering::Relaxed))
        .find(|port| {
            let is_ours = NEXT.fetch_max(port + 1, Ordering::Relaxed) <= *port;
            is_ours && TcpListener::bind(("127.0.0.1", *port)).is_ok()
        })
        .expect("a free port")
}

fn load(text: &str) -> (Config, Registry) {
    let mut no_files = |_: &str| Ok(Vec::new());
    let config = parse(&Source::new("sentinel.conf", text), &[], &mut no_files)
        .unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    let registry = config.registry(|| SentinelId::new(ID).expect("an id"));
    (config, registry)
}

fn id(text: &str) -> SentinelId {
    SentinelId::new(text).expect("an id")
}

#[test]
fn redis_loads_what_we_write() {
    loads_what_we_write(REDIS);
}

#[test]
fn valkey_loads_what_we_write() {
    loads_what_we_write(VALKEY);
}

fn loads_what_we_write(program: &str) {
    // A stand-in for the primary, to see the password arrive.
    let primary = TcpListener::bind(("127.0.0.1", free_port())).expect("a listener");
    let primary_port = primary.local_addr().expect("an address").port();
    let text = format!(
        "# A comment.\nport 1\nbind 127.0.0.1\nsentinel resolve-hostnames yes\n\n\
         sentinel monitor my.group 127.0.0.1 {primary_port} 2\nsentinel down-after-milliseconds my.group 30000\n\
         sentinel monitor other localhost 1 1\n"
    );
    let (mut config, mut registry) = load(&text);
    let password = "p\"a ss' \\ # ж\u{7}\n";
    config.sentinel.sentinel_pass = Some(Secret::new(password));
    let group = || GroupName::new("my.group").expect("a name");
    for decision in [
        Decision::Set {
            group: group(),
            change: GroupChange::AuthPass(Some(Secret::new(password))),
        },
        Decision::Set {
            group: group(),
            change: GroupChange::DownAfter(Duration::from_millis(1234)),
        },
        Decision::Set {
            group: group(),
            change: GroupChange::NotificationScript(Some("/bin/true".to_owned())),
        },
        Decision::Set {
            group: group(),
            change: GroupChange::ClientReconfigScript(Some("/bin/false".to_owned())),
        },
        Decision::Set {
            group: group(),
            change: GroupChange::RenameCommand {
                command: "SLAVEOF".to_owned(),
                renamed: Some("fol low".to_owned()),
            },
        },
        Decision::Set {
            group: group(),
            change: GroupChange::RebootDownAfter(Duration::from_millis(4321)),
        },
        Decision::SetGlobals {
            changes: vec![
                GlobalChange::LogLevel(LogLevel::Verbose),
                GlobalChange::AnnouncePort(4),
                GlobalChange::AnnounceHostnames(true),
            ],
        },
        Decision::ReplicaSeen {
            group: group(),
            addr: Addr::parse("127.0.0.1", 2).expect("an address"),
        },
        Decision::SentinelSeen {
            group: group(),
            id: id(OTHER_ID),
            addr: Addr::parse("::1", 3).expect("an address"),
        },
        Decision::Vote {
            group: group(),
            epoch: bellwether_core::Epoch(5),
            candidate: id(OTHER_ID),
        },
    ] {
        registry.apply(&decision);
    }
    let written = rewrite(&text, &config, &registry);
    let sentinel = Sentinel::start(program, &written.replace("port 1\n", "port PORT\n"));

    let replies = sentinel.ask("SENTINEL MASTER my.group");
    for option in ["/bin/true", "/bin/false"] {
        assert!(replies.contains(option), "{option}: {replies}");
    }
    let replies = sentinel.ask("SENTINEL CONFIG GET announce-*");
    assert!(replies.contains("\r\n4\r\n"), "{replies}");
    let replies = sentinel.ask(
        "SENTINEL MYID\r\nSENTINEL MASTER my.group\r\nSENTINEL REPLICAS my.group\r\n\
                                SENTINEL SENTINELS my.group\r\nSENTINEL MASTER other",
    );
    let words: Vec<&str> = replies.split("\r\n").collect();
    assert!(words.contains(&ID), "{replies}");
    assert!(words.contains(&"1234"), "{replies}");
    assert!(words.contains(&"127.0.0.1:2"), "{replies}");
    assert!(words.contains(&OTHER_ID), "{replies}");
    assert!(words.contains(&"other"), "{replies}");

    let seen = first_bytes(&primary, password.as_bytes());
    assert!(seen, "the password did not arrive");
}

/// Whether someone connects and sends these bytes.
fn first_bytes(listener: &TcpListener, wanted: &[u8]) -> bool {
    listener.set_nonblocking(true).expect("a listener");
    let start = Instant::now();
    let mut links: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    while start.elapsed() < PATIENCE {
        if let Ok((link, _)) = listener.accept() {
            link.set_nonblocking(true).expect("a connection");
            links.push((link, Vec::new()));
        }
        for (link, bytes) in &mut links {
            let mut buffer = [0; 4096];
            if let Ok(count) = link.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
            }
            if bytes.windows(wanted.len()).any(|window| window == wanted) {
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn we_load_what_redis_writes() {
    writes_what_we_load(REDIS, "master-reboot-down-after-period");
}

#[test]
fn we_load_what_valkey_writes() {
    writes_what_we_load(VALKEY, "primary-reboot-down-after-period");
}

/// `reboot_period` is how it spells that directive.
fn writes_what_we_load(program: &str, reboot_period: &str) {
    let sentinel = Sentinel::start(
        program,
        &format!(
            "# Kept.\nport PORT\nbind 127.0.0.1\nlogfile \"\"\nSENTINEL resolve-hostnames no\n\
         sentinel monitor m 127.0.0.1 1 2\nsentinel auth-pass m secret\nsentinel auth-user m user\n\
         sentinel failover-timeout m 60000\nsentinel parallel-syncs m 3\n\
         sentinel known-replica m 127.0.0.1 2\nsentinel config-epoch m 4\nsentinel current-epoch 6\n\
         sentinel announce-ip 127.0.0.9\nsentinel announce-port 7\nsentinel rename-command m CONFIG guess\n\
         sentinel notification-script m /bin/true\nsentinel client-reconfig-script m /bin/false\n\
         sentinel rename-command m slaveof \"\\x66ollow\"\nsentinel deny-scripts-reconfig no\n\
         sentinel {reboot_period} m 4321\nsentinel sentinel-user us\nsentinel sentinel-pass pa\n\
         loglevel verbose\n"
        ),
    );
    let text = sentinel.flushed("");
    // Valkey leaves a line with the name of Redis alone, and adds another one with its own.
    assert_eq!(text.matches("-reboot-down-after-period").count(), 1, "{text}");
    let my_id = sentinel.ask("SENTINEL MYID");
    drop(sentinel);

    let (config, registry) = load(&text);
    assert!(my_id.contains(registry.my_id.as_str()), "{my_id}");
    let record = &registry.groups["m"];
    assert_eq!(record.options.failover_timeout.as_secs(), 60);
    assert_eq!(record.options.parallel_syncs, 3);
    assert_eq!(record.options.auth_pass, Some(Secret::new("secret")));
    assert_eq!(record.options.auth_user.as_deref(), Some("user"));
    assert_eq!((record.config_epoch.0, registry.current_epoch.0), (4, 6));
    assert_eq!(record.replicas.len(), 1);
    assert_eq!(config.sentinel.announce_port, Some(7));
    let options = &record.options;
    assert_eq!(options.notification_script.as_deref(), Some("/bin/true"));
    assert_eq!(options.client_reconfig_script.as_deref(), Some("/bin/false"));
    let renamed = [("CONFIG", "guess"), ("SLAVEOF", "follow")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(options.renamed_commands, renamed.into());
    assert_eq!(options.reboot_down_after, Duration::from_millis(4321));
    assert_eq!(registry.globals.log_level, LogLevel::Verbose);
    assert_eq!(registry.globals.sentinel_user.as_deref(), Some("us"));
    assert!(!config.sentinel.deny_scripts_reconfig);

    // Nothing has changed, so nothing is changed; and back it goes.
    let written = rewrite(&text, &config, &registry);
    assert_eq!(written, text);
    let changed = written.replace("parallel-syncs m 3", "parallel-syncs m 4");
    let port_line = changed
        .lines()
        .find(|line| line.starts_with("port "))
        .expect("a port");
    let sentinel = Sentinel::start(program, &changed.replace(port_line, "port PORT"));
    let (_, again) = load(&sentinel.flushed(""));
    assert_eq!(again.groups["m"].options.parallel_syncs, 4);
    assert_eq!(again.my_id, registry.my_id);
}

#[test]
fn we_load_a_file_with_a_password() {
    for program in [REDIS, VALKEY] {
        loads_with_a_password(program);
    }
}

fn loads_with_a_password(program: &str) {
    let sentinel = Sentinel::start(
        program,
        "port PORT\nbind 127.0.0.1\nrequirepass secret\nsentinel monitor m 127.0.0.1 1 1\n",
    );
    let text = sentinel.flushed("AUTH secret\r\n");
    let (config, _) = load(&text);
    assert_eq!(config.daemon.requirepass, Some(Secret::new("secret")));
    assert_eq!(config.warnings, [], "{text}");
}
