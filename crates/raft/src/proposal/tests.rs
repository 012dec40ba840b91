//! The bookkeeping of proposals: bounds, refusals, and what is known after a change of the leader.

use super::*;

const SESSION: u64 = 9;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn proposals() -> Proposals {
    Proposals::new(SESSION, Duration::from_secs(3), Duration::from_millis(500))
}

fn tag(number: u64) -> Tag {
    Tag {
        origin: 1,
        session: SESSION,
        number,
    }
}

#[track_caller]
fn assert_dropped(proposals: &mut Proposals, expected: &[(u64, DropReason)]) {
    let dropped = proposals.take_dropped().into_iter();
    let dropped: Vec<_> = dropped.map(|dropped| (dropped.token, dropped.reason)).collect();
    assert_eq!(dropped, expected);
}

#[test]
fn number_and_bytes_are_bounded() {
    let mut many = proposals();
    (0..=MAX_PENDING as u64).for_each(|token| many.add(vec![1], false, token, at(0)));
    assert_dropped(&mut many, &[(MAX_PENDING as u64, DropReason::Busy)]);
    let mut large = proposals();
    let len = MAX_PAYLOAD_LEN + 1;
    large.add(vec![0; len], false, 7, at(0));
    assert_dropped(&mut large, &[(7, DropReason::TooLarge { len })]);
    let fitting = MAX_PENDING_BYTES / MAX_PAYLOAD_LEN;
    (0..=fitting as u64).for_each(|token| large.add(vec![0; MAX_PAYLOAD_LEN], false, token, at(0)));
    assert_dropped(&mut large, &[(fitting as u64, DropReason::Busy)]);
    // What has its outcome makes room.
    assert_eq!(large.committed(Some(tag(1)), 1), Some(0));
    large.add(vec![0; MAX_PAYLOAD_LEN], false, 99, at(0));
    assert_dropped(&mut large, &[]);
}

#[test]
fn what_was_never_sent_is_known_to_be_lost_and_the_rest_is_not() {
    let mut proposals = proposals();
    proposals.add(vec![1], false, 1, at(0));
    proposals.add(vec![2], false, 2, at(0));
    proposals.send(1, 4, at(10)).unwrap();
    proposals.expire(at(2999));
    assert_dropped(&mut proposals, &[]);
    proposals.expire(at(3000));
    assert_dropped(
        &mut proposals,
        &[(1, DropReason::Unknown), (2, DropReason::NoLeader)],
    );
    assert_eq!((proposals.count(), proposals.deadline(Some(4))), (0, None));
}

#[test]
fn a_newer_term_settles_what_was_sent_for_an_older_one() {
    let mut proposals = proposals();
    proposals.add(vec![1], false, 1, at(0));
    proposals.send(1, 4, at(10)).unwrap();
    assert_eq!(proposals.due(5, at(600)), []);
    assert_eq!(proposals.due(4, at(600)), [1]);
    proposals.term_committed(4, at(20));
    assert_eq!(proposals.due(5, at(20)), []);
    proposals.term_committed(5, at(20));
    assert_eq!(proposals.due(5, at(20)), [1]);
}

#[test]
fn a_refusal_counts_for_its_term_and_gives_a_new_number() {
    let mut proposals = proposals();
    proposals.add(vec![1], false, 1, at(0));
    proposals.send(1, 4, at(10)).unwrap();
    proposals.refused(1, 3, DropReason::Busy, at(50));
    assert_dropped(&mut proposals, &[]);
    proposals.refused(1, 4, DropReason::NoMajority, at(50));
    assert_eq!(proposals.due(4, at(49)), []);
    assert_eq!(proposals.due(4, at(50)), [2]);
    proposals.send(2, 4, at(50)).unwrap();
    proposals.refused(2, 4, DropReason::ChangePending, at(90));
    assert_dropped(&mut proposals, &[(1, DropReason::ChangePending)]);
}

#[test]
fn entries_of_others_and_of_earlier_runs_are_not_ours() {
    let mut proposals = proposals();
    proposals.add(vec![1], false, 7, at(0));
    proposals.send(1, 4, at(10)).unwrap();
    let earlier = Tag { session: 8, ..tag(1) };
    let other = Tag { origin: 2, ..tag(1) };
    for foreign in [Some(earlier), Some(other), Some(tag(2)), None] {
        assert_eq!(proposals.committed(foreign, 1), None);
    }
    assert_eq!(proposals.committed(Some(tag(1)), 1), Some(7));
}

#[test]
fn a_leader_takes_nothing_twice_and_remembers_a_bounded_number() {
    let mut taken = Taken::default();
    (1..=MAX_REMEMBERED as u64 + 5).for_each(|number| taken.note(tag(number)));
    // The oldest are forgotten, and therefore not taken either.
    assert!((1..=MAX_REMEMBERED as u64 + 5).all(|number| taken.knows(tag(number))));
    assert!(!taken.knows(tag(MAX_REMEMBERED as u64 + 6)));
    let next_run = Tag {
        session: 10,
        ..tag(1)
    };
    assert!(!taken.knows(next_run));
    taken.note(next_run);
    assert!(
        taken.knows(next_run)
            && !taken.knows(Tag {
                number: 2,
                ..next_run
            })
    );
}

#[test]
fn refusals_come_through() {
    for reason in [
        DropReason::NoLeader,
        DropReason::NoMajority,
        DropReason::Busy,
        DropReason::ChangePending,
        DropReason::BadChange {
            problem: "there is no member 9".to_owned(),
        },
    ] {
        let body = RefuseBody {
            term: 1,
            session: 2,
            number: 3,
            reason,
        };
        assert_eq!(RefuseBody::decode(&body.encode()), Ok(body));
    }
    assert!(RefuseBody::decode(&[0; 25]).is_err());
}
