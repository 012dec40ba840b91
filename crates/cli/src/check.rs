//! `bellwether check`: every problem of a configuration and of what it names, with its place.
//!
//! Reads files only; nothing is started and nothing is changed.

use std::process::ExitCode;

use bellwether_conf::{Diagnostic, Severity};

use crate::{
    args::CheckArgs,
    output::{Output, Style, plural},
    texts,
};

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let out = Output::new();
    let parsed = texts::parse(&args.file, Vec::new())?.with_all_judged();
    let diagnostics = parsed.diagnostics();
    for diagnostic in diagnostics {
        out.line(parsed.explain(diagnostic, out))?;
    }
    let file = args.file.display();
    let summary = summary(diagnostics);
    Ok(match &parsed.result {
        Ok(config) => {
            let groups = plural(config.groups.len(), "group");
            out.line(format_args!(
                "{file}: {}, {groups}{summary}",
                out.paint(Style::Good, "good")
            ))?;
            ExitCode::SUCCESS
        }
        Err(_) => {
            out.line(format_args!(
                "{file}: {}{summary}",
                out.paint(Style::Bad, "cannot be used")
            ))?;
            ExitCode::FAILURE
        }
    })
}

/// `, 2 errors, 1 warning`, or less.
fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let counts = [
        (count(Severity::Error), "error"),
        (count(Severity::Warning), "warning"),
    ];
    counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| format!(", {}", plural(*count, noun)))
        .collect()
}
