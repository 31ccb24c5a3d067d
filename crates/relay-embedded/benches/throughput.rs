//! How fast the store is by itself: closed-loop callers send packs, receivers take and acknowledge them and record an
//! attempt for each.
//!
//! `cargo bench -p relay-embedded --bench throughput -- [callers] [seconds] [events to a pack] [bytes to an event]
//! [receivers] [folder]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for measuring")]

use bytes::Bytes;
use relay_core::event::{Event, EventData};
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::webhook::NoWebhooks;
use relay_core::ports::{Attempt, AttemptOutcome, Message, Ports};
use relay_core::time::Time;
use relay_embedded::{Store, StoreOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Load {
    callers: usize,
    span: Duration,
    events: usize,
    bytes: usize,
    receivers: usize,
    folder: PathBuf,
}

fn load() -> Load {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number = |at: usize, otherwise: usize| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(otherwise);
    let folder = args.get(5).map_or_else(|| std::env::temp_dir().join("relay-throughput"), PathBuf::from);
    Load {
        callers: number(0, 64),
        span: Duration::from_secs(number(1, 10) as u64),
        events: number(2, 1),
        bytes: number(3, 1024),
        receivers: number(4, 8),
        folder,
    }
}

fn pack(key: usize, number: u64, events: usize, data: &Bytes) -> Arc<Pack> {
    let event = |index: usize| Event {
        id: format!("0199a5f0-7c00-7000-8000-{:012x}", number * 1000 + index as u64),
        source: "/bench".to_owned(),
        kind: "bench".to_owned(),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: vec![],
        data: EventData::Json(data.clone()),
        made: true,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_0199a5f07c00700080000000").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(format!("key-{key}")).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: (0..events).map(event).collect(),
    })
}

fn attempts(message: &Message, subscription: &SubscriptionId) -> Vec<Attempt> {
    let one = |(index, event): (usize, &Event)| Attempt {
        subscription: subscription.clone(),
        event_id: event.id.clone(),
        topic: message.pack.topic.clone(),
        key: message.pack.key.clone(),
        sequence: message.sequence.event(index as u16),
        number: 1,
        started_at: message.position.unwrap().at,
        duration_ms: 1,
        outcome: AttemptOutcome::Delivered,
        status: Some(200),
        error: None,
        response: String::new(),
        replay: false,
    };
    message.pack.events.iter().enumerate().map(one).collect()
}

async fn receive(ports: Ports, stop: Arc<AtomicBool>, delivered: Arc<AtomicU64>) {
    let subscription = SubscriptionId::new("sub_0199a5f07c00700080000000").unwrap();
    while !stop.load(Ordering::Relaxed) {
        let messages = ports.queue.receive(10).await.unwrap();
        let made = messages.iter().flat_map(|message| attempts(message, &subscription)).collect();
        let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
        assert!(ports.queue.delete(&receipts).await.iter().all(Result::is_ok));
        ports.attempts.record(made).await.unwrap();
        delivered.fetch_add(messages.iter().map(|message| message.pack.events.len() as u64).sum(), Ordering::Relaxed);
    }
}

async fn send(ports: Ports, caller: usize, load: Arc<Load>, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let text = format!("\"{}\"", "x".repeat(load.bytes.saturating_sub(2)));
    let (data, mut taken, mut number) = (Bytes::from(text), Vec::new(), 0);
    let salt = ports.ids.random() >> 24;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let pack = pack((caller * 7919 + number as usize) % 1000, (salt & !0xffff) + number, load.events, &data);
        let began = Instant::now();
        ports.queue.send(vec![pack]).await[0].as_ref().unwrap();
        taken.push(began.elapsed());
    }
    taken
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let load = Arc::new(load());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let opened = Instant::now();
    let options = StoreOptions { receive_wait: Duration::from_millis(100), ..StoreOptions::default() };
    let store = Store::open(&load.folder, options).unwrap();
    println!("opened in {:?}, {} MiB resident", opened.elapsed(), resident_mib());
    let ports = store.ports(Arc::new(NoWebhooks));
    runtime.block_on(async {
        let (stop, delivered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let began = Instant::now();
        let receivers: Vec<_> = (0..load.receivers)
            .map(|_| tokio::spawn(receive(ports.clone(), stop.clone(), delivered.clone())))
            .collect();
        let senders: Vec<_> = (0..load.callers)
            .map(|caller| tokio::spawn(send(ports.clone(), caller, load.clone(), stop.clone())))
            .collect();
        tokio::time::sleep(load.span).await;
        stop.store(true, Ordering::Relaxed);
        let mut taken = Vec::new();
        for sender in senders {
            taken.extend(sender.await.unwrap());
        }
        let seconds = began.elapsed().as_secs_f64();
        for receiver in receivers {
            receiver.await.unwrap();
        }
        taken.sort_unstable();
        let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        let accepted = (taken.len() * load.events) as f64 / seconds;
        let out = delivered.load(Ordering::Relaxed) as f64 / seconds;
        println!("{} callers: {accepted:.0} events/s accepted, {out:.0}/s delivered", load.callers);
        println!(
            "send: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        let stats = store.commit_stats();
        let each = |span: Duration| span.as_secs_f64() * 1e6 / stats.commits as f64;
        println!(
            "{:.0} commits/s of {:.1} packs: {:.0} µs writing, {:.0} µs committing, longest {:?}; checkpoints {:?}",
            stats.commits as f64 / seconds,
            stats.packs as f64 / stats.commits as f64,
            each(stats.writing),
            each(stats.committing),
            stats.longest_commit,
            stats.checkpoints,
        );
        println!("{} messages queued, {} MiB resident", ports.queue.lag().await.unwrap().messages, resident_mib());
        store.close().await.unwrap();
    });
}
