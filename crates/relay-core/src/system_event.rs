//! System events: what the broker itself has to say, published to `relay.system` with the subscription's id as the
//! partition key. None is raised about a subscription to `relay.system` itself: it could feed on itself.
//!
//! They are sent after the change that they tell of, best effort: a lost one is logged, and fails nothing.

use crate::delivery::EventRef;
use crate::event::{Event, EventData};
use crate::names::{PartitionKey, TopicName};
use crate::pack::{LaneKey, Pack};
use crate::ports::{PortError, Ports};
use crate::retry::DeadLetterReason;
use crate::subscription::Subscription;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

/// What happened to a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionEvent {
    /// Its circuit opened.
    Suspended,
    /// Its circuit closed.
    Recovered,
    /// It was disabled.
    Disabled,
    /// What it has skipped will soon be past its topic's retention.
    Expiring,
}

/// Publishes a system event about a subscription.
pub async fn subscription(ports: &Ports, subscription: &Subscription, what: SubscriptionEvent) {
    let kind = match what {
        SubscriptionEvent::Suspended => "relay.subscription.suspended",
        SubscriptionEvent::Recovered => "relay.subscription.recovered",
        SubscriptionEvent::Disabled => "relay.subscription.disabled",
        SubscriptionEvent::Expiring => "relay.subscription.expiring",
    };
    let data = json!({
        "subscriptionId": subscription.id,
        "topic": subscription.topic,
        "reason": subscription.status_reason,
    });
    publish(ports, subscription, kind, &data).await;
}

/// Publishes that a dead letter was created.
pub async fn dead_letter_created(
    ports: &Ports,
    subscription: &Subscription,
    id: &str,
    event: &EventRef,
    reason: DeadLetterReason,
) {
    let data = json!({
        "subscriptionId": subscription.id,
        "topic": subscription.topic,
        "reason": reason,
        "deadLetterId": id,
        "eventId": event.event().id,
        "sequence": event.sequence(),
    });
    publish(ports, subscription, "relay.deadletter.created", &data).await;
}

async fn publish(ports: &Ports, about: &Subscription, kind: &str, data: &Value) {
    if about.topic == TopicName::system() {
        return;
    }
    if let Err(error) = send(ports, about, kind, data).await {
        tracing::warn!(%error, subscription = %about.id, kind, "a system event is lost");
    }
}

async fn send(ports: &Ports, about: &Subscription, kind: &str, data: &Value) -> Result<(), PortError> {
    let invalid = |error: &dyn std::fmt::Display| PortError::Invalid(error.to_string());
    let name = TopicName::system();
    let topic = ports.registry.topic(&name).await?.ok_or(PortError::NotFound)?;
    let key = PartitionKey::new(about.id.as_str()).map_err(|fault| invalid(&fault))?;
    let now = ports.clock.now();
    let event = Event {
        id: ports.ids.unique(),
        source: format!("/subscriptions/{}", about.id),
        kind: kind.to_owned(),
        subject: Some(about.id.to_string()),
        time: Some(now.to_string()),
        content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: Vec::new(),
        data: EventData::Json(Bytes::from(serde_json::to_vec(data).map_err(|fault| invalid(&fault))?)),
        made: true,
    };
    let (topic_id, key) = (topic.id.clone(), LaneKey::Ordered(key));
    let pack = Pack { topic: name, topic_id, key, accepted_at: now, events: vec![event] };
    ports.queue.send(vec![Arc::new(pack)]).await.pop().unwrap_or(Err(PortError::NotFound)).map(drop)
}
