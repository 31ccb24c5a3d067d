//! How fast a backlog drains, and in how much memory.

use super::args::{BacklogArgs, Hold};
use super::report::{Disk, Finding, Memory, Report, probe_disk};
use super::stage::Stage;
use crate::load::broker::Broker;
use crate::load::generator::lock;
use crate::load::sink::Behaviour;
use crate::load::stopwatch::Window;
use anyhow::bail;
use serde_json::json;
use std::time::{Duration, Instant};

const ONLY: usize = 0;

pub(super) async fn run(args: &BacklogArgs, broker: &Broker, run: u64) -> anyhow::Result<Report> {
    let common = &args.common;
    let before = probe_disk(broker).await?;
    let first = match args.hold {
        Hold::Failing => Behaviour::Answers(500),
        Hold::Paused => Behaviour::Answers(200),
    };
    let stage = Stage::set(common, broker, run, vec![first])?;
    let subscription = stage.subscribe(ONLY, json!({}), json!({})).await?;
    if args.hold == Hold::Paused {
        broker.api.call("POST", &format!("/v1/subscriptions/{}/pause", subscription.id), Some(&json!({}))).await?;
    }

    let mut window = Window::since(stage.stopwatch.now());
    let publishing = stage.count(args.events, window).await?;
    window.to = stage.stopwatch.now();
    let held = wait_until_held(&stage, &subscription.id).await?;
    let memory_held = broker.resident().map(Memory::from);

    let draining = Window::since(stage.stopwatch.now());
    lock(&stage.ledger).measure(draining);
    stage.sink.behave(ONLY, Behaviour::Answers(200));
    broker.api.resume(&subscription.id).await?;
    stage.settle(ONLY..ONLY + 1).await;

    let settings = json!({
        "events": args.events,
        "hold": args.hold,
        "connections": common.connections,
        "keys": common.keys,
        "size": common.size,
        "batch": common.batch,
        "mode": common.mode,
    });
    let mut report = Report::new("backlog", settings, &stage, &publishing, window)?;
    let (drained, last) = {
        let ledger = lock(&stage.ledger);
        let account = &ledger.accounts()[ONLY];
        (account.delivered_in_window(), account.last_arrival())
    };
    let took = Duration::from_nanos(last.saturating_sub(draining.from)).as_secs_f64();
    report.delivered.per_second = drained as f64 / took.max(f64::MIN_POSITIVE);
    report.findings = vec![
        Finding { name: "held", value: held as f64, unit: "events" },
        Finding { name: "drained", value: drained as f64, unit: "events" },
        Finding { name: "drained in", value: took, unit: "s" },
        Finding { name: "drain rate", value: drained as f64 / took.max(f64::MIN_POSITIVE), unit: "events/s" },
    ];
    if let Some(memory) = memory_held {
        report.findings.push(Finding { name: "memory while held", value: memory.end_mib, unit: "MiB" });
    }
    report.disk = before.zip(probe_disk(broker).await?).map(|(before, after)| Disk { before, after });
    Ok(report)
}

/// Waits until all that was accepted is in the backlog, and tells how much that is.
async fn wait_until_held(stage: &Stage<'_>, subscription: &str) -> anyhow::Result<u64> {
    let accepted = lock(&stage.published).accepted();
    let (mut held, mut since) = (0, Instant::now());
    while held < accepted {
        let now = stage.broker.api.held_events(subscription).await?;
        if now != held {
            (held, since) = (now, Instant::now());
        } else if since.elapsed() > stage.args.grace {
            bail!("only {held} of {accepted} events are held");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(held)
}
