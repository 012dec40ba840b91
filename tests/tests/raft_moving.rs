//! A running fleet moves from votes to one log and back, one coordinator at a time, and its primary dies at every step.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bellwether_tests::fleet::raft_directives;
use bellwether_tests::{Fleet, GROUP, Kind, Options, Role, hold_for, wait_for};

/// Far above what an election and a few entries of a log need.
const SOON: Duration = Duration::from_secs(20);
/// For how long it is shown that nobody replaces a dead primary: many times the 700 ms after which it counts as down.
const NOBODY_ACTS: Duration = Duration::from_secs(5);

#[test]
fn votes_become_a_log() -> Result<()> {
    let mut moving = Moving::start(false)?;
    moving.fail_over(&[0, 1, 2]).context("none moved")?;

    moving.join_log(0)?;
    // It has no majority, so it knows of no group. The other two are the majority of three, as before.
    moving.knows_nothing(0)?;
    moving.fail_over(&[1, 2]).context("one moved")?;
    moving.knows_nothing(0)?;

    moving.fleet.coordinators[1].terminate()?;
    moving.kill_primary()?;
    moving.nobody_fails_over().context("one moved, one away")?;
    moving.join_log(1)?;
    moving.wait_log(&[0, 1])?;
    let third = moving.fleet.coordinators[2].id().to_owned();
    moving
        .nobody_fails_over()
        .context("two moved, the third a stranger")?;
    moving.accept(&third)?;
    moving
        .wait_replaced(&[0, 1, 2])
        .context("two moved, the third accepted")?;
    moving.restart_old(&[0, 1, 2])?;
    moving.fail_over(&[0, 1, 2]).context("two moved, at rest")?;
    // Who has another id now is counted once.
    let fields = moving.fleet.coordinators[2].primary()?;
    let others = fields.get("num-other-sentinels").map(String::as_str);
    ensure!(others == Some("2"), "the third counts {others:?} others");

    moving.fleet.coordinators[2].terminate()?;
    moving.fail_over(&[0, 1]).context("two moved, the third away")?;
    moving.join_log(2)?;
    moving.told_nothing_of_the_past(2)?;
    moving.fail_over(&[0, 1, 2]).context("all moved")?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// Who has not accepted the third only waits longer: until it is moved as well.
#[test]
fn the_third_is_moved_while_the_primary_is_dead() -> Result<()> {
    let mut moving = Moving::start(false)?;
    moving.fail_over(&[0, 1, 2]).context("none moved")?;
    for index in 0..2 {
        moving.fleet.coordinators[index].terminate()?;
        moving.join_log(index)?;
    }
    moving.wait_log(&[0, 1])?;
    moving.kill_primary()?;
    moving
        .nobody_fails_over()
        .context("two moved, the third a stranger")?;
    moving.fleet.coordinators[2].terminate()?;
    moving.join_log(2)?;
    moving.wait_replaced(&[0, 1, 2])?;
    moving.restart_old(&[0, 1, 2])?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// What the two that voted last have decided counts, though the one that was moved first leads the log.
#[test]
fn the_log_begins_with_the_latest_switch() -> Result<()> {
    let mut moving = Moving::start(false)?;
    moving.join_log(0)?;
    moving.fail_over(&[1, 2]).context("one moved")?;
    moving.fail_over(&[1, 2]).context("one moved, again")?;
    moving.fleet.coordinators[1].terminate()?;
    moving.fleet.coordinators[2].terminate()?;
    moving.join_log(1)?;
    moving.join_log(2)?;
    moving.wait_log(&[0, 1, 2])?;
    moving.wait_agreed(&[0, 1, 2])?;
    moving.fail_over(&[0, 1, 2])?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// The second is taken away just when the third has been elected by it: the log does not know of the switch that follows.
#[test]
fn a_step_in_the_middle_of_a_failover() -> Result<()> {
    let mut moving = Moving::start(false)?;
    moving.fail_over(&[0, 1, 2])?;
    moving.join_log(0)?;
    let fault = moving.fleet.servers[moving.primary].kill()?;
    let limit = moving.fleet.options.failover_limit();
    let leader = moving.fleet.journal.wait("a leader", fault, limit, |event| {
        (event.name == "+elected-leader").then_some(event.source)
    })?;
    let second = 3 - leader;
    moving.fleet.coordinators[second].kill()?;
    moving.join_log(second)?;
    moving.wait_log(&[0, second])?;
    moving.wait_replaced(&[leader])?;

    let stranger = moving.fleet.coordinators[leader].id().to_owned();
    for index in [0, second] {
        let coordinator = &moving.fleet.coordinators[index];
        wait_for("the stranger to be heard", SOON, || {
            let text: String = coordinator.ask(&["INFO", "sentinel"])?;
            ensure!(text.contains(&stranger), "no {stranger} in {text}");
            Ok(())
        })?;
    }
    moving.accept(&stranger)?;
    moving
        .wait_agreed(&[0, 1, 2])
        .context("with the third accepted")?;
    moving.restart_old(&[0, 1, 2])?;
    moving.fail_over(&[0, 1, 2]).context("two moved")?;
    moving.join_log(leader)?;
    moving.fail_over(&[0, 1, 2]).context("all moved")?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// Who is started again goes through the log again, and nobody hears of that.
#[test]
fn a_restart_tells_nothing_of_the_past() -> Result<()> {
    let mut moving = Moving::start(true)?;
    moving.fail_over(&[0, 1, 2])?;
    moving.fail_over(&[0, 1, 2])?;
    for index in 0..3 {
        moving.fleet.coordinators[index].terminate()?;
        moving.fleet.coordinators[index].restart()?;
        moving.told_nothing_of_the_past(index)?;
    }
    moving.fail_over(&[0, 1, 2])?;
    moving.fleet.finish()
}

#[test]
fn a_log_becomes_votes() -> Result<()> {
    let mut moving = Moving::start(true)?;
    moving.fail_over(&[0, 1, 2]).context("none moved")?;

    let id = moving.fleet.coordinators[0].id().to_owned();
    moving.leave_log(0)?;
    // It keeps the id that it had in the log, so it is no stranger to the others; and alone it has no majority.
    ensure!(moving.fleet.coordinators[0].id() == id, "its id is another");
    moving.fail_over(&[0, 1, 2]).context("one moved")?;

    moving.fleet.coordinators[1].terminate()?;
    moving.kill_primary()?;
    moving.nobody_fails_over().context("one moved, one away")?;
    moving.leave_log(1)?;
    moving.wait_replaced(&[0, 1]).context("two moved")?;
    moving.restart_old(&[0, 1])?;
    moving.fail_over(&[0, 1]).context("two moved, at rest")?;

    moving.fleet.coordinators[2].terminate()?;
    moving.fail_over(&[0, 1]).context("two moved, the third away")?;
    moving.leave_log(2)?;
    moving.fail_over(&[0, 1, 2]).context("all moved")?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// The logs that are left over go on where the votes have come to.
#[test]
fn a_log_becomes_votes_and_a_log_again() -> Result<()> {
    let mut moving = Moving::start(true)?;
    moving.fail_over(&[0, 1, 2])?;
    for index in 0..3 {
        moving.leave_log(index)?;
        moving.wait_agreed(&[0, index])?;
    }
    moving.fail_over(&[0, 1, 2]).context("by votes")?;
    moving.join_log(0)?;
    moving.fail_over(&[1, 2]).context("one moved")?;
    moving.join_log(1)?;
    moving.wait_agreed(&[0, 1, 2]).context("two moved")?;
    // The third votes under the id that it has in the log, so it is no stranger.
    moving.fail_over(&[0, 1, 2]).context("two moved")?;
    moving.join_log(2)?;
    moving.wait_agreed(&[0, 1, 2])?;
    moving.fail_over(&[0, 1, 2]).context("all moved")?;
    moving.fleet.wait_stable()?;
    moving.fleet.finish()
}

/// A fleet on its way, and what must not go back.
struct Moving {
    fleet: Fleet,
    members: Vec<String>,
    primary: usize,
    config_epoch: u64,
}

impl Moving {
    fn start(raft: bool) -> Result<Self> {
        let mut fleet = Fleet::start(Options {
            raft,
            // A coordinator that has given its vote stands back for this time.
            failover_timeout_ms: 2000,
            ..Options::of(Kind::Bellwether)
        })?;
        let members = (1..).zip(&fleet.coordinators);
        let members = members.map(|(id, each)| format!("bellwether member {id} 127.0.0.1 {}", each.port()));
        let members = members.collect();
        let primary = fleet.settled()?;
        Ok(Self {
            fleet,
            members,
            primary,
            config_epoch: 0,
        })
    }

    /// Restarts a coordinator that votes, on the file that it has, as a member of the log.
    fn join_log(&mut self, index: usize) -> Result<()> {
        let coordinator = &mut self.fleet.coordinators[index];
        if coordinator.is_running() {
            coordinator.terminate()?;
        }
        let state = coordinator.dir().join("state");
        fs::create_dir_all(&state).with_context(|| format!("creating {}", state.display()))?;
        coordinator.add_directives(&raft_directives(index + 1, &self.members))?;
        coordinator.restart()
    }

    /// Restarts a member of the log as one that votes, on the state that it has.
    fn leave_log(&mut self, index: usize) -> Result<()> {
        let coordinator = &mut self.fleet.coordinators[index];
        if coordinator.is_running() {
            coordinator.terminate()?;
        }
        for start in ["bellwether coordination ", "bellwether member"] {
            coordinator.remove_directives(start)?;
        }
        coordinator.restart()
    }

    /// Waits until these know the group from the log that they share.
    fn wait_log(&mut self, who: &[usize]) -> Result<()> {
        for index in who {
            let coordinator = &self.fleet.coordinators[*index];
            wait_for("the group in the log", SOON, || coordinator.primary_port())?;
        }
        Ok(())
    }

    /// Since its last start a coordinator has told what it watches, and none of the switches that were before.
    fn told_nothing_of_the_past(&mut self, index: usize) -> Result<()> {
        self.wait_agreed(&[index])?;
        let port = self.fleet.servers[self.primary].port();
        let monitor = format!("+monitor master {GROUP} 127.0.0.1 {port} ");
        let coordinator = &self.fleet.coordinators[index];
        wait_for("+monitor in the log", SOON, || {
            let log = coordinator.log_text();
            let (_, told) = log.rsplit_once(", process ").context("no start in the log")?;
            ensure!(told.contains(&monitor), "{told}");
            Ok(())
        })?;
        let log = coordinator.log_text();
        let (_, told) = log.rsplit_once(", process ").context("no start in the log")?;
        for past in ["+switch-master", "+vote-for-leader", "+new-epoch"] {
            ensure!(!told.contains(past), "{} tells again: {told}", coordinator.name());
        }
        Ok(())
    }

    /// Lets a sentinel watch the group beside the log.
    fn accept(&self, id: &str) -> Result<()> {
        self.fleet.coordinators[0].ask::<()>(&["SENTINEL", "RAFT", "ACCEPT-FOREIGN", GROUP, id])
    }

    fn knows_nothing(&self, index: usize) -> Result<()> {
        let coordinator = &self.fleet.coordinators[index];
        let address: Option<(String, u16)> =
            coordinator.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        ensure!(address.is_none(), "{} names {address:?}", coordinator.name());
        Ok(())
    }

    fn kill_primary(&mut self) -> Result<()> {
        self.fleet.servers[self.primary].kill()?;
        Ok(())
    }

    /// Nobody takes the dead primary's place, and nobody says that somebody has.
    fn nobody_fails_over(&mut self) -> Result<()> {
        let (primary, servers) = (self.primary, &mut self.fleet.servers);
        hold_for("no primary", NOBODY_ACTS, || {
            for (index, server) in servers.iter_mut().enumerate() {
                if index != primary {
                    ensure!(server.role()? != Role::Primary, "{} was promoted", server.name());
                }
            }
            Ok(())
        })
    }

    /// Waits until these agree on another primary in a later epoch that all live servers follow. There must be no two
    /// primaries on the way.
    fn wait_replaced(&mut self, who: &[usize]) -> Result<()> {
        let (old, epoch) = (self.primary, self.config_epoch);
        let limit = self.fleet.options.failover_limit();
        let fleet = &mut self.fleet;
        let found = wait_for("another primary", limit, || {
            let roles = roles(fleet)?;
            let primaries = roles.iter().filter(|(_, role)| *role == Role::Primary).count();
            if primaries > 1 {
                return Ok(Err(roles));
            }
            let (primary, now) = agreed(fleet, who)?;
            ensure!(primary != old, "server-{old} is still the primary");
            ensure!(
                now > epoch,
                "it became so in epoch {now}, which is not above {epoch}"
            );
            Ok(Ok((primary, now)))
        })?;
        match found {
            Ok((primary, epoch)) => {
                (self.primary, self.config_epoch) = (primary, epoch);
                Ok(())
            }
            Err(roles) => bail!("two primaries: {roles:?}"),
        }
    }

    /// Waits until these agree on the primary that there was.
    fn wait_agreed(&mut self, who: &[usize]) -> Result<()> {
        let wanted = (self.primary, self.config_epoch);
        let limit = self.fleet.options.failover_limit();
        let fleet = &mut self.fleet;
        wait_for("agreement on the primary", limit, || {
            let found = agreed(fleet, who)?;
            ensure!(found == wanted, "it is {found:?}, not {wanted:?}");
            Ok(())
        })
    }

    /// Starts all servers that are dead, and waits until they follow.
    fn restart_old(&mut self, who: &[usize]) -> Result<()> {
        for server in &mut self.fleet.servers {
            if !server.is_running() {
                server.restart()?;
            }
        }
        self.wait_agreed(who).context("with the old primary back")
    }

    fn fail_over(&mut self, who: &[usize]) -> Result<()> {
        self.kill_primary()?;
        self.wait_replaced(who)?;
        self.restart_old(who)
    }
}

/// The live servers and their roles.
fn roles(fleet: &mut Fleet) -> Result<Vec<(usize, Role)>> {
    let mut roles = Vec::new();
    for (index, server) in fleet.servers.iter_mut().enumerate() {
        if server.is_live() {
            roles.push((index, server.role()?));
        }
    }
    Ok(roles)
}

/// The primary that these name and all live servers follow, and the epoch in which it became so.
fn agreed(fleet: &mut Fleet, who: &[usize]) -> Result<(usize, u64)> {
    let mut views = Vec::new();
    for coordinator in who.iter().map(|index| &fleet.coordinators[*index]) {
        let fields = coordinator.primary()?;
        let epoch = fields.get("config-epoch").context("no config epoch")?;
        views.push((coordinator.primary_port()?, epoch.parse::<u64>()?));
    }
    let first = *views.first().context("nobody is asked")?;
    ensure!(views.iter().all(|view| *view == first), "they name {views:?}");
    let (port, epoch) = first;
    let primary = fleet.servers.iter().position(|server| server.port() == port);
    let primary = primary.with_context(|| format!("they name {port}, which is no server of ours"))?;
    for (index, role) in roles(fleet)? {
        let follows = role
            == Role::Replica {
                of: port,
                connected: true,
            };
        let is_right = if index == primary {
            role == Role::Primary
        } else {
            follows
        };
        ensure!(is_right, "server-{index} is {role:?} under {port}");
    }
    Ok((primary, epoch))
}
