//! Reading a topic's log forward: events in the order of their keys, from any place, in parts.
//!
//! ```text
//! start (earliest, a time, a replay id, where a part ended) ─► cursor ─► pages of each shard ─► order of keys ─► events
//! ```
//!
//! A reader never passes an entry that appears later, since it leaves out what is younger than the log's settle time.
//! It may see an event again, and never misses one.

mod committed;
mod cursor;
mod event;
pub mod line;
mod order;
mod pull;
mod start;

pub use committed::Committed;
pub use cursor::{Cursor, CursorFault};
pub use event::event;
pub use pull::{MAX_EVENTS, Pulled, Wanted, pull};
pub use start::{Start, begin};

use crate::replay_id::ReplayId;

/// Why the log cannot be read from there.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadRefused {
    /// The topic's retention has passed that place. The oldest event that is there, if there is any.
    #[error("the topic no longer keeps events from then")]
    Expired(Option<ReplayId>),
    /// There is no such event.
    #[error("no event has this replay id")]
    NotFound,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] crate::ports::PortError),
}
