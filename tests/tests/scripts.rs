//! Scripts of operators around a failover: what they are told, by us and by the reference.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bellwether_tests::{Fleet, GROUP, Kind, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn scripts_are_told_what_the_reference_tells() -> Result<()> {
    let ours = told(Kind::Bellwether)?;
    let theirs = told(Kind::RedisSentinel)?;
    ensure!(ours == theirs, "here: {ours:#?}\nreference: {theirs:#?}");
    Ok(())
}

/// What the script for clients was told, and some of what the one for events was, with ports named.
fn told(kind: Kind) -> Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let (events, changes) = (dir.path().join("events"), dir.path().join("changes"));
    let notify = script(dir.path(), "notify", &events)?;
    let reconfigure = script(dir.path(), "reconfigure", &changes)?;
    let mut fleet = Fleet::start(Options {
        coordinators: 1,
        quorum: 1,
        replicas: 1,
        coordinator_config: vec!["sentinel deny-scripts-reconfig no".to_owned()],
        ..Options::of(kind)
    })?;
    let ask = |words: &[&str]| fleet.coordinators[0].ask::<()>(words);
    ask(&["SENTINEL", "SET", GROUP, "notification-script", &notify])?;
    ask(&["SENTINEL", "SET", GROUP, "client-reconfig-script", &reconfigure])?;
    ask(&["SENTINEL", "FAILOVER", GROUP])?;
    fleet.wait_moved_from(0)?;
    let level = |line: &str| {
        let ports = [(&fleet.servers[0], "<first>"), (&fleet.servers[1], "<second>")];
        let leveled = ports.iter().fold(line.to_owned(), |line, (server, name)| {
            line.replace(&server.port().to_string(), name)
        });
        leveled.replace(&dir.path().display().to_string(), "<dir>")
    };
    let mut told: Vec<String> = wait_for("the script for clients", LIMIT, || {
        let lines = lines(&changes);
        ensure!(lines.len() == 1, "{lines:?}");
        Ok(lines.iter().map(|line| level(line)).collect())
    })?;
    // A script that was just set hears of that already. It also hears of the other one; as scripts run side by side, either
    // line may be the first.
    for (event, word) in [
        ("+set", " notification-script "),
        ("+elected-leader", ""),
        ("+promoted-slave", ""),
        ("+switch-master", ""),
    ] {
        let begins = format!("{event}|");
        let line = wait_for(event, LIMIT, || {
            let lines = lines(&events);
            let line = lines
                .iter()
                .find(|line| line.starts_with(&begins) && line.contains(word));
            line.cloned().with_context(|| format!("{lines:?}"))
        })?;
        told.push(level(&line));
    }
    fleet.finish()?;
    Ok(told)
}

/// A script that writes its words into a file, one line each time.
fn script(dir: &Path, name: &str, out: &Path) -> Result<String> {
    let path = dir.join(name);
    let text = format!(
        "#!/bin/sh\nline=\nfor word; do line=\"$line$word|\"; done\necho \"$line\" >>{}\n",
        out.display()
    );
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
