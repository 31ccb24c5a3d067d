//! The log in the bucket: compaction, reading across it, crashes, damage, classes of retention.

use crate::wire::{Fault, Wire};
use crate::world::World;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use relay_aws::{Clients, Options, http_client, open};
use relay_core::conformance::Harness;
use relay_core::event::{Event, EventData};
use relay_core::names::{PartitionKey, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::webhook::NoWebhooks;
use relay_core::ports::{Clock, Expect, LogEntry, Message, PortError, Ports, Receipt};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use relay_system::SystemIds;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn topic() -> TopicId {
    TopicId::new("top_orders").unwrap()
}

fn pack(key: &str, ids: std::ops::Range<usize>, bytes: usize) -> Arc<Pack> {
    // Not compressible: what is stored is as large as what was sent.
    let mut state = ids.start as u64 + 1;
    let mut text = || {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        };
        (0..bytes).map(next).collect::<String>()
    };
    let event = |at: usize, data| Event {
        id: format!("e{at:05}"),
        source: "/shop".to_owned(),
        kind: "order.placed".to_owned(),
        subject: None,
        time: None,
        content_type: Some("text/plain".to_owned()),
        data_schema: None,
        extensions: vec![],
        data: EventData::Text(data),
        made: false,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: topic(),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: ids.map(|at| event(at, text())).collect(),
    })
}

/// Appends packs as dispatch does, ten at a time.
async fn append(ports: &Ports, packs: Vec<Arc<Pack>>, first: u128) {
    let message = |(at, pack)| Message {
        pack,
        sequence: PackSequence { era: 1_790_000_000_000, number: first + at as u128 },
        receives: 1,
        receipt: Receipt::Text(String::new()),
        position: None,
    };
    let messages: Vec<_> = packs.into_iter().enumerate().map(message).collect();
    for batch in messages.chunks(10) {
        ports.log.append(batch).await.unwrap();
    }
}

/// Appends packs of ten events, on seven keys.
async fn fill(ports: &Ports, packs: std::ops::Range<usize>) {
    let first = packs.start as u128;
    let of = |at: usize| pack(&format!("k{}", at % 7), at * 10..at * 10 + 10, 600);
    append(ports, packs.map(of).collect(), first).await;
}

async fn make_topic(ports: &Ports, retention: Retention) {
    let name = TopicName::new("orders").unwrap();
    let known = ports.registry.topic(&name).await.unwrap();
    let expect = known.as_ref().map_or(Expect::Absent, |known| Expect::Version(known.version));
    let version = known.as_ref().map_or(1, |known| known.version + 1);
    let topic = Topic { retention, version, ..Topic::new(topic(), name, Time(1)) };
    ports.registry.put_topic(topic, expect).await.unwrap();
}

async fn compact(ports: &Ports) -> u64 {
    let mut events = 0;
    loop {
        match ports.log.compact(ports.clock.now()).await.unwrap() {
            0 => return events,
            some => events += some,
        }
    }
}

/// Everything that is read of the topic, shard by shard, so many entries at a time.
async fn read_all(ports: &Ports, limit: usize) -> Result<Vec<LogEntry>, PortError> {
    let mut all = Vec::new();
    for shard in LogShard::ALL {
        let mut after = LogPosition::default();
        loop {
            let page = ports.log.read(&topic(), shard, after, limit).await?;
            assert!(page.entries.iter().all(|entry| entry.position > after && entry.position <= page.through));
            all.extend(page.entries);
            after = page.through;
            if !page.is_more {
                break;
            }
        }
    }
    Ok(all)
}

/// Everything, from the newest backwards.
async fn newest_all(ports: &Ports, limit: usize) -> Vec<LogEntry> {
    let (mut all, mut before) = (Vec::<LogEntry>::new(), None);
    loop {
        let page = ports.log.newest(&topic(), before, limit).await.unwrap();
        let is_end = page.len() < limit;
        before = page.last().map(|entry| entry.position).or(before);
        all.extend(page);
        if is_end {
            assert!(all.is_sorted_by(|one, next| one.position > next.position));
            return all;
        }
    }
}

fn newest_first(entries: &[LogEntry]) -> Vec<LogEntry> {
    let mut all = entries.to_vec();
    all.sort_by_key(|entry| std::cmp::Reverse(entry.position));
    all
}

async fn keys(world: &World, prefix: &str) -> BTreeSet<String> {
    let list = world.clients.s3.list_objects_v2().bucket(&world.resources.bucket).prefix(prefix);
    let pages = list.into_paginator().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    pages.iter().flat_map(|page| page.contents()).filter_map(|object| object.key.clone()).collect()
}

async fn object(world: &World, key: &str) -> Vec<u8> {
    let got = world.clients.s3.get_object().bucket(&world.resources.bucket).key(key).send().await.unwrap();
    got.body.collect().await.unwrap().to_vec()
}

async fn overwrite(world: &World, key: &str, bytes: Option<&[u8]>) {
    let (s3, bucket) = (&world.clients.s3, &world.resources.bucket);
    match bytes {
        Some(bytes) => drop(s3.put_object().bucket(bucket).key(key).body(bytes.to_vec().into()).send().await.unwrap()),
        None => drop(s3.delete_object().bucket(bucket).key(key).send().await.unwrap()),
    }
}

/// Ids of the events in the bucket, read as other tools do: every line of every object below `events/`.
async fn ids_in_bucket(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for key in keys(world, "events/").await {
        let text = zstd::stream::decode_all(&object(world, &key).await[..]).unwrap();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: serde_json::Value = serde_json::from_slice(line).unwrap();
            ids.push(event["id"].as_str().unwrap().to_owned());
        }
    }
    ids.sort();
    ids
}

fn ids_of(packs: std::ops::Range<usize>) -> Vec<String> {
    (packs.start * 10..packs.end * 10).map(|at| format!("e{at:05}")).collect()
}

/// Removes what TTL and lifecycle may have removed by now of the hot log.
async fn expire_hot(world: &World) {
    let (client, table) = (&world.clients.dynamodb, &world.resources.table);
    let passed = format!("{:013}", (world.clock.now() - 7 * DAY).0);
    let scan = client.scan().table_name(table).consistent_read(true).into_paginator().items().send();
    for row in scan.collect::<Result<Vec<_>, _>>().await.unwrap() {
        let text = |name: &str| row[name].as_s().unwrap().clone();
        if text("pk").starts_with("LOG#") && text("sk") < passed {
            let delete = client.delete_item().table_name(table);
            let delete = delete.key("pk", AttributeValue::S(text("pk"))).key("sk", AttributeValue::S(text("sk")));
            delete.send().await.unwrap();
        }
    }
    for key in keys(world, "staging/").await {
        if key.rsplit('/').next().unwrap() < &*passed {
            overwrite(world, &key, None).await;
        }
    }
}

/// Another process, and its wire.
async fn process(world: &World) -> (Ports, Wire) {
    let wire = Wire::default();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(wire.client(http_client()));
    let clients = Clients::new(&config.retry_config(RetryConfig::disabled()).load().await);
    let options = Options { receive_wait: Duration::ZERO, ..Options::new(world.resources.clone()) };
    (open(&clients, &options, world.clock.clone(), Arc::new(SystemIds), Arc::new(NoWebhooks)), wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_is_read_as_it_was_before() {
    let world = World::new().await;
    let ports = world.ports();
    make_topic(&ports, Retention::Days30).await;
    fill(&ports, 0..300).await;
    assert_eq!(compact(&ports).await, 0, "too young, and not much");
    world.advance(16 * MINUTE).await;
    assert!(ports.log.compaction_lag(ports.clock.now()).await.unwrap().unwrap() >= 16 * MINUTE);
    let before = read_all(&ports, 1000).await.unwrap();
    assert_eq!(before.len(), 300);
    assert_eq!(compact(&ports).await, 3000);
    assert_eq!(ports.log.compaction_lag(ports.clock.now()).await, Ok(Some(Duration::ZERO)));
    assert_eq!(keys(&world, "events/retention=30d/topic=orders/topicid=top_orders/date=").await.len(), 4);
    assert_eq!(ids_in_bucket(&world).await, ids_of(0..300), "each once, as other tools see it");
    assert!(read_all(&ports, 1000).await.unwrap() == before, "by the hot log");

    world.advance(8 * DAY).await;
    fill(&ports, 300..305).await;
    world.advance(MINUTE).await;
    assert!(!keys(&world, "staging/").await.is_empty(), "some of it was large");
    let by_segments = async |ports: &Ports| {
        for limit in [7, 100, 1000] {
            let all = read_all(ports, limit).await.unwrap();
            assert_eq!(all.len(), 305, "{limit} at a time");
            assert!(before.iter().all(|entry| all.contains(entry)));
        }
        for limit in [50, 1000] {
            let all = newest_all(ports, limit).await;
            assert!(all.len() == 305 && all[5..] == newest_first(&before), "{limit} at a time");
        }
        let some = &before[100];
        let shard = LogShard::of(&some.pack.key);
        let one = ports.log.read(&topic(), shard, some.position.previous(), 1).await.unwrap();
        assert_eq!(one.entries, std::slice::from_ref(some));
    };
    by_segments(&ports).await;
    expire_hot(&world).await;
    by_segments(&ports).await;
    world.crash().await;
    by_segments(&world.ports()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_key_only_the_frames_that_hold_it_are_read() {
    let world = World::new().await;
    let ports = world.ports();
    make_topic(&ports, Retention::Days30).await;
    let rare = LaneKey::Ordered(PartitionKey::new("rare").unwrap());
    // As many keys of its shard as it takes: what they have is in frames of its segment.
    let others: Vec<_> = (0..400)
        .map(|at| format!("o{at}"))
        .filter(|key| LogShard::of(&LaneKey::Ordered(PartitionKey::new(key.as_str()).unwrap())) == LogShard::of(&rare))
        .collect();
    let mut packs: Vec<_> = others.iter().map(|key| pack(key, 0..10, 600)).collect();
    packs.insert(packs.len() / 2, pack("rare", 10..20, 600));
    append(&ports, packs, 0).await;
    world.advance(16 * MINUTE).await;
    compact(&ports).await;
    world.advance(8 * DAY).await;
    let (reader, wire) = process(&world).await;
    wire.begin(None);
    let page = reader.log.read_key(&topic(), &rare, LogPosition::default(), 1000).await.unwrap();
    let ids: Vec<_> = page.entries.iter().flat_map(|entry| &entry.pack.events).map(|event| event.id.clone()).collect();
    assert_eq!(ids, (10..20).map(|at| format!("e{at:05}")).collect::<Vec<_>>());
    let reads = wire.calls().iter().filter(|call| call.operation == "S3.GetObject").count();
    assert_eq!(reads, 2, "the index, and one frame of many");
    let rest = reader.log.read_key(&topic(), &rare, page.through, 1000).await.unwrap();
    assert!(rest.entries.is_empty() && !rest.is_more, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_at_any_call_of_a_compaction_leaves_nothing_twice_and_nothing_out() {
    let run = async |fault: Option<(usize, Fault)>| {
        let world = World::new().await;
        let ports = world.ports();
        make_topic(&ports, Retention::Days30).await;
        // Two shards: one may be done when the other is not.
        for (at, key) in ["k1", "k1", "k4", "k4"].into_iter().enumerate() {
            append(&ports, vec![pack(key, at * 10..at * 10 + 10, 2_000)], at as u128).await;
        }
        world.advance(16 * MINUTE).await;
        let before = read_all(&ports, 100).await.unwrap();
        let (dying, wire) = process(&world).await;
        wire.begin(fault);
        let answer = dying.log.compact(dying.clock.now()).await;
        let begun = wire.begun();
        wire.quiet().await;
        // More has come since: a claim stays what it was.
        append(&ports, vec![pack("k1", 40..50, 10)], 4).await;
        let (next, _) = process(&world).await;
        compact(&next).await;
        world.advance(16 * MINUTE).await;
        compact(&next).await;
        assert_eq!(ids_in_bucket(&world).await, ids_of(0..5), "after {fault:?}, which answered {answer:?}");
        world.advance(8 * DAY).await;
        expire_hot(&world).await;
        let after = read_all(&next, 2).await.unwrap();
        assert!(after.len() == 5 && before.iter().all(|entry| after.contains(entry)), "after {fault:?}");
        begun
    };
    let calls = run(None).await;
    assert!(calls > 10, "{calls} calls");
    for at in 0..calls {
        for fault in [Fault::CutOffBefore, Fault::CutOffAfter, Fault::LosesAnswer, Fault::Fails] {
            run(Some((at, fault))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compactors_at_once_do_no_harm() {
    let world = World::new().await;
    make_topic(&world.ports(), Retention::Days30).await;
    let (one, _) = process(&world).await;
    let (other, _) = process(&world).await;
    for round in 0..5 {
        fill(&one, round * 20..(round + 1) * 20).await;
        world.advance(16 * MINUTE).await;
        let before = read_all(&one, 1000).await.unwrap();
        tokio::join!(compact(&one), compact(&other));
        // One that lost a race left the rest to the next minute.
        compact(&one).await;
        assert!(read_all(&other, 1000).await.unwrap() == before);
        assert_eq!(ids_in_bucket(&world).await, ids_of(0..(round + 1) * 20));
    }
    let before = read_all(&one, 1000).await.unwrap();
    world.advance(8 * DAY).await;
    expire_hot(&world).await;
    assert!(read_all(&other, 10).await.unwrap() == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_comes_in_several_segments_and_is_not_waited_for() {
    let world = World::new().await;
    let ports = world.ports();
    make_topic(&ports, Retention::Days7).await;
    let packs = |from: usize| (from..from + 160).map(|at| pack("k", at..at + 1, 60_000)).collect::<Vec<_>>();
    append(&ports, packs(0), 0).await;
    world.advance(16 * MINUTE).await;
    assert_eq!(compact(&ports).await, 160);
    assert_eq!(keys(&world, "events/").await.len(), 2, "of 8 MiB of lines each");
    // It comes fast, which another process sees, too: a minute later there is enough.
    let (ports, _) = process(&world).await;
    append(&ports, packs(160), 160).await;
    world.advance(MINUTE).await;
    let at_once = compact(&ports).await;
    assert!(at_once >= 140, "a segment's worth, and the rest if it came as fast: {at_once}");
    world.advance(16 * MINUTE).await;
    assert_eq!(at_once + compact(&ports).await, 160);
    assert_eq!(keys(&world, "events/").await.len(), 4);
    let ids: Vec<_> =
        read_all(&ports, 100).await.unwrap().iter().map(|entry| entry.pack.events[0].id.clone()).collect();
    assert!(ids.len() == 320 && ids.is_sorted(), "in the order of their key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_at_rest_is_looked_at_four_times_an_hour() {
    let world = World::new().await;
    make_topic(&world.ports(), Retention::Days7).await;
    let (ports, wire) = process(&world).await;
    fill(&ports, 0..10).await;
    world.advance(16 * MINUTE).await;
    compact(&ports).await;
    compact(&ports).await;
    for minute in 0..15 {
        wire.begin(None);
        assert_eq!(compact(&ports).await, 0);
        assert!(ports.log.compaction_lag(ports.clock.now()).await.unwrap().is_some());
        let calls: Vec<_> = wire.calls().into_iter().map(|call| call.operation).collect();
        assert_eq!(calls, ["DynamoDB.Query", "DynamoDB.Query"], "the list of topics, after {minute} minutes");
        world.advance(MINUTE).await;
    }
    wire.begin(None);
    assert_eq!(compact(&ports).await, 0);
    assert_eq!(wire.calls().len(), 9, "each shard's item, and what follows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_names_the_object_and_leaves_the_rest_readable() {
    let world = World::new().await;
    let ports = world.ports();
    make_topic(&ports, Retention::Days30).await;
    fill(&ports, 0..150).await;
    world.advance(16 * MINUTE).await;
    compact(&ports).await;
    let later = ports.clock.now();
    fill(&ports, 150..180).await;
    world.advance(16 * MINUTE).await;
    compact(&ports).await;
    world.advance(8 * DAY).await;
    let name = keys(&world, "events/").await.first().unwrap().clone();
    let good = object(&world, &name).await;
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 0x55;
    for damage in [None, Some(&good[..good.len() / 3]), Some(&[][..]), Some(&changed[..])] {
        overwrite(&world, &name, damage).await;
        for index_is_known in [true, false] {
            if !index_is_known {
                world.crash().await;
            }
            let ports = world.ports();
            let error = read_all(&ports, 100).await.unwrap_err();
            assert!(matches!(&error, PortError::Corrupt(what) if what.contains(&name)), "{error}");
            for shard in LogShard::ALL {
                let page = ports.log.read(&topic(), shard, LogPosition::before(later), 1_000).await.unwrap();
                assert!(!page.entries.is_empty(), "what was written later is there");
            }
        }
        overwrite(&world, &name, Some(&good)).await;
        assert_eq!(read_all(&world.ports(), 100).await.unwrap().len(), 180);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_retention_counts_for_what_is_compacted_after_it() {
    let world = World::new().await;
    let ports = world.ports();
    for (round, retention) in [Retention::Days30, Retention::Days1, Retention::Days30].into_iter().enumerate() {
        make_topic(&ports, retention).await;
        fill(&ports, round * 10..(round + 1) * 10).await;
        world.advance(16 * MINUTE).await;
        assert_eq!(compact(&ports).await, 100);
    }
    assert!(keys(&world, "events/retention=1d/").await.len() * 2 == keys(&world, "events/retention=30d/").await.len());
    let shown = async |ports: &Ports| {
        let forward = read_all(ports, 100).await.unwrap();
        assert!(newest_all(ports, 6).await == newest_first(&forward));
        forward.iter().map(|entry| entry.pack.events[0].id.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(shown(&ports).await.len(), 30, "the hot log has all of it for a week");
    world.advance(8 * DAY).await;
    expire_hot(&world).await;
    let left = shown(&ports).await;
    assert!(left.len() == 20 && left.contains("e00000") && !left.contains("e00100") && left.contains("e00200"));
    make_topic(&ports, Retention::Days3).await;
    assert!(ports.log.newest(&topic(), None, 100).await.unwrap().is_empty(), "clipped to what is kept now");
    make_topic(&ports, Retention::Days365).await;
    world.advance(23 * DAY).await;
    assert!(shown(&ports).await.is_empty(), "their class has passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_cannot_be_compacted_holds_up_no_other() {
    let world = World::new().await;
    let ports = world.ports();
    make_topic(&ports, Retention::Days7).await;
    fill(&ports, 0..28).await;
    let sound = LogShard::of(&pack("k0", 0..1, 1).key);
    let stuck = LogShard::ALL.into_iter().find(|shard| *shard != sound).unwrap();
    let row = [
        ("pk", format!("LOG#{}#{stuck}", topic())),
        ("sk", format!("{:013}-{:020}", ports.clock.now().0, 0)),
        ("entries", "of a later version".to_owned()),
    ];
    let mut put = world.clients.dynamodb.put_item().table_name(&world.resources.table);
    for (name, value) in row {
        put = put.item(name, AttributeValue::S(value));
    }
    put.item("v", AttributeValue::N("2".to_owned())).send().await.unwrap();
    world.advance(16 * MINUTE).await;
    let mut events = 0;
    let fault = loop {
        match ports.log.compact(ports.clock.now()).await {
            Ok(some) => events += some,
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, PortError::Corrupt(_)), "{fault}");
    assert!(events > 0 && ids_in_bucket(&world).await.len() as u64 == events);
    assert!(
        ports.log.compaction_lag(ports.clock.now()).await.unwrap().unwrap() >= 16 * MINUTE,
        "which tells an operator"
    );
}
