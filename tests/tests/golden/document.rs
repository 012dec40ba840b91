//! The tables in `docs/compatibility.md`, made from the lists of differences.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::allowed::Allowed;

/// The lists, and whose answers they are about.
const LISTS: [(&str, &str); 2] = [
    ("differences.txt", "Redis Sentinel 7.0"),
    ("valkey.txt", "Valkey Sentinel 8.0"),
];
const END: &str = "<!-- End of the generated table. -->\n";

#[test]
fn the_document_shows_every_difference() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut wanted = text.clone();
    for (list, reference) in LISTS {
        let begin = format!("<!-- From tests/golden/{list}; BELLWETHER_TESTS_WRITE=1 writes it anew. -->\n");
        let (before, rest) = wanted.split_once(&begin).with_context(|| begin.clone())?;
        let (_, after) = rest.split_once(END).context("the end of the table")?;
        let table = render(&Allowed::read(list)?, reference);
        wanted = format!("{before}{begin}{table}{END}{after}");
    }
    if env::var_os("BELLWETHER_TESTS_WRITE").is_some() {
        fs::write(&path, wanted)?;
        return Ok(());
    }
    ensure!(
        text == wanted,
        "docs/compatibility.md is not what the lists of differences say; BELLWETHER_TESTS_WRITE=1 writes it anew"
    );
    Ok(())
}

fn render(allowed: &Allowed, reference: &str) -> String {
    let mut table = format!("| What | {reference} | Bellwether | Why |\n|---|---|---|---|\n");
    for entry in allowed.entries() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {}{} | {} | {} |",
            entry.what,
            entry.theirs,
            if entry.valkey_too { " (Valkey too)" } else { "" },
            entry.ours,
            entry.why
        );
    }
    table
}
