//! Whatever we write, we can load; and no text, however broken, does more than be refused. The same for the texts of a
//! kept corpus, from which the fuzz targets begin.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use bellwether_conf::{Config, apply_state, render_state, rewrite};
use bellwether_core::{
    Addr, ConfigEpoch, Epoch, Globals, GroupName, GroupOptions, GroupRecord, Host, HostName, LastVote,
    LogLevel, Registry, Secret, SentinelId,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use check::{check_conf, check_yaml, load};

/// Text of all sorts: plain, blanks, quotes, escapes, control characters, other scripts.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[ \t\"'\\\\#\r\n\u{0}\u{7f}\u{85}\u{a0}\u{2028}a-cäж漢x]{1,12}",
        any::<String>().prop_filter("an empty value means none", |text| !text.is_empty()),
    ]
}

fn name() -> impl Strategy<Value = GroupName> {
    prop_oneof!["[a-z][a-z0-9._-]{0,6}", "[#!äж漢=:/(]{1,4}"]
        .prop_filter_map("not a name", |text| GroupName::new(&text).ok())
}

fn host() -> impl Strategy<Value = Host> {
    let host_name = "[a-zA-Z0-9._-]{1,10}".prop_filter_map("an IP", |text| match Host::parse(&text) {
        Some(Host::Name(_)) => HostName::new(&text).map(Host::Name),
        _ => None,
    });
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Host::Ip(ip.into())),
        any::<[u16; 8]>().prop_map(|ip| Host::Ip(ip.into())),
        host_name,
    ]
}

fn addr() -> impl Strategy<Value = Addr> {
    (host(), any::<u16>()).prop_map(|(host, port)| Addr { host, port })
}

fn id() -> impl Strategy<Value = SentinelId> {
    "[a-f0-9]{40}".prop_filter_map("not an id", |text| SentinelId::new(&text).ok())
}

const MAX: u32 = i32::MAX as u32;

fn options() -> impl Strategy<Value = GroupOptions> {
    let auth = (option::of(odd_text()), option::of(odd_text()));
    let scripts = (option::of(odd_text()), option::of(odd_text()));
    let command = odd_text().prop_map(|text| text.to_ascii_uppercase());
    let renamed = btree_map(command, prop_oneof![Just(String::new()), odd_text()], 0..3);
    let syncs = prop_oneof![Just(1), 1..=MAX];
    let reboot = prop_oneof![Just(0), 1..=MAX];
    let others = (auth, scripts, renamed, reboot);
    (1..=MAX, 1..=MAX, 1..=MAX, syncs, others).prop_map(
        |(quorum, down, timeout, syncs, ((user, pass), (notify, reconfig), renamed, reboot))| GroupOptions {
            notification_script: notify,
            client_reconfig_script: reconfig,
            renamed_commands: renamed,
            reboot_down_after: Duration::from_millis(reboot.into()),
            down_after: Duration::from_millis(down.into()),
            failover_timeout: Duration::from_millis(timeout.into()),
            parallel_syncs: syncs,
            auth_user: user,
            auth_pass: pass.as_deref().map(Secret::new),
            ..GroupOptions::new(quorum)
        },
    )
}

fn globals() -> impl Strategy<Value = Globals> {
    let flags = (any::<bool>(), any::<bool>());
    let auth = (option::of(odd_text()), option::of(odd_text()));
    let announced = (option::of(host()), prop_oneof![Just(0), any::<u16>()]);
    let level = prop::sample::select(LogLevel::ALL.to_vec());
    (flags, auth, announced, level).prop_map(
        |((resolve_hostnames, announce_hostnames), (user, pass), (ip, announce_port), log_level)| Globals {
            announce_ip: ip.map(|host| host.to_string()),
            announce_port,
            resolve_hostnames,
            announce_hostnames,
            sentinel_user: user,
            sentinel_pass: pass.as_deref().map(Secret::new),
            log_level,
        },
    )
}

fn record() -> impl Strategy<Value = GroupRecord> {
    let members = (btree_set(addr(), 0..4), btree_map(id(), addr(), 0..4));
    (addr(), options(), any::<u64>(), any::<u64>(), members).prop_map(
        |(primary, options, config_epoch, vote, (mut replicas, sentinels))| {
            replicas.remove(&primary);
            GroupRecord {
                config_epoch: ConfigEpoch(config_epoch),
                vote: LastVote {
                    epoch: Epoch(vote),
                    candidate: None,
                },
                replicas,
                sentinels,
                ..GroupRecord::new(primary, options)
            }
        },
    )
}

fn registry() -> impl Strategy<Value = Registry> {
    let groups = btree_map(name(), record(), 0..4);
    (id(), any::<u64>(), groups, globals()).prop_map(|(my_id, epoch, mut groups, globals)| {
        let mut current_epoch = Epoch(epoch);
        for record in groups.values_mut() {
            record.sentinels.remove(&my_id);
            current_epoch = current_epoch
                .max(record.config_epoch.into())
                .max(record.vote.epoch);
        }
        Registry {
            my_id,
            current_epoch,
            globals,
            groups,
        }
    })
}

fn has_names(registry: &Registry) -> bool {
    registry.groups.values().any(|record| {
        let known = record.replicas.iter().chain(record.sentinels.values());
        let mut all = known.chain([&record.primary]);
        all.any(|addr| matches!(addr.host, Host::Name(_)))
    })
}

/// Lines as they stand in files, about the groups `a`, `b` and `c`, and garbage.
fn line() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "",
        "  ",
        "\t",
        "port 26379",
        "appendonly yes",
        "user default on nopass ~* &* +@all",
        "bellwether log-format json",
        "# Generated by CONFIG REWRITE",
        "sentinel",
        "SENTINEL resolve-hostnames no",
        "sentinel announce-port 0",
        "sentinel deny-scripts-reconfig yes",
        "sentinel current-epoch 3",
        "sentinel  monitor  a 10.0.0.1 6379 2",
        "sentinel monitor b 10.0.0.1",
        "sentinel down-after-milliseconds a 30000",
        "Sentinel Down-After-Milliseconds b 5000",
        "sentinel known-slave a 10.0.0.2 6379",
        "sentinel known-replica a 10.0.0.2 6379",
        "sentinel notification-script c /bin/true",
        "sentinel client-reconfig-script a /bin/true",
        "sentinel Primary-reboot-down-after-period a 5",
        "sentinel master-reboot-down-after-period a 6",
        "sentinel rename-command a config \"x y\"",
        "sentinel rename-command b ping",
        "loglevel debug",
        "LogLevel notice",
        "loglevel loud",
        "bellwether forget-sentinels-after 7d",
        "sentinel auth-pass a \"x y\"",
        "sentinel auth-pass a \"x",
    ]);
    let ending = prop::sample::select(vec!["", "", "\r"]);
    prop_oneof![
        (plain, ending).prop_map(|(line, ending)| format!("{line}{ending}")),
        "[ \t]{0,2}#[ -~äж]{0,12}",
        "[ -~ä\t]{0,16}",
    ]
}

fn comments(text: &str) -> Vec<&str> {
    text.split('\n')
        .filter(|line| line.trim_start().starts_with('#'))
        .collect()
}

/// Whether `part` is in `whole`, in this order.
fn is_within(part: &[&str], whole: &[&str]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|line| rest.any(|other| other == line))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_rewritten_can_be_loaded(registry in registry(), lines in vec(line(), 0..30)) {
        let text = lines.join("\n");
        let config = Config::default();
        let written = rewrite(&text, &config, &registry);
        let loaded = load(&written);
        prop_assert!(loaded.is_ok(), "{written}\n{loaded:#?}");
        let loaded = loaded.expect("just checked");
        let again = loaded.registry(|| registry.my_id.clone());
        let mut expected = registry.clone();
        // Names in the state can be loaded only where names are allowed, so the file allows them.
        expected.globals.resolve_hostnames |= has_names(&registry);
        prop_assert_eq!(&again, &expected, "{}", written);
        prop_assert_eq!(rewrite(&written, &loaded, &again), written.clone());
        prop_assert!(is_within(&comments(&text), &comments(&written)), "{text}\n-----\n{written}");
    }

    #[test]
    fn a_state_can_be_loaded(registry in registry()) {
        let mut config = Config::default();
        let text = render_state(&registry, &Default::default(), &[]);
        prop_assert_eq!(apply_state(&mut config, &text), Ok(()));
        prop_assert_eq!(config.registry(|| registry.my_id.clone()), registry);
    }

    #[test]
    fn a_quoted_value_is_one_word(value in odd_text()) {
        let quoted = bellwether_conf::quote(&value);
        prop_assert!(!quoted.contains(char::is_control), "{quoted:?}");
        let config = load(&format!("requirepass {quoted}")).expect("a password");
        let password = config.daemon.requirepass.expect("set");
        prop_assert_eq!(password.expose(), value);
    }
}

/// A generator of our own, so that a failure is repeated by its seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).expect("fits")).expect("fits")
    }
}

/// Changes a text in a few places, in ways that parsers trip over.
fn mutate(text: &str, random: &mut Random) -> String {
    const BITS: [&str; 18] = [
        "\"",
        "'",
        "\\",
        "\0",
        "\n",
        "#",
        " ",
        "\\x0",
        "-1",
        "99999999999999999999",
        "é",
        "\u{85}",
        "[",
        "{",
        ": ",
        "&a ",
        "*a",
        "- ",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let until = (at + random.below(20)).min(bytes.len());
        match random.below(5) {
            0 => drop(bytes.drain(at..until)),
            1 => drop(bytes.splice(at..at, BITS[random.below(BITS.len())].bytes())),
            2 => {
                let copy = bytes[at..until].to_vec();
                let to = random.below(bytes.len());
                drop(bytes.splice(to..to, copy));
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).expect("a byte");
                }
            }
            _ => bytes.truncate(until),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const SAMPLE: &str = "port 26379\ndir \"/tmp\"\n# a comment\nsentinel monitor m 10.0.0.1 6379 2\r\n\
    sentinel down-after-milliseconds m 5000\nsentinel auth-pass m \"p \\x41 \\\"\"\nsentinel known-replica m ::1 6380\n\
    sentinel known-sentinel m 10.0.0.3 26379 0123456789012345678901234567890123456789\nbind * -::*\n\
    sentinel myid abcdefabcdefabcdefabcdefabcdefabcdefabcd\nsentinel current-epoch 7\nsentinel config-epoch m 6\n\
    sentinel resolve-hostnames yes\nbellwether state-dir /s\nbellwether coordination raft\nbellwether member-id 2\nbellwether cluster a-b\n\
    bellwether member 1 10.0.0.5 1\nbellwether member 2 n 2\nbellwether stale-reads no\n";

#[test]
fn broken_files_are_refused_and_others_survive_rewriting() {
    let loaded = mutants(SAMPLE, 4000, check_conf);
    assert!(
        loaded > 100,
        "only {loaded} texts could be loaded: the test shows nothing"
    );
}

/// Checks changed versions of a text; gives how many could be loaded.
fn mutants(sample: &str, count: u64, check: fn(&str) -> bool) -> usize {
    let mut loaded = 0;
    for seed in 1..=count {
        let text = mutate(sample, &mut Random(seed * 0x9E37_79B9));
        let outcome = std::panic::catch_unwind(|| check(&text));
        loaded += usize::from(outcome.unwrap_or_else(|_| panic!("seed {seed}: see above\n{text:?}")));
    }
    loaded
}

const YAML_SAMPLE: &str = "port: 26379\nbind: [127.0.0.1, '-::1']\nrequirepass: \"a b\"\nresolve-hostnames: true\nstate-dir: /s\n\
    announce: { ip: 192.0.2.5, port: 1 }\ncoordination: {mode: raft, member-id: 1, members: [{id: 1, host: h, port: 2}]}\n\
    groups:\n  m:\n    primary: 10.0.0.1:6379\n    quorum: 2\n    \
    down-after: 5s\n    auth-pass: 'x'\n  n: {primary: {host: '::1', port: 6379}, quorum: 1}\n";

#[test]
fn broken_yaml_is_refused() {
    let loaded = mutants(YAML_SAMPLE, 2000, check_yaml);
    assert!(
        loaded > 50,
        "only {loaded} texts could be loaded: the test shows nothing"
    );
}

#[test]
fn the_corpus_is_loaded_or_refused_as_its_names_say() {
    for (target, check) in [
        ("conf", check_conf as fn(&str) -> bool),
        ("yaml", check_yaml as fn(&str) -> bool),
    ] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/corpus")
            .join(target);
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let (mut count, mut otherwise) = (0, Vec::new());
        for entry in entries {
            let path = entry.expect("an entry of it").path();
            let text = String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned();
            let outcome = std::panic::catch_unwind(|| check(&text));
            let loaded = outcome.unwrap_or_else(|_| panic!("{}: see above", path.display()));
            let refused = path.extension().is_some_and(|extension| extension == "refused");
            if loaded == refused {
                otherwise.push(path);
            }
            count += 1;
        }
        assert!(
            otherwise.is_empty(),
            "loaded or refused unlike its name: {otherwise:#?}"
        );
        assert!(count >= 8, "{} has lost its files", dir.display());
    }
}

#[test]
fn ten_thousand_groups_are_no_trouble() {
    let mut registry = Registry::new(SentinelId::new(&"a".repeat(40)).expect("an id"));
    registry.groups = (0..10_000_u32)
        .map(|n| {
            let primary = Addr {
                host: Host::Ip(n.to_be_bytes().into()),
                port: 6379,
            };
            let mut record = GroupRecord::new(primary, GroupOptions::new(2));
            record.replicas = BTreeSet::from([Addr::parse("10.0.0.9", 6379).expect("an address")]);
            (GroupName::new(&format!("group-{n}")).expect("a name"), record)
        })
        .collect::<BTreeMap<_, _>>();
    let written = rewrite("port 26379\n", &Config::default(), &registry);
    let config = load(&written).expect("loads");
    assert_eq!(config.groups, registry.groups);
    assert_eq!(rewrite(&written, &config, &registry), written);
}
