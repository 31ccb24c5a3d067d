//! Replays to a webhook, against what else delivers the same events from a backlog: the draining of a paused
//! subscription, on the same machine, right before.

use super::arrivals::Arrivals;
use super::{Filled, fill};
use crate::bench::args::Replayed;
use crate::bench::report::{Finding, Memory, Report};
use crate::failure::Failure;
use crate::load::broker::Broker;
use crate::load::corpus::{first_of_size, partition_key};
use crate::load::generator::lock;
use crate::load::ledger::Ledger;
use crate::load::sink::{Behaviour, Sink, SinkSetup};
use crate::load::stopwatch::{Nanos, Stopwatch, Window, nanos};
use anyhow::anyhow;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long to wait for the next delivery before what is missing counts as lost: longer than sweep takes to look.
const GRACE: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(50);

/// A webhook and what has arrived at it.
struct Hook {
    sink: Sink,
    arrivals: Arc<Mutex<Arrivals>>,
    stopwatch: Stopwatch,
}

/// How deliveries went.
struct Delivered {
    /// Since they were asked for.
    seconds: f64,
    /// Since the first of them.
    delivering: f64,
    memory: Option<Memory>,
}

/// Drains a backlog of the corpus's events, replays the same ones, and enters both in the report.
pub(super) async fn measure(filled: &Filled, events: u64, of: Replayed, report: &mut Report) -> Result<(), Failure> {
    let (name, key) = match of {
        Replayed::Key => ("the most frequent key", Some(first_of_size(0))),
        Replayed::All => ("the whole log", None),
    };
    let customers = (0..events).map(|number| filled.corpus.customer(number));
    let hook = || Hook::start(Arrivals::expected(customers.clone().filter(|of| key.is_none_or(|key| key == *of))));
    let held = hook()?;
    let drained = drain(filled, events, key, &held).await?;
    let replayed_to = hook()?;
    let replayed = replay(filled, key, &replayed_to).await?;
    let count = lock(&replayed_to.arrivals).count;
    let rate = |seconds: f64| count as f64 / seconds.max(f64::MIN_POSITIVE);
    let drain_rate = rate(drained.seconds);
    let share = |of: f64| of / drain_rate * 100.0;
    report.findings.extend([
        Finding { name, value: count as f64, unit: "events" },
        Finding { name: "  backlog drained", value: drain_rate, unit: "events/s" },
        Finding { name: "  replayed in", value: replayed.seconds, unit: "s" },
        Finding { name: "  replayed", value: rate(replayed.seconds), unit: "events/s" },
        Finding { name: "  of the drain rate", value: share(rate(replayed.seconds)), unit: "%" },
        Finding { name: "  its deliveries", value: rate(replayed.delivering), unit: "events/s" },
        Finding { name: "  of the drain rate", value: share(rate(replayed.delivering)), unit: "%" },
    ]);
    for (name, memory) in [("  memory of draining", drained.memory), ("  memory of the replay", replayed.memory)] {
        report.findings.extend(memory.map(|memory| Finding { name, value: memory.peak_mib, unit: "MiB" }));
    }
    for hook in [held, replayed_to] {
        let arrivals = lock(&hook.arrivals);
        report.delivered.events += arrivals.count;
        report.checks.order_violations += arrivals.out_of_order;
        report.checks.duplicates += arrivals.duplicates;
        report.checks.lost += arrivals.missing();
        report.checks.strangers += arrivals.strangers;
    }
    report.delivered.per_second = rate(replayed.seconds);
    Ok(())
}

/// Has events held by a pause, on a topic of their own, and lets them go.
async fn drain(filled: &Filled, events: u64, key: Option<u32>, hook: &Hook) -> Result<Delivered, Failure> {
    let broker = Broker::open(&filled.broker).await?;
    let topic = format!("{}-{}", super::super::stage::topic_of(filled.run), if key.is_some() { "key" } else { "all" });
    broker.api.create_topic(&topic).await?;
    let id = hook.subscribe(&broker, &topic).await?;
    broker.api.call("POST", &format!("/v1/subscriptions/{id}/pause"), Some(&json!({}))).await?;
    fill::publish(&broker.api, &topic, filled.corpus, events, key).await?;
    let wanted = lock(&hook.arrivals).wanted();
    let (mut held, mut since) = (0, hook.stopwatch.now());
    while held < wanted {
        let now = broker.api.held_events(&id).await?;
        if now != held {
            (held, since) = (now, hook.stopwatch.now());
        } else if hook.stopwatch.now() > since + nanos(GRACE) {
            return Err(Failure::Runtime(anyhow!("only {held} of {wanted} events are held")));
        }
        tokio::time::sleep(LOOK).await;
    }
    let asked = hook.stopwatch.now();
    broker.api.resume(&id).await?;
    let delivered = hook.delivered(asked, &broker).await?;
    broker.api.delete_topic(&topic).await?;
    broker.close().await?;
    Ok(delivered)
}

/// Replays what is in the log.
async fn replay(filled: &Filled, key: Option<u32>, hook: &Hook) -> Result<Delivered, Failure> {
    // Started anew, so that its memory is the replay's.
    let broker = Broker::open(&filled.broker).await?;
    let id = hook.subscribe(&broker, &filled.topic).await?;
    let mut order = json!({ "from": "earliest" });
    if let Some(key) = key {
        order["partitionKey"] = partition_key(key).into();
    }
    let asked = hook.stopwatch.now();
    broker.api.call("POST", &format!("/v1/subscriptions/{id}/replays"), Some(&order)).await?;
    let delivered = hook.delivered(asked, &broker).await?;
    broker.api.call("DELETE", &format!("/v1/subscriptions/{id}"), None).await?;
    broker.close().await?;
    Ok(delivered)
}

impl Hook {
    fn start(arrivals: Arrivals) -> anyhow::Result<Hook> {
        let (stopwatch, arrivals) = (Stopwatch::start(), Arc::new(Mutex::new(arrivals)));
        let entered = Arc::clone(&arrivals);
        let sink = Sink::start(SinkSetup {
            listen: ([127, 0, 0, 1], 0).into(),
            behaviours: vec![Behaviour::Answers(200)],
            ledger: Arc::new(Mutex::new(Ledger::new(0, 0, 1, Window::since(0))?)),
            stopwatch,
            observer: Some(Arc::new(move |delivery| lock(&entered).enter(delivery.body, stopwatch.now()))),
        })?;
        Ok(Hook { sink, arrivals, stopwatch })
    }

    async fn subscribe(&self, broker: &Broker, topic: &str) -> anyhow::Result<String> {
        let url = format!("http://{}{}", self.sink.address(), Sink::path(0));
        let subscription = json!({ "topic": topic, "endpoint": { "url": url, "mode": "structured" } });
        Ok(broker.api.subscribe(&subscription).await?.id)
    }

    /// Waits until all has arrived, or nothing has come for the grace.
    async fn delivered(&self, asked: Nanos, broker: &Broker) -> anyhow::Result<Delivered> {
        let wanted = lock(&self.arrivals).wanted();
        let (mut count, mut since) = (0, asked);
        while count < wanted {
            let now = lock(&self.arrivals).count;
            if now != count {
                (count, since) = (now, self.stopwatch.now());
            } else if self.stopwatch.now() > since + nanos(GRACE) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let (first, last) = {
            let arrivals = lock(&self.arrivals);
            (arrivals.first.unwrap_or(asked), arrivals.last)
        };
        let seconds = |from: Nanos| Duration::from_nanos(last.saturating_sub(from)).as_secs_f64();
        let memory = broker.resident().map(Memory::from);
        Ok(Delivered { seconds: seconds(asked), delivering: seconds(first), memory })
    }
}
