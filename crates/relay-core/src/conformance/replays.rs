//! The contract of [`crate::ports::Replays`].

use super::samples::subscription_id;
use super::{Harness, run};
use crate::lane::{Lease, OwnerId};
use crate::log::Cursor;
use crate::ports::{Expect, PortError};
use crate::replay::{Replay, ReplayState, Rewind};
use crate::time::Time;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_record_is_written_on_its_version_and_survives_a_crash,
        delivered_events_are_counted_beside_the_record,
    );
}

fn sample(id: &str) -> Replay {
    let rewind = Rewind {
        loads_at: Time(1_700_000_000_001),
        ..Rewind::new(id.to_owned(), Cursor::default(), Time(1_700_000_000_000))
    };
    Replay::of(&subscription_id("sub"), &rewind)
}

async fn a_record_is_written_on_its_version_and_survives_a_crash<H: Harness>(harness: &H) {
    let (replays, id) = (harness.ports().replays, subscription_id("sub"));
    assert_eq!(replays.replay(&id, "one").await, Ok(None));
    assert_eq!(replays.put_replay(sample("one"), Expect::Version(1)).await, Err(PortError::Conflict));
    replays.put_replay(sample("one"), Expect::Absent).await.unwrap();
    let other = Replay { scanned: 1, ..sample("one") };
    assert_eq!(replays.put_replay(other, Expect::Absent).await, Err(PortError::Conflict));
    let next = Replay {
        state: ReplayState::Failed,
        reason: Some("it was".to_owned()),
        scanned: 7,
        matched: 6,
        enqueued: 5,
        finished_at: Some(Time(1_700_000_000_009)),
        lease: Some(Lease { owner: OwnerId(u64::MAX >> 1), until: Time(3) }),
        version: 2,
        ..sample("one")
    };
    replays.put_replay(next.clone(), Expect::Version(1)).await.unwrap();
    let late = Replay { scanned: 99, version: 2, ..sample("one") };
    assert_eq!(replays.put_replay(late, Expect::Version(1)).await, Err(PortError::Conflict));
    assert_eq!(replays.replay(&id, "one").await, Ok(Some(next.clone())));
    assert_eq!(replays.replay(&subscription_id("other"), "one").await, Ok(None));
    harness.crash().await;
    let stored = harness.ports().replays.replay(&id, "one").await.unwrap().expect("it is there");
    // Whoever held the lease may be known to be gone.
    assert_eq!(Replay { lease: next.lease, ..stored }, next);
}

async fn delivered_events_are_counted_beside_the_record<H: Harness>(harness: &H) {
    let (replays, id) = (harness.ports().replays, subscription_id("sub"));
    replays.add_delivered(&id, "one", 3).await.unwrap();
    assert_eq!(replays.replay(&id, "one").await, Ok(None), "what is not there is not made");
    replays.put_replay(sample("one"), Expect::Absent).await.unwrap();
    replays.add_delivered(&id, "one", 3).await.unwrap();
    let delivered = async || replays.replay(&id, "one").await.unwrap().map(|replay| replay.delivered);
    // An adapter that had to repeat a call whose answer was lost may have counted twice.
    assert!(delivered().await >= Some(3));
    replays.put_replay(Replay { version: 2, ..sample("one") }, Expect::Version(1)).await.unwrap();
    assert!(delivered().await >= Some(3), "a write of the record leaves the count alone");
    replays.add_delivered(&id, "one", 4).await.unwrap();
    assert!(delivered().await >= Some(7));
}
