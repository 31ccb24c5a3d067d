//! Event Relay in one process: all ports of the domain over one data folder.
//!
//! ```text
//! relay.db     SQLite: queue and log (one row for both), lanes, registry, attempts, dead letters
//! events/      segments of the log, which other tools read: see `relay-segment`
//! payloads/    payloads too large for a row, by the hash of their bytes
//! relay.lock   one process at a time
//! ```
//!
//! Durability is by one thread that writes ([`writer`]): it carries out whatever waits in one transaction with one
//! fsync, and answers after it. Reads that dispatch needs for every event come from memory: which lanes are held, what
//! the registry holds, what is queued. All of that is rebuilt from the file at a start, so a crash at any point loses
//! nothing that was answered. Messages that were in flight are visible again after a restart.
//!
//! ```no_run
//! # async fn example(webhooks: std::sync::Arc<dyn relay_core::ports::webhook::WebhookClient>) -> Result<(), Box<dyn std::error::Error>> {
//! use relay_embedded::{Store, StoreOptions};
//!
//! let store = Store::open("relay-data".as_ref(), StoreOptions::default())?;
//! let ports = store.ports(webhooks);
//! // …hand `ports` to the use-cases…
//! store.close().await?;
//! # Ok(())
//! # }
//! ```

mod attempts;
mod checkpoint;
mod cursors;
mod dead_letters;
mod fault;
mod files;
mod folder;
mod lanes;
mod log;
mod payloads;
mod private;
mod queue;
mod readers;
mod recovery;
mod registry;
mod replays;
mod rows;
mod schema;
mod store;
mod sync;
mod upgrade;
mod wake_ups;
mod writer;

pub use folder::OpenError;
pub use store::{Store, StoreOptions};
pub use writer::CommitStats;
