//! How much a broker carries, and how fast.

use super::args::ThroughputArgs;
use super::report::{Disk, Report, probe_disk};
use super::stage::Stage;
use crate::load::broker::Broker;
use crate::load::sink::Behaviour;
use serde_json::json;

pub(super) async fn run(args: &ThroughputArgs, broker: &Broker, run: u64) -> anyhow::Result<Report> {
    let common = &args.common;
    let before = probe_disk(broker).await?;
    let subscribers = args.subscribers as usize;
    let stage = Stage::set(common, broker, run, vec![Behaviour::Answers(200); subscribers])?;
    for subscriber in 0..subscribers {
        stage.subscribe(subscriber, json!({}), json!({})).await?;
    }
    let window = stage.window(args.warmup, args.duration);
    let publishing = match args.rate {
        Some(rate) => stage.open_loop(rate, window).await?,
        None => stage.closed_loop(window).await?,
    };
    stage.settle(0..subscribers).await;
    let settings = json!({
        "loop": if args.rate.is_some() { "open" } else { "closed" },
        "rate": args.rate,
        "connections": common.connections,
        "subscribers": subscribers,
        "keys": common.keys,
        "size": common.size,
        "batch": common.batch,
        "keysPerBatch": common.keys_per_batch,
        "mode": common.mode,
        "seconds": window.seconds(),
        "warmupSeconds": args.warmup.as_secs_f64(),
    });
    let mut report = Report::new("throughput", settings, &stage, &publishing, window)?;
    report.disk = before.zip(probe_disk(broker).await?).map(|(before, after)| Disk { before, after });
    Ok(report)
}
