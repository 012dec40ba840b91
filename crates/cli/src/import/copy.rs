//! A `sentinel.conf` for bellwether from one of the reference: the same lines, each that does nothing here as a comment
//! that says so.

use std::{collections::BTreeMap, path::Path};

use anyhow::bail;
use bellwether_conf::{Config, Source, quote};

use crate::texts::{self, Parsed};

/// The text of the copy.
///
/// # Errors
///
/// If the copy would not mean the same, which can only be an error of ours.
pub(super) fn text(parsed: &Parsed, config: &Config, state_dir: Option<&Path>) -> anyhow::Result<String> {
    let Some(main) = parsed.main() else {
        bail!("the file has no text");
    };
    let mut reasons: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for diagnostic in parsed.diagnostics().iter().filter(|d| d.file == main.name) {
        reasons
            .entry(diagnostic.line)
            .or_default()
            .push(&diagnostic.message);
    }
    let mut text = format!("# Imported by bellwether from {}\n", main.name);
    match state_dir {
        Some(dir) => {
            text.push_str("# The state is in the directory below; this file is never rewritten.\n");
            text.push_str(&format!(
                "bellwether state-dir {}\n",
                quote(&dir.to_string_lossy())
            ));
        }
        None => {
            text.push_str(
                "# The state is in this file, which is rewritten as things change. To keep it apart:\n",
            );
            text.push_str("# bellwether state-dir /var/lib/bellwether\n");
        }
    }
    text.push_str("# Metrics and health checks over HTTP:\n# bellwether http-bind 127.0.0.1:8379\n\n");
    for (line, number) in main.text.lines().zip(1..) {
        match reasons.get(&number) {
            Some(reasons) => text.push_str(&format!("# {}:\n# {line}\n", reasons.join("; "))),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    let again = texts::parse_source(Source::new(main.name.clone(), text.clone()), Vec::new());
    let same = again.result.is_ok_and(|mut copied| {
        copied.daemon.state_dir.clone_from(&config.daemon.state_dir);
        // The lines have moved.
        for (user, before) in copied.daemon.users.iter_mut().zip(&config.daemon.users) {
            user.line = before.line;
        }
        (&copied.daemon, &copied.sentinel, &copied.groups, &copied.my_id)
            == (&config.daemon, &config.sentinel, &config.groups, &config.my_id)
    });
    if same {
        Ok(text)
    } else {
        bail!("the copy would not mean the same as the file");
    }
}
