//! Sentinels that watch a group and do not share the log, as a coordinator tells of them in `INFO`.

use std::fmt;

use anyhow::{anyhow, bail};
use redis::{RedisResult, cmd};

use super::{LIMITS, why};
use crate::target::Target;

/// A sentinel that holds back the failovers of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Foreign {
    id: String,
    address: String,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.address)
    }
}

/// The id of the one sentinel that holds `group` back.
///
/// # Errors
/// There is none, or there are several, which are named: whoever accepts them has to know whom. Or the coordinator does not say.
pub(super) async fn only_one(group: &str, target: &Target) -> anyhow::Result<String> {
    let info = match info(target).await {
        Ok(info) => info,
        Err(error) => {
            let why = why(target, &error).await;
            bail!("{why}; to find the sentinel needs +info, or its id behind {group}");
        }
    };
    let mut found = of_group(&info, group);
    match found.pop() {
        None => Err(anyhow!(
            "no sentinel holds {group} back as far as {target} knows: there is nobody to accept"
        )),
        Some(one) if found.is_empty() => Ok(one.id),
        Some(last) => {
            found.push(last);
            let all: Vec<String> = found.iter().map(Foreign::to_string).collect();
            bail!(
                "several sentinels hold {group} back, so say which one is meant: {}",
                all.join(", ")
            )
        }
    }
}

async fn info(target: &Target) -> RedisResult<String> {
    let mut connection = target.connect(LIMITS).await?;
    cmd("INFO").arg("sentinel").query_async(&mut connection).await
}

fn of_group(info: &str, group: &str) -> Vec<Foreign> {
    let start = format!("bellwether_foreign_sentinel:group={group},id=");
    let values = info
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix(&*start));
    let pairs = values.filter_map(|value| value.split_once(",address="));
    let foreign = pairs.map(|(id, address)| Foreign {
        id: id.to_owned(),
        address: address.to_owned(),
    });
    foreign.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_of_the_group_alone_are_found() {
        let info = "sentinel_masters:2\r\nbellwether_foreign_sentinel:group=cache,id=aa,address=10.0.0.9:26379\r\n\
                    bellwether_foreign_sentinel:group=cache-2,id=bb,address=10.0.0.9:26380\r\n\
                    bellwether_foreign_sentinel:group=cache,id=cc,address=::1:26379\r\n";
        let told = |group| -> Vec<String> { of_group(info, group).iter().map(Foreign::to_string).collect() };
        assert_eq!(told("cache"), ["aa at 10.0.0.9:26379", "cc at ::1:26379"]);
        assert_eq!(told("cache-2"), ["bb at 10.0.0.9:26380"]);
        assert!(told("cach").is_empty());
    }
}
