//! What an event costs in memory and time on its way in and out, without I/O: `cargo bench -p relay-core`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on may panic")]

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use relay_core::event::write::{Stamp, header_value, structured, webhook_id};
use relay_core::event::{Incoming, binary, structured as json_format};
use relay_core::names::{TopicId, TopicName};
use relay_core::pack::{Pack, codec};
use relay_core::packing;
use relay_core::replay_id::{LogPosition, ReplayId};
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::sync::Arc;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const BATCH: usize = 100;
const NOW: Time = Time(1_795_000_000_000);

fn main() {
    divan::main();
}

fn topic() -> Topic {
    Topic::new(TopicId::new("0199f1a2-0000-7000-8000-000000000000").unwrap(), TopicName::new("orders").unwrap(), NOW)
}

/// JSON of 1 KiB with numbers, texts and levels, as orders have.
fn data() -> String {
    let lines: Vec<_> = (0..12)
        .map(|line| format!(r#"{{"sku":"SKU-{line:04}","quantity":{line},"price":12.50,"tags":["a","b"]}}"#))
        .collect();
    format!(
        r#"{{"order":"A-1001","total":129.95,"note":"as agreed by telephone \"at once\"","lines":[{}]}}"#,
        lines.join(",")
    )
}

fn headers(id: &str) -> [(&str, &[u8]); 9] {
    [
        ("host", b"localhost"),
        ("authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
        ("content-type", b"application/json"),
        ("ce-specversion", b"1.0"),
        ("ce-id", id.as_bytes()),
        ("ce-source", b"/shop"),
        ("ce-type", b"order.paid"),
        ("ce-time", b"2026-11-18T11:06:40.123Z"),
        ("ce-partitionkey", b"customer-1234"),
    ]
}

fn batch_body() -> Bytes {
    let events: Vec<_> = (0..BATCH)
        .map(|number| {
            format!(
                r#"{{"specversion":"1.0","id":"e-{number}","source":"/shop","type":"order.paid","partitionkey":"k-{}","data":{}}}"#,
                number % 10,
                data()
            )
        })
        .collect();
    Bytes::from(format!("[{}]", events.join(",")))
}

fn packs(events: Vec<Incoming>) -> Vec<Arc<Pack>> {
    packing::pack(&topic(), NOW, events).packs.into_iter().map(|planned| planned.pack).collect()
}

fn one_pack() -> Arc<Pack> {
    let event = binary::event(headers("A-1"), &Bytes::from(data())).unwrap();
    packs(vec![event]).remove(0)
}

#[divan::bench]
fn parse_binary(bencher: Bencher<'_, '_>) {
    let body = Bytes::from(data());
    bencher.bench(|| binary::event(headers("A-1"), black_box(&body)).unwrap());
}

#[divan::bench]
fn parse_pack_encode_binary(bencher: Bencher<'_, '_>) {
    let (body, topic) = (Bytes::from(data()), topic());
    bencher.bench(|| {
        let event = binary::event(headers("A-1"), black_box(&body)).unwrap();
        let packing = packing::pack(&topic, NOW, vec![event]);
        codec::encode(&packing.packs[0].pack)
    });
}

#[divan::bench]
fn parse_batch_of_100(bencher: Bencher<'_, '_>) {
    let body = batch_body();
    bencher.counter(ItemsCount::new(BATCH)).bench(|| json_format::batch(black_box(&body)).unwrap());
}

#[divan::bench]
fn parse_pack_encode_batch_of_100(bencher: Bencher<'_, '_>) {
    let (body, topic) = (batch_body(), topic());
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let events = json_format::batch(black_box(&body)).unwrap();
        let packing = packing::pack(&topic, NOW, events);
        packing.packs.iter().map(|planned| codec::encode(&planned.pack).len()).sum::<usize>()
    });
}

/// What `serde_json` takes only to look at the same batch: the floor of a parser that builds its trees by it.
#[divan::bench]
fn skip_batch_of_100_by_serde_json(bencher: Bencher<'_, '_>) {
    let body = batch_body();
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let events: Vec<&serde_json::value::RawValue> = serde_json::from_slice(black_box(&body)).unwrap();
        events.len()
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let encoded = Bytes::from(codec::encode(&one_pack()));
    bencher.bench(|| codec::decode(black_box(&encoded)).unwrap());
}

#[divan::bench]
fn group_and_dedup_hashes(bencher: Bencher<'_, '_>) {
    let pack = one_pack();
    bencher.bench(|| (black_box(&pack).group(), pack.dedup()));
}

#[divan::bench]
fn write_structured(bencher: Bencher<'_, '_>) {
    let pack = one_pack();
    bencher.bench(|| {
        let event = &black_box(&pack).events[0];
        let sequence = PackSequence { era: NOW.0, number: 7 }.event(0);
        let replay_id = ReplayId::logged(&pack.key, LogPosition { at: NOW, unique: 7 }, sequence);
        let mut out = Vec::new();
        let stamp = Stamp { sequence, key: pack.key.partition_key(), replay_id };
        structured(&mut out, event, &stamp, &event.data.payload(None).unwrap());
        (out, webhook_id(event), header_value("customer-1234").len())
    });
}
