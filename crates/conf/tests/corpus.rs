//! Files that `redis-sentinel` takes, we take; files that it refuses, we refuse, in the same words. Where that is not
//! so, the table says why. Needs the `redis-sentinel` program (7.0 or later).

use std::collections::VecDeque;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use bellwether_conf::{Config, Severity, Source, judge_scripts, parse, rewrite};
use bellwether_core::SentinelId;

mod corpus_files;

use corpus_files::{Expected, FILES};

/// How many programs run at the same time.
const RUNS: usize = 4;

/// What became of a file: why it was refused, if it was.
type Verdict = Result<(), String>;

/// Starts `redis-sentinel` with a port that is taken, so that it ends either way: over the file or over the port.
fn reference(text: &str, dir: &Path, taken_port: u16) -> Verdict {
    let file = dir.join("sentinel.conf");
    fs::write(&file, text).expect("written");
    let output = Command::new("redis-sentinel")
        .arg(&file)
        .args(["--bind", "127.0.0.1", "--port", &taken_port.to_string()])
        .args(["--daemonize", "no", "--logfile", ""])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("the program redis-sentinel must be installed (Debian: apt-get install redis-sentinel)");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = said.concat();
    if said.contains("Failed listening on port") {
        Ok(())
    } else {
        assert_eq!(output.status.code(), Some(1), "{text}\n-----\n{said}");
        Err(said)
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
fn compare(text: &str, expected: Expected, dir: &Path, taken_port: u16) -> Option<String> {
    let text = &text.replace("@\n", "sentinel monitor m 127.0.0.1 6379 2\n");
    let theirs = reference(text, dir, taken_port);
    let ours = load(text);
    let complaint = match (expected, &ours, &theirs) {
        (Expected::Taken, Ok(config), Ok(())) => check_rewritten(text, config, dir, taken_port)?,
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
fn check_rewritten(text: &str, config: &Config, dir: &Path, taken_port: u16) -> Option<String> {
    let registry = config.registry(|| SentinelId::new(&"a".repeat(40)).expect("an id"));
    let written = rewrite(text, config, &registry);
    if let Err(said) = reference(&written, dir, taken_port) {
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
#[expect(clippy::print_stdout, reason = "the comparison is for people to read")]
fn both_take_the_same_files() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("an address").port();
    let due: Mutex<VecDeque<_>> = Mutex::new(FILES.iter().collect());
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                let dir = tempfile::tempdir().expect("a directory");
                loop {
                    let next = due.lock().expect("no thread has failed").pop_front();
                    let Some((text, expected)) = next else { break };
                    if let Some(complaint) = compare(text, *expected, dir.path(), taken_port) {
                        complaints.lock().expect("no thread has failed").push(complaint);
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no thread has failed");
    let count = |wanted: fn(&Expected) -> bool| FILES.iter().filter(|(_, e)| wanted(e)).count();
    println!(
        "{} files: both take {}, both refuse {}, of which {} in other words; {} are taken by one alone",
        FILES.len(),
        count(|e| matches!(e, Expected::Taken)),
        count(|e| matches!(e, Expected::Refused | Expected::RefusedInOtherWords(_))),
        count(|e| matches!(e, Expected::RefusedInOtherWords(_))),
        count(|e| matches!(e, Expected::OnlyTheirs(_) | Expected::OnlyOurs(_))),
    );
    for (text, expected) in FILES {
        if let Expected::RefusedInOtherWords(why) | Expected::OnlyTheirs(why) | Expected::OnlyOurs(why) =
            expected
        {
            println!("{}: {why}", text.trim_end().replace("@\n", "").escape_debug());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
