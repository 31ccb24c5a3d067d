//! Segments: what the log keeps for long. One file, or object, per span of a topic's shard, which other tools read
//! without us: JSON Lines compressed with zstd (RFC 8878), under a path in Hive's style.
//!
//! ```text
//! events/retention=7d/topic=orders/topicid=top_…/date=2026-11-20/hour=21/<first>-<last>-<shard>.jsonl.zst
//!
//! ┌ frame ──────┬ frame ──────┬ … ┬ skippable frame ──────────────────────────────┐
//! │ whole lines │ whole lines │   │ index as JSON, its length, "RELAYSEG"         │
//! └─────────────┴─────────────┴───┴───────────────────────────────────────────────┘
//! ```
//!
//! Frames are independent of each other: one event is read with one ranged read, once the index says which frame it is in. The store keeps the
//! index, too; the one in the file is for whoever has only the file. `zstdcat` and other readers skip it. It also says which
//! keys a frame may hold: who reads one key leaves out most frames of others, and of a frame decodes its own lines alone.
//! Lines have the form of [`relay_core::log::line`], in the order of their positions.

mod build;
mod index;
mod keys;
mod path;
mod read;

pub use build::{Builder, Built};
pub use index::{Frame, Index, MAX_INDEX_BYTES, index_of};
pub use keys::FrameKeys;
pub use path::{path_of, retention_of};
pub use read::entries_of;
