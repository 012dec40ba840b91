//! `bellwether status` against the reference, and its words where there is nothing to ask.

mod support;

use std::process::Command;

use support::{Running, ask, bellwether, installed, ports, run, stderr, stdout, until, write};

#[test]
fn a_redis_sentinel_is_shown_with_its_group() {
    let (server, sentinel) = (installed("redis-server"), installed("redis-sentinel"));
    let [primary, replica, at] = ports();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let common = format!(
        "bind 127.0.0.1\ndir {}\nsave \"\"\nrepl-diskless-sync-delay 0\n",
        dir.display()
    );
    let files = [
        write(dir, "p.conf", &format!("{common}port {primary}\n")),
        write(
            dir,
            "r.conf",
            &format!("{common}port {replica}\nreplicaof 127.0.0.1 {primary}\n"),
        ),
    ];
    let _servers = files.map(|file| Running::start(Command::new(&server).arg(file)));
    until("the replica is in sync", || {
        let info: String = ask(replica, &["INFO", "replication"])?;
        if info.contains("master_link_status:up") {
            Ok(())
        } else {
            Err(info)
        }
    });
    let config = format!(
        "port {at}\nbind 127.0.0.1\nrequirepass secret\nsentinel monitor cache 127.0.0.1 {primary} 1\n"
    );
    let config = write(dir, "s.conf", &config);
    let _sentinel = Running::start(Command::new(sentinel).arg(config));
    let address = format!("127.0.0.1:{at}");
    let password = write(dir, "password", "secret\n");

    let refused = until("the sentinel answers", || {
        let output = run(&["status", "--sentinel", &address]);
        if stderr(&output).contains("nothing listens") {
            Err(stderr(&output))
        } else {
            Ok(output)
        }
    });
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("--password-file"),
        "{}",
        stderr(&refused)
    );

    let args = ["status", "--sentinel", &address, "--password-file", &password];
    let report = until("the replica is known", || {
        let output = bellwether().args(args).arg("--json").output().unwrap();
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|_| stderr(&output))?;
        let known = report["groups"][0]["members"][1]["lag_bytes"].is_u64();
        if known {
            Ok(report)
        } else {
            Err(report.to_string())
        }
    });
    let group = &report["groups"][0];
    assert_eq!((&group["name"], &group["state"]), (&"cache".into(), &"up".into()));
    assert_eq!(group["members"][0]["port"], primary);
    assert_eq!(group["members"][1]["port"], replica);
    assert_eq!(group["members"][1]["behind_best_bytes"], 0);

    // The variable instead of the file.
    let output = bellwether()
        .args(["status", "--sentinel", &address])
        .env("BELLWETHER_PASSWORD", "secret")
        .output();
    let text = stdout(&output.unwrap());
    assert!(text.starts_with("cache  up, quorum 1 of 1 sentinels"), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{replica}")), "{text}");

    // The user may ask for groups and nothing more: the words of the server, and what is missing.
    let acl = "user poor on >poor +sentinel|masters\n";
    let [at_acl] = ports();
    let config =
        format!("port {at_acl}\nbind 127.0.0.1\n{acl}sentinel monitor cache 127.0.0.1 {primary} 1\n");
    let config = write(dir, "acl.conf", &config);
    let _restricted = Running::start(bellwether().arg(config));
    let at_acl = format!("127.0.0.1:{at_acl}");
    let poor = write(dir, "poor", "poor");
    let words = until("the coordinator answers", || {
        let output = run(&[
            "status",
            "--sentinel",
            &at_acl,
            "--user",
            "poor",
            "--password-file",
            &poor,
        ]);
        let text = stderr(&output);
        (!text.contains("nothing listens"))
            .then_some(text.clone())
            .ok_or(text)
    });
    assert!(
        words.contains("let this user ask: User poor has no permissions to run the 'sentinel|replicas'"),
        "{words}"
    );
    assert!(
        words.contains("+sentinel|masters +sentinel|replicas +sentinel|sentinels"),
        "{words}"
    );

    let check = |at: &str| run(&["status", "--check", "--sentinel", at]);
    let well = until("the primary is in sight", || {
        let output = check(&at_acl);
        output
            .status
            .success()
            .then_some(output.clone())
            .ok_or_else(|| stdout(&output))
    });
    assert_eq!(
        (stdout(&well).as_str(), well.status.code()),
        ("OK: 1 group\n", Some(0))
    );
    let unknown = check("127.0.0.1:1");
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        stdout(&unknown).starts_with("UNKNOWN: nothing listens"),
        "{}",
        stdout(&unknown)
    );

    let unknown = bellwether()
        .args(args)
        .args(["--group", "other"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        stderr(&unknown).contains("does not watch a group other"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn what_is_no_sentinel_is_told_apart() {
    let [free, server] = ports();
    let nobody = run(&["status", "--sentinel", &format!("127.0.0.1:{free}")]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("nothing listens"), "{}", stderr(&nobody));

    let _server = Running::start(bellwether().args(["stand-in", "--port", &server.to_string()]));
    until("the server answers", || ask::<String>(server, &["PING"]));
    let output = run(&["status", "--sentinel", &format!("127.0.0.1:{server}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("data server, not a sentinel"),
        "{}",
        stderr(&output)
    );
}
