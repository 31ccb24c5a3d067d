//! The ports on AWS: SQS (a FIFO queue of packs, a standard queue of wake-ups), one DynamoDB table, one S3 bucket.
//!
//! | port | where |
//! | --- | --- |
//! | `EventQueue` | FIFO queue; group and deduplication ids are hashes |
//! | `WakeUps` | standard queue with a delay for each message |
//! | `Lanes`, `Registry`, `Replays`, `Attempts`, `DeadLetters` | the table |
//! | `EventLog` | hot: the table, large entries in `staging/`; segments: `events/` |
//! | `Payloads` | `payloads/` |
//!
//! Packs of held events and dead letters that are too large for a row lie in `held/`, messages that cannot be decoded
//! in `quarantine/`. Nothing but this crate names the SDK.

mod attempts;
mod clients;
mod cursors;
mod dead_letters;
mod fault;
#[cfg(test)]
mod golden;
mod lanes;
mod log;
mod objects;
mod open;
mod options;
mod packs;
mod payloads;
mod provision;
pub mod queue;
mod registry;
mod replays;
mod stack;
mod stamp;
mod table;
pub mod wake_ups;

pub use clients::{Clients, ENDPOINT_VARIABLE, http_client};
pub use open::open;
pub use options::{Options, Resources};
pub use provision::provision;
pub use queue::{BegunEra, Inbox, begin_era};
pub use registry::cached::{REMEMBERED_FOR, remembering};
pub use stack::resources_of_stack;
