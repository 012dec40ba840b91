//! The world as it is, for people.

use std::fmt::Write;

use super::{State, World};
use crate::network::Actor;

impl World {
    /// Every coordinator and server, a line each.
    #[must_use]
    pub fn portrait(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_portrait(&mut text);
        text
    }

    fn write_portrait(&self, text: &mut String) -> std::fmt::Result {
        for (n, node) in self.nodes.iter().enumerate() {
            let registry = node.core.registry();
            write!(
                text,
                "{} {} epoch {}",
                Actor::Coordinator(n),
                word(&node.state),
                registry.current_epoch
            )?;
            for (name, record) in &registry.groups {
                write!(
                    text,
                    "; {name} at {} config epoch {}",
                    record.primary, record.config_epoch
                )?;
                if let Some(failover) = &record.failover {
                    write!(text, ", failover {} {:?}", failover.epoch, failover.cause)?;
                }
            }
            writeln!(text)?;
        }
        for (n, host) in self.servers.iter().enumerate() {
            let server = &host.server;
            write!(
                text,
                "{} {} at {} offset {}",
                Actor::Server(n),
                word(&host.state),
                host.addr,
                server.offset()
            )?;
            match server.follows() {
                None => writeln!(text, ", a primary")?,
                Some(to) => {
                    let link = if server.link_up() { "up" } else { "down" };
                    writeln!(text, ", follows {to}, link {link}")?;
                }
            }
        }
        for (from, to) in self.network.cuts() {
            writeln!(text, "cut: {} to {}", from.ip(), to.ip())?;
        }
        Ok(())
    }
}

const fn word(state: &State) -> &'static str {
    match state {
        State::Running => "runs",
        State::Paused(_) => "is paused",
        State::Dead => "is dead",
    }
}
