//! One process of the broker: pollers that hand what they receive to the use-cases.

use crate::world::World;
use relay_core::attempt::Attempter;
use relay_core::dispatch::Dispatcher;
use relay_core::drain::Drainer;
use relay_core::ports::Ports;
use relay_core::sweep::Sweeper;
use relay_sim::schedule::{Group, TaskKind};
use relay_sim::{Shape, SimulatedClock};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Much more often than brokers do, so that readers go by segments wherever they can.
const COMPACT_EVERY: Duration = Duration::from_secs(2);

/// A process, over all its restarts.
pub struct Broker {
    pub ports: Ports,
    pub clock: Arc<SimulatedClock>,
    /// What is killed when it is restarted; none while it is down.
    pub running: Mutex<Option<Group>>,
}

/// What one life of a process keeps in memory.
struct Memory {
    dispatcher: Dispatcher,
    drainer: Drainer,
    sweeper: Sweeper,
    group: Group,
}

impl Broker {
    pub fn new(ports: Ports, clock: Arc<SimulatedClock>) -> Broker {
        Broker { ports, clock, running: Mutex::new(None) }
    }

    /// The process that requests are sent to now; none while it is down.
    pub fn group(&self) -> Option<Group> {
        *self.running.lock().unwrap()
    }
}

/// Keeps a process running: whenever it is killed, it is started again, and has forgotten everything.
pub async fn run(world: Arc<World>, number: usize) {
    let plan = world.scenario.processes[number].clone();
    let broker = &world.brokers[number];
    let mut restarts = plan.restarts.iter();
    loop {
        let group = world.scheduler.new_group();
        let attempter = Attempter::new(broker.ports.clone());
        let memory = Arc::new(Memory {
            dispatcher: Dispatcher::new(broker.ports.clone(), attempter.clone()),
            drainer: Drainer::new(broker.ports.clone(), attempter),
            sweeper: Sweeper::new(broker.ports.clone()),
            group,
        });
        *broker.running.lock().unwrap() = Some(group);
        for index in 0..plan.dispatchers {
            keep(&world, number, &memory, &format!("dispatch{number}.{index}"), dispatch);
        }
        for index in 0..plan.drainers {
            keep(&world, number, &memory, &format!("drain{number}.{index}"), drain);
        }
        keep(&world, number, &memory, &format!("sweep{number}"), sweep);
        keep(&world, number, &memory, &format!("compact{number}"), compact);
        let Some(at) = restarts.next() else { return };
        world.until(*at).await;
        *broker.running.lock().unwrap() = None;
        world.scheduler.note(|| format!("✗ process {number} is killed"));
        world.scheduler.kill_group(group);
        let pause = world.scheduler.draw(|random| random.within(0..5_000));
        world.scheduler.sleep(Duration::from_millis(pause)).await;
        if world.scenario.shape == Shape::One && world.brokers.len() == 1 {
            world.simulated.forget_in_flight();
        }
    }
}

/// Starts a task of a process, again and again whenever it crashes.
fn keep<F>(
    world: &Arc<World>,
    number: usize,
    memory: &Arc<Memory>,
    name: &str,
    task: impl Fn(Arc<World>, usize, Arc<Memory>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (name, world, memory) = (name.to_owned(), Arc::clone(world), Arc::clone(memory));
    let keeper = TaskKind { name: format!("keeper of {name}"), group: Some(memory.group), mortal: false };
    let scheduler = world.scheduler.clone();
    drop(scheduler.clone().spawn(keeper, async move {
        loop {
            let kind = TaskKind { name: name.clone(), group: Some(memory.group), mortal: true };
            scheduler.spawn(kind, task(Arc::clone(&world), number, Arc::clone(&memory))).await;
            let pause = scheduler.draw(|random| random.within(0..2_000));
            scheduler.sleep(Duration::from_millis(pause)).await;
        }
    }));
}

async fn dispatch(world: Arc<World>, number: usize, memory: Arc<Memory>) {
    let ports = &world.brokers[number].ports;
    loop {
        match ports.queue.receive(10).await {
            Ok(batch) => memory.dispatcher.handle(batch).await,
            Err(_) => ports.clock.sleep(Duration::from_millis(500)).await,
        }
    }
}

async fn drain(world: Arc<World>, number: usize, memory: Arc<Memory>) {
    let ports = &world.brokers[number].ports;
    loop {
        let Ok(wake_ups) = ports.wake_ups.receive(10).await else {
            ports.clock.sleep(Duration::from_millis(500)).await;
            continue;
        };
        for wake_up in wake_ups {
            let memory = Arc::clone(&memory);
            let kind = TaskKind { name: format!("drainer{number}"), group: Some(memory.group), mortal: true };
            drop(world.scheduler.spawn(kind, async move {
                // What fails here is made up for by the end of the lease, and by sweep.
                let _ = memory.drainer.handle(wake_up).await;
            }));
        }
    }
}

async fn sweep(world: Arc<World>, number: usize, memory: Arc<Memory>) {
    loop {
        world.brokers[number].ports.clock.sleep(SWEEP_EVERY).await;
        memory.sweeper.run().await;
    }
}

async fn compact(world: Arc<World>, number: usize, memory: Arc<Memory>) {
    loop {
        world.brokers[number].ports.clock.sleep(COMPACT_EVERY).await;
        memory.sweeper.compact(Duration::from_secs(20)).await;
    }
}
