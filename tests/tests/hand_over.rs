//! A planned switch whose target is gone at the last moment: the primary follows it already, and would wait for it without
//! an end.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bellwether_tests::{Fleet, GROUP, Kind, Options, Role, wait_for};
use redis::Connection;

/// Within this time the coordinator that ordered the switch has given it up: two seconds of silence, and the rest for a
/// machine that is busy. The server by itself would never.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);
/// Within this time the others have freed the primary if that one is gone: they look at it every 10 s, and wait 11 s at
/// most. The rest is for a machine that is busy.
const FREED_WITHIN: Duration = Duration::from_secs(45);

#[test]
fn a_target_that_hangs_at_the_last_moment_costs_seconds() -> Result<()> {
    let mut stuck = Stuck::order()?;
    stuck.fleet.servers[stuck.target].pause()?;
    stuck.takes_writes(GIVEN_UP_WITHIN)?;
    stuck.recovers()
}

#[test]
fn a_target_that_dies_at_the_last_moment_costs_seconds() -> Result<()> {
    let mut stuck = Stuck::order()?;
    stuck.fleet.servers[stuck.target].kill()?;
    stuck.takes_writes(GIVEN_UP_WITHIN)?;
    stuck.fleet.servers[stuck.target].restart()?;
    stuck.fleet.wait_stable()?;
    stuck.fleet.write("after", "all")?;
    stuck.fleet.finish()
}

#[test]
fn a_primary_that_the_leader_has_left_stuck_is_freed() -> Result<()> {
    let mut stuck = Stuck::order()?;
    stuck.fleet.servers[stuck.target].pause()?;
    stuck.fleet.coordinators[0].kill()?;
    stuck.takes_writes(FREED_WITHIN)?;
    stuck.fleet.coordinators[0].restart()?;
    stuck.recovers()
}

/// A fleet of two servers where the primary waits for its replica to take over.
struct Stuck {
    fleet: Fleet,
    primary: usize,
    target: usize,
    /// From before the target stopped to take new connections.
    connection: Connection,
}

impl Stuck {
    /// The target acknowledges what it gets and takes no new connection, so that the hand-over gets as far as it can.
    fn order() -> Result<Self> {
        let mut fleet = Fleet::start(Options {
            replicas: 1,
            ..Options::of(Kind::Bellwether)
        })?;
        let primary = fleet.settled()?;
        let target = 1 - primary;
        let mut connection = fleet.servers[target].connect()?;
        listen_on(&mut connection, "127.0.0.2")?;
        wait_for("the hand-over", Duration::from_secs(20), || {
            // Refused while one is under way. One that came to nothing on a busy machine is ordered again.
            let _ = fleet.coordinators[0].ask::<String>(&["SENTINEL", "FAILOVER", GROUP, "COORDINATED"]);
            let info = fleet.servers[primary].info()?;
            match info.get("master_failover_state").map(|state| state.trim()) {
                Some("failover-in-progress") => Ok(()),
                state => bail!("the state is {state:?}"),
            }
        })?;
        Ok(Self {
            fleet,
            primary,
            target,
            connection,
        })
    }

    /// The primary is one again within this time, and nobody was told of another.
    fn takes_writes(&mut self, limit: Duration) -> Result<()> {
        let server = &self.fleet.servers[self.primary];
        wait_for("a write on the old primary", limit, || {
            server.ask::<String>(&["SET", "written", "again"])
        })?;
        ensure!(server.role()? == Role::Primary, "it took a write as a replica");
        let port = self.fleet.coordinators[1].primary_port()?;
        ensure!(port == server.port(), "port {port} is named");
        Ok(())
    }

    /// The target comes back, as a replica.
    fn recovers(mut self) -> Result<()> {
        self.fleet.servers[self.target].resume()?;
        listen_on(&mut self.connection, "127.0.0.1")?;
        let settled = self.fleet.wait_stable()?;
        ensure!(settled == self.primary, "server-{settled} is the primary");
        self.fleet.write("after", "all")?;
        let refused = self.fleet.journal.events();
        let refused = refused.iter().find(|event| event.name == "-reconf-refused");
        ensure!(refused.is_none(), "{refused:?}");
        self.fleet.finish()
    }
}

fn listen_on(connection: &mut Connection, address: &str) -> Result<()> {
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg("bind").arg(address);
    command
        .exec(connection)
        .with_context(|| format!("listening on {address}"))
}
