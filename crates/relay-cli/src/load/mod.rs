//! Load on a broker, and the check of what it delivers: what `relay bench` and `relay demo` are made of.
//!
//! ```text
//!   Generator ──POST──▶ broker ──webhook──▶ Sink
//!       │                                    │
//!       ▼ what was accepted                  ▼ what arrived, when
//!   Published ───────────────┬──────────── Ledger
//!                            ▼
//!              order, losses, duplicates, latency
//! ```
//!
//! Every event carries a [`Marker`](marker::Marker): its key, its number within the key and the time it was meant to be
//! sent. That is enough to check a run of millions of events in a few bytes per key.

pub mod api;
pub mod broker;
pub mod connection;
pub mod corpus;
pub mod disk;
pub mod folder;
pub mod generator;
pub mod ledger;
pub mod marker;
pub mod pacer;
pub mod published;
pub mod request;
pub mod resident;
pub mod signature;
pub mod sink;
pub mod stopwatch;
