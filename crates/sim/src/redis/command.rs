//! The commands of coordinators, each as the outcome that their side of the wire makes of the server's replies.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bellwether_core::{Command, Pong, Reply};

use super::client::{BUSY, LOADING, PRIMARY_DOWN};
use super::{Act, Obedience, Server};
use crate::message::ConnId;
use crate::time::Time;

/// What a server says that is older than the command.
const NO_FAILOVER: &str = "ERR unknown command 'FAILOVER', with args beginning with: ";

impl Server {
    /// Whether a command has to wait while writes are paused. `PUBLISH` has, on a replica as well.
    pub(super) const fn must_wait(&self, command: &Command) -> bool {
        matches!(command, Command::Hello { .. }) && self.is_paused() && !self.busy
    }

    /// Carries a command out.
    pub(super) fn command(
        &mut self,
        now: Time,
        conn: ConnId,
        command: Command,
        acts: &mut Vec<Act>,
    ) -> Reply {
        match command {
            Command::Ping => Reply::Ping(self.pong()),
            Command::AskDown { .. } | Command::Frame { .. } | Command::TellView { .. } => {
                refused("ERR unknown command 'SENTINEL', with args beginning with: ")
            }
            Command::ScriptKill => self.script_kill(now, acts),
            _ if self.busy => refused(BUSY),
            Command::Info | Command::InfoAndAck => Reply::Info(self.info(now)),
            Command::Hello { message } => {
                self.publish(&message, acts);
                Reply::Done
            }
            Command::Unpause => {
                self.unpause(now, acts);
                Reply::Done
            }
            Command::Reconfigure { .. }
            | Command::HandOver { .. }
            | Command::Release
            | Command::AbortHandOver => match &self.obedience {
                Obedience::Obeys => self.order(now, conn, command, acts),
                Obedience::Ignores => Reply::Done,
                Obedience::Refuses(words) => Reply::Refused(words.clone()),
            },
        }
    }

    /// The transactions. What a server refuses to queue makes it drop the whole one; what fails later does not
    /// keep the rest from being done.
    fn order(&mut self, now: Time, conn: ConnId, command: Command, acts: &mut Vec<Act>) -> Reply {
        match command {
            Command::Release => {
                self.make_permanent(conn, acts);
                self.unpause(now, acts);
                Reply::Done
            }
            _ if self.loading.is_some() => refused(LOADING),
            Command::AbortHandOver if !self.spec.has_failover => refused(NO_FAILOVER),
            Command::AbortHandOver => reply(self.abort_hand_over(now, acts)),
            Command::Reconfigure { follow } => {
                let outcome = self.replicaof(now, follow, acts);
                self.make_permanent(conn, acts);
                reply(outcome)
            }
            Command::HandOver { .. } if !self.spec.has_failover => refused(NO_FAILOVER),
            Command::HandOver {
                to,
                timeout_ms,
                pause_ms,
            } => {
                let timeout = Duration::from_millis(timeout_ms);
                // As the reference: a shorter pause does not end a longer one.
                let pause = Duration::from_millis(pause_ms);
                self.paused_until = self.paused_until.max(Some(now + pause));
                reply(self.begin_hand_over(now, socket_addr(&to), timeout, acts))
            }
            _ => Reply::Done,
        }
    }

    fn replicaof(
        &mut self,
        now: Time,
        follow: Option<(String, u16)>,
        acts: &mut Vec<Act>,
    ) -> Result<(), &'static str> {
        if self.handover.is_under_way() {
            return Err("ERR REPLICAOF not allowed while failing over.");
        }
        let Some(follow) = follow else {
            self.become_primary(now, acts);
            return Ok(());
        };
        // Names do not resolve in the simulated world.
        let primary = socket_addr(&follow).ok_or("ERR Invalid master host")?;
        if self.follows != Some(primary) {
            self.follow(now, primary, acts);
        }
        Ok(())
    }

    /// `CONFIG REWRITE`, and all clients are sent off. The connection that asks is spared, its subscription too.
    fn make_permanent(&mut self, conn: ConnId, acts: &mut Vec<Act>) {
        if self.spec.config_writable {
            self.configured = self.follows;
        }
        self.kill_clients(conn, acts);
    }

    fn script_kill(&mut self, now: Time, acts: &mut Vec<Act>) -> Reply {
        if self.busy {
            self.set_busy(now, false, acts);
            return Reply::Done;
        }
        refused(
            self.refusal(false)
                .unwrap_or("NOTBUSY No scripts in execution right now."),
        )
    }

    fn pong(&self) -> Pong {
        match self.refusal(false) {
            None => Pong::Pong,
            Some(PRIMARY_DOWN) => Pong::PrimaryDown,
            Some(LOADING) => Pong::Loading,
            Some(BUSY) => Pong::Busy,
            Some(words) => Pong::Refused(words.to_owned()),
        }
    }
}

fn refused(words: &str) -> Reply {
    Reply::Refused(words.to_owned())
}

fn reply(outcome: Result<(), &'static str>) -> Reply {
    match outcome {
        Ok(()) => Reply::Done,
        Err(words) => refused(words),
    }
}

fn socket_addr((host, port): &(String, u16)) -> Option<SocketAddr> {
    let ip: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(ip, *port))
}
