//! A disk that is full, and one that fails to sync.

use crate::possible::Fault;
use crate::samples;
use crate::sends::Sends;
use crate::world::{Life, World};
use rand::SeedableRng;
use rand::rngs::StdRng;
use relay_core::ports::{Clock, Expect, PortError, Sent};
use relay_powercut::{Keep, Moment};

/// Sends packs one by one, and keeps the account of it.
struct Sender {
    world: World,
    sends: Sends,
    count: usize,
    random: StdRng,
}

impl Sender {
    fn new(seed: u64) -> Sender {
        let world = World::new(seed);
        Sender { world, sends: Sends::default(), count: 0, random: StdRng::seed_from_u64(seed) }
    }

    async fn send(&mut self, life: &Life) -> Result<Sent, PortError> {
        self.count += 1;
        let (key, name) = (format!("key-{}", self.count % 5), format!("{}", self.count));
        let pack = samples::pack("orders", &key, &name, 3_000, &mut self.random);
        let attempt = self.sends.attempt(&pack, self.world.clock.now());
        let answer = life.ports.queue.send(vec![pack]).await.remove(0);
        self.sends.answered(&attempt, &answer).unwrap();
        answer
    }

    async fn acknowledge_some(&mut self, life: &Life) {
        let messages = life.ports.queue.receive(3).await.unwrap();
        messages.iter().for_each(|message| self.sends.acknowledging(message));
        let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
        for answer in life.ports.queue.delete(&receipts).await {
            assert_eq!(answer, Ok(()));
        }
    }

    async fn check(&mut self, life: &Life) -> Result<(), Fault> {
        let messages = life.ports.queue.receive(10_000).await?;
        self.sends.check_queue(&messages)?;
        let entries = life.ports.log.newest(&samples::topic_id("orders"), None, 10_000).await?;
        self.sends.check_log(&samples::topic_id("orders"), &entries, relay_core::time::Time(0))
    }
}

#[tokio::test]
async fn a_full_disk_refuses_with_that_reason_loses_nothing_and_works_on_when_there_is_room() {
    for seed in 0..8 {
        let mut sender = Sender::new(seed);
        let disk = sender.world.disk.clone();
        let life = sender.world.open().unwrap();
        for _ in 0..20 {
            sender.send(&life).await.unwrap();
        }
        for round in 0..3 {
            disk.fill_at(disk.used() + 40_000 + 1_000 * usize::try_from(seed).unwrap());
            let mut refused = 0;
            for _ in 0..40 {
                match sender.send(&life).await {
                    Ok(_) => sender.acknowledge_some(&life).await,
                    Err(error) => {
                        assert_eq!(error, PortError::Full, "seed {seed}, round {round}");
                        refused += 1;
                    }
                }
            }
            assert!(refused > 5, "the disk was filled");
            // What there is can be read and acknowledged all the same.
            sender.acknowledge_some(&life).await;
            disk.make_room();
            for _ in 0..5 {
                sender.send(&life).await.unwrap();
            }
        }
        disk.fill_at(disk.used());
        assert_eq!(sender.send(&life).await, Err(PortError::Full));
        disk.power_cut(Keep::RandomSubset);
        drop(life);
        disk.make_room();
        disk.power_on();
        let life = sender.world.open().unwrap();
        sender.check(&life).await.unwrap();
        sender.send(&life).await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_failed_to_sync_is_trusted_again_only_after_a_restart() {
    for seed in 0..8 {
        let mut sender = Sender::new(seed);
        let disk = sender.world.disk.clone();
        let life = sender.world.open().unwrap();
        for _ in 0..10 {
            sender.send(&life).await.unwrap();
        }
        disk.fail_syncs();
        for _ in 0..3 {
            assert!(matches!(sender.send(&life).await, Err(PortError::Unavailable(_))));
        }
        disk.honour_syncs();
        // The disk may have dropped what it failed to write: what SQLite believes to be there may not be.
        assert!(matches!(sender.send(&life).await, Err(PortError::Unavailable(_))));
        disk.power_cut(Keep::RandomSubset);
        drop(life);
        disk.power_on();
        let life = sender.world.open().unwrap();
        sender.check(&life).await.unwrap();
        sender.send(&life).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_cut_off_answers_nothing_but_errors() {
    let mut sender = Sender::new(1);
    let disk = sender.world.disk.clone();
    let life = sender.world.open().unwrap();
    sender.send(&life).await.unwrap();
    disk.cut_at_sync(1, Moment::After, Keep::Nothing);
    for _ in 0..3 {
        assert!(matches!(sender.send(&life).await, Err(PortError::Unavailable(_))));
    }
    assert!(life.store.close().await.is_err());
    drop(life);
    disk.power_on();
    let life = sender.world.open().unwrap();
    sender.check(&life).await.unwrap();
    assert_eq!(sender.sends.accepted(), 2, "the sync was done, though nobody was told");
}

#[tokio::test]
async fn what_a_store_shows_after_the_process_was_killed_outlives_the_next_cut() {
    for restarts in 0..3 {
        let world = World::new(1);
        let disk = &world.disk;
        let life = world.open().unwrap();
        life.ports.registry.put_topic(samples::topic("orders", 1), Expect::Absent).await.unwrap();
        // So that there may have been a crash before.
        let mut life = Some(life);
        for _ in 0..restarts {
            life = None;
            life.replace(world.open().unwrap());
        }
        let ports = life.as_ref().unwrap().ports.clone();
        disk.cut_at_sync(1, Moment::Before, Keep::Everything);
        let answer = ports.registry.put_topic(samples::topic("orders", 2), Expect::Version(1)).await;
        assert!(matches!(answer, Err(PortError::Unavailable(_))));
        drop((ports, life));
        disk.power_on();
        let life = world.open().unwrap();
        let name = samples::topic("orders", 1).name;
        let shown = life.ports.registry.topic(&name).await.unwrap().unwrap();
        assert_eq!(shown.version, 2, "it was written, though not durable, and nobody was told");
        disk.power_cut(Keep::Nothing);
        drop(life);
        disk.power_on();
        let after = world.open().unwrap().ports.registry.topic(&name).await.unwrap().unwrap();
        assert_eq!(after, shown, "after {restarts} restarts");
    }
}
