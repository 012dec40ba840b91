//! Coordinators share a log, and one of them gets another address: it takes part as before, wherever it was when the others
//! were told.

use anyhow::{Result, ensure};
use bellwether_tests::shared_log::LOG_LIMIT;
use bellwether_tests::{Fleet, Options, wait_for};

#[test]
fn a_follower_moves_that_was_told_of_it() -> Result<()> {
    moves(Who::Follower, When::Running)
}

#[test]
fn a_follower_moves_that_was_gone_meanwhile() -> Result<()> {
    moves(Who::Follower, When::Gone)
}

#[test]
fn the_leader_moves() -> Result<()> {
    moves(Who::Leader, When::Running)
}

#[derive(PartialEq)]
enum Who {
    Leader,
    Follower,
}

#[derive(PartialEq)]
enum When {
    Running,
    Gone,
}

fn moves(who: Who, when: When) -> Result<()> {
    let mut fleet = Fleet::start(Options::sharing_log())?;
    let leader = fleet.wait_log_leader()?;
    let moved = if who == Who::Leader {
        leader
    } else {
        (leader + 1) % 3
    };
    let id = (moved + 1).to_string();
    if when == When::Gone {
        fleet.coordinators[moved].kill()?;
    }
    let old = fleet.coordinators[moved].change_port()?;
    let new = fleet.coordinators[moved].port().to_string();
    // Asked at its old port if it is the one that moves.
    let order = ["SENTINEL", "RAFT", "MOVE", id.as_str(), "127.0.0.1", new.as_str()];
    if moved == leader {
        bellwether_tests::client::ask::<()>(old.number(), &order)?;
    } else {
        fleet.coordinators[leader].order::<()>(&order)?;
    }
    if when == When::Running {
        fleet.coordinators[moved].kill()?;
    }
    let line = fleet.coordinators[moved].member_line(moved + 1);
    for coordinator in &fleet.coordinators {
        coordinator.remove_directives(&format!("bellwether member {id} "))?;
        coordinator.add_directives(std::slice::from_ref(&line))?;
    }
    fleet.coordinators[moved].restart()?;
    fleet.wait_stable()?;
    let address = format!("address=127.0.0.1:{new},");
    for coordinator in &fleet.coordinators {
        wait_for("the new address on all", LOG_LIMIT, || {
            let text: String = coordinator.ask(&["INFO", "raft"])?;
            ensure!(text.contains(&address), "{} has {text}", coordinator.name());
            Ok(())
        })?;
    }

    // It counts: with it and one other there is a majority.
    let leader = fleet.wait_log_leader()?;
    let gone = if leader == moved { (moved + 1) % 3 } else { leader };
    fleet.coordinators[gone].kill()?;
    fleet.servers[0].kill()?;
    let second = fleet.wait_moved_from(0)?;
    fleet.servers[0].restart()?;
    // Which has the new line in its configuration by now.
    fleet.coordinators[gone].restart()?;
    fleet.wait_stable()?;
    fleet.wait_same_history()?;

    // All start from the new lines, and go on.
    for coordinator in &mut fleet.coordinators {
        coordinator.kill()?;
    }
    for coordinator in &mut fleet.coordinators {
        coordinator.spawn()?;
    }
    for coordinator in &mut fleet.coordinators {
        coordinator.wait_ready()?;
    }
    let settled = fleet.wait_stable()?;
    ensure!(
        settled == second,
        "server-{settled} took over from server-{second}"
    );
    fleet.servers[second].kill()?;
    fleet.wait_moved_from(second)?;
    fleet.finish()
}
