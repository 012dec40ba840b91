//! Members that come, go, move, and sleep meanwhile.

use super::*;
use bellwether_core::LogOrder;

/// Has this one do something about the members.
fn change(fleet: &mut Fleet, to: u64, order: LogOrder) {
    assert_eq!(fleet.order(to, Request::Log(order)), Answer::Ok);
}

/// A new member takes the place of an old one, whose process ends.
fn replace(fleet: &mut Fleet, old: u64, id: u64, by: u64) {
    let add = LogOrder::Add {
        id,
        host: "127.0.0.1".to_owned(),
        port: 1000 + u16::try_from(id).expect("a port"),
        replaces: Some(old),
    };
    change(fleet, by, add);
    fleet.start(id, 3, &Registry::new(member(id)));
    fleet.until("the new one in its place", |fleet| {
        let now = bellwether_core::Instant::from_millis(fleet.now);
        let members = fleet.nodes[&by].core.log().map(|log| log.status(now).members);
        let mut members = members.into_iter().flatten();
        members.clone().any(|member| member.id == id && member.voter) && members.all(|one| one.id != old)
    });
    fleet.kill(old);
}

/// Whoever slept knows by now what the others know.
fn has_caught_up(fleet: &Fleet, id: u64, with: u64) -> bool {
    let applied = |id: u64| fleet.nodes[&id].core.log().map(|log| log.place().applied);
    applied(id).is_some() && applied(id) == applied(with)
}

/// Has this one lead.
pub(crate) fn lead(fleet: &mut Fleet, id: u64) {
    let leader = fleet.leader().expect("a leader");
    if leader != id {
        change(fleet, leader, LogOrder::Transfer { to: Some(id) });
        fleet.until("the lead of that one", |fleet| fleet.leader() == Some(id));
    }
}

#[test]
fn a_member_that_slept_answers_a_leader_that_it_did_not_know() {
    let mut fleet = founded();
    let slept = follower(&fleet);
    let others: Vec<u64> = (1..=3).filter(|id| *id != slept).collect();
    fleet.kill(slept);
    replace(&mut fleet, others[0], 4, others[1]);
    lead(&mut fleet, 4);
    fleet.start(slept, 3, &configuration(6379));
    fleet.until("it to catch up", |fleet| has_caught_up(fleet, slept, 4));
}

/// One sleeps while another one moves and the log is told so by the third. Gives them in this order.
fn one_moves_while_another_sleeps() -> (Fleet, u64, u64, u64) {
    let mut fleet = founded();
    let slept = follower(&fleet);
    let others: Vec<u64> = (1..=3).filter(|id| *id != slept).collect();
    fleet.kill(slept);
    let (moves, stays) = (others[0], others[1]);
    // All are connected by then.
    fleet.run(3_000);
    fleet.moved = [(moves, 0), (moves + 10, moves)].into();
    let moved = LogOrder::Move {
        id: moves,
        host: "127.0.0.1".to_owned(),
        port: 1010 + u16::try_from(moves).expect("a port"),
    };
    change(&mut fleet, stays, moved);
    (fleet, slept, moves, stays)
}

#[test]
fn a_member_that_slept_finds_a_leader_that_has_moved() {
    let (mut fleet, slept, moves, _) = one_moves_while_another_sleeps();
    lead(&mut fleet, moves);
    fleet.start(slept, 3, &configuration(6379));
    fleet.until("it to catch up", |fleet| has_caught_up(fleet, slept, moves));
}

#[test]
fn a_member_that_slept_finds_one_that_has_moved_and_needs_its_vote_to_lead() {
    let (mut fleet, slept, moves, goes) = one_moves_while_another_sleeps();
    fleet.run(1_000);
    fleet.kill(goes);
    fleet.until("nobody to lead", |fleet| fleet.leader().is_none());
    fleet.start(slept, 3, &configuration(6379));
    fleet.until("it to catch up", |fleet| {
        fleet.leader().is_some() && has_caught_up(fleet, slept, moves)
    });
}

#[test]
fn who_was_replaced_is_not_missed_when_all_start_again() {
    let mut fleet = founded();
    lead(&mut fleet, 1);
    change(&mut fleet, 1, LogOrder::Remove { id: 3 });
    fleet.kill(3);
    replace(&mut fleet, 2, 4, 1);
    fleet.run(100);
    for id in [1, 4] {
        fleet.kill(id);
    }
    for id in [1, 4] {
        fleet.start(id, 3, &configuration(6379));
    }
    fleet.until("one to lead", |fleet| fleet.leader().is_some());
}

#[test]
fn a_member_that_slept_while_all_others_were_replaced_is_told_by_its_configuration_who_they_are() {
    let mut fleet = founded();
    let slept = follower(&fleet);
    let others: Vec<u64> = (1..=3).filter(|id| *id != slept).collect();
    fleet.kill(slept);
    replace(&mut fleet, others[0], 4, others[1]);
    replace(&mut fleet, others[1], 5, 4);
    let members = [slept, 4, 5].map(|id| (id, format!("127.0.0.1:{}", 1000 + id)));
    fleet.start_with(slept, members.into(), &configuration(6379));
    fleet.until("it to catch up", |fleet| has_caught_up(fleet, slept, 4));
}

#[test]
fn a_member_at_a_name_is_refused_where_names_are_not_resolved() {
    use LogOrder;
    let mut fleet = founded();
    let to = follower(&fleet);
    let host = || "sentinel-4.example".to_owned();
    let (id, port, replaces) = (4, 26379, None);
    let add = LogOrder::Add {
        id,
        host: host(),
        port,
        replaces,
    };
    let r#move = LogOrder::Move {
        id: 3,
        host: host(),
        port,
    };
    for order in [add, r#move] {
        let answer = fleet.order(to, Request::Log(order));
        let Answer::Refused(refusal) = &answer else {
            panic!("nobody would reach it: {answer:?}")
        };
        let told = refusal.to_string();
        assert!(
            told.contains("sentinel-4.example") && told.contains("resolve-hostnames"),
            "{told}"
        );
    }
}
