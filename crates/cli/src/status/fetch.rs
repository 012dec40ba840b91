//! Asking: one sentinel for what it knows, then the primaries for the lag that only they know.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use redis::{RedisResult, aio::MultiplexedConnection, cmd, pipe};

use super::report::{Fields, Group, Replication, Report, trouble};
use bellwether_server::Caller;

use crate::{
    connect::{Credentials, HostPort, Limits, connect},
    log::{self, Log},
    target::{self, Target},
};

/// A person waits: a sentinel that needs longer is as good as hanging. Generous for 10,000 groups.
const SENTINEL_LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    answer: Duration::from_secs(10),
};

/// The lag is an extra: it is not worth much waiting.
const PRIMARY_LIMITS: Limits = Limits {
    connect: Duration::from_millis(500),
    answer: Duration::from_millis(500),
};

/// Groups asked about in one write: enough that round trips do not count, few enough that neither side
/// buffers many megabytes.
const GROUPS_PER_PIPELINE: usize = 100;

/// Primaries asked at the same time.
const PRIMARIES_AT_ONCE: usize = 32;

/// Asks a sentinel for its groups, or for those named in `only` if any are.
pub(super) async fn fetch(target: &Target, only: &[String]) -> RedisResult<Report> {
    let mut connection = target.connect(SENTINEL_LIMITS).await?;
    let mut primaries: Vec<Fields> = cmd("SENTINEL")
        .arg("MASTERS")
        .query_async(&mut connection)
        .await?;
    primaries.sort_by(|a, b| a.get("name").cmp(&b.get("name")));
    if !only.is_empty() {
        primaries.retain(|primary| primary.get("name").is_some_and(|name| only.contains(name)));
    }
    let mut groups = Vec::with_capacity(primaries.len());
    for chunk in primaries.chunks(GROUPS_PER_PIPELINE) {
        groups.extend(members(&mut connection, chunk).await?);
    }
    // A user may be allowed to list groups and nothing more; then the table is all that there is.
    let info: RedisResult<String> = cmd("INFO").arg("sentinel").query_async(&mut connection).await;
    let log = log::fetch(&mut connection).await?;
    let mut trouble = info.map(|info| trouble(&info)).unwrap_or_default();
    trouble.extend(log.iter().flat_map(Log::trouble));
    Ok(Report {
        sentinel: target.to_string(),
        trouble,
        log,
        groups,
    })
}

async fn members(connection: &mut MultiplexedConnection, primaries: &[Fields]) -> RedisResult<Vec<Group>> {
    let mut ask = pipe();
    for name in primaries.iter().filter_map(|primary| primary.get("name")) {
        ask.cmd("SENTINEL").arg("REPLICAS").arg(name);
        ask.cmd("SENTINEL").arg("SENTINELS").arg(name);
    }
    let answers: Vec<Vec<Fields>> = ask.query_async(connection).await?;
    let groups = primaries
        .iter()
        .zip(answers.chunks(2))
        .filter_map(|(primary, answer)| match answer {
            [replicas, sentinels] => Some(Group::new(primary, replicas, sentinels)),
            _ => None,
        });
    Ok(groups.collect())
}

/// Adds what the primaries say, where they can be asked without a password. That they cannot is normal, so
/// failures leave the fields empty. With `tls` they are asked so first, as a fleet may encrypt all or a part.
pub(super) async fn add_true_lag(report: &mut Report, tls: Option<&Caller>) {
    stream::iter(&mut report.groups)
        .for_each_concurrent(PRIMARIES_AT_ONCE, async |group| {
            let Some(at) = group
                .primary()
                .filter(|primary| !primary.down)
                .map(|primary| primary.at())
            else {
                return;
            };
            if let Ok(info) = replication(&at, tls).await
                && let Some(replication) = Replication::parse(&info)
            {
                replication.apply(group);
            }
        })
        .await;
}

async fn replication(at: &HostPort, tls: Option<&Caller>) -> RedisResult<String> {
    let credentials = Credentials::default();
    let secure = match tls {
        Some(tls) => target::connect_secure(at, &credentials, tls, PRIMARY_LIMITS)
            .await
            .ok(),
        None => None,
    };
    let mut connection = match secure {
        Some(connection) => connection,
        None => connect(at, &credentials, PRIMARY_LIMITS).await?,
    };
    cmd("INFO").arg("replication").query_async(&mut connection).await
}
