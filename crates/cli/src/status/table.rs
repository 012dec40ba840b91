//! The report as tables for people, one per group.

use comfy_table::{Cell, CellAlignment, Color, Table, presets};

use super::report::{Group, GroupState, Member, Report, Role};
use crate::{
    log::Log,
    output::{Output, Style},
};

/// The whole report, line by line.
pub(super) fn lines(report: &Report, out: Output) -> Vec<String> {
    let told = report.trouble.iter();
    let mut lines: Vec<String> = told
        .map(|words| out.paint(Style::Bad, format_args!("{}: {words}", report.sentinel)))
        .collect();
    lines.extend(report.log.iter().map(Log::line));
    if report.groups.is_empty() {
        lines.push(format!("{} watches no group.", report.sentinel));
        return lines;
    }
    for group in &report.groups {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(heading(group, &report.sentinel, out));
        lines.extend(table(group, out).lines().map(|line| line.trim_end().to_owned()));
    }
    lines
}

fn heading(group: &Group, asked: &str, out: Output) -> String {
    let (style, state) = match group.state {
        GroupState::Up => (Style::Good, "up"),
        GroupState::SubjectivelyDown => (Style::Warning, "subjectively down"),
        GroupState::ObjectivelyDown => (Style::Bad, "objectively down"),
        GroupState::FailoverInProgress => (Style::Warning, "failover in progress"),
    };
    let phase = group
        .failover
        .as_ref()
        .map(|phase| format!(" ({phase})"))
        .unwrap_or_default();
    format!(
        "{}  {}{phase}, {}, config epoch {}, as {asked} sees it",
        out.paint(Style::Bold, &group.name),
        out.paint(style, state),
        quorum(group, out),
        or_unknown(group.config_epoch),
    )
}

fn quorum(group: &Group, out: Output) -> String {
    let words = format!(
        "quorum {} of {} sentinels",
        or_unknown(group.quorum),
        group.sentinels
    );
    if group.quorum.is_some_and(|quorum| quorum > group.sentinels) {
        out.paint(Style::Bad, format_args!("{words} (it cannot be reached)"))
    } else {
        words
    }
}

fn table(group: &Group, out: Output) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "ROLE",
        "ADDRESS",
        "STATE",
        "DOWN SINCE",
        "PRIORITY",
        "OFFSET",
        "BEHIND BEST",
        "LAG",
    ]);
    if out.colours() {
        table.enforce_styling();
    }
    for member in &group.members {
        table.add_row(row(member, out));
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(member: &Member, out: Output) -> Vec<Cell> {
    let role = match member.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Sentinel => "sentinel",
    };
    let mut state = Cell::new(state(member));
    if out.colours() {
        state = state.fg(if member.down { Color::Red } else { Color::Green });
    }
    let down_since = member.down_for_ms.map(since).unwrap_or_default();
    let is_replica = member.role == Role::Replica;
    let priority = if is_replica {
        or_unknown(member.priority)
    } else {
        String::new()
    };
    let behind = if is_replica {
        or_unknown(member.behind_best_bytes.map(bytes))
    } else {
        String::new()
    };
    let offset = if member.role == Role::Sentinel {
        String::new()
    } else {
        or_unknown(member.offset)
    };
    let lag = if is_replica { lag(member) } else { String::new() };
    vec![
        Cell::new(role),
        Cell::new(member.at()),
        state,
        Cell::new(down_since),
        Cell::new(priority),
        Cell::new(offset),
        Cell::new(behind),
        Cell::new(lag),
    ]
}

/// The flags without the one that repeats the role, in the order of the sentinel. One of them is no state of the
/// member itself, so it is put in words.
fn state(member: &Member) -> String {
    let mut words: Vec<&str> = member
        .flags
        .iter()
        .map(String::as_str)
        .filter(|flag| !["", "master", "slave", "sentinel"].contains(flag))
        .map(|flag| match flag {
            "master_down" => "sees the primary down",
            flag => flag,
        })
        .collect();
    if member.link_up == Some(false) {
        words.push("no link to its primary");
    }
    if words.is_empty() {
        "up".to_owned()
    } else {
        words.join(", ")
    }
}

fn lag(member: &Member) -> String {
    match (member.lag_bytes, member.lag_s) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(behind), None) => bytes(behind),
        (Some(behind), Some(seconds)) => format!("{}, {seconds} s", bytes(behind)),
    }
}

/// How long ago, and at what time of the day here.
fn since(ms: u64) -> String {
    let ago = duration(ms);
    let then = i64::try_from(ms).ok().and_then(|ms| {
        jiff::Zoned::now()
            .checked_sub(jiff::SignedDuration::from_millis(ms))
            .ok()
    });
    match then {
        Some(then) => format!("{} ({ago})", then.strftime("%m-%d %H:%M:%S")),
        None => ago,
    }
}

fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| count >= *size * 10) {
        Some((size, unit)) => format!("{} {unit}", count / size),
        None => format!("{count} B"),
    }
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

const UNKNOWN: &str = "?";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::report::tests::group;

    #[test]
    fn a_group_is_shown_member_by_member() {
        let report = Report {
            trouble: Vec::new(),
            log: None,
            sentinel: "127.0.0.1:26379".to_owned(),
            groups: vec![group()],
        };
        let lines = lines(&report, Output::plain());
        assert_eq!(
            lines[0],
            "cache  objectively down, quorum 2 of 3 sentinels, config epoch 7, as 127.0.0.1:26379 sees it"
        );
        assert!(lines[1].trim_start().starts_with("ROLE"), "{}", lines[1]);
        let words: Vec<Vec<&str>> = lines[2..]
            .iter()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0][..4], ["primary", "10.0.0.1:6379", "s_down,", "o_down"]);
        assert!(lines[2].contains("(61 s)"), "{}", lines[2]);
        assert_eq!(
            words[1][..],
            [
                "replica",
                "10.0.0.2:6379",
                "no",
                "link",
                "to",
                "its",
                "primary",
                "0",
                "900",
                "100",
                "B",
                "?"
            ]
        );
        assert_eq!(
            words[3][..],
            ["sentinel", "10.0.0.4:26379", "sees", "the", "primary", "down"]
        );
    }

    #[test]
    fn a_shared_log_stands_above_the_groups() {
        let report = Report {
            trouble: vec!["no room".to_owned()],
            log: Some(crate::log::tests::log()),
            sentinel: "h:1".to_owned(),
            groups: vec![group()],
        };
        let lines = lines(&report, Output::plain());
        assert_eq!(lines[0], "h:1: no room");
        assert!(lines[1].starts_with("log  follower 2,"), "{}", lines[1]);
        assert_eq!(lines[2], "");
        assert!(lines[3].starts_with("cache  "), "{}", lines[3]);
    }

    #[test]
    fn a_foreign_sentinel_is_pointed_out() {
        let info = "bellwether_foreign_sentinel:group=cache,id=abc,address=10.0.0.9:26379\r\n";
        assert_eq!(
            super::super::report::trouble(info),
            [
                "group cache: nothing is failed over by itself, because a sentinel at 10.0.0.9:26379 watches it that shares no log: \
              stop that one, or accept it with `bellwether members accept cache abc`"
            ]
        );
        let many = super::super::report::trouble(&info.repeat(1_003));
        assert_eq!(many.len(), 4);
        assert_eq!(
            many[3],
            "1000 more such sentinels: see bellwether_foreign_sentinel in INFO"
        );
    }

    #[test]
    fn a_quorum_that_cannot_be_reached_is_pointed_out() {
        let mut group = group();
        group.quorum = Some(4);
        let words = "quorum 4 of 3 sentinels (it cannot be reached)";
        assert_eq!(quorum(&group, Output::plain()), words);
    }

    #[test]
    fn no_group_is_said_in_words() {
        let report = Report {
            trouble: Vec::new(),
            log: None,
            sentinel: "h:1".to_owned(),
            groups: Vec::new(),
        };
        assert_eq!(lines(&report, Output::plain()), ["h:1 watches no group."]);
    }

    #[test]
    fn amounts_are_short() {
        let durations = [900, 61_000, 600_000, 7_200_000, 200_000_000].map(duration);
        assert_eq!(durations, ["900 ms", "61 s", "10 min", "2 h", "2 days"]);
        assert_eq!(
            [0, 9_999, 10_240, 50 << 20].map(bytes),
            ["0 B", "9999 B", "10 KiB", "50 MiB"]
        );
    }

    #[test]
    fn trouble_comes_first_and_is_shown_without_groups_too() {
        let info = "# Sentinel\r\nsentinel_masters:0\r\nsentinel_tilt:1\r\nbellwether_save_failed:cannot write: no room\r\n\
                    bellwether_id_taken_seconds_ago:7\r\n";
        let report = Report {
            sentinel: "127.0.0.1:1".to_owned(),
            trouble: super::super::report::trouble(info),
            log: None,
            groups: Vec::new(),
        };
        let lines = lines(&report, Output::plain());
        assert_eq!(
            lines,
            [
                "127.0.0.1:1: it is in TILT mode and starts no failover",
                "127.0.0.1:1: the state cannot be saved, so no vote is given: cannot write: no room",
                "127.0.0.1:1: another coordinator goes by the same id (7 s ago): stop one of the two",
                "127.0.0.1:1 watches no group.",
            ]
        );
        assert_eq!(super::super::report::trouble("sentinel_tilt:0\r\n"), [""; 0]);
    }
}
