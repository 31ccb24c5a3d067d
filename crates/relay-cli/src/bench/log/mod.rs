//! What a long log costs: to keep, to scan for a key, to find an event in, to follow, and to replay.

mod arrivals;
mod client;
mod fill;
mod readings;
mod replays;

use super::args::{LogArgs, ReplayArgs, Replayed};
use super::report::{Accepted, Checks, Delivered, Finding, Memory, Percentiles, Report};
use crate::failure::Failure;
use crate::load::broker::{Broker, BrokerArgs, random};
use crate::load::corpus::{Corpus, ORDER_BYTES};
use crate::load::folder::TemporaryFolder;
use anyhow::Context;
use client::TopicClient;
use readings::Scan;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A log of the corpus, without a broker.
struct Filled {
    run: u64,
    topic: String,
    corpus: Corpus,
    broker: BrokerArgs,
    /// Its data folder, unless that is somebody else's.
    data: Option<PathBuf>,
    _temporary: Option<TemporaryFolder>,
}

/// Fills a log unless that is done, and measures it.
///
/// # Errors
/// If the broker cannot be started, or does not answer as it should.
pub(super) async fn run(args: &LogArgs) -> Result<Report, Failure> {
    let (filled, mut report) = Filled::of(args, "log").await?;
    if let Some(data) = &filled.data {
        storage(args, data, &filled.topic, &mut report).await?;
    }
    let broker = Broker::open(&filled.broker).await?;
    measure(args, &broker, (&filled.topic, filled.run), filled.corpus, &mut report).await?;
    report.memory = broker.resident().map(Memory::from);
    broker.close().await?;
    Ok(report)
}

/// Fills a log unless that is done, and measures replays of it.
///
/// # Errors
/// If the broker cannot be started, or does not answer as it should.
pub(super) async fn replay(args: &ReplayArgs) -> Result<Report, Failure> {
    let (filled, mut report) = Filled::of(&args.log, "replay").await?;
    if let Some(data) = &filled.data {
        fill::log_command("compact", data).await?;
    }
    let all = [Replayed::Key, Replayed::All];
    for of in all.into_iter().filter(|of| args.of.is_none_or(|only| only == *of)) {
        replays::measure(&filled, args.log.events, of, &mut report).await?;
    }
    Ok(report)
}

impl Filled {
    /// Fills a log, unless that is done.
    async fn of(args: &LogArgs, scenario: &'static str) -> Result<(Filled, Report), Failure> {
        let run = random();
        let topic = args.topic.clone().unwrap_or_else(|| super::stage::topic_of(run));
        let temporary = match (&args.broker.url, &args.broker.data) {
            (None, None) => Some(TemporaryFolder::new("relay-run").context("no temporary folder can be made")?),
            _ => None,
        };
        let data = temporary.as_ref().map(|folder| folder.path().join("data")).or_else(|| args.broker.data.clone());
        let broker = BrokerArgs { data: data.clone(), ..args.broker.clone() };
        let corpus = Corpus::new(args.seed);
        let mut report = empty(scenario, args, &topic);
        if args.topic.is_none() {
            fill(args, &broker, &topic, corpus, &mut report).await?;
        }
        let data = data.filter(|_| args.broker.url.is_none());
        Ok((Filled { run, topic, corpus, broker, data, _temporary: temporary }, report))
    }
}

fn empty(scenario: &'static str, args: &LogArgs, topic: &str) -> Report {
    Report {
        scenario,
        version: env!("CARGO_PKG_VERSION"),
        settings: json!({ "events": args.events, "seed": args.seed, "size": ORDER_BYTES, "topic": topic }),
        accepted: Accepted::default(),
        delivered: Delivered::default(),
        checks: Checks::default(),
        findings: Vec::new(),
        disk: None,
        memory: None,
    }
}

async fn fill(
    args: &LogArgs,
    broker: &BrokerArgs,
    topic: &str,
    corpus: Corpus,
    report: &mut Report,
) -> Result<(), Failure> {
    let broker = Broker::open(broker).await?;
    broker.api.create_topic(topic).await?;
    let per_second = fill::publish(&broker.api, topic, corpus, args.events, None).await?;
    report.accepted = Accepted { events: args.events, per_second, ..Accepted::default() };
    if let Some(memory) = broker.resident().map(Memory::from) {
        report.findings.push(Finding { name: "memory while filled", value: memory.peak_mib, unit: "MiB" });
    }
    Ok(broker.close().await?)
}

/// Compacts what is left and checks all of it, while no broker runs.
async fn storage(args: &LogArgs, data: &Path, topic: &str, report: &mut Report) -> Result<(), Failure> {
    let compacted = fill::log_command("compact", data).await?;
    let verified = fill::log_command("verify", data).await?;
    let (files, bytes) = fill::segments(data, topic).context("the segments cannot be counted")?;
    let json = args.events as f64 * ORDER_BYTES as f64;
    report.findings.extend([
        Finding { name: "rest compacted in", value: compacted, unit: "s" },
        Finding { name: "verified in", value: verified, unit: "s" },
        Finding { name: "segments", value: files as f64, unit: "files" },
        Finding { name: "bytes per event", value: bytes as f64 / args.events as f64, unit: "bytes" },
        Finding { name: "share of its JSON", value: bytes as f64 / json * 100.0, unit: "%" },
    ]);
    Ok(())
}

async fn measure(
    args: &LogArgs,
    broker: &Broker,
    (topic, run): (&str, u64),
    corpus: Corpus,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut client = TopicClient::open(&broker.api, topic).await?;
    let expected = readings::expected(corpus, args.events);
    let (mut scans, mut replay_ids) = (Vec::new(), Vec::new());
    for key in readings::keys() {
        let mut scan = readings::scan(&mut client, key.customer, expected[&key.customer]).await?;
        replay_ids.append(&mut scan.replay_ids);
        report.findings.extend(of_scan(key.name, args.events, &scan));
        scans.push(scan);
    }
    let (took, reads) = readings::look_up(&mut client, &replay_ids).await?;
    report.findings.extend(reads.map(|value| Finding { name: "parts read for one event", value, unit: "parts" }));
    if let Some(took) = Percentiles::of(&took) {
        report.findings.push(Finding { name: "event by replay id p50", value: took.p50, unit: "ms" });
        report.findings.push(Finding { name: "event by replay id p99", value: took.p99, unit: "ms" });
    }
    let tail = readings::tail(&broker.api, topic, run).await?;
    let sum = |of: fn(&Scan) -> u64| scans.iter().map(of).sum();
    let (found, seconds) = (sum(|scan| scan.found), scans.iter().map(|scan| scan.seconds).sum::<f64>());
    report.delivered =
        Delivered { events: found, per_second: found as f64 / seconds, latency_ms: Percentiles::of(&tail) };
    report.checks = Checks {
        order_violations: sum(|scan| scan.out_of_order),
        lost: sum(|scan| scan.missing),
        duplicates: sum(|scan| scan.duplicates),
        strangers: 0,
    };
    Ok(())
}

fn of_scan(name: &'static str, events: u64, scan: &Scan) -> Vec<Finding> {
    let mut findings = vec![
        Finding { name, value: scan.found as f64, unit: "events" },
        Finding { name: "  scanned in", value: scan.seconds, unit: "s" },
        Finding { name: "  of the whole topic", value: events as f64 / scan.seconds, unit: "events/s" },
    ];
    findings.extend(scan.reads.map(|reads| Finding { name: "  parts read", value: reads as f64, unit: "parts" }));
    findings
}
