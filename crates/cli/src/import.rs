//! `bellwether import`: what a file of Redis or Valkey Sentinel will mean here, in words, and a file of ours from it.
//!
//! Owns the words and the copy. Never changes the file it reads, and never writes over one that exists. The meaning of
//! directives is `conf`'s.

mod copy;
mod words;
mod yaml;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use bellwether_conf::{Config, STATE_FILE, Severity, Source, is_yaml, render_state};

use crate::{
    new_file,
    output::{Output, Style},
    texts::{self, Parsed},
};

/// How often lines that are refused are left out to see what the rest means. One time is enough unless what is left
/// out was needed by another line.
const MAX_ROUNDS: usize = 4;

/// What to import, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The sentinel.conf of a Redis or Valkey Sentinel. It stays as it is.
    file: PathBuf,
    /// Write a file for bellwether: a sentinel.conf, or YAML if the name ends with .yaml or .yml.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep the state (id, epochs, votes, known instances) in this directory, and write what the file says of it
    /// there. Needed for YAML, which is never rewritten.
    #[arg(long, value_name = "DIR", requires = "output")]
    state_dir: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let out = Output::new();
    let name = options.file.to_string_lossy();
    if is_yaml(&name) {
        bail!("{name} is YAML, which is bellwether's own already; see bellwether check");
    }
    let parsed = texts::parse(&options.file, Vec::new())?;
    let usable = usable_part(&parsed)?;
    if let Some(config) = &usable {
        let title = if parsed.result.is_ok() {
            "Taken over"
        } else {
            "Taken over once the rest is changed"
        };
        out.line(out.paint(Style::Bold, title))?;
        for line in words::taken(config) {
            out.line(format_args!("  {line}"))?;
        }
    }
    list(out, &parsed, Severity::Warning, "Without effect")?;
    list(out, &parsed, Severity::Error, "To be changed")?;
    let Ok(config) = &parsed.result else {
        out.line(format_args!(
            "\n{name}: {}",
            out.paint(Style::Bad, "bellwether would not start with it")
        ))?;
        return Ok(ExitCode::FAILURE);
    };
    out.line(format_args!(
        "\n{name}: {}",
        out.paint(Style::Good, "bellwether can start with it as it is")
    ))?;
    if let Some(output) = &options.output {
        for written in write(options, output, &parsed, config)? {
            out.line(format_args!("written: {written}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration, or what it would be without the lines that are refused.
fn usable_part(parsed: &Parsed) -> anyhow::Result<Option<Config>> {
    let mut errors = match &parsed.result {
        Ok(config) => return Ok(Some(config.clone())),
        Err(diagnostics) => diagnostics.clone(),
    };
    let main = parsed.main().context("the file has no text")?;
    let mut text = main.text.clone();
    for _ in 0..MAX_ROUNDS {
        let refused = |number: usize| {
            errors
                .iter()
                .any(|d| d.severity == Severity::Error && d.file == main.name && d.line == number)
        };
        let lines = text.split('\n').zip(1..);
        let kept: Vec<&str> = lines
            .map(|(line, number)| if refused(number) { "" } else { line })
            .collect();
        text = kept.join("\n");
        let source = Source::new(main.name.clone(), text.clone());
        match texts::parse_source(source, Vec::new()).result {
            Ok(config) => return Ok(Some(config)),
            Err(diagnostics) => errors = diagnostics,
        }
    }
    // What is refused stands in an included file; the list of problems says so.
    Ok(None)
}

fn list(out: Output, parsed: &Parsed, severity: Severity, title: &str) -> anyhow::Result<()> {
    let found = || parsed.diagnostics().iter().filter(|d| d.severity == severity);
    if found().next().is_none() {
        return Ok(());
    }
    out.line(format_args!("\n{}", out.paint(Style::Bold, title)))?;
    for diagnostic in found() {
        if severity == Severity::Error {
            out.line(parsed.explain(diagnostic, out))?;
        } else {
            out.line(format_args!(
                "  line {}: {}",
                words::place(parsed, diagnostic),
                diagnostic.message
            ))?;
        }
    }
    Ok(())
}

/// Writes the copy and the state; gives what was written.
fn write(options: &Options, output: &Path, parsed: &Parsed, config: &Config) -> anyhow::Result<Vec<String>> {
    let text = if is_yaml(&output.to_string_lossy()) {
        let Some(dir) = &options.state_dir else {
            bail!("a YAML file is never rewritten, so --state-dir DIR must say where the state goes");
        };
        yaml::text(config, dir, &options.file)?
    } else {
        copy::text(parsed, config, options.state_dir.as_deref())?
    };
    let mut written = Vec::new();
    new_file::must_be_new(output)?;
    // The state first: a configuration without its state could vote twice in one epoch.
    if let (Some(dir), Some(my_id)) = (&options.state_dir, &config.my_id) {
        let state = render_state(&config.registry(|| my_id.clone()), &config.secret_files, &[]);
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let path = dir.join(STATE_FILE);
        new_file::must_be_new(&path)
            .with_context(|| format!("{} holds the state of another coordinator", dir.display()))?;
        new_file::write(&path, &state, Some(&options.file))?;
        written.push(format!(
            "{} (its owner must be the daemon's user)",
            path.display()
        ));
    }
    new_file::write(output, &text, Some(&options.file))?;
    written.push(output.display().to_string());
    Ok(written)
}
