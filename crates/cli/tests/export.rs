//! `bellwether export`: what it writes, a real `redis-sentinel` and a real `valkey-sentinel` load.

mod support;

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use support::{Running, ask, bellwether, installed, ports, run, stderr, stdout, until, write};

const ID: &str = "45fa60ed92aa98b9dbd04a1e30f90d9eb8237161";
const OTHER_ID: &str = "2f6c8194f1c4f7e59bd25831202b84d06ad28c6a";

type Fields = HashMap<String, String>;

/// A file of ours on `port`, with the state in it.
fn ours(port: u16) -> String {
    format!(
        "# Kept.\nport {port}\nbind 127.0.0.1\nbellwether log-format json\n\
         sentinel myid {ID}\nsentinel monitor my.cache 127.0.0.1 1 2\n\
         sentinel down-after-milliseconds my.cache 5000\n  Bellwether http-bind \"\"\n\
         sentinel config-epoch my.cache 3\nsentinel leader-epoch my.cache 4\nsentinel current-epoch 5\n\
         sentinel known-replica my.cache 127.0.0.1 2\n\
         sentinel known-sentinel my.cache 127.0.0.1 3 {OTHER_ID}\n"
    )
}

/// Starts the reference on the file and asks it for everything that the file says.
fn check_loaded(file: &Path, port: u16) {
    for program in ["redis-sentinel", "valkey-sentinel"] {
        // It will be rewritten.
        let copy = file.with_extension(program);
        fs::copy(file, &copy).unwrap();
        check_loaded_by(program, &copy, port);
    }
}

fn check_loaded_by(program: &str, file: &Path, port: u16) {
    let log = file.with_extension("log");
    let _sentinel = Running::start(
        Command::new(installed(program))
            .arg(file)
            .arg("--logfile")
            .arg(&log),
    );
    let my_id: String = until("the sentinel to answer", || {
        ask(port, &["SENTINEL", "MYID"])
            .map_err(|error| format!("{error}; {}", fs::read_to_string(&log).unwrap_or_default()))
    });
    assert_eq!(my_id, ID);
    let group: Fields = ask(port, &["SENTINEL", "MASTER", "my.cache"]).unwrap();
    for (field, value) in [
        ("port", "1"),
        ("quorum", "2"),
        ("config-epoch", "3"),
        ("down-after-milliseconds", "5000"),
    ] {
        assert_eq!(group[field], value, "{field}");
    }
    let replicas: Vec<Fields> = ask(port, &["SENTINEL", "REPLICAS", "my.cache"]).unwrap();
    assert_eq!(replicas[0]["name"], "127.0.0.1:2");
    let others: Vec<Fields> = ask(port, &["SENTINEL", "SENTINELS", "my.cache"]).unwrap();
    assert_eq!(others[0]["runid"], OTHER_ID);
    // It remembers its vote: asked for one in that epoch, it gives the old answer.
    let (_, _, epoch): (i64, String, u64) = ask(
        port,
        &[
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            "1",
            "4",
            OTHER_ID,
        ],
    )
    .unwrap();
    assert_eq!(epoch, 4);
}

#[test]
fn a_file_without_what_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = ports();
    let of_valkey = "Sentinel Primary-Reboot-Down-After-Period my.cache 7\n";
    let file = write(dir.path(), "s.conf", &(ours(port) + of_valkey));
    let target = dir.path().join("redis.conf");
    let output = run(&["export", &file, "--output", target.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("line 4 is left out: bellwether log-format json"),
        "{}",
        stderr(&output)
    );
    let text = fs::read_to_string(&target).unwrap();
    assert!(
        text.starts_with("# Kept.\n") && !text.to_ascii_lowercase().contains("bellwether"),
        "{text}"
    );
    assert!(
        text.contains("sentinel master-reboot-down-after-period my.cache 7\n"),
        "{text}"
    );
    check_loaded(&target, port);
}

#[test]
fn yaml_with_its_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = ports();
    let file = write(
        dir.path(),
        "s.conf",
        &ours(port).replace("bellwether log-format json\n", ""),
    );
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let import = run(&[
        "import",
        &file,
        "--output",
        &path("s.yaml"),
        "--state-dir",
        &path("state"),
    ]);
    assert!(import.status.success(), "{}", stderr(&import));
    let output = run(&["export", &path("s.yaml"), "--output", &path("redis.conf")]);
    assert!(output.status.success(), "{}", stderr(&output));
    check_loaded(Path::new(&path("redis.conf")), port);

    let alone = run(&["export", "--state-dir", &path("state")]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    let text = stdout(&alone);
    assert!(
        text.contains("sentinel monitor my.cache 127.0.0.1 1 2\n"),
        "{text}"
    );
    // That there is no state where one is named is an error, not an empty file.
    let missing = run(&["export", &file, "--state-dir", &path("none")]);
    assert_eq!(missing.status.code(), Some(1), "{}", stdout(&missing));
}

#[test]
fn passwords_in_files_of_their_own_are_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    for (name, secret) in [("own", "o \"wn\\n"), ("peers", "peers"), ("servers", "servers#")] {
        write(dir.path(), name, &format!("{secret}\n"));
    }
    let [port] = ports();
    let here = dir.path().display();
    let conf = format!(
        "{}bellwether requirepass-file ./own\nbellwether sentinel-pass-file ./peers\n\
         bellwether auth-pass-file my.cache {here}/servers\ndir {here}\nuser bob on >pw +ping\n",
        ours(port)
    );
    let yaml = format!(
        "port: {port}\nstate-dir: {here}\nrequirepass-file: ./own\nsentinel-pass-file: ./peers\ndir: {here}\n\
         users: [{{ name: bob, rules: 'on >pw +ping' }}]\n\
         groups: {{ my.cache: {{ primary: '127.0.0.1:1', quorum: 2, auth-pass-file: '{here}/servers' }} }}\n"
    );
    for (name, text) in [("s.conf", conf), ("s.yaml", yaml)] {
        let file = write(dir.path(), name, &text);
        let target = dir.path().join(format!("{name}.exported"));
        let output = run(&["export", &file, "--output", target.to_str().unwrap()]);
        let told = stderr(&output);
        assert!(output.status.success(), "{told}");
        assert!(
            told.contains("warning: the export holds passwords")
                && told.contains("requirepass, sentinel sentinel-pass, sentinel auth-pass my.cache;")
                && !told.contains("servers#"),
            "{told}"
        );
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&target).unwrap();
        for line in [
            "requirepass \"o \\\"wn\\\\n\"\n",
            "sentinel sentinel-pass peers\n",
            "sentinel auth-pass my.cache servers#\n",
        ] {
            assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
        }
        assert!(!text.contains("bellwether"), "{text}");

        let _sentinel = Running::start(Command::new("redis-sentinel").arg(&target));
        let login = |user: &str, password: &str| {
            let client = Command::new("redis-cli")
                .args([
                    "-p",
                    &port.to_string(),
                    "--no-auth-warning",
                    "--user",
                    user,
                    "--pass",
                    password,
                    "PING",
                ])
                .output();
            stdout(&client.unwrap())
        };
        until("redis-sentinel to know the password", || {
            let answer = login("default", "o \"wn\\n");
            if answer == "PONG\n" { Ok(()) } else { Err(answer) }
        });
        assert_eq!(login("bob", "pw"), "PONG\n");
    }

    let file = write(dir.path(), "t.conf", "bellwether requirepass-file /no/such\n");
    let output = run(&["export", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/no/such"), "{}", stderr(&output));
}

#[test]
fn a_running_sentinel_of_any_kind() {
    for program in [
        env!("CARGO_BIN_EXE_bellwether"),
        "redis-sentinel",
        "valkey-sentinel",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let [port] = ports();
        let file = write(
            dir.path(),
            "s.conf",
            &ours(port)
                .lines()
                .filter(|line| !line.to_ascii_lowercase().contains("bellwether"))
                .fold(String::new(), |text, line| text + line + "\n"),
        );
        let running = Running::start(Command::new(program).arg(&file));
        let target = dir.path().join("redis.conf");
        let target_name = target.to_str().unwrap();
        let at = format!("127.0.0.1:{port}");
        until("the sentinel to answer", || ask::<String>(port, &["PING"]));
        let output = run(&["export", "--sentinel", &at, "--output", target_name]);
        assert!(output.status.success(), "{program}: {}", stderr(&output));
        assert!(stderr(&output).contains("must be stopped"), "{}", stderr(&output));
        drop(running);
        check_loaded(&target, port);
    }
}

#[test]
fn a_file_that_was_never_started_gets_no_id() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "s.yaml",
        "state-dir: none\ngroups:\n  cache: {primary: '127.0.0.1:1', quorum: 2}\n",
    );
    let output = run(&["export", &file]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        text.contains("sentinel monitor cache 127.0.0.1 1 2") && !text.contains("myid"),
        "{text}"
    );
    assert!(stderr(&output).contains("no state"), "{}", stderr(&output));
}

#[test]
fn sentinel_lines_of_included_files_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let included = write(dir.path(), "more.conf", "sentinel monitor cache 127.0.0.1 1 2\n");
    let file = write(dir.path(), "s.conf", &format!("include {included}\n"));
    let output = run(&["export", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("more.conf line 1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_state_of_a_running_coordinator_is_exported_with_a_note() {
    let [port] = ports();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("port {port}\nbind 127.0.0.1\nsentinel monitor cache 127.0.0.1 1 1\n");
    let file = write(dir.path(), "s.conf", &text);
    let running = Running::start(bellwether().arg(&file));
    until("the coordinator answers", || ask::<String>(port, &["PING"]));
    let output = run(&["export", &file]);
    let note = format!("process {} is using this state", running.0.id());
    assert!(
        output.status.success() && stderr(&output).contains(&note),
        "{}",
        stderr(&output)
    );
    drop(running);
    let output = run(&["export", &file]);
    assert!(!stderr(&output).contains("is using"), "{}", stderr(&output));
    let there = run(&["export", &file, "--output", &file]);
    assert_eq!(there.status.code(), Some(1));
    assert!(
        stderr(&there).contains("choose another name, or move it away"),
        "{}",
        stderr(&there)
    );
}
