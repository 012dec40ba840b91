//! The daemon as the operating system sees it: arguments, signals, exit codes, files.

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use support::{Running, ask, bellwether, ports, run, stderr, until, write};

const MONITOR: &str = "bind 127.0.0.1\nsentinel monitor cache 127.0.0.1 1 2\n";

fn pong(port: u16) -> Result<(), String> {
    ask::<String>(port, &["PING"]).map(drop)
}

fn terminate(mut child: Child) -> Option<i32> {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    until("the daemon ends", || {
        child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
    })
    .code()
}

#[test]
fn it_serves_resp_and_http_until_sigterm() {
    let [port, http] = ports();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("port {port}\nbellwether http-bind 127.0.0.1:{http}\n{MONITOR}");
    let file = write(dir.path(), "s.conf", &text);
    let daemon = bellwether().arg(&file).stdout(Stdio::null()).spawn().unwrap();
    until("the daemon answers", || pong(port));
    let (host, primary): (String, u16) =
        ask(port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "cache"]).unwrap();
    assert_eq!((host.as_str(), primary), ("127.0.0.1", 1));

    let mut client = TcpStream::connect(("127.0.0.1", http)).unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let id: String = ask(port, &["SENTINEL", "MYID"]).unwrap();
    assert_eq!(terminate(daemon), Some(0));
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains(&format!("sentinel myid {id}"))
    );
}

#[test]
fn systemd_is_told_of_the_start_of_reading_anew_and_of_the_end() {
    let [port] = ports();
    let dir = tempfile::tempdir().unwrap();
    // Under a supervisor it stays where it is.
    let text = format!("port {port}\ndaemonize yes\nsupervised auto\n{MONITOR}");
    let file = write(dir.path(), "s.conf", &text);
    let path = dir.path().join("notify");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut message = [0; 512];
        let len = listener.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    let mut command = bellwether();
    command
        .arg(&file)
        .env("NOTIFY_SOCKET", &path)
        .env_remove("UPSTART_JOB");
    let daemon = command.stdout(Stdio::null()).spawn().unwrap();
    let ready = told();
    assert!(ready.starts_with("READY=1\nSTATUS=Serving"), "{ready}");
    // At once, without a second try.
    pong(port).unwrap();
    let info: String = ask(port, &["INFO", "server"]).unwrap();
    assert!(info.contains("process_supervised:systemd"), "{info}");
    kill_process(Pid::from_child(&daemon), Signal::HUP).unwrap();
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), ready);
    assert_eq!(terminate(daemon), Some(0));
    assert!(told().starts_with("STOPPING=1"));
}

/// Nobody writes into these pipes: whoever opens one to read waits for ever, and so did the end of the process.
#[test]
fn a_named_pipe_in_the_place_of_a_file_holds_up_nothing() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let [port] = ports();
    let dir = tempfile::tempdir().unwrap();
    let [users, pass] = ["users", "pass"].map(|name| dir.path().join(name));
    fs::write(&users, "").unwrap();
    fs::write(&pass, "secret\n").unwrap();
    let text = format!(
        "port {port}\naclfile {}\nbellwether sentinel-pass-file {}\n{MONITOR}",
        users.display(),
        pass.display()
    );
    let file = write(dir.path(), "s.conf", &text);
    let daemon = bellwether().arg(&file).stdout(Stdio::null()).spawn().unwrap();
    until("the daemon answers", || pong(port));
    for path in [&users, &pass] {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    kill_process(Pid::from_child(&daemon), Signal::HUP).unwrap();
    // As Sentinel, the reason why nothing was saved is in the log.
    for (command, reason) in [
        ("LOAD", "it is a named pipe and no regular file"),
        ("SAVE", "error trying to save the ACLs"),
    ] {
        let error = ask::<String>(port, &["ACL", command]).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    ask::<String>(port, &["ACL", "SETUSER", "a", "on"]).unwrap();
    assert_eq!(terminate(daemon), Some(0));
}

#[test]
fn directives_come_from_arguments_and_standard_input() {
    let [unused, port] = ports();
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", &format!("port {unused}\n{MONITOR}"));
    let mut daemon = bellwether();
    daemon.args(["server", &file, "--port", &port.to_string(), "-"]);
    let mut daemon = daemon
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    daemon
        .stdin
        .take()
        .unwrap()
        .write_all(b"sentinel monitor other 127.0.0.1 2 1\n")
        .unwrap();
    let daemon = Running(daemon);
    until("the daemon answers", || pong(port));
    assert!(ask::<(String, u16)>(port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "other"]).is_ok());
    drop(daemon);
}

#[test]
fn a_busy_port_is_named_and_leaves_no_traces() {
    let [port] = ports();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("port {port}\n{MONITOR}");
    let file = write(dir.path(), "s.conf", &text);
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&port.to_string()), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn in_the_background_it_serves_before_the_first_process_ends() {
    let [port] = ports();
    let dir = tempfile::tempdir().unwrap();
    let (pidfile, logfile) = (dir.path().join("pid"), dir.path().join("log"));
    let text = format!(
        "port {port}\ndaemonize yes\npidfile {}\nlogfile {}\n{MONITOR}",
        pidfile.display(),
        logfile.display()
    );
    let output = run(&[&write(dir.path(), "s.conf", &text)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let answer = pong(port);
    let pid = until("the pid file is written", || {
        let text = fs::read_to_string(&pidfile).map_err(|error| error.to_string())?;
        text.trim().parse().ok().and_then(Pid::from_raw).ok_or(text)
    });
    kill_process(pid, Signal::TERM).unwrap();
    until("the daemon ends", || {
        if test_kill_process(pid).is_err() {
            Ok(())
        } else {
            Err("it runs".to_owned())
        }
    });
    assert_eq!(answer, Ok(()));
    assert!(!pidfile.exists());
    assert!(
        fs::read_to_string(&logfile)
            .unwrap()
            .contains("+monitor master cache")
    );
}

/// Starts a second daemon on what a first one has; it must end by itself and say why.
fn check_second_refused(first: &Child, file: &str, port: u16, what: &str) {
    let second = run(&[file, "--port", &port.to_string()]);
    assert_eq!(second.status.code(), Some(1));
    let words = stderr(&second);
    let expected = format!(
        "{what} is in use by another coordinator, process {}, and two on one state would lose votes",
        first.id()
    );
    assert!(words.contains(&expected), "{words}");
}

#[test]
fn a_second_daemon_on_the_same_file_ends() {
    let [port, other] = ports();
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "s.conf", &format!("port {port}\n{MONITOR}"));
    let first = Running::start(bellwether().arg(&file));
    until("the daemon answers", || pong(port));
    // Its id has been saved, so the file is not the one that it began with any more.
    check_second_refused(&first.0, &file, other, &file);
    ask::<String>(port, &["SENTINEL", "SET", "cache", "quorum", "1"]).unwrap();
    check_second_refused(&first.0, &file, other, &file);
    pong(port).unwrap();
    drop(first);
    let _third = Running::start(bellwether().args([&file, "--port", &other.to_string()]));
    until("the next daemon answers", || pong(other));
}

#[test]
fn a_second_daemon_on_the_same_state_dir_ends() {
    let [port, other] = ports();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let text = format!("bellwether state-dir {}\n{MONITOR}", state.display());
    let file = write(dir.path(), "s.conf", &format!("port {port}\n{text}"));
    let first = Running::start(bellwether().arg(&file));
    until("the daemon answers", || pong(port));
    let copy = write(dir.path(), "copy.conf", &text);
    check_second_refused(&first.0, &copy, other, &state.display().to_string());
    pong(port).unwrap();
}
