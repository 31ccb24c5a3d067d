//! What is durable, proved below SQLite: first that the disk forgets what it should, then that the broker's store
//! loses nothing that it has acknowledged.
//!
//! `RELAY_POWERCUT_SEEDS` sets how many seeds are run; `RELAY_POWERCUT_SEED` runs one of them, many times, because the
//! store's threads make each run of a seed a little different.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod faults;
mod held;
mod lives;
mod possible;
mod records;
mod samples;
mod seeds;
mod sends;
mod sqlite;
mod workload;
mod world;
