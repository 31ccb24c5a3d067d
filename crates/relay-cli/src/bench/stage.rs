//! What every scenario plays on: a topic, webhooks, and the books of what went in and came out.

use super::args::{CommonArgs, Mode};
use super::progress::Progress;
use crate::load::api::Subscribed;
use crate::load::broker::Broker;
use crate::load::generator::{Load, Pace, Publishing, SharedPublished, generate, lock};
use crate::load::ledger::Ledger;
use crate::load::pacer::Schedule;
use crate::load::published::Published;
use crate::load::request::RequestShape;
use crate::load::sink::{Behaviour, Sink, SinkSetup};
use crate::load::stopwatch::{Nanos, Stopwatch, Window, nanos};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) struct Stage<'a> {
    pub broker: &'a Broker,
    pub args: &'a CommonArgs,
    pub run: u64,
    pub sink: Sink,
    pub ledger: Arc<Mutex<Ledger>>,
    pub published: SharedPublished,
    pub stopwatch: Stopwatch,
}

/// The topic of a run.
pub(super) fn topic_of(run: u64) -> String {
    format!("relay-bench-{run:016x}")
}

impl<'a> Stage<'a> {
    /// Starts the webhooks; nobody is subscribed yet.
    pub fn set(
        args: &'a CommonArgs,
        broker: &'a Broker,
        run: u64,
        behaviours: Vec<Behaviour>,
    ) -> anyhow::Result<Stage<'a>> {
        let stopwatch = Stopwatch::start();
        let keys = args.keys as usize;
        let ledger = Ledger::new(run, keys, behaviours.len(), Window::since(0))?;
        let ledger = Arc::new(Mutex::new(ledger));
        let setup =
            SinkSetup { listen: args.sink_listen, behaviours, ledger: Arc::clone(&ledger), stopwatch, observer: None };
        let sink = Sink::start(setup)?;
        let published = Arc::new(Mutex::new(Published::new(keys)));
        Ok(Stage { broker, args, run, sink, ledger, published, stopwatch })
    }

    /// Subscribes a webhook, with these fields beside topic and endpoint.
    pub async fn subscribe(&self, subscriber: usize, endpoint: Value, fields: Value) -> anyhow::Result<Subscribed> {
        let base = self.args.sink_url.clone().unwrap_or_else(|| format!("http://{}", self.sink.address()));
        let url = format!("{}{}", base.trim_end_matches('/'), Sink::path(subscriber));
        let mut full = json!({ "url": url, "mode": self.args.mode });
        if self.args.mode == Mode::Batch {
            full["maxBatch"] = self.args.max_batch.into();
        }
        merge(&mut full, endpoint);
        let mut subscription = json!({ "topic": topic_of(self.run), "endpoint": full });
        merge(&mut subscription, fields);
        self.broker.api.subscribe(&subscription).await
    }

    /// A window that begins after a warm-up from now.
    pub fn window(&self, warmup: Duration, duration: Duration) -> Window {
        let from = self.stopwatch.now() + nanos(warmup);
        let window = Window { from, to: from + nanos(duration) };
        lock(&self.ledger).measure(window);
        window
    }

    /// Publishes as many events a second as this from now until the window ends.
    pub async fn open_loop(&self, rate: f64, window: Window) -> anyhow::Result<Publishing> {
        let start = self.stopwatch.now();
        let interval = Duration::from_secs_f64(f64::from(self.args.batch) / rate);
        let count = Duration::from_nanos(window.to.saturating_sub(start)).as_secs_f64() / interval.as_secs_f64();
        let schedule = Schedule { start, interval, count: count.ceil() as u64 };
        self.publish(Pace::Open { schedule, until: window.to + nanos(self.args.grace) }, window).await
    }

    /// Publishes as much as the connections carry until the window ends.
    pub async fn closed_loop(&self, window: Window) -> anyhow::Result<Publishing> {
        self.publish(Pace::Closed { until: window.to, requests: u64::MAX }, window).await
    }

    /// Publishes so many events, as fast as the connections carry them.
    pub async fn count(&self, events: u64, window: Window) -> anyhow::Result<Publishing> {
        let requests = events.div_ceil(u64::from(self.args.batch));
        self.publish(Pace::Closed { until: Nanos::MAX, requests }, window).await
    }

    async fn publish(&self, pace: Pace, window: Window) -> anyhow::Result<Publishing> {
        let shape = RequestShape {
            url: self.broker.api.url().clone(),
            key: self.broker.api.key().to_owned(),
            topic: topic_of(self.run),
            batch: self.args.batch as usize,
            size: self.args.size as usize,
            run: self.run,
        };
        let connections = match pace {
            Pace::Closed { .. } => self.args.connections,
            // No more than send one a second each: a connection that idles may be closed by the broker.
            Pace::Open { schedule, .. } => {
                self.args.connections.min(schedule.interval.as_secs_f64().recip().ceil().max(1.0) as u32)
            }
        };
        let load = Load {
            shape,
            connections: connections as usize,
            keys_per_batch: self.args.keys_per_batch as usize,
            pace,
            window,
        };
        let progress = Progress::new(Arc::clone(&self.published), Arc::clone(&self.ledger));
        progress.during(generate(load, Arc::clone(&self.published), self.stopwatch)).await
    }

    /// Waits until these subscribers have all that was accepted, or nothing has come for the grace.
    pub async fn settle(&self, subscribers: std::ops::Range<usize>) {
        let progress = Progress::new(Arc::clone(&self.published), Arc::clone(&self.ledger));
        progress.during(self.settled(subscribers)).await;
    }

    async fn settled(&self, subscribers: std::ops::Range<usize>) {
        let mut delivered = 0;
        let mut since = self.stopwatch.now();
        while !self.is_complete(subscribers.clone()) {
            let now_delivered = lock(&self.ledger).accounts().iter().map(|account| account.delivered()).sum::<u64>();
            if now_delivered != delivered {
                (delivered, since) = (now_delivered, self.stopwatch.now());
            } else if self.stopwatch.now() > since + nanos(self.args.grace) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Repeats, if there are any, come close behind.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    fn is_complete(&self, subscribers: std::ops::Range<usize>) -> bool {
        let published = lock(&self.published);
        let ledger = lock(&self.ledger);
        // Counts first: going through what is missing is dear while much is.
        let enough = |subscriber: usize| {
            let account = &ledger.accounts()[subscriber];
            account.delivered() >= published.accepted() && account.missing(&published) == 0
        };
        subscribers.into_iter().all(enough)
    }
}

fn merge(into: &mut Value, fields: Value) {
    if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
        into.extend(fields);
    }
}
