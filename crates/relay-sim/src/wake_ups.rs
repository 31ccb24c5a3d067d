//! Delayed hints: lost, repeated and early ones among them.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use relay_core::limits::MAX_WAKE_UP_DELAY;
use relay_core::ports::{PortError, WakeUp, WakeUps};
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct WakeUpStore {
    pending: BTreeMap<(Time, u64), WakeUp>,
    serial: u64,
}

impl WakeUpStore {
    fn add(&mut self, at: Time, wake_up: WakeUp) {
        self.serial += 1;
        self.pending.insert((at, self.serial), wake_up);
    }

    fn take_due(&mut self, now: Time, max: usize) -> Vec<WakeUp> {
        let keys: Vec<_> = self.pending.range(..=(now, u64::MAX)).take(max).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.pending.remove(key)).collect()
    }

    fn next(&self) -> Option<Time> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }
}

#[async_trait]
impl WakeUps for Simulated {
    async fn send(&self, wake_ups: Vec<(WakeUp, Duration)>) -> Result<(), PortError> {
        let send = || {
            let now = self.clock.now();
            let mut store = locked(&self.stores.wake_ups);
            for (wake_up, delay) in &wake_ups {
                let delay = (*delay).min(MAX_WAKE_UP_DELAY);
                let early = self.gate.strikes(|hazards| hazards.early_wake_up);
                if self.gate.strikes(|hazards| hazards.repeated_wake_up) {
                    store.add(now + delay / 2, wake_up.clone());
                }
                if !self.gate.strikes(|hazards| hazards.lost_wake_up) {
                    store.add(if early { now + delay / 3 } else { now + delay }, wake_up.clone());
                }
            }
            Ok(())
        };
        let answer = self.gate.call("wake_ups.send", &wake_ups, send).await;
        self.stores.wake_up_bell.ring();
        answer
    }

    async fn receive(&self, max: usize) -> Result<Vec<WakeUp>, PortError> {
        let deadline = self.clock.now() + self.idle_wait.unwrap_or_default();
        loop {
            let rung = self.stores.wake_up_bell.rung();
            let next = locked(&self.stores.wake_ups).next();
            if next.is_some_and(|at| at <= self.clock.now()) {
                let take = || Ok(locked(&self.stores.wake_ups).take_due(self.clock.now(), max));
                let received = self.gate.call("wake_ups.receive", &max, take).await?;
                if !received.is_empty() {
                    return Ok(received);
                }
            } else if !self.idle(&self.stores.wake_up_bell, rung, next, deadline).await {
                return Ok(Vec::new());
            }
        }
    }
}
