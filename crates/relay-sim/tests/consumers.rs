//! Consumers of one pull subscription that race each other, while calls take time, fail, and lose their answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use relay_core::event::{Event, EventData};
use relay_core::limits::DEFAULT_MAX_EVENT_BYTES;
use relay_core::log::{self, Committed, Start, Wanted};
use relay_core::manage::{self, Refused, SubscriptionSettings, TopicSettings};
use relay_core::names::{PartitionKey, SubscriptionId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{Cursors, PortError, Ports};
use relay_core::retry::RetryPolicy;
use relay_core::subscription::{Endpoint, Subscription};
use relay_core::topic::{Retention, Topic};
use relay_sim::random::Random;
use relay_sim::schedule::{Executor, Hazards, Scheduler};
use relay_sim::{Shape, Simulated};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PACKS: u64 = 12;
const CONSUMERS: usize = 2;

/// Remembers every write, whatever became of it: what was expected, and what was to be written.
struct Watched {
    inner: Arc<dyn Cursors>,
    writes: Mutex<Vec<(Option<Committed>, Committed)>>,
}

#[async_trait]
impl Cursors for Watched {
    async fn committed(&self, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError> {
        self.inner.committed(subscription).await
    }

    async fn commit(
        &self,
        subscription: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError> {
        self.writes.lock().unwrap().push((expected, committed));
        self.inner.commit(subscription, committed, expected).await
    }
}

fn pack(topic: &Topic, number: u64, events: u64, ports: &Ports) -> Pack {
    let event = |index: u64| Event {
        id: format!("{number}-{index}"),
        source: "/consumers".to_owned(),
        kind: "t".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Json(Bytes::from_static(b"{}")),
        made: false,
    };
    Pack {
        topic: topic.name.clone(),
        topic_id: topic.id.clone(),
        key: LaneKey::Ordered(PartitionKey::new(format!("k{}", number % 5)).unwrap()),
        accepted_at: ports.clock.now(),
        events: (0..events).map(event).collect(),
    }
}

async fn begin(ports: &Ports) -> (Topic, Subscription) {
    let settings = TopicSettings {
        description: None,
        owner: None,
        retention: Retention::Days7,
        max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
    };
    let name = TopicName::new("orders").unwrap();
    let topic = manage::write_topic::<Refused>(ports, &name, |_| Ok(settings.clone())).await.unwrap().0;
    let pulled =
        || SubscriptionSettings { endpoint: Endpoint::pulled(), retry: RetryPolicy::default(), rate_limit: None };
    let created = manage::create_subscription::<Refused>(ports, &name, Start::Latest, |_| Ok(pulled()));
    (topic, created.await.unwrap())
}

async fn publish(ports: &Ports, scheduler: &Scheduler, topic: &Topic) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for number in 0..PACKS {
        let pack = Arc::new(pack(topic, number, scheduler.draw(|random| random.within(1..5)), ports));
        ids.extend(pack.events.iter().map(|event| event.id.clone()));
        while ports.queue.send(vec![pack.clone()]).await[0].is_err() {}
        ports.clock.sleep(Duration::from_millis(scheduler.draw(|random| random.within(0..300)))).await;
    }
    ids
}

/// What a consumer did: the events that it may have committed, and how often it was too late.
#[derive(Default)]
struct Consumed {
    ids: BTreeSet<String>,
    stale: usize,
}

/// Pulls and commits until everything that will ever come is committed, by whomever.
async fn consume(ports: &Ports, scheduler: &Scheduler, subscription: &Subscription, end: u64) -> Consumed {
    let mut consumed = Consumed::default();
    loop {
        let limit = scheduler.draw(|random| random.index(6)) + 1;
        let is_late = scheduler.now_ms() > end;
        let batch = match manage::pull_events(ports, subscription, limit, Duration::from_millis(100)).await {
            Ok(batch) if batch.events.is_empty() && is_late => return consumed,
            Ok(batch) => batch,
            Err(refused) => {
                assert!(
                    matches!(&refused, Refused::Port(error) | Refused::Read(log::ReadRefused::Port(error))
                    if error.is_retryable()),
                    "{refused}"
                );
                continue;
            }
        };
        ports.clock.sleep(Duration::from_millis(scheduler.draw(|random| random.within(0..200)))).await;
        match manage::commit(ports, subscription, batch.cursor).await {
            Err(Refused::StaleCursor) => consumed.stale += 1,
            Err(Refused::Port(error)) if !error.is_retryable() => panic!("{error}"),
            // An answer that is lost may be one to a commit.
            _ => consumed.ids.extend(batch.events.iter().map(|event| event.event().id.clone())),
        }
    }
}

async fn after(ports: &Ports, topic: &Topic, committed: &Committed) -> BTreeSet<String> {
    let wanted = Wanted { key: None, limit: log::MAX_EVENTS };
    let pulled = log::pull(ports, topic, committed.cursor, &wanted, Duration::ZERO).await.unwrap();
    pulled.events.iter().map(|event| event.event().id.clone()).collect()
}

/// Runs a seed; answers how many commits were refused.
fn run(seed: u64) -> usize {
    let mut executor = Executor::new(Random::new(seed), Hazards::none());
    let scheduler = executor.scheduler().clone();
    let ports = Simulated::scheduled(&scheduler, Shape::One).ports();
    let watched = Arc::new(Watched { inner: ports.cursors.clone(), writes: Mutex::default() });
    let ports = Ports { cursors: watched.clone(), ..ports };
    let stale = executor.run(async {
        let (topic, subscription) = begin(&ports).await;
        scheduler.set_hazards(Hazards { failure: 300, lost_answer: 600, throttled: 200, ..Hazards::none() });
        let consumers = (0..CONSUMERS).map(|_| consume(&ports, &scheduler, &subscription, 60_000));
        let (published, consumed) = futures_util::join!(publish(&ports, &scheduler, &topic), join_all(consumers));
        scheduler.set_hazards(Hazards::none());
        let ids: BTreeSet<String> = consumed.iter().flat_map(|consumed| consumed.ids.iter().cloned()).collect();
        assert_eq!(ids, published, "seed {seed}: what nobody has committed was passed over");
        let writes = std::mem::take(&mut *watched.writes.lock().unwrap());
        for (before, committed) in writes {
            let Some(before) = before else { continue };
            let (left, left_before) = (after(&ports, &topic, &committed).await, after(&ports, &topic, &before).await);
            assert!(left.is_subset(&left_before), "seed {seed}: {before:?} went back to {committed:?}");
        }
        consumed.iter().map(|consumed| consumed.stale).sum()
    });
    stale.unwrap()
}

#[test]
fn commits_that_race_never_move_a_cursor_back_and_pass_nothing_over() {
    let stale: usize = (0..20).map(run).sum();
    assert!(stale > 20, "there was no race: {stale} commits came too late");
}
