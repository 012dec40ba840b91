//! The proof of a lease, and the promise that it rests on.

use std::time::Duration;

use bellwether_core::Instant;

use super::*;

const MIN: Duration = Duration::from_millis(300);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn members(voters: &[u64], outgoing: &[u64]) -> Members {
    Members {
        voters: voters.iter().copied().collect(),
        outgoing: outgoing.iter().copied().collect(),
        ..Members::default()
    }
}

fn leading() -> Lease {
    let mut lease = Lease::new(MIN);
    lease.restart(Some(at(0)));
    lease
}

#[test]
fn a_lease_counts_from_when_the_round_was_sent() {
    let mut lease = leading();
    let three = members(&[1, 2, 3], &[]);
    let round = lease.speak(at(100));
    assert_eq!(lease.until(1, &three, at(100)), None);
    lease.speak(at(150));
    lease.answered(2, round, MIN);
    assert_eq!(lease.until(1, &three, at(190)), Some(at(100 + 270)));
}

#[test]
fn five_need_two_answers_and_a_joint_group_needs_both_majorities() {
    let mut lease = leading();
    let five = members(&[1, 2, 3, 4, 5], &[]);
    let early = lease.speak(at(100));
    lease.answered(2, early, MIN);
    assert_eq!(lease.until(1, &five, at(100)), None);
    let late = lease.speak(at(200));
    lease.answered(3, late, MIN);
    lease.answered(4, late, MIN);
    assert_eq!(lease.majority(1, &five, at(210)), Some(at(200)));
    assert_eq!(
        lease.majority(1, &members(&[1, 3, 4], &[1, 2, 5]), at(210)),
        Some(at(100))
    );
    assert_eq!(lease.majority(1, &members(&[1, 3, 4], &[1, 5, 6]), at(210)), None);
}

#[test]
fn answers_to_unknown_rounds_prove_nothing() {
    let mut lease = leading();
    let three = members(&[1, 2, 3], &[]);
    let round = lease.speak(at(100));
    lease.answered(2, round + 1, MIN);
    lease.answered(2, 0, MIN);
    assert_eq!(lease.until(1, &three, at(100)), None);
    lease.answered(2, round, MIN);
    lease.restart(Some(at(120)));
    lease.answered(2, round, MIN);
    assert_eq!(lease.until(1, &three, at(120)), None);
}

#[test]
fn an_offered_leadership_ends_the_lease_until_the_next_term() {
    let mut lease = leading();
    let alone = members(&[1], &[]);
    assert!(lease.until(1, &alone, at(5)).is_some());
    lease.void();
    assert_eq!(lease.until(1, &alone, at(5)), None);
    lease.restart(Some(at(9)));
    assert!(lease.until(1, &alone, at(9)).is_some());
}

#[test]
fn a_lease_is_shorter_than_the_promise() {
    let mut promise = Promise::new(MIN, false, at(0));
    assert!(!promise.binds(at(0)));
    promise.renew(1, 4, 7, at(100));
    assert!(promise.binds(at(399)) && !promise.binds(at(400)));
    assert!(len(MIN) < MIN);
    assert_eq!(
        (promise.echo(1, 4), promise.echo(1, 5), promise.echo(2, 4)),
        (7, 0, 0)
    );
    assert!(Promise::new(MIN, true, at(0)).binds(at(299)));
}

#[test]
fn a_lease_is_no_longer_than_a_majority_promises() {
    let mut lease = leading();
    let five = members(&[1, 2, 3, 4, 5], &[]);
    let round = lease.speak(at(100));
    let promise = Duration::from_millis(100);
    lease.answered(2, round, promise);
    lease.answered(3, round, MIN);
    assert_eq!(lease.until(1, &five, at(100)), Some(at(100 + 90)));
    lease.answered(4, round, MIN * 5);
    assert_eq!(lease.until(1, &five, at(100)), Some(at(100 + 270)));
}
