//! The domain of Event Relay: what it means to accept, order, hold and deliver events.
//!
//! Nothing here does I/O, reads a clock or draws a random number: the world is behind [`ports`].

pub mod attempt;
pub mod circuit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod delivery;
pub mod digest;
pub mod dispatch;
pub mod drain;
mod edit;
pub mod endpoints;
pub mod event;
pub mod grants;
pub mod ingest;
mod json;
pub mod lane;
pub mod limits;
pub mod log;
pub mod manage;
pub mod metrics;
pub mod names;
pub mod pack;
pub mod packing;
pub mod ports;
pub mod record;
pub mod replay;
pub mod replay_id;
pub mod resume;
pub mod retry;
pub mod sequence;
pub mod signing;
pub mod slowness;
pub mod subscription;
pub mod sweep;
pub mod system_event;
pub mod time;
pub mod topic;
