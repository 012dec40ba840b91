//! Seeds that are kept in a file: `SEED PROFILE`, or `SEED PROFILE raft`, one to a line, with what follows a `#` for people.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bellwether_sim::Coordination;

use super::Kind;

/// What the file holds.
pub(super) fn read(path: &Path) -> Result<Vec<(u64, Kind)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate();
    let lines = lines.map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(n, line)| parse(line).with_context(|| format!("{} line {}", path.display(), n + 1)))
        .collect()
}

fn parse(line: &str) -> Result<(u64, Kind)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (seed, profile, coordination) = match words[..] {
        [seed, profile] => (seed, profile, Coordination::Vote),
        [seed, profile, coordination] => (seed, profile, super::coordination(coordination)?),
        _ => bail!("a line is SEED PROFILE [COORDINATION]"),
    };
    let kind = Kind {
        profile: super::profile(profile)?,
        coordination,
    };
    let seed = seed.parse().with_context(|| format!("{seed:?} is no seed"))?;
    Ok((seed, kind))
}

#[cfg(test)]
mod tests {
    use bellwether_sim::Profile;

    use super::*;

    #[test]
    fn a_line_names_seed_and_profile() {
        let kind = |coordination| Kind {
            profile: Profile::Disk,
            coordination,
        };
        assert_eq!(parse("12   disk").ok(), Some((12, kind(Coordination::Vote))));
        assert_eq!(parse("12 disk raft").ok(), Some((12, kind(Coordination::Raft))));
        for line in ["12", "x disk", "12 dis", "12 disk swarm", "12 disk raft raft"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
