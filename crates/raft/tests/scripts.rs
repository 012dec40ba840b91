//! Text scripts: one file for each situation in `testdata/`, commands at the margin, what came of them indented.
//!
//! `UPDATE=1` rewrites the indented lines; read the difference before keeping it. The commands are in `play`.

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;
#[allow(dead_code, reason = "other tests use the rest")]
mod forge;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bellwether_raft::Change;
use cluster::Cluster;

const INDENT: &str = "  ";

#[test]
fn scripts_come_out_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for path in scripts() {
        let written = std::fs::read_to_string(&path).expect("a script is text");
        let actual = play_all(&path, &written);
        if actual != written {
            if update {
                std::fs::write(&path, &actual).expect("the script can be rewritten");
            }
            let mut pairs = written.lines().zip(actual.lines()).enumerate();
            let first = pairs.find(|(_, (written, actual))| written != actual);
            differing.push(format!("{}: {first:?}", path.display()));
        }
    }
    assert!(update || differing.is_empty(), "{}", differing.join("\n"));
}

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let entries = std::fs::read_dir(dir).expect("the directory of scripts");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry of it").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn play_all(path: &Path, script: &str) -> String {
    let mut cluster = Cluster::new(1);
    let mut text = String::new();
    for (index, line) in script.lines().enumerate() {
        if line.starts_with(INDENT) {
            continue;
        }
        writeln!(text, "{line}").expect("writing to a string");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Err(problem) = play(&mut cluster, &words) {
            panic!("{}:{}: {line}: {problem}", path.display(), index + 1);
        }
        for line in cluster.take_output() {
            writeln!(text, "{INDENT}{line}").expect("writing to a string");
        }
    }
    text
}

/// Carries out one command.
fn play(cluster: &mut Cluster, words: &[&str]) -> Result<(), String> {
    match *words {
        ["found", count] => cluster.found(number(count)?),
        ["founders", ref ids @ ..] => {
            let ids: Result<Vec<u64>, String> = ids.iter().map(|id| member(id)).collect();
            cluster.name_founders(ids?);
        }
        ["run", millis] => cluster.run(number(millis)?),
        ["start", id] => {
            if let Err(problem) = cluster.start(member(id)?) {
                cluster.say(&format!("{id} does not start: {problem}"));
            }
        }
        ["crash", id] => cluster.crash(member(id)?, false),
        ["wipe", id] => {
            let disk = &mut cluster
                .members
                .get_mut(&member(id)?)
                .ok_or("no such member")?
                .disk;
            *disk = cluster::Disk::new();
            disk.lost = true;
        }
        // Unlike `wipe` it does not show that there was anything: it founds once more.
        ["empty", id] => {
            let member = cluster.members.get_mut(&member(id)?).ok_or("no such member")?;
            member.disk = cluster::Disk::new();
        }
        ["cut", id] => {
            let others: Vec<u64> = cluster.members.keys().copied().collect();
            others
                .iter()
                .for_each(|other| cluster.cut(member(id).unwrap_or(0), *other));
            member(id)?;
        }
        ["cut", left, right] => cluster.cut(member(left)?, member(right)?),
        ["deafen", id, to] => cluster.cut_one_way(member(to)?, member(id)?),
        ["heal"] => cluster.heal(),
        ["loss", percent] => cluster.loss = number(percent)?,
        ["delay", least, most] => cluster.delay = (number(least)?, number(most)?),
        ["disk", id, millis] => {
            cluster
                .members
                .get_mut(&member(id)?)
                .ok_or("no such member")?
                .disk
                .takes = number(millis)?;
        }
        ["part", bytes] => {
            cluster.settings.snapshot_part = usize::try_from(number(bytes)?).expect("a length")
        }
        ["parts"] => {
            let parts = std::mem::take(&mut cluster.parts);
            cluster.say(&format!("{parts} parts of snapshots were sent"));
        }
        ["keep", entries] => cluster.settings.keep_entries = number(entries)?,
        ["propose", id, token, text] => {
            let token = number(token)?;
            let payload = text.as_bytes().to_vec();
            cluster
                .call(member(id)?, |node, now| node.propose(now, payload, token))
                .ok_or("it is down")?;
        }
        ["change", id, token, ref change @ ..] => {
            let (token, change) = (number(token)?, read_change(change)?);
            cluster
                .call(member(id)?, |node, now| node.change(now, &change, token))
                .ok_or("it is down")?;
        }
        ["transfer", id, to] => transfer(cluster, member(id)?, Some(member(to)?))?,
        ["transfer", id] => transfer(cluster, member(id)?, None)?,
        ["order", id] => {
            cluster
                .call(member(id)?, |node, _| {
                    if let Some(until) = node.lease_until() {
                        node.ordered(until);
                    }
                })
                .ok_or("it is down")?;
        }
        ["unreachable", id, to] => {
            let to = member(to)?;
            cluster
                .call(member(id)?, |node, _| node.unreachable(to))
                .ok_or("it is down")?;
        }
        ["introduce", id, to] => {
            let id = member(id)?;
            cluster
                .call(member(to)?, |node, _| node.introduce(id))
                .ok_or("it is down")?;
        }
        ["snapshot", id] => {
            let taken = cluster.snapshot(member(id)?);
            let entries = cluster.members[&member(id)?].disk.entries();
            cluster.say(&format!(
                "{id} snapshot: {taken:?}, {entries} entries on its disk before"
            ));
        }
        ["forge", what, id] => forge::forge(cluster, what, member(id)?)?,
        ["leases"] => {
            let acting = cluster
                .leader()
                .map_or_else(|| "nobody".to_owned(), |id| format!("n{id}"));
            cluster.say(&format!("{acting} may act"));
        }
        ["logs"] => logs(cluster),
        ["status", id] => status(cluster, member(id)?)?,
        _ => return Err("no such command".to_owned()),
    }
    Ok(())
}

fn transfer(cluster: &mut Cluster, id: u64, to: Option<u64>) -> Result<(), String> {
    let result = cluster
        .call(id, |node, now| node.transfer(now, to))
        .ok_or("it is down")?;
    if let Err(problem) = result {
        cluster.say(&format!("n{id}: {problem}"));
    }
    Ok(())
}

fn logs(cluster: &mut Cluster) {
    let lines: Vec<_> = cluster
        .members
        .iter()
        .filter(|(_, member)| member.node.is_some())
        .map(|(id, member)| format!("n{id} has {}", member.state.join(" ")))
        .collect();
    lines.iter().for_each(|line| cluster.say(line));
}

fn status(cluster: &mut Cluster, id: u64) -> Result<(), String> {
    let member = cluster.members.get(&id).ok_or("no such member")?;
    let status = member.status(cluster.now).ok_or("it is down")?;
    cluster.say(&format!(
        "n{id} {:?} commit {} applied {} log {} to {} snapshot {} pending {} majority {:?}",
        status.role,
        status.commit,
        status.applied,
        status.first,
        status.last,
        status.snapshot,
        status.pending,
        status.majority_contact
    ));
    for member in status.members {
        cluster.say(&format!(
            "n{} at {} {} lag {:?} heard {:?}",
            member.id,
            member.address,
            if member.voter { "voter" } else { "learner" },
            member.lag,
            member.last_contact
        ));
    }
    Ok(())
}

fn read_change(words: &[&str]) -> Result<Change, String> {
    let address = |id: u64| format!("host{id}:1");
    Ok(match *words {
        ["add", id] => {
            let id = member(id)?;
            Change::Add {
                id,
                address: address(id),
            }
        }
        ["replace", old, id] => {
            let (old, id) = (member(old)?, member(id)?);
            Change::Replace {
                old,
                id,
                address: address(id),
            }
        }
        ["remove", id] => Change::Remove { id: member(id)? },
        ["move", id, address] => Change::Move {
            id: member(id)?,
            address: address.to_owned(),
        },
        _ => return Err("no such change".to_owned()),
    })
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn member(word: &str) -> Result<u64, String> {
    number(
        word.strip_prefix('n')
            .ok_or_else(|| format!("{word} is no member"))?,
    )
}
