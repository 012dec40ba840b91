//! What a configuration names and does not hold: users' rules, certificates, password files, the ACL file, the state
//! directory, the files that the daemon writes. Looks at all of it as the daemon would, and changes nothing.

mod written;

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use bellwether_conf::{Config, Coordination, Problem, STATE_FILE, Severity, TlsOptions, apply_state};
use bellwether_server::{
    Access, AccessError, MAX_STATE_BYTES, MAX_SUBSCRIBER_BYTES, SecretError, Tls, is_absent_credential,
    read_secret_file, read_small_text,
};
use rustix::fs::{Access as Mode, access};

/// All that is wrong with users, files and directories, of the configuration in `file`, and what the daemon would warn
/// of at its start.
pub(crate) fn problems(config: &Config, file: &Path) -> Vec<Problem> {
    if let Some(dir) = &config.daemon.dir
        && let Err(error) = enterable(dir)
    {
        // All other paths count from there.
        let message = format!("cannot change into the directory {}: {error}", dir.display());
        return vec![directory("dir", message, &error)];
    }
    let mut problems = users(config);
    problems.extend(tls(config));
    problems.extend(secret_files(config));
    problems.extend(state_dir(config));
    problems.extend(written::problems(config, file));
    problems.extend(hidden_commands(config));
    problems.extend(output_limit(config));
    problems.extend(own_member(config));
    problems
}

/// What is wrong with the users' rules, and with the ACL file.
pub(crate) fn users(config: &Config) -> Vec<Problem> {
    let mut options = config.daemon.clone();
    options.aclfile = options.aclfile.map(|path| beside(config, &path));
    let problems = Access::problems(&options).into_iter();
    problems
        .map(|error| match error {
            AccessError::User { name, problem, .. } => found(&format!("user {name}"), problem, None),
            other => {
                let hint = io_kind(&other).and_then(hint);
                found("aclfile", chain(&other), hint)
            }
        })
        .collect()
}

fn tls(config: &Config) -> Vec<Problem> {
    let mut options: TlsOptions = config.daemon.tls.clone();
    let key_files = [&mut options.server, &mut options.client];
    let paths = key_files
        .into_iter()
        .flat_map(|files| [&mut files.cert, &mut files.key]);
    for path in paths.chain([&mut options.ca_file, &mut options.ca_dir]).flatten() {
        *path = beside(config, path);
    }
    let asked_by = ["tls-port", "tls-replication"]
        .into_iter()
        .find(|name| config.names(name));
    let problems = Tls::problems(&options).into_iter();
    problems
        .map(|error| {
            let directive = error.directive().or(asked_by).unwrap_or("tls-port");
            found(directive, chain(&error), io_kind(&error).and_then(hint))
        })
        .collect()
}

fn secret_files(config: &Config) -> Vec<Problem> {
    let files = &config.secret_files;
    let own = [
        ("requirepass-file", &files.requirepass),
        ("sentinel-pass-file", &files.sentinel_pass),
    ];
    let own = own.into_iter().filter_map(|(name, path)| {
        let path = path.as_ref()?;
        secret_file(config, name, &format!("bellwether {name}"), path)
    });
    let groups = files.auth_pass.iter().filter_map(|(group, path)| {
        let directive = format!("bellwether auth-pass-file {group}");
        secret_file(config, "auth-pass-file", &directive, path)
    });
    own.chain(groups).collect()
}

fn secret_file(config: &Config, name: &'static str, directive: &str, path: &Path) -> Option<Problem> {
    let is_credential = is_absent_credential(path);
    let there = place_of_secret(config, path);
    let error = read_secret_file(name, &there).err()?;
    let kind = io_kind(&error);
    let is_missing = matches!(error, SecretError::Read { .. }) && kind == Some(io::ErrorKind::NotFound);
    if is_missing && is_credential {
        let message = format!(
            "{} is not there; as a credential of the service it could not be seen from here",
            there.display()
        );
        let hint =
            "set CREDENTIALS_DIRECTORY as the service manager does, or write ./ in front if a file is meant";
        return Some(warning(directive, message, Some(hint)));
    }
    Some(found(directive, chain(&error), kind.and_then(hint)))
}

/// Where a file with a password is to be looked for.
pub(crate) fn place_of_secret(config: &Config, path: &Path) -> PathBuf {
    let is_bare = path.components().count() == 1 && !path.is_absolute();
    // Credentials are where they are, whatever `dir` says.
    match is_bare && !is_absent_credential(path) {
        true => path.to_owned(),
        false => beside(config, path),
    }
}

fn state_dir(config: &Config) -> Option<Problem> {
    const DIRECTIVE: &str = "bellwether state-dir";
    let dir = beside(config, config.daemon.state_dir.as_ref()?);
    let shown = dir.display();
    let writable = enterable(&dir).and_then(|()| Ok(access(&dir, Mode::WRITE_OK)?));
    if let Err(error) = writable {
        let message = format!("no state can be saved in {shown}: {error}");
        return Some(directory(DIRECTIVE, message, &error));
    }
    let path = dir.join(STATE_FILE);
    match read_small_text(&path, MAX_STATE_BYTES) {
        Ok(text) => {
            let error = apply_state(&mut config.clone(), &text).err()?;
            let message = format!("the state file {} cannot be used: {error}", path.display());
            Some(found(DIRECTIVE, message, None))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("cannot read the state file {}: {error}", path.display());
            Some(found(DIRECTIVE, message, hint(error.kind())))
        }
    }
}

fn hidden_commands(config: &Config) -> Vec<Problem> {
    let hidden = config.daemon.command_names.hidden_from_peers();
    let problem = |command: &'static str| {
        let message = format!(
            "other sentinels cannot call {} by another name: they will see this one as down",
            command.to_ascii_uppercase()
        );
        warning(&format!("rename-command {command}"), message, None)
    };
    hidden.map(problem).collect()
}

fn output_limit(config: &Config) -> Option<Problem> {
    const DIRECTIVE: &str = "client-output-buffer-limit";
    let limit = config.daemon.output_limits.pubsub;
    let is_over = limit.hard_bytes == 0 || limit.hard_bytes.max(limit.soft_bytes) > MAX_SUBSCRIBER_BYTES;
    is_over.then(|| {
        let most = MAX_SUBSCRIBER_BYTES >> 20;
        warning(
            DIRECTIVE,
            format!("{most}mb is the most that may wait for a subscriber"),
            None,
        )
    })
}

/// Whether the other members of the log will find this one where the configuration says. Behind a translation of
/// addresses they may, so it is only a warning.
fn own_member(config: &Config) -> Option<Problem> {
    let Coordination::Raft(raft) = &config.daemon.coordination else {
        return None;
    };
    let (_, port) = raft.members.get(&raft.member_id)?;
    let tls = &config.daemon.tls;
    let (directive, open) = match tls.replication {
        true => ("tls-port", tls.port),
        false => ("port", config.daemon.port),
    };
    let is_known = *port == open || config.sentinel.announce_port == Some(*port);
    (!is_known).then(|| {
        warning(
            &format!("bellwether member {}", raft.member_id),
            format!("the other members will look for this one at port {port}, and its {directive} is {open}"),
            Some("members talk to each other at the port for clients; there is none besides for the log"),
        )
    })
}

/// Whether it is a directory that this process may enter.
fn enterable(dir: &Path) -> io::Result<()> {
    if !dir.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(dir, Mode::EXEC_OK)?)
}

/// A directory that cannot be used. One that is not there may be made by the service manager (`StateDirectory=`), and
/// whoever installs wants to check before the first start.
fn directory(directive: &str, message: String, error: &io::Error) -> Problem {
    if error.kind() != io::ErrorKind::NotFound {
        return found(directive, message, hint(error.kind()));
    }
    warning(directive, message, Some(MAKE_IT))
}

const MAKE_IT: &str = "make it, unless the service manager does so before the start: the daemon does not";

fn warning(directive: &str, message: String, hint: Option<&str>) -> Problem {
    Problem {
        severity: Severity::Warning,
        ..found(directive, message, hint)
    }
}

fn found(directive: &str, message: String, hint: Option<&str>) -> Problem {
    Problem {
        severity: Severity::Error,
        directive: directive.to_owned(),
        message,
        hint: hint.map(str::to_owned),
    }
}

/// Relative paths count from the working directory of the daemon.
fn beside(config: &Config, path: &Path) -> PathBuf {
    let dir = config.daemon.dir.as_deref();
    dir.map_or_else(|| path.to_owned(), |dir| dir.join(path))
}

fn hint(kind: io::ErrorKind) -> Option<&'static str> {
    let is_about_rights = kind == io::ErrorKind::PermissionDenied;
    is_about_rights.then_some("check the file as the user that the daemon runs as")
}

/// What the operating system said, if it was that.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind))
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
