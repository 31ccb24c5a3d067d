//! Which resources, and how they are used.

use std::time::Duration;

/// What the template (or [`crate::provision`]) made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// URL of the FIFO queue of accepted packs.
    pub events_queue: String,
    /// URL of the standard queue of wake-ups.
    pub wake_ups_queue: String,
    /// Name of the table.
    pub table: String,
    /// Name of the bucket.
    pub bucket: String,
}

/// Resources and how they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The resources.
    pub resources: Resources,
    /// How long a receiver waits for the first message: whole seconds, at most 20 (SQS's long polling). Zero asks
    /// only some of SQS's servers, so it is for tests on an emulator.
    pub receive_wait: Duration,
}

impl Options {
    /// The usual use of resources.
    pub fn new(resources: Resources) -> Options {
        Options { resources, receive_wait: Duration::from_secs(20) }
    }

    /// Seconds as SQS takes them.
    pub(crate) fn wait_seconds(&self) -> i32 {
        i32::try_from(self.receive_wait.as_secs().min(20)).unwrap_or(20)
    }
}
