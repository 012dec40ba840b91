//! Users with no more rights than they need: other sentinels, redis-cli and redis-py work with them through a failover.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bellwether_tests::client_script::installed;
use bellwether_tests::fleet::SERVER_PASSWORD;
use bellwether_tests::{Coordinator, Fleet, GROUP, Kind, Options, wait_for};

const CLIENT_PASSWORD: &str = "client-secret";
const PEER_PASSWORD: &str = "peer-secret";

/// What a client library sends to a sentinel.
const CLIENT_RULES: &str = "+ping +hello +auth +client|setname +client|setinfo +client|id +info +role +subscribe \
    +psubscribe +unsubscribe +punsubscribe +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters \
    +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|ckquorum +sentinel|myid allchannels";

/// What a sentinel sends to another one.
const PEER_RULES: &str =
    "+ping +client|setname +publish +sentinel|is-master-down-by-addr &__sentinel__:hello";

/// Long enough for links to be made and to say who they are.
const LINKS_LIMIT: Duration = Duration::from_secs(20);

/// Writes and reads as a user that it gets by arguments.
const REDIS_PY: &str = "
import sys
from redis.sentinel import Sentinel
group, password, server_password, value, *ports = sys.argv[1:]
sentinel = Sentinel([('127.0.0.1', int(port)) for port in ports], socket_timeout=5, password=server_password,
                    sentinel_kwargs={'username': 'client', 'password': password})
primary = sentinel.master_for(group)
primary.set('written', value)
assert primary.get('written') == value.encode()
assert sentinel.discover_slaves(group)
";

#[test]
fn users_with_few_rights_are_enough() -> Result<()> {
    through_a_failover(with_users(Options::from_env()?))
}

#[test]
fn users_with_few_rights_are_enough_in_a_mixed_fleet() -> Result<()> {
    let kinds = [Kind::Bellwether, Kind::RedisSentinel, Kind::Bellwether];
    through_a_failover(with_users(Options::mixed(&kinds)))
}

#[test]
fn a_user_made_at_run_time_is_there_after_a_restart() -> Result<()> {
    let mut fleet = Fleet::start(with_users(Options::from_env()?))?;
    let coordinator = &mut fleet.coordinators[0];
    coordinator.ask::<()>(&["ACL", "SETUSER", "late", "on", ">late-secret", "+ping"])?;
    coordinator.ask::<()>(&["ACL", "SETUSER", "client", "-ping"])?;
    coordinator.ask::<()>(&["SENTINEL", "FLUSHCONFIG"])?;
    let text = coordinator.config_text()?;
    ensure!(
        !text.contains("late-secret"),
        "the password is in the file:\n{text}"
    );
    coordinator.terminate()?;
    coordinator.restart()?;
    ensure!(redis_cli(coordinator, "late", "late-secret", &["PING"])? == "PONG");
    let refused = redis_cli(coordinator, "client", CLIENT_PASSWORD, &["PING"])?;
    ensure!(
        refused.starts_with("NOPERM"),
        "PING of a user without it gives {refused}"
    );
    fleet.finish()
}

fn with_users(options: Options) -> Options {
    let mut options = options.with_passwords();
    // Redis before 7.2 does not know this command, and libraries do without it.
    let unknown = match options.kinds.contains(&Kind::RedisSentinel) || options.kind == Kind::RedisSentinel {
        true => "+client|setinfo ",
        false => "",
    };
    let client_rules = CLIENT_RULES.replacen(unknown, "", 1);
    options.coordinator_config.extend([
        format!("user client on >{CLIENT_PASSWORD} {client_rules}"),
        format!("user peer on >{PEER_PASSWORD} {PEER_RULES}"),
        "sentinel sentinel-user peer".to_owned(),
        format!("sentinel sentinel-pass {PEER_PASSWORD}"),
    ]);
    options
}

fn through_a_failover(options: Options) -> Result<()> {
    let mut fleet = Fleet::start(options)?;
    for coordinator in &fleet.coordinators {
        wait_for("peers that are the user made for them", LINKS_LIMIT, || {
            peers_are_users(coordinator)
        })?;
        let address = redis_cli(
            coordinator,
            "client",
            CLIENT_PASSWORD,
            &["SENTINEL", "get-master-addr-by-name", GROUP],
        )?;
        let port = fleet.servers[0].port();
        ensure!(
            address == format!("127.0.0.1\n{port}"),
            "the address is {address}"
        );
        let refused = redis_cli(
            coordinator,
            "client",
            CLIENT_PASSWORD,
            &["SENTINEL", "RESET", GROUP],
        )?;
        ensure!(refused.starts_with("NOPERM"), "RESET gives {refused}");
    }
    redis_py(&fleet, "before")?;
    fleet.servers[0].kill()?;
    fleet.wait_moved_from(0)?;
    redis_py(&fleet, "after")?;
    fleet.finish()
}

/// Whether every connection of another sentinel is that of the user `peer`.
fn peers_are_users(coordinator: &Coordinator) -> Result<()> {
    let list: String = coordinator.ask(&["CLIENT", "LIST"])?;
    let peers: Vec<&str> = list
        .lines()
        .filter(|line| line.contains(" name=sentinel-"))
        .collect();
    ensure!(peers.len() >= 2, "not all peers are connected:\n{list}");
    ensure!(
        peers.iter().all(|line| line.contains(" user=peer ")),
        "a peer is somebody else:\n{list}"
    );
    Ok(())
}

fn redis_cli(coordinator: &Coordinator, user: &str, password: &str, words: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &coordinator.port().to_string()])
        .args(["--user", user, "--pass", password, "--no-auth-warning"])
        .args(words)
        .output()
        .context("starting redis-cli (Debian package redis-tools)")?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn redis_py(fleet: &Fleet, value: &str) -> Result<()> {
    let ports = fleet.coordinators.iter().map(|each| each.port().to_string());
    let output = Command::new(installed("venv/bin/python")?)
        .args(["-c", REDIS_PY, GROUP, CLIENT_PASSWORD, SERVER_PASSWORD, value])
        .args(ports)
        .output()
        .context("starting Python")?;
    ensure!(
        output.status.success(),
        "redis-py could not write {value}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
