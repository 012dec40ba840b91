use bellwether_resp::Request;

use super::*;
use crate::command::find_command;

fn access(users: &[(&str, &str)]) -> Access {
    let access = Access::default();
    for (name, rules) in users {
        edit(&access, name, rules).expect("good rules");
    }
    access
}

fn edit(access: &Access, name: &str, rules: &str) -> Result<(), EditError> {
    access.edit(name.as_bytes(), rules.split(' ').map(str::as_bytes))
}

fn rules(access: &Access, name: &str) -> String {
    access
        .users()
        .get(name.as_bytes())
        .expect("the user")
        .rules()
        .join(" ")
}

fn check(access: &Access, name: &str, line: &str) -> Result<(), Denied> {
    let words = Request::from_args(line.split(' ')).expect("words");
    let mut command = find_command(words.name()).expect("a command");
    if let Some(word) = words.arg(1).filter(|_| !command.subcommands.is_empty()) {
        command = command.subcommand(word).expect("a subcommand");
    }
    let attempt = Attempt {
        command,
        words: &words,
        skip: 0,
    };
    access
        .users()
        .get(name.as_bytes())
        .expect("the user")
        .check(&attempt)
}

fn refused(access: &Access, rules: &str) -> String {
    edit(access, "bob", rules).expect_err("bad rules").to_string()
}

#[test]
fn only_the_default_user_with_its_password_is_admitted() {
    let access = Access::new(Some(Secret::new("secret")));
    assert!(access.needs_password());
    assert!(access.newcomer().must_log_in);
    assert!(access.log_in(b"default", b"secret").is_some());
    for (user, password) in [
        ("default", "secreT"),
        ("default", "secret2"),
        ("default", ""),
        ("bob", "secret"),
    ] {
        assert!(
            access.log_in(user.as_bytes(), password.as_bytes()).is_none(),
            "{user} {password}"
        );
    }
    assert!(access.log_in(b"default", &[b'x'; 1_000_000]).is_none());
}

#[test]
fn without_a_password_any_will_do() {
    for access in [Access::default(), Access::new(Some(Secret::new("")))] {
        assert!(!access.needs_password());
        assert!(access.log_in(b"default", b"anything").is_some());
        assert!(access.log_in(b"bob", b"anything").is_none());
    }
}

#[test]
fn a_user_that_is_off_does_not_come_in() {
    let access = access(&[("bob", ">pw")]);
    assert!(access.log_in(b"bob", b"pw").is_none());
    edit(&access, "bob", "on").unwrap();
    assert!(access.log_in(b"bob", b"pw").is_some());
    edit(&access, "bob", "off nopass").unwrap();
    assert!(access.log_in(b"bob", b"pw").is_none());
}

#[test]
fn the_last_rule_that_fits_decides() {
    let access = access(&[
        ("a", "+@all -@dangerous +sentinel|masters"),
        ("b", "+client -client|kill +PING|hello"),
    ]);
    for (user, line, allowed) in [
        ("a", "ping", true),
        ("a", "info", false),
        // Not dangerous itself, but its container is.
        ("a", "sentinel help", false),
        ("a", "sentinel masters", true),
        ("a", "SENTINEL master m", false),
        ("b", "client id", true),
        ("b", "client kill 1.2.3.4:5", false),
        ("b", "ping", false),
        ("b", "ping Hello", true),
        ("b", "ping x", false),
        // Nobody is kept from saying who they are.
        ("b", "auth x", true),
        ("b", "hello", true),
    ] {
        assert_eq!(check(&access, user, line).is_ok(), allowed, "{user}: {line}");
    }
    edit(&access, "b", "+client -@connection").unwrap();
    assert!(check(&access, "b", "ping hello").is_err());
    edit(&access, "b", "+@all").unwrap();
    assert!(check(&access, "b", "shutdown").is_ok());
}

#[test]
fn channels_are_granted_by_pattern_and_patterns_by_the_letter() {
    let access = access(&[("bob", "+@pubsub &a* &[x]"), ("all", "+@pubsub allchannels")]);
    for (line, denied) in [
        ("subscribe abc x", None),
        ("subscribe abc b", Some(2)),
        ("psubscribe a*", None),
        ("psubscribe ab*", Some(1)),
        ("psubscribe [x]", None),
        ("publish b message", Some(1)),
        ("unsubscribe b", None),
    ] {
        let expected = denied.map_or(Ok(()), |index| Err(Denied::Channel(index)));
        assert_eq!(check(&access, "bob", line), expected, "{line}");
        assert_eq!(check(&access, "all", line), Ok(()), "{line}");
    }
}

#[test]
fn one_selector_that_allows_all_of_it_is_enough() {
    let access = access(&[("bob", "+subscribe &a (+psubscribe &b) (+subscribe &c)")]);
    assert_eq!(check(&access, "bob", "subscribe a"), Ok(()));
    assert_eq!(check(&access, "bob", "subscribe c"), Ok(()));
    assert_eq!(check(&access, "bob", "subscribe a c"), Err(Denied::Channel(2)));
    assert_eq!(check(&access, "bob", "psubscribe a"), Err(Denied::Channel(1)));
    assert_eq!(check(&access, "bob", "role"), Err(Denied::Command));
    edit(&access, "bob", "clearselectors").unwrap();
    assert_eq!(check(&access, "bob", "subscribe c"), Err(Denied::Channel(1)));
}

#[test]
fn rules_are_shown_so_that_they_make_the_same_user() {
    let access = access(&[(
        "bob",
        "on >a >b <a ~k* %R~r %W~r %W~w &c +ping +sentinel|masters +sentinel|master -@Dangerous +sentinel (~x +@all -acl)",
    )]);
    let shown = rules(&access, "bob");
    assert_eq!(
        shown,
        "on sanitize-payload #3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d ~k* ~r %W~w \
         resetchannels &c -@all +ping -@dangerous +sentinel (~x resetchannels +@all -acl)"
    );
    edit(&access, "copy", &shown).unwrap();
    assert_eq!(rules(&access, "copy"), shown);
    edit(&access, "copy", "reset").unwrap();
    assert_eq!(rules(&access, "copy"), "off sanitize-payload resetchannels -@all");
    assert_eq!(
        rules(&access, "default"),
        "on nopass sanitize-payload ~* &* +@all"
    );
}

#[test]
fn wrong_rules_change_nothing() {
    let access = access(&[("bob", "on >pw +ping")]);
    let before = rules(&access, "bob");
    assert_eq!(
        refused(&access, "off +nope"),
        "Error in ACL SETUSER modifier '+nope': Unknown command or category name in ACL"
    );
    assert_eq!(
        refused(&access, "off (+ping"),
        "Unmatched parenthesis in acl selector starting at '(+ping'."
    );
    for bad in [
        "foo", "+", "-", "+@", "~a\tb", "&a\nb", "%~x", "%Q~x", "+ping|", "-ping|x", "(on)", "#12", "!12",
        "<x", ")",
    ] {
        refused(&access, bad);
    }
    for bad in [
        ">".to_owned() + &"x".repeat(20_000),
        "on ".repeat(5_000),
        (0..5_000).map(|n| format!("&{n} ")).collect(),
    ] {
        assert_eq!(
            edit(&access, "bob", &bad),
            Err(EditError::Rules(RulesError::TooLong))
        );
    }
    assert_eq!(rules(&access, "bob"), before);
    for name in [&b"a b"[..], b"", b"a\0", b"\xff"] {
        assert_eq!(access.edit(name, []), Err(EditError::Name));
    }
}

#[test]
fn there_are_so_many_users() {
    let access = Access::default();
    for n in 1..MAX_USERS {
        access.edit(n.to_string().as_bytes(), []).expect("room");
    }
    assert_eq!(edit(&access, "one-more", "on"), Err(EditError::TooMany));
    edit(&access, "1", "on").expect("it is there already");
}

#[test]
fn changes_count_at_once() {
    let access = access(&[("bob", "on >pw +ping")]);
    let mut bob = access.log_in(b"bob", b"pw").expect("the password");
    let mut early = access.newcomer();
    edit(&access, "bob", "off +role").unwrap();
    assert!(access.refresh(&mut bob) && rules_of(&bob).contains("+role"));
    edit(&access, "default", ">new").unwrap();
    assert!(access.newcomer().must_log_in);
    assert!(
        access.refresh(&mut early) && !early.must_log_in,
        "it came when nobody had to"
    );
    assert_eq!(access.remove([&b"default"[..], b"nobody", b"bob"]).len(), 1);
    assert!(!access.refresh(&mut bob));
    edit(&access, "default", "nopass").unwrap();
    let mut late = access.newcomer();
    assert!(access.refresh(&mut late) && late.is_known);
}

fn rules_of(identity: &Identity) -> String {
    identity.user.rules().join(" ")
}

fn line(name: &str, rules: &str) -> UserLine {
    UserLine {
        rules: rules.split(' ').map(str::to_owned).collect(),
        file: "f".to_owned(),
        line: 3,
        is_edited: false,
        ..UserLine::unplaced(name.to_owned())
    }
}

fn load(users: Vec<UserLine>, requirepass: Option<&str>) -> Result<Access, AccessError> {
    Access::load(&DaemonOptions {
        users,
        requirepass: requirepass.map(Secret::new),
        ..DaemonOptions::default()
    })
}

#[test]
fn requirepass_closes_what_a_line_leaves_open() {
    let open = "on nopass ~* &* +@all";
    let access = load(vec![line("default", open)], Some("secret")).expect("good users");
    assert!(access.log_in(b"default", b"other").is_none() && access.log_in(b"default", b"secret").is_some());
    // A password in the line counts alone.
    let access = load(vec![line("default", "on >own +@all")], Some("secret")).expect("good users");
    assert!(access.log_in(b"default", b"secret").is_none() && access.log_in(b"default", b"own").is_some());
    assert!(
        !load(vec![line("default", open)], None)
            .expect("good users")
            .needs_password()
    );
}

#[test]
fn a_wrong_line_is_named_and_its_password_is_not() {
    let error = load(vec![line("bob", "on >secret +nope")], None).expect_err("a wrong line");
    assert_eq!(
        error.to_string(),
        "f:3: Unknown command or category name in ACL (rule 3, '+nope')"
    );
    let error = load(vec![line("bob", "on secret")], None).expect_err("a wrong line");
    assert_eq!(error.to_string(), "f:3: Syntax error (rule 2)");
}

#[test]
fn lines_follow_what_was_changed() {
    let loaded = vec![line("a", "on >pw +ping"), line("b", "on >pw"), line("gone", "on")];
    let access = load(loaded.clone(), None).expect("good users");
    assert_eq!(access.lines(&loaded), loaded);
    edit(&access, "b", "nopass").unwrap();
    edit(&access, "c", "on ~k +ping +role (+info &x)").unwrap();
    access.remove([&b"gone"[..]]);
    let lines = access.lines(&loaded);
    let [a, b, c] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(*a, loaded[0]);
    assert_eq!(
        (b.rules.join(" ").as_str(), b.is_edited, b.line),
        ("on nopass sanitize-payload resetchannels -@all", true, 3)
    );
    assert!(c.name == "c" && c.is_edited && c.is_main);
    // Each is a word of its line, and the next start reads the line word by word.
    let again = load(lines.clone(), None).expect("what is written can be loaded");
    assert_eq!(rules(&again, "c"), rules(&access, "c"));
}
