//! What the domain needs of the world, one small trait per need. Adapters: embedded, simulated (and AWS).

mod attempts;
mod clock;
mod cursors;
mod error;
mod lanes;
mod log;
mod payloads;
mod queue;
mod registry;
mod replays;
mod wake_ups;
pub mod webhook;

pub use attempts::{Attempt, AttemptOutcome, Attempts, AttemptsPage, DeadLetter, DeadLetters, DeadLettersPage};
pub use clock::{Clock, Ids};
pub use cursors::Cursors;
pub use error::PortError;
pub use lanes::{BacklogRead, HeadFailure, HeldLane, HeldLanesPage, LaneLoad, Lanes, StateRead};
pub use log::{EventLog, LogEntry, LogPage};
pub use payloads::Payloads;
pub use queue::{EventQueue, Message, QueueLag, Receipt, Sent};
pub use registry::{Expect, IdempotentAnswer, Registry, TopicSubscriptions};
pub use replays::Replays;
pub use wake_ups::{WakeUp, WakeUps};

use std::sync::Arc;
use webhook::WebhookClient;

/// All ports, as the use-cases take them.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers and randomness.
    pub ids: Arc<dyn Ids>,
    /// Accepted packs on their way to dispatch.
    pub queue: Arc<dyn EventQueue>,
    /// What is retained.
    pub log: Arc<dyn EventLog>,
    /// Held lanes and their backlogs.
    pub lanes: Arc<dyn Lanes>,
    /// Hints that a lane is due.
    pub wake_ups: Arc<dyn WakeUps>,
    /// Topics, subscriptions, keys.
    pub registry: Arc<dyn Registry>,
    /// How far replays are.
    pub replays: Arc<dyn Replays>,
    /// Where consumers are.
    pub cursors: Arc<dyn Cursors>,
    /// What was attempted.
    pub attempts: Arc<dyn Attempts>,
    /// Events that were given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Payloads too large for a pack.
    pub payloads: Arc<dyn Payloads>,
    /// The way out.
    pub webhooks: Arc<dyn WebhookClient>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
