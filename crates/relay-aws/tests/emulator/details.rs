//! What the contract leaves open, or cannot be asked of SQS in reasonable time.

use crate::conformance::{EXCUSES, EXCUSES_ON_LOCALSTACK};
use crate::world::World;
use relay_core::conformance::Harness;
use relay_core::event::{Event, EventData};
use relay_core::lane::table::{NewLane, Progress};
use relay_core::lane::{BacklogItem, HoldReason, LaneRef, PutId, rest_key};
use relay_core::limits::ATTEMPTS_KEPT;
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{Attempt, AttemptOutcome, DeadLetter, Expect, Message, Ports, WakeUp};
use relay_core::retry::DeadLetterReason;
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use std::sync::Arc;
use std::time::Duration;

fn pack(key: &str, events: usize, bytes: usize) -> Arc<Pack> {
    // Not compressible: what is stored is as large as what was sent.
    let mut state = 1u64;
    let mut text = || {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        };
        (0..bytes).map(next).collect::<String>()
    };
    let event = |at: usize, data| Event {
        id: format!("{key}-{at}"),
        source: "/test".to_owned(),
        kind: "test".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Text(data),
        made: false,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_orders").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: (0..events).map(|at| event(at, text())).collect(),
    })
}

async fn logged(ports: &Ports, packs: Vec<Arc<Pack>>) -> Vec<Message> {
    let count = packs.len();
    for answer in ports.queue.send(packs).await {
        answer.expect("accepted");
    }
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.extend(ports.queue.receive(10).await.unwrap());
    }
    let positions = ports.log.append(&messages).await.unwrap();
    for (message, position) in messages.iter_mut().zip(positions) {
        message.position = Some(position);
    }
    messages
}

fn lane_of(message: &Message) -> LaneRef {
    let pack = &message.pack;
    LaneRef::new(&SubscriptionId::new("sub").unwrap(), &pack.topic_id, &pack.topic, &pack.key)
}

fn item(message: &Message, put_id: u64) -> BacklogItem {
    BacklogItem {
        key: rest_key(message.sequence),
        pack: message.pack.clone(),
        position: message.position.unwrap(),
        next: 0,
        end: u16::try_from(message.pack.events.len()).unwrap(),
        put_id: PutId(put_id),
        revision: 1,
        attempts: 0,
        first_failed_at: None,
        due_at: None,
        replay: false,
    }
}

async fn objects(world: &World, prefix: &str) -> usize {
    let list = world.clients.s3.list_objects_v2().bucket(&world.resources.bucket).prefix(prefix).send().await;
    list.unwrap().contents().len()
}

#[tokio::test]
async fn the_largest_packs_are_queued_logged_held_and_read_again() {
    let world = World::new().await;
    let ports = world.ports();
    let packs: Vec<_> = (0..6).map(|at| pack(&format!("k{at}"), 3, 60 * 1024)).collect();
    let messages = logged(&ports, packs.clone()).await;
    let topic = &packs[0].topic_id;
    assert_eq!(ports.log.newest(topic, None, 10).await.unwrap().len(), 6);
    assert!(objects(&world, "staging/").await > 0, "what is large lies in the bucket");
    let lane = lane_of(&messages[0]);
    for (at, message) in messages.iter().enumerate() {
        ports.lanes.put_backlog(&lane.id, item(message, at as u64)).await.unwrap();
    }
    assert_eq!(objects(&world, "held/").await, 6);
    let read = ports.lanes.backlog(&lane.id, 10).await.unwrap().items;
    assert_eq!(read.len(), 2, "about 256 KiB at a time");
    assert!(messages.iter().any(|message| message.pack == read[0].pack));
    // Each object goes with its item.
    let first = Progress { key: read[0].key, put_id: read[0].put_id, next: None };
    ports.lanes.progress(&lane.id, first).await.unwrap();
    assert_eq!(objects(&world, "held/").await, 5);
    // A put that is refused leaves the one that stands alone, and none of its own behind.
    let again = BacklogItem { put_id: PutId(77), ..read[1].clone() };
    ports.lanes.put_backlog(&lane.id, again).await.unwrap();
    assert_eq!(objects(&world, "held/").await, 5);
    ports.lanes.put_backlog(&lane.id, read[1].clone()).await.unwrap();
    assert_eq!(ports.lanes.backlog(&lane.id, 1).await.unwrap().items[0].put_id, read[1].put_id);
    assert!(ports.lanes.remove(&lane.id).await.unwrap());
    assert_eq!(objects(&world, "held/").await, 0);
}

#[tokio::test]
async fn the_object_of_a_dead_letter_goes_with_it() {
    let world = World::new().await;
    let ports = world.ports();
    let message = logged(&ports, vec![pack("k", 1, 60 * 1024)]).await.remove(0);
    let sequence = message.sequence.event(0);
    let dead_letter = |put_id| DeadLetter {
        id: DeadLetter::id_of(&lane_of(&message).id, sequence),
        subscription: SubscriptionId::new("sub").unwrap(),
        topic_id: message.pack.topic_id.clone(),
        pack: message.pack.clone(),
        sequence,
        position: message.position.unwrap(),
        reason: DeadLetterReason::Exhausted,
        at: Time(5),
        attempts: 3,
        last_status: None,
        last_error: None,
        put_id: PutId(put_id),
    };
    for put_id in [1, 1, 2] {
        ports.dead_letters.put(dead_letter(put_id)).await.unwrap();
        assert_eq!(objects(&world, "held/").await, 1);
    }
    let read = ports.dead_letters.get(&dead_letter(2).subscription, &dead_letter(2).id).await.unwrap().unwrap();
    assert_eq!((read.pack, read.put_id), (message.pack.clone(), PutId(2)));
    assert!(ports.dead_letters.delete_put(&dead_letter(2)).await.unwrap());
    assert_eq!(objects(&world, "held/").await, 0);
}

#[tokio::test]
async fn a_repeat_is_recognised_by_another_process() {
    let world = World::new().await;
    let first = world.ports().queue.send(vec![pack("k", 1, 10)]).await.remove(0).unwrap();
    world.crash().await;
    let again = world.ports().queue.send(vec![pack("k", 1, 10)]).await.remove(0).unwrap();
    assert_eq!(first.sequence, again.sequence);
    assert_eq!(world.ports().queue.receive(10).await.unwrap().len(), 1);
    assert!(world.ports().queue.receive(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wake_up_comes_after_its_delay_and_not_before_it() {
    let world = World::new().await;
    let ports = world.ports();
    let lane = LaneRef::new(
        &SubscriptionId::new("sub").unwrap(),
        &TopicId::new("top").unwrap(),
        &TopicName::new("orders").unwrap(),
        &LaneKey::Unordered(3),
    );
    let (late, now) = (WakeUp::Lane(lane), WakeUp::Probe(SubscriptionId::new("sub").unwrap()));
    let began = tokio::time::Instant::now();
    let sent = vec![(late.clone(), Duration::from_secs(3)), (now.clone(), Duration::ZERO)];
    ports.wake_ups.send(sent).await.unwrap();
    assert_eq!(ports.wake_ups.receive(10).await.unwrap(), [now]);
    loop {
        let received = ports.wake_ups.receive(10).await.unwrap();
        if !received.is_empty() {
            assert_eq!(received, [late]);
            // SQS counts whole seconds.
            assert!(began.elapsed() >= Duration::from_secs(2), "it came after {:?}", began.elapsed());
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn attempts_past_their_week_are_not_shown_though_still_stored() {
    let world = World::new().await;
    let ports = world.ports();
    let subscription = SubscriptionId::new("sub").unwrap();
    let message = logged(&ports, vec![pack("k", 1, 10)]).await.remove(0);
    let attempt = Attempt {
        subscription: subscription.clone(),
        event_id: "1".to_owned(),
        topic: message.pack.topic.clone(),
        key: message.pack.key.clone(),
        sequence: message.sequence.event(0),
        number: 1,
        started_at: ports.clock.now(),
        duration_ms: 1,
        outcome: AttemptOutcome::Delivered,
        status: Some(204),
        error: None,
        response: "x".repeat(1024),
        replay: false,
    };
    // More than one item holds, and than one page reads.
    ports.attempts.record(vec![attempt; 2500]).await.unwrap();
    assert_eq!(ports.attempts.list(&subscription, None, 3000).await.unwrap().attempts.len(), 2500);
    world.advance(ATTEMPTS_KEPT + Duration::from_secs(1)).await;
    assert!(ports.attempts.list(&subscription, None, 3000).await.unwrap().attempts.is_empty());
}

#[tokio::test]
async fn the_log_shows_what_its_topic_keeps_and_a_backlog_keeps_its_own() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    let ports = world.ports();
    let one = pack("k", 1, 10);
    let topic = Topic { retention: Retention::Days3, ..Topic::new(one.topic_id.clone(), one.topic.clone(), Time(5)) };
    ports.registry.put_topic(topic, Expect::Absent).await.unwrap();
    let message = logged(&ports, vec![one.clone()]).await.remove(0);
    let lane = lane_of(&message);
    ports.lanes.put_backlog(&lane.id, item(&message, 1)).await.unwrap();
    assert_eq!(ports.queue.delete(std::slice::from_ref(&message.receipt)).await, [Ok(())]);
    world.advance(DAY * 2).await;
    logged(&ports, vec![pack("other", 1, 10)]).await;
    let shown = async || ports.log.newest(&one.topic_id, None, 10).await.unwrap().len();
    assert_eq!(shown().await, 2);
    world.advance(DAY * 2).await;
    assert_eq!((shown().await, ports.log.expire(ports.clock.now()).await), (1, Ok(0)));
    world.advance(DAY * 400).await;
    assert_eq!(shown().await, 0);
    assert_eq!(ports.lanes.backlog(&lane.id, 10).await.unwrap().items[0].pack, one);
}

#[tokio::test]
async fn provisioning_twice_is_harmless() {
    let world = World::new().await;
    let name = &world.resources.table;
    let again = relay_aws::provision(&world.clients, &*world.clock, name, name).await.unwrap();
    assert_eq!(again, world.resources);
}

#[tokio::test]
async fn an_append_to_a_held_lane_leaves_the_index_alone_and_the_lane_is_still_due() {
    let world = World::new().await;
    let ports = world.ports();
    let message = logged(&ports, vec![pack("k", 1, 10)]).await.remove(0);
    let lane = lane_of(&message);
    let now = ports.clock.now();
    let new = NewLane {
        lane: lane.clone(),
        reason: HoldReason::Failing,
        since: now,
        next_attempt_at: Some(now),
        lease: None,
        attempts: 1,
        last_status: None,
        last_error: None,
    };
    for put_id in 0..3 {
        ports.lanes.append(vec![item(&message, put_id)], &new, false).await.unwrap();
    }
    let due = ports.lanes.due(now, 10).await.unwrap();
    assert_eq!(due.iter().map(|item| item.version).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn every_excuse_names_a_case() {
    let cases = include_str!("../../../relay-core/src/conformance/queue.rs").to_owned()
        + include_str!("../../../relay-core/src/conformance/log.rs")
        + include_str!("../../../relay-core/src/conformance/payloads.rs")
        + include_str!("../../../relay-core/src/conformance/wake_ups.rs");
    for (case, _) in EXCUSES.iter().chain(&EXCUSES_ON_LOCALSTACK) {
        assert!(cases.contains(&format!("async fn {case}<")), "{case} is excused and does not exist");
    }
}
