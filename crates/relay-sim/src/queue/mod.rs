//! The FIFO queue between ingest and dispatch.

mod store;

pub(crate) use store::QueueStore;
pub use store::Queued;

use crate::locked;
use crate::simulated::{Shape, Simulated};
use async_trait::async_trait;
use relay_core::pack::Pack;
use relay_core::ports::{EventQueue, Message, PortError, QueueLag, Receipt, Sent};
use relay_core::replay_id::LogPosition;
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl EventQueue for Simulated {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        let mut groups: Vec<_> = packs.iter().map(|pack| pack.group()).collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() < packs.len() {
            let fault = PortError::Invalid("two packs of one group in one call".to_owned());
            return packs.iter().map(|_| Err(fault.clone())).collect();
        }
        let take = |pack: &Arc<Pack>| {
            let now = self.clock.now();
            let mut queue = locked(&self.stores.queue);
            let mut sent = queue.send(Arc::clone(pack), now);
            if self.stores.shape == Shape::One {
                if sent.repeated == Some(false) {
                    sent.position = Some(locked(&self.stores.log).append(pack, sent.sequence, now));
                    queue.set_position(sent.sequence, sent.position);
                }
            } else {
                // SQS answers a repeat as it answers a first.
                sent.repeated = None;
            }
            Ok(sent)
        };
        let answers = self.gate.each("queue.send", &packs, take).await;
        self.stores.queue_bell.ring();
        answers
    }

    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        let deadline = self.clock.now() + self.idle_wait.unwrap_or_default();
        loop {
            let rung = self.stores.queue_bell.rung();
            let (messages, visible_at) = {
                let queue = locked(&self.stores.queue);
                let now = self.clock.now();
                if queue.has_visible(now) { (None, None) } else { (Some(Vec::new()), queue.next_visible(now)) }
            };
            let Some(none) = messages else {
                let take = || {
                    let short = self.gate.strikes(|hazards| hazards.short_receive);
                    Ok(locked(&self.stores.queue).receive(max, short, self.clock.now()))
                };
                let received = self.gate.call("queue.receive", &max, take).await?;
                if received.is_empty() {
                    continue;
                }
                return Ok(received);
            };
            if !self.idle(&self.stores.queue_bell, rung, visible_at, deadline).await {
                return Ok(none);
            }
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let delete = |receipt: &Receipt| {
            let honoured = self.gate.strikes(|hazards| hazards.late_receipt);
            locked(&self.stores.queue).delete(receipt, self.clock.now(), honoured)
        };
        let answers = self.gate.each("queue.delete", receipts, delete).await;
        self.stores.queue_bell.ring();
        answers
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let give = |receipt: &Receipt| locked(&self.stores.queue).give_back(receipt, self.clock.now());
        let answers = self.gate.each("queue.give_back", receipts, give).await;
        self.stores.queue_bell.ring();
        answers
    }

    async fn lag(&self) -> Result<QueueLag, PortError> {
        let look = || {
            let (messages, oldest) = locked(&self.stores.queue).lag();
            let age = oldest.map_or(Duration::ZERO, |oldest| self.clock.now().since(oldest));
            Ok(QueueLag { messages, oldest: age })
        };
        self.gate.call("queue.lag", &(), look).await
    }

    fn has_acknowledged(&self, position: LogPosition) -> bool {
        self.stores.shape == Shape::One && !locked(&self.stores.queue).has_at(position)
    }
}
