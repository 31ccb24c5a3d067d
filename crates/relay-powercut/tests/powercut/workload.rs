//! What is done to a store while the disk is about to fail: several actors at once, all drawn from one seed.

use crate::held::HeldLane;
use crate::possible::{Fault, ensure};
use crate::records::Records;
use crate::samples;
use crate::sends::Sends;
use crate::world::{ManualClock, World};
use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use relay_core::pack::{GroupId, Pack};
use relay_core::ports::{Clock, Message, PortError, Ports};
use relay_core::time::Time;
use relay_powercut::Disk;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;

const TOPICS: [&str; 2] = ["orders", "bills"];
const PUBLISHERS: usize = 4;
const KEYS: usize = 3;
/// Much less than the five minutes for which the same pack is recognised. Time goes on in leaps meanwhile, but in none
/// while something is sent.
const REPEATABLE: Duration = Duration::from_secs(100);

/// How much is done, and how large it is.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Writes of each actor.
    pub writes: usize,
    /// Bytes of a pack, at most.
    pub bytes: usize,
    /// About how many syncs, and steps of the disk, that makes.
    pub syncs: u64,
    pub steps: u64,
}

/// What is to be found in the store.
#[derive(Default)]
pub struct Ledger {
    sends: RefCell<Sends>,
    lanes: Vec<HeldLane>,
    records: Vec<Records>,
    /// What is older may have expired.
    kept_since: Time,
    rounds: u64,
}

/// What all actors see.
#[derive(Clone, Copy)]
struct Stage<'a> {
    ports: &'a Ports,
    disk: &'a Disk,
    clock: &'a ManualClock,
    sends: &'a RefCell<Sends>,
    /// Whoever sends reads it, and whoever leaps in time writes it.
    leaps: &'a RwLock<()>,
    kept_since: Time,
    load: Load,
    round: u64,
}

fn topic_of(publisher: usize) -> &'static str {
    TOPICS[publisher % TOPICS.len()]
}

fn key_of(publisher: usize, number: usize) -> String {
    format!("key-{publisher}-{number}")
}

impl Ledger {
    pub fn new() -> Ledger {
        let lane = |publisher| HeldLane::new(&format!("sub-{publisher}"), topic_of(publisher), &key_of(publisher, 0));
        let records = TOPICS.iter().map(|topic| Records::new(topic)).collect();
        Ledger { lanes: (0..PUBLISHERS).map(lane).collect(), records, ..Ledger::default() }
    }

    /// Packs that were accepted so far.
    pub fn accepted(&self) -> usize {
        self.sends.borrow().accepted()
    }

    /// Works until everybody has made their writes, or the power is gone.
    pub async fn work(&mut self, world: &World, ports: &Ports, load: Load, random: &mut StdRng) -> Result<(), Fault> {
        self.rounds += 1;
        let Ledger { sends, lanes, records, kept_since, rounds } = self;
        let (disk, clock, leaps) = (&world.disk, &*world.clock, &RwLock::new(()));
        let stage = Stage { ports, disk, clock, sends, leaps, kept_since: *kept_since, load, round: *rounds };
        let mut seed = || StdRng::seed_from_u64(random.random());
        let publish = join_all((0..PUBLISHERS).map(|number| stage.publish(number, seed())).collect::<Vec<_>>());
        let dispatch = stage.dispatch(seed());
        let hold = join_all(lanes.iter_mut().map(|lane| stage.hold(lane, seed())).collect::<Vec<_>>());
        let record = join_all(records.iter_mut().map(|records| stage.record(records, seed())).collect::<Vec<_>>());
        let ((published, dispatched), (held, recorded)) = join(join(publish, dispatch), join(hold, record)).await;
        published.into_iter().chain([dispatched]).chain(held).chain(recorded).collect()
    }

    /// Compares everything with what the store has.
    pub async fn check(&mut self, ports: &Ports) -> Result<(), Fault> {
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let more = ports.queue.receive(10_000).await?;
            if more.is_empty() {
                break;
            }
            messages.extend(more);
        }
        let sends = self.sends.get_mut();
        sends.check_queue(&messages)?;
        let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
        for answer in ports.queue.give_back(&receipts).await {
            answer?;
        }
        for topic in TOPICS {
            let id = samples::topic_id(topic);
            sends.check_log(&id, &ports.log.newest(&id, None, 100_000).await?, self.kept_since)?;
        }
        for lane in &mut self.lanes {
            lane.check(ports).await?;
        }
        for records in &mut self.records {
            records.check(ports).await?;
        }
        Ok(())
    }

    /// The store was closed in good order: acknowledgements are durable, too.
    pub fn closed(&mut self) {
        self.sends.get_mut().closed();
    }

    /// Lets a week and a day go by, and old things expire.
    pub async fn grow_old(&mut self, world: &World, ports: &Ports) -> Result<(), Fault> {
        world.clock.advance(Duration::from_secs(8 * 86_400));
        self.kept_since = world.clock.now();
        for _ in 0..1_000 {
            match ports.log.expire(world.clock.now()).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return ensure(error.is_retryable(), || format!("expire failed with {error:?}")),
            }
        }
        Err(Fault("there is no end of what expires".to_owned()))
    }
}

impl Stage<'_> {
    async fn publish(self, number: usize, mut random: StdRng) -> Result<(), Fault> {
        for write in 0..self.load.writes {
            if !self.disk.is_on() {
                break;
            }
            let _no_leap = self.leaps.read().await;
            self.clock.advance(Duration::from_millis(random.random_range(0..5)));
            let fresh = |key: usize, random: &mut StdRng| {
                let small = random.random_ratio(3, 4) && self.load.bytes < 50_000;
                let bytes = random.random_range(0..if small { 300 } else { self.load.bytes });
                let name = format!("{}-{number}-{write}-{key}", self.round);
                samples::pack(topic_of(number), &key_of(number, key), &name, bytes, random)
            };
            match random.random_range(0..10) {
                0 => {
                    let twice = fresh(0, &mut random);
                    let (one, other) = join(self.send(vec![twice.clone()]), self.send(vec![twice])).await;
                    one.and(other)?;
                }
                1 => {
                    let since = Time(self.clock.now().0.saturating_sub(REPEATABLE.as_millis() as u64));
                    let groups: Vec<GroupId> = (0..KEYS).map(|key| fresh(key, &mut random).group()).collect();
                    let again = self.sends.borrow().sent_since(&groups, since.max(self.kept_since));
                    if let Some(again) = again.choose(&mut random) {
                        self.send(vec![again.clone()]).await?;
                    }
                }
                _ => {
                    let keys = random.random_range(1..=KEYS);
                    self.send((0..keys).map(|key| fresh(key, &mut random)).collect()).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(self, packs: Vec<Arc<Pack>>) -> Result<(), Fault> {
        let now = self.clock.now();
        let attempts: Vec<_> = packs.iter().map(|pack| self.sends.borrow_mut().attempt(pack, now)).collect();
        let answers = self.ports.queue.send(packs).await;
        ensure(answers.len() == attempts.len(), || "not every pack is answered".to_owned())?;
        let mut sends = self.sends.borrow_mut();
        attempts.iter().zip(&answers).try_for_each(|(attempt, answer)| sends.answered(attempt, answer))
    }

    async fn dispatch(self, mut random: StdRng) -> Result<(), Fault> {
        for _ in 0..self.load.writes {
            if !self.disk.is_on() {
                break;
            }
            if random.random_ratio(1, 30) {
                // What is in flight becomes visible again.
                let _nobody_sends = self.leaps.write().await;
                self.clock.advance(relay_core::limits::VISIBILITY);
            }
            let messages = match self.ports.queue.receive(random.random_range(1..10)).await {
                Ok(messages) => messages,
                Err(error) => {
                    ensure(error.is_retryable(), || format!("receive failed with {error:?}"))?;
                    continue;
                }
            };
            messages.iter().try_for_each(|message| self.sends.borrow_mut().received(message))?;
            let done = match random.random_range(0..4) {
                0 => 0,
                1 => random.random_range(0..=messages.len()),
                _ => messages.len(),
            };
            let (done, back) = messages.split_at(done);
            done.iter().for_each(|message| self.sends.borrow_mut().acknowledging(message));
            let receipts: Vec<_> = done.iter().map(|message| message.receipt.clone()).collect();
            let answers = self.ports.queue.delete(&receipts).await;
            for (message, answer) in done.iter().zip(answers) {
                match answer {
                    Ok(()) => self.sends.borrow_mut().acknowledged(message),
                    Err(PortError::Conflict) => {}
                    Err(error) => ensure(error.is_retryable(), || format!("delete failed with {error:?}"))?,
                }
            }
            if random.random_ratio(3, 4) {
                let receipts: Vec<_> = back.iter().map(|message| message.receipt.clone()).collect();
                self.ports.queue.give_back(&receipts).await;
            }
        }
        Ok(())
    }

    async fn hold(self, lane: &mut HeldLane, mut random: StdRng) -> Result<(), Fault> {
        for _ in 0..self.load.writes {
            if !self.disk.is_on() {
                break;
            }
            let logged = self.sends.borrow().logged(lane.group(), self.kept_since);
            lane.act(self.ports, &logged, &mut random).await?;
        }
        Ok(())
    }

    async fn record(self, records: &mut Records, mut random: StdRng) -> Result<(), Fault> {
        let group = samples::pack(topic_of(0), &key_of(0, 1), "any", 1, &mut random).group();
        for _ in 0..self.load.writes {
            if !self.disk.is_on() {
                break;
            }
            let logged = self.sends.borrow().logged(group, self.kept_since);
            records.act(self.ports, &logged, &mut random).await?;
        }
        Ok(())
    }
}
