//! Coordinators that share a log: what one is told, all know.

#[path = "../fleet/mod.rs"]
mod fleet;
mod members;

use bellwether_core::{
    Addr, Answer, ConfigEpoch, Epoch, GroupName, GroupOptions, GroupRecord, Refusal, Registry, Request,
    Secret,
};
use fleet::{Fleet, member, seconds};
use members::lead;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn group() -> GroupName {
    GroupName::new("cache").expect("a name")
}

/// A configuration with one group, whose primary listens there.
fn configuration(port: u16) -> Registry {
    let primary = Addr::parse("127.0.0.1", port).expect("an address");
    let mut registry = Registry::new(member(9));
    registry
        .groups
        .insert(group(), GroupRecord::new(primary, GroupOptions::new(2)));
    registry
}

/// Three members with the same configuration, one of whom leads.
fn founded() -> Fleet {
    let mut fleet = Fleet::new();
    for id in 1..=3 {
        fleet.start(id, 3, &configuration(6379));
    }
    fleet.until("a leader", |fleet| fleet.leader().is_some());
    fleet.until("the group on all", |fleet| {
        fleet
            .nodes
            .values()
            .all(|node| node.core.registry().groups.contains_key("cache"))
    });
    fleet
}

/// Three members with this configuration that watch a primary and its replica.
fn with_a_replica(local: &Registry) -> Fleet {
    let mut fleet = Fleet::new();
    fleet.servers = [(6379, None), (6380, Some(6379))].into();
    for id in 1..=3 {
        fleet.start(id, 3, local);
    }
    fleet.until("the replica on all", |fleet| {
        let mut nodes = fleet.nodes.values();
        nodes.all(|node| {
            let record = node.core.registry().groups.get("cache");
            record.is_some_and(|record| record.replicas.len() == 1)
        })
    });
    fleet.run(2000);
    fleet
}

fn follower(fleet: &Fleet) -> u64 {
    let leader = fleet.leader().expect("a leader");
    (1..=3).find(|id| *id != leader).expect("there are three")
}

fn set(words_of: &str) -> Request {
    Request::Set {
        name: "cache".to_owned(),
        words: words(words_of),
        not_executable: Vec::new(),
    }
}

#[test]
fn everybody_begins_with_what_the_first_leader_was_configured_with() {
    let mut fleet = founded();
    fleet.run(100);
    for (id, node) in &fleet.nodes {
        let registry = node.core.registry();
        assert_eq!(registry.my_id, member(*id));
        let others: Vec<_> = (1..=3).filter(|other| other != id).map(member).collect();
        let known: Vec<_> = registry.groups["cache"].sentinels.keys().cloned().collect();
        assert_eq!(known, others, "of member {id}");
    }
}

#[test]
fn an_order_to_any_of_them_counts_for_all() {
    let mut fleet = founded();
    let to = follower(&fleet);
    let answer = fleet.order(to, set("down-after-milliseconds 7000 quorum 1"));
    assert_eq!(answer, Answer::Ok);
    fleet.run(100);
    for node in fleet.nodes.values() {
        let options = &node.core.registry().groups["cache"].options;
        assert_eq!((options.down_after, options.quorum), (seconds(7), 1));
        let told = node.events.iter().filter(|event| event.starts_with("+set"));
        assert_eq!(told.count(), 2, "{:?}", node.events);
    }
}

#[test]
fn two_orders_at_once_do_not_both_count() {
    let mut fleet = founded();
    let monitor = |port: &str| Request::Monitor {
        name: "second".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: port.to_owned(),
        quorum: "2".to_owned(),
    };
    let questions = [fleet.ask(1, monitor("7001")), fleet.ask(2, monitor("7002"))];
    fleet.until("both answers", |fleet| {
        questions.iter().all(|question| fleet.answer(*question).is_some())
    });
    let ok = questions
        .iter()
        .filter(|q| fleet.answer(**q) == Some(&Answer::Ok));
    assert_eq!(ok.count(), 1);
    let refused = Answer::Refused(Refusal::DuplicateGroup);
    assert!(questions.iter().any(|q| fleet.answer(*q) == Some(&refused)));
    fleet.run(100);
    let primaries: Vec<_> = fleet
        .nodes
        .values()
        .map(|node| node.core.registry().groups["second"].primary.clone())
        .collect();
    assert!(
        primaries.windows(2).all(|pair| pair[0] == pair[1]),
        "{primaries:?}"
    );
}

#[test]
fn without_a_majority_nothing_is_changed_and_the_client_learns_so() {
    let mut fleet = founded();
    let leader = fleet.leader().expect("a leader");
    let check = || Request::CheckQuorum {
        name: "cache".to_owned(),
    };
    let fine = fleet.order(leader, check());
    assert!(matches!(fine, Answer::Status(_)), "{fine:?}");
    for id in (1..=3).filter(|id| *id != leader) {
        fleet.cut(id);
    }
    let began = fleet.now;
    let answer = fleet.order(leader, set("quorum 1 parallel-syncs 9"));
    assert!(
        matches!(answer, Answer::Refused(Refusal::NoQuorum(_))),
        "{answer:?}"
    );
    assert!(fleet.now - began <= 4000, "after {} ms", fleet.now - began);
    let options = &fleet.nodes[&leader].core.registry().groups["cache"].options;
    assert_eq!((options.quorum, options.parallel_syncs), (2, 1));
    fleet.run(3000);
    let lacks = fleet.order(leader, check());
    assert!(
        matches!(&lacks, Answer::Refused(Refusal::NoQuorum(why)) if why.contains("members of the log")),
        "{lacks:?}"
    );
    // What was not decided then is not decided by halves later.
    fleet.cut.clear();
    fleet.until("a leader again", |fleet| fleet.leader().is_some());
    fleet.run(2000);
    for node in fleet.nodes.values() {
        let options = &node.core.registry().groups["cache"].options;
        let both = (options.quorum, options.parallel_syncs);
        assert!(both == (2, 1) || both == (1, 9), "{both:?}");
    }
}

#[test]
fn all_killed_at_once_know_everything_again() {
    let mut fleet = founded();
    let to = follower(&fleet);
    assert_eq!(fleet.order(to, set("quorum 1")), Answer::Ok);
    (1..=3).for_each(|id| fleet.kill(id));
    // What is configured by now does not count any more.
    (1..=3).for_each(|id| fleet.start(id, 3, &configuration(6380)));
    fleet.until("a leader", |fleet| fleet.leader().is_some());
    fleet.run(500);
    for node in fleet.nodes.values() {
        let record = &node.core.registry().groups["cache"];
        assert_eq!((record.options.quorum, record.primary.port), (1, 6379));
        let told = |word: &str| node.events.iter().filter(|event| event.starts_with(word)).count();
        assert_eq!((told("+monitor"), told("+set")), (1, 0), "{:?}", node.events);
    }
    // The past is not told again, but what comes now is.
    assert_eq!(fleet.order(to, set("quorum 2")), Answer::Ok);
    fleet.run(100);
    for node in fleet.nodes.values() {
        assert!(
            node.events.iter().any(|event| event.starts_with("+set")),
            "{:?}",
            node.events
        );
    }
}

#[test]
fn the_death_of_the_leader_delays_an_order_and_does_not_lose_it() {
    let mut fleet = founded();
    let leader = fleet.leader().expect("a leader");
    let to = follower(&fleet);
    fleet.kill(leader);
    assert_eq!(fleet.order(to, set("quorum 1")), Answer::Ok);
    fleet.run(100);
    for node in fleet.nodes.values() {
        assert_eq!(node.core.registry().groups["cache"].options.quorum, 1);
    }
}

#[test]
fn settings_of_one_coordinator_stay_its_own() {
    let mut fleet = founded();
    let to = follower(&fleet);
    let config = Request::ConfigSet {
        words: words("announce-ip 10.0.0.9 sentinel-user ops loglevel debug"),
    };
    assert_eq!(fleet.order(to, config), Answer::Ok);
    fleet.run(100);
    for (id, node) in &fleet.nodes {
        let globals = &node.core.registry().globals;
        assert_eq!(globals.sentinel_user.as_deref(), Some("ops"));
        assert_eq!(globals.announce_ip.is_some(), *id == to, "of member {id}");
    }
}

#[test]
fn whoever_voted_before_brings_its_epochs_along() {
    let mut fleet = Fleet::new();
    let mut later = configuration(7000);
    later.current_epoch = Epoch(7);
    if let Some(record) = later.groups.get_mut("cache") {
        record.config_epoch = ConfigEpoch(6);
    }
    for id in 1..=3 {
        let local = if id == 3 {
            later.clone()
        } else {
            configuration(6379)
        };
        fleet.start(id, 3, &local);
    }
    fleet.until("the epochs on all", |fleet| {
        fleet
            .nodes
            .values()
            .all(|node| node.core.registry().current_epoch == Epoch(7))
    });
    fleet.run(200);
    for node in fleet.nodes.values() {
        let record = &node.core.registry().groups["cache"];
        assert_eq!((record.config_epoch, record.primary.port), (ConfigEpoch(6), 7000));
    }
}

#[test]
fn a_member_is_not_forgotten_like_one_that_was_found() {
    let mut fleet = founded();
    let forget = Request::Forget {
        name: "cache".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: "1002".to_owned(),
    };
    let answer = fleet.order(1, forget);
    assert_eq!(answer, Answer::Refused(Refusal::IsMember));
}

#[test]
fn a_new_member_learns_everything_and_a_removed_one_is_gone() {
    use bellwether_core::LogOrder;
    let mut fleet = founded();
    let to = follower(&fleet);
    let add = LogOrder::Add {
        id: 4,
        host: "127.0.0.1".to_owned(),
        port: 1004,
        replaces: None,
    };
    assert_eq!(fleet.order(to, Request::Log(add)), Answer::Ok);
    fleet.start(4, 3, &Registry::new(member(4)));
    fleet.until("the group on the new one", |fleet| {
        fleet.nodes[&4].core.registry().groups.contains_key("cache")
    });
    fleet.until("four voters", |fleet| {
        let now = bellwether_core::Instant::from_millis(fleet.now);
        let leader = fleet
            .leader()
            .and_then(|id| Some(fleet.nodes[&id].core.log()?.status(now)));
        leader.is_some_and(|log| log.members.iter().filter(|member| member.voter).count() == 4)
    });
    let leader = fleet.leader().expect("a leader");
    let goes = (1..=3).find(|id| *id != leader).expect("there are three");
    assert_eq!(
        fleet.order(leader, Request::Log(LogOrder::Remove { id: goes })),
        Answer::Ok
    );
    fleet.run(200);
    for (_, node) in fleet.nodes.iter().filter(|(id, _)| **id != goes) {
        let record = &node.core.registry().groups["cache"];
        assert!(!record.sentinels.contains_key(&member(goes)));
        assert_eq!(record.sentinels.len(), 2);
    }
}

/// A fleet with a member whose log a later version has written, and the id of that one.
fn with_a_log_of_a_later_version() -> (Fleet, u64) {
    use protobuf::Message as _;
    let mut fleet = founded();
    let old = follower(&fleet);
    fleet.order(old, set("quorum 1"));
    fleet.run(100);
    fleet.kill(old);
    let entries = &mut fleet.stores.get_mut(&old).expect("a store").entries;
    let last = entries.last_mut().expect("the order");
    let mut entry = raft::eraftpb::Entry::parse_from_bytes(&last.bytes).expect("an entry");
    let mut data = entry.data.to_vec();
    data[0] = 99;
    entry.data = data.into();
    last.bytes = entry.write_to_bytes().expect("it can be written");
    fleet.start(old, 3, &configuration(6379));
    fleet.until("the problem", |fleet| {
        let now = bellwether_core::Instant::from_millis(fleet.now);
        let log = fleet.nodes[&old].core.log().expect("a log").status(now);
        log.problem.is_some()
    });
    (fleet, old)
}

#[test]
fn who_cannot_read_the_log_answers_that_it_has_no_part_in_it() {
    use bellwether_core::LogOrder;
    let (mut fleet, old) = with_a_log_of_a_later_version();
    for order in [LogOrder::Remove { id: 1 }, LogOrder::Snapshot, LogOrder::Snapshot] {
        let answer = fleet.order(old, Request::Log(order));
        let Answer::Refused(Refusal::LogOrder(why)) = &answer else {
            panic!("{answer:?}")
        };
        assert!(why.contains("of version 99"), "{why}");
    }
    let answer = fleet.order(old, set("quorum 2"));
    assert!(
        matches!(answer, Answer::Refused(Refusal::NoQuorum(_))),
        "{answer:?}"
    );
}

#[test]
fn who_cannot_read_the_log_hands_the_lead_to_one_who_can() {
    let (mut fleet, old) = with_a_log_of_a_later_version();
    let leader = fleet.leader().expect("a leader");
    let transfer = bellwether_core::LogOrder::Transfer { to: Some(old) };
    assert_eq!(fleet.order(leader, Request::Log(transfer)), Answer::Ok);
    fleet.until("its lead", |fleet| {
        fleet.nodes[&old].core.log().is_some_and(|log| log.place().leads)
    });
    fleet.until("another's", |fleet| fleet.leader().is_some());
}

/// A configuration with so many groups that not all of them may be under way at once.
fn large(groups: u16, password: usize) -> Registry {
    let mut registry = Registry::new(member(9));
    for number in 0..groups {
        let primary = Addr::parse("127.0.0.1", 2000 + number).expect("an address");
        let mut options = GroupOptions::new(2);
        options.auth_pass = Some(Secret::new(&"p".repeat(password)));
        let name = GroupName::new(&format!("group-{number:05}")).expect("a name");
        registry.groups.insert(name, GroupRecord::new(primary, options));
    }
    registry
}

#[test]
fn a_configuration_of_any_size_founds_whole_or_not_at_all() {
    let local = large(100, 50_000);
    let mut fleet = Fleet::new();
    for id in 1..=3 {
        fleet.start(id, 3, &local);
    }
    let groups = |fleet: &Fleet, id: u64| fleet.nodes[&id].core.registry().groups.len();
    fleet.until("all groups on all", |fleet| {
        (1..=3).all(|id| groups(fleet, id) == 100)
    });
}

#[test]
fn hundreds_of_primaries_that_die_at_once_do_not_take_the_log_with_them() {
    const GROUPS: u16 = 200;
    let mut fleet = Fleet::new();
    let mut local = large(GROUPS, 8);
    for record in local.groups.values_mut() {
        record.options.down_after = seconds(1);
    }
    for id in 1..=3 {
        fleet.start(id, 3, &local);
    }
    let all_agree = |fleet: &Fleet, id: &u64| {
        let events = &fleet.nodes[id].events;
        events.iter().filter(|line| line.starts_with("+odown")).count() >= usize::from(GROUPS)
    };
    fleet.until("the leader's knowledge that all are down", |fleet| {
        fleet.leader().is_some_and(|id| all_agree(fleet, &id))
    });
    let to = follower(&fleet);
    let set = Request::Set {
        name: "group-00199".to_owned(),
        words: words("quorum 3"),
        not_executable: Vec::new(),
    };
    assert_eq!(fleet.order(to, set), Answer::Ok);
}

#[test]
fn a_foreign_sentinel_is_shown_until_it_is_accepted() {
    let mut fleet = founded();
    let asked = follower(&fleet);
    let shown = |fleet: &mut Fleet| {
        let Answer::Overview(overview) = fleet.order(asked, Request::Overview) else {
            panic!("no overview");
        };
        let section = Request::InfoSection {
            running_scripts: 0,
            queued_scripts: 0,
        };
        let info = format!("{:?}", fleet.order(asked, section));
        let told = info.contains("bellwether_foreign_sentinel:");
        (overview.groups[0].foreign.clone(), told.then_some(info))
    };
    assert_eq!(shown(&mut fleet), (Vec::new(), None));

    let id = "f".repeat(40);
    let message = format!("127.0.0.1,5000,{id},0,cache,127.0.0.1,6379,0");
    fleet.order(asked, Request::Hello { message });
    let (foreign, info) = shown(&mut fleet);
    assert_eq!(foreign.len(), 1);
    assert_eq!(
        (foreign[0].id.as_str(), foreign[0].accepted),
        (id.as_str(), false)
    );
    let line = format!("bellwether_foreign_sentinel:group=cache,id={id},address=127.0.0.1:5000");
    assert!(info.as_ref().is_some_and(|info| info.contains(&line)), "{info:?}");

    let name = "cache".to_owned();
    assert_eq!(
        fleet.order(asked, Request::AcceptForeign { name, id }),
        Answer::Ok
    );
    let (foreign, info) = shown(&mut fleet);
    assert!(foreign[0].accepted);
    assert_eq!(info, None, "only while there is trouble");
}

#[test]
fn a_foreign_sentinel_is_noticed_among_any_number_of_accepted_ones() {
    let mut fleet = founded();
    let asked = follower(&fleet);
    let says = |fleet: &mut Fleet, number: u16| {
        let id = format!("{number:040x}");
        let message = format!("127.0.0.1,{},{id},0,cache,127.0.0.1,6379,0", 5000 + number);
        fleet.order(asked, Request::Hello { message });
        id
    };
    for number in 1..=16 {
        let id = says(&mut fleet, number);
        let name = "cache".to_owned();
        let accepted = fleet.order(asked, Request::AcceptForeign { name, id });
        assert_eq!(accepted, Answer::Ok);
    }
    let id = says(&mut fleet, 17);
    let Answer::Overview(overview) = fleet.order(asked, Request::Overview) else {
        panic!("no overview");
    };
    let foreign = &overview.groups[0].foreign;
    assert!(
        foreign.iter().any(|one| one.id.as_str() == id && !one.accepted),
        "{foreign:?}"
    );
    assert_eq!(foreign.len(), 16, "no more than those are remembered");
}

#[test]
fn a_newer_configuration_of_who_may_act_beside_the_log_is_taken_over() {
    let mut fleet = founded();
    let id = "f".repeat(40);
    let hello = |id: &str, port: u16| Request::Hello {
        message: format!("127.0.0.1,5000,{id},7,cache,127.0.0.1,{port},7"),
    };
    let ports = |fleet: &Fleet| -> Vec<u16> {
        let nodes = fleet.nodes.values();
        nodes
            .map(|node| node.core.registry().groups["cache"].primary.port)
            .collect()
    };
    let leader = fleet.leader().expect("a leader");
    fleet.order(leader, hello(&id, 6380));
    fleet.run(500);
    assert_eq!(ports(&fleet), [6379; 3], "a stranger decides nothing");

    let name = "cache".to_owned();
    let accept = Request::AcceptForeign { name, id };
    assert_eq!(fleet.order(leader, accept), Answer::Ok);
    fleet.until("the accepted one's switch on all", |fleet| {
        ports(fleet) == [6380; 3]
    });
    let epochs = fleet.nodes.values().map(|node| {
        let registry = node.core.registry();
        (registry.current_epoch, registry.groups["cache"].config_epoch)
    });
    assert!(
        epochs
            .into_iter()
            .all(|epochs| epochs == (Epoch(7), ConfigEpoch(7)))
    );
}

#[test]
fn a_newer_configuration_of_a_member_that_votes_is_taken_over() {
    let mut fleet = founded();
    let leader = fleet.leader().expect("a leader");
    let votes = member(follower(&fleet));
    let message = format!("127.0.0.1,1001,{votes},7,cache,127.0.0.1,6380,7");
    fleet.order(leader, Request::Hello { message });
    fleet.until("the member's switch on all", |fleet| {
        let mut nodes = fleet.nodes.values();
        nodes.all(|node| node.core.registry().groups["cache"].primary.port == 6380)
    });
}

/// An order of a leader whose lease is over is not sent, and its connection dropped. The old primary must not take writes
/// until some long time is over.
#[test]
fn an_order_that_got_lost_is_given_again() {
    let mut fleet = with_a_replica(&configuration(6379));
    fleet.loses_order.insert(6379);
    let leader = fleet.leader().expect("a leader");
    let name = "cache".to_owned();
    assert_eq!(
        fleet.order(leader, Request::Failover { name, option: None }),
        Answer::Ok
    );
    fleet.until("the other one as the primary", |fleet| {
        let mut nodes = fleet.nodes.values();
        nodes.all(|node| node.core.registry().groups["cache"].primary.port == 6380)
    });
    fleet.run(2000);
    assert!(fleet.loses_order.is_empty(), "the order was given");
    assert_eq!(fleet.servers[&6379], Some(6380), "and given again");
}

/// Two of three reach no server any more and find nobody to promote: the lead comes to the third, and does not go to and fro
/// between the two.
#[test]
fn the_lead_comes_to_the_only_one_that_can_fail_over() {
    let mut local = configuration(6379);
    for record in local.groups.values_mut() {
        record.options.down_after = seconds(1);
    }
    let mut fleet = with_a_replica(&local);
    lead(&mut fleet, 1);
    for id in 1..=3 {
        fleet.hide(id, 6379);
    }
    fleet.hide(1, 6380);
    fleet.hide(2, 6380);
    fleet.until("the replica to be the primary", |fleet| {
        let mut nodes = fleet.nodes.values();
        nodes.all(|node| node.core.registry().groups["cache"].primary.port == 6380)
    });
    assert_eq!(fleet.leader(), Some(3));
}

/// A candidate that hung obeys when another one has long been promoted. With votes somebody else may have promoted it;
/// the log knows that nobody has.
#[test]
fn a_replica_that_turns_into_a_primary_is_soon_put_back() {
    let mut fleet = with_a_replica(&configuration(6379));
    fleet.servers.insert(6380, None);
    let told = |fleet: &Fleet, what: &str| {
        let leader = fleet.leader().expect("a leader");
        let events = &fleet.nodes[&leader].events;
        events.iter().any(|event| event.contains(what))
    };
    fleet.until("the leader to see it", |fleet| told(fleet, "-role-change"));
    // Time for the news of a promotion, in case a sentinel that still votes has done it.
    fleet.run(1200);
    assert_eq!(fleet.servers[&6380], Some(6379));
    assert!(told(&fleet, "+convert-to-slave"));
    assert_eq!(fleet.servers[&6379], None);
}

#[test]
fn members_that_refuse_each_other_say_so_once() {
    let mut fleet = Fleet::new();
    fleet.start(1, 2, &configuration(6379));
    fleet.start(2, 3, &configuration(6379));
    fleet.start(3, 3, &configuration(6379));
    fleet.until("a leader", |fleet| fleet.leader().is_some());
    fleet.run(20_000);
    let told = |id: u64, words: &str| {
        let events = &fleet.nodes[&id].events;
        events.iter().filter(|event| event.starts_with(words)).count()
    };
    // By whom it is refused, and whom it refuses.
    let first = format!("-member-refused sentinel {} 127.0.0.1 1001", member(1));
    let second = format!("-member-refused sentinel {} 127.0.0.1 1002", member(2));
    assert_eq!((told(1, "-member-refused member 2"), told(1, &second)), (1, 1));
    assert_eq!((told(2, "-member-refused member 1"), told(2, &first)), (1, 1));
    assert_eq!(told(1, "-odd-input") + told(2, "-odd-input"), 0);
}

#[test]
fn one_that_has_a_member_elsewhere_than_the_others_has_no_part_in_their_log() {
    let mut fleet = Fleet::new();
    let elsewhere = [1001, 1002, 1033].map(|port| format!("127.0.0.1:{port}"));
    fleet.start_with(1, (1..).zip(elsewhere).collect(), &configuration(6379));
    fleet.start(2, 3, &configuration(6379));
    fleet.start(3, 3, &configuration(6379));
    fleet.until("a leader", |fleet| fleet.leader().is_some());
    fleet.run(5_000);
    assert!(matches!(fleet.leader(), Some(2 | 3)));
    let events = &fleet.nodes[&1].events;
    assert!(
        events.iter().any(|event| event.starts_with("-member-refused")),
        "{events:?}"
    );
}

#[test]
fn who_leads_the_log_is_told_and_that_nobody_does() {
    let mut fleet = founded();
    let leader = fleet.leader().expect("a leader");
    let other = (1..=3).find(|id| *id != leader).expect("another one");
    let last = |fleet: &Fleet| {
        let told = fleet.nodes[&other].events.iter();
        told.rev()
            .find(|event| event.contains("log-leader"))
            .cloned()
            .unwrap_or_default()
    };
    let leads = format!("+log-leader sentinel {} 127.0.0.1 100{leader}", member(leader));
    assert_eq!(last(&fleet), leads);
    let third = 6 - leader - other;
    fleet.kill(leader);
    fleet.kill(third);
    fleet.until("nobody to lead", |fleet| last(fleet).starts_with("-log-leader"));
    fleet.run(5_000);
    let events = fleet.nodes[&other].events.iter();
    assert_eq!(events.filter(|event| event.starts_with("-log-leader")).count(), 1);
    fleet.start(third, 3, &configuration(6379));
    fleet.until("one of two to lead", |fleet| {
        last(fleet).starts_with("+log-leader")
    });
}
