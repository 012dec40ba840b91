//! What operators order about the log.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use redis::{RedisResult, cmd};

use super::{LIMITS, foreign, status, why};
use crate::{connect::HostPort, log::Log, target::Target};

/// How long another member may take to lead after the lead was handed to it. It has to win an election, and to be
/// answered.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);

/// How often it is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An order about the log.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Order {
    /// Let a new member in. It votes as soon as it has the log.
    Add {
        /// Its id, which must never have been used before.
        id: u64,
        /// The address by which the others reach it.
        host: String,
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Take this member out as soon as the new one has the log.
        #[arg(long, value_name = "ID")]
        replaces: Option<u64>,
    },
    /// Take a member out.
    Remove { id: u64 },
    /// Say that a member is to be reached elsewhere now.
    Move {
        id: u64,
        host: String,
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Have another member lead: this one, or whichever is furthest.
    Transfer { id: Option<u64> },
    /// Let the coordinator that is asked put a snapshot in place of its log.
    Snapshot,
    /// Let a sentinel that shares no log watch a group all the same. While it is not accepted nothing of that group is
    /// failed over by itself.
    Accept {
        group: String,
        /// Its id; not needed if there is only one.
        id: Option<String>,
    },
}

impl Order {
    /// As it goes over the wire, behind `SENTINEL RAFT`.
    fn words(&self) -> Vec<String> {
        let of = |words: &[&dyn ToString]| words.iter().map(|word| word.to_string()).collect();
        match self {
            Self::Add {
                id,
                host,
                port,
                replaces: None,
            } => of(&[&"ADD", id, host, port]),
            Self::Add {
                id,
                host,
                port,
                replaces: Some(old),
            } => of(&[&"ADD", id, host, port, &"REPLACES", old]),
            Self::Remove { id } => of(&[&"REMOVE", id]),
            Self::Move { id, host, port } => of(&[&"MOVE", id, host, port]),
            Self::Transfer { id: Some(id) } => of(&[&"TRANSFER", id]),
            Self::Transfer { id: None } => of(&[&"TRANSFER"]),
            Self::Snapshot => of(&[&"SNAPSHOT"]),
            Self::Accept { group, id } => {
                let mut words = of(&[&"ACCEPT-FOREIGN", group]);
                words.extend(id.clone());
                words
            }
        }
    }

    /// What has come about when it was carried out.
    fn outcome(&self, target: &Target) -> String {
        match self {
            Self::Add {
                id,
                host,
                port,
                replaces,
            } => {
                let at = HostPort::new(host, *port);
                let goes = replaces
                    .map(|old| format!(", and member {old} goes"))
                    .unwrap_or_default();
                format!("member {id} at {at} was let in; it votes as soon as it has the log{goes}")
            }
            Self::Remove { id } => format!("member {id} was taken out: its id must not be used again"),
            Self::Move { id, host, port } => {
                format!("member {id} is reached at {} now", HostPort::new(host, *port))
            }
            Self::Transfer { .. } => "the lead was handed over".to_owned(),
            Self::Snapshot => format!("{target} has a snapshot in place of its log"),
            Self::Accept { group, id } => {
                let id = id.as_deref().unwrap_or("?");
                format!("sentinel {id} may watch {group} beside the members of the log")
            }
        }
    }
}

/// Gives the order and tells what came of it.
///
/// # Errors
/// It was refused, or there is no answer; the text says what that means.
pub(super) async fn carry_out(order: &Order, target: Target) -> anyhow::Result<String> {
    match order {
        Order::Transfer { id } => hand_over(*id, order, target).await,
        Order::Accept { group, id: None } => {
            let id = Some(foreign::only_one(group, &target).await?);
            let group = group.clone();
            give(&Order::Accept { group, id }, &target).await
        }
        order => give(order, &target).await,
    }
}

async fn give(order: &Order, target: &Target) -> anyhow::Result<String> {
    match send(order, target).await {
        Ok(()) => Ok(order.outcome(target)),
        Err(error) => Err(why(target, &error).await),
    }
}

async fn send(order: &Order, target: &Target) -> RedisResult<()> {
    let mut connection = target.connect(LIMITS).await?;
    cmd("SENTINEL")
        .arg("RAFT")
        .arg(order.words())
        .query_async(&mut connection)
        .await
}

/// Only the leader can hand over its lead, so it is sought, and then it is seen to that another one leads.
async fn hand_over(to: Option<u64>, order: &Order, mut target: Target) -> anyhow::Result<String> {
    let log = status(&target).await?;
    let Some(leader) = log.leader else {
        bail!("no member is known to lead at {target}: there is nothing to hand over");
    };
    if to == Some(leader) {
        return Ok(format!("member {leader} leads already"));
    }
    if !log.leads() {
        let at = log.leader_at;
        target.go_to(
            at.ok_or_else(|| anyhow!("member {leader} leads, and {target} does not say where it is"))?,
        );
    }
    if let Err(error) = send(order, &target).await {
        return Err(why(&target, &error).await);
    }
    let start = Instant::now();
    loop {
        let now = status(&target).await?;
        if let Some(words) = handed_over(leader, &now) {
            return Ok(words);
        }
        if start.elapsed() > HANDED_OVER_WITHIN {
            bail!("member {leader} was told to hand over its lead, and no other member leads yet");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Says so if another member than `before` leads now.
fn handed_over(before: u64, log: &Log) -> Option<String> {
    let leader = log.leader.filter(|leader| *leader != before)?;
    Some(format!("member {leader} leads now"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::log::tests::log;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        order: Order,
    }

    #[test]
    fn orders_as_they_go_over_the_wire() {
        for (line, words) in [
            ("add 4 10.0.0.14 26379", "ADD 4 10.0.0.14 26379"),
            ("add 4 ::1 26379 --replaces 2", "ADD 4 ::1 26379 REPLACES 2"),
            ("remove 3", "REMOVE 3"),
            ("move 3 db-3 26380", "MOVE 3 db-3 26380"),
            ("transfer", "TRANSFER"),
            ("transfer 2", "TRANSFER 2"),
            ("snapshot", "SNAPSHOT"),
            ("accept cache abc", "ACCEPT-FOREIGN cache abc"),
        ] {
            let read = Cli::try_parse_from(std::iter::once("members").chain(line.split(' ')));
            let read = read.map(|cli| cli.order.words().join(" "));
            assert_eq!(read.ok().as_deref(), Some(words), "{line}");
        }
        for bad in [
            "add 4 h 0",
            "add 4 h 65536",
            "add x h 1",
            "remove",
            "move 3 h",
            "transfer x",
            "accept",
            "accept cache abc def",
        ] {
            let read = Cli::try_parse_from(std::iter::once("members").chain(bad.split(' ')));
            assert!(read.is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lead_was_handed_over_when_another_member_leads() {
        let mut log = log();
        assert_eq!(handed_over(1, &log), None);
        log.leader = None;
        assert_eq!(handed_over(1, &log), None);
        log.leader = Some(3);
        assert_eq!(handed_over(1, &log).as_deref(), Some("member 3 leads now"));
    }
}
