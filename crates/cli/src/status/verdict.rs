//! Whether a report is a reason to wake somebody, in one line and a number.
//!
//! The numbers are those that monitoring systems have for their plugins.

use std::fmt;

use super::report::{Group, GroupState, Member, Report, Role};

/// The exit status if nothing could be learnt.
pub(super) const UNKNOWN: u8 = 3;

/// What a report amounts to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What is down.
    critical: Vec<String>,
    /// What would keep a failover from being carried out.
    warnings: Vec<String>,
    groups: usize,
}

impl Verdict {
    pub(super) fn of(report: &Report) -> Self {
        let mut warnings = report.trouble.clone();
        if report.groups.is_empty() {
            warnings.push(format!("{} watches no group", report.sentinel));
        }
        warnings.extend(report.groups.iter().filter_map(outvoted));
        Self {
            critical: report.groups.iter().filter_map(no_primary).collect(),
            warnings,
            groups: report.groups.len(),
        }
    }

    /// The exit status.
    pub(super) fn status(&self) -> u8 {
        match (&self.critical[..], &self.warnings[..]) {
            ([], []) => 0,
            ([], _) => 1,
            _ => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ["OK", "WARNING", "CRITICAL"][usize::from(self.status())];
        let all: Vec<&str> = self.critical.iter().chain(&self.warnings).map(|s| &**s).collect();
        match &all[..] {
            [] => write!(f, "{word}: {}", crate::output::plural(self.groups, "group")),
            all => write!(f, "{word}: {}", all.join("; ")),
        }
    }
}

fn no_primary(group: &Group) -> Option<String> {
    let state = match group.state {
        GroupState::Up if is_cut_off(group) => "there is no link to its primary",
        GroupState::Up => return None,
        GroupState::SubjectivelyDown => "its primary is subjectively down",
        GroupState::ObjectivelyDown => "its primary is objectively down",
        GroupState::FailoverInProgress => "a failover is in progress",
    };
    Some(format!("group {}: {state}", group.name))
}

/// Whether the primary cannot be reached, though it is not held to be down yet.
fn is_cut_off(group: &Group) -> bool {
    group
        .primary()
        .is_some_and(|primary| has(primary, "disconnected"))
}

fn has(member: &Member, flag: &str) -> bool {
    member.flags.iter().any(|known| known == flag)
}

/// Says so if the sentinels in sight are too few for a failover.
fn outvoted(group: &Group) -> Option<String> {
    let others = group
        .members
        .iter()
        .filter(|member| member.role == Role::Sentinel);
    let in_sight = 1 + others
        .filter(|member| !member.down && !has(member, "disconnected"))
        .count() as u64;
    let needed = (group.sentinels / 2 + 1).max(group.quorum.unwrap_or(0));
    (in_sight < needed).then(|| {
        format!(
            "group {}: {in_sight} of {} sentinels in sight, {needed} needed for a failover",
            group.name, group.sentinels
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::group;
    use super::*;

    fn verdict(change: impl FnOnce(&mut Report)) -> (u8, String) {
        let mut group = group();
        group.state = GroupState::Up;
        group.sentinels = 2;
        let mut report = Report {
            sentinel: "h:1".to_owned(),
            trouble: Vec::new(),
            log: None,
            groups: vec![group],
        };
        change(&mut report);
        let verdict = Verdict::of(&report);
        (verdict.status(), verdict.to_string())
    }

    #[test]
    fn what_is_well_what_is_in_danger_and_what_is_down() {
        assert_eq!(verdict(|_| {}), (0, "OK: 1 group".to_owned()));
        let (status, text) = verdict(|report| report.groups[0].members[3].down = true);
        let words = "WARNING: group cache: 1 of 2 sentinels in sight, 2 needed for a failover";
        assert_eq!((status, text.as_str()), (1, words));
        let (status, text) = verdict(|report| report.groups[0].quorum = Some(3));
        assert!(
            status == 1 && text.contains("2 of 2 sentinels in sight, 3 needed"),
            "{text}"
        );
        let cut_off = |report: &mut Report| report.groups[0].members[0].flags.push("disconnected".to_owned());
        let words = "CRITICAL: group cache: there is no link to its primary";
        assert_eq!(verdict(cut_off), (2, words.to_owned()));
        let (status, text) = verdict(|report| report.trouble.push("no room".to_owned()));
        assert_eq!((status, text.as_str()), (1, "WARNING: no room"));
        let (status, text) = verdict(|report| report.groups.clear());
        assert_eq!((status, text.as_str()), (1, "WARNING: h:1 watches no group"));
        let (status, text) = verdict(|report| {
            report.groups[0].state = GroupState::ObjectivelyDown;
            report.trouble.push("no room".to_owned());
        });
        let words = "CRITICAL: group cache: its primary is objectively down; no room";
        assert_eq!((status, text.as_str()), (2, words));
    }
}
