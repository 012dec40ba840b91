//! A planned switch under a client that writes throughout: how long it could not write, and what it was told is kept but
//! is not.
//!
//! The client holds on to its connection until that breaks or a write is refused, then tries the servers in turn, as most
//! libraries do. It is never told by a coordinator, so that only the switch itself is measured.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bellwether_tests::{Fleet, GROUP, Kind, client, wait_for};
use serde::Serialize;

use crate::contender::Contender;
use crate::measure::Setup;

/// Between two writes: far below the gaps to be told apart, light enough for two cores.
const WRITE_EVERY: Duration = Duration::from_micros(500);

/// How long the client writes before the order, so that its first writes are no part of what is measured.
const LEAD: Duration = Duration::from_millis(500);

/// An order is refused while a replica is not yet fit for promotion.
const ORDER_LIMIT: Duration = Duration::from_secs(20);

/// The list that the client appends to.
const KEY: &str = "failover-bench-planned";

/// What is ordered of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    #[serde(rename = "program", serialize_with = "by_name")]
    pub(crate) contender: Contender,
    pub(crate) coordinated: bool,
}

impl Order {
    /// All orders that these programs know. The reference has no coordinated one.
    pub(crate) fn all(contenders: &[Contender]) -> Vec<Self> {
        let plain = contenders.iter().map(|contender| Self {
            contender: *contender,
            coordinated: false,
        });
        let own = contenders.iter().filter(|each| each.kind == Kind::Bellwether);
        let coordinated = own.map(|contender| Self {
            contender: *contender,
            coordinated: true,
        });
        plain.chain(coordinated).collect()
    }

    pub(crate) fn name(self) -> String {
        let option = if self.coordinated { " COORDINATED" } else { "" };
        format!("{} FAILOVER{option}", self.contender.name())
    }

    fn words(self) -> Vec<&'static str> {
        let mut words = vec!["SENTINEL", "FAILOVER", GROUP];
        words.extend(self.coordinated.then_some("COORDINATED"));
        words
    }
}

/// What one switch cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Planned {
    pub(crate) order: Order,
    /// The longest time between two acknowledged writes.
    pub(crate) gap_ms: f64,
    /// Writes that were acknowledged and are not on the primary when all is over.
    pub(crate) lost: u32,
    /// Writes that were acknowledged.
    pub(crate) acknowledged: usize,
    /// From the order to the first `+switch-master`.
    pub(crate) switch_ms: f64,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gap {:.1} ms, {} of {} writes lost, switch after {:.1} ms",
            self.gap_ms, self.lost, self.acknowledged, self.switch_ms
        )
    }
}

/// Starts a fleet, gives the order under a client, and counts when every server follows the new primary.
pub(crate) fn once(order: Order, setup: &Setup) -> Result<Planned> {
    let mut fleet = Fleet::start(setup.options(order.contender))?;
    let old = fleet.settled()?;
    let writer = Writer::start(fleet.servers.iter().map(|server| server.port()).collect());
    thread::sleep(LEAD);
    let ordered = wait_for("the order to be taken", ORDER_LIMIT, || {
        let now = Instant::now();
        fleet.coordinators[0].ask::<String>(&order.words())?;
        Ok(now)
    })?;
    fleet.wait_moved_from(old)?;
    let primary = fleet.wait_stable()?;
    let acknowledged = writer.stop()?;
    let switch = fleet.journal.wait_event("+switch-master", ordered, ORDER_LIMIT)?;
    let kept: BTreeSet<u64> = fleet.servers[primary]
        .ask::<Vec<u64>>(&["LRANGE", KEY, "0", "-1"])?
        .into_iter()
        .collect();
    let gaps = acknowledged.windows(2).map(|pair| match pair {
        [(_, before), (_, after)] if *after >= ordered => after.duration_since(*before),
        _ => Duration::ZERO,
    });
    let gap = gaps.max().context("nothing was written")?;
    let lost = acknowledged
        .iter()
        .filter(|(number, _)| !kept.contains(number))
        .count();
    let run = Planned {
        order,
        gap_ms: gap.as_secs_f64() * 1000.0,
        lost: u32::try_from(lost).context("counting the writes")?,
        acknowledged: acknowledged.len(),
        switch_ms: switch.at.duration_since(ordered).as_secs_f64() * 1000.0,
    };
    fleet.finish().map(|()| run)
}

/// A client that appends numbers, one after the other.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(u64, Instant)>>,
}

impl Writer {
    fn start(ports: Vec<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || write(&ports, &stop)
        });
        Self { stop, thread }
    }

    /// The numbers that were acknowledged, and when.
    fn stop(self) -> Result<Vec<(u64, Instant)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the client panicked"))
    }
}

fn write(ports: &[u16], stop: &AtomicBool) -> Vec<(u64, Instant)> {
    let mut acknowledged = Vec::new();
    let mut numbers = 0..;
    for port in ports.iter().copied().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Ok(mut connection) = client::connect(port) else {
            continue;
        };
        for number in numbers.by_ref() {
            let text = number.to_string();
            // A write that failed may have been carried out: only what is acknowledged counts, under a number of its own.
            if stop.load(Ordering::Relaxed)
                || client::ask_on::<u64>(&mut connection, &["RPUSH", KEY, &text]).is_err()
            {
                break;
            }
            acknowledged.push((number, Instant::now()));
            thread::sleep(WRITE_EVERY);
        }
    }
    acknowledged
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn by_name<S: serde::Serializer>(contender: &Contender, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(contender.name())
}
