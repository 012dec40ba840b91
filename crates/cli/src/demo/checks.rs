//! What must be true at the end, each with one line for people.

use redis::RedisResult;

use super::{
    coordinator::Coordinator,
    server::{Role, Server},
    writer::{self, Write},
};
use crate::{
    connect::HostPort,
    output::{Output, Style, plural},
};

/// One thing that had to be so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: String,
    /// Why it is not so.
    pub(super) problem: Option<String>,
}

impl Check {
    fn new(what: impl Into<String>, problems: Vec<String>) -> Self {
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        Self {
            what: what.into(),
            problem,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.problem.is_none()
    }

    pub(super) fn line(&self, out: Output) -> String {
        match &self.problem {
            None => format!("{}  {}", out.paint(Style::Good, "    ok"), self.what),
            Some(problem) => format!("{}  {}: {problem}", out.paint(Style::Bad, "FAILED"), self.what),
        }
    }
}

/// One primary, which is `expected`, and everyone else follows it.
pub(super) async fn roles(servers: &[Server], expected: &HostPort) -> Check {
    let mut problems = Vec::new();
    for server in servers {
        let role = server.role().await;
        let problem = match role {
            Err(error) => Some(format!("{error:#}")),
            Ok(Role::Primary) if server.at == *expected => None,
            Ok(role) => role.follows(expected).err(),
        };
        problems.extend(problem.map(|problem| format!("{} {problem}", server.at)));
    }
    let followers = plural(servers.len().saturating_sub(1), "replica");
    Check::new(
        format!("one primary, {expected}; in sync with it: {followers}"),
        problems,
    )
}

/// Every coordinator names `expected`.
pub(super) async fn addresses(coordinators: &[Coordinator], expected: &HostPort) -> Check {
    let mut problems = Vec::new();
    for coordinator in coordinators {
        let problem = match coordinator.primary().await {
            Ok(named) if named == *expected => None,
            Ok(named) => Some(format!("{} names {named}", coordinator.name)),
            Err(error) => Some(format!("{}: {error}", coordinator.name)),
        };
        problems.extend(problem);
    }
    Check::new(
        format!("it is named by {}", plural(coordinators.len(), "coordinator")),
        problems,
    )
}

/// Whether writes go on at the new primary, given whether one was confirmed lately.
pub(super) fn writing(goes_on: Result<(), String>) -> Check {
    Check::new("writes go on", goes_on.err().into_iter().collect())
}

/// What became of the writes that were confirmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Losses {
    /// Confirmed in all.
    pub(super) confirmed: usize,
    /// Confirmed by the old primary and not found: it died before it had passed them on, which asynchronous
    /// replication allows.
    pub(super) by_old: usize,
    /// Confirmed by another server and not found, which nothing excuses.
    pub(super) by_others: usize,
}

/// Looks for every confirmed write at the new primary.
pub(super) async fn losses(writes: &[Write], new: &HostPort, old: &HostPort) -> RedisResult<Losses> {
    let missing = writer::missing(new, writes).await?;
    let by_old = missing.iter().filter(|write| write.port == old.port).count();
    Ok(Losses {
        confirmed: writes.len(),
        by_old,
        by_others: missing.len() - by_old,
    })
}

/// The judgement on the losses.
pub(super) fn kept(losses: &RedisResult<Losses>) -> Check {
    let (what, problem) = match losses {
        Ok(Losses {
            confirmed,
            by_old,
            by_others: 0,
        }) => {
            let fate = match by_old {
                0 => "none was lost".to_owned(),
                1 => "1 died with the old primary".to_owned(),
                lost => format!("{lost} died with the old primary"),
            };
            (format!("{confirmed} writes were confirmed; {fate}"), None)
        }
        Ok(losses) => (
            "no write that the new primary confirmed is lost".to_owned(),
            Some(format!("{} of {} are", losses.by_others, losses.confirmed)),
        ),
        Err(error) => ("the writes can be read back".to_owned(), Some(error.to_string())),
    };
    Check::new(what, problem.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_may_die_with_the_old_primary_only() {
        let check = |by_old, by_others| {
            kept(&Ok(Losses {
                confirmed: 9,
                by_old,
                by_others,
            }))
        };
        assert_eq!(
            check(0, 0).line(Output::plain()),
            "    ok  9 writes were confirmed; none was lost"
        );
        assert!(check(3, 0).is_good());
        assert_eq!(
            check(3, 1).line(Output::plain()),
            "FAILED  no write that the new primary confirmed is lost: 1 of 9 are"
        );
    }
}
