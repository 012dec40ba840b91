//! Real scripts, with delays of milliseconds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bellwether_core::Event;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::hub::Hub;
use crate::telemetry::Telemetry;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

const QUICK: ScriptSettings = ScriptSettings {
    max_runtime: DEADLINE,
    retry_delay: Duration::from_millis(1),
    max_starts: 3,
};

struct Fixture {
    runner: Runner,
    dir: TempDir,
    events: UnboundedReceiver<String>,
    _stop: tokio_util::sync::DropGuard,
}

/// Hands every event on as one line.
struct Tell(UnboundedSender<String>);

impl Telemetry for Tell {
    fn event(&self, event: &Event) {
        // The test may be over.
        let _ = self.0.send(event.to_string());
    }
}

impl Fixture {
    fn start(settings: ScriptSettings) -> Self {
        let runner = Runner::new(settings);
        let (tell, events) = unbounded_channel();
        let stop = CancellationToken::new();
        let announcer = Announcer::new(Hub::new(), Arc::new(Tell(tell)));
        tokio::spawn(runner.clone().run(announcer, stop.clone()));
        Self {
            runner,
            dir: tempfile::tempdir().expect("a directory"),
            events,
            _stop: stop.drop_guard(),
        }
    }

    /// Writes a script that can be executed, and gives its path.
    fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        // Written by another process: a file that is open for writing here could leak into a child of another test,
        // and what is open for writing cannot be executed.
        let written = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", text])
            .arg(&path)
            .status()
            .expect("sh");
        assert!(written.success());
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The next event, with process numbers made equal.
    async fn event(&mut self) -> String {
        let event = tokio::time::timeout(DEADLINE, self.events.recv()).await;
        let event = event.expect("in time").expect("the runner runs");
        let level = |word: &str| match word.parse::<u32>() {
            Ok(pid) if pid > 255 => "<pid>".to_owned(),
            _ => word.replace(&self.dir.path().display().to_string(), "<dir>"),
        };
        event.split(' ').map(level).collect::<Vec<_>>().join(" ")
    }

    async fn expect(&mut self, events: &[&str]) {
        for expected in events {
            assert_eq!(self.event().await, *expected);
        }
    }

    async fn idle(&self) {
        self.wait("no job is left", |runner| runner.counts() == (0, 0))
            .await;
    }

    async fn wait(&self, what: &str, condition: impl Fn(&Runner) -> bool) {
        let wait = async {
            while !condition(&self.runner) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let done = tokio::time::timeout(DEADLINE, wait).await;
        assert!(done.is_ok(), "{what}: {:?}", self.runner.pending());
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_script_gets_its_words_and_our_surroundings() {
    let mut fixture = Fixture::start(QUICK);
    let out = fixture.path("out");
    let text = format!(
        "#!/bin/sh\nfor word; do echo \"$word\"; done >{0}\npwd >>{0}\necho \"$CARGO_MANIFEST_DIR\" >>{0}\n",
        out.display()
    );
    let path = fixture.script("notify", &text);
    let words = ["+sdown", "master m 127.0.0.1 1; $(rm x)", ""];
    fixture
        .runner
        .enqueue(path, words.iter().map(|word| (*word).to_owned()).collect());
    fixture
        .expect(&["+script-child <pid>", "-script-child <pid> 0 0"])
        .await;
    fixture.idle().await;
    let here = std::env::current_dir()
        .expect("a directory")
        .display()
        .to_string();
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let expected = [words[0], words[1], words[2], &here, &package];
    assert_eq!(lines(&out), expected);
}

#[tokio::test]
async fn no_socket_or_file_of_ours_reaches_a_script() {
    let mut fixture = Fixture::start(QUICK);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let out = fixture.path("out");
    let path = fixture.script(
        "ls",
        &format!("#!/bin/sh\nls -l /proc/$$/fd >{}\n", out.display()),
    );
    fixture.runner.enqueue(path, Vec::new());
    fixture
        .expect(&["+script-child <pid>", "-script-child <pid> 0 0"])
        .await;
    drop(listener);
    let open = lines(&out);
    assert!(!open.is_empty());
    assert!(!open.iter().any(|line| line.contains("socket:")), "{open:?}");
}

#[tokio::test]
async fn who_asks_for_it_is_tried_again_but_not_for_ever() {
    let mut fixture = Fixture::start(QUICK);
    let path = fixture.script("again", "#!/bin/sh\nexit 1\n");
    fixture.runner.enqueue(path, Vec::new());
    let once = ["+script-child <pid>", "-script-child <pid> 1 0"];
    for _ in 0..QUICK.max_starts {
        fixture.expect(&once).await;
    }
    fixture.expect(&["-script-error <dir>/again 0 1"]).await;
    fixture.idle().await;
}

#[tokio::test]
async fn an_end_by_a_signal_is_tried_again() {
    let mut fixture = Fixture::start(QUICK);
    let path = fixture.script("signal", "#!/bin/sh\nkill -15 $$\n");
    fixture.runner.enqueue(path, Vec::new());
    let once = ["+script-child <pid>", "-script-child <pid> 0 15"];
    for _ in 0..QUICK.max_starts {
        fixture.expect(&once).await;
    }
    fixture.expect(&["-script-error <dir>/signal 15 0"]).await;
}

#[tokio::test]
async fn any_other_code_is_the_end_at_once() {
    let mut fixture = Fixture::start(QUICK);
    let path = fixture.script("no", "#!/bin/sh\nexit 7\n");
    fixture.runner.enqueue(path, Vec::new());
    fixture
        .expect(&[
            "+script-child <pid>",
            "-script-child <pid> 7 0",
            "-script-error <dir>/no 0 7",
        ])
        .await;
    fixture.idle().await;
}

#[tokio::test]
async fn what_cannot_be_executed_is_given_up() {
    let mut fixture = Fixture::start(QUICK);
    let plain = fixture.script("plain", "no program\n");
    let interpreter = fixture.script("lost", "#!/no/such/interpreter\n");
    fs::set_permissions(fixture.path("plain"), fs::Permissions::from_mode(0o644)).expect("a mode");
    for path in [plain, interpreter, "sh".to_owned(), "/no\0thing".to_owned()] {
        fixture.runner.enqueue(path, Vec::new());
    }
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(fixture.event().await);
    }
    events.sort();
    let expected = [
        "-script-error /no\0thing 0 2",
        "-script-error <dir>/lost 0 2",
        "-script-error <dir>/plain 0 2",
        "-script-error sh 0 2",
    ];
    assert_eq!(events, expected);
    fixture.idle().await;
}

#[tokio::test]
async fn a_file_without_an_interpreter_is_no_shell_script() {
    let mut fixture = Fixture::start(QUICK);
    let path = fixture.script("bare", "exit 0\n");
    fixture.runner.enqueue(path, Vec::new());
    fixture.expect(&["-script-error <dir>/bare 0 2"]).await;
}

#[tokio::test]
async fn who_runs_too_long_is_killed_and_tried_again() {
    let mut fixture = Fixture::start(QUICK);
    let path = fixture.script("slow", "#!/bin/sh\nexec sleep 1000\n");
    fixture.runner.enqueue(path.clone(), vec!["a".to_owned()]);
    fixture.expect(&["+script-child <pid>"]).await;
    let [
        PendingScript {
            argv,
            state: ScriptState::Running { pid, .. },
            starts: 1,
        },
    ] = &fixture.runner.pending()[..]
    else {
        panic!("{:?}", fixture.runner.pending());
    };
    assert_eq!(*argv, [path, "a".to_owned()]);
    assert_ne!(*pid, 0);
    // A new limit counts for what runs already.
    fixture
        .runner
        .change_settings(|settings| settings.max_runtime = Duration::from_millis(1));
    let round = [
        "-script-timeout <dir>/slow <pid>",
        "-script-child <pid> 0 9",
        "+script-child <pid>",
    ];
    fixture.expect(&round).await;
    fixture.expect(&round).await;
    fixture
        .expect(&[
            "-script-timeout <dir>/slow <pid>",
            "-script-child <pid> 0 9",
            "-script-error <dir>/slow 9 0",
        ])
        .await;
    fixture.idle().await;
}

#[tokio::test]
async fn sixteen_run_at_a_time_in_the_order_they_came() {
    let mut fixture = Fixture::start(QUICK);
    let gate = fixture.path("gate");
    let out = fixture.path("out");
    let text = format!(
        "#!/bin/sh\necho $1 >>{}\nwhile [ ! -e {} ]; do sleep 0.01; done\n",
        out.display(),
        gate.display()
    );
    let path = fixture.script("wait", &text);
    for number in 0..20 {
        fixture.runner.enqueue(path.clone(), vec![number.to_string()]);
    }
    for _ in 0..16 {
        fixture.expect(&["+script-child <pid>"]).await;
    }
    assert_eq!(fixture.runner.counts(), (16, 20));
    fixture
        .wait("sixteen have begun", |_| lines(&out).len() == 16)
        .await;
    let pending = fixture.runner.pending();
    let waiting: Vec<&str> = pending
        .iter()
        .filter(|job| matches!(job.state, ScriptState::Scheduled { due_in_ms: 0 }))
        .filter_map(|job| job.argv.get(1).map(String::as_str))
        .collect();
    assert_eq!(waiting, ["16", "17", "18", "19"]);
    fs::write(&gate, "").expect("a gate");
    fixture.idle().await;
    assert_eq!(lines(&out).len(), 20);
}

#[test]
fn the_oldest_that_waits_is_dropped_when_the_queue_is_full() {
    let runner = Runner::default();
    for number in 0..257 {
        runner.enqueue(number.to_string(), Vec::new());
    }
    let paths = |runner: &Runner| -> Vec<String> {
        let pending = runner.pending();
        pending.into_iter().map(|job| job.argv.concat()).collect()
    };
    assert_eq!(runner.counts(), (0, 256));
    assert_eq!(paths(&runner)[0], "1");
    // One that runs is spared.
    let now = Instant::now();
    let killed = runner.lock().queue.due(now).next().map(|job| job.start(now));
    assert!(killed.is_some());
    runner.enqueue("257".to_owned(), Vec::new());
    assert_eq!(runner.counts(), (1, 256));
    assert_eq!(paths(&runner)[..2], ["1", "3"]);
}

#[test]
fn the_delay_doubles_with_each_try() {
    let first = Duration::from_secs(30);
    let delays: Vec<u64> = (1..=9)
        .map(|starts| retry_delay(first, starts).as_secs())
        .collect();
    assert_eq!(delays, [30, 60, 120, 240, 480, 960, 1920, 3840, 7680]);
}

#[tokio::test]
async fn a_retry_waits_for_its_delay() {
    let mut fixture = Fixture::start(ScriptSettings {
        retry_delay: Duration::from_secs(3600),
        ..QUICK
    });
    let path = fixture.script("later", "#!/bin/sh\nexit 1\n");
    fixture.runner.enqueue(path, Vec::new());
    fixture
        .expect(&["+script-child <pid>", "-script-child <pid> 1 0"])
        .await;
    let due = |runner: &Runner| match runner.pending().first() {
        Some(PendingScript {
            state: ScriptState::Scheduled { due_in_ms },
            starts: 1,
            ..
        }) => *due_in_ms,
        other => panic!("{other:?}"),
    };
    assert!((3_500_000..=3_600_000).contains(&due(&fixture.runner)));
}
