//! The registry's routes over the simulated ports, with dispatch and drain where a test wants deliveries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic; helpers are not seen as tests by the lint")]

mod broker;
mod consumers;
mod dead_letters;
mod envelope;
mod faults;
mod idempotency;
mod keys;
mod lanes;
mod log;
mod meddler;
mod mutations;
mod replays;
mod skipping;
mod subscription_fields;
mod subscriptions;
mod topics;
mod whereabouts;
