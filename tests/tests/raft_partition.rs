//! Coordinators share a log, each on a machine beside one of the servers, and machines are cut off. Needs root.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bellwether_tests::chance::{self, Chance};
use bellwether_tests::machines::{MACHINES, Machines, SERVER_PORT};
use bellwether_tests::{Role, client, hold_for, wait_for};

const DOWN_AFTER: Duration = Duration::from_millis(1000);
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// A wrong failover would come within a second or two of a cut.
const WINDOW: Duration = Duration::from_secs(4);
/// How long the client is left with the old primary after the others have another one.
const LONELY: Duration = Duration::from_secs(1);

/// Random cuts without `BELLWETHER_CUTS`.
const CUTS: u32 = 3;

/// The leader of the log, the primary and a client that writes are on one side, alone. The other side replaces the
/// primary; when the two meet again the old primary follows, and the client is refused.
#[test]
#[expect(clippy::print_stderr, reason = "what a client loses is worth to be seen")]
fn leader_and_primary_with_a_client_are_cut_off() -> Result<()> {
    let mut machines = Machines::start(DOWN_AFTER)?;
    machines.lead(0)?;
    let ways = machines.ways_of(0);
    let host = machines.host(0).to_owned();
    let over = AtomicBool::new(false);
    let (cut, healed, accepted) = thread::scope(|scope| -> Result<_> {
        let client = scope.spawn(|| write_until_refused(&host, &over));
        let through = through(&mut machines, &ways);
        // Ends the client if it has not been refused until now.
        over.store(true, Ordering::Relaxed);
        let accepted = client.join().map_err(|_| anyhow!("the client panicked"))??;
        let (cut, healed) = through?;
        Ok((cut, healed, accepted))
    })?;
    let primary = machines.wait_settled()?;
    ensure!(primary != 0, "the old primary is the primary again");
    let mut lost = Vec::new();
    for (number, at) in &accepted {
        let kept: bool = machines.ask_server(primary, &["EXISTS", &format!("write:{number}")])?;
        if !kept {
            lost.push(*at);
        }
    }
    let last_before = accepted.iter().filter(|(_, at)| *at < cut).count();
    eprintln!(
        "{} writes were accepted, {} of them after the cut; {} are lost, over {:?}; the cut lasted {:?}",
        accepted.len(),
        accepted.len() - last_before,
        lost.len(),
        lost.last().map(|last| *last - cut).unwrap_or_default(),
        healed - cut
    );
    ensure!(
        last_before > 0 && accepted.len() > last_before,
        "the client was to write before and after the cut"
    );
    // What was accepted a while before the cut was on the replicas: only what was written on the wrong side is lost.
    let margin = Duration::from_millis(500);
    ensure!(
        lost.iter().all(|at| *at + margin > cut),
        "a write from {:?} before the cut is lost",
        lost.first().map(|at| cut - *at)
    );
    machines.finish()
}

/// Cuts the first machine off until the others have another primary, and heals it. Gives both moments.
fn through(machines: &mut Machines, ways: &[(usize, usize)]) -> Result<(Instant, Instant)> {
    thread::sleep(LONELY);
    let cut = Instant::now();
    machines.network.cut(ways)?;
    for machine in [1, 2] {
        machines
            .journal
            .wait("+switch-master", cut, STEP_LIMIT, |event| {
                (event.source == machine && event.name == "+switch-master").then_some(())
            })?;
    }
    let new = machines.named_by(1)?;
    wait_for("the new primary to take writes", STEP_LIMIT, || {
        machines.ask_server::<()>(new, &["SET", "new", "1"])
    })?;
    // Nobody tells the old primary anything while it is alone, its own coordinator least of all.
    hold_for("the old primary, alone", LONELY, || {
        let role = machines.role(0)?;
        ensure!(role.0 == Role::Primary, "it is {role:?}");
        ensure!(
            machines.named_by(0)? == 0,
            "its coordinator has heard of the switch"
        );
        Ok(())
    })?;
    let wrong = machines.journal.since(cut);
    let wrong = wrong.iter().find(|event| {
        event.source == 0
            && ["+try-failover", "+switch-master", "+elected-leader"].contains(&event.name.as_str())
    });
    ensure!(wrong.is_none(), "cut off from all, it did {wrong:?}");
    let healed = Instant::now();
    machines.network.heal()?;
    machines
        .journal
        .wait("+switch-master", healed, STEP_LIMIT, |event| {
            (event.source == 0 && event.name == "+switch-master").then_some(())
        })?;
    machines.wait_settled()?;
    Ok((cut, healed))
}

/// Writes keys of ascending numbers until it is refused, or told to stop. Gives each accepted number with the time of
/// its acceptance.
fn write_until_refused(host: &str, over: &AtomicBool) -> Result<Vec<(u64, Instant)>> {
    let mut accepted = Vec::new();
    let mut connection = client::connect_at(host, SERVER_PORT)?;
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("write:{number}");
        if client::ask_on::<()>(&mut connection, &["SET", &key, "1"]).is_err() {
            break;
        }
        accepted.push((number, Instant::now()));
        thread::sleep(Duration::from_millis(2));
    }
    Ok(accepted)
}

/// All machines are alone: nobody has a majority, so nobody fails over though the primary is dead. When they meet
/// again the failover goes on.
#[test]
fn all_are_cut_off_from_each_other() -> Result<()> {
    let mut machines = Machines::start(DOWN_AFTER)?;
    let ways: Vec<(usize, usize)> = (0..3).flat_map(|machine| machines.ways_of(machine)).collect();
    machines.network.cut(&ways)?;
    let fault = machines.kill_server(0)?;
    hold_for("the old configuration", WINDOW, || {
        for machine in 0..3 {
            ensure!(machines.named_by(machine)? == 0, "sentinel-{machine} has moved");
        }
        for machine in [1, 2] {
            let role = machines.role(machine)?;
            ensure!(role.0 != Role::Primary, "server-{machine} takes writes");
        }
        Ok(())
    })?;
    let answer = client::ask_at::<()>(machines.host(1), 26_379, &["PING"]);
    ensure!(
        answer.is_ok(),
        "a coordinator that is alone does not answer: {answer:?}"
    );
    machines.network.heal()?;
    machines.journal.wait_event("+switch-master", fault, STEP_LIMIT)?;
    machines.start_server(0)?;
    let primary = machines.wait_settled()?;
    ensure!(primary != 0, "the dead primary was not replaced");
    machines.finish()
}

/// The leader can reach the servers, but no other coordinator: it must do nothing, though it sees all the others see.
#[test]
fn a_leader_alone_does_nothing() -> Result<()> {
    let mut machines = Machines::start(DOWN_AFTER)?;
    machines.lead(1)?;
    // The primary hangs on the first machine; machine 2 holds the leader and is cut off from the two others' answers.
    machines.network.cut(&machines.ways_of(1))?;
    let fault = machines.kill_server(0)?;
    for machine in [0, 2] {
        machines
            .journal
            .wait("+switch-master", fault, STEP_LIMIT, |event| {
                (event.source == machine && event.name == "+switch-master").then_some(())
            })
            .context("the two others are a majority")?;
    }
    let events = machines.journal.since(fault);
    let wrong = events
        .iter()
        .find(|event| event.source == 1 && (event.name == "+try-failover" || event.name == "+switch-master"));
    ensure!(wrong.is_none(), "alone, it did {wrong:?}");
    let alone = machines.role(1)?;
    ensure!(
        alone.0 != Role::Primary,
        "the leader that was alone promoted the server beside it"
    );
    machines.network.heal()?;
    machines.start_server(0)?;
    let primary = machines.wait_settled()?;
    ensure!(
        primary == 2,
        "only server-2 could be promoted, server-{primary} was"
    );
    machines.finish()
}

/// Machines are cut off in all manners while primaries and coordinators die: each time all agree afterwards, on one
/// primary and on one history. `BELLWETHER_CUTS` sets how often, `BELLWETHER_SEED` what is drawn.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "a seed has to be known, and a long run should show how far it has come"
)]
fn random_cuts() -> Result<()> {
    let count: u32 = chance::from_env("BELLWETHER_CUTS")?.unwrap_or(CUTS);
    let seed = chance::seed()?;
    eprintln!("{count} cuts, BELLWETHER_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut machines = Machines::start(Duration::from_millis(500))?;
    let mut known = machines.wait_same_history()?;
    for number in 1..=count {
        let plan = Cut::draw(&mut chance);
        let began = Instant::now();
        let context = || format!("seed {seed}, cut {number}: {plan:?}");
        let primary = machines.wait_settled().with_context(context)?;
        machines
            .ask_server::<()>(primary, &["SET", "cut", &number.to_string()])
            .with_context(context)?;
        let acknowledged: usize = machines
            .ask_server(primary, &["WAIT", "2", "1500"])
            .with_context(context)?;
        plan.play(&mut machines, primary).with_context(context)?;
        let new = machines.wait_settled().with_context(context)?;
        let history = machines.wait_same_history().with_context(context)?;
        let stored: Option<String> = machines.ask_server(new, &["GET", "cut"]).with_context(context)?;
        ensure!(
            acknowledged < 2 || stored == Some(number.to_string()),
            "{}: {stored:?} is left of what all servers had",
            context()
        );
        let last = known.last().map_or(0, |receipt| receipt.epoch);
        let before: Vec<_> = history.iter().filter(|receipt| receipt.epoch <= last).collect();
        let kept = &known[known.len().saturating_sub(before.len())..];
        ensure!(
            before.into_iter().eq(kept),
            "{}: the history was rewritten",
            context()
        );
        let epochs = history.windows(2).all(|pair| pair[0].epoch < pair[1].epoch);
        ensure!(epochs, "{}: the epochs do not ascend: {history:#?}", context());
        if count <= CUTS || number % 10 == 0 {
            eprintln!(
                "cut {number}: {plan:?}: server-{new}, all well after {:?}",
                began.elapsed()
            );
        }
        known = history;
    }
    machines.finish()
}

/// Who is cut off how, and what happens meanwhile.
#[derive(Debug)]
struct Cut {
    ways: Vec<(usize, usize)>,
    lasts: Duration,
    /// How long before the cut the primary is killed, if it is.
    primary_dies: Option<Duration>,
    /// This coordinator is killed meanwhile, or only stopped.
    strikes: Option<(usize, bool)>,
}

impl Cut {
    fn draw(chance: &mut Chance) -> Self {
        let alone = chance.below(MACHINES);
        let others: Vec<usize> = (0..MACHINES).filter(|other| *other != alone).collect();
        let ways: Vec<(usize, usize)> = match chance.below(6) {
            // Nothing arrives at one; nothing that it says arrives; one way between two; both ways; one alone; all alone.
            0 => others.iter().map(|other| (*other, alone)).collect(),
            1 => others.iter().map(|other| (alone, *other)).collect(),
            2 => vec![(alone, others[0])],
            3 => vec![(alone, others[1]), (others[1], alone)],
            4 => others
                .iter()
                .flat_map(|other| [(alone, *other), (*other, alone)])
                .collect(),
            _ => (0..MACHINES)
                .flat_map(|from| (0..MACHINES).map(move |to| (from, to)))
                .filter(|(from, to)| from != to)
                .collect(),
        };
        Self {
            ways,
            lasts: chance.millis(100, 3500),
            primary_dies: (chance.below(2) == 0).then(|| chance.millis(0, 800)),
            strikes: (chance.below(3) == 0).then(|| (chance.below(MACHINES), chance.below(2) == 0)),
        }
    }

    fn play(&self, machines: &mut Machines, primary: usize) -> Result<()> {
        if let Some(ahead) = self.primary_dies {
            machines.kill_server(primary)?;
            thread::sleep(ahead);
        }
        machines.network.cut(&self.ways)?;
        match self.strikes {
            Some((machine, true)) => machines.kill_coordinator(machine).map(drop)?,
            Some((machine, false)) => machines.pause_coordinator(machine).map(drop)?,
            None => {}
        }
        thread::sleep(self.lasts);
        machines.network.heal()?;
        match self.strikes {
            Some((machine, true)) => machines.start_coordinator(machine)?,
            Some((machine, false)) => machines.resume_coordinator(machine)?,
            None => {}
        }
        if self.primary_dies.is_some() {
            machines.start_server(primary)?;
        }
        Ok(())
    }
}
