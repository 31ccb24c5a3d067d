//! What happens in the demo, and when.

use super::DemoArgs;
use super::board::Board;
use super::verdict::{Line, Verdict};
use crate::load::api::Api;
use crate::load::broker::Broker;
use crate::load::generator::{Load, Pace, generate, lock};
use crate::load::ledger::Ledger;
use crate::load::pacer::Schedule;
use crate::load::published::Published;
use crate::load::request::RequestShape;
use crate::load::signature::Verifier;
use crate::load::sink::{Behaviour, Delivery, Sink, SinkSetup};
use crate::load::stopwatch::{Nanos, Stopwatch, Window, nanos};
use anyhow::{Context, anyhow};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// The webhooks, in the order of their indices.
pub(super) const NAMES: [&str; 2] = ["steady", "flaky"];
const FLAKY: usize = 1;
const KEYS: usize = 10;
const SIZE: usize = 512;
/// The flaky webhook begins to fail after one of so many events.
const FAILS_AFTER_ONE_IN: u32 = 5;
/// For how long it does, at least: long enough for somebody to see it.
const FAILS_FOR: Duration = Duration::from_millis(500);
/// With nothing arriving for so long, what is missing counts as lost. Longer than a circuit's first probe takes.
const GRACE: Duration = Duration::from_secs(30);

pub(super) fn topic_of(run: u64) -> String {
    format!("relay-demo-{run:016x}")
}

/// Everything that takes part.
pub(super) struct Cast {
    pub api: Api,
    pub sink: Sink,
    pub ledger: Arc<Mutex<Ledger>>,
    pub published: Arc<Mutex<Published>>,
    pub stopwatch: Stopwatch,
    /// Ids of the subscriptions.
    pub subscriptions: Vec<String>,
    /// Requests whose signature did not verify.
    pub unverified: Arc<AtomicU64>,
}

pub(super) async fn tell(args: &DemoArgs, broker: &Broker, run: u64) -> anyhow::Result<Verdict> {
    let cast = assemble(args, broker, run).await?;
    let board = Board::new(args.events.into());
    board.say(&format!(
        "publishing {} events on {KEYS} keys, {} a second, to two webhooks: {} and {}",
        args.events, args.rate, NAMES[0], NAMES[1]
    ));
    let start = cast.stopwatch.now();
    let interval = Duration::from_secs(1) / args.rate;
    let schedule = Schedule { start, interval, count: args.events.into() };
    let load = Load {
        shape: RequestShape {
            url: broker.api.url().clone(),
            key: broker.api.key().to_owned(),
            topic: topic_of(run),
            batch: 1,
            size: SIZE,
            run,
        },
        connections: KEYS,
        keys_per_batch: 1,
        pace: Pace::Open { schedule, until: Nanos::MAX },
        window: Window::since(start),
    };
    let publishing = async {
        generate(load, Arc::clone(&cast.published), cast.stopwatch).await?;
        settle(&cast).await;
        anyhow::Ok(())
    };
    // Two fifths of the time that publishing takes: it goes on after the webhook is well again.
    let fails_for = FAILS_FOR.max(interval * args.events / FAILS_AFTER_ONE_IN * 2);
    let outage = async {
        outage(&cast, &board, fails_for).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        published = publishing => published?,
        () = outage => {}
        shown = board.follow(&cast) => shown?,
    }
    board.clear();
    Ok(judge(&cast))
}

async fn assemble(args: &DemoArgs, broker: &Broker, run: u64) -> anyhow::Result<Cast> {
    let stopwatch = Stopwatch::start();
    let ledger = Arc::new(Mutex::new(Ledger::new(run, KEYS, NAMES.len(), Window::since(0))?));
    let unverified = Arc::new(AtomicU64::new(0));
    let verifiers: Arc<OnceLock<Vec<Verifier>>> = Arc::default();
    let (seen, known) = (Arc::clone(&unverified), Arc::clone(&verifiers));
    let observer = move |delivery: &Delivery<'_>| {
        let verifier = known.get().and_then(|verifiers| verifiers.get(delivery.subscriber));
        if !verifier.is_some_and(|verifier| is_signed(delivery, verifier)) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    let healthy = u16::try_from(args.events / FAILS_AFTER_ONE_IN).unwrap_or(u16::MAX);
    let sink = Sink::start(SinkSetup {
        listen: ([127, 0, 0, 1], 0).into(),
        behaviours: vec![Behaviour::Answers(200), Behaviour::FailsAfter(healthy)],
        ledger: Arc::clone(&ledger),
        stopwatch,
        observer: Some(Arc::new(observer)),
    })?;
    let api = broker.api.clone();
    let (mut subscriptions, mut secrets) = (Vec::new(), Vec::new());
    for subscriber in 0..NAMES.len() {
        let url = format!("http://{}{}", sink.address(), Sink::path(subscriber));
        let wanted = json!({
            "topic": topic_of(run),
            "endpoint": { "url": url },
            "retry": { "schedule": [1, 2] },
        });
        let made = api.subscribe(&wanted).await?;
        secrets.push(Verifier::new(&made.secret).context("the broker's answer holds no usable secret")?);
        subscriptions.push(made.id);
    }
    verifiers.set(secrets).map_err(|_| anyhow!("the secrets were set twice"))?;
    let published = Arc::new(Mutex::new(Published::new(KEYS)));
    Ok(Cast { api, sink, ledger, published, stopwatch, subscriptions, unverified })
}

fn is_signed(delivery: &Delivery<'_>, verifier: &Verifier) -> bool {
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| delivery.header(name));
    verifier.verifies(id, timestamp, delivery.body, signature)
}

/// Tells of the outage, which the webhook itself begins, and ends it.
async fn outage(cast: &Cast, board: &Board, fails_for: Duration) {
    while failed_attempts(cast, &lock(&cast.ledger), FLAKY) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    board.say(&format!("{} answers 503 from now on: its events are held, in order", NAMES[FLAKY]));
    tokio::time::sleep(fails_for).await;
    cast.sink.behave(FLAKY, Behaviour::Answers(200));
    board.say(&format!("{} is well again: the broker's next attempt will find out", NAMES[FLAKY]));
}

/// Requests that a webhook did not accept.
fn failed_attempts(cast: &Cast, ledger: &Ledger, subscriber: usize) -> u64 {
    let account = &ledger.accounts()[subscriber];
    cast.sink.requests(subscriber).saturating_sub(account.delivered() + account.duplicates())
}

async fn settle(cast: &Cast) {
    let (mut delivered, mut since) = (0, cast.stopwatch.now());
    loop {
        let now_delivered = {
            let (published, ledger) = (lock(&cast.published), lock(&cast.ledger));
            if ledger.accounts().iter().all(|account| account.missing(&published) == 0) {
                break;
            }
            ledger.accounts().iter().map(|account| account.delivered()).sum::<u64>()
        };
        if now_delivered != delivered {
            (delivered, since) = (now_delivered, cast.stopwatch.now());
        } else if cast.stopwatch.now() > since + nanos(GRACE) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Repeats, if there are any, come close behind.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn judge(cast: &Cast) -> Verdict {
    let (published, ledger) = (lock(&cast.published), lock(&cast.ledger));
    let lines = ledger.accounts().iter().enumerate().map(|(subscriber, account)| Line {
        name: NAMES[subscriber],
        delivered: account.delivered(),
        accepted: published.accepted(),
        out_of_order: account.out_of_order(),
        lost: account.missing(&published),
        duplicates: account.duplicates(),
        failed_attempts: failed_attempts(cast, &ledger, subscriber),
        p50_ms: account.latency().value_at_quantile(0.5) as f64 / 1000.0,
        longest_ms: account.latency().max() as f64 / 1000.0,
    });
    Verdict {
        lines: lines.collect(),
        refused: published.refused(),
        first_refusal: published.first_refusal().map(str::to_owned),
        unverified: cast.unverified.load(Ordering::Relaxed),
    }
}
