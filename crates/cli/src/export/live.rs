//! From a running sentinel of any kind, by what all of them answer.

use std::{collections::HashMap, fmt::Write, time::Duration};

use anyhow::{Context, anyhow};
use bellwether_conf::quote;
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};

use super::Export;
use crate::connect::{Credentials, HostPort, Limits, connect, explain};

/// A person waits. Generous for 10,000 groups.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    answer: Duration::from_secs(10),
};

/// Options of a group that SENTINEL MASTER shows, under the names of their directives.
const OPTIONS: [&str; 3] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs"];
/// Scripts, shown where there are any.
const SCRIPTS: [&str; 2] = ["notification-script", "client-reconfig-script"];

type Fields = HashMap<String, String>;

pub(super) async fn export(at: &HostPort, credentials: &Credentials) -> anyhow::Result<Export> {
    let connection = connect(at, credentials, LIMITS)
        .await
        .map_err(|error| anyhow!(explain(at, &error)))?;
    let mut sentinel = Asked { connection, at };
    let my_id: String = sentinel.ask(&["MYID"]).await?;
    let mut text = format!(
        "# Exported by bellwether from the sentinel at {at}\nport {}\n",
        at.port
    );
    let mut current_epoch = 0;
    let mut groups: Vec<Fields> = sentinel.ask(&["MASTERS"]).await?;
    groups.sort_by(|a, b| a.get("name").cmp(&b.get("name")));
    let mut lines = Lines::default();
    for group in &groups {
        current_epoch = current_epoch.max(lines.group(&mut sentinel, &my_id, group).await?);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "sentinel myid {}", quote(&my_id));
    if lines.has_names {
        text.push_str("sentinel resolve-hostnames yes\n");
    }
    text.push_str(&lines.text);
    let _ = writeln!(text, "sentinel current-epoch {current_epoch}");
    let notes = vec![
        format!("{at} must be stopped before another sentinel starts with its id"),
        "passwords, users, renamed commands and what concerns the process (bind, dir, TLS, announced addresses) \
         cannot be asked for: add them by hand"
            .to_owned(),
    ];
    Ok(Export {
        text,
        notes,
        secrets: Vec::new(),
    })
}

/// A sentinel that answers questions.
struct Asked<'a> {
    connection: MultiplexedConnection,
    at: &'a HostPort,
}

impl Asked<'_> {
    async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> anyhow::Result<T> {
        cmd("SENTINEL")
            .arg(words)
            .query_async(&mut self.connection)
            .await
            .map_err(|error| anyhow!(explain(self.at, &error)))
    }
}

#[derive(Default)]
struct Lines {
    text: String,
    has_names: bool,
}

impl Lines {
    /// All of one group; gives the highest epoch in it.
    async fn group(&mut self, sentinel: &mut Asked<'_>, my_id: &str, group: &Fields) -> anyhow::Result<u64> {
        let name = field(group, "name")?;
        let (host, port) = (field(group, "ip")?, field(group, "port")?);
        self.instance("monitor", name, host, port, field(group, "quorum")?);
        for option in OPTIONS {
            self.line(option, &[name, field(group, option)?]);
        }
        for script in SCRIPTS {
            if let Some(path) = group.get(script) {
                self.line(script, &[name, path]);
            }
        }
        let config_epoch: u64 = field(group, "config-epoch")?.parse()?;
        self.line("config-epoch", &[name, &config_epoch.to_string()]);
        // Asked for its vote of epoch 0, which is past for ever, a sentinel tells the last one that it gave. Without
        // that epoch it could vote a second time in it.
        let (_, _, vote_epoch): (i64, String, u64) = sentinel
            .ask(&["IS-MASTER-DOWN-BY-ADDR", host, port, "0", my_id])
            .await?;
        self.line("leader-epoch", &[name, &vote_epoch.to_string()]);
        for replica in sentinel.ask::<Vec<Fields>>(&["REPLICAS", name]).await? {
            self.instance(
                "known-replica",
                name,
                field(&replica, "ip")?,
                field(&replica, "port")?,
                "",
            );
        }
        for other in sentinel.ask::<Vec<Fields>>(&["SENTINELS", name]).await? {
            // One that was named by an operator and never heard of has no id yet.
            if let Some(id) = other.get("runid").filter(|id| !id.is_empty()) {
                self.instance(
                    "known-sentinel",
                    name,
                    field(&other, "ip")?,
                    field(&other, "port")?,
                    id,
                );
            }
        }
        Ok(config_epoch.max(vote_epoch))
    }

    fn instance(&mut self, directive: &str, name: &str, host: &str, port: &str, last: &str) {
        self.has_names |= host.parse::<std::net::IpAddr>().is_err();
        let words = [name, host, port, last];
        self.line(directive, if last.is_empty() { &words[..3] } else { &words });
    }

    fn line(&mut self, directive: &str, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| quote(word).to_string()).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "sentinel {directive} {}", words.join(" "));
    }
}

fn field<'a>(fields: &'a Fields, name: &str) -> anyhow::Result<&'a str> {
    let value = fields
        .get(name)
        .with_context(|| format!("the sentinel does not tell {name}"))?;
    Ok(value)
}
