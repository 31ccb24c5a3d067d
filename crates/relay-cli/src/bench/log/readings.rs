//! What reading a log costs.

use super::client::{PulledPage, TopicClient};
use crate::load::api::Api;
use crate::load::corpus::{Corpus, first_of_size, partition_key};
use crate::load::ledger::histogram;
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// A key of the corpus that is scanned for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    /// What it is called in the report.
    pub name: &'static str,
    /// The customer.
    pub customer: u32,
}

/// The first customer of sizes from the smallest to the largest.
pub(super) fn keys() -> [Scanned; 3] {
    let of_size = |name, size| Scanned { name, customer: first_of_size(size) };
    [of_size("a rare key", 15), of_size("a usual key", 8), of_size("the most frequent key", 0)]
}

/// What a scan found, and how fast.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub seconds: f64,
    pub found: u64,
    pub out_of_order: u64,
    pub duplicates: u64,
    pub missing: u64,
    /// Parts of segments that were read.
    pub reads: Option<u64>,
    /// Replay ids of some of what was found.
    pub replay_ids: Vec<String>,
}

/// How many events the keys have in the corpus.
pub(super) fn expected(corpus: Corpus, events: u64) -> HashMap<u32, u64> {
    let mut counts: HashMap<u32, u64> = keys().iter().map(|key| (key.customer, 0)).collect();
    for customer in (0..events).map(|number| corpus.customer(number)) {
        if let Some(count) = counts.get_mut(&customer) {
            *count += 1;
        }
    }
    counts
}

/// Of the events that a scan finds one in so many is looked up, and no more than this.
const EVERY: u64 = 16;
const LOOKED_UP: usize = 500;

/// Reads the whole log for one key.
pub(super) async fn scan(client: &mut TopicClient, customer: u32, expected: u64) -> anyhow::Result<Scan> {
    let key = partition_key(customer);
    let query = format!("&limit=1000&partitionKey={key}");
    let (reads_before, began) = (client.segment_reads().await, Instant::now());
    let (mut scan, mut after, mut last) = (Scan::default(), "earliest".to_owned(), String::new());
    let mut seen = HashSet::new();
    // A part may be empty before the end, since an answer takes so long at most. At the end its place stays.
    loop {
        let PulledPage { items, next_cursor } = client.pull(&after, &query).await?;
        let is_end = items.is_empty() && next_cursor == after;
        after = next_cursor;
        for event in items {
            ensure!(event.partition_key.as_ref() == Some(&key), "an event of another key was answered: {event:?}");
            scan.out_of_order += u64::from(event.sequence <= last);
            if scan.found % EVERY == 0 && scan.replay_ids.len() < LOOKED_UP {
                scan.replay_ids.push(event.replay_id);
            }
            last = event.sequence;
            scan.found += 1;
            scan.duplicates += u64::from(!seen.insert(event.id));
        }
        if is_end {
            break;
        }
    }
    scan.seconds = began.elapsed().as_secs_f64();
    scan.missing = expected.saturating_sub(seen.len() as u64);
    scan.reads = client.segment_reads().await.zip(reads_before).map(|(after, before)| after - before);
    Ok(scan)
}

/// Reads single events by their replay ids. Answers how long each took, and the parts of segments read for one.
pub(super) async fn look_up(
    client: &mut TopicClient,
    replay_ids: &[String],
) -> anyhow::Result<(Histogram<u64>, Option<f64>)> {
    let (mut took, before) = (histogram()?, client.segment_reads().await);
    for replay_id in replay_ids {
        let began = Instant::now();
        let event = client.event(replay_id).await?;
        took.saturating_record(began.elapsed().as_micros() as u64);
        ensure!(event.replay_id == *replay_id, "another event was answered: {event:?}");
    }
    let reads = client.segment_reads().await.zip(before);
    Ok((took, reads.map(|(after, before)| (after - before) as f64 / (replay_ids.len() as f64).max(1.0))))
}

/// Events published to measure the tail, and the pause between them.
const TAIL: u64 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// Follows the log's end while events are published: how long from publishing one until it was pulled.
pub(super) async fn tail(api: &Api, topic: &str, run: u64) -> anyhow::Result<Histogram<u64>> {
    let (mut reader, mut writer) = (TopicClient::open(api, topic).await?, TopicClient::open(api, topic).await?);
    let mut after = reader.pull("latest", "&limit=1").await?.next_cursor;
    let began = Instant::now();
    let order = Corpus::new(run).order(0).json;
    let publishing = async {
        for number in 0..TAIL {
            tokio::time::sleep(PAUSE).await;
            // The id says when it was sent.
            let sent = began.elapsed().as_micros();
            let event = format!(
                r#"[{{"specversion":"1.0","id":"{run:x}-{number}-{sent}","source":"/bench/tail","type":"tail","partitionkey":"tail-{}","data":{order}}}]"#,
                number % 50
            );
            writer.publish(&event).await?;
        }
        anyhow::Ok(())
    };
    let pulling = async {
        let (mut took, mut left) = (histogram()?, TAIL);
        let own = format!("{run:x}-");
        while left > 0 {
            let page = reader.pull(&after, "&limit=100&wait=20").await?;
            let now = began.elapsed().as_micros() as u64;
            ensure!(!page.items.is_empty(), "{left} events of the log's end never came");
            for event in page.items.iter().filter(|event| event.id.starts_with(&own)) {
                let sent: u64 = event.id.rsplit('-').next().context("no time")?.parse()?;
                took.saturating_record(now.saturating_sub(sent));
                left -= 1;
            }
            after = page.next_cursor;
        }
        anyhow::Ok(took)
    };
    Ok(tokio::try_join!(publishing, pulling)?.1)
}
