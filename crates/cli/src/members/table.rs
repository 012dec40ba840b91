//! The members of a log as a table for people.

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    log::{Log, LogMember, or_unknown},
    output::{Output, Style},
};

/// The members, line by line, as `asked` sees them.
pub(super) fn lines(log: &Log, asked: &str, out: Output) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "ID",
        "ADDRESS",
        "VOTE",
        "ROLE",
        "MATCHED",
        "LAG",
        "LAST CONTACT",
    ]);
    for member in &log.members {
        table.add_row(row(log, member));
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let heading = format!(
        "{}, {} entries decided, as member {} at {asked} sees it",
        out.paint(Style::Bold, format_args!("term {}", or_unknown(log.term))),
        or_unknown(log.commit),
        log.member_id,
    );
    let rows = table.lines().map(|line| line.trim_end().to_owned());
    std::iter::once(heading).chain(rows).collect()
}

fn row(log: &Log, member: &LogMember) -> [String; 7] {
    let is_asked = member.id == log.member_id;
    let role = match log.leader {
        Some(leader) if leader == member.id => "leader",
        _ if is_asked => &log.role,
        Some(_) if member.voter => "follower",
        Some(_) => "learner",
        None => "?",
    };
    let contact = match member.last_contact_ms {
        _ if is_asked => "asked".to_owned(),
        Some(ms) if ms < 10_000 => format!("{ms} ms ago"),
        Some(ms) => format!("{} s ago", ms / 1000),
        None => "?".to_owned(),
    };
    [
        member.id.to_string(),
        member.address.clone(),
        if member.voter { "yes" } else { "no" }.to_owned(),
        role.to_owned(),
        or_unknown(member.matched),
        or_unknown(member.lag_entries),
        contact,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log;

    fn words(log: &Log) -> Vec<String> {
        let lines = lines(log, "127.0.0.1:26379", Output::plain());
        let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.iter().map(words).collect()
    }

    #[test]
    fn members_are_shown_one_by_one() {
        let mut log = log();
        assert_eq!(
            words(&log),
            [
                "term 4, 108 entries decided, as member 2 at 127.0.0.1:26379 sees it",
                "ID ADDRESS VOTE ROLE MATCHED LAG LAST CONTACT",
                "1 [::1]:26379 yes leader ? ? 40 ms ago",
                "2 10.0.0.12:26379 yes follower ? ? asked",
                "3 db-3:26379 no learner ? ? 7400 ms ago",
            ]
        );
        log.leader = None;
        log.role = "candidate".to_owned();
        log.members[2].last_contact_ms = Some(75_000);
        let without = words(&log);
        assert_eq!(without[2], "1 [::1]:26379 yes ? ? ? 40 ms ago");
        assert_eq!(without[3], "2 10.0.0.12:26379 yes candidate ? ? asked");
        assert!(without[4].ends_with("75 s ago"), "{}", without[4]);
    }
}
