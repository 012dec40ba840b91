//! From a configuration and, where it is kept apart, its state.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use bellwether_conf::{
    Config, DaemonOptions, LogLevel, STATE_FILE, Secret, SecretFiles, Source, apply_state, is_yaml, quote,
    rewrite,
};
use bellwether_server::{StateLock, is_absent_credential, read_secret_file};

use super::Export;
use crate::{named, process, texts};

/// Stands in for the id of a sentinel that was never started; its line is taken out again.
const NO_ID: &str = "0000000000000000000000000000000000000000";

pub(super) fn export(file: Option<&Path>, state_dir: Option<&Path>) -> anyhow::Result<Export> {
    let mut notes = Vec::new();
    let mut secrets = Secrets::default();
    let (mut config, base) = match file {
        Some(file) => read(file, &mut notes, &mut secrets)?,
        None => (Config::default(), String::new()),
    };
    let dir = state_dir
        .map(Path::to_path_buf)
        .or_else(|| config.daemon.state_dir.as_ref().map(|dir| beside(&config, dir)));
    if let Some(pid) = dir.as_deref().or(file).and_then(StateLock::holder) {
        notes.push(format!(
            "process {pid} is using this state and may change it at any moment: stop it, or ask it by --sentinel"
        ));
    }
    if let Some(dir) = dir {
        take_state(&mut config, &dir, state_dir.is_some(), &mut notes)?;
    }
    // After the state, as the daemon does it.
    secrets.of_groups(&mut config)?;
    // From here on they are passwords like any other, and are written.
    config.secret_files = SecretFiles::default();
    let text = with_state(&base, &config)?;
    if config.groups.is_empty() {
        notes.push("there is no group in it".to_owned());
    }
    if config.daemon.loglevel == LogLevel::Nothing {
        notes.push("loglevel nothing needs Redis Sentinel 7.2 or later".to_owned());
    }
    let secrets = secrets.taken;
    Ok(Export { text, notes, secrets })
}

/// Passwords that stand in files of their own, which no other sentinel reads.
#[derive(Default)]
struct Secrets {
    /// What each of them is for.
    taken: Vec<String>,
}

impl Secrets {
    fn of_process(&mut self, config: &mut Config) -> anyhow::Result<()> {
        let files = config.secret_files.clone();
        if let Some(path) = &files.requirepass {
            config.daemon.requirepass = Some(read_secret(config, "requirepass-file", path)?);
            self.taken.push("requirepass".to_owned());
        }
        if let Some(path) = &files.sentinel_pass {
            config.sentinel.sentinel_pass = Some(read_secret(config, "sentinel-pass-file", path)?);
            self.taken.push("sentinel sentinel-pass".to_owned());
        }
        Ok(())
    }

    fn of_groups(&mut self, config: &mut Config) -> anyhow::Result<()> {
        for (group, path) in config.secret_files.auth_pass.clone() {
            let secret = read_secret(config, "auth-pass-file", &path)?;
            if let Some(record) = config.groups.get_mut(&group) {
                record.options.auth_pass = Some(secret);
                self.taken.push(format!("sentinel auth-pass {group}"));
            }
        }
        Ok(())
    }
}

/// Without the password the export would let everyone in, or nobody, so one that cannot be read is an error.
fn read_secret(config: &Config, directive: &'static str, path: &Path) -> anyhow::Result<Secret> {
    let hint = match is_absent_credential(path) {
        true => "; if it is a credential of the service, set CREDENTIALS_DIRECTORY to where it lies",
        false => "",
    };
    read_secret_file(directive, &named::place_of_secret(config, path))
        .with_context(|| format!("the export needs the password behind it{hint}"))
}

/// The configuration, and the text that its state is put into.
fn read(file: &Path, notes: &mut Vec<String>, secrets: &mut Secrets) -> anyhow::Result<(Config, String)> {
    let parsed = texts::parse(file, Vec::new())?;
    let name = file.display();
    let mut config = match &parsed.result {
        Ok(config) => config.clone(),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            bail!("{name} cannot be used ({first}); see bellwether check {name}");
        }
    };
    secrets.of_process(&mut config)?;
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
    // In the place of the first such line, once.
    let mut password = config.daemon.requirepass.clone();
    for (line, number) in main.text.lines().zip(1..) {
        if let Some(directive) = secret_file(line) {
            // Those of sentinels come back with the state.
            if directive == "requirepass-file"
                && let Some(password) = password.take()
            {
                base.push_str(&format!("requirepass {}\n", quote(password.expose())));
            }
        } else if is_ours(line) {
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

/// The directive of a line that names a file with a password.
fn secret_file(line: &str) -> Option<String> {
    let name = line.split_whitespace().nth(1)?.to_ascii_lowercase();
    (is_ours(line) && name.ends_with("pass-file")).then_some(name)
}

fn is_of_valkey(line: &str) -> bool {
    let mut words = line.split_whitespace().map(str::to_ascii_lowercase);
    words.next().as_deref() == Some("sentinel")
        && words.next().as_deref() == Some("primary-reboot-down-after-period")
}

/// Puts the state of `dir` into the configuration. That there is none is only right where nobody insists on it.
fn take_state(config: &mut Config, dir: &Path, insist: bool, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let path = dir.join(STATE_FILE);
    match bellwether_server::read_small_text(&path, bellwether_server::MAX_STATE_BYTES) {
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

/// What YAML says about the process as directives.
fn generic_lines(daemon: &DaemonOptions) -> String {
    let entries = process::entries(daemon).into_iter();
    let lines = entries.map(|(name, value)| format!("{name} {}\n", value.in_conf()));
    let users = daemon.users.iter().map(|user| format!("{}\n", user.text()));
    let renamed = daemon.command_names.changes().into_iter();
    let renamed = renamed.map(|(command, word)| format!("rename-command {command} {}\n", quote(word)));
    lines.chain(users).chain(renamed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::tests::daemon;

    proptest! {
        #[test]
        fn what_is_written_is_loaded(daemon in daemon()) {
            let text = generic_lines(&daemon);
            let loaded = texts::parse_source(Source::new("f", text.clone()), Vec::new()).result;
            prop_assert!(loaded.is_ok(), "{text}\n{loaded:?}");
            let mut loaded = loaded.expect("just checked").daemon;
            prop_assert!(process::same_users(&loaded.users, &daemon.users), "{text}");
            loaded.users.clone_from(&daemon.users);
            prop_assert_eq!(loaded, daemon, "{}", text);
        }
    }
}
