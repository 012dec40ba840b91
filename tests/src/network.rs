//! A network of machines within this one: each machine is a network namespace, all hang on one bridge, and ways between
//! them can be cut silently, in one direction or both. Needs root.
//!
//! Nothing shows outside: the bridge is in a namespace of its own as well, which the thread that builds the network
//! enters. All of it goes away with the processes that hold it.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use crate::wait::wait_for;

/// A process enters its namespace before it does anything else.
const ENTER_LIMIT: Duration = Duration::from_secs(10);
/// Where the thread that looks at everything is on the network. No cut concerns it.
const OBSERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 254);

/// A network, as seen by the thread that built it.
pub struct Network {
    machines: Vec<Machine>,
    _bridge: Namespace,
}

/// A machine on it.
pub struct Machine {
    /// Its address.
    pub ip: Ipv4Addr,
    namespace: Namespace,
    /// From whom nothing arrives.
    deaf_to: Vec<Ipv4Addr>,
}

impl Network {
    /// Builds machines with these addresses, of 10.0.0.0/16, and puts the calling thread beside them: what it connects
    /// to and the threads and processes it starts are on this network from now on.
    ///
    /// # Errors
    /// When a program is missing or the process may not do this.
    pub fn enter(addresses: &[Ipv4Addr]) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "machines that can be cut off are network namespaces, and only root may make them: run this test as root"
        );
        let bridge = Namespace::new()?;
        let file = File::open(bridge.path()).context("opening a network namespace")?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")?;
        let set_up = format!(
            "link set lo up\nlink add bridge type bridge\naddr add {OBSERVER}/16 dev bridge\nlink set bridge up\n"
        );
        feed(Command::new("ip").args(["-batch", "-"]), &set_up)?;
        let mut machines = Vec::new();
        for (index, ip) in addresses.iter().enumerate() {
            let namespace = Namespace::new()?;
            let plug = format!(
                "link add port{index} type veth peer name eth0 netns {}\nlink set port{index} master bridge up\n",
                namespace.holder.id()
            );
            feed(Command::new("ip").args(["-batch", "-"]), &plug)?;
            let set_up = format!("link set lo up\naddr add {ip}/16 dev eth0\nlink set eth0 up\n");
            feed(namespace.command(Path::new("ip")).args(["-batch", "-"]), &set_up)?;
            machines.push(Machine {
                ip: *ip,
                namespace,
                deaf_to: Vec::new(),
            });
        }
        Ok(Self {
            machines,
            _bridge: bridge,
        })
    }

    /// A machine, by its place among the addresses.
    pub fn machine(&self, index: usize) -> &Machine {
        &self.machines[index]
    }

    /// From now on nothing that `from` sends arrives at `to`, for each of these pairs.
    ///
    /// # Errors
    /// When the filter cannot be set.
    pub fn cut(&mut self, pairs: &[(usize, usize)]) -> Result<()> {
        for (from, to) in pairs {
            let ip = self.machines[*from].ip;
            self.machines[*to].deaf_to.push(ip);
        }
        self.machines.iter().try_for_each(Machine::filter)
    }

    /// Ends all cuts.
    ///
    /// # Errors
    /// When the filter cannot be taken away.
    pub fn heal(&mut self) -> Result<()> {
        for machine in &mut self.machines {
            machine.deaf_to.clear();
        }
        self.machines.iter().try_for_each(Machine::filter)
    }
}

impl Machine {
    /// A program that will run on this machine.
    pub fn command(&self, program: &Path) -> Command {
        self.namespace.command(program)
    }

    fn filter(&self) -> Result<()> {
        let mut rules = "flush ruleset\n".to_owned();
        if !self.deaf_to.is_empty() {
            let from: Vec<String> = self.deaf_to.iter().map(Ipv4Addr::to_string).collect();
            rules.push_str(&format!(
                "table ip cuts {{ chain input {{ type filter hook input priority 0; ip saddr {{ {} }} drop\n}}\n}}\n",
                from.join(", ")
            ));
        }
        feed(self.namespace.command(Path::new("nft")).args(["-f", "-"]), &rules)
    }
}

/// A network namespace. It lasts as long as a process that waits in it for the end of its input, which comes with the
/// end of this process at the latest.
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("starting unshare (Debian package util-linux)")?;
        let mut namespace = Self { holder };
        let own = fs::read_link("/proc/thread-self/ns/net").context("finding the own network namespace")?;
        wait_for("a network namespace", ENTER_LIMIT, || {
            if let Some(status) = namespace.holder.try_wait()? {
                return Ok(Err(status));
            }
            ensure!(fs::read_link(namespace.path())? != own, "not entered yet");
            Ok(Ok(()))
        })?
        .or_else(|status| bail!("unshare --net ended with {status}: CAP_SYS_ADMIN is needed"))?;
        Ok(namespace)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    /// A program in this namespace. It takes the place of what leads it there, so the process started is the program.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Fails only if it has ended already, which is what we want.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Runs a command to its end with this input.
fn feed(command: &mut Command, input: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program:?} (Debian packages iproute2, nftables, util-linux)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that has ended already says itself why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output()?;
    ensure!(
        done.status.success(),
        "{program:?} ended with {} on\n{input}{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
