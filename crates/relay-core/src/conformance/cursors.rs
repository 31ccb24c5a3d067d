//! The contract of [`Cursors`](crate::ports::Cursors).

use super::samples::{subscription, subscription_id, topic};
use super::{Harness, run};
use crate::log::{Committed, Cursor};
use crate::ports::{Expect, PortError, Ports};
use crate::replay_id::LogPosition;
use crate::subscription::{Endpoint, Subscription};
use crate::time::Time;

/// Runs every case of it.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        what_is_committed_is_read_and_survives_a_crash,
        a_commit_is_written_on_its_condition_only,
        a_commit_repeated_is_refused_or_harmless,
        commits_at_the_same_time_let_one_win,
        a_commit_moves_nothing_but_the_cursor,
        a_forgotten_subscription_takes_its_cursor_along,
    );
}

fn committed(number: u64) -> Committed {
    let cursor = Cursor::after(LogPosition { at: Time(1_700_000_000_000 + number), unique: u64::MAX - number });
    Committed { moves: 3, cursor }
}

async fn put(ports: &Ports, id: &str, number: u64, expected: Option<u64>) -> Result<(), PortError> {
    ports.cursors.commit(&subscription_id(id), committed(number), expected.map(committed)).await
}

async fn read(ports: &Ports, id: &str) -> Option<Committed> {
    ports.cursors.committed(&subscription_id(id)).await.unwrap()
}

fn pulled(id: &str) -> Subscription {
    Subscription { endpoint: Endpoint::pulled(), rate_limit: None, secrets: vec![], ..subscription(id, "orders") }
}

async fn what_is_committed_is_read_and_survives_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    assert_eq!(read(&ports, "a").await, None);
    put(&ports, "a", 1, None).await.unwrap();
    put(&ports, "b", 7, None).await.unwrap();
    put(&ports, "a", 2, Some(1)).await.unwrap();
    assert_eq!(read(&ports, "a").await, Some(committed(2)));
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(read(&ports, "a").await, Some(committed(2)));
    assert_eq!(read(&ports, "b").await, Some(committed(7)));
    assert_eq!(read(&ports, "c").await, None);
}

async fn a_commit_is_written_on_its_condition_only<H: Harness>(harness: &H) {
    let ports = harness.ports();
    assert_eq!(put(&ports, "a", 2, Some(1)).await, Err(PortError::Conflict), "there is none yet");
    assert_eq!(read(&ports, "a").await, None);
    put(&ports, "a", 1, None).await.unwrap();
    for wrong in [None, Some(2), Some(3)] {
        assert_eq!(put(&ports, "a", 4, wrong).await, Err(PortError::Conflict));
    }
    let moved = Committed { moves: 4, ..committed(1) };
    let refused = ports.cursors.commit(&subscription_id("a"), committed(4), Some(moved)).await;
    assert_eq!(refused, Err(PortError::Conflict), "the number of moves counts, too");
    assert_eq!(read(&ports, "a").await, Some(committed(1)));
    put(&ports, "a", 0, Some(1)).await.unwrap();
    assert_eq!(read(&ports, "a").await, Some(committed(0)), "what is older is for others to judge");
}

async fn a_commit_repeated_is_refused_or_harmless<H: Harness>(harness: &H) {
    let ports = harness.ports();
    put(&ports, "a", 1, None).await.unwrap();
    put(&ports, "a", 2, Some(1)).await.unwrap();
    let again = put(&ports, "a", 2, Some(1)).await;
    assert!(matches!(again, Ok(()) | Err(PortError::Conflict)), "{again:?}");
    assert_eq!(read(&ports, "a").await, Some(committed(2)));
}

async fn commits_at_the_same_time_let_one_win<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let firsts = (1..6).map(|number| put(&ports, "a", number, None));
    let won = futures_util::future::join_all(firsts).await;
    assert_eq!(won.iter().filter(|answer| answer.is_ok()).count(), 1);
    let first = 1 + won.iter().position(Result::is_ok).expect("one won") as u64;
    assert_eq!(read(&ports, "a").await, Some(committed(first)));
    let nexts = (11..16).map(|number| put(&ports, "a", number, Some(first)));
    let won = futures_util::future::join_all(nexts).await;
    assert_eq!(won.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(won.iter().all(|answer| matches!(answer, Ok(()) | Err(PortError::Conflict))));
    let next = 11 + won.iter().position(Result::is_ok).expect("one won") as u64;
    assert_eq!(read(&ports, "a").await, Some(committed(next)));
}

async fn a_commit_moves_nothing_but_the_cursor<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let (orders, written) = (topic("orders"), pulled("a"));
    ports.registry.put_topic(orders.clone(), Expect::Absent).await.unwrap();
    ports.registry.put_subscription(written.clone(), Expect::Absent).await.unwrap();
    let version = ports.registry.topic_subscriptions(&orders.id).await.unwrap().map(|list| list.version);
    put(&ports, "a", 1, None).await.unwrap();
    put(&ports, "a", 2, Some(1)).await.unwrap();
    let list = ports.registry.topic_subscriptions(&orders.id).await.unwrap().expect("it is there");
    assert_eq!((Some(list.version), &*list.subscriptions[0]), (version, &written));
    assert_eq!(ports.registry.subscription(&written.id).await.unwrap().as_deref(), Some(&written));
}

async fn a_forgotten_subscription_takes_its_cursor_along<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    for id in ["a", "b"] {
        let deleted = Subscription { deleted_at: Some(Time(1_700_000_000_006)), ..pulled(id) };
        ports.registry.put_subscription(deleted, Expect::Absent).await.unwrap();
        put(&ports, id, 1, None).await.unwrap();
    }
    ports.registry.forget_subscription(&subscription_id("a")).await.unwrap();
    assert_eq!((read(&ports, "a").await, read(&ports, "b").await), (None, Some(committed(1))));
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!((read(&ports, "a").await, read(&ports, "b").await), (None, Some(committed(1))));
}
