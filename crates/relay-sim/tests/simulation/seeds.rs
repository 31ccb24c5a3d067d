//! Many seeds on all cores, and what to print of one that fails.

use crate::plants::Plant;
use crate::world::{self, Report};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How many seeds: `RELAY_SIM_SEEDS`, or enough for CI; fewer where the code is not optimised.
pub fn count() -> u64 {
    let given = std::env::var("RELAY_SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 500 } else { 10_000 })
}

/// The one seed to look at: `RELAY_SIM_SEED`.
pub fn one_seed() -> Option<u64> {
    std::env::var("RELAY_SIM_SEED").ok().and_then(|text| text.parse().ok())
}

/// Runs a seed; a panic is a violation like any other.
pub fn run_seed(seed: u64, plant: Plant, traced: bool) -> Report {
    catch_unwind(AssertUnwindSafe(|| world::run(seed, plant, traced))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report::of_violation(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Runs seeds until one breaks a promise: that one, and the smallest if several do at the same time.
pub fn first_violation(seeds: Range<u64>, plant: Plant) -> Option<(u64, Report)> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let totals = [const { AtomicU64::new(0) }; 5];
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while found.lock().unwrap().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run_seed(seed, plant, false);
                    let counts = [1, report.steps, report.virtual_ms, report.deliveries, report.duplicates];
                    for (total, count) in totals.iter().zip(counts) {
                        total.fetch_add(count, Ordering::Relaxed);
                    }
                    if report.violation.is_some() {
                        found.lock().unwrap().push((seed, report));
                    }
                }
            });
        }
    });
    let [runs, steps, virtual_ms, deliveries, duplicates] = totals.map(AtomicU64::into_inner);
    println!(
        "{plant:?}: {runs} seeds in {:.1} s: {steps} steps, {} virtual hours, {deliveries} deliveries, {duplicates} repeats",
        began.elapsed().as_secs_f64(),
        virtual_ms / 3_600_000,
    );
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(seed, _)| *seed);
    found.into_iter().next()
}

/// Prints a run: the end of its trace, and what is wrong with it.
pub fn print(seed: u64, report: &Report, most: usize) {
    let skipped = report.trace.len().saturating_sub(most);
    println!("SEED={seed}: {skipped} lines skipped; all of them with RELAY_SIM_SEED={seed}");
    for line in &report.trace[skipped..] {
        println!("{line}");
    }
    println!("SEED={seed}: {:?} after {} steps, {} virtual ms", report.violation, report.steps, report.virtual_ms);
}
