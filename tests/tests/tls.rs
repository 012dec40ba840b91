//! TLS on every connection: the plain ports of all servers and coordinators are closed.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bellwether_tests::certificates::Certificates;
use bellwether_tests::coordinator::Kind;
use bellwether_tests::fleet::raft_directives;
use bellwether_tests::port::Port;
use bellwether_tests::process::{self, Process};
use bellwether_tests::{GROUP, program, wait_for};
use tempfile::TempDir;

/// Starts, discovery, failovers of the reference, handshakes given up: all are over sooner, on a loaded machine too.
const LIMIT: Duration = Duration::from_secs(60);

/// One server or coordinator that speaks TLS.
struct Node {
    name: String,
    port: Port,
    process: Process,
}

/// What servers want from their clients where there are passwords, and what coordinators want from theirs.
const SERVER_PASSWORD: &str = "of-the-servers";
const SENTINEL_PASSWORD: &str = "of-the-sentinels";

/// Servers and coordinators with certificates of one authority.
struct Stage {
    certificates: Certificates,
    passwords: bool,
    servers: Vec<Node>,
    coordinators: Vec<Node>,
    dir: TempDir,
}

impl Stage {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bellwether-test-").tempdir()?;
        let certificates = Certificates::new(&dir.path().join("tls"))?;
        certificates.sign("node")?;
        Ok(Self {
            certificates,
            passwords: false,
            servers: Vec::new(),
            coordinators: Vec::new(),
            dir,
        })
    }

    /// One primary, two replicas, and these coordinators.
    fn start(kinds: &[Kind]) -> Result<Self> {
        let mut stage = Self::new()?;
        stage.start_servers()?;
        for (index, kind) in kinds.iter().enumerate() {
            stage.start_coordinator(index, *kind, "")?;
        }
        stage.wait_acquainted()?;
        Ok(stage)
    }

    /// Three members of one log with passwords on everything: one primary, two replicas, and beside them coordinators that
    /// know each other by a user who may do nothing but what members need.
    fn start_members() -> Result<Self> {
        let mut stage = Self::new()?;
        stage.passwords = true;
        stage.start_servers()?;
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let members: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, port)| format!("bellwether member {id} 127.0.0.1 {port}"))
            .collect();
        for (index, port) in ports.into_iter().enumerate() {
            let mut lines = raft_directives(index + 1, &members);
            lines.extend([
                format!("sentinel auth-pass {GROUP} {SERVER_PASSWORD}"),
                format!("requirepass {SENTINEL_PASSWORD}"),
                "user members on >of-the-members +ping +auth +client|setname +sentinel|raft".to_owned(),
                "sentinel sentinel-user members".to_owned(),
                "sentinel sentinel-pass of-the-members".to_owned(),
            ]);
            let state = stage.dir.path().join(format!("sentinel-{index}/state"));
            fs::create_dir_all(&state)?;
            let node =
                stage.spawn_coordinator_at(port, index, Kind::Bellwether, "node", &lines.join("\n"))?;
            stage.wait_answers(&node)?;
            stage.coordinators.push(node);
        }
        stage.wait_acquainted()?;
        Ok(stage)
    }

    fn start_servers(&mut self) -> Result<()> {
        for index in 0..3 {
            self.start_server(index)?;
        }
        wait_for("the replicas to be in sync", LIMIT, || {
            let info = self.ask(&self.servers[0], &["INFO", "replication"])?;
            let online = info.matches("state=online").count();
            ensure!(online == 2, "{online} replicas are in sync");
            Ok(())
        })
    }

    /// The TLS lines of a configuration that shows the certificate `name`.
    fn lines(&self, port: &Port, name: &str) -> String {
        let path = |file: &str| self.certificates.path(file);
        format!(
            "port 0\nbind 127.0.0.1\ntls-port {port}\ntls-replication yes\ntls-cert-file {}\ntls-key-file {}\n\
             tls-ca-cert-file {}\n",
            path(&format!("{name}.pem")),
            path(&format!("{name}.key")),
            path("ca.pem")
        )
    }

    fn spawn(&self, name: String, port: Port, command: &mut Command, config: &str) -> Result<Node> {
        let dir = self.dir.path().join(&name);
        fs::create_dir_all(&dir)?;
        let file = dir.join("node.conf");
        fs::write(&file, format!("dir {}\n{config}", dir.display()))?;
        let log = self.log(&name);
        let process = Process::spawn(&name, command.arg(&file), &log)?;
        Ok(Node { name, port, process })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.log"))
    }

    fn log_text(&self, name: &str) -> String {
        fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    fn start_server(&mut self, index: usize) -> Result<()> {
        self.start_server_as(index, "node")
    }

    /// Starts one that shows this certificate.
    fn start_server_as(&mut self, index: usize, certificate: &str) -> Result<()> {
        let port = Port::reserve()?;
        let mut config = self.lines(&port, certificate) + "save \"\"\nrepl-diskless-sync-delay 0\n";
        if self.passwords {
            config += &format!("requirepass {SERVER_PASSWORD}\nmasterauth {SERVER_PASSWORD}\n");
        }
        if let Some(primary) = self.servers.first() {
            config += &format!("replicaof 127.0.0.1 {}\n", primary.port);
        }
        let mut command = Command::new(program::redis_server()?);
        let node = self.spawn(format!("server-{index}"), port, &mut command, &config)?;
        self.wait_answers(&node)?;
        self.servers.push(node);
        Ok(())
    }

    /// Starts one with further lines, and waits for it.
    fn start_coordinator(&mut self, index: usize, kind: Kind, lines: &str) -> Result<()> {
        let node = self.spawn_coordinator(index, kind, "node", lines)?;
        self.wait_answers(&node)?;
        self.coordinators.push(node);
        Ok(())
    }

    fn spawn_coordinator(&self, index: usize, kind: Kind, certificate: &str, lines: &str) -> Result<Node> {
        self.spawn_coordinator_at(Port::reserve()?, index, kind, certificate, lines)
    }

    fn spawn_coordinator_at(
        &self,
        port: Port,
        index: usize,
        kind: Kind,
        certificate: &str,
        lines: &str,
    ) -> Result<Node> {
        let primary = self.servers.first().map_or(1, |primary| primary.port.number());
        let config = self.lines(&port, certificate)
            + &format!(
                "sentinel monitor {GROUP} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {GROUP} 1500\nsentinel failover-timeout {GROUP} 6000\n{lines}\n"
            );
        let mut command = Command::new(kind.program()?);
        self.spawn(format!("sentinel-{index}"), port, &mut command, &config)
    }

    fn wait_answers(&self, node: &Node) -> Result<()> {
        let answered = wait_for(&format!("{} to answer PING", node.name), LIMIT, || {
            let pong = self.ask(node, &["PING"])?;
            ensure!(pong == "PONG", "PING gives {pong}");
            Ok(())
        });
        answered.with_context(|| process::tail(&self.log(&node.name), 20))
    }

    /// Runs redis-cli with these options for TLS.
    fn cli(&self, port: u16, tls: &[&str], words: &[&str]) -> Result<String> {
        let output = Command::new("timeout")
            .args(["20", "redis-cli", "-p", &port.to_string()])
            .args(tls)
            .args(words)
            .output()
            .context("starting redis-cli")?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && complaint.is_empty(),
            "{text} {complaint}"
        );
        Ok(text)
    }

    fn ask(&self, node: &Node, words: &[&str]) -> Result<String> {
        let path = |file: &str| self.certificates.path(file);
        let (ca, cert, key) = (path("ca.pem"), path("node.pem"), path("node.key"));
        let tls = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        let password = if node.name.starts_with("server") {
            SERVER_PASSWORD
        } else {
            SENTINEL_PASSWORD
        };
        let login = ["-a", password, "--no-auth-warning"];
        let login = if self.passwords { &login[..] } else { &[] };
        self.cli(node.port.number(), &[&tls, login].concat(), words)
    }

    /// Waits until each coordinator knows all others and all servers, and finds the primary well.
    fn wait_acquainted(&self) -> Result<()> {
        let others = (self.coordinators.len() - 1).to_string();
        for node in &self.coordinators {
            let acquainted = wait_for(&format!("{} to know all", node.name), LIMIT, || {
                let text = self.ask(node, &["SENTINEL", "MASTER", GROUP])?;
                for (key, value) in [
                    ("num-slaves", "2"),
                    ("num-other-sentinels", others.as_str()),
                    ("flags", "master"),
                ] {
                    let found = text.split_once(&format!("{key}\n")).map_or("", |(_, rest)| rest);
                    let found = found.lines().next().unwrap_or_default();
                    ensure!(found == value, "{key} is {found}");
                }
                // Hellos name the port that is open.
                let peers = self.ask(node, &["SENTINEL", "SENTINELS", GROUP])?;
                ensure!(!peers.contains("s_down"), "a peer is down: {peers}");
                Ok(())
            });
            acquainted.with_context(|| process::tail(&self.log(&node.name), 30))?;
        }
        Ok(())
    }

    fn primary_port(&self, node: &Node) -> Result<u16> {
        let text = self.ask(node, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        let port = text.lines().nth(1).context("no port")?;
        Ok(port.parse()?)
    }

    /// Kills the primary and waits until all agree on another one that accepts writes.
    fn fail_over(&mut self) -> Result<()> {
        let old = self.servers[0].port.number();
        self.servers[0].process.kill()?;
        let moved = wait_for("agreement on another primary", LIMIT, || {
            let mut ports = Vec::new();
            for node in &self.coordinators {
                ports.push(self.primary_port(node)?);
            }
            ports.dedup();
            ensure!(
                ports.len() == 1 && ports[0] != old,
                "the coordinators name {ports:?}"
            );
            let server = self
                .servers
                .iter()
                .find(|server| server.port.number() == ports[0]);
            let server = server.context("a port of no server")?;
            let role = self.ask(server, &["ROLE"])?;
            ensure!(role.starts_with("master"), "{} is {role}", server.name);
            self.ask(server, &["SET", "key", "value"])
        });
        moved
            .map(drop)
            .with_context(|| process::tail(&self.log(&self.coordinators[0].name), 40))
    }
}

#[test]
fn a_failover_over_tls_alone() -> Result<()> {
    let mut stage = Stage::start(&[Kind::Bellwether; 3])?;
    stage.fail_over()
}

#[test]
fn a_failover_beside_redis_sentinels() -> Result<()> {
    let mut stage = Stage::start(&[Kind::Bellwether, Kind::RedisSentinel, Kind::RedisSentinel])?;
    stage.fail_over()
}

/// Members of a log talk to each other, and to servers, over TLS and with passwords alone.
#[test]
fn a_failover_by_a_log_over_tls_with_passwords() -> Result<()> {
    let mut stage = Stage::start_members()?;
    let leaders = wait_for("one leader on all", LIMIT, || {
        let mut leaders = Vec::new();
        for node in &stage.coordinators {
            let info = stage.ask(node, &["INFO", "raft"])?;
            let leader = info.lines().find_map(|line| line.strip_prefix("raft_leader:"));
            leaders.push(leader.context("no leader")?.trim().to_owned());
        }
        leaders.dedup();
        ensure!(leaders.len() == 1 && leaders[0] != "0", "they name {leaders:?}");
        Ok(leaders)
    })?;
    // Nobody comes in without.
    stage.passwords = false;
    let refused = stage.ask(&stage.coordinators[0], &["SENTINEL", "RAFT", "STATUS"])?;
    ensure!(refused.contains("NOAUTH"), "without a password: {refused}");
    let refused = stage.ask(&stage.servers[0], &["ROLE"])?;
    ensure!(refused.contains("NOAUTH"), "without a password: {refused}");
    stage.passwords = true;
    stage.fail_over()?;
    // The next one falls to whoever leads after the death of the leader.
    let leader: usize = leaders[0].parse()?;
    let mut gone = stage.coordinators.remove(leader - 1);
    gone.process.kill()?;
    let primary = stage.primary_port(&stage.coordinators[0])?;
    let index = stage
        .servers
        .iter()
        .position(|server| server.port.number() == primary)
        .context("no such server")?;
    // The server that was killed first is still gone: whoever is left takes over.
    stage.servers.swap(0, index);
    stage.fail_over()
}

#[test]
fn redis_py_over_tls() -> Result<()> {
    let stage = Stage::start(&[Kind::Bellwether])?;
    let python = program::test_clients_dir()?.join("venv/bin/python");
    let output = Command::new(&python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/redis_py_tls.py"))
        .args([stage.coordinators[0].port.to_string(), GROUP.to_owned()])
        .args(["ca.pem", "node.pem", "node.key"].map(|file| stage.certificates.path(file)))
        .output()
        .with_context(|| {
            format!(
                "starting {} (run scripts/install-test-clients.sh)",
                python.display()
            )
        })?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.stdout == b"tls\n", "redis-py: {complaint}");
    Ok(())
}

#[test]
fn who_is_let_in() -> Result<()> {
    let mut stage = Stage::new()?;
    let plain = Port::reserve()?;
    // A later `port` holds: this one has both.
    stage.start_coordinator(0, Kind::Bellwether, &format!("port {plain}"))?;
    let tls = stage.coordinators[0].port.number();
    let others = Certificates::new(&stage.dir.path().join("others"))?;
    others.sign("node")?;
    stage.certificates.sign_expired("old")?;
    let ours = &stage.certificates;
    let ca = ours.path("ca.pem");
    let with = |certificates: &Certificates, name: &str| {
        [
            certificates.path(&format!("{name}.pem")),
            certificates.path(&format!("{name}.key")),
        ]
    };
    let ping = |port: u16, options: &[&str]| stage.cli(port, options, &["PING"]);
    let ping_as =
        |[cert, key]: [String; 2]| ping(tls, &["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key]);

    ensure!(ping_as(with(ours, "node"))? == "PONG");
    ensure!(ping(plain.number(), &[])? == "PONG");
    for (what, answer) in [
        (
            "a client without a certificate",
            ping(tls, &["--tls", "--cacert", &ca]),
        ),
        (
            "a certificate of another authority",
            ping_as(with(&others, "node")),
        ),
        ("an expired certificate", ping_as(with(ours, "old"))),
        ("a plain client on the TLS port", ping(tls, &[])),
    ] {
        ensure!(answer.is_err(), "{what} got {answer:?}");
    }
    let [cert, key] = with(ours, "node");
    let other_ca = others.path("ca.pem");
    let answer = ping(
        tls,
        &["--tls", "--cacert", &other_ca, "--cert", &cert, "--key", &key],
    );
    ensure!(answer.is_err(), "a client with another authority got {answer:?}");
    // A handshake where none is expected is no request, and must not hang the port.
    let mut hello = TcpStream::connect(("127.0.0.1", plain.number()))?;
    hello.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")?;
    ensure!(ping(plain.number(), &[])? == "PONG");
    let log = stage.log_text("sentinel-0");
    ensure!(log.contains("the TLS handshake of a client failed"), "{log}");
    Ok(())
}

#[test]
fn slow_handshakes_stop_nobody_for_long() -> Result<()> {
    const ROOM: usize = 40;
    let mut stage = Stage::new()?;
    stage.start_coordinator(0, Kind::Bellwether, &format!("maxclients {ROOM}"))?;
    let node = &stage.coordinators[0];
    let connect = || TcpStream::connect(("127.0.0.1", node.port.number()));
    let some: Vec<_> = (0..ROOM - 5).map(|_| connect()).collect::<Result<_, _>>()?;
    ensure!(
        stage.ask(node, &["PING"])? == "PONG",
        "some slow clients stop others"
    );
    let more: Vec<_> = (0..ROOM).map(|_| connect()).collect::<Result<_, _>>()?;
    // Now there is no room, until those that say nothing are given up.
    wait_for("a place to come free", LIMIT, || stage.ask(node, &["PING"]))?;
    drop((some, more));
    Ok(())
}

#[test]
fn certificates_are_replaced_while_it_runs() -> Result<()> {
    let stage = Stage::start(&[Kind::Bellwether])?;
    let node = &stage.coordinators[0];
    let hang_up = || -> Result<()> {
        let pid = i32::try_from(node.process.pid())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a pid")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::HUP)?)
    };
    // Broken files change nothing.
    let (cert, key) = (
        stage.certificates.path("node.pem"),
        stage.certificates.path("node.key"),
    );
    let good = (fs::read(&cert)?, fs::read(&key)?);
    fs::write(&cert, "broken")?;
    hang_up()?;
    wait_for("a word about the broken file", LIMIT, || {
        let log = stage.log_text(&node.name);
        let is_told = log.contains("those of before stay in use") && log.contains("tls-cert-file: ");
        ensure!(is_told, "{log}");
        Ok(())
    })?;
    fs::write(&cert, good.0)?;
    fs::write(&key, good.1)?;
    ensure!(stage.ask(node, &["PING"])? == "PONG");
    // Another authority altogether: what it signed is trusted from now on, and nothing else.
    let next = Certificates::new(&stage.dir.path().join("next"))?;
    next.sign("node")?;
    for file in ["ca.pem", "node.pem", "node.key"] {
        fs::copy(next.path(file), stage.certificates.path(file))?;
    }
    hang_up()?;
    wait_for("the new certificate to be shown", LIMIT, || {
        stage.ask(node, &["PING"])
    })?;
    ensure!(
        stage
            .log_text(&node.name)
            .contains("certificates and keys were loaded anew")
    );
    Ok(())
}

#[test]
fn a_server_that_is_not_trusted_counts_as_down() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.start_server(0)?;
    // The coordinator trusts another authority than the one that signed the server's certificate.
    let others = Certificates::new(&stage.dir.path().join("others"))?;
    let lines = format!(
        "tls-ca-cert-file {}\ntls-auth-clients no\nloglevel verbose",
        others.path("ca.pem")
    );
    stage.start_coordinator(0, Kind::Bellwether, &lines)?;
    let node = &stage.coordinators[0];
    wait_for("the server to be seen down", LIMIT, || {
        let text = stage.ask(node, &["SENTINEL", "MASTER", GROUP])?;
        ensure!(text.contains("s_down"), "{text}");
        Ok(())
    })?;
    let log = stage.log_text(&node.name);
    ensure!(log.contains("certificate of the other side is refused"), "{log}");
    Ok(())
}

#[test]
fn a_server_by_another_name_counts_as_down_if_names_are_checked() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.certificates.sign_for("stranger", "elsewhere.test")?;
    stage.start_server(0)?;
    stage.start_server_as(1, "stranger")?;
    let [good, stranger] = [0, 1].map(|index| stage.servers[index].port.number());
    let groups = format!(
        "sentinel resolve-hostnames yes\nsentinel monitor by-name localhost {good} 1\n\
         sentinel down-after-milliseconds by-name 1500\nsentinel monitor stranger 127.0.0.1 {stranger} 1\n\
         sentinel down-after-milliseconds stranger 1500\n"
    );
    stage.start_coordinator(
        0,
        Kind::Bellwether,
        &format!("{groups}bellwether tls-verify-hostname yes"),
    )?;
    stage.start_coordinator(1, Kind::Bellwether, &groups)?;
    let flags = |index: usize, group: &str| {
        let text = stage.ask(&stage.coordinators[index], &["SENTINEL", "MASTER", group])?;
        let mut lines = text.lines().skip_while(|line| *line != "flags");
        Ok::<_, anyhow::Error>(lines.nth(1).unwrap_or_default().to_owned())
    };
    // It bears 127.0.0.1 and localhost; the other one neither.
    for (index, group, is_down) in [
        (0, "stranger", true),
        (0, "by-name", false),
        (0, GROUP, false),
        (1, "stranger", false),
    ] {
        wait_for("the servers to be judged", LIMIT, || {
            let flags = flags(index, group)?;
            ensure!(
                flags.contains("s_down") == is_down && flags.contains("disconnected") == is_down,
                "{index} {group}: {flags}"
            );
            Ok(())
        })?;
    }
    let log = stage.log_text(&stage.coordinators[0].name);
    ensure!(log.contains("elsewhere.test"), "{log}");
    Ok(())
}

#[test]
fn a_start_without_good_files_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    fs::write(stage.certificates.path("bad.pem"), "no certificate")?;
    fs::write(stage.certificates.path("bad.key"), "no key")?;
    let mut node = stage.spawn_coordinator(0, Kind::Bellwether, "bad", "")?;
    let status = wait_for("the refusal", LIMIT, || {
        node.process.exit_status().context("it runs")
    })?;
    let log = stage.log_text(&node.name);
    let expected = format!(
        "tls-cert-file: {} holds no certificate",
        stage.certificates.path("bad.pem")
    );
    if status.success() || !log.contains(&expected) {
        bail!("{status}: {log}");
    }
    Ok(())
}

#[test]
fn passwords_from_files_are_used_and_written_nowhere() -> Result<()> {
    const OWN: &str = "ours-is-secret";
    const SERVERS: &str = "theirs-is-secret";
    let mut stage = Stage::new()?;
    stage.start_server(0)?;
    let server = &stage.servers[0];
    stage.ask(server, &["CONFIG", "SET", "requirepass", SERVERS])?;
    let secrets = stage.dir.path().join("secrets");
    fs::create_dir(&secrets)?;
    fs::write(secrets.join("own"), format!("{OWN}\n"))?;
    fs::write(secrets.join("servers"), format!("{SERVERS}\n"))?;
    let lines = format!(
        "bellwether requirepass-file {0}/own\nbellwether sentinel-pass-file {0}/own\n\
         bellwether auth-pass-file {GROUP} {0}/servers\nloglevel debug\n",
        secrets.display()
    );
    let node = stage.spawn_coordinator(0, Kind::Bellwether, "node", &lines)?;
    let ask = |words: &[&str]| stage.ask(&node, &[&["-a", OWN, "--no-auth-warning"], words].concat());
    wait_for("the server to be well", LIMIT, || {
        let text = ask(&["SENTINEL", "MASTER", GROUP])?;
        ensure!(
            text.contains("flags\nmaster\n") && text.contains("role-reported\nmaster\n"),
            "{text}"
        );
        ensure!(!text.contains("secret"), "{text}");
        Ok(())
    })?;
    let refused = stage.ask(&node, &["SENTINEL", "MYID"])?;
    ensure!(refused.contains("NOAUTH"), "without the password: {refused}");
    ask(&["SENTINEL", "FLUSHCONFIG"])?;
    let config = fs::read_to_string(stage.dir.path().join("sentinel-0/node.conf"))?;
    ensure!(
        config.contains("sentinel myid") && !config.contains("-is-secret"),
        "{config}"
    );
    ensure!(
        config.contains(&format!("bellwether auth-pass-file {GROUP}")),
        "{config}"
    );
    let log = stage.log_text(&node.name);
    ensure!(!log.contains("-is-secret"), "{log}");
    Ok(())
}
