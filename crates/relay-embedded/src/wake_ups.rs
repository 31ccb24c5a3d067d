//! Wake-ups: timers in memory. A restart loses them, and sweep makes up for that.

use crate::sync::lock;
use async_trait::async_trait;
use relay_core::names::SubscriptionId;
use relay_core::pack::LaneId;
use relay_core::ports::{Clock, PortError, WakeUp, WakeUps};
use relay_core::time::Time;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// [`WakeUps`] in memory.
pub(crate) struct WakeUpsPort {
    state: Mutex<State>,
    arrived: Notify,
    clock: Arc<dyn Clock>,
    wait: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Whom {
    Lane(LaneId),
    Probe(SubscriptionId),
}

/// Of each lane the earliest wake-up is kept, and the one sent last: they tell when it was due before, and now.
#[derive(Clone, Copy)]
struct Kept {
    earliest: (Time, u64),
    latest: (Time, u64),
}

#[derive(Default)]
struct State {
    queue: BTreeMap<(Time, u64), WakeUp>,
    kept: HashMap<Whom, Kept>,
    count: u64,
}

fn whom(wake_up: &WakeUp) -> Whom {
    match wake_up {
        WakeUp::Lane(lane) => Whom::Lane(lane.id),
        WakeUp::Probe(subscription) => Whom::Probe(subscription.clone()),
    }
}

impl State {
    fn add(&mut self, wake_up: WakeUp, at: Time) {
        self.count += 1;
        let (key, whom) = ((at, self.count), whom(&wake_up));
        self.queue.insert(key, wake_up);
        let kept = match self.kept.get(&whom).copied() {
            None => Kept { earliest: key, latest: key },
            Some(Kept { earliest, latest }) => {
                let earliest_now = earliest.min(key);
                for before in [earliest, latest] {
                    if before != earliest_now && before != key {
                        self.queue.remove(&before);
                    }
                }
                Kept { earliest: earliest_now, latest: key }
            }
        };
        self.kept.insert(whom, kept);
    }

    fn take(&mut self, max: usize, now: Time) -> Vec<WakeUp> {
        let mut due = Vec::new();
        while due.len() < max
            && let Some(first) = self.queue.first_entry()
            && first.key().0 <= now
        {
            let (key, wake_up) = first.remove_entry();
            let whom = whom(&wake_up);
            match self.kept.get_mut(&whom) {
                Some(kept) if kept.latest != key => kept.earliest = kept.latest,
                _ => {
                    self.kept.remove(&whom);
                }
            }
            due.push(wake_up);
        }
        due
    }
}

impl WakeUpsPort {
    pub(crate) fn new(clock: Arc<dyn Clock>, wait: Duration) -> WakeUpsPort {
        WakeUpsPort { state: Mutex::default(), arrived: Notify::new(), clock, wait }
    }
}

#[async_trait]
impl WakeUps for WakeUpsPort {
    async fn send(&self, wake_ups: Vec<(WakeUp, Duration)>) -> Result<(), PortError> {
        let now = self.clock.now();
        {
            let mut state = lock(&self.state);
            for (wake_up, delay) in wake_ups {
                state.add(wake_up, now + delay);
            }
        }
        self.arrived.notify_one();
        Ok(())
    }

    async fn receive(&self, max: usize) -> Result<Vec<WakeUp>, PortError> {
        let give_up = self.clock.now() + self.wait;
        loop {
            let arrived = self.arrived.notified();
            let now = self.clock.now();
            let (due, next) = {
                let mut state = lock(&self.state);
                (state.take(max, now), state.queue.first_key_value().map(|((at, _), _)| *at))
            };
            if !due.is_empty() || now >= give_up || max == 0 {
                if next.is_some_and(|next| next <= now) {
                    self.arrived.notify_one();
                }
                return Ok(due);
            }
            let until = next.map_or(give_up, |next| next.min(give_up));
            tokio::select! {
                () = arrived => {}
                () = self.clock.sleep(until.since(now)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::lane::LaneRef;
    use relay_core::names::{PartitionKey, TopicId, TopicName};
    use relay_core::pack::LaneKey;

    fn lane() -> WakeUp {
        WakeUp::Lane(LaneRef::new(
            &SubscriptionId::new("sub").unwrap(),
            &TopicId::new("top").unwrap(),
            &TopicName::new("orders").unwrap(),
            &LaneKey::Ordered(PartitionKey::new("k").unwrap()),
        ))
    }

    #[test]
    fn a_lane_has_two_wake_ups_at_most_its_earliest_and_its_latest() {
        let mut state = State::default();
        for at in [50, 30, 90, 70, 20, 60] {
            state.add(lane(), Time(at));
            assert!(state.queue.len() <= 2);
        }
        assert_eq!(state.take(9, Time(19)), []);
        assert_eq!(state.take(9, Time(20)).len(), 1);
        assert_eq!(state.take(9, Time(59)), []);
        assert_eq!(state.take(9, Time(60)).len(), 1);
        assert!(state.queue.is_empty() && state.kept.is_empty());
    }
}
