//! From a configuration and, where it is kept apart, its state.

use std::{
    fmt::Write,
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use bellwether_conf::{
    Config, DaemonOptions, LogLevel, STATE_FILE, Source, apply_state, is_yaml, quote, rewrite,
};

use super::Export;
use crate::texts;

/// Stands in for the id of a sentinel that was never started; its line is taken out again.
const NO_ID: &str = "0000000000000000000000000000000000000000";

pub(super) fn export(file: Option<&Path>, state_dir: Option<&Path>) -> anyhow::Result<Export> {
    let mut notes = Vec::new();
    let (mut config, base) = match file {
        Some(file) => read(file, &mut notes)?,
        None => (Config::default(), String::new()),
    };
    let dir = state_dir
        .map(Path::to_path_buf)
        .or_else(|| config.daemon.state_dir.as_ref().map(|dir| beside(&config, dir)));
    if let Some(dir) = dir {
        take_state(&mut config, &dir, state_dir.is_some(), &mut notes)?;
    }
    let text = with_state(&base, &config)?;
    if config.groups.is_empty() {
        notes.push("there is no group in it".to_owned());
    }
    if config.daemon.loglevel == LogLevel::Nothing {
        notes.push("loglevel nothing needs Redis Sentinel 7.2 or later".to_owned());
    }
    Ok(Export { text, notes })
}

/// The configuration, and the text that its state is put into.
fn read(file: &Path, notes: &mut Vec<String>) -> anyhow::Result<(Config, String)> {
    let parsed = texts::parse(file, Vec::new())?;
    let name = file.display();
    let config = match &parsed.result {
        Ok(config) => config.clone(),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            bail!("{name} cannot be used ({first}); see bellwether check {name}");
        }
    };
    if is_yaml(&file.to_string_lossy()) {
        let base = generic_lines(&config.daemon);
        return Ok((config, base));
    }
    for included in parsed.included() {
        let ours = included.text.lines().zip(1..).find(|(line, _)| {
            let word = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            word == "bellwether" || word == "sentinel"
        });
        if let Some((_, number)) = ours {
            // Redis Sentinel writes sentinel lines to the main file and then refuses to start with both.
            bail!(
                "{} line {number}: 'sentinel' and 'bellwether' lines of included files must be moved to {name} first",
                included.name
            );
        }
    }
    let main = parsed.main().context("the file has no text")?;
    let mut base = String::new();
    for (line, number) in main.text.lines().zip(1..) {
        if is_ours(line) {
            notes.push(format!("line {number} is left out: {}", line.trim()));
        } else if is_of_valkey(line) {
            // What it says comes back with the state, as Redis spells it; Valkey knows both.
            notes.push(format!("line {number} is spelled as Redis Sentinel knows it"));
        } else {
            base.push_str(line);
            base.push('\n');
        }
    }
    Ok((config, base))
}

fn is_ours(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    word.eq_ignore_ascii_case("bellwether")
}

fn is_of_valkey(line: &str) -> bool {
    let mut words = line.split_whitespace().map(str::to_ascii_lowercase);
    words.next().as_deref() == Some("sentinel")
        && words.next().as_deref() == Some("primary-reboot-down-after-period")
}

/// Puts the state of `dir` into the configuration. That there is none is only right where nobody insists on it.
fn take_state(config: &mut Config, dir: &Path, insist: bool, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let path = dir.join(STATE_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            apply_state(config, &text).with_context(|| format!("the state in {}", path.display()))?;
            notes.push(format!("the state is that of {}", path.display()));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !insist => {
            notes.push(format!("there is no state in {} yet", dir.display()));
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// A state directory counts from the working directory of the daemon.
fn beside(config: &Config, dir: &Path) -> PathBuf {
    config
        .daemon
        .dir
        .as_ref()
        .map_or_else(|| dir.to_path_buf(), |base| base.join(dir))
}

/// The text with ids, epochs, votes and known instances in it.
fn with_state(base: &str, config: &Config) -> anyhow::Result<String> {
    if let Some(my_id) = &config.my_id {
        return Ok(rewrite(base, config, &config.registry(|| my_id.clone())));
    }
    let mut fresh = config.clone();
    // An id can only be made by what reads one.
    let blank = format!("sentinel myid {NO_ID}\n");
    let source = Source::new("an id", blank.clone());
    fresh.my_id = texts::parse_source(source, Vec::new())
        .result
        .ok()
        .and_then(|config| config.my_id);
    let Some(my_id) = fresh.my_id.clone() else {
        bail!("the configuration cannot be written without an id");
    };
    let text = rewrite(base, &fresh, &fresh.registry(|| my_id));
    Ok(text.replace(&blank, ""))
}

/// The options of the process as directives, where they are not what Redis Sentinel does anyway.
fn generic_lines(daemon: &DaemonOptions) -> String {
    let default = DaemonOptions::default();
    let mut lines = Lines::default();
    lines.put("port", daemon.port);
    if daemon.bind.is_empty() {
        lines.put("bind", "\"\"");
    } else if daemon.bind != default.bind {
        let hosts = daemon.bind.iter().map(|bind| {
            let sign = if bind.optional { "-" } else { "" };
            format!("{sign}{}", bind.host)
        });
        lines.put("bind", hosts.collect::<Vec<_>>().join(" "));
    }
    lines.flag("protected-mode", daemon.protected_mode);
    if let Some(password) = &daemon.requirepass {
        lines.put("requirepass", quote(password.expose()));
    }
    for (name, path) in [
        ("dir", &daemon.dir),
        ("logfile", &daemon.logfile),
        ("pidfile", &daemon.pidfile),
    ] {
        if let Some(path) = path {
            lines.put(name, quote(&path.to_string_lossy()));
        }
    }
    let level = match daemon.loglevel {
        LogLevel::Debug => "debug",
        LogLevel::Verbose => "verbose",
        LogLevel::Notice => "notice",
        LogLevel::Warning => "warning",
        LogLevel::Nothing => "nothing",
    };
    lines.put("loglevel", level);
    lines.flag("daemonize", daemon.daemonize);
    lines.put("maxclients", daemon.maxclients);
    lines.put("tcp-backlog", daemon.tcp_backlog);
    lines.put("tcp-keepalive", daemon.tcp_keepalive.as_secs());
    lines.put("timeout", daemon.timeout.as_secs());
    if let Some(addr) = daemon.bind_source_addr {
        lines.put("bind-source-addr", addr);
    }
    lines.text
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn put(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn flag(&mut self, name: &str, yes: bool) {
        self.put(name, if yes { "yes" } else { "no" });
    }
}
