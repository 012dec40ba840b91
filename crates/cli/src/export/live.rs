//! From a running sentinel of any kind, by what all of them answer.

use std::{collections::HashMap, fmt::Write, time::Duration};

use anyhow::{Context, anyhow};
use bellwether_conf::quote;
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};

use super::Export;
use crate::{
    connect::Limits,
    target::{Place, Target},
};

/// A person waits. Generous for 10,000 groups.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    answer: Duration::from_secs(10),
};

/// What a user of the sentinel must be allowed to do.
pub(super) const RIGHTS: &str = "+sentinel|myid +sentinel|masters +sentinel|replicas +sentinel|sentinels \
                                 +sentinel|is-master-down-by-addr";

/// Options of a group that SENTINEL MASTER shows, under the names of their directives.
const OPTIONS: [&str; 3] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs"];
/// Scripts, shown where there are any.
const SCRIPTS: [&str; 2] = ["notification-script", "client-reconfig-script"];

type Fields = HashMap<String, String>;

pub(super) async fn export(target: &Target) -> anyhow::Result<Export> {
    let connection = match target.connect(LIMITS).await {
        Ok(connection) => connection,
        Err(error) => return Err(anyhow!(target.explain(&error).await)),
    };
    let mut sentinel = Asked { connection, target };
    let my_id: String = sentinel.ask(&["MYID"]).await?;
    let mut text = format!("# Exported by bellwether from the sentinel at {target}\n");
    // Writing to a String cannot fail.
    let _ = match target.place() {
        Place::Tcp(at) if target.tls().is_some() => writeln!(text, "port 0\ntls-port {}", at.port),
        Place::Tcp(at) => writeln!(text, "port {}", at.port),
        Place::Unix(path) => writeln!(text, "unixsocket {}", quote(&path.to_string_lossy())),
    };
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
        format!("{target} must be stopped before another sentinel starts with its id"),
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
    target: &'a Target,
}

impl Asked<'_> {
    async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> anyhow::Result<T> {
        let answer = cmd("SENTINEL").arg(words).query_async(&mut self.connection).await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(anyhow!(self.target.explain(&error).await)),
        }
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
