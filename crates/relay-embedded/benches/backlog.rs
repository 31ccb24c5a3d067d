//! What a large backlog costs: holds events in lanes, opens the store again, drains the lanes.
//!
//! `cargo bench -p relay-embedded --bench backlog -- [events] [lanes] [at the same time] [folder]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for measuring")]

use bytes::Bytes;
use relay_core::event::{Event, EventData};
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{NewLane, Progress};
use relay_core::lane::{BacklogItem, HoldReason, LaneRef, Lease, OwnerId, PutId, rest_key};
use relay_core::limits::LEASE;
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::Ports;
use relay_core::ports::webhook::NoWebhooks;
use relay_core::time::Time;
use relay_embedded::{Store, StoreOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn pack(lane: usize, id: u64) -> Arc<Pack> {
    let event = Event {
        id: format!("0199a5f0-7c00-7000-8000-{id:012x}"),
        source: "/bench".to_owned(),
        kind: "bench".to_owned(),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: vec![],
        data: EventData::Json(Bytes::from(format!("\"{}\"", "x".repeat(1022)))),
        made: true,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_0199a5f07c00700080000000").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(format!("key-{lane}")).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: vec![event],
    })
}

fn lane_of(pack: &Pack) -> LaneRef {
    LaneRef::new(&SubscriptionId::new("sub_1").unwrap(), &pack.topic_id, &pack.topic, &pack.key)
}

/// Sends and holds one event, as dispatch would.
async fn hold(ports: &Ports, lane: usize, id: u64) {
    ports.queue.send(vec![pack(lane, id)]).await[0].as_ref().unwrap();
    let Some(message) = ports.queue.receive(1).await.unwrap().pop() else { return };
    let item = BacklogItem {
        key: rest_key(message.sequence),
        pack: message.pack.clone(),
        position: message.position.unwrap(),
        next: 0,
        end: 1,
        put_id: PutId(1),
        revision: 1,
        attempts: 0,
        first_failed_at: None,
        due_at: None,
        replay: false,
    };
    let now = ports.clock.now();
    let new = NewLane {
        lane: lane_of(&message.pack),
        reason: HoldReason::Paused,
        since: now,
        next_attempt_at: Some(now),
        lease: None,
        attempts: 0,
        last_status: None,
        last_error: None,
    };
    ports.lanes.append(vec![item], &new, false).await.unwrap();
    ports.queue.delete(&[message.receipt]).await[0].clone().unwrap();
}

/// Drains a lane, as drain would without a webhook; answers how many events it had.
async fn drain(ports: &Ports, lane: usize) -> u64 {
    let id = lane_of(&pack(lane, 0)).id;
    let (now, owner) = (ports.clock.now(), OwnerId(lane as u64 + 1));
    let lease = Lease { owner, until: now + LEASE * 60 };
    let Some(mut item) = ports.lanes.take_lease(&id, lease, now, false).await.unwrap() else { return 0 };
    let mut drained = 0;
    loop {
        let read = ports.lanes.backlog(&id, 100).await.unwrap();
        for one in &read.items {
            let progress = Progress { key: one.key, put_id: one.put_id, next: None };
            ports.lanes.progress(&id, progress).await.unwrap();
            drained += 1;
        }
        item = read.before.unwrap_or(item);
        if read.items.is_empty() && ports.lanes.release(&id, owner, item.version).await.unwrap() == Outcome::Done {
            return drained;
        }
    }
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn at_once<F: Future<Output = ()> + Send + 'static>(width: usize, make: impl Fn() -> F) {
    let tasks: Vec<_> = (0..width).map(|_| tokio::spawn(make())).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn run(events: u64, lanes: usize, width: usize, folder: PathBuf) {
    let options = StoreOptions { receive_wait: Duration::from_millis(100), ..StoreOptions::default() };
    let store = Store::open(&folder, options.clone()).unwrap();
    let (ports, next) = (store.ports(Arc::new(NoWebhooks)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    at_once(width, || {
        let (ports, next) = (ports.clone(), next.clone());
        async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= events {
                    return;
                }
                hold(&ports, number as usize % lanes, number).await;
            }
        }
    })
    .await;
    let each = |began: Instant| events as f64 / began.elapsed().as_secs_f64();
    println!("held at {:.0}/s, {} MiB resident", each(began), resident_mib());
    store.close().await.unwrap();
    drop(store);
    let opened = Instant::now();
    let store = Store::open(&folder, options).unwrap();
    println!("opened in {:?}, {} MiB resident", opened.elapsed(), resident_mib());
    let ports = store.ports(Arc::new(NoWebhooks));
    let topic = TopicId::new("top_0199a5f07c00700080000000").unwrap();
    println!("{:?} held", ports.lanes.held_events(&topic).await.unwrap());
    let (began, next, drained) = (Instant::now(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    at_once(width, || {
        let (ports, next, drained) = (ports.clone(), next.clone(), drained.clone());
        async move {
            loop {
                let lane = next.fetch_add(1, Ordering::Relaxed);
                if lane >= lanes {
                    return;
                }
                drained.fetch_add(drain(&ports, lane).await, Ordering::Relaxed);
            }
        }
    })
    .await;
    assert_eq!(drained.load(Ordering::Relaxed), events);
    println!("drained at {:.0}/s, {} MiB resident", each(began), resident_mib());
    store.close().await.unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number = |at: usize, otherwise: usize| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(otherwise);
    let folder = args.get(3).map_or_else(|| std::env::temp_dir().join("relay-backlog"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(number(0, 100_000) as u64, number(1, 1000), number(2, 64), folder));
}
