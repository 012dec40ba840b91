//! The table in `docs/compatibility.md`, made from the list of differences.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::allowed::Allowed;

const BEGIN: &str = "<!-- From tests/golden/differences.txt; BELLWETHER_TESTS_WRITE=1 writes it anew. -->\n";
const END: &str = "<!-- End of the generated table. -->\n";

#[test]
fn the_document_shows_every_difference() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("the beginning of the table")?;
    let (shown, after) = rest.split_once(END).context("the end of the table")?;
    let wanted = render(&Allowed::read()?);
    if env::var_os("BELLWETHER_TESTS_WRITE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}"))?;
        return Ok(());
    }
    ensure!(
        shown == wanted,
        "docs/compatibility.md is not what differences.txt says; BELLWETHER_TESTS_WRITE=1 writes it anew"
    );
    Ok(())
}

fn render(allowed: &Allowed) -> String {
    let mut table = "| What | Redis Sentinel 7.0 | Bellwether | Why |\n|---|---|---|---|\n".to_owned();
    for entry in allowed.entries() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} |",
            entry.what, entry.theirs, entry.ours, entry.why
        );
    }
    table
}
