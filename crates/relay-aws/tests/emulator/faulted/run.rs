//! One run of a broker: what was published, what became of it, and the verdict.

use crate::broker::{Broker, Draft, Process};
use relay_core::manage::{Selection, ensure_system_topic, redrive};
use relay_core::names::SubscriptionId;
use relay_core::ports::Ports;
use relay_core::retry::RetryPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// A publish request, and which of its events were accepted.
struct Request {
    drafts: Vec<Draft>,
    accepted: BTreeSet<String>,
}

impl Request {
    fn is_accepted(&self) -> bool {
        self.drafts.iter().all(|draft| self.accepted.contains(&draft.id))
    }
}

/// A broker, and what its publisher and its subscribers know.
pub struct Run {
    pub broker: Broker,
    /// A process to which nothing happens.
    pub quiet: Process,
    pub subscriptions: Vec<SubscriptionId>,
    requests: Mutex<Vec<Request>>,
    /// (Subscription, event) that were dead letters: their order is not promised any more.
    given_up: Mutex<BTreeSet<(String, String)>>,
}

/// Times that the world goes on, each by [`STEP`]: what is not settled then is lost.
const ROUNDS: usize = 30;
/// Longer than leases, visibility and the waits of most retries.
const STEP: Duration = Duration::from_secs(1200);

impl Run {
    pub async fn new(broker: Broker, subscriptions: usize, retry: &RetryPolicy) -> Run {
        let quiet = broker.process();
        ensure_system_topic(&quiet.ports).await.unwrap();
        let subscriptions = broker.subscribe(&quiet.ports, subscriptions, retry).await;
        Run { broker, quiet, subscriptions, requests: Mutex::default(), given_up: Mutex::default() }
    }

    /// Publishes requests one after another, as a publisher does that keeps its order: it goes on when it has its 202.
    pub async fn publish(&self, process: &Process, requests: Vec<Vec<Draft>>) {
        self.plan(requests);
        self.publish_rest(process).await;
    }

    /// Notes what is to be published.
    pub fn plan(&self, requests: Vec<Vec<Draft>>) {
        let requests = requests.into_iter().map(|drafts| Request { drafts, accepted: BTreeSet::new() });
        self.requests.lock().unwrap().extend(requests);
    }

    /// Publishes what was not accepted yet, up to the first request that is not.
    pub async fn publish_rest(&self, process: &Process) {
        let count = self.requests.lock().unwrap().len();
        for at in 0..count {
            let drafts = {
                let known = self.requests.lock().unwrap();
                if known[at].is_accepted() {
                    continue;
                }
                known[at].drafts.clone()
            };
            let accepted = process.publish(&self.broker.topic, &drafts).await;
            let mut known = self.requests.lock().unwrap();
            known[at].accepted.extend(accepted);
            if !known[at].is_accepted() {
                return;
            }
        }
    }

    /// Dispatches until the queue is empty.
    pub async fn dispatch(&self, process: &Process) {
        while process.dispatch_once().await > 0 {}
    }

    pub fn refuse(&self, subscription: usize, status: u16) {
        self.broker.webhooks.answer(&self.subscriptions[subscription], Some(status));
    }

    /// Notes what is among the dead letters; answers how many there are.
    pub async fn note_dead_letters(&self) -> usize {
        let mut count = 0;
        for id in &self.subscriptions {
            let page = self.quiet.ports.dead_letters.list(id, None, 1000).await.unwrap();
            count += page.dead_letters.len();
            let mut given_up = self.given_up.lock().unwrap();
            for letter in page.dead_letters {
                let event = &letter.pack.events[usize::from(letter.sequence.index)];
                given_up.insert((id.to_string(), event.id.clone()));
            }
        }
        count
    }

    async fn redrive_all(&self, ports: &Ports) {
        for id in &self.subscriptions {
            let subscription = ports.registry.subscription(id).await.unwrap().unwrap();
            redrive(ports, &subscription, Selection::All).await.unwrap();
        }
    }

    /// Gives up planning requests of which the publisher has not heard anything: all but the first that is not accepted.
    pub fn forget_unpublished(&self) {
        let mut requests = self.requests.lock().unwrap();
        if let Some(first) = requests.iter().position(|request| !request.is_accepted()) {
            requests.truncate(first + 1);
        }
    }

    /// Events that were accepted.
    pub fn accepted(&self) -> usize {
        self.requests.lock().unwrap().iter().map(|request| request.accepted.len()).sum()
    }

    /// How many lanes are held, and how many dead letters there are: by one look at the whole table.
    async fn left(&self) -> (usize, usize) {
        let table = &self.broker.resources.table;
        let scan = self.broker.clients.dynamodb.scan().table_name(table).consistent_read(true).send().await.unwrap();
        let partitions: Vec<&str> =
            scan.items().iter().filter_map(|item| item["pk"].as_s().ok()).map(String::as_str).collect();
        let count = |prefix: &str| partitions.iter().filter(|pk| pk.starts_with(prefix)).count();
        (count("LANE#"), count("DEAD#"))
    }

    /// Lets another process take over from those that were given, until nothing is left to do.
    pub async fn settle(&self, dead: &[&Process]) -> Result<(), String> {
        self.broker.webhooks.recover();
        for dead in dead {
            dead.wire.quiet().await;
        }
        let process = self.broker.process();
        self.go_on(&process, dead).await?;
        self.check("without a repeat by the publisher")?;
        self.publish_rest(&process).await;
        if let Some(refused) = self.requests.lock().unwrap().iter().find(|request| !request.is_accepted()) {
            return Err(format!("{:?} is not accepted though nothing fails", refused.drafts));
        }
        self.go_on(&process, &[]).await?;
        self.check("in the end")
    }

    async fn go_on(&self, process: &Process, dead: &[&Process]) -> Result<(), String> {
        for _ in 0..ROUNDS {
            self.broker.clock.advance(STEP);
            for dead in dead {
                self.broker.show(&dead.wire).await;
            }
            self.broker.show(&self.quiet.wire).await;
            let received = process.dispatch_once().await;
            self.dispatch(process).await;
            let (held, dead_letters) = self.left().await;
            if (received, held, dead_letters) == (0, 0, 0) {
                return Ok(());
            }
            if dead_letters > 0 {
                self.note_dead_letters().await;
                self.redrive_all(&process.ports).await;
            }
            if held + dead_letters > 0 {
                process.sweeper.run().await;
                while process.drain_once().await > 0 {}
            }
        }
        let (held, dead_letters) = self.left().await;
        Err(format!("it does not settle: {held} lanes are held, {dead_letters} dead letters left"))
    }

    /// Nothing that was accepted is lost, and every lane is in order.
    fn check(&self, when: &str) -> Result<(), String> {
        let taken = self.broker.webhooks.taken();
        let requests = self.requests.lock().unwrap();
        let given_up = self.given_up.lock().unwrap();
        for subscription in &self.subscriptions {
            let of_subscription: Vec<_> =
                taken.iter().filter(|delivery| delivery.subscription == subscription.as_str()).collect();
            let events: BTreeSet<&str> = of_subscription.iter().map(|delivery| &*delivery.event).collect();
            let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for request in requests.iter() {
                for draft in &request.drafts {
                    let is_taken = events.contains(&*draft.id);
                    if request.accepted.contains(&draft.id) && !is_taken {
                        return Err(format!("{when}, {subscription}: {} was accepted and is lost", draft.id));
                    }
                    if let Some(key) = draft.key.as_deref().filter(|_| is_taken) {
                        keys.entry(key).or_default().push(&draft.id);
                    }
                }
            }
            for (key, published) in keys {
                let is_ordered = |id: &str| !given_up.contains(&(subscription.to_string(), id.to_owned()));
                let mut seen = BTreeSet::new();
                let firsts = of_subscription.iter().filter(|delivery| delivery.key.as_deref() == Some(key));
                let firsts: Vec<&str> =
                    firsts.map(|delivery| &*delivery.event).filter(|id| seen.insert(*id) && is_ordered(id)).collect();
                let wanted: Vec<&str> = published.into_iter().filter(|id| is_ordered(id)).collect();
                if firsts != wanted {
                    return Err(format!("{when}, {subscription}, key {key}: {firsts:?} were taken, not {wanted:?}"));
                }
            }
        }
        Ok(())
    }
}
