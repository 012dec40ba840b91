use std::time::Duration;

use bellwether_core::{ConfigEpoch, Epoch};

use super::*;
use crate::LogLevel;
use crate::options::LogFormat;

fn load_nothing(path: &str) -> Result<Vec<Source>, String> {
    Err(format!("no {path} here"))
}

fn good(text: &str) -> Config {
    match parse(&Source::new("f", text), &[], &mut load_nothing) {
        Ok(config) => config,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// The errors as `line:column: message`, and the hints.
fn bad(text: &str) -> Vec<String> {
    let problems = parse(&Source::new("f", text), &[], &mut load_nothing).expect_err("errors");
    problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| {
            let hint = problem.hint.as_deref().map(|hint| format!(" [{hint}]"));
            format!("{problem}{}", hint.unwrap_or_default())
        })
        .collect()
}

fn one_bad(text: &str, expected: &str) {
    assert_eq!(bad(text), [expected], "{text}");
}

#[test]
fn a_file_as_people_have_it() {
    let config = good(
        "# comment\n\
         port 26380\r\n\
         bind 127.0.0.1 -::1\n\
         \tDIR \"/tmp\"\n\
         logfile ''\n\
         loglevel WARNING\n\
         protected-mode no\n\
         sentinel down-after-milliseconds m 5000\n\
         sentinel known-slave m 10.0.0.2 6379\n\
         sentinel known-sentinel m 10.0.0.3 26379 0123456789012345678901234567890123456789\n\
         sentinel auth-pass m \"a b\"\n\
         sentinel config-epoch m 7\n\
         sentinel leader-epoch m 9\n\
         SENTINEL Monitor m 10.0.0.1 6379 2\n\
         sentinel current-epoch 3\n\
         sentinel\n\
         sentinel myid abcdefabcdefabcdefabcdefabcdefabcdefabcd\n\
         user default on nopass ~* &* +@all\n\
         latency-tracking-info-percentiles 50 99 99.9\n\
         bellwether log-format json\n\
         bellwether http-bind 127.0.0.1:9121\n",
    );
    assert_eq!(config.warnings, []);
    assert_eq!(config.daemon.port, 26380);
    assert_eq!(config.daemon.bind.len(), 2);
    assert!(config.daemon.bind[1].optional);
    assert_eq!(config.daemon.loglevel, LogLevel::Warning);
    assert_eq!(config.daemon.log_format, LogFormat::Json);
    assert_eq!(config.daemon.logfile, None);
    assert_eq!(config.current_epoch, Epoch(9));
    let record = &config.groups["m"];
    assert_eq!(record.config_epoch, ConfigEpoch(7));
    assert_eq!(record.vote.epoch, Epoch(9));
    assert_eq!(record.options.down_after.as_millis(), 5000);
    assert_eq!(record.options.auth_pass.as_ref().map(|p| p.expose()), Some("a b"));
    assert_eq!((record.replicas.len(), record.sentinels.len()), (1, 1));
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    assert_eq!(
        bad(
            "port x\n\nsentinel monitor a 10.0.0.1 99999 0\n  sentinel down-after-milliseconds a 1\nprot 1\nport 1 2\n"
        ),
        [
            "f:1:6: argument couldn't be parsed into an integer ['x' was given]",
            "f:3:29: Invalid port number.",
            "f:3:35: Quorum must be 1 or greater.",
            "f:5:1: Bad directive or wrong number of arguments [did you mean 'port'?]",
            "f:6:1: wrong number of arguments",
        ]
    );
}

#[test]
fn numbers_must_be_numbers() {
    let monitor = "sentinel monitor m 10.0.0.1 6379 1\n";
    one_bad(
        &format!("{monitor}sentinel down-after-milliseconds m 1000abc"),
        "f:2:36: '1000abc' is not a whole number [Redis Sentinel would read 1000 and ignore what follows; \
         write 1000 if that is meant]",
    );
    one_bad(
        &format!("{monitor}sentinel failover-timeout m 0"),
        "f:2:29: negative or zero time parameter.",
    );
    one_bad(
        &format!("{monitor}sentinel failover-timeout m 99999999999999999999"),
        "f:2:29: the number '99999999999999999999' is too large",
    );
    one_bad(
        &format!("{monitor}sentinel config-epoch m -1"),
        "f:2:25: an epoch lies between 0 and 18446744073709551615",
    );
    one_bad(
        "maxclients 0",
        "f:1:12: argument must be between 1 and 4294967295 inclusive",
    );
}

#[test]
fn host_names_need_resolve_hostnames() {
    one_bad(
        "sentinel monitor m redis-1 6379 1",
        "f:1:20: Can't resolve instance hostname. ['redis-1' is a host name: add the line 'sentinel \
         resolve-hostnames yes', or write its IP address]",
    );
    one_bad(
        "sentinel monitor m 10.0.0.300 6379 1",
        "f:1:20: Can't resolve instance hostname. ['10.0.0.300' is not a valid IPv4 address]",
    );
    let config = good("sentinel monitor m redis-1 6379 1\nsentinel resolve-hostnames yes");
    assert_eq!(config.groups["m"].primary.to_string(), "redis-1:6379");
}

#[test]
fn groups_must_exist_once() {
    one_bad(
        "sentinel monitor mymaster ::1 1 1\nsentinel auth-user mymastr u",
        "f:2:20: No such master with specified name. [did you mean 'mymaster'?]",
    );
    one_bad(
        "sentinel monitor m ::1 1 1\nsentinel monitor m ::1 1 1",
        "f:2:18: Duplicate master name.",
    );
    one_bad(
        "sentinel monitor m,n ::1 1 1",
        "f:1:18: Invalid group name: the character ',' is not allowed in it",
    );
}

#[test]
fn shapes_are_checked() {
    one_bad(
        "sentinel monitor m ::1 1",
        "f:1:10: Unrecognized sentinel configuration statement. [usage: sentinel monitor <name> <host> <port> \
         <quorum>]",
    );
    one_bad(
        "sentinel down-after-miliseconds m 1",
        "f:1:10: Unrecognized sentinel configuration statement. [did you mean 'down-after-milliseconds'?]",
    );
    one_bad(
        "monitor m ::1 1 1",
        "f:1:1: Bad directive or wrong number of arguments [did you mean 'sentinel monitor …'?]",
    );
    one_bad(
        "bellwether http-bnd x",
        "f:1:12: Bad directive or wrong number of arguments [did you mean 'http-bind'?]",
    );
    one_bad(
        "sentinel myid abc",
        "f:1:15: Malformed Sentinel id in myid option. [an id has 40 characters; remove the line to get a fresh \
         one]",
    );
    one_bad("dir \"/tmp", "f:1:5: Unbalanced quotes in configuration line");
}

#[test]
fn members_are_named_once() {
    let monitor = "sentinel monitor m 10.0.0.1 1 1\n";
    one_bad(
        &format!("{monitor}sentinel known-replica m 10.0.0.2 1\nsentinel known-slave m 10.0.0.2 1"),
        "f:3:24: Duplicate hostname and port for replica.",
    );
    one_bad(
        &format!("{monitor}sentinel known-sentinel m 10.0.0.2 1 x\nsentinel known-sentinel m 10.0.0.3 1 x"),
        "f:3:27: Duplicate runid for sentinel.",
    );
    // The form without an id is ignored.
    let config = good(&format!("{monitor}sentinel known-sentinel m 10.0.0.2 1"));
    assert!(config.groups["m"].sentinels.is_empty());
}

#[test]
fn own_commands_are_renamed_and_switched_off() {
    let config = good("rename-command SHUTDOWN \"\"\nrename-command Ping \"x y\"");
    let changes = config.daemon.command_names.changes();
    assert_eq!(changes, [("ping", "x y"), ("shutdown", "")]);
    for (text, expected) in [
        (
            "rename-command GET x",
            "f:1:16: No such command in rename-command",
        ),
        (
            "rename-command PING x\nrename-command PING y",
            "f:2:16: No such command in rename-command",
        ),
        (
            "rename-command PING Info",
            "f:1:21: Target command name already exists",
        ),
        (
            "rename-command PING",
            "f:1:1: Bad directive or wrong number of arguments",
        ),
    ] {
        let problems = bad(text);
        assert!(
            problems.len() == 1 && problems[0].starts_with(expected),
            "{problems:?}"
        );
    }
}

#[test]
fn users_are_taken_as_they_are() {
    let config = good("user bob on >secret \"+@all\"\nacllog-max-len 7\nacl-pubsub-default allchannels");
    let [bob] = &config.daemon.users[..] else {
        panic!("{:?}", config.daemon.users)
    };
    assert_eq!((bob.name.as_str(), bob.line, bob.is_main), ("bob", 1, true));
    assert_eq!(bob.rules, ["on", ">secret", "+@all"]);
    assert_eq!(config.daemon.acllog_max_len, 7);
    assert!(config.daemon.acl_pubsub_allchannels);
    for text in [
        "user",
        "user \"\" on",
        "user \"a b\" on",
        "user bob on >secret\nuser bob off >secret",
        "user bob on >secret\naclfile /etc/users.acl",
        "acl-pubsub-default maybe",
    ] {
        let problems = bad(text);
        assert_eq!(problems.len(), 1, "{text}");
        assert!(!problems[0].contains("secret"), "{text}: {}", problems[0]);
    }
}

#[test]
fn requirepass_beside_an_open_default_user_is_a_warning() {
    let digest = "user default on #0123 ~* &* +@all\nrequirepass x";
    assert_eq!(good(digest).warnings, []);
    assert_eq!(
        good("user default on nopass ~* +@all\nrequirepass x")
            .warnings
            .len(),
        1
    );
}

#[test]
fn passwords_are_not_shown() {
    let text = "sentinel auth-pass nobody secret\nrequirepass secret more\nsentinel sentinel-pass a secret";
    let problems = parse(&Source::new("f", text), &[], &mut load_nothing).expect_err("errors");
    assert_eq!(problems.len(), 3);
    for problem in problems {
        assert!(!problem.report().contains("secret"), "{}", problem.report());
        assert!(problem.directive.ends_with("******"));
    }
}

#[test]
fn passwords_behind_a_slip_are_not_shown() {
    for (text, shown) in [
        ("requirepas hush", "requirepas ******"),
        ("  Requirepas 'hush'", "Requirepas ******"),
        ("requirepass=hush", "requirepass******"),
        ("requirepass:hush more", "requirepass******"),
        ("replica-x=hush 1", "replica-x******"),
        ("'>hush' on", "******"),
        ("sentinel auth-pas g hush", "sentinel auth-pas ******"),
        ("sentinel auth-pass hush", "sentinel auth-pass ******"),
        ("sentinel sentinel-pass=hush", "sentinel sentinel-pass******"),
        ("sentinel hushpass: x", "sentinel hushpass******"),
        (
            "bellwether requirepas-file hush",
            "bellwether requirepas-file ******",
        ),
        ("usr a on >hush", "usr ******"),
        ("user '>hush' '>hush'\nuser '>hush' x", "user ******"),
        ("auth-pass g hush", "auth-pass ******"),
    ] {
        let problems = parse(&Source::new("f", text), &[], &mut load_nothing).expect_err(text);
        assert_eq!(problems[0].directive, shown);
        let hidden = problems[0].report().replace("hushpass", "");
        assert!(!hidden.contains("hush"), "{hidden}");
    }
    let problems = parse(&Source::new("f", "requirepas hush"), &[], &mut load_nothing).expect_err("a slip");
    let expected = "error: f:1:1: Bad directive or wrong number of arguments\n  | requirepas ******\n  = did you mean 'requirepass'?";
    assert_eq!(problems[0].report(), expected);
    // What is right in name and wrong in value is shown as it is.
    let problems = parse(&Source::new("f", " port  x"), &[], &mut load_nothing).expect_err("no port");
    assert_eq!(problems[0].directive, " port  x");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let config = good(
        "sentinel monitor m 10.0.0.1 6379 1\n\
         appendonly yes\n\
         rdbcompression yes\n\
         sentinel notification-script m /bin/true\n\
         sentinel rename-command m CONFIG x\n\
         sentinel parallel-syncs m 0\n\
         sentinel master-reboot-down-after-period m 0\n",
    );
    let places: Vec<_> = config.warnings.iter().map(|w| (w.severity, w.line)).collect();
    assert_eq!(places, [2, 3, 6].map(|line| (Severity::Warning, line)));
    assert_eq!(config.groups["m"].options.parallel_syncs, 1);
}

#[test]
fn scripts_and_renamed_commands_are_taken() {
    let config = good(
        "sentinel monitor m 10.0.0.1 6379 1\n\
         sentinel notification-script m \"/bin/a b\"\n\
         sentinel client-reconfig-script m /bin/true\n\
         sentinel rename-command m config x\n\
         sentinel primary-reboot-down-after-period m 5\n\
         bellwether forget-sentinels-after 7d\n\
         bellwether forget-replicas-after 90\n",
    );
    let options = &config.groups["m"].options;
    assert_eq!(options.notification_script.as_deref(), Some("/bin/a b"));
    assert_eq!(options.client_reconfig_script.as_deref(), Some("/bin/true"));
    assert_eq!(
        options.renamed_commands,
        [("CONFIG".to_owned(), "x".to_owned())].into()
    );
    assert_eq!(options.reboot_down_after, Duration::from_millis(5));
    let after = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(config.sentinel.forget_sentinels_after, after(7 * 86_400));
    assert_eq!(config.sentinel.forget_replicas_after, after(90));
    assert_eq!(config.warnings, []);
    for never in ["0", "0d"] {
        let config = good(&format!("bellwether forget-replicas-after {never}"));
        assert_eq!(config.sentinel.forget_replicas_after, None);
    }
}

#[test]
fn a_command_is_renamed_once_in_a_file_and_the_main_file_counts() {
    let text = "sentinel monitor m 10.0.0.1 6379 1\nsentinel rename-command m CONFIG a\n";
    let main = Source::new("f", text);
    let other = Source::new("command line", "sentinel rename-command m Config b\n");
    let config = parse(&main, &[other], &mut load_nothing).expect("good");
    let renamed = &config.groups["m"].options.renamed_commands;
    assert_eq!(renamed.get("CONFIG").map(String::as_str), Some("a"));
    assert_eq!(renamed.len(), 1);
}

#[test]
fn later_texts_override_and_the_main_file_keeps_its_state() {
    let main = Source::new("f", "port 1\nsentinel monitor m 10.0.0.2 6379 2\n");
    let line = crate::overrides_from_args(&[
        "--port",
        "2",
        "--sentinel",
        "monitor",
        "m",
        "10.0.0.1",
        "6379",
        "1",
    ]);
    let config = parse(&main, &[line.expect("arguments")], &mut load_nothing).expect("good");
    assert_eq!(config.daemon.port, 2);
    assert_eq!(config.groups["m"].primary.to_string(), "10.0.0.2:6379");
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].file, "command line");
}

#[test]
fn include_reads_relative_to_dir_and_ends() {
    let mut asked = Vec::new();
    let mut load = |path: &str| {
        asked.push(path.to_owned());
        Ok(vec![Source::new(
            path,
            "sentinel monitor m 10.0.0.1 6379 1\nport 7",
        )])
    };
    let main = Source::new(
        "f",
        "dir /etc\ndir redis\ninclude groups.d/*.conf\nsentinel auth-user m u",
    );
    let config = parse(&main, &[], &mut load).expect("good");
    assert_eq!(asked, ["/etc/redis/groups.d/*.conf"]);
    assert_eq!((config.daemon.port, config.groups.len()), (7, 1));

    let mut endless = |path: &str| Ok(vec![Source::new(path, "include x\ninclude x\n")]);
    let problems = parse(&Source::new("f", "include x"), &[], &mut endless).expect_err("endless");
    assert!(problems[0].message.contains("nested deeper"), "{}", problems[0]);

    one_bad(
        "include y",
        "f:1:9: Fatal error, can't open config file 'y': no y here",
    );
}

#[test]
fn garbage_gives_a_bounded_report() {
    let problems = bad(&"garbage\n".repeat(5000));
    assert_eq!(problems.len(), 1000);
}

#[test]
fn a_report_points_at_the_place() {
    let text = "\tsentinel monitor ä redis-1 6379 1";
    let problems = parse(&Source::new("f", text), &[], &mut load_nothing).expect_err("errors");
    assert_eq!(
        problems[0].report(),
        "error: f:1:21: Can't resolve instance hostname.\n  | \tsentinel monitor ä redis-1 6379 1\n  | \
         \t                   ^\n  = 'redis-1' is a host name: add the line 'sentinel resolve-hostnames yes', or \
         write its IP address"
    );
}
