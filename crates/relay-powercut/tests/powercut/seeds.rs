//! Runs something for many seeds, or for the one that failed.

use crate::possible::Fault;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often one seed is run, to find again what only some interleavings of threads show.
const REPEATS: u64 = 50;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Runs seeds on two threads, as many as there are by default or as the environment says, and fails with the first
/// fault. Answers how many there were, unless it was only one.
pub fn each(default: u64, run: impl Fn(u64) -> Result<(), Fault> + Sync) -> Option<usize> {
    let one = number("RELAY_POWERCUT_SEED");
    let count = one.map_or_else(|| number("RELAY_POWERCUT_SEEDS").unwrap_or(default), |_| REPEATS);
    let (next, fault) = (AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while fault.lock().unwrap().is_none() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let seed = one.unwrap_or(index);
                    if let Err(found) = run(seed) {
                        fault.lock().unwrap().get_or_insert((seed, found));
                    }
                }
            });
        }
    });
    if let Some((seed, Fault(what))) = fault.into_inner().unwrap() {
        panic!("seed {seed}: {what} (RELAY_POWERCUT_SEED={seed} runs it alone, {REPEATS} times)");
    }
    one.is_none().then(|| usize::try_from(count).unwrap())
}
