//! Probes of an open circuit: one event of one held lane, another lane each time.

use super::{Drainer, TURN};
use crate::attempt::health::change;
use crate::circuit::probe_delay;
use crate::lane::LaneItem;
use crate::names::SubscriptionId;
use crate::pack::LaneId;
use crate::ports::{Expect, PortError, WakeUp};
use crate::replay;
use crate::subscription::{Change, Status, Subscription};

/// Held lanes looked at for one whose lease is to be had.
const TRIES: usize = 8;

impl Drainer {
    /// Probes a subscription whose circuit is open. A success closes the circuit and resumes, for a turn also what is to
    /// be loaded before: sweep goes on with the rest. A failure makes the next probe come later.
    pub(super) async fn probe(&self, id: &SubscriptionId) -> Result<(), PortError> {
        let Some(subscription) = self.ports.registry.subscription(id).await? else { return Ok(()) };
        if subscription.status != Status::Suspended || subscription.deleted_at.is_some() {
            return Ok(());
        }
        let mut delivered = None;
        for item in self.candidates(id).await? {
            delivered = self.lane(item.lane, Some(subscription.revision)).await?;
            if delivered.is_some() {
                break;
            }
        }
        if delivered == Some(true) {
            // The circuit was closed on the spot, and the lane was given back: what was skipped can be loaded.
            return replay::run(&self.ports, id, Some(self.ports.clock.now() + TURN)).await;
        }
        let probes = if delivered == Some(false) { subscription.probes.saturating_add(1) } else { subscription.probes };
        self.write_probes(&subscription, probes).await?;
        let next = (WakeUp::Probe(id.clone()), probe_delay(probes));
        self.ports.wake_ups.send(vec![next]).await
    }

    /// Held lanes from a random place on, round the end.
    async fn candidates(&self, id: &SubscriptionId) -> Result<Vec<LaneItem>, PortError> {
        let place = u128::from(self.ports.ids.random()) << 64;
        let mut lanes = self.ports.lanes.held_items(id, Some(LaneId(place.to_be_bytes())), TRIES).await?;
        if lanes.len() < TRIES {
            lanes.extend(self.ports.lanes.held_items(id, None, TRIES).await?);
        }
        Ok(lanes)
    }

    /// Notes a failed probe, and when it was: sweep goes by it if the next probe is lost.
    async fn write_probes(&self, subscription: &Subscription, probes: u32) -> Result<(), PortError> {
        let next = Subscription {
            probes,
            version: subscription.version + 1,
            updated_at: self.ports.clock.now(),
            ..subscription.clone()
        };
        match self.ports.registry.put_subscription(next, Expect::Version(subscription.version)).await {
            Err(PortError::Conflict) => Ok(()), // it was changed meanwhile, perhaps resumed
            other => other,
        }
    }

    /// Closes the circuit after a success, and resumes.
    pub(super) async fn close_circuit(&self, subscription: &Subscription) -> Result<(), PortError> {
        if change(&self.ports, &subscription.id, Change::Close, "").await?.is_some() {
            crate::resume::run(&self.ports, &subscription.id).await?;
        }
        Ok(())
    }
}
