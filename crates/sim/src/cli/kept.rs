//! Seeds that are kept in a file: `SEED PROFILE`, one to a line, with what follows a `#` for people.

use std::path::Path;

use anyhow::{Context, Result};
use bellwether_sim::Profile;

/// What the file holds.
pub(super) fn read(path: &Path) -> Result<Vec<(u64, Profile)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate();
    let lines = lines.map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(n, line)| parse(line).with_context(|| format!("{} line {}", path.display(), n + 1)))
        .collect()
}

fn parse(line: &str) -> Result<(u64, Profile)> {
    let (seed, profile) = line
        .split_once(char::is_whitespace)
        .context("a line is SEED PROFILE")?;
    let seed = seed.parse().with_context(|| format!("{seed:?} is no seed"))?;
    Ok((seed, super::profile(profile.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_seed_and_profile() {
        assert_eq!(parse("12   disk").ok(), Some((12, Profile::Disk)));
        for line in ["12", "x disk", "12 dis", "12 disk swarm"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
