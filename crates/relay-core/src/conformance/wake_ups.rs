//! The contract of [`crate::ports::WakeUps`].

use super::samples::{lane_of, pack, subscription_id};
use super::{Harness, run};
use crate::limits::MAX_WAKE_UP_DELAY;
use crate::ports::{WakeUp, WakeUps};
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_wake_up_comes_after_its_delay_and_not_before,
        wake_ups_of_several_lanes_all_come,
        no_more_than_asked_for_are_received,
        a_later_wake_up_of_a_lane_is_not_swallowed_by_an_earlier_one,
    );
}

fn lane(key: &str) -> WakeUp {
    WakeUp::Lane(lane_of("sub", &pack("orders", key, &["e"])))
}

async fn receive_all(wake_ups: &dyn WakeUps) -> Vec<WakeUp> {
    let mut all = Vec::new();
    loop {
        let some = wake_ups.receive(10).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

async fn a_wake_up_comes_after_its_delay_and_not_before<H: Harness>(harness: &H) {
    let wake_ups = harness.ports().wake_ups;
    assert!(receive_all(&*wake_ups).await.is_empty());
    wake_ups.send(vec![(lane("a"), MAX_WAKE_UP_DELAY), (lane("b"), Duration::ZERO)]).await.unwrap();
    assert_eq!(receive_all(&*wake_ups).await, [lane("b")]);
    harness.advance(MAX_WAKE_UP_DELAY - Duration::from_secs(60)).await;
    assert!(receive_all(&*wake_ups).await.is_empty());
    harness.advance(Duration::from_secs(61)).await;
    assert!(receive_all(&*wake_ups).await.contains(&lane("a")));
    assert!(receive_all(&*wake_ups).await.is_empty(), "what was received is forgotten");
}

async fn wake_ups_of_several_lanes_all_come<H: Harness>(harness: &H) {
    let wake_ups = harness.ports().wake_ups;
    let probe = WakeUp::Probe(subscription_id("sub"));
    let sent: Vec<_> = (0..25).map(|at| lane(&format!("k{at}"))).chain([probe]).collect();
    wake_ups.send(sent.iter().map(|one| (one.clone(), Duration::from_secs(5))).collect()).await.unwrap();
    harness.advance(Duration::from_secs(6)).await;
    let received = receive_all(&*wake_ups).await;
    for one in &sent {
        assert!(received.contains(one), "{one:?} did not come");
    }
}

async fn no_more_than_asked_for_are_received<H: Harness>(harness: &H) {
    let wake_ups = harness.ports().wake_ups;
    let sent = (0..5).map(|at| (lane(&format!("k{at}")), Duration::ZERO)).collect();
    wake_ups.send(sent).await.unwrap();
    let mut seen = 0;
    for _ in 0..100 {
        let some = wake_ups.receive(2).await.unwrap().len();
        assert!(some <= 2);
        seen += some;
    }
    assert_eq!(seen, 5);
}

async fn a_later_wake_up_of_a_lane_is_not_swallowed_by_an_earlier_one<H: Harness>(harness: &H) {
    let wake_ups = harness.ports().wake_ups;
    wake_ups.send(vec![(lane("a"), Duration::from_secs(10))]).await.unwrap();
    wake_ups.send(vec![(lane("a"), Duration::from_secs(300))]).await.unwrap();
    harness.advance(Duration::from_secs(11)).await;
    assert_eq!(receive_all(&*wake_ups).await, [lane("a")]);
    harness.advance(Duration::from_secs(290)).await;
    assert_eq!(receive_all(&*wake_ups).await, [lane("a")]);
}
