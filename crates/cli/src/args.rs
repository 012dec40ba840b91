//! The command line, in two grammars: that of the operator's commands, and that of a sentinel, which takes a
//! file and directives.
//!
//! Owns which of the two applies, and which of the daemon's arguments are the file, standard input, and
//! directives. Never opens a file and never reads a directive; that is `conf`'s work.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{demo, export, import, members, output, stand_in, status};

/// What to run.
#[derive(Debug)]
pub(crate) enum Invocation {
    Server(ServerArgs),
    Check(CheckArgs),
    Import(import::Options),
    Export(export::Options),
    Status(status::Options),
    Members(members::Options),
    Demo(demo::Options),
    StandIn(stand_in::Options),
}

/// How the daemon is to be configured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerArgs {
    /// The configuration file. There may be none, which the daemon refuses.
    pub(crate) file: Option<PathBuf>,
    /// Whether more directives come from standard input.
    pub(crate) stdin: bool,
    /// The other arguments: directives as `--name value…`.
    pub(crate) directives: Vec<String>,
}

/// A reason to end before anything runs.
#[derive(Debug)]
pub(crate) enum Stop {
    /// clap's own: help, version, and errors of use.
    Clap(clap::Error),
    /// The version, for the sentinel's grammar.
    Version,
    /// Its usage.
    Usage,
    /// An argument that cannot be read as text.
    NotText(OsString),
}

impl Stop {
    /// Prints what there is to say; gives the exit code.
    pub(crate) fn print(&self) -> ExitCode {
        match self {
            Self::Clap(error) => {
                // A reader that has gone away is no reason to fail.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
            }
            Self::Version => {
                let _ = output::Output::new().line(VERSION);
                return ExitCode::SUCCESS;
            }
            Self::Usage => output::complain(USAGE),
            Self::NotText(arg) => {
                output::complain(format_args!(
                    "bellwether: argument {} is not UTF-8",
                    arg.display()
                ));
            }
        }
        ExitCode::FAILURE
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    disable_version_flag = true,
    about = "A failover coordinator for Redis and Valkey.",
    after_help = "bellwether FILE is short for bellwether server FILE. Called by a name that contains \
                  redis-sentinel or valkey-sentinel, it takes the arguments of that program.",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the version.
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    #[command(override_usage = "bellwether [server] FILE [--directive value...] [-]")]
    Server(ServerHelp),
    /// Name every problem of a configuration file, with line and column.
    Check(CheckArgs),
    /// Tell what a sentinel.conf of Redis or Valkey Sentinel will mean here.
    Import(import::Options),
    /// Write a sentinel.conf that Redis and Valkey Sentinel load.
    Export(export::Options),
    /// Show groups and their members as a sentinel sees them.
    Status(status::Options),
    /// Show the members of a log that coordinators share, or change them.
    Members(members::Options),
    /// Play a failover on this machine and show its time line.
    Demo(demo::Options),
    #[command(hide = true)]
    StandIn(stand_in::Options),
}

/// Only for help: the arguments themselves are read by [`server_args`], because directives are no options.
#[derive(Debug, clap::Args)]
struct ServerHelp {
    /// A sentinel.conf, or the same as .yaml or .yml. A sentinel.conf is rewritten as things change.
    file: PathBuf,
    /// Directives that override those of the file, and `-` to read more from standard input.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "DIRECTIVE")]
    directives: Vec<String>,
}

/// Which file to check.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// A sentinel.conf, or the same as .yaml or .yml.
    pub(crate) file: PathBuf,
}

/// Reads the command line, the program's name first.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Stop> {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map(OsString::as_os_str).unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    if is_sentinel_name(program) || rest.first().is_some_and(|arg| arg == "--sentinel") {
        return sentinel_args(rest).map(Invocation::Server);
    }
    match rest.first().and_then(|arg| arg.to_str()) {
        Some("server") if !rest.get(1).is_some_and(|arg| arg == "-h" || arg == "--help") => {
            server_args(rest.get(1..).unwrap_or_default()).map(Invocation::Server)
        }
        // A first word that is neither a command nor an option of ours is the daemon's file.
        Some(first) if !is_command(first) && !is_own_option(first) => {
            server_args(rest).map(Invocation::Server)
        }
        _ => commands(&args),
    }
}

/// As Sentinel: the name alone decides, so that a link is a drop-in.
fn is_sentinel_name(program: &OsStr) -> bool {
    let name = Path::new(program)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    SENTINEL_NAMES.iter().any(|known| name.contains(known))
}

fn is_command(word: &str) -> bool {
    use clap::CommandFactory;
    word == "help"
        || Cli::command()
            .get_subcommands()
            .any(|command| command.get_name() == word)
}

fn is_own_option(word: &str) -> bool {
    ["-h", "--help", "-v", "-V", "--version"].contains(&word)
}

fn commands(args: &[OsString]) -> Result<Invocation, Stop> {
    let cli = Cli::try_parse_from(args).map_err(Stop::Clap)?;
    Ok(match cli.command {
        // Reached for `server --help` only, which clap answers itself.
        Command::Server(_) => Invocation::Server(ServerArgs::default()),
        Command::Check(options) => Invocation::Check(options),
        Command::Import(options) => Invocation::Import(options),
        Command::Export(options) => Invocation::Export(options),
        Command::Status(options) => Invocation::Status(options),
        Command::Members(options) => Invocation::Members(options),
        Command::Demo(options) => Invocation::Demo(options),
        Command::StandIn(options) => Invocation::StandIn(options),
    })
}

/// The arguments of `redis-sentinel`, and of ourselves behind `--sentinel`.
fn sentinel_args(args: &[OsString]) -> Result<ServerArgs, Stop> {
    match args.first().and_then(|arg| arg.to_str()) {
        Some("-v" | "--version") => return Err(Stop::Version),
        Some("-h" | "--help") => return Err(Stop::Usage),
        _ => {}
    }
    // Unlike Sentinel, which takes `--sentinel FILE` for a directive and fails on it: every sub-directive has a
    // value, so a single word there can only be meant as the file.
    let is_option = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"--");
    let file_follows = args.first().is_some_and(|arg| arg == "--sentinel")
        && args.get(1).is_some_and(|arg| !is_option(arg))
        && args.get(2).is_none_or(|arg| is_option(arg) || arg == "-");
    server_args(if file_follows { &args[1..] } else { args })
}

/// The daemon's arguments: `[FILE] [--name value...] [-]`.
fn server_args(args: &[OsString]) -> Result<ServerArgs, Stop> {
    let mut parsed = ServerArgs::default();
    let mut args = args;
    if let Some((first, rest)) = args.split_first()
        && !first.as_encoded_bytes().starts_with(b"-")
    {
        parsed.file = Some(PathBuf::from(first));
        args = rest;
    }
    // As Sentinel: `-` means standard input only as the first or the last of what is left.
    if let Some((first, rest)) = args.split_first()
        && first == "-"
    {
        parsed.stdin = true;
        args = rest;
    }
    if let Some((last, rest)) = args.split_last()
        && last == "-"
    {
        parsed.stdin = true;
        args = rest;
    }
    let text = |arg: &OsString| {
        arg.to_str()
            .map(str::to_owned)
            .ok_or_else(|| Stop::NotText(arg.clone()))
    };
    parsed.directives = args.iter().map(text).collect::<Result<_, _>>()?;
    Ok(parsed)
}

/// Names under which we behave as the program that we stand in for.
const SENTINEL_NAMES: [&str; 2] = ["redis-sentinel", "valkey-sentinel"];

const VERSION: &str = concat!("bellwether ", env!("CARGO_PKG_VERSION"));

const USAGE: &str = "\
Usage: redis-sentinel FILE [--directive value...] [-]
       redis-sentinel -v | --version
       redis-sentinel -h | --help

This is bellwether, called by another name. FILE is a sentinel.conf. Directives given as options override those
of the file; - reads more of them from standard input.

  redis-sentinel /etc/redis/sentinel.conf
  redis-sentinel /etc/redis/sentinel.conf --port 26380 --sentinel monitor cache 10.0.0.5 6379 2";

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn server(line: &str) -> ServerArgs {
        match read(words(line)) {
            Ok(Invocation::Server(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn expected(file: &str, stdin: bool, directives: &str) -> ServerArgs {
        let file = (!file.is_empty()).then(|| file.into());
        ServerArgs {
            file,
            stdin,
            directives: directives.split_terminator(' ').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn every_form_of_the_daemon() {
        let port = "--port 26380";
        for (line, args) in [
            ("bellwether s.conf", expected("s.conf", false, "")),
            ("bellwether server s.conf", expected("s.conf", false, "")),
            ("bellwether s.conf --port 26380", expected("s.conf", false, port)),
            (
                "bellwether server s.conf --port 26380 -",
                expected("s.conf", true, port),
            ),
            ("bellwether s.conf - --port 26380", expected("s.conf", true, port)),
            ("bellwether --sentinel s.conf", expected("s.conf", false, "")),
            (
                "bellwether --sentinel s.conf --port 26380",
                expected("s.conf", false, port),
            ),
            ("bellwether --sentinel s.conf -", expected("s.conf", true, "")),
            (
                "/usr/bin/redis-sentinel s.conf --port 26380",
                expected("s.conf", false, port),
            ),
            ("/opt/valkey-sentinel-8 s.conf", expected("s.conf", false, "")),
            // The sentinel's name leaves no room for our commands.
            ("redis-sentinel status", expected("status", false, "")),
            (
                "redis-sentinel s.conf --sentinel",
                expected("s.conf", false, "--sentinel"),
            ),
            ("redis-sentinel -", expected("", true, "")),
            ("redis-sentinel", expected("", false, "")),
            ("bellwether server", expected("", false, "")),
            ("bellwether --port 26380", expected("", false, port)),
        ] {
            assert_eq!(server(line), args, "{line}");
        }
    }

    #[test]
    fn a_directive_that_follows_sentinel_is_no_file() {
        let args = server("bellwether --sentinel monitor m 127.0.0.1 6379 2");
        assert_eq!(args.file, None);
        assert_eq!(args.directives.len(), 6);
    }

    #[test]
    fn commands_are_told_apart() {
        assert!(matches!(
            read(words("bellwether check s.conf")),
            Ok(Invocation::Check(_))
        ));
        assert!(matches!(
            read(words("bellwether status --json")),
            Ok(Invocation::Status(_))
        ));
        for line in [
            "bellwether members",
            "bellwether members add 4 db-4 26379 --sentinel db-1:26379",
            "bellwether members --sentinel db-1:26379 --tls --insecure add 4 db-4 26379",
            "bellwether members transfer --tls --cacert ca.pem",
        ] {
            assert!(matches!(read(words(line)), Ok(Invocation::Members(_))), "{line}");
        }
        assert!(matches!(
            read(words("bellwether demo --replicas 3")),
            Ok(Invocation::Demo(_))
        ));
        assert!(matches!(
            read(words("bellwether stand-in --port 1")),
            Ok(Invocation::StandIn(_))
        ));
    }

    #[test]
    fn help_and_version() {
        let code = |line: &str| match read(words(line)) {
            Err(Stop::Clap(error)) => error.exit_code(),
            Err(Stop::Version) => 0,
            Err(Stop::Usage) => 1,
            other => panic!("{line}: {other:?}"),
        };
        for ok in [
            "bellwether -h",
            "bellwether --help",
            "bellwether -v",
            "bellwether --version",
        ] {
            assert_eq!(code(ok), 0, "{ok}");
        }
        assert_eq!(code("bellwether server --help"), 0);
        assert_eq!(code("redis-sentinel -v"), 0);
        // As Sentinel: help is a failure there.
        assert_eq!(code("redis-sentinel -h"), 1);
        assert_eq!(code("bellwether"), 2);
        assert_eq!(code("bellwether status --nonsense"), 2);
    }
}
