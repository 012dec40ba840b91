//! How the log that coordinators share is doing. Without one there is none of these figures.

use bellwether_core::{GroupOverview, LogMember, LogRole, LogStatus, Overview};

use super::Definition;
use super::seen::{Reading, truth};
use super::text::Text;

/// Figures of the log; `None` where one is not known.
const LOG: &[Reading<LogStatus, Option<f64>>] = &[
    (
        Definition::gauge(
            "bellwether_raft_term",
            &[],
            "The newest term of the log that is known.",
        ),
        |log| Some(log.term as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_leader",
            &[],
            "Whether this coordinator leads the log.",
        ),
        |log| Some(truth(matches!(log.role, LogRole::Leader))),
    ),
    (
        Definition::gauge(
            "bellwether_raft_commit_index",
            &[],
            "How far the log is known to be committed.",
        ),
        |log| Some(log.commit as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_applied_index",
            &[],
            "How far the log is applied here.",
        ),
        |log| Some(log.applied as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_snapshot_index",
            &[],
            "The entry up to which a snapshot stands for the log here.",
        ),
        |log| Some(log.snapshot as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_log_bytes",
            &[],
            "The size of the log after that snapshot.",
        ),
        |log| Some(log.log_bytes as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_pending_proposals",
            &[],
            "Decisions that were put forward here and have no outcome yet.",
        ),
        |log| Some(log.pending as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_majority_contact_seconds",
            &[],
            "How long ago a majority of the members was in reach for certain; missing if it never was in this role.",
        ),
        |log| Some(log.majority_contact?.as_secs_f64()),
    ),
    (
        Definition::gauge(
            "bellwether_raft_failing",
            &[],
            "Whether something keeps this coordinator from taking part in the log; /readyz says what.",
        ),
        |log| Some(truth(log.problem.is_some())),
    ),
    (
        Definition::gauge(
            "bellwether_raft_members",
            &[],
            "The members of the log, with this one and those that have no vote yet.",
        ),
        |log| Some(log.members.len() as f64),
    ),
];

/// Figures of a member; `None` where one is not known.
const MEMBER: &[Reading<LogMember, Option<f64>>] = &[
    (
        Definition::gauge(
            "bellwether_raft_member_lag_entries",
            &["member"],
            "How many entries the member lacks; only the leader knows.",
        ),
        |member| Some(member.lag? as f64),
    ),
    (
        Definition::gauge(
            "bellwether_raft_member_last_contact_seconds",
            &["member"],
            "How long ago the member was heard; missing if it never was, and of this one.",
        ),
        |member| Some(member.last_contact?.as_secs_f64()),
    ),
];

/// Sentinels that watch a group and do not share the log.
const FOREIGN: &[Reading<GroupOverview, f64>] = &[
    (
        Definition::gauge(
            "bellwether_foreign_sentinels",
            &["group"],
            "The sentinels that watch the group and do not share the log.",
        ),
        |group| group.foreign.len() as f64,
    ),
    (
        Definition::gauge(
            "bellwether_foreign_sentinels_unaccepted",
            &["group"],
            "Those of them that no operator has accepted: while there is one, nothing is failed over by itself.",
        ),
        |group| group.foreign.iter().filter(|foreign| !foreign.accepted).count() as f64,
    ),
];

/// Every metric of this module.
pub(super) fn definitions() -> impl Iterator<Item = &'static Definition> {
    let log = LOG.iter().map(|(definition, _)| definition);
    let member = MEMBER.iter().map(|(definition, _)| definition);
    let foreign = FOREIGN.iter().map(|(definition, _)| definition);
    log.chain(member).chain(foreign)
}

/// Writes what the overview shows of the log, if there is one.
pub(super) fn write(text: &mut Text, overview: &Overview) {
    let Some(log) = &overview.log else { return };
    for (definition, value) in LOG {
        text.family(definition, value(log).into_iter().map(|value| ([""; 0], value)));
    }
    for (definition, value) in MEMBER {
        let known = log
            .members
            .iter()
            .filter_map(|member| Some(([member.id.to_string()], value(member)?)));
        text.family(definition, known);
    }
    for (definition, value) in FOREIGN {
        let groups = overview.groups.iter();
        text.family(definition, groups.map(|group| ([&group.name], value(group))));
    }
}
