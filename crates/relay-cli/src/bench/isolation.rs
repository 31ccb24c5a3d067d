//! What a subscriber that hangs on every request costs another one of the same topic and keys.

use super::args::IsolationArgs;
use super::report::{Disk, Finding, Report, probe_disk};
use super::stage::{Stage, topic_of};
use crate::load::broker::Broker;
use crate::load::generator::{Publishing, lock};
use crate::load::sink::Behaviour;
use crate::load::stopwatch::Window;
use hdrhistogram::Histogram;
use serde_json::json;

const STEADY: usize = 0;
const HANGING: usize = 1;

pub(super) async fn run(args: &IsolationArgs, broker: &Broker, run: u64) -> anyhow::Result<Report> {
    let common = &args.common;
    let before = probe_disk(broker).await?;
    let stage = Stage::set(common, broker, run, vec![Behaviour::Answers(200), Behaviour::Hangs])?;
    stage.subscribe(STEADY, json!({}), json!({})).await?;

    let mut alone = phase(&stage, args).await?;
    let hanging = stage.subscribe(HANGING, json!({ "timeoutMs": args.timeout_ms }), json!({})).await?;
    let beside = phase(&stage, args).await?;
    let hung = stage.sink.requests(HANGING);
    broker.api.call("DELETE", &format!("/v1/subscriptions/{}", hanging.id), None).await?;
    // Once more alone: what a shared machine does meanwhile must not count against the broker, or for it.
    let again = phase(&stage, args).await?;
    alone.latency.add(&again.latency)?;

    let settings = json!({
        "topic": topic_of(run),
        "rate": args.rate,
        "keys": common.keys,
        "size": common.size,
        "seconds": args.duration.as_secs_f64(),
        "warmupSeconds": args.warmup.as_secs_f64(),
        "timeoutMs": args.timeout_ms,
    });
    let mut report = Report::new("isolation", settings, &stage, &beside.publishing, beside.window)?;
    // The hanging subscriber was never meant to get anything: only the steady one is owed.
    report.checks.lost = lock(&stage.ledger).accounts()[STEADY].missing(&lock(&stage.published));
    report.delivered.latency_ms = super::report::Percentiles::of(&beside.latency);
    report.delivered.per_second = beside.delivered as f64 / beside.window.seconds();
    let millis = |latency: &Histogram<u64>, quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    let ratio = millis(&beside.latency, 0.99) / millis(&alone.latency, 0.99).max(0.001);
    report.findings = vec![
        Finding { name: "p50 alone", value: millis(&alone.latency, 0.5), unit: "ms" },
        Finding { name: "p99 alone", value: millis(&alone.latency, 0.99), unit: "ms" },
        Finding { name: "p50 beside hanging", value: millis(&beside.latency, 0.5), unit: "ms" },
        Finding { name: "p99 beside hanging", value: millis(&beside.latency, 0.99), unit: "ms" },
        Finding { name: "p99 beside / alone", value: ratio, unit: "times" },
        Finding { name: "requests that hung", value: hung as f64, unit: "requests" },
    ];
    report.disk = before.zip(probe_disk(broker).await?).map(|(before, after)| Disk { before, after });
    Ok(report)
}

struct Phase {
    publishing: Publishing,
    window: Window,
    latency: Histogram<u64>,
    delivered: u64,
}

async fn phase(stage: &Stage<'_>, args: &IsolationArgs) -> anyhow::Result<Phase> {
    let window = stage.window(args.warmup, args.duration);
    let publishing = stage.open_loop(args.rate, window).await?;
    stage.settle(STEADY..STEADY + 1).await;
    let ledger = lock(&stage.ledger);
    let steady = &ledger.accounts()[STEADY];
    Ok(Phase { publishing, window, latency: steady.latency().clone(), delivered: steady.delivered_in_window() })
}
