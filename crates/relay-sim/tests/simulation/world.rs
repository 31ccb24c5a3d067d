//! One world: a broker of several processes over simulated stores, its publishers, subscribers and operators.

use crate::actors;
use crate::broker::Broker;
use crate::ledger::{Ledger, Violation};
use crate::plants::Plant;
use crate::scenario::Scenario;
use relay_core::names::{SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Expect, Ports, Registry};
use relay_core::topic::Topic;
use relay_sim::random::Random;
use relay_sim::schedule::{Executor, Hazards, Progress, Scheduler, TaskKind};
use relay_sim::webhooks::Reaction;
use relay_sim::{Shape, Simulated, SimulatedClock};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Steps between two checks of what holds at every moment.
const CHECK_EVERY: u64 = 8;
/// A world that takes more steps than this hangs.
const MOST_STEPS: u64 = 3_000_000;
/// After the storm, everything must be settled within so much virtual time.
const CALM_MS: u64 = 4 * 3_600_000;

/// What all tasks of a world share.
pub struct World {
    pub scheduler: Scheduler,
    pub simulated: Simulated,
    pub scenario: Scenario,
    pub ledger: Mutex<Ledger>,
    pub brokers: Vec<Broker>,
    /// Publishers and others that have not finished what they were to do.
    pub busy: AtomicUsize,
}

impl World {
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub fn topic_name(number: u64) -> TopicName {
        TopicName::new(format!("topic-{number}")).unwrap()
    }

    pub fn topic_id(number: u64) -> TopicId {
        TopicId::new(format!("top_{number}")).unwrap()
    }

    pub fn subscription_id(number: usize) -> SubscriptionId {
        SubscriptionId::new(format!("sub_{number}")).unwrap()
    }

    /// Ports that no process owns: an operator's own view.
    pub fn ports(&self) -> Ports {
        self.simulated.ports()
    }

    /// Waits until a time, in milliseconds since the beginning.
    pub async fn until(&self, at_ms: u64) {
        self.scheduler.sleep(Duration::from_millis(at_ms.saturating_sub(self.scheduler.now_ms()))).await;
    }

    /// Starts a task that nothing kills.
    pub fn start<F>(self: &Arc<Self>, name: impl Into<String>, task: impl FnOnce(Arc<World>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kind = TaskKind { name: name.into(), group: None, mortal: false };
        drop(self.scheduler.spawn(kind, task(Arc::clone(self))));
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    pub violation: Option<Violation>,
    pub trace: Vec<String>,
    pub steps: u64,
    pub virtual_ms: u64,
    pub deliveries: u64,
    pub duplicates: u64,
    pub fingerprint: u64,
}

impl Report {
    /// A run of which nothing else is known.
    pub fn of_violation(violation: Violation) -> Report {
        let violation = Some(violation);
        let trace = Vec::new();
        Report { violation, trace, steps: 0, virtual_ms: 0, deliveries: 0, duplicates: 0, fingerprint: 0 }
    }
}

/// Runs the world of a seed until all is settled, or a promise is broken.
pub fn run(seed: u64, plant: Plant, traced: bool) -> Report {
    let mut random = Random::new(seed);
    let scenario = Scenario::draw(&mut random.branch());
    let mut executor = Executor::new(random.branch(), scenario.hazards.clone());
    let scheduler = executor.scheduler().clone();
    if traced {
        scheduler.keep_trace();
        scheduler.note(|| format!("{scenario:#?}"));
    }
    let simulated = Simulated::scheduled(&scheduler, scenario.shape);
    if scenario.shape == Shape::Apart {
        simulated.write_late();
    }
    match plant {
        Plant::UnsettledRead => simulated.read_unsettled(),
        Plant::CompactedUnsettled => simulated.compact_unsettled(),
        _ => {}
    }
    let brokers = scenario.processes.iter().map(|_| {
        let clock = Arc::new(SimulatedClock::new(scheduler.clone()));
        let ports = plant.into_ports(simulated.ports_with_clock(clock.clone()), &scheduler);
        Broker::new(ports, clock)
    });
    let brokers = brokers.collect();
    let ledger = Mutex::default();
    let world = Arc::new(World { scheduler, simulated, scenario, ledger, brokers, busy: AtomicUsize::new(0) });
    prepare(&mut executor, &world);
    let mut steps = 0;
    let violation = storm(&mut executor, &world, &mut steps).or_else(|| calm(&mut executor, &world, &mut steps));
    let scheduler = &world.scheduler;
    let ledger = world.ledger();
    Report {
        violation,
        trace: scheduler.trace(),
        steps,
        virtual_ms: scheduler.now_ms(),
        deliveries: ledger.deliveries,
        duplicates: ledger.duplicates,
        fingerprint: ledger.fingerprint() ^ scheduler.now_ms() ^ steps.rotate_left(32),
    }
}

/// Topics are there before anything else happens.
fn prepare(executor: &mut Executor, world: &Arc<World>) {
    let hazards = world.scenario.hazards.clone();
    world.scheduler.set_hazards(Hazards::default());
    let simulated = world.simulated.clone();
    let topics = world.scenario.topics;
    let made = executor.run(async move {
        let now = simulated.ports().clock.now();
        let numbered = (0..topics).map(|number| (World::topic_id(number), World::topic_name(number)));
        let system = (TopicId::new("top_system").unwrap(), TopicName::system());
        for (id, name) in numbered.chain([system]) {
            simulated.put_topic(Topic::new(id, name, now), Expect::Absent).await.unwrap();
        }
    });
    assert_eq!(made, Some(()), "topics are made");
    world.scheduler.set_hazards(hazards);
    actors::start_all(world);
}

/// Things go wrong.
fn storm(executor: &mut Executor, world: &Arc<World>, steps: &mut u64) -> Option<Violation> {
    let end = world.scenario.storm_ms;
    loop {
        if let Some(violation) = advance(executor, world, end, steps) {
            return Some(violation);
        }
        if executor.step(end) == Progress::Idle {
            return world.ledger().check(&world.simulated).err();
        }
    }
}

/// Nothing goes wrong any more, and everything settles.
fn calm(executor: &mut Executor, world: &Arc<World>, steps: &mut u64) -> Option<Violation> {
    world.scheduler.note(|| "=== calm".to_owned());
    world.scheduler.set_hazards(Hazards { torn_read: world.scenario.hazards.torn_read, ..Hazards::none() });
    for plan in &world.scenario.subscriptions {
        world.simulated.endpoints().set(&plan.endpoint.url, &[(1, Reaction::Accept)]);
        world.simulated.endpoints().poison(&plan.endpoint.url, &[]);
    }
    world.start("last operator", actors::resume_all);
    let end = world.scheduler.now_ms() + CALM_MS;
    let (mut looked_at, mut redriven) = (0, !world.scenario.redriven_at_last);
    loop {
        if let Some(violation) = advance(executor, world, end, steps) {
            return Some(violation);
        }
        let idle = executor.step(end) == Progress::Idle;
        let now = world.scheduler.now_ms();
        if !idle && now < looked_at + 1_000 {
            continue;
        }
        looked_at = now;
        if let Err(violation) = world.ledger().check(&world.simulated) {
            return Some(violation);
        }
        let unsettled = actors::unfinished(world).or_else(|| world.ledger().unsettled(&world.simulated));
        match unsettled {
            None if redriven => return None,
            None => {
                redriven = true;
                actors::redrive_all(world);
            }
            Some(left) if idle => return Some(format!("not settled {CALM_MS} ms after the storm: {left}")),
            Some(_) => {}
        }
    }
}

fn advance(executor: &mut Executor, world: &World, end: u64, steps: &mut u64) -> Option<Violation> {
    *steps += 1;
    if !steps.is_multiple_of(CHECK_EVERY) {
        return None;
    }
    if *steps > MOST_STEPS {
        return Some(format!(
            "it hangs: {steps} steps, {} ms of {end}, {} tasks",
            world.scheduler.now_ms(),
            executor.tasks()
        ));
    }
    world.ledger().check(&world.simulated).err()
}
