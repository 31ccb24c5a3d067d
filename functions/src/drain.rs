//! Drain: batches of wake-ups.

use crate::deadline::Deadline;
use crate::dispatch::{Raw, report};
use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use relay_core::attempt::Attempter;
use relay_core::drain::Drainer;
use relay_core::ports::{Clock, PortError, Ports, WakeUp};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Decodes the body of a wake-up's message.
pub type DecodeWakeUp = fn(&str) -> Result<WakeUp, PortError>;

/// Follows wake-ups.
#[async_trait]
trait Follow: Send + Sync {
    async fn follow(&self, wake_up: WakeUp) -> Result<(), PortError>;
}

#[async_trait]
impl Follow for Drainer {
    async fn follow(&self, wake_up: WakeUp) -> Result<(), PortError> {
        self.handle(wake_up).await
    }
}

/// The function.
pub struct DrainFunction {
    clock: Arc<dyn Clock>,
    decode: DecodeWakeUp,
    drainer: Arc<dyn Follow>,
}

impl DrainFunction {
    /// Drain over these ports.
    pub fn new(ports: Ports, decode: DecodeWakeUp) -> DrainFunction {
        let attempter = Attempter::new(ports.clone());
        let clock = ports.clock.clone();
        DrainFunction { clock, decode, drainer: Arc::new(Drainer::new(ports, attempter)) }
    }

    /// Follows the wake-ups of a batch at once; the answer names those that have to come again. One that is cut off
    /// leaves a lease, which ends by itself.
    pub async fn handle(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        let mut failed: HashSet<usize> = HashSet::new();
        let mut drains = JoinSet::new();
        for (at, message) in event.records.iter().enumerate() {
            match (self.decode)(Raw::from(message).body) {
                Ok(wake_up) => {
                    let drainer = self.drainer.clone();
                    // A task each: a panic in one is not the others'.
                    drains.spawn(async move { (at, drainer.follow(wake_up).await) });
                    failed.insert(at);
                }
                Err(error) => tracing::error!(%error, "a wake-up cannot be read: sweep makes up for it"),
            }
        }
        let follow = async {
            while let Some(ended) = drains.join_next().await {
                match ended {
                    Ok((at, Ok(()))) => {
                        failed.remove(&at);
                    }
                    Ok((_, Err(error))) => tracing::warn!(%error, "a drain could not go on"),
                    Err(error) => tracing::error!(%error, "a drain was cut off"),
                }
            }
        };
        if deadline.bound(&*self.clock, follow).await.is_none() {
            tracing::warn!(drains = drains.len(), "time is up: drains are cut off");
        }
        let raws: Vec<Raw<'_>> = event.records.iter().map(Raw::from).collect();
        report(raws.iter().enumerate().filter(|(at, _)| failed.contains(at)).map(|(_, raw)| raw.id))
    }
}

#[cfg(test)]
mod tests;
