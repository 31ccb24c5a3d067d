//! Catching up after pauses, while brokers are killed.

use crate::broker::Site;
use crate::client::{Client, id};
use crate::hook::{Hook, Reply};
use crate::numbers::{Numbers, count, first_of_each};
use crate::wait::{SOON, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::time::Duration;

/// Events that are published while they are skipped: enough for a load to take a while.
const SKIPPED: usize = 60;
/// Keys, and how many numbers they get before others take their turn: a lane that a killed broker drained waits for the
/// end of its lease, and would keep all that follows it from being delivered before the end.
const KEYS: u64 = 5;
const TURN: u64 = 500;

/// A subscription that is paused and resumed while numbers are published. A number counts once its publish is answered;
/// one whose answer was cut off is published again.
struct Run {
    subscription: String,
    next: u64,
    published: Numbers,
    resumed: usize,
}

impl Run {
    /// Publishes the next number, and answers the event's id.
    async fn publish(&mut self, client: &Client) -> String {
        let key = format!("k{}", self.next / TURN * KEYS + self.next % KEYS);
        let event = client.publish("orders", &key, json!({ "number": self.next })).await;
        self.published.entry(key).or_default().push(self.next);
        self.next += 1;
        id(&event)
    }

    async fn status(&self, client: &Client) -> String {
        client.subscription(&self.subscription).await["status"].as_str().unwrap().to_owned()
    }

    /// Waits until an earlier catch-up has ended, pauses, and publishes until that is skipped, and a while longer.
    async fn skip(&mut self, client: &Client) {
        until("a catch-up to end", SOON, async || (self.status(client).await != "catchingUp").then_some(())).await;
        if self.status(client).await == "active" {
            client.act(&self.subscription, "pause").await;
        }
        loop {
            let event = self.publish(client).await;
            let path = format!("/v1/subscriptions/{}/events/{event}", self.subscription);
            let state = until("dispatch", SOON, async || {
                let found = client.call("GET", &path, None).await;
                (found.status == 200).then(|| found.body["state"].clone())
            });
            if state.await == "skipped" {
                break;
            }
        }
        for _ in 0..SKIPPED {
            self.publish(client).await;
        }
    }

    async fn resume(&mut self, client: &Client) {
        let resumed = client.act(&self.subscription, "resume").await;
        assert_eq!(resumed["status"], "catchingUp", "{resumed}");
        self.resumed += 1;
    }

    /// One pause after another.
    async fn go_on(&mut self, client: &Client) {
        loop {
            for _ in 0..20 {
                self.publish(client).await;
            }
            self.skip(client).await;
            self.resume(client).await;
        }
    }
}

/// Every second broker dies shortly after it was told to catch up, the others at any moment of such a round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_during_catch_up_lose_nothing_and_keep_every_key_in_order() {
    let site = Site::with_environment(vec![("RELAY_SKIP_AFTER".to_owned(), "100ms".to_owned())]);
    let (broker, hook) = (site.start(), Hook::start().await);
    let client = broker.client();
    client.create_topic("orders").await;
    let more = json!({ "endpoint": { "timeoutMs": 1000 }, "retry": { "schedule": [0.05, 0.1] } });
    let subscription = id(&client.subscribe("orders", hook.url(), more).await);
    drop(broker);

    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let mut moments = StdRng::seed_from_u64(seed);
    let mut run = Run { subscription, next: 0, published: Numbers::new(), resumed: 0 };
    let mut cut_off = 0;
    for kill in 0..50 {
        // Some lanes are held while it catches up, and some circuits open.
        hook.answer(move |delivery| {
            let fails = kill % 3 == 0 && delivery.data()["number"].as_u64().unwrap() % 11 == 3;
            Reply::Status(if fails { 500 } else { 200 })
        });
        let broker = site.start();
        let client = broker.client();
        cut_off += usize::from(run.status(&client).await == "catchingUp");
        let lives = if kill % 2 == 0 {
            run.skip(&client).await;
            run.resume(&client).await;
            moments.random_range(0..60)
        } else {
            moments.random_range(0..900)
        };
        // Whatever it is asked at that moment is cut off.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(lives)) => {}
            () = run.go_on(&client) => unreachable!("it goes on for ever"),
        }
        broker.kill();
    }
    hook.answer_all(200);
    let broker = site.start();
    let client = broker.client();
    until("the subscription to be active", SOON, async || {
        let status = run.status(&client).await;
        if status != "catchingUp" && status != "active" {
            client.act(&run.subscription, "resume").await;
        }
        (status == "active").then_some(())
    })
    .await;
    // One more may have been accepted: the last publish, if its answer was cut off.
    let delivered = || {
        let mut delivered = first_of_each(&hook.accepted());
        delivered.values_mut().for_each(|numbers| numbers.retain(|number| *number < run.next));
        delivered.retain(|_, numbers| !numbers.is_empty());
        delivered
    };
    until("everything to be delivered", SOON * 9, async || {
        (count(&delivered()) == count(&run.published)).then_some(())
    })
    .await;
    eprintln!("{} published, {} accepted", run.next, hook.accepted().len());
    eprintln!("{} resumed, {cut_off} found unfinished", run.resumed);
    for (key, numbers) in delivered() {
        assert_eq!(numbers, run.published[&key], "seed {seed}: {key}");
    }
    assert!(broker.stop().await.success());
}
