//! The half of the contract of [`crate::ports::Lanes`] that is about lane items: the switch, leases, release.

use super::samples::{held_now, lane_of, lease, logged, pack, rest_of, subscription, subscription_id, topic, topic_id};
use super::{Harness, run};
use crate::lane::drain::Outcome;
use crate::lane::table::{NewLane, Reschedule, Switched};
use crate::lane::{HoldReason, LaneItem, LaneRef, OwnerId, Resolution, ResolveAction};
use crate::ports::{Expect, Ports};
use crate::sequence::PackSequence;
use std::collections::HashSet;
use std::time::Duration;

pub(super) async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_switch_creates_a_lane_or_moves_its_version,
        a_switch_made_sooner_moves_the_next_attempt_forward_only,
        the_state_shows_held_lanes_and_versions,
        held_lanes_survive_a_crash,
        a_lease_is_given_to_one_at_a_time,
        a_lease_is_renewed_by_its_owner_before_it_ends,
        a_lane_that_is_not_due_is_taken_by_a_probe_only,
        a_reschedule_needs_the_lease,
        a_resolution_keeps_the_lane_due_until_it_is_forgotten,
        a_parked_lane_is_never_due,
        parking_is_refused_once_the_version_moved,
        a_release_is_refused_once_the_version_moved,
        a_lane_released_and_held_anew_begins_at_version_one,
        switches_at_the_same_time_all_count,
        due_lanes_come_earliest_first,
        a_removed_lane_is_gone_with_its_backlog,
        held_lanes_are_listed_by_subscription_without_gap_or_repeat,
        what_a_topic_holds_is_counted,
    );
}

const MINUTE: Duration = Duration::from_secs(60);

fn lane(key: &str) -> LaneRef {
    lane_of("sub", &pack("orders", key, &["e"]))
}

async fn hold(ports: &Ports, lane: &LaneRef) -> LaneItem {
    let switched = ports.lanes.switch(&held_now(lane, ports.clock.now()), false).await.unwrap();
    assert_eq!(switched, Switched::Created);
    item(ports, lane).await
}

async fn item(ports: &Ports, lane: &LaneRef) -> LaneItem {
    ports.lanes.lane(&lane.id).await.unwrap().expect("the lane is held")
}

async fn take(ports: &Ports, lane: &LaneRef, owner: u64) -> Option<LaneItem> {
    let now = ports.clock.now();
    ports.lanes.take_lease(&lane.id, lease(owner, now + MINUTE), now, false).await.unwrap()
}

async fn is_held(ports: &Ports, lane: &LaneRef) -> bool {
    let state = ports.lanes.read_state(&[], &[lane.id]).await.unwrap();
    assert_eq!(state.held.len(), 1);
    assert_eq!(state.held[0], ports.lanes.lane(&lane.id).await.unwrap().is_some());
    state.held[0]
}

async fn a_switch_creates_a_lane_or_moves_its_version<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    let (lane, other) = (lane("a"), lane("b"));
    assert!(!is_held(&ports, &lane).await);
    let new = NewLane {
        reason: HoldReason::Slow,
        lease: Some(lease(5, now + MINUTE)),
        last_error: Some("timeout".to_owned()),
        last_status: None,
        ..held_now(&lane, now)
    };
    assert_eq!(ports.lanes.switch(&new, false).await.unwrap(), Switched::Created);
    let created = item(&ports, &lane).await;
    let expected = LaneItem {
        lane: lane.clone(),
        version: 1,
        lease: Some(lease(5, now + MINUTE)),
        reason: HoldReason::Slow,
        since: now,
        next_attempt_at: Some(now),
        attempts: 1,
        last_status: None,
        last_error: Some("timeout".to_owned()),
        resolution: None,
    };
    assert_eq!(created, expected);
    let again = NewLane { next_attempt_at: Some(now + MINUTE), lease: None, ..held_now(&lane, now) };
    assert_eq!(ports.lanes.switch(&again, false).await.unwrap(), Switched::Bumped);
    assert_eq!(item(&ports, &lane).await, LaneItem { version: 2, ..expected });
    assert!(is_held(&ports, &lane).await && !is_held(&ports, &other).await);
}

async fn a_switch_made_sooner_moves_the_next_attempt_forward_only<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    let lane = lane("a");
    let at = |seconds| NewLane { next_attempt_at: Some(now + Duration::from_secs(seconds)), ..held_now(&lane, now) };
    ports.lanes.switch(&at(50), true).await.unwrap();
    ports.lanes.switch(&at(20), true).await.unwrap();
    ports.lanes.switch(&at(70), true).await.unwrap();
    let stored = item(&ports, &lane).await;
    assert_eq!((stored.version, stored.next_attempt_at), (3, Some(now + Duration::from_secs(20))));
    harness.advance(Duration::from_secs(21)).await;
    let due = ports.lanes.due(ports.clock.now(), 10).await.unwrap();
    assert_eq!(due.len(), 1, "an index follows");
}

async fn the_state_shows_held_lanes_and_versions<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    ports.registry.put_topic(topic("bills"), Expect::Absent).await.unwrap();
    hold(&ports, &lane("b")).await;
    let topics = [topic_id("orders"), topic_id("gone"), topic_id("bills")];
    let lanes = ["a", "b", "c"].map(|key| lane(key).id);
    let before = ports.lanes.read_state(&topics, &lanes).await.unwrap();
    assert_eq!(before.held, [false, true, false]);
    assert!(before.versions[0].is_some() && before.versions[1].is_none() && before.versions[2].is_some());
    ports.registry.put_subscription(subscription("sub", "orders"), Expect::Absent).await.unwrap();
    let after = ports.lanes.read_state(&topics, &lanes).await.unwrap();
    assert!(after.versions[0] > before.versions[0], "a change of a subscription moves its topic's version");
    assert_eq!(after.versions[2], before.versions[2], "and no other topic's");
    let list = ports.registry.topic_subscriptions(&topics[0]).await.unwrap().expect("the topic is there");
    assert_eq!(Some(list.version), after.versions[0]);
}

async fn held_lanes_survive_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let (kept, released) = (lane("kept"), lane("released"));
    let before = hold(&ports, &kept).await;
    hold(&ports, &released).await;
    let version = take(&ports, &released, 1).await.expect("it is free and due").version;
    assert_eq!(ports.lanes.release(&released.id, OwnerId(1), version).await.unwrap(), Outcome::Done);
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(item(&ports, &kept).await, before);
    assert!(is_held(&ports, &kept).await && !is_held(&ports, &released).await);
}

async fn a_lease_is_given_to_one_at_a_time<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    assert_eq!(take(&ports, &lane, 1).await, None, "a live lane has no lease to take");
    hold(&ports, &lane).await;
    let mine = take(&ports, &lane, 1).await.expect("it is free and due");
    assert_eq!(mine.lease.map(|lease| lease.owner), Some(OwnerId(1)));
    assert_eq!(item(&ports, &lane).await, mine);
    assert_eq!(take(&ports, &lane, 2).await, None);
    harness.advance(MINUTE + Duration::from_secs(1)).await;
    assert!(take(&ports, &lane, 2).await.is_some(), "a lease that ran out is free");
    assert_eq!(take(&ports, &lane, 1).await, None);
    let owners = futures_util::future::join_all((10..18).map(|owner| async move { owner })).await;
    harness.advance(MINUTE + Duration::from_secs(1)).await;
    let taken = futures_util::future::join_all(owners.into_iter().map(|owner| take(&ports, &lane, owner))).await;
    assert_eq!(taken.iter().flatten().count(), 1, "of several at the same time one gets it");
}

async fn a_lease_is_renewed_by_its_owner_before_it_ends<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    hold(&ports, &lane).await;
    take(&ports, &lane, 1).await.expect("free and due");
    let renew = async |owner: u64| {
        let now = ports.clock.now();
        ports.lanes.renew_lease(&lane.id, lease(owner, now + MINUTE), now).await.unwrap()
    };
    harness.advance(Duration::from_secs(40)).await;
    assert_eq!(renew(2).await, None);
    let renewed = renew(1).await.expect("it is the owner's, and has not ended");
    assert_eq!(item(&ports, &lane).await, renewed);
    harness.advance(Duration::from_secs(40)).await;
    assert_eq!(take(&ports, &lane, 2).await, None, "the renewed lease holds");
    harness.advance(Duration::from_secs(40)).await;
    assert_eq!(renew(1).await, None, "one that ran out is never renewed");
}

async fn a_lane_that_is_not_due_is_taken_by_a_probe_only<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    let lane = lane("a");
    let later = NewLane { next_attempt_at: Some(now + MINUTE * 60), ..held_now(&lane, now) };
    ports.lanes.switch(&later, false).await.unwrap();
    assert_eq!(take(&ports, &lane, 1).await, None);
    assert!(ports.lanes.take_lease(&lane.id, lease(1, now + MINUTE), now, true).await.unwrap().is_some());
    assert!(ports.lanes.take_lease(&lane.id, lease(2, now + MINUTE), now, true).await.unwrap().is_none());
}

fn in_an_hour(ports: &Ports) -> Reschedule {
    Reschedule {
        next_attempt_at: Some(ports.clock.now() + MINUTE * 60),
        reason: Some(HoldReason::Failing),
        attempts: 4,
        last_status: Some(500),
        last_error: Some("reset".to_owned()),
    }
}

async fn a_reschedule_needs_the_lease<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    hold(&ports, &lane).await;
    let to = in_an_hour(&ports);
    assert_eq!(ports.lanes.reschedule(&lane.id, OwnerId(1), &to).await.unwrap(), None);
    take(&ports, &lane, 1).await.expect("free and due");
    assert_eq!(ports.lanes.reschedule(&lane.id, OwnerId(2), &to).await.unwrap(), None);
    let after = ports.lanes.reschedule(&lane.id, OwnerId(1), &to).await.unwrap().expect("its own lease");
    assert_eq!((after.lease, after.next_attempt_at, after.attempts), (None, to.next_attempt_at, 4));
    assert_eq!((after.last_status, after.last_error.as_deref()), (Some(500), Some("reset")));
    assert_eq!(item(&ports, &lane).await, after);
    assert_eq!(take(&ports, &lane, 3).await, None, "it is not due");
    assert!(ports.lanes.due(ports.clock.now(), 10).await.unwrap().is_empty());
    harness.advance(MINUTE * 61).await;
    assert_eq!(ports.lanes.due(ports.clock.now(), 10).await.unwrap().len(), 1);
    assert!(take(&ports, &lane, 3).await.is_some());
}

async fn a_resolution_keeps_the_lane_due_until_it_is_forgotten<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    let head = PackSequence { era: 1, number: 2 }.event(3);
    let skip = Resolution { action: ResolveAction::Skip, sequence: head, at: ports.clock.now() };
    assert_eq!(ports.lanes.resolve(&lane.id, skip).await.unwrap(), None, "a live lane has no head");
    hold(&ports, &lane).await;
    take(&ports, &lane, 1).await.expect("free and due");
    let resolved = ports.lanes.resolve(&lane.id, skip).await.unwrap().expect("held");
    assert_eq!((resolved.version, resolved.resolution), (2, Some(skip)));
    let after = ports.lanes.reschedule(&lane.id, OwnerId(1), &in_an_hour(&ports)).await.unwrap().expect("own lease");
    assert_eq!((after.next_attempt_at, after.resolution), (Some(skip.at), Some(skip)));
    take(&ports, &lane, 2).await.expect("still due");
    let other = Resolution { action: ResolveAction::DeadLetter, ..skip };
    ports.lanes.resolved(&lane.id, OwnerId(2), other).await.unwrap();
    ports.lanes.resolved(&lane.id, OwnerId(1), skip).await.unwrap();
    assert_eq!(item(&ports, &lane).await.resolution, Some(skip), "another resolution, or another's lease");
    ports.lanes.resolved(&lane.id, OwnerId(2), skip).await.unwrap();
    assert_eq!(item(&ports, &lane).await.resolution, None);
}

async fn a_parked_lane_is_never_due<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    hold(&ports, &lane).await;
    let version = take(&ports, &lane, 1).await.expect("free and due").version;
    assert_eq!(ports.lanes.park(&lane.id, OwnerId(2), version, HoldReason::Paused).await.unwrap(), Outcome::Lost);
    assert_eq!(ports.lanes.park(&lane.id, OwnerId(1), version, HoldReason::Paused).await.unwrap(), Outcome::Done);
    let parked = item(&ports, &lane).await;
    assert_eq!((parked.lease, parked.next_attempt_at, parked.reason), (None, None, HoldReason::Paused));
    harness.advance(MINUTE * 60 * 24 * 30).await;
    assert!(ports.lanes.due(ports.clock.now(), 10).await.unwrap().is_empty());
    assert_eq!(take(&ports, &lane, 3).await, None);
    let now = ports.clock.now();
    let due = ports.lanes.make_due(&lane.id, now).await.unwrap().expect("held");
    assert_eq!((due.version, due.next_attempt_at), (version + 1, Some(now)));
    assert_eq!(ports.lanes.due(ports.clock.now(), 10).await.unwrap(), [due]);
    assert!(take(&ports, &lane, 3).await.is_some());
    assert_eq!(ports.lanes.make_due(&self::lane("live").id, ports.clock.now()).await.unwrap(), None);
    let live = ports.lanes.park(&self::lane("live").id, OwnerId(1), 1, HoldReason::Paused).await.unwrap();
    assert_eq!(live, Outcome::Lost);
}

async fn parking_is_refused_once_the_version_moved<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    hold(&ports, &lane).await;
    let version = take(&ports, &lane, 1).await.expect("free and due").version;
    ports.lanes.make_due(&lane.id, ports.clock.now()).await.unwrap();
    let parked = ports.lanes.park(&lane.id, OwnerId(1), version, HoldReason::Paused).await.unwrap();
    assert_eq!(parked, Outcome::Moved(version + 1));
    assert!(item(&ports, &lane).await.lease.is_some(), "nothing was written");
}

async fn a_release_is_refused_once_the_version_moved<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    hold(&ports, &lane).await;
    let version = take(&ports, &lane, 1).await.expect("free and due").version;
    ports.lanes.switch(&held_now(&lane, ports.clock.now()), false).await.unwrap();
    let moved = ports.lanes.release(&lane.id, OwnerId(1), version).await.unwrap();
    assert_eq!(moved, Outcome::Moved(version + 1));
    assert_eq!(ports.lanes.release(&lane.id, OwnerId(2), version + 1).await.unwrap(), Outcome::Lost);
    assert!(is_held(&ports, &lane).await);
    assert_eq!(ports.lanes.release(&lane.id, OwnerId(1), version + 1).await.unwrap(), Outcome::Done);
    assert!(!is_held(&ports, &lane).await);
    assert_eq!(ports.lanes.release(&lane.id, OwnerId(1), version + 1).await.unwrap(), Outcome::Lost);
}

async fn a_lane_released_and_held_anew_begins_at_version_one<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    for _ in 0..3 {
        let created = hold(&ports, &lane).await;
        assert_eq!((created.version, created.lease), (1, None));
        take(&ports, &lane, 1).await.expect("free and due");
        assert_eq!(ports.lanes.release(&lane.id, OwnerId(1), 1).await.unwrap(), Outcome::Done);
    }
    assert!(!is_held(&ports, &lane).await);
}

async fn switches_at_the_same_time_all_count<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let lane = lane("a");
    let new = held_now(&lane, ports.clock.now());
    let answers = futures_util::future::join_all((0..10).map(|_| ports.lanes.switch(&new, false))).await;
    let created = answers.iter().filter(|answer| **answer == Ok(Switched::Created)).count();
    let bumped = answers.iter().filter(|answer| **answer == Ok(Switched::Bumped)).count();
    assert_eq!((created, bumped), (1, 9));
    // An adapter may count one twice, but never leave one out.
    assert!(item(&ports, &lane).await.version >= 10);
}

async fn due_lanes_come_earliest_first<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    for (key, seconds) in [("c", 30), ("a", 10), ("b", 20), ("later", 1000)] {
        let at = Some(now + Duration::from_secs(seconds));
        ports.lanes.switch(&NewLane { next_attempt_at: at, ..held_now(&lane(key), now) }, false).await.unwrap();
    }
    // While it is leased, a lane is due when its lease ends.
    let leased = NewLane { lease: Some(lease(9, now + Duration::from_secs(15))), ..held_now(&lane("leased"), now) };
    ports.lanes.switch(&leased, false).await.unwrap();
    assert!(ports.lanes.due(now, 10).await.unwrap().is_empty());
    harness.advance(Duration::from_secs(100)).await;
    let due = async |limit| {
        let due = ports.lanes.due(ports.clock.now(), limit).await.unwrap();
        due.iter().map(|item| item.lane.key.partition_key().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due(10).await, ["a", "leased", "b", "c"]);
    assert_eq!(due(2).await, ["a", "leased"]);
}

async fn a_removed_lane_is_gone_with_its_backlog<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut lanes = Vec::new();
    for key in ["a", "b"] {
        for at in 0..4 {
            let message = logged(&ports, pack("orders", key, &[&format!("{key}{at}")])).await;
            let lane = lane_of("sub", &message.pack);
            ports.lanes.put_backlog(&lane.id, rest_of(&message, 0, 1)).await.unwrap();
            ports.queue.delete(&[message.receipt]).await[0].clone().unwrap();
            if at == 0 {
                hold(&ports, &lane).await;
                lanes.push(lane);
            }
        }
    }
    for _ in 0..100 {
        if ports.lanes.remove(&lanes[0].id).await.unwrap() {
            break;
        }
    }
    assert!(!is_held(&ports, &lanes[0]).await);
    assert!(ports.lanes.backlog(&lanes[0].id, 10).await.unwrap().items.is_empty());
    assert_eq!(ports.lanes.head(&lanes[0].id).await.unwrap(), None);
    assert!(ports.lanes.remove(&lanes[0].id).await.unwrap(), "removing nothing is all there is to do");
    assert_eq!(ports.lanes.backlog(&lanes[1].id, 10).await.unwrap().items.len(), 4);
    assert_eq!(ports.lanes.held_count(&topic_id("orders")).await.unwrap().0, 1);
}

async fn held_lanes_are_listed_by_subscription_without_gap_or_repeat<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let keys: Vec<_> = (0..9).map(|at| format!("k{at}")).collect();
    for key in &keys {
        hold(&ports, &lane(key)).await;
    }
    hold(&ports, &lane_of("other", &pack("orders", "k0", &["e"]))).await;
    let sub = subscription_id("sub");
    for page in [1, 4, 9, 50] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let read = ports.lanes.held(&sub, after, page).await.unwrap();
            assert!(read.lanes.len() <= page);
            listed.extend(read.lanes.into_iter().map(|held| held.item.lane.id));
            after = read.next;
            if after.is_none() {
                break;
            }
        }
        assert!(listed.is_sorted());
        let distinct: HashSet<_> = listed.iter().copied().collect();
        assert_eq!(distinct, keys.iter().map(|key| lane(key).id).collect());
        assert_eq!(listed.len(), keys.len());
    }
    let first = ports.lanes.held_items(&sub, None, 5).await.unwrap();
    let rest = ports.lanes.held_items(&sub, Some(first[4].lane.id), 50).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|item| item.lane.id).collect();
    assert!(ids.is_sorted() && ids.len() == keys.len());
    assert_eq!(first[0], item(&ports, &first[0].lane).await);
}

async fn what_a_topic_holds_is_counted<H: Harness>(harness: &H) {
    let ports = harness.ports();
    assert_eq!(ports.lanes.held_count(&topic_id("orders")).await.unwrap(), (0, None));
    assert_eq!(ports.lanes.held_events(&topic_id("orders")).await.unwrap(), 0);
    let since = ports.clock.now();
    for (topic, key, ids) in [("orders", "a", &["1", "2", "3"][..]), ("orders", "b", &["4"]), ("bills", "a", &["5"])] {
        let message = logged(&ports, pack(topic, key, ids)).await;
        let lane = lane_of("sub", &message.pack);
        ports.lanes.put_backlog(&lane.id, rest_of(&message, 0, 1)).await.unwrap();
        hold(&ports, &lane).await;
        harness.advance(MINUTE).await;
    }
    let count = ports.lanes.held_count(&topic_id("orders")).await.unwrap();
    assert_eq!(count.0, 2);
    assert_eq!(ports.lanes.held_events(&topic_id("orders")).await.unwrap(), 4);
    let oldest = count.1.expect("something is held");
    assert!(oldest.since(since) < Duration::from_secs(30), "the oldest is held since {oldest}");
    harness.crash().await;
    assert_eq!(harness.ports().lanes.held_count(&topic_id("orders")).await.unwrap(), count);
}
