//! The contract of [`crate::ports::Attempts`].

use super::samples::{ordered, subscription_id, topic_name};
use super::{Harness, run};
use crate::pack::LaneKey;
use crate::ports::{Attempt, AttemptOutcome, Attempts, PortError};
use crate::sequence::PackSequence;
use crate::time::Time;
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        attempts_are_read_as_they_were_recorded_newest_first,
        attempts_are_paged_without_gap_or_repeat,
        attempts_recorded_between_two_pages_do_not_disturb_the_second,
        a_cursor_that_is_none_is_invalid,
        old_attempts_go,
    );
}

fn attempt(subscription: &str, number: u32, at: Time) -> Attempt {
    Attempt {
        subscription: subscription_id(subscription),
        event_id: format!("event \u{1F600} {number}"),
        topic: topic_name("orders"),
        key: ordered("k"),
        sequence: PackSequence { era: 1_700_000_000_000, number: u128::from(number) }.event(3),
        number,
        started_at: at,
        duration_ms: 12,
        outcome: AttemptOutcome::Delivered,
        status: Some(204),
        error: None,
        response: String::new(),
        replay: false,
    }
}

async fn read_all(attempts: &dyn Attempts, subscription: &str, page: usize) -> Vec<Attempt> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let read = attempts.list(&subscription_id(subscription), cursor.as_deref(), page).await.unwrap();
        assert!(read.attempts.len() <= page);
        all.extend(read.attempts);
        match read.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

fn numbers(attempts: &[Attempt]) -> Vec<u32> {
    attempts.iter().map(|attempt| attempt.number).collect()
}

async fn attempts_are_read_as_they_were_recorded_newest_first<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    let delivered = attempt("a", 1, now);
    let failed = Attempt {
        key: LaneKey::Unordered(255),
        outcome: AttemptOutcome::Failed,
        status: None,
        error: Some("timeout".to_owned()),
        replay: true,
        number: u32::MAX,
        duration_ms: u64::MAX >> 1,
        sequence: PackSequence { era: 9_999_999_999_999, number: 99_999_999_999_999_999_999 }.event(999),
        ..attempt("a", 2, now)
    };
    let rejected = Attempt {
        outcome: AttemptOutcome::Rejected,
        status: Some(422),
        response: "{\"detail\":\"no \u{0} such\"}".repeat(40),
        ..attempt("a", 3, now)
    };
    let written = vec![delivered, failed, rejected];
    ports.attempts.record(written.clone()).await.unwrap();
    ports.attempts.record(vec![attempt("b", 7, now)]).await.unwrap();
    ports.attempts.record(vec![]).await.unwrap();
    let mut read = read_all(&*ports.attempts, "a", 100).await;
    read.reverse();
    assert_eq!(read, written);
    assert_eq!(numbers(&read_all(&*ports.attempts, "b", 100).await), [7]);
    assert!(read_all(&*ports.attempts, "c", 100).await.is_empty());
}

async fn attempts_are_paged_without_gap_or_repeat<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut number = 0;
    for size in [1, 5, 2, 17, 1, 9] {
        let batch = (0..size).map(|_| {
            number += 1;
            attempt("a", number, ports.clock.now())
        });
        ports.attempts.record(batch.collect()).await.unwrap();
        ports.attempts.record(vec![attempt("b", 1, ports.clock.now())]).await.unwrap();
    }
    let expected: Vec<_> = (1..=number).rev().collect();
    for page in [1, 2, 3, 7, 35, 36] {
        assert_eq!(numbers(&read_all(&*ports.attempts, "a", page).await), expected, "pages of {page}");
    }
}

async fn attempts_recorded_between_two_pages_do_not_disturb_the_second<H: Harness>(harness: &H) {
    let ports = harness.ports();
    for number in 1..=4 {
        ports.attempts.record(vec![attempt("a", number, ports.clock.now())]).await.unwrap();
    }
    let first = ports.attempts.list(&subscription_id("a"), None, 2).await.unwrap();
    assert_eq!(numbers(&first.attempts), [4, 3]);
    ports.attempts.record(vec![attempt("a", 5, ports.clock.now())]).await.unwrap();
    let second = ports.attempts.list(&subscription_id("a"), first.next.as_deref(), 2).await.unwrap();
    assert_eq!(numbers(&second.attempts), [2, 1]);
}

async fn a_cursor_that_is_none_is_invalid<H: Harness>(harness: &H) {
    let ports = harness.ports();
    for bad in ["", "latest", "-1", "1.x", "\u{1F600}"] {
        let answer = ports.attempts.list(&subscription_id("a"), Some(bad), 10).await;
        assert!(matches!(answer, Err(PortError::Invalid(_))), "{bad:?} was taken for a cursor");
    }
}

async fn old_attempts_go<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.attempts.record(vec![attempt("a", 1, ports.clock.now())]).await.unwrap();
    assert_eq!(read_all(&*ports.attempts, "a", 10).await.len(), 1);
    harness.advance(Duration::from_secs(3600)).await;
    let later = ports.clock.now();
    ports.attempts.record(vec![attempt("a", 2, later)]).await.unwrap();
    assert_eq!(read_all(&*ports.attempts, "a", 10).await.len(), 2);
    for _ in 0..100 {
        if ports.attempts.expire(later - Duration::from_secs(60)).await.unwrap() == 0 {
            break;
        }
    }
    assert_eq!(numbers(&read_all(&*ports.attempts, "a", 10).await), [2]);
}
