//! Files that `redis-sentinel` and `valkey-sentinel` take, we take; files that they refuse, we refuse, in the same words.
//! Where that is not so, the tables say why. Needs these programs (7.0 or later, 8.0 or later).

use std::collections::VecDeque;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use bellwether_conf::{Config, Severity, Source, judge_scripts, parse, rewrite};
use bellwether_core::SentinelId;

mod corpus_files;

use corpus_files::{Expected, FILES, OTHERWISE_WITH_VALKEY, SECURITY};

/// How many programs run at the same time.
const RUNS: usize = 4;

/// What became of a file: why it was refused, if it was.
type Verdict = Result<(), String>;

/// A program to compare with, and where it runs.
struct Reference<'a> {
    program: &'static str,
    dir: &'a Path,
    /// A port that is taken.
    port: u16,
}

impl Reference<'_> {
    /// Starts it with a port that is taken, so that it ends either way: over the file or over the port.
    fn judge(&self, text: &str) -> Verdict {
        let program = self.program;
        let file = self.dir.join("sentinel.conf");
        fs::write(&file, text).expect("written");
        let output = Command::new(program)
            .arg(&file)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--daemonize", "no", "--logfile", ""])
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("{program} must be installed (scripts/install-test-servers.sh): {error}")
            });
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let said = said.concat();
        // A refusal always tells why; a log may be silent.
        if said.contains("Failed listening on port") || said.is_empty() {
            Ok(())
        } else {
            assert_eq!(output.status.code(), Some(1), "{text}\n-----\n{said}");
            Err(said)
        }
    }
}

fn load(text: &str) -> Result<Config, String> {
    let mut no_files = |_: &str| Ok(Vec::new());
    let main = Source::new("sentinel.conf", text);
    let mut is_executable = |path: &Path| path.starts_with("/bin");
    let problems = match parse(&main, &[], &mut no_files) {
        Ok(config) => match judge_scripts(&config, &main, &mut is_executable) {
            problems if problems.is_empty() => return Ok(config),
            problems => problems,
        },
        Err(problems) => problems,
    };
    let error = problems
        .into_iter()
        .find(|problem| problem.severity == Severity::Error);
    Err(error.expect("refused without an error").message)
}

/// What is wrong with this file's entry in the table; `None` if all is as expected.
fn compare(text: &str, expected: Expected, reference: &Reference<'_>) -> Option<String> {
    let text = &text.replace("@\n", "sentinel monitor m 127.0.0.1 6379 2\n");
    let theirs = reference.judge(text);
    let ours = load(text);
    let complaint = match (expected, &ours, &theirs) {
        (Expected::Taken, Ok(config), Ok(())) => check_rewritten(text, config, reference)?,
        (Expected::Refused, Err(message), Err(said)) if said.contains(message) => return None,
        (Expected::RefusedInOtherWords(_), Err(message), Err(said)) if !said.contains(message) => {
            return None;
        }
        (Expected::OnlyTheirs(_), Err(_), Ok(())) | (Expected::OnlyOurs(_), Ok(_), Err(_)) => return None,
        _ => format!("expected {expected:?}"),
    };
    let ours = ours.err();
    Some(format!(
        "{text}-----\n{complaint}\nours: {ours:?}\ntheirs: {theirs:?}\n"
    ))
}

/// What we make of a file, the reference loads, and we load it with the same meaning.
fn check_rewritten(text: &str, config: &Config, reference: &Reference<'_>) -> Option<String> {
    let registry = config.registry(|| SentinelId::new(&"a".repeat(40)).expect("an id"));
    let written = rewrite(text, config, &registry);
    if let Err(said) = reference.judge(&written) {
        return Some(format!("it does not load what we wrote:\n{written}\n{said}"));
    }
    match load(&written) {
        Err(message) => Some(format!("we do not load what we wrote: {message}\n{written}")),
        Ok(again) if again.registry(|| unreachable!("it is written")) != registry => {
            Some(format!("it does not mean the same any more:\n{written}"))
        }
        Ok(_) => None,
    }
}

#[test]
fn redis_sentinel_takes_the_same_files() {
    compare_all("redis-sentinel", |_, expected| expected);
}

#[test]
fn valkey_sentinel_takes_the_same_files() {
    compare_all("valkey-sentinel", |text, expected| {
        let other = OTHERWISE_WITH_VALKEY.iter().find(|(file, _)| *file == text);
        other.map_or(expected, |(_, expected)| *expected)
    });
    for (text, _) in OTHERWISE_WITH_VALKEY {
        assert!(
            FILES.iter().chain(SECURITY).any(|(file, _)| file == text),
            "{text} is no file of the corpus"
        );
    }
}

#[expect(clippy::print_stdout, reason = "the comparison is for people to read")]
fn compare_all(program: &'static str, expected: impl Fn(&str, Expected) -> Expected) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let files: Vec<(&str, Expected)> = FILES
        .iter()
        .chain(SECURITY)
        .map(|(text, each)| (*text, expected(text, *each)))
        .collect();
    let due: Mutex<VecDeque<_>> = Mutex::new(files.iter().collect());
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                let dir = tempfile::tempdir().expect("a directory");
                let reference = Reference {
                    program,
                    dir: dir.path(),
                    port,
                };
                loop {
                    let next = due.lock().expect("no thread has failed").pop_front();
                    let Some((text, expected)) = next else { break };
                    if let Some(complaint) = compare(text, *expected, &reference) {
                        complaints.lock().expect("no thread has failed").push(complaint);
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no thread has failed");
    let count = |wanted: fn(&Expected) -> bool| files.iter().filter(|(_, e)| wanted(e)).count();
    println!(
        "{program}, {} files: both take {}, both refuse {}, of which {} in other words; {} are taken by one alone",
        files.len(),
        count(|e| matches!(e, Expected::Taken)),
        count(|e| matches!(e, Expected::Refused | Expected::RefusedInOtherWords(_))),
        count(|e| matches!(e, Expected::RefusedInOtherWords(_))),
        count(|e| matches!(e, Expected::OnlyTheirs(_) | Expected::OnlyOurs(_))),
    );
    for (text, expected) in &files {
        if let Expected::RefusedInOtherWords(why) | Expected::OnlyTheirs(why) | Expected::OnlyOurs(why) =
            expected
        {
            println!("{}: {why}", text.trim_end().replace("@\n", "").escape_debug());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
