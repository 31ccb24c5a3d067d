//! The whole broker under seeded simulation: any order of steps, crashes between any two port calls, zombies, failing
//! stores, torn reads, hostile endpoints. Every run checks what the broker promises.
//!
//! `RELAY_SIM_SEEDS` sets how many seeds are run, `RELAY_SIM_SEED` runs one of them and prints its trace.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests: what cannot be is to panic, and is printed"
)]

mod actors;
mod broker;
mod ledger;
mod plants;
mod scenario;
mod seeds;
mod world;

use plants::Plant;
use seeds::{first_violation, run_seed};

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = seeds::one_seed() {
        let report = run_seed(seed, Plant::Nothing, true);
        seeds::print(seed, &report, usize::MAX);
        assert_eq!(report.violation, None, "SEED={seed}");
        return;
    }
    let count = seeds::count();
    if let Some((seed, report)) = first_violation(0..count, Plant::Nothing) {
        let traced = run_seed(seed, Plant::Nothing, true);
        seeds::print(seed, &traced, 400);
        panic!("SEED={seed}: {}", report.violation.unwrap_or_default());
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..50 {
        let [one, other] = [run_seed(seed, Plant::Nothing, false), run_seed(seed, Plant::Nothing, false)];
        assert_eq!(one.fingerprint, other.fingerprint, "SEED={seed}");
        assert_eq!((one.steps, one.virtual_ms), (other.steps, other.virtual_ms), "SEED={seed}");
    }
}

#[test]
fn every_planted_fault_is_found() {
    for plant in Plant::FAULTS {
        let found = first_violation(0..60_000, plant);
        let (seed, report) = found.unwrap_or_else(|| panic!("{plant:?} was not found"));
        println!("{plant:?}: seed {seed}, {}", report.violation.unwrap_or_default());
    }
}
