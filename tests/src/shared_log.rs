//! What can be asked of coordinators that share a log, and of no others: who leads, and the one history of failovers
//! that all of them must tell alike.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::coordinator::Coordinator;
use crate::fleet::{Fleet, raft_directives};
use crate::wait::wait_for;
use crate::{GROUP, client};

/// Far above what an election and a few entries of a log need, even where many processes share a core.
pub const LOG_LIMIT: Duration = Duration::from_secs(30);
/// An HTTP answer of a process that runs.
const HTTP_LIMIT: Duration = Duration::from_secs(5);

/// One failover as a coordinator's HTTP interface tells it: what is the same on all that share a log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Receipt {
    /// Its epoch.
    pub epoch: u64,
    /// `odown`, `manual` or `coordinated`.
    pub cause: String,
    /// How it ended, in one word.
    pub outcome: String,
    /// The primary that was to be replaced.
    pub old_primary: String,
    /// The replica that was chosen.
    pub candidate: Option<String>,
    /// Everything else in it, figures included.
    #[serde(flatten)]
    pub rest: serde_json::Value,
}

impl Receipt {
    /// Whether it installed another primary.
    pub fn moved(&self) -> bool {
        self.outcome.starts_with("completed")
    }
}

#[derive(Deserialize)]
struct Group {
    failover_state: Option<String>,
    failovers: Vec<Receipt>,
}

impl Coordinator {
    /// The directive that names it as a member.
    pub fn member_line(&self, id: usize) -> String {
        format!("bellwether member {id} 127.0.0.1 {}", self.port())
    }

    /// Makes it member `id` of a shared log, with an empty state directory, from its first start on. `members` are the
    /// lines of those that begin together, or of those that are there.
    ///
    /// # Errors
    /// When there is a state directory already, or the config file cannot be written.
    pub fn share_log(&mut self, id: usize, members: &[String]) -> Result<()> {
        let state = self.dir().join("state");
        fs::create_dir(&state).with_context(|| format!("creating {}", state.display()))?;
        self.add_directives(&raft_directives(id, members))?;
        self.serve_http()
    }

    /// A field of the section `raft` of INFO.
    ///
    /// # Errors
    /// When it does not answer, or has no such field.
    pub fn log_field(&self, name: &str) -> Result<String> {
        let text: String = self.ask(&["INFO", "raft"])?;
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let value = fields.get(name).with_context(|| format!("no {name} in {text}"))?;
        Ok((*value).to_owned())
    }

    /// The failovers that it remembers, and the state of the one under way.
    ///
    /// # Errors
    /// When it has no HTTP port or does not answer there.
    pub fn failovers(&self) -> Result<(Vec<Receipt>, Option<String>)> {
        let port = self
            .http_port()
            .with_context(|| format!("{} serves no HTTP", self.name()))?;
        failovers_at("127.0.0.1", port).with_context(|| self.name())
    }

    /// The value of a metric, by its name with its labels.
    ///
    /// # Errors
    /// When it has no HTTP port, does not answer there, or shows no such metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let port = self
            .http_port()
            .with_context(|| format!("{} serves no HTTP", self.name()))?;
        let text = http_get("127.0.0.1", port, "/metrics")?;
        let value = text.lines().find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (found == name).then_some(value)
        });
        Ok(value.with_context(|| format!("no {name} in {text}"))?.parse()?)
    }

    /// Sends an order that may wait for a majority, and converts the reply.
    ///
    /// # Errors
    /// When it does not answer within [`LOG_LIMIT`], or with an error.
    pub fn order<T: redis::FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let mut connection = client::connect_unbounded(self.port(), self.password.as_deref())?;
        connection.set_read_timeout(Some(LOG_LIMIT))?;
        client::ask_on(&mut connection, words).with_context(|| self.name())
    }
}

impl Fleet {
    /// The index of the coordinator that all live ones say leads.
    ///
    /// # Errors
    /// When they differ, or nobody leads.
    pub fn log_leader(&mut self) -> Result<usize> {
        let all: Vec<usize> = (0..self.coordinators.len()).collect();
        self.log_leader_among(&all)
    }

    fn log_leader_among(&mut self, indices: &[usize]) -> Result<usize> {
        let mut said = Vec::new();
        for (index, coordinator) in self.coordinators.iter_mut().enumerate() {
            if indices.contains(&index) && coordinator.is_live() {
                said.push(coordinator.log_field("raft_leader")?);
            }
        }
        let first = said.first().context("none is live")?.clone();
        ensure!(said.iter().all(|id| *id == first), "they name {said:?}");
        let id: usize = first.parse()?;
        let index = id.checked_sub(1).context("nobody leads")?;
        let leader = self
            .coordinators
            .get_mut(index)
            .with_context(|| format!("{id} leads"))?;
        ensure!(leader.is_live(), "they name {}, which is gone", leader.name());
        Ok(index)
    }

    /// Waits until all live coordinators name one leader, and gives its index.
    ///
    /// # Errors
    /// At the deadline.
    pub fn wait_log_leader(&mut self) -> Result<usize> {
        wait_for("a leader of the log", LOG_LIMIT, || self.log_leader())
    }

    /// The same for some of them, whatever the others say.
    ///
    /// # Errors
    /// At the deadline.
    pub fn wait_log_leader_among(&mut self, indices: &[usize]) -> Result<usize> {
        wait_for("a leader of the log", LOG_LIMIT, || {
            self.log_leader_among(indices)
        })
    }

    /// Waits until all live coordinators follow one leader, have applied the same, remember the same failovers, to the
    /// last figure, and none is under way.
    ///
    /// # Errors
    /// At the deadline: says what differs.
    pub fn wait_same_history(&mut self) -> Result<Vec<Receipt>> {
        wait_for("the same history on all coordinators", LOG_LIMIT, || {
            // Until a leader has committed something of its own nobody knows whether there is more.
            self.log_leader()?;
            let mut told: Option<(String, Vec<Receipt>)> = None;
            let mut applied = BTreeSet::new();
            for coordinator in &mut self.coordinators {
                if !coordinator.is_live() {
                    continue;
                }
                applied.insert(coordinator.log_field("raft_applied")?);
                applied.insert(coordinator.log_field("raft_last")?);
                ensure!(applied.len() == 1, "applied and there is {applied:?}");
                let (receipts, state) = coordinator.failovers()?;
                ensure!(state.is_none(), "{} is in {state:?}", coordinator.name());
                match &told {
                    None => told = Some((coordinator.name(), receipts)),
                    Some((other, theirs)) => ensure!(
                        receipts == *theirs,
                        "{other} tells {theirs:#?}\n{} tells {receipts:#?}",
                        coordinator.name()
                    ),
                }
            }
            told.map(|(_, receipts)| receipts).context("none is live")
        })
    }
}

/// The failovers that the coordinator with this HTTP address remembers, and the state of the one under way.
///
/// # Errors
/// When it does not answer, or not in the form of its interface.
pub fn failovers_at(host: &str, port: u16) -> Result<(Vec<Receipt>, Option<String>)> {
    let body = http_get(host, port, &format!("/api/v1/groups/{GROUP}"))?;
    let group: Group = serde_json::from_str(&body).with_context(|| format!("it says {body}"))?;
    Ok((group.failovers, group.failover_state))
}

/// The body of an answer with status 200.
fn http_get(host: &str, port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((host, port)).with_context(|| format!("HTTP on {host}:{port}"))?;
    stream.set_read_timeout(Some(HTTP_LIMIT))?;
    // In version 1.0 the body ends with the connection and comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("no answer of HTTP: {answer}"))?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{path} gives {status}: {body}");
    Ok(body.to_owned())
}
