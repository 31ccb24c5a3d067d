//! The contract of [`crate::ports::DeadLetters`].

use super::samples::{dead_letter, logged, pack, subscription_id, topic};
use super::{Harness, run};
use crate::lane::PutId;
use crate::ports::{DeadLetter, Expect, Ports};
use crate::retry::DeadLetterReason;
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_dead_letter_is_read_as_it_was_put_and_survives_a_crash,
        putting_it_again_is_harmless,
        dead_letters_are_listed_by_subscription_and_lane_in_order,
        a_deleted_dead_letter_is_gone,
        an_event_that_was_given_up_again_stays_a_dead_letter,
        the_event_of_a_dead_letter_outlives_its_retention,
    );
}

fn assert_same(read: &DeadLetter, put: &DeadLetter) {
    assert_eq!(format!("{read:?}"), format!("{put:?}"));
}

async fn ids_of(ports: &Ports, subscription: &str, page: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    loop {
        let read = ports.dead_letters.list(&subscription_id(subscription), after.as_deref(), page).await.unwrap();
        assert!(read.dead_letters.len() <= page);
        ids.extend(read.dead_letters.into_iter().map(|one| one.id));
        match read.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

async fn a_dead_letter_is_read_as_it_was_put_and_survives_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = logged(&ports, pack("orders", "k", &["a", "b"])).await;
    let rejected = dead_letter(&message, "sub", 1);
    let timed_out = DeadLetter {
        reason: DeadLetterReason::Exhausted,
        last_status: None,
        last_error: Some("timeout".to_owned()),
        ..dead_letter(&message, "sub", 0)
    };
    for one in [&rejected, &timed_out] {
        ports.dead_letters.put(one.clone()).await.unwrap();
    }
    harness.crash().await;
    let ports = harness.ports();
    for one in [&rejected, &timed_out] {
        let read = ports.dead_letters.get(&one.subscription, &one.id).await.unwrap().expect("it was put");
        assert_same(&read, one);
    }
    assert!(ports.dead_letters.get(&subscription_id("other"), &rejected.id).await.unwrap().is_none());
    assert!(ports.dead_letters.get(&subscription_id("sub"), "no such").await.unwrap().is_none());
}

async fn putting_it_again_is_harmless<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let one = dead_letter(&logged(&ports, pack("orders", "k", &["a"])).await, "sub", 0);
    ports.dead_letters.put(one.clone()).await.unwrap();
    ports.dead_letters.put(one.clone()).await.unwrap();
    assert_eq!(ids_of(&ports, "sub", 10).await, std::slice::from_ref(&one.id));
}

async fn dead_letters_are_listed_by_subscription_and_lane_in_order<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = logged(&ports, pack("orders", "k", &["a", "b", "c"])).await;
    assert_eq!(ports.queue.delete(std::slice::from_ref(&first.receipt)).await, [Ok(())]);
    let second = logged(&ports, pack("orders", "k", &["d"])).await;
    let mut expected = Vec::new();
    for (message, index) in [(&second, 0), (&first, 2), (&first, 0), (&first, 1)] {
        ports.dead_letters.put(dead_letter(message, "sub", index)).await.unwrap();
        expected.push(dead_letter(message, "sub", index).id);
    }
    ports.dead_letters.put(dead_letter(&first, "other", 0)).await.unwrap();
    expected.sort();
    assert_eq!(expected[0], dead_letter(&first, "sub", 0).id, "ids of a lane sort by sequence");
    for page in [1, 3, 4, 100] {
        assert_eq!(ids_of(&ports, "sub", page).await, expected);
    }
    assert_eq!(ids_of(&ports, "other", 10).await.len(), 1);
}

async fn an_event_that_was_given_up_again_stays_a_dead_letter<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = dead_letter(&logged(&ports, pack("orders", "k", &["a"])).await, "sub", 0);
    let again = DeadLetter { put_id: PutId(8), ..first.clone() };
    ports.dead_letters.put(first.clone()).await.unwrap();
    ports.dead_letters.put(again.clone()).await.unwrap();
    assert!(!ports.dead_letters.delete_put(&first).await.unwrap());
    assert_same(&ports.dead_letters.get(&again.subscription, &again.id).await.unwrap().expect("it stays"), &again);
    assert!(ports.dead_letters.delete_put(&again).await.unwrap());
    assert!(!ports.dead_letters.delete_put(&again).await.unwrap());
    harness.crash().await;
    assert!(ids_of(&harness.ports(), "sub", 10).await.is_empty());
}

async fn a_deleted_dead_letter_is_gone<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let one = dead_letter(&logged(&ports, pack("orders", "k", &["a"])).await, "sub", 0);
    ports.dead_letters.put(one.clone()).await.unwrap();
    assert!(!ports.dead_letters.delete(&subscription_id("other"), &one.id).await.unwrap());
    assert!(ports.dead_letters.delete(&one.subscription, &one.id).await.unwrap());
    assert!(!ports.dead_letters.delete(&one.subscription, &one.id).await.unwrap());
    harness.crash().await;
    let ports = harness.ports();
    assert!(ports.dead_letters.get(&one.subscription, &one.id).await.unwrap().is_none());
    assert!(ids_of(&ports, "sub", 10).await.is_empty());
}

async fn the_event_of_a_dead_letter_outlives_its_retention<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    let message = logged(&ports, pack("orders", "k", &["a"])).await;
    let one = dead_letter(&message, "sub", 0);
    ports.dead_letters.put(one.clone()).await.unwrap();
    assert_eq!(ports.queue.delete(std::slice::from_ref(&message.receipt)).await, [Ok(())]);
    logged(&ports, pack("orders", "later", &["b"])).await;
    harness.advance(Duration::from_secs(400 * 86_400)).await;
    for _ in 0..10 {
        ports.log.expire(ports.clock.now()).await.unwrap();
    }
    let read = ports.dead_letters.get(&one.subscription, &one.id).await.unwrap().expect("it was put");
    assert_same(&read, &one);
}
