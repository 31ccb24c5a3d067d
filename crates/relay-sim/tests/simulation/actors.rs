//! Everybody around the broker: publishers, subscribers, operators, and the weather at the endpoints.

use crate::broker;
use crate::scenario::{Action, RequestPlan, SubscriptionPlan};
use crate::world::World;
use relay_core::ingest::{PublishRequest, publish};
use relay_core::lane::ResolveAction;
use relay_core::log::{Cursor, Start};
use relay_core::manage::{self, Refused, ReplayOrder, Selection, change_status, delete_subscription, resolve_head};
use relay_core::names::{PartitionKey, SubscriptionId};
use relay_core::ports::{Expect, PortError, Ports};
use relay_core::replay::{Rewind, Until};
use relay_core::replay_id::ReplayId;
use relay_core::resume;
use relay_core::sequence::Sequence;
use relay_core::signing::Secret;
use relay_core::subscription::{Change, Status, Subscription};
use relay_core::topic::Topic;
use relay_sim::schedule::TaskKind;
use relay_sim::webhooks::Reaction;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Starts everybody.
pub fn start_all(world: &Arc<World>) {
    for number in 0..world.brokers.len() {
        world.start(format!("process{number}"), |world| broker::run(world, number));
        world.start(format!("clock{number}"), |world| clock(world, number));
    }
    for number in 0..world.scenario.subscriptions.len() {
        busy(world, format!("subscriber{number}"), |world| subscriber(world, number));
        world.start(format!("weather{number}"), |world| weather(world, number));
    }
    for number in 0..world.scenario.publishers.len() {
        busy(world, format!("publisher{number}"), |world| publisher(world, number));
    }
    for (at, action) in world.scenario.actions.clone() {
        busy(world, "operator".to_owned(), |world| operator(world, at, action));
    }
}

/// Starts somebody who has to finish before the world counts as settled.
fn busy<F>(world: &Arc<World>, name: String, task: impl FnOnce(Arc<World>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    world.busy.fetch_add(1, Ordering::Relaxed);
    let all = Arc::clone(world);
    let task = task(Arc::clone(world));
    world.start(name, |_| async move {
        task.await;
        all.busy.fetch_sub(1, Ordering::Relaxed);
    });
}

/// What is left for somebody to do.
pub fn unfinished(world: &World) -> Option<String> {
    let busy = world.busy.load(Ordering::Relaxed);
    (busy > 0).then(|| format!("{busy} publishers, subscribers or operators have not finished"))
}

/// Sends a request to some process that is up; none if there is none, or it died over it.
async fn request<T, F>(world: &World, name: &str, handle: impl FnOnce(Ports) -> F) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let number = world.scheduler.draw(|random| random.index(world.brokers.len()));
    let group = world.brokers[number].group()?;
    let kind = TaskKind { name: name.to_owned(), group: Some(group), mortal: true };
    world.scheduler.spawn(kind, handle(world.brokers[number].ports.clone())).await
}

async fn pause(world: &World) {
    let pause = world.scheduler.draw(|random| random.within(100..3_000));
    world.scheduler.sleep(Duration::from_millis(pause)).await;
}

async fn clock(world: Arc<World>, number: usize) {
    for (at, off_by) in world.scenario.processes[number].jumps.clone() {
        world.until(at).await;
        world.scheduler.note(|| format!("the clock of process {number} is off by {off_by} ms"));
        world.brokers[number].clock.set_off_by(off_by);
    }
}

async fn weather(world: Arc<World>, number: usize) {
    let SubscriptionPlan { endpoint, weather, poison, .. } = world.scenario.subscriptions[number].clone();
    let poison: Vec<_> = poison.into_iter().map(|id| (id, Reaction::Status(400))).collect();
    world.simulated.endpoints().poison(&endpoint.url, &poison);
    for (at, reactions) in weather {
        world.until(at).await;
        world.scheduler.note(|| format!("{} reacts {reactions:?}", endpoint.url));
        world.simulated.endpoints().set(&endpoint.url, &reactions);
    }
}

async fn publisher(world: Arc<World>, number: usize) {
    let mut last: BTreeMap<(u64, u64), Sequence> = BTreeMap::new();
    for plan in world.scenario.publishers[number].clone() {
        world.scheduler.sleep(Duration::from_millis(plan.after_ms)).await;
        let sequences = publish_until_accepted(&world, &plan).await;
        for (event, sequence) in plan.events.iter().zip(&sequences) {
            world.ledger().answered(&event.id, *sequence, &world.simulated);
            let Some(key) = event.key else { continue };
            if let Some(before) = last.insert((plan.topic, key), *sequence)
                && before >= *sequence
            {
                let text = format!("order: {} was answered {sequence}, the one before it {before}", event.id);
                world.ledger().breaks(text);
            }
        }
        if plan.repeated {
            // Sequences may be new ones, if this takes longer than repeats are recognised.
            publish_until_accepted(&world, &plan).await;
        }
    }
}

/// Publishes as a careful client does: until all events are accepted.
async fn publish_until_accepted(world: &World, plan: &RequestPlan) -> Vec<Sequence> {
    let events = plan.events.iter().map(|event| {
        let mut body = json!({
            "specversion": "1.0", "id": event.id, "source": "/simulation", "type": "test.happened", "data": {"n": 1},
        });
        if let Some(key) = event.key {
            body["partitionkey"] = json!(format!("k{key}"));
        }
        body
    });
    let body = bytes::Bytes::from(serde_json::to_vec(&events.collect::<Vec<_>>()).unwrap());
    loop {
        let now = world.ports().clock.now();
        let topic = Topic::new(World::topic_id(plan.topic), World::topic_name(plan.topic), now);
        let body = body.clone();
        let handle = |ports: Ports| async move {
            let content_type: &[u8] = b"application/cloudevents-batch+json";
            let headers = [("content-type", content_type)];
            let request = PublishRequest { headers: &headers, body, publisher: "simulation" };
            let published = publish(&ports, &topic, request).await.unwrap();
            let sequences = published.results().map(|result| result.outcome.map(|accepted| accepted.sequence));
            sequences.collect::<Result<Vec<_>, _>>().ok()
        };
        if let Some(Some(sequences)) = request(world, "ingest", handle).await {
            return sequences;
        }
        pause(world).await;
    }
}

async fn subscriber(world: Arc<World>, number: usize) {
    let plan = world.scenario.subscriptions[number].clone();
    world.until(plan.created_at).await;
    let (id, topic_id) = (World::subscription_id(number), World::topic_id(plan.topic));
    let now = world.ports().clock.now();
    let subscription = Subscription {
        id: id.clone(),
        topic_id: topic_id.clone(),
        topic: World::topic_name(plan.topic),
        endpoint: plan.endpoint,
        retry: plan.retry,
        rate_limit: plan.rate_limit,
        secrets: vec![Secret::new("sec".to_owned(), [7; Secret::KEY_BYTES], now)],
        status: if plan.from_earliest { Status::Rewinding } else { Status::Active },
        status_reason: None,
        revision: 1,
        resuming: false,
        resuming_key: None,
        rewind: plan.from_earliest.then(|| Rewind::new(format!("rpl_first_{number}"), Cursor::default(), now)),
        skipped_from: None,
        told_of_expiry: false,
        status_at: now,
        last_replay: None,
        failing_since: None,
        probes: 0,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    loop {
        let put = subscription.clone();
        let handle = |ports: Ports| async move { ports.registry.put_subscription(put, Expect::Absent).await };
        match request(&world, "create", handle).await {
            // A conflict is with ourselves: an answer was lost.
            Some(Ok(()) | Err(PortError::Conflict)) => break,
            Some(Err(_)) | None => pause(&world).await,
        }
    }
    world.ledger().subscribed(&id, &topic_id, &world.simulated);
}

async fn operator(world: Arc<World>, at: u64, action: Action) {
    world.until(at).await;
    world.scheduler.note(|| format!("operator: {action:?}"));
    match action {
        Action::Pause(number) => set_status(&world, &World::subscription_id(number), Change::Pause).await,
        Action::Resume(number) => set_status(&world, &World::subscription_id(number), Change::Resume).await,
        Action::Resolve(number, action) => resolve(&world, &World::subscription_id(number), action).await,
        Action::Delete(number) => delete(&world, &World::subscription_id(number)).await,
        Action::Redrive(number) => redrive(&world, &World::subscription_id(number)).await,
        Action::Replay(number) => replay(&world, number).await,
        Action::Skip(number) => skip(&world, &World::subscription_id(number)).await,
        Action::CancelReplay(number) => cancel_replay(&world, &World::subscription_id(number)).await,
        Action::DeleteDeadLetter(number) => delete_dead_letter(&world, &World::subscription_id(number)).await,
    }
}

async fn set_status(world: &World, id: &SubscriptionId, to: Change) {
    let id = id.clone();
    let handle = |ports: Ports| async move {
        let Ok(stored) = change_status(&ports, &id, to).await else { return };
        // If it fails, or dies half-way, sweep goes on with it.
        if stored.resuming {
            let _ = resume::run(&ports, &id).await;
        } else if stored.rewind.is_some() {
            let _ = relay_core::replay::run(&ports, &id, None).await;
        }
    };
    request(world, "status", handle).await;
}

/// Replays from anywhere: the earliest event, a time, an event that the subscriber has received; all keys or one.
async fn replay(world: &World, number: usize) {
    let (id, url) = (World::subscription_id(number), &world.scenario.subscriptions[number].endpoint.url);
    let received = world.simulated.endpoints().with_received(|received| {
        let mine = received.iter().filter(|received| received.accepted && *received.request.url == **url);
        let ids = mine.filter_map(|received| received.header("relay-replay-id")?.parse::<ReplayId>().ok());
        ids.collect::<Vec<_>>()
    });
    let now = world.ports().clock.now();
    let order = world.scheduler.draw(|random| {
        let known = random.one_of(&received).copied();
        let ago = Duration::from_millis(random.within(0..60_000));
        let from = match (random.within(0..4), known) {
            (0, _) => Start::Earliest,
            (1, _) => Start::Time(now - ago),
            (_, Some(known)) => Start::After(known),
            (_, None) => Start::Earliest,
        };
        let key = random.happens(3_000).then(|| PartitionKey::new(format!("k{}", random.within(0..4))).unwrap());
        let last = random.one_of(&received).copied();
        let until = match random.within(0..8) {
            0 => Some(Until::time(now - ago / 2)),
            1 => last.map(Until::event),
            _ => None,
        };
        let rate_limit = random.happens(1_000).then_some(5);
        ReplayOrder { from, until, key, rate_limit }
    });
    world.scheduler.note(|| format!("replays {order:?}"));
    let handle = |ports: Ports| async move {
        if manage::begin_replay(&ports, &id, order).await.is_ok() {
            // If it fails, or dies half-way, sweep goes on with it.
            let _ = relay_core::replay::run(&ports, &id, None).await;
        }
    };
    request(world, "replay", handle).await;
}

/// What sweep does after a while.
async fn skip(world: &World, id: &SubscriptionId) {
    let id = id.clone();
    request(world, "skip", |ports: Ports| async move { drop(relay_core::replay::skip(&ports, &id).await) }).await;
}

async fn cancel_replay(world: &World, id: &SubscriptionId) {
    let id = id.clone();
    let handle = |ports: Ports| async move {
        if let Ok(Some(subscription)) = ports.registry.subscription(&id).await
            && let Some(rewind) = &subscription.rewind
        {
            let _ = manage::cancel_replay(&ports, &subscription, &rewind.job).await;
        }
    };
    request(world, "cancel", handle).await;
}

async fn resolve(world: &World, id: &SubscriptionId, action: ResolveAction) {
    let held = world.ports().lanes.held(id, None, 20).await.unwrap_or_default();
    let Some(lane) = world.scheduler.draw(|random| random.one_of(&held.lanes).cloned()) else { return };
    let Some(head) = lane.head else { return };
    let (lane, sequence) = (lane.item.lane.id.to_string(), head.head());
    if action == ResolveAction::Skip {
        world.ledger().waive(id, sequence);
    }
    let id = id.clone();
    let handle = |ports: Ports| async move {
        if let Ok(Some(subscription)) = ports.registry.subscription(&id).await {
            let _ = resolve_head(&ports, &subscription, &lane, action, Some(sequence)).await;
        }
    };
    request(world, "resolve", handle).await;
}

async fn delete(world: &World, id: &SubscriptionId) {
    if world.simulated.stored_subscription(id).is_none() {
        return;
    }
    world.ledger().unsubscribed(id);
    loop {
        let subscription = id.clone();
        let handle = |ports: Ports| async move {
            match delete_subscription::<Refused>(&ports, &subscription, |_| Ok(())).await {
                Ok(()) | Err(Refused::SubscriptionNotFound(_)) => resume::remove(&ports, &subscription).await.is_ok(),
                Err(_) => false,
            }
        };
        if request(world, "delete", handle).await == Some(true) {
            return;
        }
        pause(world).await;
    }
}

async fn delete_dead_letter(world: &World, id: &SubscriptionId) {
    let ports = world.ports();
    let Ok(page) = ports.dead_letters.list(id, None, 5).await else { return };
    if let Some(dead_letter) = page.dead_letters.first() {
        world.ledger().waive(id, dead_letter.sequence);
        let _ = ports.dead_letters.delete(id, &dead_letter.id).await;
    }
}

async fn redrive(world: &World, id: &SubscriptionId) {
    let id = id.clone();
    let handle = |ports: Ports| async move {
        if let Ok(Some(subscription)) = ports.registry.subscription(&id).await
            && subscription.deleted_at.is_none()
        {
            let _ = manage::redrive(&ports, &subscription, Selection::All).await;
        }
    };
    request(world, "redrive", handle).await;
}

/// At last: every dead letter goes back into its lane.
pub fn redrive_all(world: &Arc<World>) {
    for number in 0..world.scenario.subscriptions.len() {
        busy(world, "redriver".to_owned(), |world| async move {
            let id = World::subscription_id(number);
            while world.simulated.dead_letters(&id) > 0 {
                redrive(&world, &id).await;
                pause(&world).await;
            }
        });
    }
}

/// After the storm: whatever was paused or disabled goes on. An open circuit closes by itself.
pub async fn resume_all(world: Arc<World>) {
    loop {
        for number in 0..world.scenario.subscriptions.len() {
            let id = World::subscription_id(number);
            let Some(stored) = world.simulated.stored_subscription(&id) else { continue };
            if stored.deleted_at.is_none() && matches!(stored.status, Status::Paused | Status::Disabled) {
                set_status(&world, &id, Change::Resume).await;
            }
        }
        world.scheduler.sleep(Duration::from_secs(20)).await;
    }
}
