//! All stores, and the ports in front of them.

use crate::attempts::{AttemptStore, DeadLetterStore};
use crate::bell::Bell;
use crate::clock::SimulatedClock;
use crate::gate::Gate;
use crate::ids::SimulatedIds;
use crate::lanes::LaneStore;
use crate::locked;
use crate::log::LogStore;
use crate::payloads::PayloadStore;
use crate::queue::{QueueStore, Queued};
use crate::random::Random;
use crate::registry::RegistryStore;
use crate::replays::ReplayStore;
use crate::schedule::Scheduler;
use crate::wake_ups::WakeUpStore;
use crate::webhooks::Endpoints;
use futures_util::future::{Either, select};
use relay_core::lane::{BacklogItem, LaneItem};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{Clock, Ids, LogEntry, Ports};
use relay_core::replay::Rewind;
use relay_core::replay_id::LogPosition;
use relay_core::sequence::{PackSequence, Sequence};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How late entries appear in a log that has several writers, and what its readers wait for.
const SPREAD: Duration = Duration::from_millis(1_900);
const SETTLE: Duration = Duration::from_secs(2);
/// Compactors have clocks of their own.
const MARGIN: Duration = Duration::from_secs(30);

/// What engine is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Shape {
    /// Queue and log are two stores, as on AWS: the log has what dispatch appended.
    #[default]
    Apart,
    /// An accepted event is queue entry and log entry at once, as in the embedded store.
    One,
}

/// Lanes and registry, which one read covers.
#[derive(Default)]
pub(crate) struct Tables {
    pub lanes: LaneStore,
    pub registry: RegistryStore,
}

/// A rewind that has ended.
#[derive(Clone, Debug)]
pub struct Rewound {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its topic.
    pub topic: TopicId,
    /// What was rewound.
    pub rewind: Rewind,
    /// How many entries the log had when it began.
    pub logged: u64,
    /// How many requests endpoints had received when it ended.
    pub received: usize,
}

/// Rewinds: by their jobs how many entries the log had when they began, and those that ended.
#[derive(Default)]
pub(crate) struct Rewinds {
    pub begun: BTreeMap<String, u64>,
    pub ended: Vec<Rewound>,
}

pub(crate) struct Stores {
    pub shape: Shape,
    pub queue: Mutex<QueueStore>,
    pub queue_bell: Bell,
    pub log: Mutex<LogStore>,
    pub tables: Mutex<Tables>,
    pub wake_ups: Mutex<WakeUpStore>,
    pub wake_up_bell: Bell,
    pub replays: Mutex<ReplayStore>,
    pub rewinds: Mutex<Rewinds>,
    pub attempts: Mutex<AttemptStore>,
    pub dead_letters: Mutex<DeadLetterStore>,
    pub payloads: Mutex<PayloadStore>,
    pub endpoints: Endpoints,
}

/// A world of stores, and the ports into it. Clones share the stores.
#[derive(Clone)]
pub struct Simulated {
    pub(crate) gate: Gate,
    /// The stores' own clock, which is exact.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) idle_wait: Option<Duration>,
    ids: Arc<dyn Ids>,
}

impl Simulated {
    fn new(gate: Gate, clock: Arc<dyn Clock>, shape: Shape, mut random: Random) -> Simulated {
        let era = clock.now();
        let stores = Stores {
            shape,
            queue: Mutex::new(QueueStore::new(era, random.branch())),
            queue_bell: Bell::default(),
            log: Mutex::default(),
            tables: Mutex::default(),
            wake_ups: Mutex::default(),
            wake_up_bell: Bell::default(),
            replays: Mutex::default(),
            rewinds: Mutex::default(),
            attempts: Mutex::default(),
            dead_letters: Mutex::default(),
            payloads: Mutex::default(),
            endpoints: Endpoints::new(random.branch()),
        };
        let ids = Arc::new(SimulatedIds::new(Arc::clone(&clock), random.branch()));
        Simulated { gate, clock, stores: Arc::new(stores), idle_wait: None, ids }
    }

    /// A world without faults, for any executor. Calls answer at once, and a receive from an empty queue too.
    pub fn calm(clock: Arc<dyn Clock>) -> Simulated {
        Simulated::new(Gate::default(), clock, Shape::One, Random::new(0))
    }

    /// Lets receivers of an empty queue wait so long by the clock, for pollers that would spin otherwise.
    #[must_use]
    pub fn waiting_when_idle(self, span: Duration) -> Simulated {
        Simulated { idle_wait: Some(span), ..self }
    }

    /// A world in which the scheduler decides.
    pub fn scheduled(scheduler: &Scheduler, shape: Shape) -> Simulated {
        let clock = Arc::new(SimulatedClock::new(scheduler.clone()));
        let random = scheduler.draw(Random::branch);
        let gate = Gate::scheduled(scheduler.clone());
        Simulated { idle_wait: Some(Duration::from_secs(20)), ..Simulated::new(gate, clock, shape, random) }
    }

    /// The ports of a machine whose clock is exact.
    pub fn ports(&self) -> Ports {
        self.ports_with_clock(Arc::clone(&self.clock))
    }

    /// The ports of a machine with a clock of its own.
    pub fn ports_with_clock(&self, clock: Arc<dyn Clock>) -> Ports {
        let this = Arc::new(self.clone());
        Ports {
            clock,
            ids: Arc::clone(&self.ids),
            queue: this.clone(),
            log: this.clone(),
            lanes: this.clone(),
            wake_ups: this.clone(),
            registry: this.clone(),
            replays: this.clone(),
            cursors: this.clone(),
            attempts: this.clone(),
            dead_letters: this.clone(),
            payloads: this.clone(),
            webhooks: this,
        }
    }

    /// The endpoints that webhooks live at.
    pub fn endpoints(&self) -> &Endpoints {
        &self.stores.endpoints
    }

    /// Everything the queue has ever taken, in the order it was taken.
    pub fn queued(&self) -> Vec<Queued> {
        locked(&self.stores.queue).history().to_vec()
    }

    /// Looks at what the queue took, from an index on, without copying.
    pub fn with_queued<T>(&self, look: impl FnOnce(&[Queued]) -> T) -> T {
        look(locked(&self.stores.queue).history())
    }

    /// True if a pack is still queued, in flight or not.
    pub fn is_queued(&self, sequence: PackSequence) -> bool {
        locked(&self.stores.queue).holds(sequence)
    }

    /// Number of packs that are not acknowledged.
    pub fn queue_length(&self) -> usize {
        locked(&self.stores.queue).len()
    }

    /// True if the log has a pack.
    pub fn is_logged(&self, topic: &TopicId, sequence: PackSequence) -> bool {
        locked(&self.stores.log).has(topic, sequence)
    }

    /// Rewinds that have ended, from an index on.
    pub fn rewound(&self, from: usize) -> Vec<Rewound> {
        locked(&self.stores.rewinds).ended.get(from..).unwrap_or_default().to_vec()
    }

    /// A topic's entries of the log, of those that appeared first.
    pub fn logged(&self, topic: &TopicId, first: u64) -> Vec<LogEntry> {
        locked(&self.stores.log).appeared(topic, first)
    }

    /// Lets entries of a log that has several writers appear late, under positions that others have passed.
    pub fn write_late(&self) {
        let mut log = locked(&self.stores.log);
        (log.spread, log.settle, log.margin) = (SPREAD, SETTLE, MARGIN);
    }

    /// Lets compaction take what is not settled yet.
    pub fn compact_unsettled(&self) {
        locked(&self.stores.log).margin = Duration::ZERO;
    }

    /// Lets readers of the log see what is not settled yet.
    pub fn read_unsettled(&self) {
        locked(&self.stores.log).settle = Duration::ZERO;
    }

    /// True if the log has a pack at or after a position.
    pub fn is_logged_from(&self, topic: &TopicId, sequence: PackSequence, from: LogPosition) -> bool {
        locked(&self.stores.log).has_from(topic, sequence, from)
    }

    /// Looks at all lane items and backlogs.
    pub fn with_lanes<T>(&self, look: impl FnOnce(&LanesView<'_>) -> T) -> T {
        look(&LanesView(&locked(&self.stores.tables).lanes))
    }

    /// A subscription as it is stored, deleted or not.
    pub fn stored_subscription(&self, id: &SubscriptionId) -> Option<Arc<Subscription>> {
        locked(&self.stores.tables).registry.subscription(id)
    }

    /// True if an event is among a subscription's dead letters.
    pub fn is_dead_letter(&self, id: &SubscriptionId, sequence: Sequence) -> bool {
        locked(&self.stores.dead_letters).has(id, sequence)
    }

    /// Number of a subscription's dead letters.
    pub fn dead_letters(&self, id: &SubscriptionId) -> usize {
        locked(&self.stores.dead_letters).count(id)
    }

    /// Looks at all dead letters that were ever put, oldest first: which event of which subscription.
    pub fn with_dead_lettered<T>(&self, look: impl FnOnce(&[(SubscriptionId, Sequence)]) -> T) -> T {
        look(locked(&self.stores.dead_letters).history())
    }

    /// Makes all messages visible, as a restart of a store does that keeps in-flight state in memory only.
    pub fn forget_in_flight(&self) {
        locked(&self.stores.queue).forget_in_flight();
        self.stores.queue_bell.ring();
    }

    /// Waits until the bell has rung since, the time has come, or the wait for an idle queue is over; false if it is.
    pub(crate) async fn idle(&self, bell: &Bell, rung: u64, until: Option<Time>, deadline: Time) -> bool {
        let now = self.clock.now();
        if now >= deadline {
            return false;
        }
        let span = until.map_or(deadline, |until| until.min(deadline)).since(now).max(Duration::from_millis(1));
        let sleep = self.clock.sleep(span);
        match select(pin!(bell.rings_after(rung)), sleep).await {
            Either::Left(_) | Either::Right(_) => true,
        }
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

/// All lanes at one moment.
pub struct LanesView<'a>(&'a LaneStore);

impl LanesView<'_> {
    /// A lane item.
    pub fn lane(&self, id: &LaneId) -> Option<&LaneItem> {
        self.0.lane(id)
    }

    /// All lane items.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneItem> {
        self.0.lanes()
    }

    /// A lane's backlog, in order.
    pub fn backlog(&self, id: &LaneId) -> impl Iterator<Item = &BacklogItem> {
        self.0.backlog(id)
    }

    /// All backlog items with their lanes.
    pub fn backlogs(&self) -> impl Iterator<Item = (&LaneId, &BacklogItem)> {
        self.0.backlogs()
    }
}
