//! The store lives and dies, again and again: by a cut within any sync, between any two steps, at rest, while it opens
//! or closes; or it is only killed, or closed in good order. What it answered is there afterwards.

use crate::possible::{Fault, ensure};
use crate::seeds;
use crate::workload::{Ledger, Load};
use crate::world::{Life, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay_powercut::{Disk, Keep, Moment};
use std::sync::atomic::{AtomicUsize, Ordering};

const LIVES: usize = 3;
const SMALL: Load = Load { writes: 25, bytes: 6_000, syncs: 45, steps: 750 };
/// Enough for the write-ahead log to be checkpointed while work goes on: after 16 MiB.
const LARGE: Load = Load { writes: 30, bytes: 180_000, syncs: 60, steps: 14_000 };

/// What is wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sabotage {
    /// Nothing but that the power fails.
    None,
    /// It does not sync when asked to.
    NoSyncs,
}

fn keep(random: &mut StdRng) -> Keep {
    match random.random_range(0..8) {
        0 => Keep::Nothing,
        1 | 2 => Keep::Everything,
        _ => Keep::RandomSubset,
    }
}

fn plan_cut(disk: &Disk, load: Load, random: &mut StdRng) {
    let keep = keep(random);
    match random.random_range(0..10) {
        0..=4 => {
            let moment = [Moment::Before, Moment::Half, Moment::After][random.random_range(0..3)];
            disk.cut_at_sync(random.random_range(1..=load.syncs), moment, keep);
        }
        5..=8 => disk.cut_at_step(random.random_range(1..=load.steps), keep),
        _ => {}
    }
}

/// Opens the store, though the power may fail meanwhile.
fn reopen(world: &World, random: &mut StdRng) -> Result<Life, Fault> {
    let disk = &world.disk;
    loop {
        disk.power_on();
        if random.random_ratio(1, 4) {
            disk.cut_at_step(random.random_range(1..60), keep(random));
        }
        let opened = world.open();
        disk.cancel_cuts();
        match opened {
            Ok(life) if disk.is_on() => return Ok(life),
            Err(fault) if disk.is_on() => return Err(fault),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Ends a life, in one way or another; what is left is on the disk.
async fn end(world: &World, ledger: &mut Ledger, life: Life, random: &mut StdRng) -> Result<(), Fault> {
    let disk = &world.disk;
    if disk.is_on() {
        let failures = life.store.commit_stats().failures;
        ensure(failures == 0, || format!("{failures} commits failed, and nothing was wrong"))?;
        if random.random_ratio(1, 4) {
            ledger.grow_old(world, &life.ports).await?;
        }
    }
    if random.random_ratio(1, 3) {
        let closed = life.store.close().await;
        ensure(closed.is_ok() || !disk.is_on(), || format!("closing failed with {closed:?}"))?;
        if closed.is_ok() {
            ledger.closed();
        }
        if disk.is_on() && random.random() {
            drop(life);
            disk.cancel_cuts();
            return Ok(());
        }
    }
    disk.power_cut(keep(random));
    drop(life);
    Ok(())
}

/// What the lives of a seed came to.
#[derive(Default)]
struct Outcome {
    accepted: AtomicUsize,
    /// Lives that ended while work was going on.
    interrupted: AtomicUsize,
    checkpoints: AtomicUsize,
}

async fn live(seed: u64, load: Load, sabotage: Sabotage, outcome: &Outcome) -> Result<(), Fault> {
    let random = &mut StdRng::seed_from_u64(seed);
    let (world, mut ledger) = (World::new(seed), Ledger::new());
    let mut life = reopen(&world, random)?;
    for _ in 0..LIVES {
        plan_cut(&world.disk, load, random);
        if sabotage == Sabotage::NoSyncs {
            world.disk.ignore_syncs();
        }
        ledger.work(&world, &life.ports, load, random).await?;
        let checkpoints = usize::try_from(life.store.commit_stats().checkpoints.0).unwrap();
        outcome.checkpoints.fetch_add(checkpoints, Ordering::Relaxed);
        outcome.interrupted.fetch_add(usize::from(!world.disk.is_on()), Ordering::Relaxed);
        end(&world, &mut ledger, life, random).await?;
        world.disk.honour_syncs();
        life = reopen(&world, random)?;
        ledger.check(&life.ports).await?;
        let verdict = world.integrity()?;
        ensure(verdict == "ok", || format!("the database is not sound: {verdict}"))?;
    }
    outcome.accepted.fetch_add(ledger.accepted(), Ordering::Relaxed);
    Ok(())
}

fn run(seed: u64, load: Load, sabotage: Sabotage, outcome: &Outcome) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(live(seed, load, sabotage, outcome))
}

#[test]
fn nothing_that_was_answered_is_lost_wherever_the_power_is_cut() {
    let outcome = Outcome::default();
    if let Some(seeds) = seeds::each(300, |seed| run(seed, SMALL, Sabotage::None, &outcome)) {
        let (interrupted, lives) = (outcome.interrupted.into_inner(), seeds * LIVES);
        assert!(interrupted * 4 > lives, "of {lives} lives only {interrupted} were interrupted");
        assert!(outcome.accepted.into_inner() > seeds * 10, "there was something to lose");
    }
}

#[test]
fn nothing_that_was_answered_is_lost_while_checkpoints_run() {
    let outcome = Outcome::default();
    if let Some(seeds) = seeds::each(10, |seed| run(seed, LARGE, Sabotage::None, &outcome)) {
        assert!(outcome.checkpoints.into_inner() * 5 > seeds, "checkpoints did run");
    }
}

#[test]
fn a_store_on_a_disk_that_does_not_sync_is_caught() {
    let outcome = Outcome::default();
    let caught = (0..20).filter(|seed| run(*seed, SMALL, Sabotage::NoSyncs, &outcome).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 seeds noticed that nothing was durable");
}
