//! The one task that owns the coordinator.
//!
//! Owns the order of things: inputs are handed over with the time at which they came, then the coordinator
//! decides, then its effects are carried out one after the other. Never waits for anything but the next
//! input: whatever may take long runs elsewhere and reports back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{
    Answer, ClientToken, Coordinator, Effect, FailoverReceipt, GroupName, Input, Instant, LinkId, LogOrder,
    LogRole, Outcome, PersistSeq, Registry, Request, whole_millis,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::announce::Announcer;
use crate::clock::Clock;
use crate::disk::{Disk, LogStoreError, LogWriter, SaveError, Saved, StateCopy, Written, log_write_ended};
use crate::handle::{Ask, HandleEnd};
use crate::link::{Arrived, Batch, Links, SendError};
use crate::log::Log;
use crate::resolver::Resolver;
use crate::script::Runner;
use crate::telemetry::Telemetry;

/// How many reports of links may wait for the driver. Beyond this the links wait, and behind them the
/// servers: a slow loop never grows memory. Room for every link of ten thousand groups to report at once is
/// not needed, because a turn takes in a thousand within a millisecond or two.
pub(crate) const MAX_WAITING_REPORTS: usize = 4096;

/// How many inputs are handed over before the coordinator decides. Large, because deciding costs the same
/// for many facts about a group as for one; bounded, so that a flood of reports cannot put decisions off.
const MAX_INPUTS_A_TURN: usize = 1024;

/// How long a leader that is to stop waits at most until another one leads: a hand-over takes a few milliseconds, the
/// longest wait for the end of what was ordered is the least election timeout, and an election after that is still seen.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(1);

/// Everything that the loop needs.
pub(crate) struct Driver {
    pub(crate) clock: Clock,
    pub(crate) coordinator: Coordinator,
    pub(crate) reports: mpsc::Receiver<Arrived>,
    pub(crate) end: HandleEnd,
    /// Cancelled when nothing is to be awaited any more: what the loop needs others for until then goes on until then.
    pub(crate) stop: CancellationToken,
    pub(crate) links: Links,
    pub(crate) resolver: Resolver,
    pub(crate) disk: Disk,
    /// Where coordinators share a log: what writes it, and what of it goes into the state file.
    pub(crate) log_writer: Option<LogWriter>,
    pub(crate) copy: Option<StateCopy>,
    pub(crate) announcer: Announcer,
    pub(crate) scripts: Runner,
    pub(crate) log: Option<Arc<Log>>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

/// Why the loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// After a failed sync nobody knows what is on disk, and votes must not be given on a guess.
    #[error("the state could not be made durable, and what is on disk now is not known")]
    Save(#[source] SaveFailure),
    /// The writer came to no end.
    #[error("the task that saves the state failed")]
    Writer(#[from] tokio::task::JoinError),
    /// What was promised to other members is not on disk, and nobody knows what is.
    #[error("the log of decisions could not be written, and what is on disk now is not known")]
    WriteLog(#[source] LogStoreError),
    /// It must not end as long as the daemon runs.
    #[error("the thread that writes the log of decisions has ended")]
    LogWriter,
    /// An operator wanted to see what happens then.
    #[error("Sentinel CRASH because of SENTINEL simulate-failure")]
    Simulated {
        /// The exit status to end with.
        status: u8,
    },
}

/// A save that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SaveFailure(#[from] SaveError);

impl Driver {
    /// Runs until the daemon is to stop.
    ///
    /// # Errors
    /// If a sync failed. The process must end then.
    pub(crate) async fn run(self) -> Result<(), DriverError> {
        let mut running = Running {
            driver: self,
            inputs: Vec::new(),
            answers: HashMap::new(),
            last_token: 0,
            crash: None,
        };
        let result = running.run().await;
        running.driver.stop.cancel();
        // The links end with their map, and whoever still waits for an answer learns that there is none.
        // A copy of what is in a log is written behind all else, so the last one may be yet to come.
        let last = (result.is_ok() && running.driver.copy.is_some()).then(|| running.to_save());
        running.driver.disk.finish(last).await;
        if let Some(writer) = running.driver.log_writer {
            writer.finish().await;
        }
        result
    }
}

struct Running {
    driver: Driver,
    /// The inputs of the next turn. Kept between turns for its room alone.
    inputs: Vec<Arrived>,
    /// Who waits for which answer. Bounded by the number of clients: each waits for one answer at a time.
    answers: HashMap<ClientToken, oneshot::Sender<Answer>>,
    last_token: u64,
    /// The status of a simulated crash. Nothing is done any more then.
    crash: Option<u8>,
}

impl Running {
    async fn run(&mut self) -> Result<(), DriverError> {
        self.turn();
        let stop = self.driver.end.shutdown().clone();
        while let Some(due) = self.wait(&stop).await? {
            self.step(due)?;
        }
        self.hand_lead_over().await
    }

    /// Takes in all that is there, and does what follows. `due` is when that was to be done, if it was a deadline.
    fn step(&mut self, due: Option<Instant>) -> Result<(), DriverError> {
        self.gather_asks();
        let now = self.driver.clock.now();
        let oldest = self.inputs.iter().map(|(arrived, _)| *arrived).min();
        if let Some(due) = [due, oldest].into_iter().flatten().min() {
            self.driver.telemetry.loop_delay(now.since(due));
        }
        self.turn();
        match self.crash {
            Some(status) => Err(DriverError::Simulated { status }),
            None => Ok(()),
        }
    }

    /// Where a log is shared and this coordinator leads: has another one lead before the end, because nobody fails
    /// anything over while an election timeout passes. Waits only as long as that can come off.
    async fn hand_lead_over(&mut self) -> Result<(), DriverError> {
        if !self.offer_lead() {
            return Ok(());
        }
        let limit = time::sleep(HAND_OVER_LIMIT);
        tokio::pin!(limit);
        let stop = self.driver.stop.clone();
        loop {
            if let Some(leader) = self.other_leader() {
                info!("handed the lead over to member {leader}");
                return Ok(());
            }
            let due = tokio::select! {
                () = &mut limit => {
                    warn!("no other member has taken the lead over in time");
                    return Ok(());
                }
                due = self.wait(&stop) => due?,
            };
            let Some(due) = due else { return Ok(()) };
            self.step(due)?;
        }
    }

    /// Begins to hand the lead over. `false` if there is nothing to hand over, or nobody to hand it to.
    fn offer_lead(&mut self) -> bool {
        let now = self.driver.clock.now();
        let log = self.driver.coordinator.log();
        if log.is_none_or(|log| log.status(now).role != LogRole::Leader) {
            return false;
        }
        let (answer, mut answered) = oneshot::channel();
        self.take_ask(Ask {
            arrived: now,
            request: Request::Log(LogOrder::Transfer { to: None }),
            answer,
        });
        self.turn();
        match answered.try_recv() {
            Ok(Answer::Ok) => true,
            Ok(Answer::Refused(why)) => {
                info!("the lead is not handed over: {why}");
                false
            }
            _ => false,
        }
    }

    /// The member that leads, if it is another one.
    fn other_leader(&self) -> Option<u64> {
        let status = self.driver.coordinator.log()?.status(self.driver.clock.now());
        status.leader.filter(|leader| *leader != status.id)
    }

    /// Waits until there is something to do. `None`: `stop` was cancelled. Otherwise when that was due, if
    /// it was a deadline.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<Option<Option<Instant>>, DriverError> {
        let deadline = self.driver.coordinator.poll_deadline();
        let timer = deadline.and_then(|deadline| self.driver.clock.to_tokio(deadline));
        let driver = &mut self.driver;
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(None),
            saved = driver.disk.ended() => {
                let input = self.saved(saved?)?;
                self.inputs.push((self.driver.clock.now(), input));
                Ok(Some(None))
            }
            written = log_write_ended(&mut driver.log_writer) => {
                let input = log_written(written, &*driver.telemetry)?;
                self.inputs.push((self.driver.clock.now(), input));
                Ok(Some(None))
            }
            // Nobody reports any more only when the links are gone, which they are not.
            _ = driver.reports.recv_many(&mut self.inputs, MAX_INPUTS_A_TURN) => Ok(Some(None)),
            Some(ask) = driver.end.asks.recv() => {
                self.take_ask(ask);
                Ok(Some(None))
            }
            () = sleep_until(timer) => Ok(Some(deadline)),
        }
    }

    /// Takes in the questions and reports that are there already.
    fn gather_asks(&mut self) {
        while self.inputs.len() < MAX_INPUTS_A_TURN {
            match self.driver.reports.try_recv() {
                Ok(arrived) => self.inputs.push(arrived),
                Err(_) => break,
            }
        }
        while self.inputs.len() < 2 * MAX_INPUTS_A_TURN {
            match self.driver.end.asks.try_recv() {
                Ok(ask) => self.take_ask(ask),
                Err(_) => break,
            }
        }
    }

    fn take_ask(&mut self, ask: Ask) {
        self.last_token += 1;
        let token = ClientToken(self.last_token);
        self.answers.insert(token, ask.answer);
        let request = ask.request;
        self.inputs.push((ask.arrived, Input::Request { token, request }));
    }

    fn saved(&self, saved: Saved) -> Result<Input, DriverError> {
        let Saved { seq, took, result } = saved;
        self.driver.telemetry.persisted(took, result.is_ok());
        match result {
            Ok(()) => {
                debug!(took_us = took.as_micros(), "state saved");
                Ok(Input::Persisted { seq })
            }
            Err(SaveError::Refused(reason)) => Ok(Input::PersistFailed { seq, reason }),
            Err(error @ SaveError::Sync { .. }) => Err(DriverError::Save(error.into())),
        }
    }

    /// Hands over what was gathered, has the coordinator decide, and does what it says; again if doing it
    /// brought something new.
    fn turn(&mut self) {
        loop {
            let mut inputs = std::mem::take(&mut self.inputs);
            // The two queues were read one after the other. Inputs of one source keep their order.
            inputs.sort_by_key(|(arrived, _)| *arrived);
            for (arrived, input) in inputs.drain(..) {
                if let Input::LinkDown { link, .. } = &input {
                    self.driver.links.forget(*link);
                    self.driver.telemetry.link_failed();
                }
                self.driver.coordinator.handle(arrived, input);
            }
            self.inputs = inputs;
            let now = self.driver.clock.now();
            self.driver.coordinator.handle(now, Input::Turn);
            while let Some(effect) = self.driver.coordinator.poll_effect() {
                self.carry_out(effect);
                if self.crash.is_some() {
                    return;
                }
            }
            if self.inputs.is_empty() {
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let driver = &mut self.driver;
        match effect {
            Effect::Connect { link, to, kind } => driver.links.connect(link, to, kind),
            Effect::Disconnect { link } => driver.links.forget(link),
            Effect::Send { link, batch, until } => self.send(link, batch, until),
            Effect::Resolve { name } => driver.resolver.resolve(name),
            Effect::Persist { seq } => self.persist(seq),
            Effect::WriteLog(write) => match &mut driver.log_writer {
                Some(writer) => writer.begin(write),
                None => unreachable!("coordinators that vote share no log"),
            },
            Effect::Event(event) => driver.announcer.announce(&event),
            Effect::Answer { token, answer } => {
                if let Some(asker) = self.answers.remove(&token) {
                    // It may have left.
                    let _ = asker.send(answer);
                }
            }
            Effect::Addresses(addresses) => driver.end.publish(addresses),
            Effect::RunScript { path, args } => driver.scripts.enqueue(path, args),
            Effect::LogLevel(level) => {
                if let Some(log) = &driver.log {
                    log.set_level(level);
                }
            }
            Effect::Exit { status } => self.crash = Some(status),
            Effect::FailoverEnded { group, receipt } => {
                log_receipt(&group, &receipt);
                driver.telemetry.failover(&group, &receipt);
            }
        }
    }

    fn send(&mut self, link: LinkId, batch: Batch, until: Option<Instant>) {
        match self.driver.links.send(link, batch, until) {
            // A link that ended has reported so.
            Ok(()) | Err(SendError::Ended) => {}
            Err(error @ SendError::Stuck) => {
                let reason = error.to_string();
                let now = self.driver.clock.now();
                self.inputs.push((now, Input::LinkDown { link, reason }));
            }
        }
    }

    fn persist(&mut self, seq: PersistSeq) {
        let registry = self.to_save();
        self.driver.disk.begin(seq, registry);
    }

    /// What goes into the state file.
    fn to_save(&self) -> Registry {
        let coordinator = &self.driver.coordinator;
        match &self.driver.copy {
            Some(copy) => copy.of(coordinator.registry(), coordinator.is_caught_up()),
            None => coordinator.registry().clone(),
        }
    }
}

fn log_written(written: Option<Written>, telemetry: &dyn Telemetry) -> Result<Input, DriverError> {
    let Written {
        seq,
        took,
        entries,
        bytes,
        result,
    } = written.ok_or(DriverError::LogWriter)?;
    result.map_err(DriverError::WriteLog)?;
    telemetry.log_written(took, entries, bytes);
    debug!(took_us = took.as_micros(), "log written");
    Ok(Input::LogWritten { seq })
}

async fn sleep_until(timer: Option<time::Instant>) {
    match timer {
        Some(timer) => time::sleep_until(timer).await,
        None => std::future::pending().await,
    }
}

/// A failover in one line: how it ended, how long it took, who was not chosen.
fn account(group: &GroupName, receipt: &FailoverReceipt) -> String {
    let phase = |(name, took): (&str, Option<Duration>)| Some(format!("{name} {} ms", whole_millis(took?)));
    let phases: Vec<_> = receipt.phases.named().into_iter().filter_map(phase).collect();
    let (epoch, outcome) = (receipt.epoch, receipt.outcome.label());
    let mut account = format!("failover of {group} in epoch {epoch}: {outcome}");
    if !phases.is_empty() {
        account += &format!("; {}", phases.join(", "));
    }
    if !receipt.passed_over.is_empty() {
        account += &format!("; passed over {}", receipt.passed_over_in_words());
    }
    account
}

fn log_receipt(group: &GroupName, receipt: &FailoverReceipt) {
    let account = account(group, receipt);
    match receipt.outcome {
        Outcome::Completed => info!("{account}"),
        Outcome::CompletedLate | Outcome::Aborted(_) => warn!("{account}"),
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::{AbortReason, Addr, Cause, Epoch, Phases};

    use super::*;

    #[test]
    fn an_account_has_what_there_is_to_tell() {
        let mut receipt = FailoverReceipt {
            epoch: Epoch(3),
            cause: Cause::Manual,
            outcome: Outcome::Aborted(AbortReason::NotElected),
            old_primary: Addr::parse("10.0.0.1", 6379).expect("an address"),
            candidate: None,
            voters: Vec::new(),
            passed_over: Vec::new(),
            phases: Phases::default(),
        };
        let group = GroupName::new("cache").expect("a name");
        let start = "failover of cache in epoch 3: not_elected";
        assert_eq!(account(&group, &receipt), start);
        receipt.phases.election = Some(Duration::from_millis(4));
        receipt.phases.selection = Some(Duration::ZERO);
        let with_phases = format!("{start}; election 4 ms, selection 0 ms");
        assert_eq!(account(&group, &receipt), with_phases);
        let replica = Addr::parse("10.0.0.2", 6379).expect("an address");
        receipt
            .passed_over
            .push((replica, "its priority is 0".to_owned()));
        let whole = format!("{with_phases}; passed over 10.0.0.2:6379: its priority is 0");
        assert_eq!(account(&group, &receipt), whole);
    }
}
