//! Brokers that are killed at any moment under load, and the verdict.

use crate::broker::{ADMIN_KEY, Site};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay_cli::load::generator::{Load, Pace, SharedPublished, generate, lock};
use relay_cli::load::ledger::Ledger;
use relay_cli::load::published::Published;
use relay_cli::load::request::RequestShape;
use relay_cli::load::sink::{Behaviour, Sink, SinkSetup};
use relay_cli::load::stopwatch::{Stopwatch, Window, nanos};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use url::Url;

const KEYS: usize = 60;
const CONNECTIONS: usize = 12;
const RUN: u64 = 0xc4a5;
const TOPIC: &str = "crashes";
/// Three ways to be a subscriber: one that accepts, one whose lanes are held again and again, and one with batches.
const SUBSCRIBERS: usize = 3;
/// Longer than a lease that a killed process held, and the sweep after it.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// Kills brokers of a site under load, then looks at what became of what they had accepted. Each lives for up to a
/// second, and takes at least `least` events in all per kill.
///
/// # Panics
/// If anything was lost or came out of order.
pub async fn kill_under_load(site: &Site, kills: u32, least: u64) {
    let stopwatch = Stopwatch::start();
    let ledger = Arc::new(Mutex::new(Ledger::new(RUN, KEYS, SUBSCRIBERS, Window::since(0)).unwrap()));
    let published: SharedPublished = Arc::new(Mutex::new(Published::new(KEYS)));
    let sink = Sink::start(SinkSetup {
        listen: ([127, 0, 0, 1], 0).into(),
        // Never twenty failures in a row: the circuit stays closed.
        behaviours: vec![Behaviour::Answers(200), Behaviour::FailsEvery(9), Behaviour::Answers(200)],
        ledger: Arc::clone(&ledger),
        stopwatch,
        observer: None,
    })
    .unwrap();

    let broker = site.start();
    let client = broker.client();
    client.create_topic(TOPIC).await;
    let url = |subscriber| format!("http://{}{}", sink.address(), Sink::path(subscriber));
    client.subscribe(TOPIC, &url(0), json!({})).await;
    client.subscribe(TOPIC, &url(1), json!({ "retry": { "schedule": [0.1, 0.2] } })).await;
    client.subscribe(TOPIC, &url(2), json!({ "endpoint": { "mode": "batch", "maxBatch": 10 } })).await;
    drop(broker);

    // A failure prints the seed: the moments of the kills come from it, the rest from the machine.
    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let mut moments = StdRng::seed_from_u64(seed);
    for kill in 0..kills {
        let broker = site.start();
        let lives = Duration::from_millis(moments.random_range(50..900));
        let load = load_on(broker.url(), if kill % 3 == 0 { 5 } else { 1 }, stopwatch.now() + nanos(lives));
        let publishing = tokio::spawn(generate(load, Arc::clone(&published), stopwatch));
        tokio::time::sleep(lives).await;
        broker.kill();
        publishing.await.unwrap().unwrap();
    }

    let broker = site.start();
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let missing = missing(&published, &ledger);
        if missing.iter().all(|missing| *missing == 0) {
            break;
        }
        assert!(Instant::now() < deadline, "seed {seed}: lost {missing:?} of {}", lock(&published).accepted());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    check(seed, &lock(&published), &lock(&ledger), u64::from(kills) * least);
    assert!(broker.stop().await.success());
}

/// The verdict, once nothing is missing any more.
fn check(seed: u64, published: &Published, ledger: &Ledger, least: u64) {
    for (subscriber, account) in ledger.accounts().iter().enumerate() {
        assert_eq!(account.out_of_order(), 0, "seed {seed}: subscriber {subscriber}");
        eprintln!(
            "subscriber {subscriber}: {} delivered of {} accepted, {} repeats",
            account.delivered(),
            published.accepted(),
            account.duplicates()
        );
    }
    assert!(published.accepted() > least, "the load was none: {} accepted", published.accepted());
}

fn missing(published: &SharedPublished, ledger: &Mutex<Ledger>) -> Vec<u64> {
    let (published, ledger) = (lock(published), lock(ledger));
    ledger.accounts().iter().map(|account| account.missing(&published)).collect()
}

fn load_on(url: &str, batch: usize, until: u64) -> Load {
    Load {
        shape: RequestShape {
            url: Url::parse(url).unwrap(),
            key: ADMIN_KEY.to_owned(),
            topic: TOPIC.to_owned(),
            batch,
            size: 300,
            run: RUN,
        },
        connections: CONNECTIONS,
        keys_per_batch: 3,
        pace: Pace::Closed { until, requests: u64::MAX },
        window: Window::since(0),
    }
}
