//! The piece itself, act by act.
//!
//! Every wait is for a condition and bounded; on the first thing that does not come the piece ends with an
//! error that names it.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::{
    Coordination, Ending, checks,
    coordinator::{Coordinator, Settings},
    events::Events,
    ports,
    server::{Role, Server},
    stage::Stage,
    timeline::Timeline,
    wait::{Pending, until},
    writer::Writer,
};
use crate::{
    connect::HostPort,
    output::{Style, plural},
};

/// Until everything runs and knows each other. A Redis Sentinel needs some 12 s, since it asks for INFO each 10 s.
const START_LIMIT: Duration = Duration::from_secs(40);

/// Until a failover is over, beyond twice down-after: room for a lost election and one more failover-timeout.
const FAILOVER_LIMIT: Duration = Duration::from_secs(60);

/// Until the old primary is a replica. A Redis Sentinel takes 8 to 20 s to notice.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// Until the client has begun, or one more write is confirmed.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Writes before the kill: half a second of them, so that there is something to lose.
const WARM_UP_WRITES: usize = 100;

pub(super) async fn play(stage: &mut Stage) -> anyhow::Result<Ending> {
    announce(stage)?;
    start_servers(stage).await?;
    start_coordinators(stage).await?;
    let events = Events::watch(&stage.coordinators).await?;
    let writer = Writer::start(
        stage
            .coordinators
            .iter()
            .map(|coordinator| coordinator.at.clone())
            .collect(),
    );
    let old = stage.servers[0].at.clone();
    warm_up(stage, &writer).await?;

    let killed = kill_primary(stage).await?;
    let new = failover(stage, &events, &writer, killed).await?;
    let first_write = writer
        .first_at(new.port, killed)
        .context("no write at the new primary")?;
    show_timeline(stage, &events, killed, &new, first_write.at)?;

    return_of_old(stage, &new).await?;
    let goes_on = wait_for_write(stage, &writer, &new, Instant::now()).await;
    let writes = writer.finish().await;
    let losses = checks::losses(&writes, &new, &old).await;
    let results = [
        checks::roles(&stage.servers, &new).await,
        checks::addresses(&stage.coordinators, &new).await,
        checks::writing(goes_on.map_err(|error| error.to_string())),
        checks::kept(&losses),
    ];
    let out = stage.tell.out;
    out.line("")?;
    for check in &results {
        out.line(check.line(out))?;
    }
    let total = first_write.at.saturating_duration_since(killed).as_millis();
    verdict(stage, total)?;
    Ok(if results.iter().all(checks::Check::is_good) {
        Ending::AsItShould
    } else {
        Ending::Otherwise
    })
}

fn announce(stage: &Stage) -> anyhow::Result<()> {
    let Stage {
        options,
        program,
        binary,
        tell,
        ..
    } = stage;
    let with = binary
        .foreign_name()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    let with = match options.coordination {
        Coordination::Vote => with,
        Coordination::Raft => " with a shared log".to_owned(),
    };
    let heading = format!(
        "{}{with}, 1 primary, {}: {program}",
        plural(options.coordinators.into(), "coordinator"),
        plural(options.replicas.into(), "replica"),
    );
    tell.out.line(tell.out.paint(Style::Bold, heading))?;
    if matches!(program, super::server::Program::StandIn) && !options.stand_in {
        tell.out
            .line("(neither redis-server nor valkey-server is in PATH; REDIS_SERVER can name one)")?;
    }
    tell.out.line("")?;
    Ok(())
}

async fn start_servers(stage: &mut Stage) -> anyhow::Result<()> {
    let ports = ports::free(usize::from(stage.options.replicas) + 1)?;
    let (dir, primary) = (stage.dir.path(), ports[0]);
    for port in ports {
        let follows = (port != primary).then_some(primary);
        stage
            .servers
            .push(Server::start(&stage.program, port, follows, dir)?);
        if follows.is_none() {
            // Its replicas would look for it again after a second only.
            let servers = &mut stage.servers;
            until(stage.tell, "starting the primary", START_LIMIT, async || {
                all_in_sync(servers, 0).await
            })
            .await?;
        }
    }
    let servers = &mut stage.servers;
    until(stage.tell, "starting the replicas", START_LIMIT, async || {
        all_in_sync(servers, 0).await
    })
    .await?;
    let (primary, replicas) = (&stage.servers[0].at, &stage.servers[1..]);
    let replicas: Vec<_> = replicas.iter().map(|server| server.at.to_string()).collect();
    stage.tell.step(format_args!(
        "primary {primary}, replicas in sync {}",
        replicas.join(" ")
    ))?;
    Ok(())
}

async fn start_coordinators(stage: &mut Stage) -> anyhow::Result<()> {
    let count = stage.options.coordinators;
    let ports = ports::free(usize::from(count))?;
    let members = match stage.options.coordination {
        Coordination::Vote => Vec::new(),
        Coordination::Raft => ports.clone(),
    };
    let settings = Settings {
        primary: stage.servers[0].at.port,
        quorum: count / 2 + 1,
        down_after_ms: stage.options.down_after,
        members,
    };
    for (number, port) in (1u8..).zip(ports) {
        let name = format!("c{number}");
        let coordinator = Coordinator::start(&stage.binary, name, port, &settings, stage.dir.path())?;
        stage.coordinators.push(coordinator);
    }
    let (replicas, peers) = (usize::from(stage.options.replicas), usize::from(count) - 1);
    let coordinators = &mut stage.coordinators;
    until(
        stage.tell,
        "coordinators get to know everyone",
        START_LIMIT,
        async || {
            for coordinator in coordinators.iter_mut() {
                coordinator.knows(replicas, peers).await?;
            }
            Ok(())
        },
    )
    .await?;
    let names: Vec<_> = stage
        .coordinators
        .iter()
        .map(|known| format!("{} {}", known.name, known.at))
        .collect();
    stage.tell.step(format_args!(
        "coordinators know each other and all replicas: {}",
        names.join(", ")
    ))?;
    Ok(())
}

/// The server at `primary` is a primary and all others that run follow it.
async fn all_in_sync(servers: &mut [Server], primary: usize) -> Result<(), Pending> {
    let at = servers[primary].at.clone();
    for (index, server) in servers.iter_mut().enumerate() {
        if let Some(status) = server.process.ended() {
            return Err(Pending::Never(format!("{} has ended: {status}", server.at)));
        }
        let role = server
            .role()
            .await
            .map_err(|error| Pending::NotYet(format!("{}: {error:#}", server.at)))?;
        let problem = if index == primary {
            (role != Role::Primary).then(|| "is a replica".to_owned())
        } else {
            role.follows(&at).err()
        };
        if let Some(problem) = problem {
            return Err(Pending::NotYet(format!("{} {problem}", server.at)));
        }
    }
    Ok(())
}

/// Lets the client write for a while.
async fn warm_up(stage: &Stage, writer: &Writer) -> anyhow::Result<()> {
    until(
        stage.tell,
        "the client writes",
        WRITE_LIMIT,
        async || match writer.count() {
            count if count >= WARM_UP_WRITES => Ok(()),
            count => Err(Pending::NotYet(format!(
                "{count} of {WARM_UP_WRITES} writes confirmed"
            ))),
        },
    )
    .await?;
    let text = format!("a client asks for the primary and writes every 5 ms, {WARM_UP_WRITES} writes so far");
    stage.tell.step(text)?;
    Ok(())
}

async fn wait_for_write(stage: &Stage, writer: &Writer, at: &HostPort, since: Instant) -> anyhow::Result<()> {
    until(
        stage.tell,
        "a write is confirmed",
        WRITE_LIMIT,
        async || match writer.first_at(at.port, since) {
            Some(_) => Ok(()),
            None => Err(Pending::NotYet(format!("none by {at}"))),
        },
    )
    .await
}

/// Kills the primary; gives the moment just before.
async fn kill_primary(stage: &mut Stage) -> anyhow::Result<Instant> {
    let primary = &mut stage.servers[0];
    let killed = Instant::now();
    primary.process.kill().await?;
    let what = format!(
        "kill -9 of the primary {}, down-after is {} ms",
        primary.at, stage.options.down_after
    );
    stage.tell.step(stage.tell.out.paint(Style::Bad, what))?;
    Ok(killed)
}

/// Waits until the failover is over in every respect; gives the new primary.
async fn failover(
    stage: &Stage,
    events: &Events,
    writer: &Writer,
    killed: Instant,
) -> anyhow::Result<HostPort> {
    let limit = Duration::from_millis(stage.options.down_after.into()) * 2 + FAILOVER_LIMIT;
    until(stage.tell, "failover", limit, async || {
        let announced = events.publishers("+switch-master", killed);
        if announced.len() < stage.coordinators.len() {
            let silent: Vec<_> = names(stage, |index| !announced.contains(&index));
            return Err(Pending::NotYet(format!(
                "no +switch-master by {}",
                silent.join(", ")
            )));
        }
        if events.publishers("+failover-end", killed).is_empty() {
            return Err(Pending::not_yet("no +failover-end"));
        }
        let new = stage.coordinators[0].primary().await.map_err(Pending::not_yet)?;
        if writer.first_at(new.port, killed).is_none() {
            return Err(Pending::NotYet(format!("no write confirmed by {new}")));
        }
        for server in &stage.servers[1..] {
            let role = server.role().await.map_err(Pending::not_yet)?;
            if server.at != new {
                role.follows(&new)
                    .map_err(|problem| Pending::NotYet(format!("{} {problem}", server.at)))?;
            }
        }
        Ok(new)
    })
    .await
}

fn names(stage: &Stage, which: impl Fn(usize) -> bool) -> Vec<String> {
    let coordinators = stage.coordinators.iter().enumerate();
    coordinators
        .filter(|(index, _)| which(*index))
        .map(|(_, coordinator)| coordinator.name.clone())
        .collect()
}

fn show_timeline(
    stage: &Stage,
    events: &Events,
    killed: Instant,
    new: &HostPort,
    first_write: Instant,
) -> anyhow::Result<()> {
    let mut timeline = Timeline::new(killed, names(stage, |_| true), &events.since(killed));
    timeline.note(format!("{} killed", stage.servers[0].at), killed);
    timeline.note(format!("{new} confirms its first write"), first_write);
    stage.tell.out.line("")?;
    for line in timeline.lines(stage.tell.out) {
        stage.tell.out.line(line)?;
    }
    stage.tell.out.line("")?;
    Ok(())
}

/// Starts the old primary again, as a primary, and waits until it has been made a replica.
async fn return_of_old(stage: &mut Stage, new: &HostPort) -> anyhow::Result<()> {
    let dir = stage.dir.path().to_owned();
    stage.servers[0].restart(&dir)?;
    let start = Instant::now();
    stage.tell.step(format_args!(
        "{} is started again and takes itself for a primary",
        stage.servers[0].at
    ))?;
    let position = stage.servers.iter().position(|server| server.at == *new);
    let primary = position.with_context(|| format!("{new} is none of our servers"))?;
    let Stage {
        servers,
        coordinators,
        tell,
        ..
    } = stage;
    until(
        *tell,
        "the old primary becomes a replica",
        RETURN_LIMIT,
        async || {
            all_in_sync(servers, primary).await?;
            for coordinator in coordinators.iter() {
                let down = coordinator.replicas_down().await.map_err(Pending::not_yet)?;
                if !down.is_empty() {
                    return Err(Pending::NotYet(format!(
                        "{} holds {} to be down",
                        coordinator.name,
                        down.join(", ")
                    )));
                }
            }
            Ok(())
        },
    )
    .await?;
    let ms = start.elapsed().as_millis();
    tell.step(format_args!(
        "{} follows {new}, {ms} ms after its start",
        servers[0].at
    ))?;
    Ok(())
}

fn verdict(stage: &Stage, total_ms: u128) -> anyhow::Result<()> {
    let over = total_ms.saturating_sub(stage.options.down_after.into());
    let text =
        format!("writes were accepted again {total_ms} ms after the kill, {over} ms beyond down-after");
    stage
        .tell
        .out
        .line(format_args!("\n{}", stage.tell.out.paint(Style::Bold, text)))?;
    Ok(())
}
