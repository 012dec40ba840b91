//! When a coordinator counts as ready.

use bellwether_core::{GroupOverview, LogStatus, Overview};

/// How many groups a reason names. Enough to start looking; with thousands of groups the answer stays short.
const MAX_NAMED_GROUPS: usize = 10;

/// Why this coordinator cannot take part in a failover, one sentence each. Empty if it can.
///
/// A primary that is down is no reason: that is when coordinators are needed most.
pub(crate) fn obstacles(overview: &Overview) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(error) = &overview.save_error {
        reasons.push(format!(
            "the state cannot be saved, so no vote can be given: {error}"
        ));
    }
    if overview.tilt {
        reasons.push("observations are not trusted: this process did not run for a while".to_owned());
    }
    reasons.extend(overview.log.as_ref().and_then(LogStatus::apart));
    reasons.extend(unsettled(&overview.groups));
    reasons
}

/// A sentence about the groups of whose primary nothing is known yet.
fn unsettled(groups: &[GroupOverview]) -> Option<String> {
    let names: Vec<&str> = groups
        .iter()
        .filter(|group| !is_settled(group))
        .map(|group| group.name.as_str())
        .collect();
    if names.is_empty() {
        return None;
    }
    let shown = &names[..names.len().min(MAX_NAMED_GROUPS)];
    let more = match names.len() - shown.len() {
        0 => String::new(),
        hidden => format!(" and {hidden} more"),
    };
    Some(format!(
        "nothing is known yet of the primary of {}{more}",
        shown.join(", ")
    ))
}

/// Whether there is a view of the primary: it told of itself once, or is known to be down. A connection that just
/// broke changes nothing, so that readiness does not flicker at the start of a failover.
fn is_settled(group: &GroupOverview) -> bool {
    let primary = &group.primary;
    primary.connected || primary.info_age_ms.is_some() || primary.sdown_ms.is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use bellwether_core::{InstanceOverview, LogRole};

    fn group(name: &str, primary: InstanceOverview) -> GroupOverview {
        GroupOverview {
            name: name.to_owned(),
            quorum: 2,
            config_epoch: 0,
            down_after_ms: 1000,
            failover_timeout_ms: 180_000,
            parallel_syncs: 1,
            odown_ms: None,
            failover_state: None,
            primary,
            replicas: Vec::new(),
            sentinels: Vec::new(),
            foreign: Vec::new(),
            history: Vec::new(),
        }
    }

    fn unknown() -> InstanceOverview {
        InstanceOverview {
            host: "10.0.0.1".to_owned(),
            port: 6379,
            connected: false,
            sdown_ms: None,
            last_ok_ping_ms: 0,
            info_age_ms: None,
            role_reported: "master",
            run_id: None,
            repl_offset: 0,
            replication: None,
        }
    }

    fn with(groups: Vec<GroupOverview>) -> Vec<String> {
        obstacles(&Overview {
            groups,
            ..Overview::default()
        })
    }

    #[test]
    fn any_view_of_the_primary_will_do() {
        let connected = InstanceOverview {
            connected: true,
            ..unknown()
        };
        let told = InstanceOverview {
            info_age_ms: Some(5),
            ..unknown()
        };
        let down = InstanceOverview {
            sdown_ms: Some(5),
            ..unknown()
        };
        assert!(with(vec![group("a", connected), group("b", told), group("c", down)]).is_empty());
    }

    #[test]
    fn unknown_primaries_are_named_up_to_a_limit() {
        assert_eq!(
            with(vec![group("a", unknown()), group("b", unknown())]),
            ["nothing is known yet of the primary of a, b"]
        );
        let many = (0..12).map(|n| group(&format!("g{n}"), unknown())).collect();
        assert!(with(many)[0].ends_with("g9 and 2 more"));
    }

    #[test]
    fn tilt_and_a_bad_disk_are_reasons() {
        let reasons = obstacles(&Overview {
            tilt: true,
            save_error: Some("no space left".to_owned()),
            ..Overview::default()
        });
        assert_eq!(reasons.len(), 2);
        assert!(reasons[0].ends_with("no space left"));
    }

    fn log(role: LogRole, majority_contact: Option<Duration>) -> LogStatus {
        LogStatus {
            id: 1,
            cluster: "c".to_owned(),
            role,
            term: 4,
            leader: None,
            commit: 9,
            applied: 9,
            last: 9,
            snapshot: 1,
            log_bytes: 0,
            pending: 0,
            majority_contact,
            may_act: false,
            problem: None,
            members: Vec::new(),
        }
    }

    #[test]
    fn without_a_majority_of_the_log_nothing_can_be_decided() {
        let reasons = |log| {
            obstacles(&Overview {
                log: Some(log),
                ..Overview::default()
            })
        };
        let seconds = |n| Some(Duration::from_secs(n));
        for role in [
            LogRole::Leader,
            LogRole::Follower,
            LogRole::Learner,
            LogRole::Candidate,
        ] {
            assert!(reasons(log(role, seconds(2))).is_empty(), "{role:?}");
            assert_eq!(
                reasons(log(role, seconds(7))),
                ["no majority of the members of the log was in reach for 7 s"],
                "{role:?}"
            );
        }
        assert!(reasons(log(LogRole::Leader, None)).is_empty());
        assert_eq!(
            reasons(log(LogRole::Candidate, None)),
            ["no majority of the members of the log was in reach yet"]
        );
        assert_eq!(reasons(log(LogRole::Joining, None)).len(), 1);
        assert_eq!(
            reasons(log(LogRole::Removed, seconds(0))),
            ["this member was removed from the log"]
        );
        let unreadable = LogStatus {
            problem: Some("an entry of a newer version".to_owned()),
            ..log(LogRole::Follower, seconds(0))
        };
        assert_eq!(
            reasons(unreadable),
            ["no part is taken in the log: an entry of a newer version"]
        );
    }
}
