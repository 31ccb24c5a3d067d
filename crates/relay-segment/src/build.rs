//! Making a segment.

use crate::index::{Frame, Index};
use crate::keys::FrameKeys;
use bytes::Bytes;
use relay_core::log::line;
use relay_core::names::{TopicId, TopicName};
use relay_core::ports::{LogEntry, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use zstd::bulk::Compressor;

/// Lines of a frame, in bytes: what has to be read for one event.
const FRAME_BYTES: usize = 128 * 1024;
/// What zstd calls its level: three is its own default.
const LEVEL: i32 = 3;

/// Makes a segment of entries that are handed to it in order.
pub struct Builder {
    compressor: Compressor<'static>,
    out: Vec<u8>,
    lines: Vec<u8>,
    keys: FrameKeys,
    last: LogPosition,
    index: Index,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A segment.
#[derive(Clone, Debug)]
pub struct Built {
    /// All of it.
    pub bytes: Bytes,
    /// Its index.
    pub index: Index,
}

fn failed(error: &std::io::Error) -> PortError {
    PortError::Invalid(format!("a segment cannot be compressed: {error}"))
}

impl Builder {
    /// A segment of a topic's shard.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(topic: TopicName, topic_id: TopicId, shard: LogShard) -> Result<Builder, PortError> {
        let mut compressor = Compressor::new(LEVEL).map_err(|error| failed(&error))?;
        compressor.include_checksum(true).map_err(|error| failed(&error))?;
        let index = Index::new(topic, topic_id, shard.number());
        let (keys, last) = (FrameKeys::default(), LogPosition::default());
        Ok(Builder { compressor, out: Vec::new(), lines: Vec::new(), keys, last, index })
    }

    /// Adds an entry, which lies after those before it.
    ///
    /// # Errors
    /// If it cannot be compressed.
    pub fn push(&mut self, entry: &LogEntry) -> Result<(), PortError> {
        let count = u16::try_from(entry.pack.events.len()).unwrap_or(u16::MAX);
        for index in 0..count {
            line::write(&mut self.lines, entry, index);
        }
        self.keys.add(&entry.pack.key);
        self.index.events += u64::from(count);
        self.last = entry.position;
        if self.lines.len() >= FRAME_BYTES { self.end_frame() } else { Ok(()) }
    }

    /// Bytes of lines so far.
    pub fn raw_bytes(&self) -> u64 {
        self.index.raw_bytes + self.lines.len() as u64
    }

    fn end_frame(&mut self) -> Result<(), PortError> {
        let compressed = self.compressor.compress(&self.lines).map_err(|error| failed(&error))?;
        let (offset, bytes, raw_bytes) = (self.out.len() as u64, compressed.len() as u64, self.lines.len() as u64);
        self.index.push(Frame { offset, bytes, raw_bytes, last: self.last }, std::mem::take(&mut self.keys));
        self.out.extend_from_slice(&compressed);
        self.lines.clear();
        Ok(())
    }

    /// The segment.
    ///
    /// # Errors
    /// If it cannot be compressed.
    pub fn finish(mut self) -> Result<Built, PortError> {
        if !self.lines.is_empty() {
            self.end_frame()?;
        }
        self.out.extend_from_slice(&self.index.trailer()?);
        Ok(Built { bytes: Bytes::from(self.out), index: self.index })
    }
}
