//! The state that a batch goes by: its topics' subscriptions, and which of its lanes are held.

use crate::lane::lane_id;
use crate::limits::DISPATCH_DEADLINE;
use crate::names::TopicId;
use crate::pack::{GroupId, LaneId};
use crate::ports::{Message, PortError, Ports, TopicSubscriptions};
use crate::subscription::Subscription;
use crate::time::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Topics' subscriptions as they were last read: validated by their version at every use.
#[derive(Default)]
pub(super) struct SubscriptionCache(Mutex<HashMap<TopicId, Arc<TopicSubscriptions>>>);

impl SubscriptionCache {
    fn get(&self, topic: &TopicId) -> Option<Arc<TopicSubscriptions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    fn set(&self, topic: &TopicId, subscriptions: Option<Arc<TopicSubscriptions>>) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match subscriptions {
            Some(subscriptions) => cache.insert(topic.clone(), subscriptions),
            None => cache.remove(topic),
        };
    }
}

/// A lane of a group as the state shows it.
#[derive(Clone, Debug)]
pub(super) struct LaneState {
    pub subscription: Arc<Subscription>,
    pub id: LaneId,
    pub held: bool,
    /// Until when live requests may start on the strength of this.
    pub deadline: Time,
}

/// The lanes of a batch, by group; none for a group whose topic is gone.
pub(super) struct BatchState(HashMap<GroupId, Option<Vec<LaneState>>>);

impl BatchState {
    /// Reads the state. Subscriptions are never read later than the lanes: a lane seen live before a resume, under a
    /// status seen active after it, would be delivered past its backlog.
    pub async fn read(ports: &Ports, cache: &SubscriptionCache, batch: &[Message]) -> Result<BatchState, PortError> {
        let deadline = ports.clock.now() + DISPATCH_DEADLINE;
        let mut topics: Vec<TopicId> = Vec::new();
        for message in batch {
            if !topics.contains(&message.pack.topic_id) {
                topics.push(message.pack.topic_id.clone());
            }
        }
        let mut known: Vec<Option<Arc<TopicSubscriptions>>> = topics.iter().map(|topic| cache.get(topic)).collect();
        for (topic, known) in topics.iter().zip(&mut known) {
            if known.is_none() {
                *known = ports.registry.topic_subscriptions(topic).await?;
                cache.set(topic, known.clone());
            }
        }
        let mut state = BatchState::lanes_of(batch, &topics, &known, deadline);
        let read = state.read_lanes(ports, &topics).await?;
        let mut stale = false;
        for (index, (topic, version)) in topics.iter().zip(&read).enumerate() {
            if known[index].as_ref().map(|known| known.version) != *version {
                stale = true;
                known[index] = ports.registry.topic_subscriptions(topic).await?;
                cache.set(topic, known[index].clone());
            }
        }
        if stale {
            // Read after the log append, and before the lanes: good enough, whatever the version is by now.
            state = BatchState::lanes_of(batch, &topics, &known, deadline);
            state.read_lanes(ports, &topics).await?;
        }
        Ok(state)
    }

    fn lanes_of(
        batch: &[Message],
        topics: &[TopicId],
        known: &[Option<Arc<TopicSubscriptions>>],
        deadline: Time,
    ) -> BatchState {
        let mut groups = HashMap::new();
        for message in batch {
            let pack = &message.pack;
            groups.entry(pack.group()).or_insert_with(|| {
                let topic = topics.iter().position(|topic| *topic == pack.topic_id)?;
                let subscriptions = &known[topic].as_ref()?.subscriptions;
                let lane = |subscription: &Arc<Subscription>| LaneState {
                    subscription: subscription.clone(),
                    id: lane_id(&subscription.id, &pack.topic_id, &pack.key),
                    held: false,
                    deadline,
                };
                Some(subscriptions.iter().filter(|subscription| !subscription.is_pulled()).map(lane).collect())
            });
        }
        BatchState(groups)
    }

    /// Fills in which lanes are held; answers the versions of the topics.
    async fn read_lanes(&mut self, ports: &Ports, topics: &[TopicId]) -> Result<Vec<Option<u64>>, PortError> {
        let lanes: Vec<LaneId> = self.0.values().flatten().flatten().map(|lane| lane.id).collect();
        let read = ports.lanes.read_state(topics, &lanes).await?;
        if read.versions.len() != topics.len() || read.held.len() != lanes.len() {
            return Err(PortError::Corrupt("the state read has other items than were asked for".to_owned()));
        }
        for (lane, held) in self.0.values_mut().flatten().flatten().zip(read.held) {
            lane.held = held;
        }
        Ok(read.versions)
    }

    /// The lanes of a group, once; none if its topic is gone.
    pub fn take_lanes(&mut self, group: &GroupId) -> Option<Vec<LaneState>> {
        self.0.remove(group).flatten()
    }
}

/// Reads one lane's state again, after its deadline; none if its subscription is gone.
pub(super) async fn read_again(ports: &Ports, lane: &LaneState) -> Result<Option<LaneState>, PortError> {
    let deadline = ports.clock.now() + DISPATCH_DEADLINE;
    let Some(subscription) = ports.registry.subscription(&lane.subscription.id).await? else { return Ok(None) };
    if subscription.deleted_at.is_some() {
        return Ok(None);
    }
    let read = ports.lanes.read_state(&[], &[lane.id]).await?;
    let held = read.held.first().copied().ok_or_else(|| PortError::Corrupt("a lane is missing".to_owned()))?;
    Ok(Some(LaneState { subscription, id: lane.id, held, deadline }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::PartitionKey;
    use crate::pack::{LaneKey, Pack};
    use crate::ports::Receipt;
    use crate::sequence::PackSequence;
    use crate::subscription::Endpoint;
    use crate::subscription::tests::sample;

    #[test]
    fn a_subscription_that_is_pulled_has_no_lanes_to_be_read() {
        let webhook = sample();
        let pulled = Subscription { endpoint: Endpoint::pulled(), ..sample() };
        let pack = Pack {
            topic: webhook.topic.clone(),
            topic_id: webhook.topic_id.clone(),
            key: LaneKey::Ordered(PartitionKey::new("k").unwrap()),
            accepted_at: Time(1),
            events: vec![],
        };
        let (group, topics) = (pack.group(), [pack.topic_id.clone()]);
        let sequence = PackSequence { era: 1, number: 1 };
        let receipt = Receipt::Number(1, 1);
        let message = Message { pack: Arc::new(pack), sequence, receives: 1, receipt, position: None };
        let lanes = |subscriptions: Vec<Subscription>| {
            let subscriptions = subscriptions.into_iter().map(Arc::new).collect();
            let known = [Some(Arc::new(TopicSubscriptions { version: 1, subscriptions }))];
            BatchState::lanes_of(std::slice::from_ref(&message), &topics, &known, Time(2)).take_lanes(&group).unwrap()
        };
        assert_eq!(lanes(vec![pulled.clone()]).len(), 0);
        let both = lanes(vec![pulled, webhook.clone()]);
        assert_eq!(both.iter().map(|lane| &*lane.subscription).collect::<Vec<_>>(), [&webhook]);
    }
}
